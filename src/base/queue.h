/* An intrusive queue from any thread to one: push never blocks, take empties it
 * in the order of the pushes. The pusher that found it empty must wake the
 * taker; the others need not. Lock-free (Treiber's stack, reversed on take). */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/own.h"

struct queue_link {
    struct queue_link *next;
};

struct queue {
    _Atomic(struct queue_link *) head;
};

/* True when it was empty: wake the taker. Any thread. */
bool queue_push(struct queue *queue, struct queue_link *link) MUST_USE;
/* Everything pushed so far, oldest first, NULL when empty. One thread (more
 * share what there is, each gets a part). */
struct queue_link *queue_take(struct queue *queue) MUST_USE;

/* The object that holds a link. */
#define CONTAINER(ptr, type, member)                                           \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
