/* The core loop on a real directory: libraft's log, LMDB, snapshots. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "kit_node.h"
#include "model/row.h"
#include "raft/aio.h"

static struct store_meta meta_of(struct node *node)
{
    struct store_reader *reader;
    struct store_txn *txn;

    assert_int_equal(store_reader_new(core_store(node->core), &reader), 0);
    assert_int_equal(store_read_begin(reader, &txn), 0);
    struct store_meta meta = *store_meta(txn);
    store_read_end(txn);
    store_reader_free(reader);
    return meta;
}

/* A process that dies without a word: the child writes and is killed. */
static void write_and_die(struct node *node, uint64_t from, uint64_t to,
                          size_t size)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kit_start(node);
        for (uint64_t i = from; i < to; i++) {
            if (kit_add(node, i, size) != 0) {
                _exit(1);
            }
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void power_cut(struct node *node)
{
    /* Another boot, and LMDB's unsynced pages are anything. */
    kit_shell(node, "sed -i 's/^boot .*/boot other/' store.state && "
                    "dd if=/dev/urandom of=store/data.mdb bs=4096 count=64 "
                    "conv=notrunc 2>/dev/null");
}

static void what_was_acknowledged_is_there_after_a_clean_stop(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    kit_start(node);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(kit_add(node, i, 10), 0);
    }
    assert_int_equal(kit_add(node, 3, 10), ERR_CONFLICT);
    kit_stop(node);
    kit_shell(node, "grep -q 'clean 1' store.state");
    kit_start(node);
    assert_int_equal(kit_count(node), 20);
    kit_stop(node);
    kit_free(node);
}

static void what_was_acknowledged_is_there_after_a_kill(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    for (uint64_t round = 0; round < 3; round++) {
        write_and_die(node, round * 30, (round + 1) * 30, 100);
    }
    kit_start(node);
    assert_int_equal(kit_count(node), 90);
    assert_int_equal(kit_add(node, 89, 1), ERR_CONFLICT);
    kit_stop(node);
    kit_free(node);
}

/* [CORE-3] Without a snapshot everything comes from the log. */
static void after_a_power_cut_the_store_is_built_from_the_log(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    write_and_die(node, 0, 50, 100);
    power_cut(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 50);
    kit_stop(node);
    kit_free(node);
}

static void
after_a_power_cut_the_store_is_built_from_snapshot_and_log(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    node->config.snapshot_bytes = 256 << 10;
    write_and_die(node, 0, 400, 4000);
    assert_in_range(kit_files(node, "state", ""), 1, 4);
    power_cut(node);
    kit_start(node);
    assert_int_equal(kit_count(node), 400);
    kit_stop(node);
    kit_free(node);
}

/* Large rows are written faster than the state they add to: without a bound the
 * log, which libraft keeps in memory, grew with the state. */
static void
a_log_grows_by_no_more_than_twice_what_lies_between_snapshots(void **state)
{
    struct node *node = kit_new("n1", "core");
    uint64_t most = 0;

    (void)state;
    node->config.snapshot_bytes = 256 << 10;
    kit_start(node);
    for (uint64_t n = 0; n < 200; n++) {
        assert_int_equal(kit_add(node, n, 60000), 0);
        struct core_stats stats = core_stats(node->core);
        most = stats.log_bytes > most ? stats.log_bytes : most;
    }
    assert_in_range(most, 1, 2 * node->config.snapshot_bytes);
    assert_int_not_equal(core_stats(node->core).log_waits, 0);
    assert_int_equal(kit_count(node), 200);
    kit_stop(node);
    kit_free(node);
}

static void a_damaged_newest_state_file_is_not_believed(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    node->config.snapshot_bytes = 256 << 10;
    write_and_die(node, 0, 400, 4000);
    power_cut(node);
    kit_shell(node, "for f in state/state-*; do dd if=/dev/urandom of=$f bs=1 "
                    "seek=9000 count=64 conv=notrunc 2>/dev/null; done");
    assert_int_equal(kit_open(node), ERR_INVALID);
    kit_free(node);
}

