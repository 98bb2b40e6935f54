/* When to speak next: chance comes in as a number, so that tests choose it. */
#ifndef AGENT_PACE_H
#define AGENT_PACE_H

#include <stdint.h>

/* The pause to the next heartbeat: `interval` shortened by up to a tenth, so
 * that a fleet started together does not stay in step. */
uint64_t pace_beat_ms(uint64_t interval_ms, uint64_t chance);

/* The pause after `failures` >= 1 tries in a row: doubling from a quarter of a
 * second to 10 s, half of it by chance, and never more than `interval`: a
 * server that comes back must hear from us before the lease ends. */
uint64_t pace_retry_ms(unsigned failures, uint64_t interval_ms,
                       uint64_t chance);

#endif
