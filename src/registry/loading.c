/* The lease table made from the store: at the start, and when the state has
 * become another one. A million leases take seconds; so some are read in a turn
 * of the core loop, and others have their turns in between.
 *
 *   CLEARING ── no lease of before is left ──► READING ── all read ──► done
 *       ▲                                         │
 *       └──────────── registry_load ◄─────────────┘
 *
 * Until it is done nobody is served: heartbeats are told to come back, nothing
 * ends. What is applied meanwhile tells the table by the machine's hooks: of a
 * lease behind the place that was read, as ever; of one before it, which is
 * read again later, as it is then; one that is gone is not found any more. */
#include "base/clock.h"
#include "base/log.h"
#include "machine/leased.h"
#include "registry/agents.h"

enum { STEP = 1000 }; /* leases in a turn: two milliseconds */

struct loading {
    struct core_call call;
    struct registry *registry; /* NULL: it has gone, or another one began */
    size_t shard;
    bool clearing;
    struct agents_at at; /* the last one that was read */
};

int leases_read(struct registry *registry, leases_func *func)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    int r = store_reader_new(core_store(registry->core), &reader);
    if (r != 0) {
        return r;
    }
    r = store_read_begin(reader, &txn);
    if (r == 0) {
        r = func(registry, txn, arena);
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
    return r;
}

/* Answers: END. */
static int read_some(struct registry *registry, struct store_txn *txn,
                     struct arena *arena)
{
    struct agents_at *at = &registry->loading->at;
    uint64_t now = clock_mono_ms();
    struct store_lease lease;
    struct machine_lease told;
    int r = 0;

    for (int i = 0; r == 0 && i < STEP; i++) {
        arena_reset(arena);
        r = store_lease_next(txn, agents_at_str(at), arena, &lease);
        if (r == 0) {
            r = machine_lease_read(txn, &lease, arena, &told);
        }
        if (r == 0) {
            lease_table_put(registry->leases, &told, now);
            agents_at_set(at, lease.hostname);
        }
    }
    return r;
}

static int read_breaker(struct registry *registry, struct store_txn *txn,
                        struct arena *arena)
{
    struct machine_breaker told = {.scope = 0};
    const uint64_t *after = NULL;
    uint64_t scope = 0;
    int r;

    (void)arena;
    while ((r = machine_breaker_next(txn, after, &told)) == 0) {
        lease_table_breaker(registry->leases, &told, clock_mono_ms());
        scope = told.scope;
        after = &scope;
    }
    return r == ERR_END ? 0 : r;
}

static void clear_some(struct registry *registry)
{
    struct loading *loading = registry->loading;
    size_t sum = 0, n = 0;

    while (loading->clearing && sum < STEP) {
        loading->clearing =
            lease_table_clear_some(registry->leases, &loading->shard, &n);
        sum += n;
    }
    if (sum > 0) {
        mem_merge();
    }
}

/* Answers: END, when all is read. */
static int step(struct registry *registry)
{
    clear_some(registry);
    int r = registry->loading->clearing ? 0 : leases_read(registry, read_some);
    if (r == ERR_END) {
        r = leases_read(registry, read_breaker);
        return r == 0 ? ERR_END : r;
    }
    return r;
}

static int failed(int r)
{
    log_error(LOG_LEASE,
              "leases could not be loaded: while this node leads, heartbeats "
              "answer 503",
              LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
    return r;
}

/* Its turn is due, and finds nothing to do. */
void loading_end(struct registry *registry)
{
    if (registry->loading != NULL) {
        registry->loading->registry = NULL;
        registry->loading = NULL;
    }
}

/* 0: it goes on in the next turn, or all are known. */
static int go_on(struct registry *registry)
{
    struct loading *loading = registry->loading;

    int r = step(registry);
    if (r == 0) {
        core_call(registry->core, &loading->call);
        return 0;
    }
    registry->knows_leases = r == ERR_END;
    registry->loading = NULL;
    mem_free(loading);
    return r == ERR_END ? 0 : failed(r);
}

static void turn(struct core_call *call)
{
    struct loading *loading = CONTAINER(call, struct loading, call);
    struct registry *registry = loading->registry;

    if (registry == NULL) {
        mem_free(loading);
        return;
    }
    if (go_on(registry) == 0 && registry->knows_leases &&
        core_status(registry->core).leads) {
        registry_on_lead(registry, true);
    }
}

/* Replay may have told the hooks of leases that a restore behind has taken
 * away. */
int registry_load(struct registry *registry)
{
    struct loading *loading = mem_zero(sizeof *loading);

    loading->call.func = turn;
    loading->registry = registry;
    loading->clearing = true;
    loading_end(registry); /* One that is under way. */
    registry->loading = loading;
    registry->knows_leases = false;
    return go_on(registry);
}