/* New entries would take the numbers of the lost ones and be skipped. */
static void a_log_that_lost_its_end_is_refused(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    write_and_die(node, 0, 20, 100);
    kit_shell(node, "for f in raft/open-*; do dd if=/dev/zero of=$f bs=4096 "
                    "seek=1 count=200 conv=notrunc 2>/dev/null; done");
    assert_int_equal(kit_open(node), ERR_INVALID);
    kit_free(node);
}

/* libraft begins a start with an entry of its own. Were it let in before the
 * log is looked at, a log that lost its end would grow back to its length,
 * start by start, and be taken for whole. */
static void a_log_that_lost_its_end_is_refused_at_every_start(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    write_and_die(node, 0, 6, 100);
    kit_shell(node, "for f in raft/open-*; do dd if=/dev/zero of=$f bs=4096 "
                    "seek=0 count=200 conv=notrunc 2>/dev/null; done");
    for (int i = 0; i < 12; i++) {
        assert_int_equal(kit_open(node), ERR_INVALID);
    }
    kit_free(node);
}

/* ---- many namespaces ---- */

enum { SPREAD = 5000, OPS = 500 };

static void send(struct node *node, struct kit_call *call, struct buf *bytes,
                 const struct command *c)
{
    command_encode(bytes, c);
    kit_send(node->core, call, buf_str(bytes));
}

static bool hear(struct kit_call *call, struct buf *bytes)
{
    int r = kit_hear(call);
    buf_done(bytes);
    return r == 0;
}

static bool make_namespaces(struct node *node)
{
    struct kit_call *calls = mem_zero(SPREAD * sizeof *calls);
    struct buf *bytes = mem_zero(SPREAD * sizeof *bytes);
    bool good = true;

    for (unsigned i = 0; i < SPREAD; i++) {
        struct command c = {.kind = COMMAND_NS_CREATE};
        char name[16];
        (void)snprintf(name, sizeof name, "l%u", i);
        c.ns_create.parent = STORE_ROOT;
        c.ns_create.kind = STORE_LEAF;
        c.ns_create.name = str_of(name);
        send(node, &calls[i], &bytes[i], &c);
    }
    for (unsigned i = 0; i < SPREAD; i++) {
        good = hear(&calls[i], &bytes[i]) && good;
    }
    mem_free(calls);
    mem_free(bytes);
    return good;
}

static bool fill_namespaces(struct node *node)
{
    struct command_txn_op *ops = mem_zero(OPS * sizeof *ops);
    bool good = true;

    for (unsigned from = 0; from < SPREAD; from += OPS) {
        struct command c = {.kind = COMMAND_TXN};
        struct kit_call call;
        struct buf bytes = {0};
        for (unsigned i = 0; i < OPS; i++) {
            ops[i] = (struct command_txn_op){.op = ROW_ADD,
                                             .ns = STORE_POOL + 1 + from + i,
                                             .type = STR("service"),
                                             .key_field = STR("name"),
                                             .new_id = ulid_next(),
                                             .fields = STR("\"name\":\"a\""),
                                             .secret = STR("")};
        }
        c.txn.ops = ops;
        c.txn.n_ops = OPS;
        send(node, &call, &bytes, &c);
        good = hear(&call, &bytes) && good;
    }
    mem_free(ops);
    return good;
}

/* At start many entries share a transaction, and the store has handles for a
 * few thousand namespaces in one: this log could not be applied at any start.
 */
