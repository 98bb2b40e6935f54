/* The lease clock: moved by ticks, read between them, never more than a stall
 * (LEASE_STALL_MS) ahead of its last tick. A value; its holder locks. */
#ifndef LEASE_CLOCK_H
#define LEASE_CLOCK_H

#include <stdint.h>

struct lease_clock {
    uint64_t tick_mono; /* monotonic time of the last tick */
    uint64_t tick_time; /* lease time then */
    uint64_t lost_ms;   /* given back so far */
};

/* Begin anew at `mono_ms`, later in lease time than anything it ever told. */
void lease_clock_restart(struct lease_clock *clock, uint64_t mono_ms);
void lease_clock_tick(struct lease_clock *clock, uint64_t mono_ms);
/* A time before the last tick (read by another thread) counts as the tick's. */
uint64_t lease_clock_now(const struct lease_clock *clock, uint64_t mono_ms);
/* What the next tick would give back if it came now. */
uint64_t lease_clock_overrun(const struct lease_clock *clock, uint64_t mono_ms);

#endif
