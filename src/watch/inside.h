/* What the files of this room share. Private. */
#ifndef WATCH_INSIDE_H
#define WATCH_INSIDE_H

#include "watch/watch.h"

/* ---- wants.c ---- */
/* Whether a path is `top` or below it. */
bool watch_is_below(struct str path, struct str top);
/* Whether rows came, went or moved with a namespace. */
bool watch_moves_rows(const struct event *event);

/* ---- read.c ---- */
/* Whether all that came behind `after` is still in the history. */
bool watch_reaches(const struct store_meta *meta, uint64_t after);

/* ---- hub.c: who is told that there is something new ---- */
struct watch_listener {
    struct watch_listener *next;
    void (*poke)(void *user);
    void *user;
    atomic_bool waits; /* somebody is in its table */
    atomic_bool poked; /* and its turn is to come */
};
void watch_hub_listen(struct watch_hub *hub, struct watch_listener *listener);
void watch_hub_unlisten(struct watch_hub *hub, struct watch_listener *listener);

#endif
