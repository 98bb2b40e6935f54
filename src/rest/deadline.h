/* What a connection may take how long for.
 *
 * libmicrohttpd's timeout counts from the last byte: a client that sends one
 * header line a second is never closed, and each byte costs a look at the clock
 * and a lock. Here each phase of a connection has one
 * length for all, so that each list is in order by itself and every move is
 * O(1).
 *
 *   accept ─► HEAD ─► (BODY) ─► NONE ─► SEND ─► IDLE ─► HEAD …
 *
 * One thread. */
#ifndef REST_DEADLINE_H
#define REST_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "rest/peer.h"

struct rest_deadlines {
    struct {
        struct rest_peer *first, *last;
        uint64_t span_ms;
    } lists[REST_PHASES];
};

void rest_deadlines_enter(struct rest_deadlines *deadlines,
                          struct rest_peer *peer, enum rest_phase phase,
                          uint64_t now_ms);
/* One whose time is over, NULL when there is none. It stays where it is. */
struct rest_peer *rest_deadlines_due(const struct rest_deadlines *deadlines,
                                     uint64_t now_ms);
/* Milliseconds to the next, UINT64_MAX when there is none. */
uint64_t rest_deadlines_next(const struct rest_deadlines *deadlines,
                             uint64_t now_ms);

#endif
