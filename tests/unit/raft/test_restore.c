/* A state file in the place of the state, through the log, on real directories:
 * what it makes of the state, and that no death in between leaves anything but
 * the old state or the new one. */

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
#include <fcntl.h>
#include <pthread.h>
#include <raft.h>
#include <raft/uv.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "kit_node.h"
#include "raft/recover.h"

#define STEP COMMAND_RESTORE_STEP
enum { PAD = 20 };

/* What the disk says it has; 0: the truth. */
static _Atomic uint64_t disk_says;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int statvfs(const char *path, struct statvfs *ret)
{
    struct statfs truth;

    if (statfs(path, &truth) != 0) {
        return -1;
    }
    *ret = (struct statvfs){.f_frsize = 1, .f_bavail = disk_says};
    if (disk_says == 0) {
        ret->f_frsize = (unsigned long)truth.f_bsize;
        ret->f_bavail = truth.f_bavail;
    }
    return 0;
}

/* ---- reading ---- */

struct look {
    struct store_meta meta;
    uint64_t n;
    uint64_t list_revision; /* as it is shown */
    struct buf list;
    struct buf event; /* the first of the history */
};

static void look(struct node *node, struct look *ret)
{
    struct store_reader *reader;
    struct store_txn *txn;
    struct store_list list;
    struct ulid last;
    struct str event = STR("");
    bool more;

    *ret = (struct look){.n = 0};
    assert_int_equal(store_reader_new(core_store(node->core), &reader), 0);
    assert_int_equal(store_read_begin(reader, &txn), 0);
    while (store_use(txn, STORE_POOL) == ERR_RESTART) {
    }
    ret->meta = *store_meta(txn);
    assert_int_equal(store_list_get(txn, STORE_POOL, STR("service"), &list), 0);
    assert_int_equal(store_path_rev(txn, STORE_POOL, &ret->list_revision), 0);
    if (ret->list_revision < list.revision) {
        ret->list_revision = list.revision;
    }
    assert_int_equal(store_rows_join(txn, STORE_POOL, STR("service"), NULL, 0,
                                     &ret->list, &ret->n, &last, &more),
                     0);
    assert_true(ret->n == list.count);
    uint64_t revision = 0;
    if (ret->meta.history_n > 0) {
        assert_int_equal(store_event_next(txn, 0, &revision, &event), 0);
        assert_true(revision == ret->meta.history_first);
    }
    buf_add_str(&ret->event, event);
    store_read_end(txn);
    store_reader_free(reader);
}

static void look_done(struct look *look)
{
    buf_done(&look->list);
    buf_done(&look->event);
}

static uint64_t revision_of(struct node *node)
{
    return core_status(node->core).revision;
}

/* ---- jobs ---- */

static void path_in(struct node *node, const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", node->dir, name);
}

static void export_to(struct node *node, const char *name, struct kit_job *job)
{
    char path[128];

    path_in(node, name, path);
    assert_int_equal(kit_job(node, job, CORE_STATE_EXPORT, path), 0);
    assert_true(job->job.info.index > 0);
}

static int stage(struct node *node, const char *name, struct kit_job *job)
{
    char command[256], path[128];

    (void)snprintf(command, sizeof command, "cp '%s' spool/up", name);
    kit_shell(node, command);
    path_in(node, "spool/up", path);
    return kit_job(node, job, CORE_STATE_STAGE, path);
}

static uint64_t next_revision(uint64_t above)
{
    return (above / STEP + 1) * STEP;
}

static int restore(struct node *node, const char *name)
{
    struct kit_job job;

    assert_int_equal(stage(node, name, &job), 0);
    uint64_t now = revision_of(node);
    uint64_t its = job.job.info.revision;
    return kit_restore(node, &job.job, next_revision(now > its ? now : its));
}

static void power_cut(struct node *node)
{
    kit_shell(node, "sed -i 's/^boot .*/boot other/' store.state && "
                    "dd if=/dev/urandom of=store/data.mdb bs=4096 count=16 "
                    "conv=notrunc 2>/dev/null");
}

/* Runs `func` in a process that then dies without a word. */
static void and_die(struct node *node, void (*func)(struct node *node))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        kit_start(node);
        func(node);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void wait_for_snapshot(struct node *node)
{
    struct kit_job job;
    assert_int_equal(kit_job(node, &job, CORE_STATE_SNAPSHOT, NULL), 0);
}

/* ---- what a restore makes of the state ---- */

