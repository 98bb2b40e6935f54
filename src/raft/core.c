#include "raft/core.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/peer.h"
#include "raft/aio.h"
#include "raft/inside.h"

/* ---- the loop ---- */

static void run_calls(struct core *core)
{
    struct queue_link *link = queue_take(&core->calls);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_call *call = CONTAINER(link, struct core_call, link);
        call->func(call);
        link = next;
    }
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void close_own(struct core *core)
{
    uv_handle_t *own[] = {
        (uv_handle_t *)&core->wake,       (uv_handle_t *)&core->prepare,
        (uv_handle_t *)&core->tick,       (uv_handle_t *)&core->signals[0],
        (uv_handle_t *)&core->signals[1], (uv_handle_t *)&core->signals[2]};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        close_handle(own[i], NULL);
    }
}

enum core_step core_step(struct core *core, enum core_step step)
{
    return steps_enter(&core->steps, step, clock_mono_us());
}

/* One a second: a disk that is slow all the time has no need of more. */
static void log_long_turn(struct core *core, const struct turn *turn,
                          uint64_t now_us)
{
    const struct steps *steps = &core->steps;

    if (turn->us <= LONG_TURN_US || now_us - core->steps.logged_us < 1000000) {
        return;
    }
    core->steps.logged_us = now_us;
    log_info(LOG_CORE, "a turn of the core loop was long",
             LOG_U64("us", turn->us), LOG_U64("cpu_us", turn->spent.cpu_us),
             LOG_TXT("most", core_step_name(turn->most)),
             LOG_U64("most_us", turn->most_us),
             LOG_U64("blocked", turn->spent.blocked),
             LOG_U64("preempted", turn->spent.preempted),
             LOG_U64("faults", turn->spent.faults),
             LOG_U64("reads", turn->spent.reads),
             LOG_TXT("applied", steps->about == NULL ? "" : steps->about),
             LOG_U64("commands", steps->about_n));
}

static void note_turn(struct core *core)
{
    uint64_t now = clock_mono_us();
    bool asks = steps_want_spent(&core->steps, now);
    struct clock_spent spent;

    if (asks) {
        clock_thread_spent(&spent);
    }
    struct turn turn =
        steps_end(&core->steps, now, uv_metrics_idle_time(&core->loop) / 1000,
                  asks ? &spent : NULL);
    histogram_add(&core->stats.turns, turn.us);
    log_long_turn(core, &turn, now);
    steps_about_none(&core->steps);
}

/* Before the loop sleeps: everything that happened in this turn is carried
 * through, and what waits is sent. */
static void on_prepare(uv_prepare_t *handle)
{
    struct core *core = handle->data;
    uint64_t now = clock_mono_ms();

    /* Before the look at the queue: see core_submit. */
    atomic_store(&core->busy, false);
    (void)core_step(core, CORE_STEP_CALLS);
    run_calls(core);
    (void)core_step(core, CORE_STEP_STATE);
    staged_turn(core);
    jobs_turn(core);
    snapshot_turn(core);
    install_turn(core, now);
    (void)core_step(core, CORE_STEP_PEERS);
    members_turn(core, now);
    status_turn(core);
    (void)core_step(core, CORE_STEP_ORDER);
    duties_turn(core);
    order_drain(core);
    order_turn(core, now);
    (void)core_step(core, CORE_STEP_PEERS);
    questions_turn(core);
    links_turn(core, now);
    if (core->stopping && !core->closing && order_idle(core)) {
        core->closing = true;
        uv_stop(&core->loop);
    }
    atomic_store(&core->busy, core->pack.in_flight && log_leads(core));
    note_turn(core);
}

static void on_wake(uv_async_t *handle)
{
    (void)handle; /* on_prepare takes what came. */
}

static void on_tick(uv_timer_t *handle)
{
    struct core *core = handle->data;

    uint64_t now = clock_mono_ms();

    enum core_step before = core_step(core, CORE_STEP_TICK);

    disk_watch(core, now);
    order_tick(core, now);
    questions_tick(core, now);
    confirm_tick(core);
    links_tick(core, now);
    status_tick(core, now);
    core->config.on_tick(core->config.user);
    (void)core_step(core, before);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct core *core = handle->data;

    if (number == SIGHUP) {
        core->config.on_reload(core->config.user);
    } else if (!core->stop_told) {
        core->stop_told = true;
        form_end(core);
        core->config.on_stop(core->config.user);
    } else {
        core_stop(core); /* Asked twice: at once. */
    }
}

