/* What operations ask of whoever leads, and what this node answers when it
 * does. Private to the room.
 *
 * A question is not part of its op: an op that has waited long enough goes on
 * without the answer, and the question ends when the core is done with it. */
#ifndef REGISTRY_ASKS_H
#define REGISTRY_ASKS_H

#include "registry/room.h"

/* They cross the wire (api/peer-protocol.md): numbers never change. */
enum ask_kind {
    ASK_CLUSTER = CORE_ASK_FIRST, /* nothing -> the body of /v1/cluster */
    ASK_BEATS,                    /* hostnames -> one byte for each */
    ASK_LIVE,                     /* hostnames -> NAMES_LIVE_BYTES for each */
    ASK_BREAKER,                  /* nothing -> see breaker.c */
};

/* How long a view waits for what only the leader knows, before it is shown
 * without. */
#define ASKS_VIEW_MS 1000

struct asks *asks_new(struct core *core) MUST_USE;
/* After core_run has ended. */
struct asks *asks_free(struct asks *asks);

/* Ask; takes the request. Woken with the answer, or after `wait_ms`; 0: when
 * the core gives up. Always WAITS. */
int asks_send(struct op_state *s, uint32_t kind, struct buf *request,
              uint64_t wait_ms);
/* After the wake, once. 0 or what the leader answered, the reply moved into the
 * op's arena; NOT_READY when nobody answered in time. */
int asks_take(struct op_state *s, struct str *ret_reply) MUST_USE;
/* Core thread: wake those who have waited enough. */
void asks_tick(struct asks *asks, uint64_t mono_ms);
/* The op ends. */
void asks_end(struct op_state *s);

#endif