static void rows_are_those_of_the_file_and_revisions_move_on(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct look before, after;
    struct kit_job job;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 10, PAD);
    look(node, &before);
    export_to(node, "backup", &job);
    assert_int_equal(job.job.n_rows, 10);
    assert_true(job.job.info.revision == before.meta.revision);
    kit_add_rows(node, 10, 30, PAD);
    uint64_t epoch = core_status(node->core).lease_epoch;
    assert_int_equal(restore(node, "backup"), 0);
    look(node, &after);
    assert_int_equal(after.n, 10);
    assert_true(str_equal(buf_str(&before.list), buf_str(&after.list)));
    assert_true(after.meta.revision == STEP);
    assert_true(after.meta.tree_rev == STEP && after.meta.types_rev == STEP);
    assert_true(after.list_revision == STEP);
    assert_true(after.meta.lease_epoch > epoch);
    assert_true(after.meta.log_time_ms >= before.meta.log_time_ms);
    assert_memory_equal(after.meta.cluster, before.meta.cluster, 16);
    assert_true(after.meta.history_n == 1 && after.meta.history_first == STEP);
    assert_true(str_equal(
        buf_str(&after.event),
        STR("{\"revision\":4294967296,\"op\":\"restore\",\"ns\":\"roster\","
            "\"ns_id\":1,\"cause\":\"restore\"}")));
    assert_int_equal(revision_of(node), STEP);
    assert_int_equal(core_status(node->core).lease_epoch,
                     after.meta.lease_epoch);
    assert_int_equal(atomic_load(&node->restored), 1);
    look_done(&before);
    look_done(&after);
    kit_stop(node);
    kit_free(node);
}

static void after_a_restore_the_node_goes_on(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job job;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 5, PAD);
    export_to(node, "backup", &job);
    kit_add_rows(node, 5, 9, PAD);
    assert_int_equal(restore(node, "backup"), 0);
    assert_int_equal(kit_add(node, 4, PAD), ERR_CONFLICT);
    kit_add_rows(node, 5, 20, PAD);
    assert_int_equal(revision_of(node), STEP + 15);
    kit_stop(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 20);
    assert_int_equal(kit_add(node, 19, PAD), ERR_CONFLICT);
    kit_stop(node);
    kit_free(node);
}

static void a_file_of_a_greater_revision_decides_how_far_it_moves(void **state)
{
    struct node *ahead = kit_new("n1", "restore"),
                *node = kit_new("n1", "restore");
    char command[256];
    struct kit_job job;

    (void)state;
    kit_start(ahead);
    kit_add_rows(ahead, 0, 3, PAD);
    export_to(ahead, "backup", &job);
    assert_int_equal(restore(ahead, "backup"), 0);
    assert_int_equal(restore(ahead, "backup"), 0);
    kit_add_rows(ahead, 3, 5, PAD);
    export_to(ahead, "newer", &job);
    assert_true(job.job.info.revision == 2 * STEP + 2);
    (void)snprintf(command, sizeof command, "cp newer '%s/newer'", node->dir);
    kit_shell(ahead, command);
    kit_stop(ahead);
    kit_free(ahead);
    kit_start(node);
    assert_int_equal(restore(node, "newer"), 0);
    assert_true(revision_of(node) == 3 * STEP);
    assert_int_equal(kit_count(node), 5);
    kit_stop(node);
    kit_free(node);
}

/* What the core has open in its directory. Counted on its own thread, which
 * then opens nothing itself. */
struct open_files {
    struct core_call call;
    const char *dir;
    unsigned segments; /* the log's: libraft opens some ahead, when it can */
    unsigned others;
    sem_t done;
};

static void count_file(struct open_files *found, const char *fd)
{
    char link[64], path[512];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%.16s", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    const char *below = strstr(path, found->dir);
    if (below == NULL) {
        return;
    }
    below += strlen(found->dir);
    bool segment = strncmp(below, "/raft/open-", 11) == 0;
    found->segments += segment;
    /* libraft's workers open its folder, and close it, at any time. */
    found->others += !segment && strcmp(below, "/raft") != 0;
}

