#include "lease/clock.h"

#include "lease/lease.h"

static uint64_t elapsed(const struct lease_clock *clock, uint64_t mono_ms)
{
    return mono_ms > clock->tick_mono ? mono_ms - clock->tick_mono : 0;
}

void lease_clock_restart(struct lease_clock *clock, uint64_t mono_ms)
{
    clock->tick_time += LEASE_STALL_MS; /* the most it was ever ahead */
    clock->tick_mono = mono_ms;
}

uint64_t lease_clock_overrun(const struct lease_clock *clock, uint64_t mono_ms)
{
    uint64_t ms = elapsed(clock, mono_ms);
    return ms > LEASE_STALL_MS ? ms - LEASE_STALL_MS : 0;
}

uint64_t lease_clock_now(const struct lease_clock *clock, uint64_t mono_ms)
{
    return clock->tick_time + elapsed(clock, mono_ms) -
           lease_clock_overrun(clock, mono_ms);
}

void lease_clock_tick(struct lease_clock *clock, uint64_t mono_ms)
{
    uint64_t lost_ms = lease_clock_overrun(clock, mono_ms);
    uint64_t ms = elapsed(clock, mono_ms);

    clock->lost_ms += lost_ms;
    clock->tick_time += ms - lost_ms;
    clock->tick_mono += ms;
}
