/* The reaper: proposes the end of leases that are due, in batches.
 *
 * One proposal is out at a time and carries the lease epoch in which the table
 * began to serve, so that one made by a leader that has lost its place does
 * nothing. It is looked through again when it takes its place in the log. While
 * more are due the next batch follows at once. A process that stood still asks
 * a quorum whether it still leads before it ends anyone.
 *
 * Thread: core. */
#ifndef LEASE_REAPER_H
#define LEASE_REAPER_H

#include "lease/lease.h"
#include "raft/core.h"

struct reaper; /* opaque */

struct reaper *reaper_new(struct lease_table *leases,
                          struct core *core) MUST_USE;
/* After core_run has ended. */
struct reaper *reaper_free(struct reaper *reaper);
/* Asked about each lease that is due: when it says yes, its end is not proposed
 * and the lease, which is `ending`, is its own to spare. Before the first tick.
 */
typedef bool reaper_instead_func(void *user, struct str hostname,
                                 struct ulid id);
void reaper_ask_first(struct reaper *reaper, reaper_instead_func *instead,
                      void *user);
/* Told of what was removed, and of what the breaker did. Before the first tick.
 */
void reaper_tell(struct reaper *reaper, lease_act_func *act, void *user);
/* The table has begun to serve, in the epoch that the core's status tells. */
void reaper_begin(struct reaper *reaper);
/* On each tick of a leader. */
void reaper_tick(struct reaper *reaper);

#endif