/* No assertion: it would leave from a thread that is not the test's. */
static void count_open(struct core_call *call)
{
    struct open_files *found = CONTAINER(call, struct open_files, call);
    struct dirent **names = NULL;
    int n = scandir("/proc/self/fd", &names, NULL, NULL);

    for (int i = 0; i < n; i++) {
        count_file(found, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    (void)sem_post(&found->done);
}

/* Not all that the process has open: a sanitizer starts its symbolizer when it
 * first needs it, and keeps pipes to it. */
static struct open_files open_files(struct node *node)
{
    struct open_files found = {.call = {.func = count_open}, .dir = node->dir};

    (void)sem_init(&found.done, 0, 0);
    core_call(node->core, &found.call);
    while (sem_wait(&found.done) != 0) {
    }
    (void)sem_destroy(&found.done);
    return found;
}

static unsigned maps_of(const char *what)
{
    char line[512];
    unsigned n = 0;
    FILE *file = fopen("/proc/self/maps", "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        n += strstr(line, what) != NULL;
    }
    (void)fclose(file);
    return n;
}

/* Twenty times, and nothing is left of the states before. */
static void many_restores_leave_nothing_behind(void **state)
{
    enum { SEGMENTS = 3 }; /* one that is written, two ahead */
    struct node *node = kit_new("n1", "restore");
    struct open_files first = {.others = 0}, last;
    struct store_reader *idle;
    struct store_txn *txn;
    struct kit_job job;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 10, PAD);
    export_to(node, "backup", &job);
    assert_int_equal(store_reader_new(core_store(node->core), &idle), 0);
    assert_int_equal(store_read_begin(idle, &txn), 0);
    store_read_end(txn);
    for (unsigned i = 0; i < 21; i++) {
        assert_int_equal(restore(node, "backup"), 0);
        wait_for_snapshot(node);
        assert_int_equal(kit_count(node), 10);
        if (i == 0) {
            export_to(node, "first", &job); /* Behind what is being removed. */
            first = open_files(node);
        }
    }
    export_to(node, "last", &job);
    last = open_files(node);
    assert_true(first.others > 0);
    assert_int_equal(last.others, first.others);
    assert_in_range(last.segments, 1, SEGMENTS);
    assert_int_equal(maps_of("data.mdb"), 1);
    assert_int_equal(maps_of("lock.mdb"), 1);
    assert_int_equal(kit_files(node, "state", "staged-"), 0);
    assert_int_equal(kit_files(node, "state", "state-"), 2);
    assert_int_equal(kit_files(node, "store.new", ""), 0);
    assert_int_equal(kit_files(node, "spool", ""), 0);
    assert_int_equal(kit_files(node, "", "store.old"), 0);
    store_reader_free(idle);
    kit_stop(node);
    kit_free(node);
}

/* ---- what is refused ---- */

static void a_restore_that_does_not_move_on_is_sent_back(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job job;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 5, PAD);
    export_to(node, "backup", &job);
    assert_int_equal(restore(node, "backup"), 0);
    assert_int_equal(stage(node, "backup", &job), 0);
    assert_int_equal(kit_restore(node, &job.job, STEP), ERR_RETRY);
    assert_int_equal(kit_restore(node, &job.job, 2 * STEP + 1), ERR_RETRY);
    /* The file is still there for another try. */
    assert_int_equal(kit_restore(node, &job.job, 2 * STEP), 0);
    kit_stop(node);
    kit_start(node);
    assert_true(revision_of(node) == 2 * STEP);
    kit_stop(node);
    kit_free(node);
}

static void a_staged_file_that_is_given_up_is_gone(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job job;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 2, PAD);
    export_to(node, "backup", &job);
    assert_int_equal(stage(node, "backup", &job), 0);
    assert_int_equal(kit_files(node, "state", "staged-"), 1);
    core_state_unstage(node->core, job.job.info.file);
    while (kit_files(node, "state", "staged-") +
               kit_files(node, "store.new", "") >
           0) {
        (void)usleep(1000);
    }
    core_state_unstage(node->core, job.job.info.file);
    /* One whose restore was never sent goes at the next start. */
    assert_int_equal(stage(node, "backup", &job), 0);
    kit_stop(node);
    kit_start(node);
    assert_int_equal(kit_files(node, "state", "staged-"), 0);
    assert_int_equal(kit_count(node), 2);
    kit_stop(node);
    kit_free(node);
}

static void a_damaged_or_foreign_file_is_not_staged(void **state)
{
    struct node *node = kit_new("n1", "restore"),
                *other = kit_new("n1", "restore");
    char command[256];
    struct kit_job job;

    (void)state;
    other->config.domain = "example";
    kit_start(other);
    export_to(other, "foreign", &job);
    (void)snprintf(command, sizeof command, "cp foreign '%s/'", node->dir);
    kit_shell(other, command);
    kit_stop(other);
    kit_free(other);
    kit_start(node);
    kit_add_rows(node, 0, 2, PAD);
    export_to(node, "backup", &job);
    kit_shell(node,
              "cp backup flipped && printf x | dd of=flipped bs=1 seek=9000 "
              "conv=notrunc 2>/dev/null");
    assert_int_equal(stage(node, "flipped", &job), ERR_INVALID);
    assert_non_null(strstr(job.job.why, "sum"));
    kit_shell(node, "cp backup longer && printf x >> longer");
    assert_int_equal(stage(node, "longer", &job), ERR_INVALID);
    assert_non_null(strstr(job.job.why, "behind its end"));
    assert_int_equal(stage(node, "foreign", &job), ERR_INVALID);
    assert_non_null(strstr(job.job.why, "domain"));
    assert_int_equal(kit_files(node, "state", "staged-"), 0);
    assert_int_equal(kit_files(node, "store.new", ""), 0);
    kit_stop(node);
    kit_free(node);
}