static void a_log_over_many_namespaces_is_applied_at_start(void **state)
{
    struct node *node = kit_new("n1", "core");
    int status = 0;

    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kit_start(node);
        _exit(make_namespaces(node) && fill_namespaces(node) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    power_cut(node);
    kit_start(node);
    assert_int_equal(meta_of(node).n_rows, SPREAD);
    kit_stop(node);
    kit_free(node);
}

/* libraft 0.22.1 tries a failed write of the log again through a pointer to
 * something else. The process stops before that, and says why. */
static bool add_large(struct node *node)
{
    struct command_row_item rows[40];
    struct command c = {.kind = COMMAND_ROWS_ADD};
    struct kit_call call;
    struct buf bytes = {0}, fields = {0};

    buf_add_text(&fields, "\"pad\":\"");
    for (size_t i = 0; i < 235520; i++) {
        buf_add_char(&fields, 'x');
    }
    buf_add_char(&fields, '"');
    for (size_t i = 0; i < 40; i++) {
        rows[i] = (struct command_row_item){
            .id = ulid_next(), .fields = buf_str(&fields), .secret = STR("")};
    }
    c.rows_add.ns = STORE_POOL;
    c.rows_add.type = STR("service");
    c.rows_add.key_field = STR("");
    c.rows_add.rows = rows;
    c.rows_add.n_rows = 40;
    send(node, &call, &bytes, &c);
    bool good = hear(&call, &bytes);
    buf_done(&fields);
    return good;
}

static void a_write_of_the_log_that_fails_stops_the_process(void **state)
{
    struct node *node = kit_new("n1", "core");
    int status = 0;

    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {8U << 20, 8U << 20};
        kit_start(node);
        (void)signal(SIGXFSZ, SIG_IGN);
        if (kit_add(node, 1, 10) != 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0) {
            _exit(1);
        }
        _exit(add_large(node) ? 2 : 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    kit_start(node);
    assert_int_equal(kit_count(node), 1);
    kit_stop(node);
    kit_free(node);
}

/* Whoever stops under load is not kept waiting by it. */
static void *add_until_refused(void *user)
{
    struct node *node = user;
    static _Atomic uint64_t next;
    while (kit_add(node, next++, 10) == 0) {
    }
    return NULL;
}

static void a_stop_ends_also_under_load(void **state)
{
    struct node *node = kit_new("n1", "core");
    pthread_t writers[16];

    (void)state;
    kit_start(node);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(
            pthread_create(&writers[i], NULL, add_until_refused, node), 0);
    }
    (void)usleep(50000);
    kit_halt(node);
    for (int i = 0; i < 16; i++) {
        (void)pthread_join(writers[i], NULL);
    }
    kit_stop(node);
    kit_shell(node, "grep -q 'clean 1' store.state");
    kit_free(node);
}

/* ---- who waits for the pack that is out ---- */

enum { WRITERS = 16, EACH = 200 };

struct writer {
    struct node *node;
    uint64_t from;
    pthread_t thread;
};

/* Fences go between: one that comes upon commands that woke nobody is answered
 * all the same. */
static void *write_and_read(void *user)
{
    struct writer *writer = user;
    struct kit_call fence;

    for (uint64_t i = 0; i < EACH; i++) {
        assert_int_equal(kit_add(writer->node, writer->from + i, 10), 0);
        if (i % 50 == 0) {
            kit_send(writer->node->core, &fence, STR_NONE);
            assert_int_equal(kit_hear(&fence), 0);
        }
    }
    return NULL;
}

static uint64_t turns(const struct core_stats *stats)
{
    uint64_t sum = 0;

    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        sum += stats->turns.buckets[i];
    }
    return sum;
}

/* A turn that begins a pack, one that ends it and begins the next; and those of
 * the clock and of the log's files. */
