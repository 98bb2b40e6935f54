#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
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

uint64_t clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
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