static void without_room_nothing_is_begun(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job job;
    char path[128];

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 2, PAD);
    export_to(node, "backup", &job);
    kit_stop(node);
    node->config.disk_reserve_bytes = UINT64_MAX / 2;
    kit_start(node);
    path_in(node, "other", path);
    assert_int_equal(kit_job(node, &job, CORE_STATE_EXPORT, path), ERR_FULL);
    assert_int_equal(kit_job(node, &job, CORE_STATE_DIGEST, NULL), ERR_FULL);
    assert_int_equal(stage(node, "backup", &job), ERR_FULL);
    assert_int_equal(core_disk_left(node->core), 0);
    kit_stop(node);
    kit_free(node);
}

/* ---- jobs ---- */

/* The second comes from the newest state file: nothing is copied for it. */
static void equal_states_have_equal_digests(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct core_snapshot list[4];
    struct kit_job copied, made, read;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 4, PAD);
    assert_int_equal(kit_job(node, &made, CORE_STATE_SNAPSHOT, NULL), 0);
    assert_int_equal(core_snapshots(node->core, list, 4), 1);
    assert_string_equal(list[0].file, made.job.info.file);
    assert_true(list[0].index == made.job.info.index && list[0].bytes > 4096);
    assert_true(list[0].made_ms > 0 && list[0].revision == revision_of(node));
    assert_int_equal(kit_job(node, &read, CORE_STATE_DIGEST, NULL), 0);
    assert_true(read.job.info.index == made.job.info.index);
    export_to(node, "backup", &copied);
    assert_memory_equal(copied.job.info.state, read.job.info.state, 32);
    kit_shell(node, "rm state/state-*");
    assert_int_equal(kit_job(node, &copied, CORE_STATE_DIGEST, NULL), 0);
    assert_memory_equal(copied.job.info.state, read.job.info.state, 32);
    assert_int_equal(core_snapshots(node->core, list, 4), 0);
    kit_stop(node);
    kit_free(node);
}

static void more_than_sixteen_jobs_are_not_kept_waiting(void **state)
{
    enum { ASKED = 60 };
    struct node *node = kit_new("n1", "restore");
    struct kit_job jobs[ASKED];
    unsigned good = 0, refused = 0;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 4, PAD);
    for (unsigned i = 0; i < ASKED; i++) {
        kit_job_send(node, &jobs[i], CORE_STATE_DIGEST, NULL);
    }
    for (unsigned i = 0; i < ASKED; i++) {
        int r = kit_job_hear(&jobs[i]);
        good += r == 0;
        refused += r == ERR_NOT_READY;
    }
    assert_int_equal(good + refused, ASKED);
    assert_true(good >= 1);
    kit_stop(node);
    kit_free(node);
}

static void a_stop_ends_jobs_that_wait(void **state)
{
    enum { ASKED = 12 };
    struct node *node = kit_new("n1", "restore");
    struct kit_job jobs[ASKED], late;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 4, PAD);
    for (unsigned i = 0; i < ASKED; i++) {
        kit_job_send(node, &jobs[i],
                     i % 2 == 0 ? CORE_STATE_DIGEST : CORE_STATE_SNAPSHOT,
                     NULL);
    }
    kit_halt(node);
    for (unsigned i = 0; i < ASKED; i++) {
        int r = kit_job_hear(&jobs[i]);
        assert_true(r == 0 || r == ERR_NOT_READY);
    }
    assert_int_equal(kit_job(node, &late, CORE_STATE_DIGEST, NULL),
                     ERR_NOT_READY);
    kit_stop(node);
    kit_free(node);
}

/* ---- deaths ---- */

static void back_up(struct node *node)
{
    struct kit_job job;
    kit_add_rows(node, 0, 10, PAD);
    export_to(node, "backup", &job);
    kit_add_rows(node, 10, 20, PAD);
}

/* Without the snapshot that follows: there is no room for it. */
static void restore_it(struct node *node)
{
    if (restore(node, "backup") != 0 || kit_count(node) != 10) {
        _exit(1);
    }
    kit_add_rows(node, 100, 103, PAD);
}

static void stage_it(struct node *node)
{
    struct kit_job job;
    if (stage(node, "backup", &job) != 0) {
        _exit(1);
    }
}

static void what_was_restored_is_there_after_a_kill(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    and_die(node, restore_it);
    kit_start(node);
    assert_int_equal(kit_count(node), 13);
    assert_true(revision_of(node) == STEP + 3);
    kit_stop(node);
    kit_free(node);
}

static void what_was_restored_is_there_after_a_power_cut(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job killed, cut;

    (void)state;
    and_die(node, back_up);
    and_die(node, restore_it);
    kit_start(node);
    assert_int_equal(kit_job(node, &killed, CORE_STATE_DIGEST, NULL), 0);
    kit_stop(node);
    for (int i = 0; i < 2; i++) {
        kit_shell(node, "sed -i 's/^clean .*/clean 0/' store.state");
        power_cut(node);
        kit_start(node);
        assert_int_equal(kit_count(node), 13);
        assert_true(revision_of(node) == STEP + 3);
        kit_stop(node);
    }
    kit_start(node);
    assert_int_equal(kit_job(node, &cut, CORE_STATE_DIGEST, NULL), 0);
    assert_true(killed.job.info.revision == cut.job.info.revision);
    kit_stop(node);
    kit_free(node);
}

