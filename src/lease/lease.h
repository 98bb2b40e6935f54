/* Who is alive: deadlines in memory, which run on the leader alone.
 *
 * Every node keeps the table, as the log says which leases there are; only that
 * of the leader serves. So a new leader has nothing to load: it begins a term.
 *
 * A heartbeat writes nothing to the log: it moves a deadline here. The reaper
 * runs on the core loop's tick and proposes, in batches, the end of leases
 * whose deadline has passed; the machine ends them. A lease whose end is
 * proposed is `ending`: its heartbeat waits for the outcome (BUSY).
 *
 * Time is the lease clock: it is driven by the tick and never runs more than
 * LEASE_STALL_MS ahead of the last one. A process that was stopped (SIGSTOP,
 * swap, a slow disk) thus gives the lost time back to everyone: deadlines are
 * lease-clock times. A new leader starts the clock anew and gives every lease a
 * full TTL.
 *
 * Invariants
 *   [LEASE-1] nobody is proposed for removal before a full TTL of lease time
 *             has passed since the last heartbeat this node answered with ok.
 *   [LEASE-2] a removal is proposed within 1 s of lease time after the TTL,
 *             unless the breaker (breaker.h) holds or paces it.
 *   [LEASE-3] a heartbeat that was answered ok is never followed by a removal
 *             that was proposed before it: ending leases answer BUSY.
 *   [LEASE-4] nor is a registration. One that is ordered before the removal is
 *             applied here when the removal takes its place in the log, and
 *             spares the lease (lease_still_due); one that is ordered behind
 *             it makes a new lease.
 *   [LEASE-5] nobody in a held scope, and nobody that is spared, is proposed
 *             for removal; whose removal was proposed before is taken out of
 *             the proposal before that enters the log (lease_still_due).
 *
 * Any thread, except where a function says core. Heartbeat O(1). */
#ifndef LEASE_LEASE_H
#define LEASE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/own.h"
#include "machine/machine.h"
#include "model/ulid.h"

#define LEASE_TICK_MS 100
#define LEASE_STALL_MS 500
#define LEASE_TTL_LEAST_MS 2000
#define LEASE_TTL_MOST_MS 86400000 /* 24 h */
#define LEASE_TTL_DEFAULT_MS 30000

struct lease_table; /* opaque */

/* A breaker is off where `percent` is 0. */
struct lease_breaker_config {
    uint64_t percent; /* of a scope; more of them silent at once, */
    uint64_t min;     /* and so many at least, trip it */
    uint64_t hold_ms;
    uint64_t rate; /* removals in a second after a hold, for each scope */
};

/* The breaker is off until lease_table_configure, which comes before all else.
 */
struct lease_table *lease_table_new(void) MUST_USE;
void lease_table_configure(struct lease_table *table,
                           const struct lease_breaker_config *config);
struct lease_table *lease_table_free(struct lease_table *table);

/* Core. Begin to serve as leader: the clock starts, every lease that is in the
 * table has a full TTL from now, the breaker is as the log says, whose time is
 * `log_ms`. Before it and after lease_table_halt every heartbeat answers
 * NOT_READY and nothing expires. No lease is looked at: both cost the shards
 * and the scopes. */
void lease_table_serve(struct lease_table *table, uint64_t mono_ms,
                       uint64_t log_ms);
void lease_table_halt(struct lease_table *table);
bool lease_table_serves(struct lease_table *table);

/* Forget all of them, as none of them had ever been, and the breaker's scopes.
 */
void lease_table_clear(struct lease_table *table);
/* The same a shard at a time: a million take a while. *io_shard is 0 at first.
 * *ret_n: how many were forgotten. Whether there are more shards. */
bool lease_table_clear_some(struct lease_table *table, size_t *io_shard,
                            size_t *ret_n) MUST_USE;

/* A lease is so (after its registration or a change of it was applied, or at
 * start from the store). A new one, one with another id and one that was
 * registered just now have a full TTL from now; unless it was registered,
 * last_heartbeat is unknown. One that is ending goes on ending when the id is
 * the same, until its end is ordered or lease_still_due says that it is not to
 * be. */
void lease_table_put(struct lease_table *table,
                     const struct machine_lease *told, uint64_t mono_ms);
