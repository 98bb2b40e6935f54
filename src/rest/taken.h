/* Sockets in our own hands.
 *
 * libmicrohttpd keeps some kilobytes for each connection, and takes its time
 * for each request. A poll that waits has no use for them, and a client that
 * reads what is kept pays for nothing he gets. Their sockets are taken out of
 * the library's hands, as a stream's is (stream_begin.c), get their answers
 * here, and are given back when their clients ask for something else.
 *
 *   library ─► (a poll WAITS: park.h) ─► SENDING ─► IDLE ────────► library
 *                          │                │  ▲      │
 *                          │                │  └── LOOKS (express.h)
 *                          └──── hang-up ───┴─ time ──┴─────────► closed
 *
 * What the library has read cannot be put back. So one is taken only when the
 * kernel says that no more was read of it than requests that are answered, and
 * this one. [TAKEN-1] Within TLS it is the pipe that says so, and the session
 * goes with the socket.
 *
 * One thread: the loop's. */
#ifndef REST_TAKEN_H
#define REST_TAKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rest/peer.h"
#include "rest/ring.h"
#include "rest/shared.h"
#include "rest/side.h"

struct rest_loop;
struct rest_request;
struct rest_waiter;

/* What becomes of the connection behind the answer. */
enum rest_after {
    REST_GOES_ON,
    REST_GOES_ON_OLD, /* HTTP/1.0, which has to be told */
    REST_CLOSES,
};

/* What a read that waits for a fence is answered with behind it, if that is
 * kept still. */
struct rest_found {
    struct rest_shared *answer; /* held; NULL: none was */
    struct rest_stamp stamp;
    size_t n; /* bytes of its request */
};

struct rest_taken {
    struct rest_ring ring; /* all of a loop */
    struct rest_loop *loop;
    struct rest_peer own;
    struct rest_side side;
    struct rest_waiter *waiter;   /* a poll waits for news; NULL: none */
    struct rest_shared *answer;   /* on its way; NULL: none */
    struct rest_request *request; /* runs, and is read already; NULL: none */
    size_t sent;                  /* of it */
    uint64_t began_us;            /* the request that it is for */
    enum rest_after after;
    bool ended;            /* nothing more comes from its client */
    bool more;             /* something may be unread */
    bool reads;            /* what follows is looked at here: express.h */
    struct rest_ring line; /* it is its turn soon, or waits for a fence */
    enum op_fence fence;   /* that one, when it is over */
    size_t peeked;         /* of a session, and not put back yet */
    size_t covered;        /* of what is unread so much came before the fence */
    struct rest_found found;
};

/* A request's head was read: of its connection, so much more is known to be
 * read. `length` of the body; 0 with a body: nobody knows. */
void rest_taken_note(struct rest_request *request, bool body, uint64_t length);
/* The request's socket becomes ours when that can be done, else NULL. The
 * library ends the connection, which has no request any more. */
struct rest_taken *rest_taken_begin(struct rest_request *request) MUST_USE;
/* The socket of a connection of the library's, out of its hands: within TLS the
 * session comes with it, and `rest` is what the client has still to be sent
 * before all else. -1: that cannot be done. */
int rest_taken_socket(struct rest_peer *peer, struct buf *rest) MUST_USE;
/* An answer for it, counted from here on: for the caller to unref. NULL, or
 * without a response: there is none, and it is closed. */
void rest_taken_answer(struct rest_taken *taken, struct rest_shared *answer);
/* Of such an answer that much is sent already: the rest of it goes when its
 * socket takes more. */
void rest_taken_owe(struct rest_taken *taken, struct rest_shared *answer,
                    size_t sent);
/* What comes next, as far as it is there and as recv(2) tells: it stays unread
 * until it is consumed. To be followed by that, be it of nothing, before
 * anything else. */
ssize_t rest_taken_peek(struct rest_taken *taken, char *bytes, size_t n);
/* Takes so much of what was come upon. False: it is broken. */
bool rest_taken_consume(struct rest_taken *taken, size_t n) MUST_USE;
/* What is to be told of it from now on (side.h). False: it cannot be. */
bool rest_taken_listen(struct rest_taken *taken, uint32_t events) MUST_USE;
/* To the library, with what is unread; or its end. It is gone. */
void rest_taken_give_back(struct rest_taken *taken);
void rest_taken_shut(struct rest_taken *taken);
/* The very end of all that are left. */
void rest_taken_abandon(struct rest_loop *loop);

#endif
