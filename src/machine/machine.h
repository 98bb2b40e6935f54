/* The state machine: what a command does, the same on every node.
 *
 * Applying is a function of the state and the command's bytes: no clock, no
 * chance, no environment, no library that may differ between nodes. It decides
 * only what the state decides: uniqueness, conditions, counters.
 *
 * Invariants
 *   [MACHINE-1] an entry at or below meta.applied changes nothing.
 *   [MACHINE-2] each changed resource or namespace takes one revision; an
 *               operation takes a consecutive range; a write that leaves the
 *               content equal takes none.
 *   [MACHINE-3] an operation that answers something else than 0 has changed
 *               nothing (but its idempotency record).
 *   [MACHINE-4] every list an entry touched is dropped from the cache before
 *               its transaction commits.
 *
 * Thread: core, for every call. */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "cache/cache.h"
#include "command/command.h"
#include "model/access_quota.h"
#include "store/store.h"

#define MACHINE_KEY_LIFE_MS 600000U
#define MACHINE_KEYS_MOST 200000U
/* Rows bound to one lease by hand and placements of one registration: each ends
 * in one step, which has to stay short. Beyond it: FULL. */
#define MACHINE_BOUND_MOST 1000U
#define MACHINE_SPREAD 256
#define MACHINE_QUOTAS_MOST 10000U /* beyond it: FULL */
#define MACHINE_REASON_MOST 256U   /* bytes, of a maintenance */
/* What a registry begins with, and what this program can apply. */
#define MACHINE_FEATURE_FIRST 1U
#define MACHINE_FEATURE_LEVEL 3U
/* From which on there are marks, and events tell what was before. */
#define MACHINE_FEATURE_CHANGES 2U
/* From which on primary keys have an index. */
#define MACHINE_FEATURE_INDEX 3U

struct machine; /* opaque */

/* What an operation came to. Ends with machine_result_done. */
struct machine_result {
    int answer; /* 0, or an answer of err.h */
    bool created;
    bool changed;
    bool replayed;     /* an idempotency key gave an older result again */
    uint64_t revision; /* 0 and changed: the last of its range. 0 and
                          unchanged: the `_rev` (or list revision) that stands.
                          CONFLICT, PRECONDITION: the current one, 0: none */
    uint64_t first_rev;
    uint64_t n;        /* rows it changed; EXPIRE: leases it ended */
    struct ulid id;    /* the row; CONFLICT: the holder; the new lease */
    uint64_t ns;       /* namespace created */
    uint32_t index;    /* which row of a bulk, which condition, which op */
    struct buf row;    /* single rows: as it is now; empty on delete */
    struct buf detail; /* TXN: per op id:16 rev:8; AGENT_PUT: per placement
                          ns:8 id:16; ACCESS: per item rev:8; LIST_PUT:
                          nothing; QUOTA: what:1 limit:8 used:8, of the quota
                          of `ns` */
};

void machine_result_done(struct machine_result *result);

/* What the lease table has to know of a lease. Lent. */
struct machine_lease {
    struct str hostname;
    struct ulid id;
    uint64_t ttl_ms;
    bool registered; /* by an agent, just now: it has a full TTL. Else something
                        about it is told, when it is known already */
    bool spared;     /* not to be removed for silence, as things are */
    const uint64_t *scopes; /* top-level namespaces with placements of it,
                               ascending */
    size_t n_scopes;
};

/* Of a scope; the numbers are stored (api/store-format.md). */
enum machine_breaker_state {
    MACHINE_BREAKER_CLOSED = 0,
    MACHINE_BREAKER_HELD = 1,
    MACHINE_BREAKER_PACING = 2,
};

/* What the log says of a scope of the breaker. */
struct machine_breaker {
    uint64_t scope;  /* a top-level namespace, 0: the whole registry */
    struct str path; /* "": the namespace has gone. Lent */
    enum machine_breaker_state state;
    bool extended;               /* held by an operator's word */
    uint64_t since_ms, until_ms; /* log time; until: of the hold */
    uint64_t left_ms;            /* of it, when that was applied */
    uint64_t n, bad;             /* leases, and how many were silent */
};