static void start_loop(struct core *core)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int r = uv_async_init(&core->loop, &core->wake, on_wake);

    confirm_init(core);
    r |= uv_prepare_init(&core->loop, &core->prepare);
    r |= uv_timer_init(&core->loop, &core->tick);
    core->wake.data = core->prepare.data = core->tick.data = core;
    r |= uv_prepare_start(&core->prepare, on_prepare);
    r |= uv_timer_start(&core->tick, on_tick, CORE_TICK_MS, CORE_TICK_MS);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        r |= uv_signal_init(&core->loop, &core->signals[i]);
        core->signals[i].data = core;
        r |= uv_signal_start(&core->signals[i], on_signal, numbers[i]);
    }
    assert(r == 0);
    (void)r;
}

/* ---- open ---- */

struct store_config core_store_config(const struct core *core,
                                      const char *directory)
{
    uint64_t limit = core->config.store_limit_bytes;
    uint64_t headroom = limit / 4 < (64U << 20) ? 64U << 20 : limit / 4;

    return (struct store_config){
        .directory = directory,
        /* Room beyond the limit at which writes are refused: what is committed
         * must always find a place. */
        .limit_bytes = limit + headroom,
        .max_handles = 256,
        .max_readers = 126,
    };
}

static int open_store(struct core *core)
{
    struct store_config config = core_store_config(core, core->store_dir);

    int r = store_open(&config, &core->store);
    if (r != 0) {
        log_error(LOG_STORE, "cannot open the store",
                  LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
    }
    return r;
}

/* [CORE-3] The marker goes before the store is touched and comes back when it
 * is whole again: a crash between the two rebuilds once more. */
static int prepare_store(struct core *core)
{
    int r = 0;

    if (!dir_trusts_store(core)) {
        r = dir_unmark(core);
        if (r == 0) {
            r = files_rebuild(core);
        }
    }
    return r != 0 ? r : dir_mark(core, false);
}

static int check_domain(struct core *core)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;
    struct store_node root;

    int r = store_reader_new(core->store, &reader);
    if (r == 0) {
        r = store_read_begin(reader, &txn);
    }
    if (r == 0) {
        int found = store_node_get(txn, STORE_ROOT, &root);
        if (found == 0 && !str_is(root.name, core->config.domain)) {
            log_error(LOG_CORE,
                      "the registry has another domain: start with that one",
                      LOG_STR("its_domain", root.name),
                      LOG_TXT("given", core->config.domain));
            r = ERR_INVALID;
        }
        store_read_end(txn);
    }
    store_reader_free(reader);
    return r;
}

/* A sole voter has replayed all there is: it can be read also when the disk is
 * too full to begin a leadership. Not when it is too full for that: what was
 * acknowledged before would be missing. */
void core_catch_up(struct core *core)
{
    if (!applied_waits(core) && log_leads(core) && members_voters(core) <= 1 &&
        machine_view(core->machine).initialized) {
        atomic_store(&core->status.caught_up, true);
    }
}

/* ---- what the listener's thread asks ---- */

static void tell_self(void *user, struct peer_id *ret_self)
{
    members_self(user, ret_self);
}

static enum peer_verdict judge(void *user, enum peer_kind kind,
                               const struct peer_id *from, uint64_t expects,
                               char why[PEER_WHY])
{
    return members_judge(user, kind, from, expects, why);
}

static void take_call(void *user, struct peer_called *called,
                      const struct peer_id *from, struct str request)
{
    members_called(user, called, from, request);
}

/* A descriptor on its way to the core thread. */
struct arrived {
    struct core_call call;
    struct core *core;
    void (*take)(struct core *core, const struct peer_id *from, int fd);
    struct peer_id from;
    int fd;
};

static void arrive(struct core_call *call)
{
    struct arrived *arrived = CONTAINER(call, struct arrived, call);

    if (arrived->core->ending) {
        (void)close(arrived->fd);
    } else {
        arrived->take(arrived->core, &arrived->from, arrived->fd);
    }
    mem_free(arrived);
}

static void send_on(struct core *core,
                    void (*take)(struct core *, const struct peer_id *, int),
                    const struct peer_id *from, int fd)
{
    struct arrived *arrived = mem_zero(sizeof *arrived);

    arrived->call.func = arrive;
    arrived->core = core;
    arrived->take = take;
    arrived->from = *from;
    arrived->fd = fd;
    core_call(core, &arrived->call);
}

static void take(void *user, enum peer_kind kind, const struct peer_id *from,
                 int fd)
{
    switch (kind) {
    case PEER_RAFT:
        send_on(user, transport_arrive, from, fd);
        break;
    case PEER_LINK:
        send_on(user, links_arrive, from, fd);
        break;
    case PEER_FILE:
        serve_accepted(user, from, fd);
        break;
    case PEER_CALL:
        break; /* It goes to take_call. */
    }
}

