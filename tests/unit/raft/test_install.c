/* A state on its way from one node to another, several cores in one process:
 * the file of a restore that is missing, and an installed state wherever the
 * process died. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "kit_node.h"
#include "peer/peer.h"
#include "raft/install.h"

enum { NODES = 3, PAD = 20 };

/* ---- jobs ---- */

static struct core_state_job do_job(struct node *node,
                                    enum core_state_kind kind, const char *path)
{
    struct kit_job job;

    assert_int_equal(kit_job(node, &job, kind, path), 0);
    return job.job;
}

static struct core_state_job stage(struct node *node)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/spool/up", node->dir);
    (void)do_job(node, CORE_STATE_EXPORT, path);
    return do_job(node, CORE_STATE_STAGE, path);
}

static void snapshot(struct node *node)
{
    (void)do_job(node, CORE_STATE_SNAPSHOT, NULL);
}

static void send_restore(struct node *node, const struct core_state_job *job,
                         struct kit_call *call, struct buf *bytes)
{
    kit_encode_restore(bytes, job, COMMAND_RESTORE_STEP);
    kit_send(node->core, call, buf_str(bytes));
}

static int restore(struct node *node, const struct core_state_job *job)
{
    return kit_restore(node, job, COMMAND_RESTORE_STEP);
}

/* ---- a net of socket pairs ---- */

static struct node *net[NODES];
static _Atomic unsigned dialled;
/* Connections end after so many bytes of the file; 0: never. */
static _Atomic uint64_t cut_after;
/* Who cannot be reached. */
static _Atomic uint64_t refused;

struct pump {
    int from, to;
};

/* Stands between the two and cuts. */
static void *pump(void *user)
{
    struct pump *pump = user;
    uint64_t left = cut_after;
    char bytes[512];
    ssize_t n = 0;

    while (left > 0 && (n = read(pump->from, bytes, sizeof bytes)) > 0) {
        size_t give = (uint64_t)n < left ? (size_t)n : (size_t)left;
        if (write(pump->to, bytes, give) < 0) {
            break;
        }
        left -= give;
    }
    (void)shutdown(pump->from, SHUT_RDWR);
    (void)shutdown(pump->to, SHUT_RDWR);
    (void)close(pump->from);
    (void)close(pump->to);
    mem_free(pump);
    return NULL;
}

static void start_pump(int from, int to)
{
    struct pump *pumped = mem_zero(sizeof *pumped);
    pthread_t thread;

    *pumped = (struct pump){from, to};
    assert_int_equal(pthread_create(&thread, NULL, pump, pumped), 0);
    (void)pthread_detach(thread);
}

static int cut_in_between(int server)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    start_pump(dup(server), dup(fds[0])); /* Counts what the file is. */
    start_pump(fds[0], server);
    return fds[1];
}

static int dial(struct core *core, uint64_t raft_id, int *ret_fd,
                char why[CORE_WHY])
{
    struct peer_id from = {.raft_id = core->raft_id};
    int fds[2];

    (void)atomic_fetch_add(&dialled, 1);
    for (size_t i = 0; i < NODES; i++) {
        if (net[i] != NULL && net[i]->core->raft_id == raft_id &&
            raft_id != refused) {
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
            serve_accepted(net[i]->core, &from, fds[0]);
            *ret_fd = cut_after == 0 ? fds[1] : cut_in_between(fds[1]);
            return peer_block(*ret_fd);
        }
    }
    (void)snprintf(why, CORE_WHY, "nobody listens there");
    return raft_id == refused ? ERR_NOT_READY : ERR_NOT_FOUND;
}

static size_t others(const struct core *core, uint64_t ret[CORE_MEMBERS_MOST])
{
    size_t n = 0;

    for (size_t i = 0; i < NODES; i++) {
        if (net[i] != NULL && net[i]->core != core) {
            ret[n++] = net[i]->core->raft_id;
        }
    }
    return n;
}

static void join(size_t at, struct node *node)
{
    net[at] = node;
    node->core->installs->dial = dial;
    node->core->installs->others = others;
}

static void leave_all(void)
{
    memset(net, 0, sizeof net);
    cut_after = 0;
    dialled = 0;
    refused = 0;
}

/* ---- a RESTORE whose file is on another node ---- */

