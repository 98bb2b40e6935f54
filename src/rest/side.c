#include "rest/side.h"

#include <unistd.h>

#include "base/err.h"

int rest_sides_open(struct rest_sides *sides)
{
    sides->epoll = epoll_create1(EPOLL_CLOEXEC);
    return sides->epoll < 0 ? err_raise(ERR_SYSTEM) : 0;
}

void rest_sides_close(struct rest_sides *sides)
{
    if (sides->epoll >= 0) {
        (void)close(sides->epoll);
    }
    sides->epoll = -1;
}

int rest_side_set(struct rest_sides *sides, struct rest_side *side,
                  uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = side};

    if (epoll_ctl(sides->epoll, side->in ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
                  side->fd, &event) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    side->in = true;
    return 0;
}

/* What was found already is not told any more: who removes one frees it. */
static void forget(struct rest_sides *sides, const struct rest_side *side)
{
    for (int i = sides->at; i < sides->n; i++) {
        if (sides->batch[i].data.ptr == side) {
            sides->batch[i].data.ptr = NULL;
        }
    }
}

void rest_side_remove(struct rest_sides *sides, struct rest_side *side)
{
    if (!side->in) {
        return;
    }
    (void)epoll_ctl(sides->epoll, EPOLL_CTL_DEL, side->fd, NULL);
    side->in = false;
    forget(sides, side);
}

void rest_sides_turn(struct rest_sides *sides)
{
    sides->n = epoll_wait(sides->epoll, sides->batch, SIDE_BATCH, 0);
    for (sides->at = 0; sides->at < sides->n;) {
        const struct epoll_event *event = &sides->batch[sides->at++];
        struct rest_side *side = event->data.ptr;
        if (side != NULL) {
            side->func(side, event->events);
        }
    }
    sides->n = sides->at = 0;
}