static void a_death_before_the_entry_leaves_the_state(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    and_die(node, stage_it);
    power_cut(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 20);
    assert_true(revision_of(node) < STEP);
    assert_int_equal(kit_files(node, "state", "staged-"), 0);
    kit_stop(node);
    kit_free(node);
}

/* The process is gone between the renames: no store, no marker. */
static void a_death_between_the_renames_is_made_good(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    and_die(node, restore_it);
    kit_shell(node, "rm -f store.state && mv store store.old");
    kit_start(node);
    assert_int_equal(kit_count(node), 13);
    assert_int_equal(kit_files(node, "", "store.old"), 0);
    kit_stop(node);
    kit_free(node);
}

/* Dies right behind the restore, before the snapshot can be stored: the log
 * names the file. */
static void restore_and_no_more(struct node *node)
{
    if (restore(node, "backup") != 0) {
        _exit(1);
    }
}

/* The name begins with the index, in as many digits. */
static void newest_state(struct node *node, char ret[64])
{
    struct dirent **names = NULL;
    char path[128];

    path_in(node, "state", path);
    int n = scandir(path, &names, NULL, alphasort);
    assert_true(n >= 0);
    ret[0] = '\0';
    for (int i = 0; i < n; i++) {
        if (strncmp(names[i]->d_name, "state-", 6) == 0) {
            (void)snprintf(ret, 64, "%.63s", names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
}

/* The state file of the snapshot has its name before the staged one goes: a
 * start that finds both needs the first alone. */
static void prepare_needed(struct node *node)
{
    char before[64], after[64];

    for (int i = 0; i < 20; i++) {
        newest_state(node, before);
        and_die(node, restore_and_no_more);
        newest_state(node, after);
        if (strcmp(before, after) == 0 &&
            kit_files(node, "state", "staged-") == 1) {
            return;
        }
    }
    fail_msg("the snapshot was quicker twenty times");
}

static void a_start_without_the_file_is_refused(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    prepare_needed(node);
    kit_shell(node, "mv state/staged-* kept && ls kept > /dev/null");
    power_cut(node);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_open(node), ERR_INVALID);
    }
    kit_free(node);
}

/* What was acknowledged is not in what could be read. */
static void
a_start_without_room_for_it_serves_nothing_until_there_is(void **state)
{
    struct node *node = kit_new("n1", "restore");
    uint64_t of_backup = 0;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 30, PAD);
    of_backup = kit_count(node);
    struct kit_job job;
    export_to(node, "backup", &job);
    kit_add_rows(node, 30, 50, PAD);
    kit_stop(node);
    prepare_needed(node);
    power_cut(node);
    disk_says = 4096;
    assert_int_equal(kit_open(node), 0);
    struct core_status status = core_status(node->core);
    assert_true(status.stalled && !status.caught_up);
    assert_int_equal(kit_files(node, "store.new", "staged-"), 0);
    disk_says = 0;
    kit_run(node);
    assert_int_equal(sem_wait(&node->led), 0);
    status = core_status(node->core);
    assert_true(!status.stalled && status.caught_up);
    assert_true(status.revision >= STEP);
    assert_true(kit_count(node) == of_backup);
    kit_stop(node);
    kit_free(node);
}

static void a_start_with_the_file_damaged_is_refused(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    prepare_needed(node);
    kit_shell(node,
              "for f in state/staged-*; do cp $f whole; dd if=/dev/urandom "
              "of=$f bs=1 seek=9000 count=64 conv=notrunc 2>/dev/null; "
              "done");
    power_cut(node);
    assert_int_equal(kit_open(node), ERR_INVALID);
    /* Put back as it was, all is well. */
    kit_shell(node, "for f in state/staged-*; do mv whole $f; done");
    kit_start(node);
    assert_int_equal(kit_count(node), 10);
    kit_stop(node);
    kit_free(node);
}

/* A store that has it already needs no file, and gets a snapshot at once. */
static void a_trusted_store_does_without_the_file(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    and_die(node, back_up);
    prepare_needed(node);
    kit_shell(node, "rm state/staged-*");
    kit_start(node);
    assert_int_equal(kit_count(node), 10);
    wait_for_snapshot(node);
    kit_stop(node);
    kit_shell(node, "sed -i 's/^clean .*/clean 0/' store.state");
    power_cut(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 10);
    kit_stop(node);
    kit_free(node);
}

/* ---- death at any moment ---- */