static void a_restore_gets_its_file_from_where_it_was_staged(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 12, PAD);
    kit_add_rows(b, 100, 103, PAD);
    struct core_state_job job = stage(a);
    join(0, a);
    join(1, b);
    assert_int_equal(restore(b, &job), 0);
    assert_int_equal(kit_count(b), 12);
    assert_true(core_status(b->core).revision == COMMAND_RESTORE_STEP);
    assert_int_equal(atomic_load(&b->restored), 1);
    assert_false(core_status(b->core).stalled);
    assert_int_equal(dialled, 1);
    struct core_stats stats = core_stats(b->core);
    assert_true(stats.fetches == 1 && stats.fetches_failed == 0);
    assert_true(stats.received_bytes == state_file_bytes(&job.info));
    assert_true(core_stats(a->core).sent_bytes == stats.received_bytes);
    kit_add_rows(b, 12, 20, PAD);
    snapshot(b);
    kit_stop(b);
    kit_start(b);
    assert_int_equal(kit_count(b), 20);
    assert_int_equal(kit_files(b, "state", "staged-"), 0);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

static void a_connection_that_breaks_is_made_again_and_goes_on(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 200, PAD);
    struct core_state_job job = stage(a);
    uint64_t bytes = state_file_bytes(&job.info);
    join(0, a);
    join(1, b);
    cut_after = bytes / 3;
    assert_int_equal(restore(b, &job), 0);
    assert_int_equal(kit_count(b), 200);
    assert_true(dialled >= 3);
    /* What had come was not fetched again, but for the first time, when the
     * content was not known. */
    assert_true(core_stats(b->core).received_bytes < 2 * bytes);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

static void while_its_file_is_missing_reads_go_on(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");
    struct kit_call call;
    struct buf bytes = {0};

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 7, PAD);
    kit_add_rows(b, 100, 103, PAD);
    struct core_state_job job = stage(a);
    join(1, b);
    net[0] = a;
    cut_after = 1; /* Nobody gets anything from it. */
    send_restore(b, &job, &call, &bytes);
    while (!core_status(b->core).stalled) {
        (void)usleep(1000);
    }
    assert_int_equal(kit_count(b), 3);
    cut_after = 0;
    assert_int_equal(kit_hear(&call), 0);
    assert_int_equal(kit_count(b), 7);
    buf_done(&bytes);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

/* It goes when a snapshot behind the entry is stored: that one will do. */
static void when_nobody_has_the_file_a_later_state_does(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 30, PAD);
    struct core_state_job job = stage(a);
    assert_int_equal(restore(a, &job), 0);
    kit_add_rows(a, 30, 35, PAD);
    snapshot(a);
    while (kit_files(a, "state", "staged-") > 0) {
        (void)usleep(1000);
    }
    join(0, a);
    join(1, b);
    /* b is taken for one that follows a, and comes to that entry. */
    assert_int_equal(restore(b, &job), 0);
    assert_int_equal(kit_count(b), 35);
    assert_true(core_status(b->core).revision == core_status(a->core).revision);
    assert_int_equal(atomic_load(&b->restored), 1);
    assert_int_equal(kit_files(b, "store.new", ""), 0);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

/* Where it was staged is away, and a third one has gone on. */
static void when_who_has_the_file_is_away_a_later_state_does(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install"),
                *away = kit_new("c", "install");

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_start(away);
    kit_add_rows(away, 0, 5, PAD);
    struct core_state_job job = stage(away);
    kit_add_rows(a, 0, 30, PAD);
    snapshot(a);
    join(0, a);
    join(1, b);
    join(2, away);
    refused = away->core->raft_id;
    assert_int_equal(restore(b, &job), 0);
    assert_int_equal(kit_count(b), 30);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_stop(away);
    kit_free(a);
    kit_free(b);
    kit_free(away);
}

static void a_stop_does_not_wait_for_a_file(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");
    struct kit_call call;
    struct buf bytes = {0};

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 7, PAD);
    struct core_state_job job = stage(a);
    join(1, b);
    net[0] = a;
    cut_after = 1;
    send_restore(b, &job, &call, &bytes);
    while (!core_status(b->core).stalled) {
        (void)usleep(1000);
    }
    kit_stop(b);
    assert_int_equal(kit_hear(&call), ERR_UNKNOWN);
    buf_done(&bytes);
    /* The log has it. Alone it cannot begin; with the file it can. */
    leave_all();
    assert_int_equal(kit_open(b), ERR_INVALID);
    char command[256];
    (void)snprintf(command, sizeof command, "cp '%s'/state/%s state/", a->dir,
                   job.info.file);
    kit_shell(b, command);
    kit_start(b);
    assert_int_equal(kit_count(b), 7);
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

