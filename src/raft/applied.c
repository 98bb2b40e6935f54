/* Entries that are committed, and the transactions they are applied in. What a
 * full disk stops is kept and applied again. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

void applied_init(struct core *core)
{
    core->redo_end = &core->redo;
}

static void drop_first(struct core *core)
{
    struct redo *redo = core->redo;

    core->redo = redo->next;
    core->redo_bytes -= redo->bytes.n;
    buf_done(&redo->bytes);
    mem_free(redo);
    if (core->redo == NULL) {
        core->redo_end = &core->redo;
    }
}

static void drop_redo(struct core *core)
{
    while (core->redo != NULL) {
        drop_first(core);
    }
}

static void drop_applied(struct core *core)
{
    uint64_t applied = machine_view(core->machine).applied;

    while (core->redo != NULL && core->redo->index <= applied) {
        drop_first(core);
    }
}

static struct redo *remember(struct core *core, uint64_t index,
                             struct str bytes)
{
    struct redo *redo = mem_zero(sizeof *redo);

    redo->index = index;
    buf_add_str(&redo->bytes, bytes);
    *core->redo_end = redo;
    core->redo_end = &redo->next;
    core->redo_bytes += bytes.n;
    return redo;
}

void applied_abort(struct core *core)
{
    machine_abort(core->machine);
    core->cut = NULL;
}

/* A replica that cannot say what an entry means, or whose disk lies, must stop
 * before it answers anything else. */
