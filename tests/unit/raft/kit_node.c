#include "kit_node.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <dirent.h>

#include "base/err.h"
#include "base/log.h"

static void on_lead(void *user, bool leads)
{
    struct node *node = user;
    if (leads) {
        (void)sem_post(&node->led);
    }
}

static void on_tick(void *user)
{
    struct node *node = user;
    node->ticks++;
}

static void on_restored(void *user)
{
    struct node *node = user;
    node->restored++;
}

struct node *kit_new(const char *id, const char *what)
{
    struct node *node = mem_zero(sizeof *node);

    log_start(LOG_ERROR, LOG_TEXT);
    (void)snprintf(node->id, sizeof node->id, "%s", id);
    (void)snprintf(node->dir, sizeof node->dir, "/tmp/roster-%s-XXXXXX", what);
    assert_non_null(mkdtemp(node->dir));
    node->cache = cache_new(1 << 20);
    node->config = kit_config(node->dir, node->cache);
    node->config.node_id = node->id;
    node->config.user = node;
    node->config.on_lead = on_lead;
    node->config.on_tick = on_tick;
    node->config.on_restored = on_restored;
    return node;
}

void kit_free(struct node *node)
{
    kit_shell(node, "rm -rf \"$PWD\"");
    cache_free(node->cache);
    mem_free(node);
}

/* ---- running ---- */

int kit_open(struct node *node)
{
    node->restored = node->ticks = 0;
    return core_open(&node->config, &node->core);
}

static void *run(void *user)
{
    struct node *node = user;
    core_run(node->core);
    return NULL;
}

void kit_run(struct node *node)
{
    assert_int_equal(sem_init(&node->led, 0, 0), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, run, node), 0);
    node->running = true;
}

void kit_start(struct node *node)
{
    assert_int_equal(kit_open(node), 0);
    kit_run(node);
    while (sem_wait(&node->led) != 0) {
    }
}

struct stop {
    struct core_call call;
    struct core *core;
};

static void stop_call(struct core_call *call)
{
    core_stop(CONTAINER(call, struct stop, call)->core);
}

void kit_halt(struct node *node)
{
    struct stop stop = {{{NULL}, stop_call}, node->core};

    core_call(node->core, &stop.call);
    (void)pthread_join(node->thread, NULL);
    node->running = false;
}

void kit_stop(struct node *node)
{
    if (node->running) {
        kit_halt(node);
    }
    if (node->core != NULL) {
        node->core = core_close(node->core);
    }
}

void kit_shell(struct node *node, const char *shell)
{
    char command[1024];

    assert_in_range(
        snprintf(command, sizeof command, "cd '%s' && %s", node->dir, shell), 1,
        sizeof command - 1);
    assert_int_equal(system(command), 0);
}

/* By scandir: the thread sanitizer does not see libuv close what it opens, and
 * takes closedir for a race with it. */
unsigned kit_files(struct node *node, const char *folder, const char *prefix)
{
    char path[128];
    struct dirent **names = NULL;
    unsigned n = 0;

    (void)snprintf(path, sizeof path, "%s/%s", node->dir, folder);
    int all = scandir(path, &names, NULL, NULL);
    for (int i = 0; i < all; i++) {
        n += names[i]->d_name[0] != '.' &&
             strncmp(names[i]->d_name, prefix, strlen(prefix)) == 0;
        free(names[i]);
    }
    free(names);
    return n;
}

/* ---- rows ---- */

/* Takes the bytes. */
static int run_command(struct node *node, struct buf *bytes)
{
    struct kit_call call;

    kit_send(node->core, &call, buf_str(bytes));
    int r = kit_hear(&call);
    buf_done(bytes);
    return r;
}

int kit_add(struct node *node, uint64_t row, size_t pad)
{
    struct buf bytes = {0};

    kit_row(&bytes, row, pad);
    return run_command(node, &bytes);
}

int kit_restore(struct node *node, const struct core_state_job *staged,
                uint64_t revision)
{
    struct buf bytes = {0};

    kit_encode_restore(&bytes, staged, revision);
    return run_command(node, &bytes);
}

void kit_add_rows(struct node *node, uint64_t from, uint64_t to, size_t pad)
{
    for (uint64_t i = from; i < to; i++) {
        assert_int_equal(kit_add(node, i, pad), 0);
    }
}

uint64_t kit_count(struct node *node)
{
    struct store_reader *reader;
    struct store_txn *txn;
    struct store_list list;

    assert_int_equal(store_reader_new(core_store(node->core), &reader), 0);
    assert_int_equal(store_read_begin(reader, &txn), 0);
    while (store_use(txn, STORE_POOL) == ERR_RESTART) {
    }
    int r = store_list_get(txn, STORE_POOL, STR("service"), &list);
    store_read_end(txn);
    store_reader_free(reader);
    return r == 0 ? list.count : 0;
}

/* ---- jobs ---- */

static void job_done(struct core_state_job *job)
{
    (void)sem_post(&CONTAINER(job, struct kit_job, job)->done);
}

void kit_job_send(struct node *node, struct kit_job *job,
                  enum core_state_kind kind, const char *path)
{
    *job =
        (struct kit_job){.job = {.kind = kind, .path = path, .done = job_done}};
    (void)sem_init(&job->done, 0, 0);
    core_state_job(node->core, &job->job);
}

int kit_job_hear(struct kit_job *job)
{
    while (sem_wait(&job->done) != 0) {
    }
    (void)sem_destroy(&job->done);
    return job->job.outcome;
}

int kit_job(struct node *node, struct kit_job *job, enum core_state_kind kind,
            const char *path)
{
    kit_job_send(node, job, kind, path);
    return kit_job_hear(job);
}