/* Says 's' when the file is staged, or before, 'a' when its restore was
 * acknowledged. */
static void restore_and_wait(struct node *node, int pipe, bool early)
{
    struct kit_job job;

    kit_start(node);
    if ((early && write(pipe, "s", 1) != 1) ||
        stage(node, "backup", &job) != 0 ||
        (!early && write(pipe, "s", 1) != 1)) {
        _exit(1);
    }
    uint64_t revision = next_revision(revision_of(node));
    if (kit_restore(node, &job.job, revision) != 0 ||
        write(pipe, "a", 1) != 1) {
        _exit(1);
    }
    (void)pause();
}

/* Whether it was acknowledged before it was killed. */
static bool restore_and_kill(struct node *node, bool early, unsigned us)
{
    int ends[2], status = 0;
    char word = 0;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        restore_and_wait(node, ends[1], early);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &word, 1), 1);
    (void)usleep(us);
    assert_int_equal(kill(child, SIGKILL), 0);
    bool acknowledged = read(ends[0], &word, 1) == 1;
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return acknowledged;
}

/* There may be no store and no marker, when it died between the renames. */
static void cut_what_is_there(struct node *node)
{
    kit_shell(node, "if test -e store.state; then "
                    "sed -i 's/^boot .*/boot other/' store.state; fi; "
                    "if test -e store/data.mdb; then dd if=/dev/urandom "
                    "of=store/data.mdb bs=4096 count=16 conv=notrunc "
                    "2>/dev/null; fi");
}

/* Old or new, and new when it was said so. Every moment between the proposal
 * and the snapshot is tried, a little later each round. */
static void a_death_at_any_moment_leaves_the_old_or_the_new(void **state)
{
    enum { ROUNDS = 30, STEP_US = 20 };
    struct node *node = kit_new("n1", "restore");
    unsigned old = 0, new = 0, told = 0;
    uint64_t next = 1000;

    (void)state;
    and_die(node, back_up);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool acknowledged = restore_and_kill(node, i % 3 == 0, i * i * STEP_US);
        if (i % 2 == 1) {
            cut_what_is_there(node);
        }
        kit_start(node);
        uint64_t n = kit_count(node);
        bool is_new = n == 10;
        assert_true(is_new || (n == 20 && !acknowledged));
        told += acknowledged;
        old += !is_new;
        new += is_new;
        if (is_new) {
            kit_add_rows(node, next, next + 10, PAD);
            next += 10;
        }
        assert_int_equal(kit_count(node), 20);
        kit_stop(node);
    }
    print_message("# %u old, %u new, %u acknowledged\n", old, new, told);
    assert_true(old > 0);
    kit_free(node);
}

/* ---- beside writers ---- */

enum { WRITES_MOST = 4096 };

struct writing {
    struct node *node;
    uint64_t from;
    _Atomic bool *over;
    uint64_t acknowledged[WRITES_MOST]; /* revision, 0: not */
    _Atomic uint64_t n;
    _Atomic uint64_t n_good;
};

static void *write_on(void *user)
{
    struct writing *w = user;

    while (!atomic_load(w->over) && w->n < WRITES_MOST) {
        struct kit_call call;
        struct buf bytes = {0};
        kit_row(&bytes, w->from + w->n, 20);
        kit_send(w->node->core, &call, buf_str(&bytes));
        while (sem_wait(&call.done) != 0) {
        }
        bool good =
            call.request.outcome == 0 && call.request.result.answer == 0;
        w->acknowledged[w->n] = good ? call.request.result.revision : 0;
        w->n_good += good;
        w->n++;
        machine_result_done(&call.request.result);
        (void)sem_destroy(&call.done);
        buf_done(&bytes);
    }
    return NULL;
}

/* The last of them was begun after this was. */
static void wait_for_writes(struct writing *w)
{
    uint64_t n = w->n_good + 2;

    while (w->n_good < n && w->n < WRITES_MOST) {
        (void)usleep(1000);
    }
}

static bool is_there(const struct look *look, uint64_t row)
{
    char name[64];

    (void)snprintf(name, sizeof name, "\"row-%llu\"", (unsigned long long)row);
    return memmem(look->list.p, look->list.n, name, strlen(name)) != NULL;
}

/* An acknowledged write is before the restore, and gone with all that was, or
 * behind it, and there. Its revision says which. */