static void commands_behind_a_pack_do_not_wake_the_loop(void **state)
{
    struct node *node = kit_new("n1", "core");
    struct writer writers[WRITERS];

    (void)state;
    kit_start(node);
    uint64_t began_ms = clock_mono_ms();
    struct core_stats before = core_stats(node->core);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.node = node, .from = i * EACH};
        assert_int_equal(pthread_create(&writers[i].thread, NULL,
                                        write_and_read, &writers[i]),
                         0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        (void)pthread_join(writers[i].thread, NULL);
    }
    struct core_stats after = core_stats(node->core);
    uint64_t ticks = (clock_mono_ms() - began_ms) / CORE_TICK_MS;
    assert_in_range(turns(&after) - turns(&before), 1,
                    (after.packs - before.packs) * 5 / 2 + 2 * ticks + 50);
    assert_int_equal(kit_count(node), WRITERS * EACH);
    kit_stop(node);
    kit_free(node);
}

/* ---- a request that is made when it is ordered ---- */

struct late {
    struct kit_call call;
    struct core *core;
    uint64_t revision; /* at its preparation */
    struct str command;
    bool goes;
};

static bool prepare(struct core_request *request)
{
    struct late *late = CONTAINER(request, struct late, call.request);

    late->revision = core_status(late->core).revision;
    request->command = late->command;
    return late->goes;
}

static void late_done(struct core_request *request)
{
    (void)sem_post(&CONTAINER(request, struct kit_call, request)->done);
}

/* Between others, as many as make several packs. */
static void a_request_is_prepared_when_all_before_it_is_applied(void **state)
{
    enum { BEFORE = 20, ROUNDS = 20 };
    struct node *node = kit_new("n1", "core");
    struct kit_call calls[BEFORE + 1];
    struct buf bytes[BEFORE + 2] = {0};
    uint64_t row = 0;

    (void)state;
    kit_start(node);
    assert_int_equal(kit_add(node, row++, 10), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t revision = core_status(node->core).revision;
        struct late late = {.core = node->core, .goes = round % 2 == 0};
        for (int i = 0; i < BEFORE + 2; i++) {
            buf_clear(&bytes[i]);
            kit_row(&bytes[i], row++, 10);
        }
        late.command = buf_str(&bytes[BEFORE + 1]);
        late.call.request = (struct core_request){.command = late.command,
                                                  .local = true,
                                                  .prepare = prepare,
                                                  .done = late_done};
        assert_int_equal(sem_init(&late.call.done, 0, 0), 0);
        for (int i = 0; i < BEFORE; i++) {
            kit_send(node->core, &calls[i], buf_str(&bytes[i]));
        }
        core_submit(node->core, &late.call.request);
        kit_send(node->core, &calls[BEFORE], buf_str(&bytes[BEFORE]));
        for (int i = 0; i <= BEFORE; i++) {
            assert_int_equal(kit_hear(&calls[i]), 0);
        }
        assert_int_equal(kit_hear(&late.call), late.goes ? 0 : ERR_NOT_READY);
        assert_int_equal(late.revision, revision + BEFORE);
    }
    assert_int_equal(kit_count(node), 1 + ROUNDS * (BEFORE + 1) + ROUNDS / 2);
    kit_stop(node);
    for (int i = 0; i < BEFORE + 2; i++) {
        buf_done(&bytes[i]);
    }
    kit_free(node);
}

/* ---- packs ---- */

enum { MANY = 4000 };

struct crowd {
    struct core_call call;
    struct core *core;
    struct kit_call calls[MANY];
    struct buf bytes[MANY];
    sem_t sent;
};

/* On the loop: all of them wait when the next pack is made. */
static void send_all(struct core_call *call)
{
    struct crowd *crowd = CONTAINER(call, struct crowd, call);

    for (int i = 0; i < MANY; i++) {
        kit_send(crowd->core, &crowd->calls[i], buf_str(&crowd->bytes[i]));
    }
    (void)sem_post(&crowd->sent);
}

