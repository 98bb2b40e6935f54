#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) != 0) {
        abort();
    }
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

static uint64_t us_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void clock_thread_spent(struct clock_spent *ret_spent)
{
    struct rusage usage;

    if (getrusage(RUSAGE_THREAD, &usage) != 0) {
        abort();
    }
    *ret_spent = (struct clock_spent){
        .cpu_us = us_of(usage.ru_utime) + us_of(usage.ru_stime),
        .faults = (uint64_t)usage.ru_minflt,
        .reads = (uint64_t)usage.ru_majflt,
        .blocked = (uint64_t)usage.ru_nvcsw,
        .preempted = (uint64_t)usage.ru_nivcsw,
    };
}

uint64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void chance_fill(void *bytes, size_t n)
{
    char *at = bytes;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            continue; /* EINTR only: the pool is ready once we run. */
        }
        at += got;
        n -= (size_t)got;
    }
}

uint64_t chance_u64(void)
{
    uint64_t value;
    chance_fill(&value, sizeof value);
    return value;
}
