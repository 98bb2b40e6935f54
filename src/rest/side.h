/* Descriptors that a loop looks at itself, beside the library's: an epoll set
 * of its own in the loop's outer one.
 *
 * The library does not look at a suspended connection, so nobody would notice
 * that its client has gone; and a stream's or a poll's socket is not the
 * library's any more (stream.h, taken.h). One thread: the loop's. */
#ifndef REST_SIDE_H
#define REST_SIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/own.h"

enum { SIDE_BATCH = 256 };

struct rest_side;
/* `events` as epoll has them. It may remove this one and any other. */
typedef void rest_side_func(struct rest_side *side, uint32_t events);

/* Member of whoever waits. {.fd, .func} is one that is in no set. */
struct rest_side {
    int fd;
    bool in;
    rest_side_func *func;
};

/* One of a loop. */
struct rest_sides {
    int epoll; /* -1: none */
    struct epoll_event batch[SIDE_BATCH];
    int n, at; /* of the batch that is being told */
};

/* Faults: SYSTEM. */
int rest_sides_open(struct rest_sides *sides) MUST_USE;
/* Nobody is in it any more. Also one that was not opened (epoll == -1). */
void rest_sides_close(struct rest_sides *sides);
/* What it waits for from now on: EPOLLRDHUP, EPOLLOUT …; with EPOLLONESHOT
 * nothing more is told after the first until it is set again. Also one that is
 * in. Faults: SYSTEM. */
int rest_side_set(struct rest_sides *sides, struct rest_side *side,
                  uint32_t events) MUST_USE;
/* Also one that is not in. Before its descriptor is closed, or given back to
 * the library. */
void rest_side_remove(struct rest_sides *sides, struct rest_side *side);
/* Tells what there is, without waiting. */
void rest_sides_turn(struct rest_sides *sides);

#endif