/* It is gone (applied). Only when the id is the same. */
void lease_table_del(struct lease_table *table, struct str hostname,
                     struct ulid id);

/* Answers: NOT_FOUND, NOT_READY, BUSY (its end is proposed). */
int lease_heartbeat(struct lease_table *table, struct str hostname,
                    uint64_t mono_ms) MUST_USE;

/* HELD: suspect, in a scope that the breaker holds. */
enum lease_state { LEASE_ALIVE, LEASE_SUSPECT, LEASE_HELD };
struct lease_info {
    struct ulid id;
    uint64_t ttl_ms;
    bool serving; /* `state` means something */
    enum lease_state state;
    bool heard;                 /* last_heartbeat_ms means something */
    uint64_t last_heartbeat_ms; /* lease time since then */
};
int lease_get(struct lease_table *table, struct str hostname, uint64_t mono_ms,
              struct lease_info *ret_info) MUST_USE;

/* Core, on each tick. Moves the lease clock, finds out who is suspect, lets the
 * breaker decide, then collects up to `limit` leases
 * that are due, marks them ending, and calls `due` for each (hostname lent for
 * the call; the table may be used from there). Returns how many. With `limit` 0
 * nobody ends, but who is suspect is still found. Costs the leases it looks at:
 * each about twice in a TTL or in 38 s, whichever is less. */
typedef void lease_due_func(struct str hostname, struct ulid id, void *user);
size_t lease_tick(struct lease_table *table, uint64_t mono_ms, size_t limit,
                  lease_due_func *due, void *user);
/* Core, when the end of a lease that was collected takes its place in the log
 * and all before that is applied: whether it is due still. One that was
 * registered anew meanwhile lives on. */
bool lease_still_due(struct lease_table *table, struct str hostname,
                     struct ulid id) MUST_USE;
/* Core. The proposal to end it was refused or lost: it lives on with what is
 * left of its deadline (it will be due again at the next tick). */
void lease_spare(struct lease_table *table, struct str hostname,
                 struct ulid id);

/* `suspect` (the overdue and the ending among them) as of the last tick, plus
 * or minus the heartbeats since; `stopped`: those of them in scopes that are
 * held. These and `ending` are 0 in a table that does not serve. `expired`
 * those deleted while ending. Cheap: no walk. */
struct lease_stats {
    uint64_t held, suspect, stopped, ending, heartbeats, expired, lost_ms;
};
struct lease_stats lease_stats(struct lease_table *table, uint64_t mono_ms);

/* ---- the breaker: see breaker.h ---- */

/* Core. The log says so of a scope. */
void lease_table_breaker(struct lease_table *table,
                         const struct machine_breaker *told, uint64_t mono_ms);
/* What the log should be told of the breaker next. */
struct lease_breaker_change {
    uint64_t scope;
    enum breaker_what what;
    uint64_t hold_ms; /* as in the command */
    uint64_t n, bad;
};
/* Core. Answers: END; always while the table does not serve. */
int lease_table_change(struct lease_table *table,
                       struct lease_breaker_change *ret_change) MUST_USE;

/* A scope, as of the last tick; where this table does not serve the state is as
 * the log has it, and the numbers mean nothing. */
struct lease_scope_info {
    uint64_t scope;
    enum machine_breaker_state state, told; /* in force; as the log has it */
    uint64_t since_ms, until_ms;            /* log time; until: of the hold */
    uint64_t n, suspect;
};
/* Appends those of all scopes, the whole first. */
void lease_table_scopes(struct lease_table *table, struct buf *out);
uint64_t lease_table_trips(struct lease_table *table);
void lease_table_config(const struct lease_table *table,
                        struct lease_breaker_config *ret_config);

/* Core. Namespaces moved: leases may be in other scopes than they were put
 * with. Whether that was said since the last time it was asked. */
void lease_table_moved(struct lease_table *table);
bool lease_table_take_moved(struct lease_table *table) MUST_USE;

/* What a leader has done by itself: an operation's name, what it was about, the
 * namespace it concerns (0: none), and the revision it came to. Core thread;
 * may not wait. */
typedef void lease_act_func(void *user, const char *op, struct str about,
                            uint64_t ns_id, uint64_t revision);

#endif