static int start_listening(struct core *core)
{
    const struct peer_config config = {
        .listen = core->config.raft_listen,
        .tls = core->config.tls,
        .user = core,
        .self = tell_self,
        .judge = judge,
        .accepted = take,
        .called = take_call,
    };
    int r = peer_start(&config, &core->peer);
    if (r == 0) {
        members_listen(core, peer_address(core->peer));
    }
    return r;
}

int core_begin(struct core *core)
{
    int r = log_open(core);

    if (r == 0) {
        r = check_domain(core);
    }
    if (r == 0) {
        core_catch_up(core);
    }
    return r;
}

static int open_all(struct core *core)
{
    int r = dir_open(core);
    if (r == 0) {
        disk_init(core);
        files_sweep(core);
        r = prepare_store(core);
    }
    if (r == 0) {
        r = open_store(core);
    }
    if (r != 0) {
        return r;
    }
    core->machine = machine_new(core->store, core->config.cache,
                                &core->config.machine_hooks);
    r = machine_load(core->machine);
    if (r == 0) {
        r = feature_check(core);
    }
    if (r == 0) {
        r = start_listening(core);
    }
    if (r != 0 || core->node_state == NODE_REMOVED) {
        return r; /* One that was removed says so and does nothing else. */
    }
    /* A new node that shall be one of others asks them first, while it answers
     * already. */
    if (form_is_needed(core)) {
        return form_start(core);
    }
    r = form_settle(core);
    return r != 0 ? r : core_begin(core);
}

int core_open(const struct core_config *config, struct core **ret_core)
{
    struct core *core = mem_zero(sizeof *core);

    core->config = *config;
    core->lock_fd = -1;
    (void)snprintf(core->domain, sizeof core->domain, "%s", config->domain);
    order_init(core);
    applied_init(core);
    duties_init(core);
    jobs_init(core);
    staged_init(core);
    questions_init(core);
    links_init(core);
    members_init(core);
    install_init(core);
    core->scratch = arena_new();
    if (uv_loop_init(&core->loop) != 0 ||
        uv_loop_configure(&core->loop, UV_METRICS_IDLE_TIME) != 0) {
        mem_free(core);
        return err_raise(ERR_SYSTEM);
    }
    start_loop(core); /* Other threads may wake it from the first moment. */
    int r = open_all(core);
    if (r != 0) {
        if (r < 0) {
            log_error(LOG_CORE, "cannot start", LOG_TXT("why", err_text(r)),
                      LOG_TXT("at", err_origin()));
        }
        (void)core_close(core);
        return r;
    }
    *ret_core = core;
    return 0;
}

void core_run(struct core *core)
{
    struct clock_spent spent;

    clock_thread_spent(&spent);
    steps_init(&core->steps, clock_mono_us(), &spent);
    core->running = true;
    (void)uv_run(&core->loop, UV_RUN_DEFAULT);
    core->running = false;
    /* A transaction is its thread's to end; whoever closes may be another. */
    applied_abort(core);
    /* Whoever handed something in while the loop was ending is told no. The
     * word goes out first: who pushes behind the last look at the queue sees
     * it. */
    atomic_store(&core->over, true);
    order_refuse_all(core);
    sent_forget(core);
    questions_refuse_all(core);
    order_refuse_late(core);
    jobs_refuse_late(core);
    questions_refuse_late(core);
}

static void mark_clean(struct core *core)
{
    /* Clean means: LMDB is on the disk as the marker says. */
    if (core->closing && store_sync(core->store) == 0 &&
        dir_mark(core, true) == 0) {
        log_info(LOG_CORE, "stopped clean",
                 LOG_U64("applied", machine_view(core->machine).applied));
    }
}

struct core *core_close(struct core *core)
{
    if (core == NULL) {
        return NULL;
    }
    core->ending = true;
    form_stop(core);
    core->peer = peer_stop(core->peer);
    install_done(core);
    jobs_done(core);
    run_calls(core); /* Descriptors among them: they are closed. */
    links_done(core);
    close_own(core);
    log_close(core);
    uv_walk(&core->loop, close_handle, NULL);
    (void)uv_run(&core->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&core->loop);
    if (core->store != NULL && core->machine != NULL) {
        mark_clean(core);
    }
    core->machine = machine_free(core->machine);
    core->store = store_close(core->store);
    duties_done(core);
    staged_done(core);
    order_done(core);
    members_done(core);
    core->links = mem_free(core->links);
    arena_free(core->scratch);
    dir_close(core);
    return mem_free(core);
}

