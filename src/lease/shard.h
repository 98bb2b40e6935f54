/* One part of the table: the leases whose hostnames hash here, found by name
 * and by time, and what the rules of lease.h mean for one of them.
 *
 * A term is one stay as leader. What a lease learned in an earlier term is
 * void; it is brought up to date when it is next touched, so that serving a
 * million leases begins without walking them.
 *
 * Invariants
 *   [SHARD-1] each lease stands in the wheel, no later than it becomes suspect
 *             (overdue, when it is suspect already), or, overdue, in the queue
 *             of its set or, when it is spared, in `spared`.
 *   [SHARD-2] n_suspect and n_ending count the marks of the present term, and
 *             so do the counts of the sets (scope.h).
 *   [SHARD-3] a queue that is not empty is in `active`; or in `parked`, which
 *             nobody looks at, while its set is held.
 *
 * Everything under `lock`, which the caller holds; times are lease times. */
#ifndef LEASE_SHARD_H
#define LEASE_SHARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "lease/breaker.h"
#include "lease/clock.h"
#include "lease/scope.h"
#include "lease/wheel.h"
#include "model/ulid.h"

/* A million of these must be cheap: 64 bytes and the hostname. */
struct lease {
    struct lease_link link;
    struct lease *next; /* in its bucket */
    uint64_t since;     /* begin of its present TTL */
    struct ulid id;
    uint32_t hash;
    uint32_t ttl_ms;
    uint32_t term; /* the four marks and `since` belong to it */
    uint16_t set;  /* of scopes */
    uint8_t hostname_n;
    bool heard : 1;
    bool suspect : 1;
    bool ending : 1;
    bool overdue : 1; /* and the ending among them */
    bool spared : 1;  /* this one is no mark */
    char hostname[];
};
_Static_assert(sizeof(struct lease) == 64, "see above");

/* The overdue of one set, oldest first. */
struct lease_queue {
    struct lease_link leases;
    struct lease_link link; /* in `active` or `parked`; else alone */
    uint16_t set;
};

struct lease_shard {
    pthread_mutex_t lock;
    struct lease_scopes *scopes;
    bool serving;
    uint32_t term;
    uint64_t served_at;
    /* A copy for each shard, so that its two numbers are read together under a
     * lock that is held anyway. */
    struct lease_clock clock;
    struct lease **buckets;
    uint32_t n_buckets; /* a power of two */
    uint32_t n;
    uint32_t n_suspect;
    uint32_t n_ending;
    uint64_t n_heartbeats;
    uint64_t n_expired;
    struct lease_queue **queues; /* by number of the set; NULL: none yet */
    size_t n_queues;
    struct lease_link active, parked;
    struct lease_link spared; /* overdue, were they not */
    struct lease_wheel wheel;
};

void lease_shard_init(struct lease_shard *shard, struct lease_scopes *scopes);
void lease_shard_done(struct lease_shard *shard);
/* Begin a term: `clock` is the one that starts. */
void lease_shard_serve(struct lease_shard *shard,
                       const struct lease_clock *clock);

uint64_t lease_shard_now(const struct lease_shard *shard, uint64_t mono_ms);
/* Brought up to date; NULL when there is none. */
struct lease *lease_shard_find(struct lease_shard *shard, struct str hostname,
                               uint32_t hash);
/* A new one, with a full TTL to be set by lease_shard_renew, in no scope but
 * the whole. Here and wherever a lease changes its set or goes, the caller
 * holds the lock of the scopes too. */
struct lease *lease_shard_add(struct lease_shard *shard, struct str hostname,
                              uint32_t hash);
/* All of them. */
void lease_shard_clear(struct lease_shard *shard);
void lease_shard_remove(struct lease_shard *shard, struct lease *lease);

/* A full TTL from now, as a new or refreshed lease. */
void lease_shard_renew(struct lease_shard *shard, struct lease *lease,
                       uint64_t ttl_ms, bool heard, uint64_t now);
/* Who is spared no more has a full TTL from now. */
void lease_shard_assign(struct lease_shard *shard, struct lease *lease,
                        struct lease_set *set, bool spared, uint64_t now);
/* A full TTL from now, by a heartbeat. O(1), mostly one store. */
void lease_shard_hear(struct lease_shard *shard, struct lease *lease,
                      uint64_t now);
void lease_shard_set_ending(struct lease_shard *shard, struct lease *lease,
                            bool ending);

/* Look at what the clock has reached: marks the suspect, finds the overdue. */
void lease_shard_advance(struct lease_shard *shard);
/* ---- due.c ---- */
/* It is overdue. */
void lease_shard_queue(struct lease_shard *shard, struct lease *lease);
/* The oldest overdue lease of some set that may end, now marked ending and paid
 * for; NULL when there is none. Sets take turns. Core. */
struct lease *lease_shard_next_due(struct lease_shard *shard,
                                   struct lease_breaker *breaker);
/* Some set is not held any more. */
void lease_shard_unpark(struct lease_shard *shard);

struct lease_set *lease_shard_set(const struct lease_shard *shard,
                                  const struct lease *lease);
uint64_t lease_age(const struct lease *lease, uint64_t now);
bool lease_is_late(const struct lease *lease, uint64_t now); /* suspect */

#endif
