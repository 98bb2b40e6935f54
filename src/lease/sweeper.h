/* The sweeper: proposes the end of what ends by itself (maintenance, flapping)
 * when the first of it is due by the log's clock, in batches. O(1) while
 * nothing is due: the state says when that is.
 *
 * Thread: core. */
#ifndef LEASE_SWEEPER_H
#define LEASE_SWEEPER_H

#include "lease/lease.h"
#include "raft/core.h"

struct sweeper; /* opaque */

struct sweeper *sweeper_new(struct core *core) MUST_USE;
/* After core_run has ended. */
struct sweeper *sweeper_free(struct sweeper *sweeper);
/* Told of what has ended. Before the first tick. */
void sweeper_tell(struct sweeper *sweeper, lease_act_func *act, void *user);
/* On each tick of a leader. */
void sweeper_tick(struct sweeper *sweeper);

#endif