/* ---- any thread ---- */

/* While a pack is out the loop is not woken for a command: that joins the next,
 * which is made in the turn in which libraft tells of this one. A fence is not
 * behind it, and may come upon commands that woke nobody. */
void core_submit(struct core *core, struct core_request *request)
{
    request->since_us =
        request->asked_us != 0 ? request->asked_us : clock_mono_us();
    bool fence = request->command.n == 0;
    bool first = queue_push(&core->queue, &request->link);
    /* Orders the push before the look, as the other side does the reverse. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&core->over)) {
        order_refuse_late(core); /* The request may be gone. */
    } else if (atomic_load(&core->busy) ? fence : first) {
        (void)uv_async_send(&core->wake);
    }
}

void core_call(struct core *core, struct core_call *call)
{
    if (queue_push(&core->calls, &call->link)) {
        (void)uv_async_send(&core->wake);
    }
}

void core_stop(struct core *core)
{
    core->stopping = true;
    atomic_store(&core->status.draining, true);
    (void)uv_async_send(&core->wake);
}

struct handing {
    struct core_call call;
    struct core *core;
};

static void hand_over(struct core_call *call)
{
    struct handing *handing = CONTAINER(call, struct handing, call);

    members_hand_over(handing->core);
    mem_free(handing);
}

void core_hand_over(struct core *core)
{
    struct handing *handing = mem_zero(sizeof *handing);

    handing->core = core;
    handing->call.func = hand_over;
    core_call(core, &handing->call);
}

void core_drain(struct core *core)
{
    atomic_store(&core->status.draining, true);
}

struct core_status core_status(const struct core *core)
{
    return (struct core_status){
        .leads = atomic_load(&core->status.leads),
        .follows = atomic_load(&core->status.follows),
        .voter = atomic_load(&core->status.voter),
        .removed = atomic_load(&core->status.removed),
        .installing = atomic_load(&core->status.installing),
        .behind = atomic_load(&core->status.behind),
        .leader = atomic_load(&core->status.leader),
        .forming = atomic_load(&core->status.forming),
        .stale_ms = status_stale_ms(core),
        .caught_up = atomic_load(&core->status.caught_up),
        .draining = atomic_load(&core->status.draining),
        .disk_low = atomic_load(&core->status.disk_low),
        .stalled = atomic_load(&core->status.stalled),
        .term = atomic_load(&core->status.term),
        .applied = atomic_load(&core->status.applied),
        .revision = atomic_load(&core->status.revision),
        .lease_epoch = atomic_load(&core->status.lease_epoch),
        .log_time_ms = atomic_load(&core->status.log_time_ms),
        .next_end_ms = atomic_load(&core->status.next_end_ms),
    };
}

uint64_t core_stale_ms(const struct core *core)
{
    return status_stale_ms(core);
}

uint64_t core_leader_raft_id(const struct core *core)
{
    return atomic_load(&core->status.leader);
}

uint64_t core_revision(const struct core *core)
{
    return atomic_load_explicit(&core->status.revision, memory_order_acquire);
}

uint64_t core_access_rev(const struct core *core)
{
    return machine_access_rev(core->machine);
}

struct core_stats core_stats(const struct core *core)
{
#define READ(name) .name = atomic_load(&core->stats.name)
    struct core_stats stats = {
        READ(packs),
        READ(commands),
        READ(pack_bytes),
        READ(refused),
        READ(unknown),
        READ(submit_to_done_us),
        READ(snapshots),
        READ(snapshot_failures),
        READ(snapshot_us),
        READ(log_bytes),
        READ(log_waits),
        READ(forwarded),
        READ(resent),
        READ(guests),
        READ(rounds),
        READ(transfers),
        READ(transfers_failed),
        READ(sent_bytes),
        READ(fetches),
        READ(fetches_failed),
        READ(received_bytes),
        READ(installs),
        READ(put_off),
        .aio_waits = aio_counts().destroyed,
    };
#undef READ
    steps_read(&core->steps, &stats);
    histogram_read(&core->stats.turns, &stats.turns);
    histogram_read(&core->stats.writes, &stats.writes);
    histogram_read(&core->stats.commits, &stats.commits);
    return stats;
}

struct store *core_store(const struct core *core)
{
    return core->store;
}

const char *core_node_id(const struct core *core)
{
    return core->node_id;
}

const char *core_spool_dir(const struct core *core)
{
    return core->spool_dir;
}

const char *core_domain(const struct core *core)
{
    return core->domain;
}
