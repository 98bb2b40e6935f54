/* Who comes in: accepting connections, and what they have to show before the
 * library gets them.
 *
 *   accept ─► plain ────────────────────► the library
 *          └► TLS: a guest (guest.h) ─► a pipe (pipe.h) to the library
 *
 * Invariants
 *   [DOOR-1] each connection has one seat from accept to its end, whoever has
 *            its socket; there are never more than max_connections.
 *   [DOOR-2] when all seats are taken, the one that is open the longest without
 *            the head of a request gives way: silence does not lock anybody
 *            out.
 *
 * One thread: the loop's. */
#ifndef REST_DOOR_H
#define REST_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"
#include "rest/peer.h"
#include "rest/ring.h"
#include "rest/side.h"

struct rest_loop;

/* One of a loop. */
struct rest_door {
    struct rest_side side;   /* the listener's */
    struct rest_ring fresh;  /* peers, the oldest first [DOOR-2] */
    struct rest_peer *comes; /* the library is told of this one */
    bool full;               /* nobody is accepted */
    uint64_t again_ms;       /* until then, when there was no descriptor */
};

/* Accepts from now on. Faults: SYSTEM. */
int rest_door_open(struct rest_loop *loop) MUST_USE;
/* Nobody new. */
void rest_door_shut(struct rest_loop *loop);
void rest_door_turn(struct rest_loop *loop);
/* Milliseconds to the next turn that has something to do; UINT64_MAX: none. */
uint64_t rest_door_next(const struct rest_loop *loop, uint64_t now_ms);
/* To the library, which takes it. */
void rest_door_admit(struct rest_loop *loop, struct rest_peer *peer);
/* A socket that the library had before becomes its again, as soon as it has
 * something to ask; takes it. `was` goes. */
void rest_door_give_back(struct rest_loop *loop, struct rest_peer *was);
/* All that there is of one whose socket is closed, or about to be. */
void rest_door_forget(struct rest_loop *loop, struct rest_peer *peer);
/* A connection has ended. Also one whose seat has another holder now. */
void rest_door_give_seat(struct rest_loop *loop, struct rest_seat *seat);
/* The holder is another one now. */
struct rest_seat rest_door_move_seat(struct rest_seat *seat);

#endif
