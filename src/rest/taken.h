/* Sockets of long polls in our own hands.
 *
 * libmicrohttpd keeps some kilobytes for each connection. A poll that waits has
 * no use for them: its socket is taken out of the library's hands, as a
 * stream's is (stream_begin.c), gets its answer in one call, and is given back
 * when its client asks for something else.
 *
 *   library ─► WAITS ─► ANSWERED ─► (SENDING) ─► IDLE ─► library
 *                │          │           │          │
 *                └──────────┴─ hang-up, └─ time ───┴─► closed
 *
 * What the library has read cannot be put back. So it is taken only when the
 * kernel says that no more was read of it than requests that are answered, and
 * this one; else the connection is suspended instead. [TAKEN-1]
 *
 * One thread: the loop's. */
#ifndef REST_TAKEN_H
#define REST_TAKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Response;
struct rest_loop;
struct rest_request;
struct rest_shared;
struct rest_waiter;

/* What becomes of the connection behind the answer. */
enum rest_after {
    REST_GOES_ON,
    REST_GOES_ON_OLD, /* HTTP/1.0, which has to be told */
    REST_CLOSES,
};

/* A request's head was read: of its connection, so much more is known to be
 * read. `length` of the body; 0 with a body: nobody knows. */
void rest_taken_note(struct rest_request *request, bool body, uint64_t length);
/* The request's socket becomes the waiter's, when that can be done. */
bool rest_taken_begin(struct rest_request *request, struct rest_waiter *waiter);
/* It is its turn: it gets its answer, or is closed when it has none. */
void rest_taken_answer(struct rest_waiter *waiter);
/* Its socket has something to say, and it does not wait for news. */
void rest_taken_hear(struct rest_waiter *waiter, uint32_t events);
/* The very end of all that are left. */
void rest_taken_abandon(struct rest_loop *loop);

/* The answer as bytes, once for all; its body is there. */
void rest_shared_write(struct rest_shared *shared);

#endif
