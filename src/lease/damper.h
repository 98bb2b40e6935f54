/* The damper: looks whether an agent that is due has come and gone too often,
 * and then proposes to keep it for a while instead of removing it again
 * (machine/flap.c).
 *
 * Thread: core. */
#ifndef LEASE_DAMPER_H
#define LEASE_DAMPER_H

#include "lease/lease.h"
#include "raft/core.h"

struct damper; /* opaque */

/* `count`: after so many goings within the window it is kept for as long as
 * that; 0: nobody is. */
struct damper *damper_new(struct lease_table *leases, struct core *core,
                          uint64_t count, uint64_t window_ms) MUST_USE;
/* After core_run has ended, before core_close. */
struct damper *damper_free(struct damper *damper);
/* Told of whom is kept. Before the first tick. */
void damper_tell(struct damper *damper, lease_act_func *act, void *user);
/* Whether it took care of a lease that was collected to be ended: a
 * reaper_instead_func. */
bool damper_takes(void *damper, struct str hostname, struct ulid id);

#endif
