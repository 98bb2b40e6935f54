#include "rest/deadline.h"

#include <stddef.h>

static void leave(struct rest_deadlines *deadlines, struct rest_peer *peer)
{
    if (peer->phase == REST_NONE) {
        return;
    }
    if (peer->prev != NULL) {
        peer->prev->next = peer->next;
    } else {
        deadlines->lists[peer->phase].first = peer->next;
    }
    if (peer->next != NULL) {
        peer->next->prev = peer->prev;
    } else {
        deadlines->lists[peer->phase].last = peer->prev;
    }
    peer->prev = peer->next = NULL;
    peer->phase = REST_NONE;
}

void rest_deadlines_enter(struct rest_deadlines *deadlines,
                          struct rest_peer *peer, enum rest_phase phase,
                          uint64_t now_ms)
{
    leave(deadlines, peer);
    if (phase == REST_NONE) {
        return;
    }
    peer->phase = phase;
    peer->ends_ms = now_ms + deadlines->lists[phase].span_ms;
    peer->prev = deadlines->lists[phase].last;
    if (peer->prev != NULL) {
        peer->prev->next = peer;
    } else {
        deadlines->lists[phase].first = peer;
    }
    deadlines->lists[phase].last = peer;
}

struct rest_peer *rest_deadlines_due(const struct rest_deadlines *deadlines,
                                     uint64_t now_ms)
{
    for (int phase = REST_IDLE; phase < REST_PHASES; phase++) {
        struct rest_peer *peer = deadlines->lists[phase].first;
        if (peer != NULL && peer->ends_ms <= now_ms) {
            return peer;
        }
    }
    return NULL;
}

uint64_t rest_deadlines_next(const struct rest_deadlines *deadlines,
                             uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (int phase = REST_IDLE; phase < REST_PHASES; phase++) {
        const struct rest_peer *peer = deadlines->lists[phase].first;
        if (peer != NULL) {
            uint64_t left = peer->ends_ms > now_ms ? peer->ends_ms - now_ms : 0;
            next = left < next ? left : next;
        }
    }
    return next;
}
