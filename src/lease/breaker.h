/* The breaker: while so many of a scope are silent at once that the network is
 * more likely at fault than they are, nobody of it is removed.
 *
 *            many are bad                 the hold is over, or an operator
 *   CLOSED ───────────────► HELD ────────────────────────► PACING
 *      ▲                     │ │   most are back, some overdue ▲  │
 *      │  most are back      │ └───────────────────────────────┘  │
 *      ├─────────────────────┘                                    │
 *      └──────────────────────────────────────────────────────────┘
 *                    nobody is overdue, few are silent, most were heard
 *
 * HELD: nobody ends. PACING: so many end in a second, no more. An operator's
 * EXTEND makes either HELD again. What is decided here is in force at once;
 * what the log has (`told`) follows, and is what the next leader begins with.
 * Bad are the silent, and those that were removed for it a moment ago: with
 * TTLs from seconds to hours few are ever silent at once, whatever was cut off.
 * A hold that an operator extended does not end early.
 * Only the end of a hold waits for the log: whoever reads that sees nobody
 * removed between "held" and what follows it.
 *
 * Invariants
 *   [BREAKER-1] a hold that began here ends after hold_ms of lease time at
 *               most, unless an operator extends it.
 *   [BREAKER-2] a new leader, who has heard nobody, changes nothing: it holds
 *               on with what is left, and closes only when it has heard most.
 *   [BREAKER-3] in the log no removal of a lease stands between a TRIP or
 * EXTEND of its scope and the next END_HOLD, RELEASE or CLOSE. [BREAKER-4] when
 * a hold ends early, those who are not back yet have a full TTL from then: they
 * may be about to come.
 *
 * Thread: core; times are lease times. A tick costs the sets and scopes. */
#ifndef LEASE_BREAKER_H
#define LEASE_BREAKER_H

#include "lease/lease.h"
#include "lease/scope.h"

struct lease_breaker {
    struct lease_breaker_config config;
    struct lease_scopes *scopes;
    uint64_t ticked_at;
    uint64_t gone_at;   /* the slot of `gone` that is counted in */
    uint64_t log_ahead; /* log time, as of the start of serving, is lease time
                           and this */
    _Atomic uint64_t trips;
};

/* A leadership begins at `now`, when the log's time is `log_ms`. */
void lease_breaker_begin(struct lease_breaker *breaker, uint64_t now,
                         uint64_t log_ms);
/* All of it is closed, here and in the log. */
void lease_breaker_clear(struct lease_breaker *breaker);
/* The log says so, `left_ms` before `until`. Whether somebody may be collected
 * who could not be before. */
bool lease_breaker_adopt(struct lease_breaker *breaker,
                         const struct machine_breaker *told, bool serving,
                         uint64_t now);
/* Decide, after the marks of this tick were made. Answers as adopt. */
bool lease_breaker_tick(struct lease_breaker *breaker, uint64_t now,
                        bool may_trip);
/* One of this set was removed for silence. */
void lease_breaker_gone(struct lease_breaker *breaker,
                        const struct lease_set *set);
/* Whether one more of this set may end now; it then counts as ended. */
bool lease_breaker_pay(struct lease_breaker *breaker, struct lease_set *set);
/* What the log should be told next. Answers: END. */
int lease_breaker_change(struct lease_breaker *breaker, uint64_t now,
                         struct lease_breaker_change *ret_change) MUST_USE;

#endif