/* ---- who proposes ---- */

struct proposal {
    struct core_call call;
    struct core *core;
    const struct core_state_job *job;
    bool has;
    int r;
    sem_t done;
};

static void propose_call(struct core_call *call)
{
    struct proposal *p = CONTAINER(call, struct proposal, call);
    struct command_restore restore = {.file = str_of(p->job->info.file),
                                      .size = p->job->info.size};

    memcpy((void *)restore.digest, p->job->info.state, sizeof restore.digest);
    p->has = fetch_has(p->core, &restore);
    p->r = p->has ? 0 : fetch_begin(p->core, &restore);
    (void)sem_post(&p->done);
}

static struct proposal propose(struct node *node,
                               const struct core_state_job *job)
{
    struct proposal p = {
        .call = {.func = propose_call}, .core = node->core, .job = job};

    (void)sem_init(&p.done, 0, 0);
    core_call(node->core, &p.call);
    while (sem_wait(&p.done) != 0) {
    }
    (void)sem_destroy(&p.done);
    return p;
}

static void who_proposes_gets_the_file_before(void **state)
{
    struct node *a = kit_new("a", "install"), *b = kit_new("b", "install");
    struct proposal p;

    (void)state;
    kit_start(a);
    kit_start(b);
    kit_add_rows(a, 0, 9, PAD);
    struct core_state_job job = stage(a);
    join(0, a);
    join(1, b);
    assert_true(propose(a, &job).has);
    p = propose(b, &job);
    assert_true(!p.has && p.r == ERR_NOT_READY);
    while (!(p = propose(b, &job)).has) {
        assert_true(p.r == ERR_NOT_READY || p.r == 0);
        (void)usleep(1000);
    }
    assert_int_equal(kit_count(b), 0);
    assert_int_equal(restore(b, &job), 0);
    assert_int_equal(core_stats(b->core).fetches, 1);
    assert_int_equal(kit_count(b), 9);
    /* What nobody has cannot be proposed. */
    job.info.file[12] = job.info.file[12] == '0' ? '1' : '0';
    while ((p = propose(b, &job)).r == ERR_NOT_READY) {
        (void)usleep(1000);
    }
    assert_true(!p.has && p.r == ERR_NOT_FOUND);
    leave_all();
    kit_stop(b);
    kit_stop(a);
    kit_free(a);
    kit_free(b);
}

/* ---- an installed state, at a start ---- */

/* What is done to b's directory when libraft has stored the descriptor of a's
 * snapshot there, and the process dies before anything else. */
static void put_descriptor(struct node *a, struct node *b, const char *also)
{
    char command[512];

    (void)snprintf(command, sizeof command,
                   "cp '%s'/raft/snapshot-* raft/ && cp '%s'/state/state-* "
                   "state/ && %s",
                   a->dir, a->dir, also);
    kit_shell(b, command);
}

/* 40 rows at a, in a snapshot; 3 others at b; both stopped. */
static void make_two(struct node **ret_a, struct node **ret_b)
{
    struct node *a = *ret_a = kit_new("a", "install"),
                *b = *ret_b = kit_new("b", "install");

    kit_start(a);
    kit_add_rows(a, 0, 40, PAD);
    snapshot(a);
    kit_stop(a);
    kit_start(b);
    kit_add_rows(b, 100, 103, PAD);
    kit_stop(b);
}

static void a_death_before_the_store_is_swapped_is_made_good(void **state)
{
    struct node *a, *b;

    (void)state;
    make_two(&a, &b);
    put_descriptor(a, b, "rm -f raft/open-* raft/0*-0*");
    assert_int_equal(kit_open(b), 0);
    assert_int_equal(kit_count(b), 40);
    kit_run(b);
    kit_stop(b);
    assert_int_equal(kit_files(b, "store.new", ""), 0);
    assert_int_equal(kit_files(b, "", "store.old"), 0);
    /* And again, from a store that cannot be trusted. */
    kit_shell(b, "sed -i 's/^boot .*/boot other/; s/^clean .*/clean 0/' "
                 "store.state");
    assert_int_equal(kit_open(b), 0);
    assert_int_equal(kit_count(b), 40);
    kit_stop(b);
    kit_free(a);
    kit_free(b);
}

