#include "lease/sweeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "model/ulid.h"
#include "store/store.h"

enum { BATCH = 500, PAUSE_MS = 1000 };

struct sweeper {
    struct core *core;
    struct core_request request;
    struct buf bytes;
    bool busy; /* `request` is out */
    uint64_t not_before_ms;
    lease_act_func *act; /* NULL: nobody is told */
    void *act_user;
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

/* Of a resource ns:8 id:16 type; what else is no hostname is an id. */
static void add_end(struct buf *about, char kind, struct str name)
{
    enum { NS_BYTES = 8 };
    char text[ULID_TEXT];
    struct ulid id;

    if (kind == STORE_MARK_ROW && name.n > NS_BYTES + sizeof id) {
        memcpy(&id, name.p + NS_BYTES, sizeof id);
        ulid_format(id, text);
        buf_add_text(about, " maintenance=");
        buf_add(about, name.p + NS_BYTES + sizeof id,
                name.n - NS_BYTES - sizeof id);
        buf_printf(about, "/%.26s", text);
    } else if (kind == STORE_MARK_MAINTENANCE || kind == STORE_MARK_FLAPPING) {
        buf_printf(about, " %s=%.*s",
                   kind == STORE_MARK_FLAPPING ? "flapping" : "maintenance",
                   STR_ARG(name));
    } else if (name.n == sizeof id) {
        memcpy(&id, name.p, sizeof id);
        ulid_format(id, text);
        buf_printf(about, " token=%.26s", text);
    }
}

/* kind:1 length:2 name of each that ended. */
static void tell_ends(struct str ends, struct buf *about)
{
    enum { HEAD = 3 };

    while (ends.n >= HEAD) {
        size_t n = (size_t)le_get(ends.p + 1, 2);
        tell(ends.p[0], (struct str){ends.p + HEAD, n});
        add_end(about, ends.p[0], (struct str){ends.p + HEAD, n});
        ends.p += HEAD + n;
        ends.n -= HEAD + n;
    }
}

static void tell_all(struct sweeper *sweeper,
                     const struct machine_result *result)
{
    struct buf about = {0};

    buf_printf(&about, "n=%llu", (unsigned long long)result->n);
    tell_ends(buf_str(&result->detail), &about);
    if (sweeper->act != NULL && result->n > 0) {
        sweeper->act(sweeper->act_user, "sweep", buf_str(&about), 0,
                     result->revision);
    }
    buf_done(&about);
}

static void decided(struct core_request *request)
{
    struct sweeper *sweeper = CONTAINER(request, struct sweeper, request);
    bool done = request->outcome == 0 && request->result.answer == 0;

    if (done) {
        tell_all(sweeper, &request->result);
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

void sweeper_tell(struct sweeper *sweeper, lease_act_func *act, void *user)
{
    sweeper->act = act;
    sweeper->act_user = user;
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
