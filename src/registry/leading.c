/* The lease table: kept by what is applied, served by who leads. */
#include "base/clock.h"
#include "base/log.h"
#include "machine/leased.h"
#include "registry/agents.h"

_Static_assert(LEASE_TTL_MOST_MS == STORE_TTL_MOST_MS,
               "a lease that a file may bring is one that the table takes");

static void on_lease_put(void *user, const struct machine_lease *lease)
{
    lease_table_put(user, lease, clock_mono_ms());
}

static void on_lease_del(void *user, struct str hostname, struct ulid id)
{
    lease_table_del(user, hostname, id);
}

static void on_scopes(void *user)
{
    lease_table_moved(user);
}

static void on_breaker(void *user, const struct machine_breaker *told)
{
    static const char *const texts[] = {
        [MACHINE_BREAKER_CLOSED] = "the breaker closed: leases end as usual",
        [MACHINE_BREAKER_HELD] =
            "the breaker holds: too many agents are silent at once, none of "
            "them is removed",
        [MACHINE_BREAKER_PACING] =
            "the breaker's hold is over: silent agents are removed at a "
            "bounded rate",
    };

    log_warn(LOG_LEASE, texts[told->state], LOG_STR("ns", told->path),
             LOG_U64("leases", told->n), LOG_U64("suspect", told->bad),
             LOG_U64("left_ms", told->left_ms));
    lease_table_breaker(user, told, clock_mono_ms());
}

/* Each node applies it; one says so. */
static void on_quota(void *user, const struct machine_quota *told)
{
    static const char *const texts[] = {
        [ACCESS_QUOTA_OK] = "a namespace is within its quota again",
        [ACCESS_QUOTA_WARN] = "a namespace has come near its quota",
        [ACCESS_QUOTA_FULL] =
            "a namespace has used up its quota: what grows is refused there",
    };
    enum log_level level = told->state == ACCESS_QUOTA_OK ? LOG_INFO : LOG_WARN;

    if (lease_table_serves(user)) {
        LOG_AT(level, LOG_CORE, texts[told->state], LOG_STR("ns", told->path),
               LOG_TXT("what", access_quota_what_name(told->what)),
               LOG_U64("used", told->used));
    }
}

struct machine_hooks registry_machine_hooks(struct lease_table *leases)
{
    return (struct machine_hooks){
        .lease_user = leases,
        .lease_put = on_lease_put,
        .lease_del = on_lease_del,
        .lease_scopes = on_scopes,
        .breaker = on_breaker,
        .quota_user = leases,
        .quota = on_quota,
    };
}

/* Without all leases in the table nobody may be served: agents would be told
 * that they are unknown. */
void registry_on_lead(struct registry *registry, bool leads)
{
    if (!leads) {
        lease_table_halt(registry->leases);
        return;
    }
    if (!registry->knows_leases && registry->loading == NULL) {
        (void)!registry_load(registry); /* It failed before; logged. */
    }
    if (registry->knows_leases) {
        lease_table_serve(registry->leases, clock_mono_ms(),
                          core_status(registry->core).log_time_ms);
    }
}

/* ---- scopes that moved ---- */

enum { STEP_MS = 5 }; /* of a tick: a million leases take some minutes */

/* What is in the table already is told again; what is registered meanwhile was
 * told right. */
static int tell_some(struct registry *registry, struct store_txn *txn,
                     struct arena *arena)
{
    uint64_t until_ms = clock_mono_ms() + STEP_MS;
    struct store_lease lease;
    struct machine_lease told;
    int r = 0;

    while (r == 0 && clock_mono_ms() < until_ms) {
        arena_reset(arena);
        r = store_lease_next(txn, agents_at_str(&registry->moved_at), arena,
                             &lease);
        if (r == 0) {
            r = machine_lease_read(txn, &lease, arena, &told);
        }
        if (r == 0) {
            lease_table_put(registry->leases, &told, clock_mono_ms());
            agents_at_set(&registry->moved_at, lease.hostname);
        }
    }
    return r;
}

void leading_tick(struct registry *registry)
{
    if (lease_table_take_moved(registry->leases)) {
        registry->moved_at = (struct agents_at){0};
        registry->moving = true;
    }
    if (!registry->moving) {
        return;
    }
    int r = leases_read(registry, tell_some);
    if (r == ERR_END) {
        registry->moving = false;
    } else if (r < 0) {
        log_error(LOG_LEASE, "leases could not be read: trying again",
                  LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
    }
}

/* The leases are others now; who leads serves them from here on, each with a
 * full TTL. An expiry that is on its way is of an older epoch. */
void registry_on_restored(struct registry *registry)
{
    lease_table_halt(registry->leases);
    if (registry_load(registry) == 0 && registry->knows_leases &&
        core_status(registry->core).leads) {
        registry_on_lead(registry, true);
    }
}