/* With what libraft keeps ready and was about to remove it would not start. */
static void a_death_while_libraft_empties_its_log_is_made_good(void **state)
{
    struct node *a, *b;
    char command[256];

    (void)state;
    make_two(&a, &b);
    put_descriptor(a, b,
                   "truncate -s 8388608 raft/open-91 && ls raft/0*-0* "
                   ">/dev/null");
    assert_int_equal(kit_open(b), ERR_INVALID);
    (void)snprintf(
        command, sizeof command,
        "cd raft && ls snapshot-*.meta | sed 's/[0-9]*.meta$//' | tr -d '\\n' "
        "> ../installing && truncate -s 8388608 open-91");
    kit_shell(b, command);
    assert_int_equal(kit_open(b), 0);
    assert_int_equal(kit_count(b), 40);
    kit_stop(b);
    assert_int_equal(kit_files(b, "", "installing"), 0);
    assert_int_equal(kit_open(b), 0);
    assert_int_equal(kit_count(b), 40);
    kit_stop(b);
    kit_free(a);
    kit_free(b);
}

static void a_death_before_the_descriptor_leaves_the_old_state(void **state)
{
    struct node *a, *b;

    (void)state;
    make_two(&a, &b);
    kit_shell(b, "printf 'snapshot-9-999-' > installing");
    kit_start(b);
    assert_int_equal(kit_count(b), 3);
    kit_add_rows(b, 103, 105, PAD);
    kit_stop(b);
    assert_int_equal(kit_files(b, "", "installing"), 0);
    kit_free(a);
    kit_free(b);
}

static void a_start_without_the_installed_file_is_refused(void **state)
{
    struct node *a, *b;

    (void)state;
    make_two(&a, &b);
    put_descriptor(a, b, "rm -f raft/open-* raft/0*-0*");
    kit_shell(b, "for f in state/state-*; do truncate -s -1 $f; done");
    assert_int_equal(kit_open(b), ERR_INVALID);
    kit_free(a);
    kit_free(b);
}

/* ---- deaths at each rename ---- */

static _Atomic int renames_left = -1; /* until the process dies */

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "rename");
    }
    if (renames_left == 0) {
        _exit(7);
    }
    if (renames_left > 0) {
        renames_left--;
    }
    return real(from, to);
}

static void a_death_at_any_rename_leaves_one_state_or_the_other(void **state)
{
    struct node *a, *b;
    int deaths = 0;
    int status = 0;

    (void)state;
    make_two(&a, &b);
    put_descriptor(a, b,
                   "rm -f raft/open-* raft/0*-0* && cp -r . ../$$ && "
                   "mv ../$$ whole");
    do {
        kit_shell(b, "rm -rf store raft state store.* && cp -r whole/* .");
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            renames_left = deaths;
            _exit(kit_open(b) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
        assert_int_equal(kit_open(b), 0);
        assert_int_equal(kit_count(b), 40);
        kit_stop(b);
        deaths++;
    } while (WEXITSTATUS(status) == 7);
    assert_true(deaths > 3);
    kit_free(a);
    kit_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restore_gets_its_file_from_where_it_was_staged),
        cmocka_unit_test(a_connection_that_breaks_is_made_again_and_goes_on),
        cmocka_unit_test(while_its_file_is_missing_reads_go_on),
        cmocka_unit_test(when_nobody_has_the_file_a_later_state_does),
        cmocka_unit_test(when_who_has_the_file_is_away_a_later_state_does),
        cmocka_unit_test(a_stop_does_not_wait_for_a_file),
        cmocka_unit_test(who_proposes_gets_the_file_before),
        cmocka_unit_test(a_death_before_the_store_is_swapped_is_made_good),
        cmocka_unit_test(a_death_while_libraft_empties_its_log_is_made_good),
        cmocka_unit_test(a_death_before_the_descriptor_leaves_the_old_state),
        cmocka_unit_test(a_start_without_the_installed_file_is_refused),
        cmocka_unit_test(a_death_at_any_rename_leaves_one_state_or_the_other),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
