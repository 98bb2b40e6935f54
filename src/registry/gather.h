/* Heartbeats that arrive one by one on a node that does not lead: those that
 * come while a question is out go together with the next. Private to the room.
 *
 * One question is out at a time, so what they cost grows with the time of a
 * round and not with their number. */
#ifndef REGISTRY_GATHER_H
#define REGISTRY_GATHER_H

#include "registry/room.h"

/* In s->memory of its op, from the first turn on. */
struct gathered {
    struct gathered *next;
    struct op_state *s;
    bool asked;
    int said; /* then: 0, NOT_FOUND, BUSY (its end is proposed), NOT_READY */
};

struct gather *gather_new(struct core *core) MUST_USE;
/* After core_run has ended. */
struct gather *gather_free(struct gather *gather);
/* Asks for the heartbeat of op->id. Always WAITS. */
int gather_send(struct op_state *s, struct gathered *one);

#endif
