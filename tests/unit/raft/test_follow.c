/* Three nodes in one process over real connections: one that was away for so
 * long that the log does not lead to it any more gets the state, whatever
 * happens on the way. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "kit.h"

enum { NODES = 3, PAD = 60 * 1000 };

struct node {
    char dir[64], id[8], listen[32];
    const char *cluster;
    uint64_t apply_us;
    struct core *core;
    struct cache *cache;
    pthread_t thread;
    _Atomic unsigned restored;
};

struct cluster {
    char text[128];
    struct node nodes[NODES];
};

/* ---- nodes ---- */

static void ignore_lead(void *user, bool leads)
{
    (void)user, (void)leads;
}

static void on_restored(void *user)
{
    struct node *node = user;
    (void)atomic_fetch_add(&node->restored, 1);
}

static void *run(void *user)
{
    struct node *node = user;
    core_run(node->core);
    return NULL;
}

static void node_start(struct node *node)
{
    struct core_config config = kit_config(node->dir, node->cache);

    config.node_id = node->id;
    config.raft_listen = node->listen;
    config.raft_address = node->listen;
    config.cluster = node->cluster;
    config.apply_us = node->apply_us;
    config.user = node;
    config.on_lead = ignore_lead;
    config.on_restored = on_restored;
    atomic_store(&node->restored, 0);
    assert_int_equal(core_open(&config, &node->core), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, run, node), 0);
}

struct stop {
    struct core_call call;
    struct core *core;
};

static void stop_call(struct core_call *call)
{
    core_stop(CONTAINER(call, struct stop, call)->core);
}

static void node_stop(struct node *node)
{
    struct stop stop = {{{NULL}, stop_call}, node->core};

    if (node->core != NULL) {
        core_call(node->core, &stop.call);
        (void)pthread_join(node->thread, NULL);
        node->core = core_close(node->core);
    }
}

static unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    (void)close(fd);
    return ntohs(at.sin_port);
}

static struct cluster *cluster_new(void)
{
    struct cluster *c = mem_zero(sizeof *c);
    size_t at = 0;

    log_start(LOG_ERROR, LOG_TEXT);
    for (unsigned i = 0; i < NODES; i++) {
        struct node *node = &c->nodes[i];
        (void)snprintf(node->dir, sizeof node->dir,
                       "/tmp/roster-follow-XXXXXX");
        assert_non_null(mkdtemp(node->dir));
        (void)snprintf(node->id, sizeof node->id, "n%u", i + 1);
        (void)snprintf(node->listen, sizeof node->listen, "127.0.0.1:%u",
                       free_port());
        node->cluster = c->text;
        node->cache = cache_new(1 << 20);
        at += (size_t)snprintf(c->text + at, sizeof c->text - at, "%s%s=%s",
                               i == 0 ? "" : ",", node->id, node->listen);
    }
    for (unsigned i = 0; i < NODES; i++) {
        node_start(&c->nodes[i]);
    }
    return c;
}

static void cluster_free(struct cluster *c)
{
    char command[128];

    for (unsigned i = 0; i < NODES; i++) {
        node_stop(&c->nodes[i]);
        cache_free(c->nodes[i].cache);
        (void)snprintf(command, sizeof command, "rm -rf '%s'", c->nodes[i].dir);
        assert_int_equal(system(command), 0);
    }
    mem_free(c);
}

static struct node *leader_of(struct cluster *c)
{
    for (;;) {
        for (unsigned i = 0; i < NODES; i++) {
            struct node *node = &c->nodes[i];
            if (node->core != NULL && core_status(node->core).leads) {
                return node;
            }
        }
        (void)usleep(5000);
    }
}

static struct node *follower_of(struct cluster *c)
{
    struct node *leader = leader_of(c);
    return leader == &c->nodes[0] ? &c->nodes[1] : &c->nodes[0];
}

/* ---- rows ---- */

static void add_rows(struct node *node, uint64_t from, uint64_t to, size_t pad)
{
    for (uint64_t i = from; i < to; i++) {
        struct kit_call call;
        struct buf bytes = {0};
        kit_row(&bytes, i, pad);
        kit_send(node->core, &call, buf_str(&bytes));
        assert_int_equal(kit_hear(&call), 0);
        buf_done(&bytes);
    }
}

static uint64_t count(struct node *node)
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

static void wait_for(struct node *node, uint64_t rows)
{
    while (count(node) != rows) {
        (void)usleep(5000);
    }
}

/* ---- jobs ---- */

struct job {
    struct core_state_job job;
    sem_t done;
};

static void job_done(struct core_state_job *job)
{
    (void)sem_post(&CONTAINER(job, struct job, job)->done);
}

static struct core_state_job do_job(struct node *node,
                                    enum core_state_kind kind, const char *path)
{
    struct job job = {.job = {.kind = kind, .path = path, .done = job_done}};

    (void)sem_init(&job.done, 0, 0);
    core_state_job(node->core, &job.job);
    while (sem_wait(&job.done) != 0) {
    }
    (void)sem_destroy(&job.done);
    assert_int_equal(job.job.outcome, 0);
    return job.job;
}

/* Digests are of some index: those of the same one are held against each other.
 */
static void are_equal(struct cluster *c)
{
    struct state_info first, other;
    unsigned equal = 1;

    while (equal < NODES) {
        first = do_job(&c->nodes[0], CORE_STATE_DIGEST, NULL).info;
        for (equal = 1; equal < NODES; equal++) {
            other = do_job(&c->nodes[equal], CORE_STATE_DIGEST, NULL).info;
            if (other.index != first.index) {
                break;
            }
            assert_memory_equal(first.state, other.state, sizeof first.state);
        }
    }
}

