#include "agent/pace.h"

enum { LEAST_MS = 250, MOST_MS = 10000 };

uint64_t pace_beat_ms(uint64_t interval_ms, uint64_t chance)
{
    return interval_ms - chance % (interval_ms / 10 + 1);
}

uint64_t pace_retry_ms(unsigned failures, uint64_t interval_ms, uint64_t chance)
{
    uint64_t most = interval_ms < MOST_MS ? interval_ms : MOST_MS;
    uint64_t pause = LEAST_MS;

    for (unsigned i = 1; i < failures && pause < most; i++) {
        pause *= 2;
    }
    pause = pause < most ? pause : most;
    return pause / 2 + chance % (pause / 2 + 1);
}