/* A small row takes as long as a large one. */
static void many_small_commands_are_not_applied_in_one_step(void **state)
{
    struct node *node = kit_new("n1", "core");
    struct crowd *crowd = mem_zero(sizeof *crowd);

    (void)state;
    kit_start(node);
    crowd->core = node->core;
    crowd->call.func = send_all;
    assert_int_equal(sem_init(&crowd->sent, 0, 0), 0);
    for (int i = 0; i < MANY; i++) {
        kit_row(&crowd->bytes[i], (uint64_t)i, 1);
    }
    struct core_stats before = core_stats(node->core);
    core_call(node->core, &crowd->call);
    assert_int_equal(sem_wait(&crowd->sent), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(kit_hear(&crowd->calls[i]), 0);
        buf_done(&crowd->bytes[i]);
    }
    struct core_stats after = core_stats(node->core);
    uint64_t packs = after.packs - before.packs;
    assert_true(packs >= MANY * 512 / COMMAND_PACK_WEIGHT);
    assert_true(packs <= MANY / 100); /* They share flushes all the same. */
    (void)sem_destroy(&crowd->sent);
    mem_free(crowd);
    kit_stop(node);
    kit_free(node);
}

/* ---- what a leader does in steps ---- */

static void kit_make_ns(struct buf *bytes, uint64_t parent, int i)
{
    struct command c = {.kind = COMMAND_NS_CREATE};
    char name[16];

    (void)snprintf(name, sizeof name, "n%d", i);
    c.ns_create.parent = parent;
    c.ns_create.kind = i < 0 ? STORE_BRANCH : STORE_LEAF;
    c.ns_create.name = i < 0 ? STR("top") : str_of(name);
    c.ns_create.match = c.ns_create.comment = STR("");
    command_encode(bytes, &c);
}

static uint64_t make_top(struct node *node)
{
    struct kit_call call;
    struct buf bytes = {0};

    kit_make_ns(&bytes, STORE_ROOT, -1);
    kit_send(node->core, &call, buf_str(&bytes));
    while (sem_wait(&call.done) != 0) {
    }
    uint64_t ns = call.request.result.ns;
    assert_int_equal(call.request.result.answer, 0);
    machine_result_done(&call.request.result);
    (void)sem_destroy(&call.done);
    buf_done(&bytes);
    return ns;
}

static bool has_trash(struct node *node)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;
    uint64_t id = 0;

    assert_int_equal(store_reader_new(core_store(node->core), &reader), 0);
    assert_int_equal(store_read_begin(reader, &txn), 0);
    int r = store_trash_first(txn, &id);
    store_read_end(txn);
    (void)store_reader_free(reader);
    return r == 0;
}

/* In steps of 500; nothing else wakes the loop but its tick. */
static void a_step_of_reclaiming_does_not_wait_for_the_tick(void **state)
{
    struct node *node = kit_new("n1", "core");
    struct crowd *crowd = mem_zero(sizeof *crowd);
    struct command c = {.kind = COMMAND_NS_DELETE};
    struct kit_call call;
    struct buf bytes = {0};

    (void)state;
    kit_start(node);
    crowd->core = node->core;
    crowd->call.func = send_all;
    assert_int_equal(sem_init(&crowd->sent, 0, 0), 0);
    uint64_t top = make_top(node);
    for (int i = 0; i < MANY; i++) {
        kit_make_ns(&crowd->bytes[i], top, i);
    }
    core_call(node->core, &crowd->call);
    assert_int_equal(sem_wait(&crowd->sent), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(kit_hear(&crowd->calls[i]), 0);
        buf_done(&crowd->bytes[i]);
    }
    c.ns_delete.id = top;
    c.ns_delete.recursive = 1;
    c.ns_delete.cond_revs = STR("");
    command_encode(&bytes, &c);
    node->ticks = 0;
    kit_send(node->core, &call, buf_str(&bytes));
    assert_int_equal(kit_hear(&call), 0);
    while (has_trash(node)) {
        (void)usleep(1000);
    }
    assert_true(node->ticks < MANY / 500);
    buf_done(&bytes);
    (void)sem_destroy(&crowd->sent);
    mem_free(crowd);
    kit_stop(node);
    kit_free(node);
}

