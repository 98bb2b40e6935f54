#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

static void sent(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);

    duty->busy = false;
    if (request->outcome != 0 || request->result.answer != 0) {
        duty->not_before_ms = clock_mono_ms() + DUTY_PAUSE_MS;
    }
    machine_result_done(&request->result);
    request->result = (struct machine_result){0};
    /* There may be another step of it: duties_turn was before, in this turn. */
    (void)uv_async_send(&duty->core->wake);
}

/* Refused a moment ago (a full disk, perhaps) is no reason to spin. */
static bool may_propose(const struct duty *duty)
{
    return !duty->busy && clock_mono_ms() >= duty->not_before_ms;
}

static void propose(struct duty *duty, struct command *command)
{
    buf_clear(&duty->bytes);
    command_encode(&duty->bytes, command);
    duty->request.command = buf_str(&duty->bytes);
    duty->request.shrinks = command->kind != COMMAND_INDEX;
    duty->request.local = duty != &duty->core->nudge;
    duty->busy = true;
    core_submit(duty->core, &duty->request);
}

static void propose_init(struct core *core)
{
    struct command command = {.kind = COMMAND_INIT};

    memcpy(command.init.cluster, core->cluster, sizeof command.init.cluster);
    command.init.domain = str_of(core->config.domain);
    command.init.history_limit = core->config.history_limit;
    propose(&core->init, &command);
}

static void tell_lead(struct core *core, bool leads)
{
    enum core_step before = core_step(core, CORE_STEP_LEASES);

    core->config.on_lead(core->config.user, leads);
    (void)core_step(core, before);
}

static void epoch_applied(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);
    struct core *core = duty->core;
    bool won = request->outcome == 0 && request->result.answer == 0 &&
               request->term == core->raft.current_term &&
               core->epoch_asked_term == request->term;

    sent(request);
    if (won && log_leads(core)) {
        core->leading = true;
        core->leading_term = core->raft.current_term;
        atomic_store(&core->status.caught_up, true);
        tell_lead(core, true);
        /* Only now: who sees it may send heartbeats. */
        atomic_store(&core->status.leads, true);
        links_lead(core);
        log_info(LOG_RAFT, "leads",
                 LOG_U64("term", atomic_load(&core->status.term)));
    }
}

/* The first command of a leadership: older expiries can do nothing after it. */
static void propose_epoch(struct core *core)
{
    struct command command = {.kind = COMMAND_EPOCH};

    command.epoch.term = core->epoch_asked_term = core->raft.current_term;
    propose(&core->epoch, &command);
}

static void propose_reclaim(struct core *core)
{
    struct command command = {.kind = COMMAND_RECLAIM};

    command.reclaim.limit = RECLAIM_STEP;
    propose(&core->reclaim, &command);
}

static void propose_count(struct core *core)
{
    struct command command = {.kind = COMMAND_TALLY};

    command.tally.limit = COUNT_STEP;
    propose(&core->count, &command);
}

static void indexed(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);

    if (request->outcome == 0 &&
        !machine_view(duty->core->machine).is_indexing) {
        log_info(LOG_CORE, "primary keys are indexed: searches by them look "
                           "at nothing else");
    }
    sent(request);
}

static void propose_index(struct core *core)
{
    struct command command = {.kind = COMMAND_INDEX};

    command.index.limit = INDEX_STEP;
    propose(&core->index, &command);
}

/* Once; the marker goes when it is applied. One that does not go makes the next
 * start do it again, which costs revisions; this one goes on. */
static void recover_applied(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);
    struct core *core = duty->core;

    if (request->outcome == 0 && request->result.answer == 0) {
        core->recovering = false;
        if (unlink(core->recover_mark) != 0 && errno != ENOENT) {
            log_warn(LOG_CORE,
                     "the mark of a recovery cannot be removed: "
                     "remove it, or the next start recovers again",
                     LOG_TXT("file", core->recover_mark),
                     LOG_TXT("why", strerror(errno)));
        }
        log_info(LOG_CORE, "recovered: this node decides alone",
                 LOG_U64("revision", request->result.revision));
    }
    sent(request);
}