static void stop_on_damage(int r)
{
    if (r != ERR_DISK_FULL) {
        log_error(LOG_CORE, "cannot apply the log: stopping",
                  LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
        abort();
    }
}

static void wait_a_while(struct core *core)
{
    core->stalled = true;
    core->stall_tried_ms = clock_mono_ms();
    atomic_store(&core->status.stalled, true);
}

static void stall(struct core *core)
{
    applied_abort(core);
    disk_ran_out(core);
    if (!core->stalled) {
        log_error(LOG_CORE, "no room to apply what is committed: writes wait, "
                            "reads go on");
    }
    wait_a_while(core);
}

static void publish(struct core *core)
{
    struct machine_view view = machine_view(core->machine);
    uint64_t before = atomic_load(&core->status.revision);

    atomic_store(&core->status.applied, view.applied);
    atomic_store(&core->status.lease_epoch, view.lease_epoch);
    atomic_store(&core->status.log_time_ms, view.log_time_ms);
    atomic_store(&core->status.next_end_ms, view.next_end_ms);
    atomic_store(&core->status.revision, view.revision);
    if (view.revision != before && core->running) {
        core->config.on_revision(core->config.user, view.revision);
    }
}

static int commit(struct core *core)
{
    uint64_t began = clock_mono_us();

    enum core_step before = core_step(core, CORE_STEP_COMMIT);
    int r = machine_commit(core->machine);
    (void)core_step(core, before);
    if (r < 0) {
        stop_on_damage(r);
        stall(core);
        return r;
    }
    histogram_add(&core->stats.commits, clock_mono_us() - began);
    publish(core);
    return 0;
}

static void tell_restored(struct core *core)
{
    enum core_step before = core_step(core, CORE_STEP_LEASES);

    core->config.on_restored(core->config.user);
    (void)core_step(core, before);
}

/* Nothing shares its transaction with a restore: what was applied before it is
 * committed before, and it is visible when this returns. */
static int apply_restore(struct core *core, uint64_t index, struct str bytes,
                         const struct command_restore *restore)
{
    int r = machine_is_open(core->machine) ? commit(core) : 0;
    uint64_t before = machine_view(core->machine).revision;

    if (r == 0) {
        r = restore_apply(core, index, bytes, restore,
                          sent_expect(core, index, bytes));
    }
    if (r == 0 && machine_is_open(core->machine)) {
        r = commit(core);
    } else if (r == 0) {
        publish(core);
    }
    uint64_t after = machine_view(core->machine).revision;
    if (r == 0 && after != before && core->running &&
        core->config.on_restored != NULL) {
        tell_restored(core);
    }
    return r;
}

/* Without the state that a committed entry names there is no going on: what
 * comes behind it was decided on that state. */
static void refuse(struct core *core)
{
    if (core->running) {
        log_error(LOG_CORE, "cannot apply the log: stopping");
        abort();
    }
    core->refused = true;
}

static void note_long(struct core *core, struct str bytes, uint64_t us)
{
    struct command_pack pack;
    struct str first;

    if (us <= LONG_TURN_US / 4 || command_pack_open(bytes, &pack) != 0) {
        return;
    }
    uint64_t n = pack.n;
    if (command_pack_next(&pack, &first) == 0) {
        steps_about(&core->steps,
                    command_name((enum command_kind)(uint8_t)first.p[0]), n,
                    us);
    }
}

static uint64_t slice_of(const struct core *core)
{
    if (!core->running || core->stalled) {
        return 0; /* Nobody waits, or for this. */
    }
    return core->config.apply_rows == 0 ? APPLY_ROWS : core->config.apply_rows;
}

/* The whole of it, or a slice. */
static int apply_pack(struct core *core, uint64_t index, struct str bytes)
{
    machine_slice(core->machine, slice_of(core));
    return machine_apply(core->machine, index, bytes,
                         core->cut == NULL ? sent_expect(core, index, bytes)
                                           : sent_results(core, index));
}

/* Answers: BUSY: it is not whole, and the next to go on. */
static int apply_one(struct core *core, struct redo *redo)
{
    struct str bytes = buf_str(&redo->bytes);
    struct command_restore restore;
    uint64_t began = clock_mono_us();

    assert(core->cut == NULL || core->cut == redo);
    enum core_step before = core_step(core, CORE_STEP_APPLY);
    int r = command_pack_restores(bytes, &restore)
                ? apply_restore(core, redo->index, bytes, &restore)
                : apply_pack(core, redo->index, bytes);
    core->cut = r == ERR_BUSY ? redo : NULL;
    (void)core_step(core, before);
    note_long(core, bytes, clock_mono_us() - began);
    if (r == ERR_BUSY) {
        return r;
    }
    if (r < 0) {
        stop_on_damage(r);
        stall(core);
    } else if (r == ERR_NOT_READY) {
        wait_a_while(core); /* For the file of a restore. */
    } else if (r > 0) {
        refuse(core);
    }
    return r;
}

/* A node that catches up gets thousands of entries at once. In one turn they
 * would keep it from answering its leader, and its own clients. */
static bool is_enough(const struct core *core)
{
    uint64_t most =
        core->config.apply_us == 0 ? APPLY_US : core->config.apply_us;

    return core->running &&
           steps_of_turn(&core->steps, CORE_STEP_APPLY) >= most;
}

/* Slice after slice, while the turn has time for it. */
static int apply_slices(struct core *core, struct redo *redo)
{
    int r = apply_one(core, redo);

    while (r == ERR_BUSY && !is_enough(core)) {
        r = apply_one(core, redo);
    }
    return r;
}

static void put_off(struct core *core)
{
    core->late = true;
    atomic_fetch_add_explicit(&core->stats.put_off, 1, memory_order_relaxed);
    (void)uv_async_send(&core->wake);
}

int applied_add(struct core *core, uint64_t index, struct str bytes)
{
    if (core->refused) {
        return 0;
    }
    if (core->pack.in_flight && core->pack.index == index) {
        histogram_add(&core->stats.writes,
                      clock_mono_us() - core->pack.sent_us);
    }
    struct redo *redo = remember(core, index, bytes);
    if (applied_waits(core)) {
        return 0;
    }
    core->late = is_enough(core); /* applied_go_on is in this turn, too */
    if (core->late) {
        return 0;
    }
    int r = apply_slices(core, redo);
    if (r == ERR_BUSY) {
        put_off(core);
    }
    if (r == 0 && !core->running &&
        (core->redo_bytes > REPLAY_COMMIT ||
         machine_is_spread(core->machine))) {
        r = applied_commit(core);
    }
    /* A full disk is waited for. At start too: libraft does not pass on what
     * fails there, and would offer this entry again. */
    (void)r;
    return 0;
}

int applied_commit(struct core *core)
{
    bool can = machine_is_open(core->machine) && core->cut == NULL;
    int r = can ? commit(core) : 0;

    if (r == 0 && !core->stalled) {
        drop_applied(core);
    }
    return r;
}

/* What took several turns is committed in one of its own. Answers: BUSY. */
static int finish_cut(struct core *core)
{
    int r = apply_slices(core, core->cut);

    if (r == ERR_BUSY || r == 0) {
        put_off(core);
        return ERR_BUSY;
    }
    return r;
}

/* From the first that is not applied. What stands in the way of one is the
 * business of applied_retry from then on. */
static void apply_next(struct core *core)
{
    core->late = false;
    int r = core->cut != NULL ? finish_cut(core) : applied_commit(core);
    for (struct redo *redo = core->redo; r == 0 && redo != NULL;
         redo = redo->next) {
        if (is_enough(core)) {
            put_off(core);
            break;
        }
        r = apply_slices(core, redo);
        if (r == 0 && machine_is_spread(core->machine)) {
            r = commit(core);
        }
        if (r == ERR_BUSY) {
            put_off(core);
        }
    }
    if (r == 0) {
        (void)!applied_commit(core);
    }
}

/* All that was applied since the last commit, again. */
static void applied_retry(struct core *core, uint64_t now_ms)
{
    if (now_ms - core->stall_tried_ms < STALL_RETRY_MS) {
        return;
    }
    int r = 0;
    for (struct redo *redo = core->redo; r == 0 && redo != NULL;
         redo = redo->next) {
        r = apply_one(core, redo);
        if (r == 0 && redo->next != NULL && machine_is_spread(core->machine)) {
            /* What is in stays in: it is skipped when this is done again. */
            r = commit(core);
        }
    }
    if (r == 0 && machine_is_open(core->machine)) {
        r = commit(core);
    }
    if (r == 0) {
        drop_redo(core);
        log_info(LOG_CORE, "nothing is in the way any more: what was "
                           "committed is applied");
        core->stalled = false;
        atomic_store(&core->status.stalled, false);
        core_catch_up(core);
    }
}

void applied_go_on(struct core *core, uint64_t now_ms)
{
    if (core->stalled) {
        applied_retry(core, now_ms);
    } else if (core->late) {
        apply_next(core);
    }
}

bool applied_waits(const struct core *core)
{
    return core->stalled || core->late;
}

bool applied_is_full(const struct core *core)
{
    return applied_waits(core) && core->redo_bytes > REDO_MOST;
}

void applied_forget(struct core *core)
{
    applied_abort(core);
    drop_redo(core);
    core->stalled = core->late = false;
    atomic_store(&core->status.stalled, false);
}

void applied_replaced(struct core *core)
{
    publish(core);
    if (core->running && core->config.on_restored != NULL) {
        tell_restored(core);
    }
}

void applied_done(struct core *core)
{
    drop_redo(core);
}