/* A quota that has come to another state. */
struct machine_quota {
    struct str path; /* Lent */
    enum access_quota_what what;
    enum access_quota_state state;
    uint64_t used, warn, refuse;
};

/* Told after the transaction that caused it has committed, in order. Any may be
 * NULL. */
struct machine_hooks {
    void *lease_user;
    void (*lease_put)(void *user, const struct machine_lease *lease);
    void (*lease_del)(void *user, struct str hostname, struct ulid id);
    /* Leases may have other scopes than they were told with. */
    void (*lease_scopes)(void *user);
    void (*breaker)(void *user, const struct machine_breaker *breaker);
    void *quota_user;
    void (*quota)(void *user, const struct machine_quota *quota);
    /* The events of a transaction, and the revision it came to. */
    void *changed_user;
    void (*changed)(void *user, const struct str *events, size_t n,
                    uint64_t revision);
};

struct machine *machine_new(struct store *store, struct cache *cache,
                            const struct machine_hooks *hooks) MUST_USE;
struct machine *machine_free(struct machine *machine);
/* Learn from the store what was applied before. */
int machine_load(struct machine *machine) MUST_USE;

/* Apply one entry (a pack). Opens a transaction when none is open. `results`
 * has one place for each command (zeroed), or is NULL when nobody waits.
 * Answers: BUSY: the slice is used up in the middle of a command. The same call
 * goes on with it: the same index, the same bytes at the same place, `results`
 * with what was put there. Until it is done nothing but that or machine_abort
 * may follow.
 * Faults: DISK_FULL, IO, CORRUPT (also: a pack that cannot be decoded). After a
 * fault only machine_abort may follow. */
int machine_apply(struct machine *machine, uint64_t index, struct str pack,
                  struct machine_result *results) MUST_USE;
/* How many rows a call of machine_apply may change before it answers BUSY, 0
 * (at first): all there are. Cut are only commands that have no other bound:
 * whole lists, and looking at all that is below a namespace. What comes out
 * does not depend on where they are cut. */
void machine_slice(struct machine *machine, uint64_t rows);
/* Commit what is open; nothing open: 0. Faults as above; then all entries since
 * the last commit have to be applied again. */
int machine_commit(struct machine *machine) MUST_USE;
void machine_abort(struct machine *machine);
bool machine_is_open(const struct machine *machine);
/* Whether what is open has used so many namespaces that it must be committed
 * before the next entry: the store serves a few thousand in one transaction,
 * and at start many entries share one. Counts a namespace again when it comes
 * again after another. */
bool machine_is_spread(const struct machine *machine);

/* ---- another state in the place of this one: by a RESTORE, or by another
 * node's that is further ---- */

/* Whether a pack does that, as the state is now: then it is applied by the two
 * functions below, with nothing open, else by machine_apply like any other. */
bool machine_replaces(const struct machine *machine, struct str pack);
/* Stamp the state that a file brought and commit it there; nobody sees it yet.
 * An idempotency key is not looked at. Faults as machine_apply: nothing has
 * happened to either state. */
int machine_restore(struct machine *machine, uint64_t index, struct str pack,
                    struct store_next *next,
                    struct machine_result *result) MUST_USE;
/* The state of another node, to be made visible as it is. Faults: it stays
 * where it is, and this one too. */
int machine_install(struct machine *machine, struct store_next *next) MUST_USE;
/* Make one of these visible. Gives the state before, to be closed. */
struct store_next *machine_restored(struct machine *machine,
                                    struct store_next *next) MUST_USE;

/* As of the last commit. Any thread. */
struct machine_view {
    uint64_t applied;
    uint64_t revision;
    uint64_t lease_epoch;
    uint64_t log_time_ms;   /* greatest time stamp applied */
    uint64_t feature_level; /* 0 before the first command */
    uint64_t next_end_ms;   /* when SWEEP has something to do, UINT64_MAX: never
                             */
    uint64_t access_rev;    /* see store_meta */
    bool has_trash;
    bool has_counts;  /* TALLY has something to do */
    bool is_indexing; /* INDEX has something to do */
    bool initialized;
};
struct machine_view machine_view(const struct machine *machine);
/* See store_meta: it moves before the change can be read, or is told. Any
 * thread. */
uint64_t machine_access_rev(const struct machine *machine);

#endif
