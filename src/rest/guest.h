/* Connections of TLS that nobody has yet: at the door, in their handshake, or
 * without a request.
 *
 *   accept ─► WAITING ─ a first byte ─► in line ─► SHAKING ─┐
 *                └─ plain HTTP ─► PARTING ─► end            ▼
 *   the library, or ours (taken.h) ─ nothing to ask ─► SILENT ─ a byte of a
 *      ▲                                               request
 *      └──────────── gets a pipe (pipe.h) ◄── in line ◄─────┘
 *
 * Who has nothing to ask costs a session and no more; of handshakes a few begin
 * in a turn of the loop.
 *
 * One thread: the loop's. */
#ifndef REST_GUEST_H
#define REST_GUEST_H

#include <stdint.h>

#include "rest/ring.h"

struct rest_guest;
struct rest_loop;
struct rest_peer;

/* One of a loop. */
struct rest_guests {
    struct rest_ring ready;  /* whose handshake may begin */
    struct rest_ring asking; /* for the library */
};

void rest_guests_init(struct rest_guests *guests);
/* A connection that was accepted. */
void rest_guest_welcome(struct rest_loop *loop, struct rest_peer *peer);
/* One with a session: it may have something to ask already. */
void rest_guest_wait(struct rest_loop *loop, struct rest_peer *peer);
/* Its end. */
void rest_guest_send_away(struct rest_guest *guest);
/* The next handshakes, and those who ask. */
void rest_guests_turn(struct rest_loop *loop);
/* Milliseconds to the next turn that has something to do; UINT64_MAX: none. */
uint64_t rest_guests_next(const struct rest_loop *loop);
/* The very end of all that are left. */
void rest_guests_abandon(struct rest_loop *loop);

#endif
