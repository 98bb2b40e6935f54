#include "lease/damper.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "machine/flap.h"
#include "store/store.h"

struct damper {
    struct lease_table *leases;
    struct core *core;
    struct store_reader *reader; /* made when it is needed first */
    uint64_t count;
    uint64_t window_ms;
    lease_act_func *act; /* NULL: nobody is told */
    void *act_user;
};

/* One agent on its way to be kept. */
struct damping {
    struct damper *damper;
    struct core_request request;
    struct buf bytes;
    struct buf hostname;
    struct ulid id;
};

static uint64_t log_now(const struct damper *damper)
{
    uint64_t wall = clock_wall_ms();
    uint64_t log = core_status(damper->core).log_time_ms;

    return wall > log ? wall : log;
}

static void tell_kept(struct damper *damper, struct str hostname,
                      uint64_t revision)
{
    struct buf about = {0};

    if (damper->act != NULL) {
        buf_add_text(&about, "hostname=");
        buf_add_str(&about, hostname);
        damper->act(damper->act_user, "agent flapping", buf_str(&about), 0,
                    revision);
        buf_done(&about);
    }
}

/* Whatever became of it: spared by what was applied, or due again. */
static void decided(struct core_request *request)
{
    struct damping *damping = CONTAINER(request, struct damping, request);
    struct str hostname = buf_str(&damping->hostname);

    lease_spare(damping->damper->leases, hostname, damping->id);
    if (request->outcome == 0 && request->result.n > 0) {
        log_warn(LOG_LEASE,
                 "an agent comes and goes: it is kept for a while, silent or "
                 "not",
                 LOG_STR("hostname", hostname),
                 LOG_U64("for_ms", damping->damper->window_ms));
        tell_kept(damping->damper, hostname, request->result.revision);
    }
    machine_result_done(&request->result);
    buf_done(&damping->bytes);
    buf_done(&damping->hostname);
    (void)mem_free(damping);
}

static void propose(struct damper *damper, struct str hostname, struct ulid id)
{
    struct damping *damping = mem_zero(sizeof *damping);
    struct command command = {.kind = COMMAND_FLAP};

    damping->damper = damper;
    damping->id = id;
    buf_add_str(&damping->hostname, hostname);
    command.flap = (struct command_flap){
        .epoch = core_status(damper->core).lease_epoch,
        .hostname = hostname,
        .lease = id,
        .until_ms = log_now(damper) + damper->window_ms,
    };
    command_encode(&damping->bytes, &command);
    damping->request.command = buf_str(&damping->bytes);
    damping->request.shrinks = true;
    damping->request.local = true;
    damping->request.done = decided;
    core_submit(damper->core, &damping->request);
}

static int count_goings(struct damper *damper, struct str hostname,
                        uint64_t since_ms, uint64_t *ret_n)
{
    struct store_txn *txn = NULL;
    struct str record;
    uint64_t ends_ms = 0;
    int r = 0;

    if (damper->reader == NULL) {
        r = store_reader_new(core_store(damper->core), &damper->reader);
    }
    if (r == 0) {
        r = store_read_begin(damper->reader, &txn);
    }
    if (r != 0) {
        return r;
    }
    r = store_mark_get(txn, STORE_MARK_GOINGS, hostname, &ends_ms, &record);
    if (r == 0) {
        *ret_n = flap_count(record, since_ms);
    }
    store_read_end(txn);
    return r;
}

bool damper_takes(void *user, struct str hostname, struct ulid id)
{
    struct damper *damper = user;
    uint64_t n = 0;

    if (damper->count == 0 ||
        core_feature_level(damper->core) < MACHINE_FEATURE_CHANGES) {
        return false;
    }
    uint64_t now = log_now(damper);
    uint64_t since = now < damper->window_ms ? 0 : now - damper->window_ms;
    /* Of whom nothing can be read, nothing is known against. */
    if (count_goings(damper, hostname, since, &n) != 0 || n < damper->count) {
        return false;
    }
    propose(damper, hostname, id);
    return true;
}

struct damper *damper_new(struct lease_table *leases, struct core *core,
                          uint64_t count, uint64_t window_ms)
{
    struct damper *damper = mem_zero(sizeof *damper);

    *damper = (struct damper){
        .leases = leases, .core = core, .count = count, .window_ms = window_ms};
    return damper;
}

void damper_tell(struct damper *damper, lease_act_func *act, void *user)
{
    damper->act = act;
    damper->act_user = user;
}

struct damper *damper_free(struct damper *damper)
{
    if (damper == NULL) {
        return NULL;
    }
    (void)store_reader_free(damper->reader);
    return mem_free(damper);
}