static void writers_are_before_it_or_behind_it(void **state)
{
    enum { WRITERS = 4 };
    struct node *node = kit_new("n1", "restore");
    static struct writing writings[WRITERS];
    pthread_t threads[WRITERS];
    _Atomic bool over = false;
    struct look after;
    struct kit_job job;
    unsigned gone = 0, there = 0;

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 10, PAD);
    export_to(node, "backup", &job);
    assert_int_equal(stage(node, "backup", &job), 0);
    for (uint64_t i = 0; i < WRITERS; i++) {
        writings[i] = (struct writing){
            .node = node, .from = (i + 1) * 100000, .over = &over};
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_on, &writings[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        wait_for_writes(&writings[i]);
    }
    assert_int_equal(kit_restore(node, &job.job, STEP), 0);
    wait_for_writes(&writings[0]);
    atomic_store(&over, true);
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    look(node, &after);
    for (int i = 0; i < WRITERS; i++) {
        for (uint64_t n = 0; n < writings[i].n; n++) {
            uint64_t revision = writings[i].acknowledged[n];
            if (revision != 0) {
                assert_int_equal(is_there(&after, writings[i].from + n),
                                 revision > STEP);
                gone += revision < STEP;
                there += revision > STEP;
            }
        }
    }
    assert_true(gone > 0 && there > 0);
    assert_int_equal(after.n, 10 + there);
    look_done(&after);
    kit_stop(node);
    kit_free(node);
}

static void what_was_resolved_before_is_sent_back(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct kit_job job;
    struct look before;
    struct kit_call call;
    struct buf bytes = {0};
    struct command c = {.kind = COMMAND_ROW_PUT};

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 3, PAD);
    look(node, &before);
    export_to(node, "backup", &job);
    assert_int_equal(restore(node, "backup"), 0);
    c.tree_rev = before.meta.tree_rev;
    c.types_rev = before.meta.types_rev;
    c.row_put.mode = ROW_ADD;
    c.row_put.ns = STORE_POOL;
    c.row_put.type = STR("service");
    c.row_put.key_field = STR("name");
    c.row_put.new_id = ulid_next();
    c.row_put.fields = STR("\"name\":\"late\"");
    c.row_put.secret = STR("");
    command_encode(&bytes, &c);
    kit_send(node->core, &call, buf_str(&bytes));
    assert_int_equal(kit_hear(&call), ERR_RETRY);
    buf_done(&bytes);
    look_done(&before);
    kit_stop(node);
    kit_free(node);
}

/* ---- recover ---- */

static int no_init(struct raft_uv_transport *transport, raft_id id,
                   const char *address)
{
    (void)transport, (void)id, (void)address;
    return 0;
}

static int no_listen(struct raft_uv_transport *transport,
                     raft_uv_accept_cb accept)
{
    (void)transport, (void)accept;
    return 0;
}

static int no_connect(struct raft_uv_transport *transport,
                      struct raft_uv_connect *request, raft_id id,
                      const char *address, raft_uv_connect_cb done)
{
    (void)transport, (void)request, (void)id, (void)address, (void)done;
    return RAFT_NOCONNECTION;
}

static void no_close(struct raft_uv_transport *transport,
                     raft_uv_transport_close_cb done)
{
    done(transport);
}

static void a_survivor_goes_on_alone_with_all_it_has(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct core_recovered recovered;
    struct look before, after;
    char why[CORE_RECOVER_WHY];

    (void)state;
    kit_start(node);
    kit_add_rows(node, 0, 10, PAD);
    look(node, &before);
    assert_int_equal(core_recover(node->dir, &recovered, why), ERR_INVALID);
    assert_non_null(strstr(why, "server runs"));
    kit_stop(node);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(core_recover(node->dir, &recovered, why), 0);
        assert_string_equal(recovered.node, "n1");
        assert_int_equal(recovered.n_before, 1);
    }
    kit_start(node);
    look(node, &after);
    assert_int_equal(after.n, 10);
    assert_true(str_equal(buf_str(&before.list), buf_str(&after.list)));
    assert_true(after.meta.revision == STEP && after.list_revision == STEP);
    assert_true(after.meta.history_n == 1);
    assert_memory_equal(after.meta.cluster, before.meta.cluster, 16);
    assert_int_equal(kit_files(node, "", "recover"), 0);
    kit_add_rows(node, 10, 15, PAD);
    look_done(&before);
    look_done(&after);
    kit_stop(node);
    /* Once is once. */
    kit_start(node);
    assert_true(revision_of(node) == STEP + 5);
    assert_int_equal(kit_count(node), 15);
    kit_stop(node);
    kit_free(node);
}

