/* When to look at which lease: a calendar of 512 slots of 100 ms, used round
 * and round.
 *
 * A slot says only when to look, not when a lease ends: a heartbeat moves the
 * end and leaves the link where it is; whoever looks too early puts it back
 * further on. What lies beyond the last slot is put into one of the later half
 * of them, each in turn, and looked at once or twice a turn (51 s), which is
 * cheaper than a second wheel for long TTLs. (Into the last one? A million that
 * are put while the wheel stands would stay together, and all be looked at in
 * one advance.)
 *
 * Invariant
 *   [WHEEL-1] a link is looked at in the first advance whose time has reached
 *             the one it was put for, or earlier.
 *
 * Under the lock of its shard. Putting is O(1); an advance costs the links it
 * looks at and the slots it passes. */
#ifndef LEASE_WHEEL_H
#define LEASE_WHEEL_H

#include <stdint.h>

#include "lease/list.h"

#define LEASE_WHEEL_SLOTS 512
#define LEASE_WHEEL_SLOT_MS 100

struct lease_wheel {
    uint64_t cursor;   /* number of the slot advanced to, counted from time 0 */
    uint64_t n_beyond; /* so many were put that lie beyond */
    struct lease_link slots[LEASE_WHEEL_SLOTS];
};

void lease_wheel_init(struct lease_wheel *wheel);
/* Look at it at `time_ms`; leaves the list it stands in. */
void lease_wheel_put(struct lease_wheel *wheel, struct lease_link *link,
                     uint64_t time_ms);
/* Look at all of them in the next advance. */
void lease_wheel_put_all(struct lease_wheel *wheel, struct lease_link *list);

/* Must put the link somewhere: into the wheel again or into another list. */
typedef void lease_wheel_func(struct lease_link *link, void *user);
void lease_wheel_advance(struct lease_wheel *wheel, uint64_t now_ms,
                         lease_wheel_func *look, void *user);

#endif