static void a_second_process_is_refused(void **state)
{
    struct node *node = kit_new("n1", "core");
    struct node other;

    (void)state;
    kit_start(node);
    other = *node;
    assert_int_equal(kit_open(&other), ERR_INVALID);
    kit_stop(node);
    kit_free(node);
}

/* Freeing them takes as long as freeing long ones. */
static void short_entries_count_for_more_than_their_bytes(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    node->config.snapshot_bytes = 100 << 10;
    kit_start(node);
    for (uint64_t n = 0; n < 250; n++) {
        assert_int_equal(kit_add(node, n, 0), 0);
    }
    struct core_stats stats = core_stats(node->core);
    assert_true(stats.pack_bytes < node->config.snapshot_bytes);
    for (unsigned i = 0; i < 1000 && stats.snapshots == 0; i++) {
        (void)usleep(10000);
        stats = core_stats(node->core);
    }
    assert_int_equal(stats.snapshots, 1);
    kit_stop(node);
    kit_free(node);
}

/* [AIO-1] Segments of the log are closed, and snapshots made, and nobody waited
 * for the kernel to forget what they were written with. */
static void full_segments_of_the_log_keep_nobody_waiting(void **state)
{
    enum { ROW = 200 << 10, ROWS = 130 };
    struct node *node = kit_new("n1", "core");
    uint64_t before = aio_counts().destroyed;

    (void)state;
    node->config.snapshot_bytes = 10 << 20;
    kit_start(node);
    for (uint64_t i = 0; i < ROWS; i++) {
        assert_int_equal(kit_add(node, i, ROW), 0);
    }
    struct core_stats stats = core_stats(node->core);
    assert_true(stats.snapshots > 0);
    assert_int_equal(stats.aio_waits, before);
    assert_true(aio_counts().reused > 0);
    kit_stop(node);
    kit_start(node); /* What was written with them is whole. */
    assert_int_equal(kit_count(node), ROWS);
    kit_stop(node);
    kit_free(node);
}

static void below_the_reserve_growth_is_refused(void **state)
{
    struct node *node = kit_new("n1", "core");

    (void)state;
    node->config.disk_reserve_bytes = UINT64_MAX / 2;
    kit_start(node);
    int r = 0;
    for (uint64_t i = 0; i < 400 && r == 0; i++) {
        r = kit_add(node, i, 10);
        (void)usleep(5000);
    }
    assert_int_equal(r, ERR_FULL);
    kit_stop(node);
    kit_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_after_a_clean_stop),
        cmocka_unit_test(what_was_acknowledged_is_there_after_a_kill),
        cmocka_unit_test(after_a_power_cut_the_store_is_built_from_the_log),
        cmocka_unit_test(
            after_a_power_cut_the_store_is_built_from_snapshot_and_log),
        cmocka_unit_test(
            a_log_grows_by_no_more_than_twice_what_lies_between_snapshots),
        cmocka_unit_test(a_damaged_newest_state_file_is_not_believed),
        cmocka_unit_test(a_log_that_lost_its_end_is_refused),
        cmocka_unit_test(a_log_that_lost_its_end_is_refused_at_every_start),
        cmocka_unit_test(a_log_over_many_namespaces_is_applied_at_start),
        cmocka_unit_test(a_write_of_the_log_that_fails_stops_the_process),
        cmocka_unit_test(a_stop_ends_also_under_load),
        cmocka_unit_test(commands_behind_a_pack_do_not_wake_the_loop),
        cmocka_unit_test(a_request_is_prepared_when_all_before_it_is_applied),
        cmocka_unit_test(many_small_commands_are_not_applied_in_one_step),
        cmocka_unit_test(a_step_of_reclaiming_does_not_wait_for_the_tick),
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(full_segments_of_the_log_keep_nobody_waiting),
        cmocka_unit_test(short_entries_count_for_more_than_their_bytes),
        cmocka_unit_test(below_the_reserve_growth_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