static raft_id raft_id_of(struct node *node)
{
    char path[128], text[256] = "";

    path_in(node, "node", path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    (void)close(fd);
    const char *at = strstr(text, "raft ");
    assert_non_null(at);
    return strtoull(at + 5, NULL, 10);
}

/* Makes it one of three, as libraft does on disk: the others are gone. */
static void lose_the_others(struct node *node)
{
    struct raft_uv_transport transport = {
        .version = 1,
        .init = no_init,
        .listen = no_listen,
        .connect = no_connect,
        .close = no_close,
    };
    struct raft_configuration three;
    struct raft_io io = {0};
    struct raft_fsm fsm = {.version = 1};
    struct raft raft;
    uv_loop_t loop;
    char path[128];
    raft_id id = raft_id_of(node);

    path_in(node, "raft", path);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(raft_uv_init(&io, &loop, path, &transport), 0);
    raft_uv_set_segment_size(&io, 12 << 20);
    assert_int_equal(raft_init(&raft, &io, &fsm, id, ""), 0);
    raft_configuration_init(&three);
    assert_int_equal(
        raft_configuration_add(&three, id, "127.0.0.1:7071", RAFT_VOTER), 0);
    assert_int_equal(
        raft_configuration_add(&three, 5, "127.0.0.1:7072", RAFT_VOTER), 0);
    assert_int_equal(
        raft_configuration_add(&three, 6, "127.0.0.1:7073", RAFT_VOTER), 0);
    assert_int_equal(raft_recover(&raft, &three), 0);
    raft_configuration_close(&three);
    raft_close(&raft, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    raft_uv_close(&io);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void one_of_three_that_is_left_is_made_the_only_one(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct core_recovered recovered;
    char why[CORE_RECOVER_WHY];

    (void)state;
    and_die(node, back_up);
    lose_the_others(node);
    /* It knows that it is one of three. */
    assert_int_equal(kit_open(node), 0);
    assert_false(core_status(node->core).leads);
    kit_stop(node);
    assert_int_equal(core_recover(node->dir, &recovered, why), 0);
    assert_int_equal(recovered.n_before, 3);
    kit_start(node);
    assert_int_equal(kit_count(node), 20);
    assert_true(revision_of(node) == STEP);
    kit_add_rows(node, 20, 25, PAD);
    kit_stop(node);
    /* From the log alone, too. */
    kit_shell(node, "sed -i 's/^clean .*/clean 0/' store.state");
    power_cut(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 25);
    assert_true(revision_of(node) == STEP + 5);
    kit_stop(node);
    kit_free(node);
}

/* Else it would move on for ever and never lead. */
static void a_mark_that_cannot_be_removed_counts_once(void **state)
{
    struct node *node = kit_new("n1", "restore");

    (void)state;
    kit_shell(node, "mkdir recover");
    kit_start(node);
    assert_true(revision_of(node) == STEP);
    kit_add_rows(node, 0, 1, PAD);
    assert_true(revision_of(node) == STEP + 1);
    kit_stop(node);
    kit_free(node);
}

static void what_is_no_node_is_not_recovered(void **state)
{
    struct node *node = kit_new("n1", "restore");
    struct core_recovered recovered;
    char why[CORE_RECOVER_WHY];

    (void)state;
    assert_int_equal(core_recover(node->dir, &recovered, why), ERR_INVALID);
    assert_non_null(strstr(why, "no node"));
    assert_int_equal(core_recover("/nonexistent", &recovered, why),
                     ERR_INVALID);
    assert_int_equal(kit_files(node, "", ""), 0);
    kit_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_file_and_revisions_move_on),
        cmocka_unit_test(after_a_restore_the_node_goes_on),
        cmocka_unit_test(a_file_of_a_greater_revision_decides_how_far_it_moves),
        cmocka_unit_test(many_restores_leave_nothing_behind),
        cmocka_unit_test(a_restore_that_does_not_move_on_is_sent_back),
        cmocka_unit_test(a_staged_file_that_is_given_up_is_gone),
        cmocka_unit_test(a_damaged_or_foreign_file_is_not_staged),
        cmocka_unit_test(without_room_nothing_is_begun),
        cmocka_unit_test(equal_states_have_equal_digests),
        cmocka_unit_test(more_than_sixteen_jobs_are_not_kept_waiting),
        cmocka_unit_test(a_stop_ends_jobs_that_wait),
        cmocka_unit_test(what_was_restored_is_there_after_a_kill),
        cmocka_unit_test(what_was_restored_is_there_after_a_power_cut),
        cmocka_unit_test(a_death_before_the_entry_leaves_the_state),
        cmocka_unit_test(a_death_between_the_renames_is_made_good),
        cmocka_unit_test(a_death_at_any_moment_leaves_the_old_or_the_new),
        cmocka_unit_test(a_start_without_the_file_is_refused),
        cmocka_unit_test(
            a_start_without_room_for_it_serves_nothing_until_there_is),
        cmocka_unit_test(a_start_with_the_file_damaged_is_refused),
        cmocka_unit_test(a_trusted_store_does_without_the_file),
        cmocka_unit_test(writers_are_before_it_or_behind_it),
        cmocka_unit_test(what_was_resolved_before_is_sent_back),
        cmocka_unit_test(a_survivor_goes_on_alone_with_all_it_has),
        cmocka_unit_test(one_of_three_that_is_left_is_made_the_only_one),
        cmocka_unit_test(a_mark_that_cannot_be_removed_counts_once),
        cmocka_unit_test(what_is_no_node_is_not_recovered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
