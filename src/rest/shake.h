/* Handshakes of TLS that wait for the other side.
 *
 * The library asks its sockets only once they have something (edge-triggered),
 * and forgets that one has nothing only when a request is read from it: a
 * connection in the middle of its handshake stays ready, and is looked at in
 * each turn, which then never waits. One that says nothing would keep a
 * processor busy, a thousand all who ask something. So here it is suspended
 * until its socket has more.
 *
 *   begun ─► SHAKING ─ the end of it ─► the library's alone
 *              │  ▲
 *   has nothing│  │ it has more, or has ended (also: was cut)
 *              ▼  │
 *             PAUSED
 *
 * Invariants
 *   [PAUSE-1] none is suspended when the library is stopped.
 *
 * One thread: the loop's. */
#ifndef REST_SHAKE_H
#define REST_SHAKE_H

#include "rest/peer.h"
#include "rest/ring.h"

struct MHD_Connection;
struct rest_loop;

/* One of a loop. */
struct rest_shakes {
    struct rest_ring shaking; /* looked at by the library in this turn */
    struct rest_ring paused;
};

void rest_shakes_init(struct rest_shakes *shakes);
/* A connection of TLS that the library has just got. */
void rest_shake_begin(struct rest_loop *loop, struct rest_peer *peer,
                      struct MHD_Connection *connection);
/* After the library had its turn. */
void rest_shakes_turn(struct rest_loop *loop);
/* [PAUSE-1] */
void rest_shakes_end(struct rest_loop *loop);

#endif