static void propose_recover(struct core *core, uint64_t revision)
{
    struct command command = {.kind = COMMAND_RESTORE};

    command.restore.file = STR("");
    command.restore.revision =
        (revision / COMMAND_RESTORE_STEP + 1) * COMMAND_RESTORE_STEP;
    propose(&core->recover, &command);
}

void duties_lose(struct core *core)
{
    if (core->leading) {
        core->leading = false;
        atomic_store(&core->status.leads, false);
        tell_lead(core, false);
        log_warn(LOG_RAFT, "leads no more");
    }
}

/* What was acknowledged before this node came to be heard of here is applied
 * when a fence is done. */
static void caught_up(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);

    duty->busy = false;
    duty->not_before_ms = clock_mono_ms() + DUTY_PAUSE_MS;
    if (request->outcome == 0 && !atomic_load(&duty->core->status.caught_up)) {
        atomic_store(&duty->core->status.caught_up, true);
        log_info(LOG_CORE, "caught up",
                 LOG_U64("applied", machine_view(duty->core->machine).applied));
    }
}

/* A node that does not lead asks for an entry as for any command; this one
 * resolves at a revision that never is, so it does nothing. */
static void propose_nothing(struct core *core)
{
    struct command command = {.kind = COMMAND_RECLAIM, .tree_rev = UINT64_MAX};

    propose(&core->nudge, &command);
}

static void follow(struct core *core)
{
    if (core->snapshot_wanted && !core->snapshotting && !core->stopping &&
        links_usable(core) && disk_has_room(core) &&
        may_propose(&core->nudge)) {
        propose_nothing(core);
    }
    if (!atomic_load(&core->status.caught_up) && links_usable(core) &&
        !core->stopping && may_propose(&core->catch_up)) {
        core->catch_up.busy = true;
        core_submit(core, &core->catch_up.request);
    }
}

void duties_turn(struct core *core)
{
    struct machine_view view = machine_view(core->machine);

    if (!core->raft_inited) {
        return;
    }
    atomic_store(&core->status.term, core->raft.current_term);
    if (core->leading && core->leading_term != core->raft.current_term) {
        duties_lose(core); /* It lost it and has it again. */
    }
    if (!log_leads(core)) {
        duties_lose(core);
        follow(core);
        return;
    }
    if (core->stopping) {
        return;
    }
    if (!view.initialized) {
        if (may_propose(&core->init)) {
            propose_init(core);
        }
        return;
    }
    if (core->recovering) {
        /* Before anybody is served: others may have gone on without us. */
        if (may_propose(&core->recover)) {
            propose_recover(core, view.revision);
        }
        return;
    }
    if (!core->leading && feature_comes_first(core)) {
        return;
    }
    if (!core->leading && may_propose(&core->epoch)) {
        propose_epoch(core);
    }
    if (core->leading && view.has_trash && may_propose(&core->reclaim)) {
        propose_reclaim(core);
    }
    if (core->leading && view.has_counts && may_propose(&core->count)) {
        propose_count(core);
    }
    if (core->leading && view.is_indexing && may_propose(&core->index)) {
        propose_index(core);
    }
    /* libraft looks whether it shall make one when it has applied an entry. */
    core->wants_entry = core->leading && core->snapshot_wanted &&
                        !core->snapshotting && !core->pack.in_flight &&
                        disk_has_room(core);
}

void duties_init(struct core *core)
{
    struct duty *duties[] = {&core->init,     &core->epoch, &core->reclaim,
                             &core->count,    &core->index, &core->recover,
                             &core->catch_up, &core->nudge};

    for (size_t i = 0; i < sizeof duties / sizeof duties[0]; i++) {
        duties[i]->core = core;
        duties[i]->request.done = sent;
    }
    core->epoch.request.done = epoch_applied;
    core->index.request.done = indexed;
    core->recover.request.done = recover_applied;
    core->catch_up.request.done = caught_up;
}

void duties_done(struct core *core)
{
    buf_done(&core->init.bytes);
    buf_done(&core->epoch.bytes);
    buf_done(&core->reclaim.bytes);
    buf_done(&core->count.bytes);
    buf_done(&core->index.bytes);
    buf_done(&core->recover.bytes);
    buf_done(&core->nudge.bytes);
}