/* Until it has to be given the state: what the leader had sent before it was
 * gone may still lead it to where the log begins. *ret_rows: how many there are
 * then. */
static void leave_behind(struct cluster *c, struct node *away,
                         uint64_t *ret_rows)
{
    uint64_t rows = *ret_rows;

    do {
        struct node *leader = NULL;
        node_stop(away);
        leader = leader_of(c);
        add_rows(leader, rows, rows + 200, PAD);
        rows += 200;
        (void)do_job(leader, CORE_STATE_SNAPSHOT, NULL);
        (void)usleep(500000);
        node_start(away);
        while (count(away) < rows && core_stats(away->core).installs == 0) {
            (void)usleep(1000);
        }
    } while (core_stats(away->core).installs == 0);
    *ret_rows = rows;
}

static void a_node_behind_the_log_gets_the_state(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    add_rows(leader_of(c), 0, rows, 20);
    wait_for(away, rows);
    leave_behind(c, away, &rows);
    wait_for(away, rows);
    struct core_stats stats = core_stats(away->core);
    assert_int_equal(stats.installs, 1);
    assert_true(stats.fetches >= 1 && stats.fetches_failed == 0);
    assert_int_equal(atomic_load(&away->restored), 1);
    assert_false(core_status(away->core).installing);
    add_rows(away, rows, rows + 20, 20);
    are_equal(c);
    /* It is a node like any other, after a start too. */
    node_stop(away);
    add_rows(leader_of(c), rows + 20, rows + 30, 20);
    node_start(away);
    wait_for(away, rows + 30);
    assert_int_equal(core_stats(away->core).installs, 0);
    are_equal(c);
    cluster_free(c);
}

/* Its leader, and its own clients, have their turns in between. */
static void who_catches_up_applies_in_turns(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    add_rows(leader_of(c), 0, rows, 20);
    wait_for(away, rows);
    node_stop(away);
    for (unsigned i = 0; i < 60; i++) {
        add_rows(leader_of(c), rows, rows + 5, 20);
        rows += 5;
    }
    away->apply_us = 1; /* one entry a turn */
    node_start(away);
    add_rows(away, rows, rows + 10, 20);
    assert_int_equal(count(away), rows + 10);
    assert_true(core_stats(away->core).put_off > 20);
    assert_int_equal(core_stats(away->core).installs, 0);
    (void)do_job(away, CORE_STATE_SNAPSHOT, NULL);
    are_equal(c);
    node_stop(away);
    node_start(away);
    are_equal(c);
    cluster_free(c);
}

static void rows_go_on_while_a_state_is_installed(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    add_rows(leader_of(c), 0, rows, 20);
    leave_behind(c, away, &rows);
    for (unsigned i = 0; i < 100; i++) {
        add_rows(leader_of(c), rows, rows + 10, 1000);
        rows += 10;
    }
    add_rows(away, rows, rows + 10, 20);
    are_equal(c);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(count(&c->nodes[i]), rows + 10);
    }
    assert_int_equal(core_stats(away->core).installs, 1);
    cluster_free(c);
}

/* Several megabytes are out at the same time: a socket takes them in parts. */
static void more_than_a_socket_takes_comes_through_a_follower(void **state)
{
    enum { LARGE = 64, LARGE_PAD = 150 << 10 };
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    struct kit_call calls[LARGE];
    struct buf bytes[LARGE] = {{0}};

    (void)state;
    for (uint64_t i = 0; i < LARGE; i++) {
        kit_row(&bytes[i], i, LARGE_PAD);
    }
    for (size_t i = 0; i < LARGE; i++) {
        kit_send(away->core, &calls[i], buf_str(&bytes[i]));
    }
    for (size_t i = 0; i < LARGE; i++) {
        assert_int_equal(kit_hear(&calls[i]), 0);
        buf_done(&bytes[i]);
    }
    assert_int_equal(core_stats(away->core).resent, 0);
    are_equal(c);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(count(&c->nodes[i]), LARGE);
    }
    cluster_free(c);
}

static void a_restore_at_any_node_is_one_everywhere(void **state)
{
    struct cluster *c = cluster_new();
    struct node *node = follower_of(c);
    struct kit_call call;
    struct buf bytes = {0};
    char path[512];

    (void)state;
    add_rows(node, 0, 25, 20);
    (void)snprintf(path, sizeof path, "%s/spool/up", node->dir);
    (void)do_job(node, CORE_STATE_EXPORT, path);
    struct core_state_job job = do_job(node, CORE_STATE_STAGE, path);
    add_rows(leader_of(c), 25, 50, 20);
    struct command command = {.kind = COMMAND_RESTORE};
    command.restore.file = str_of(job.info.file);
    memcpy(command.restore.digest, job.info.state,
           sizeof command.restore.digest);
    command.restore.size = job.info.size;
    command.restore.revision = COMMAND_RESTORE_STEP;
    command_encode(&bytes, &command);
    kit_send(node->core, &call, buf_str(&bytes));
    assert_int_equal(kit_hear(&call), 0);
    assert_int_equal(count(node), 25);
    add_rows(node, 25, 30, 20);
    for (unsigned i = 0; i < NODES; i++) {
        wait_for(&c->nodes[i], 30);
        assert_int_equal(atomic_load(&c->nodes[i].restored), 1);
    }
    are_equal(c);
    buf_done(&bytes);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_behind_the_log_gets_the_state),
        cmocka_unit_test(who_catches_up_applies_in_turns),
        cmocka_unit_test(rows_go_on_while_a_state_is_installed),
        cmocka_unit_test(a_restore_at_any_node_is_one_everywhere),
        cmocka_unit_test(more_than_a_socket_takes_comes_through_a_follower),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
