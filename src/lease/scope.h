/* Which leases lie in which part of the registry, and how many of them are how.
 *
 * A scope is the whole registry (0) or one of its top-level namespaces. A lease
 * lies in several when its placements do, so what it remembers is the number of
 * a *set* of scopes: there are few distinct ones, whatever the number of
 * leases. Counts are kept for each set; those of a scope are sums over sets,
 * made on each tick.
 *
 * Invariants
 *   [SCOPE-1] each lease is counted in exactly one set; a spared one in none
 *             but for `members`.
 *   [SCOPE-2] `suspect`, `overdue` and `heard` count the marks of the present
 *             term.
 *
 * Threads: the counts of a set and `held` any; all else the core, which takes
 * `lock` to change what others read under it: every call here is under it. It
 * goes before that of a shard. */
#ifndef LEASE_SCOPE_H
#define LEASE_SCOPE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/mem.h"
#include "machine/machine.h"

/* Leases beyond the first, and leases in more scopes than the second, are
 * counted in the whole registry alone. */
#define LEASE_SETS_MOST 16384U
#define LEASE_SET_SCOPES_MOST 64U

struct lease_counts {
    uint64_t n, suspect, overdue, heard;
    uint64_t gone; /* removed for silence a moment ago; of scopes only */
};

enum { LEASE_GONE_SLOTS = 6 };

/* A scope and what the breaker makes of it. */
struct lease_scope {
    uint64_t id;
    unsigned n_sets;            /* that it is in; the whole: not counted */
    struct lease_counts counts; /* as of the last tick */
    enum machine_breaker_state state, told; /* in force; as the log has it */
    uint64_t since_ms, until_ms;            /* log time */
    uint64_t told_until_ms;                 /* until_ms as the log has it */
    bool extended;                   /* by an operator: no hold ends early */
    uint64_t ends_at;                /* of a hold: lease time */
    uint64_t credit;                 /* of pacing: thousandths of a removal */
    uint32_t gone[LEASE_GONE_SLOTS]; /* in each slot of time: see breaker.c */
    UT_hash_handle hh;
};

struct lease_set {
    _Atomic int64_t n, suspect, overdue, heard;
    atomic_bool held; /* one of its scopes is */
    uint64_t members; /* leases, the spared among them; 0: it is free */
    uint64_t floor;   /* lease time: a TTL that began earlier begins then */
    struct lease_scope **scopes; /* but for the whole, which all are in */
    uint64_t *ids;               /* theirs, ascending: the key */
    unsigned n_scopes;
    uint16_t number;
    UT_hash_handle hh;
};

struct lease_scopes {
    pthread_mutex_t lock;
    struct lease_scope whole;
    struct lease_scope *scopes; /* by id, the others */
    struct lease_set *by_ids;
    struct lease_set *sets; /* LEASE_SETS_MOST of them; 0 is the empty one */
    size_t n_sets;          /* ever used at once */
    uint16_t *free;
    size_t n_free;
    struct lease_set *last; /* asked for */
};

void lease_scopes_init(struct lease_scopes *scopes);
void lease_scopes_done(struct lease_scopes *scopes);

/* The set of these ids, made when there is none. */
struct lease_set *lease_scopes_set(struct lease_scopes *scopes,
                                   const uint64_t *ids, size_t n);
/* Whether nobody of it may end: a hold begins when it is decided, and is over
 * when the log says so. */
bool lease_scopes_held(const struct lease_scopes *scopes,
                       const struct lease_set *set);
/* A lease joins or leaves it. One that nobody is in is forgotten. */
void lease_scopes_join(struct lease_set *set);
void lease_scopes_leave(struct lease_scopes *scopes, struct lease_set *set);
/* Made when there is none. */
struct lease_scope *lease_scopes_scope(struct lease_scopes *scopes,
                                       uint64_t id);
/* Forget it when nothing is left to remember. */
void lease_scopes_drop(struct lease_scopes *scopes, struct lease_scope *scope);

/* A term begins: it has no marks yet. */
void lease_scopes_begin(struct lease_scopes *scopes);
/* Counts of the scopes from those of the sets. */
void lease_scopes_sum(struct lease_scopes *scopes);
/* The suspect of the sets that are held. */
uint64_t lease_scopes_stopped(struct lease_scopes *scopes);
/* Behind NULL the whole, behind another the next; NULL: no more. */
struct lease_scope *lease_scopes_next(struct lease_scopes *scopes,
                                      struct lease_scope *scope);

#endif
