#include "lease/sweeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

enum { BATCH = 500, PAUSE_MS = 1000 };

struct sweeper {
    struct core *core;
    struct core_request request;
    struct buf bytes;
    bool busy; /* `request` is out */
    uint64_t not_before_ms;
};

static void tell(char kind, struct str name)
{
    if (kind == STORE_MARK_MAINTENANCE) {
        log_info(LOG_LEASE, "the maintenance of an agent is over",
                 LOG_STR("hostname", name));
    } else if (kind == STORE_MARK_FLAPPING) {
        log_info(LOG_LEASE, "an agent is not kept for flapping any more",
                 LOG_STR("hostname", name));
    }
}

/* kind:1 length:2 name of each that ended. */
static void tell_ends(struct str ends)
{
    enum { HEAD = 3 };

    while (ends.n >= HEAD) {
        size_t n = (size_t)le_get(ends.p + 1, 2);
        tell(ends.p[0], (struct str){ends.p + HEAD, n});
        ends.p += HEAD + n;
        ends.n -= HEAD + n;
    }
}

static void decided(struct core_request *request)
{
    struct sweeper *sweeper = CONTAINER(request, struct sweeper, request);
    bool done = request->outcome == 0 && request->result.answer == 0;

    if (done) {
        tell_ends(buf_str(&request->result.detail));
    } else {
        sweeper->not_before_ms = clock_mono_ms() + PAUSE_MS;
    }
    bool more = done && request->result.n > 0;
    machine_result_done(&request->result);
    sweeper->busy = false;
    if (more && core_status(sweeper->core).leads) {
        sweeper_tick(sweeper);
    }
}

static void propose(struct sweeper *sweeper)
{
    struct command command = {.kind = COMMAND_SWEEP, .sweep = {BATCH}};

    buf_clear(&sweeper->bytes);
    command_encode(&sweeper->bytes, &command);
    sweeper->request = (struct core_request){
        .command = buf_str(&sweeper->bytes),
        .shrinks = true,
        .local = true,
        .done = decided,
    };
    sweeper->busy = true;
    core_submit(sweeper->core, &sweeper->request);
}

struct sweeper *sweeper_new(struct core *core)
{
    struct sweeper *sweeper = mem_zero(sizeof *sweeper);

    sweeper->core = core;
    return sweeper;
}

struct sweeper *sweeper_free(struct sweeper *sweeper)
{
    if (sweeper == NULL) {
        return NULL;
    }
    buf_done(&sweeper->bytes);
    return mem_free(sweeper);
}

/* The time of the pack that carries the proposal is this one or a later one,
 * and the log's never goes back. */
void sweeper_tick(struct sweeper *sweeper)
{
    struct core_status status = core_status(sweeper->core);

    if (sweeper->busy || clock_mono_ms() < sweeper->not_before_ms ||
        core_feature_level(sweeper->core) < MACHINE_FEATURE_CHANGES) {
        return;
    }
    if (status.next_end_ms <= status.log_time_ms ||
        status.next_end_ms <= clock_wall_ms()) {
        propose(sweeper);
    }
}
