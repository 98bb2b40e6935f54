/* Plain reads without the library.
 *
 * Who reads the same again and again gets what is kept (kept.c); of what that
 * costs, the library has most. So after some such reads in a row a connection's
 * socket is taken (taken.h), and its requests are looked at here:
 *
 *   READS ─ a read whose answer is kept ─► answered, READS on
 *     │ ─── one that waits for a fence ──► in line, all of the loop behind one
 *     └──── anything else, or nothing kept ─► the library, its bytes unread
 *
 * Who was given back has to earn it again, so that mixed requests do not go
 * back and forth. A request is taken out of the socket only when its answer
 * goes out: nothing is ever read that could not be put back.
 *
 * Whose request was whole before a fence began may have, when it is over, what
 * is kept then: kept.c. [EXPRESS-1]
 *
 * No allocation for an answer. One thread: the loop's. */
#ifndef REST_EXPRESS_H
#define REST_EXPRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "registry/registry.h"
#include "rest/ring.h"

struct rest_loop;
struct rest_request;
struct rest_shared;
struct rest_taken;

/* One of a loop. */
struct rest_express {
    char *bytes;              /* what was come upon in a socket */
    struct rest_ring ready;   /* there may be more to read */
    struct rest_ring waiting; /* for the next fence */
    struct rest_ring behind;  /* for the one that is out, or it is over */
    /* The library's, which wait for the same: */
    struct rest_request *requests, *requests_behind;
    struct registry_fence fence;
    uint64_t since_us; /* who waits the longest for the next */
    bool out;
    atomic_bool over; /* said by the core */
};

void rest_express_init(struct rest_express *express);
void rest_express_done(struct rest_express *express);
/* The request has an answer that is kept. True: its connection has earned it,
 * and is taken: the request is over and gone, the answer on its way. */
bool rest_express_begin(struct rest_request *request,
                        struct rest_shared *answer) MUST_USE;
/* Answers what has come. It may be gone then. */
void rest_express_look(struct rest_taken *taken);
/* Whether the request, whose target was taken apart, is for behind a fence that
 * it has not got. */
bool rest_express_has_to_wait(const struct rest_request *request);
/* It gets one, that of the others; suspended meanwhile. */
void rest_express_wait(struct rest_request *request);
/* Its socket has something to say, and nothing is on its way there. */
void rest_express_hear(struct rest_taken *taken);
/* It ends, or is given back. */
void rest_express_forget(struct rest_taken *taken);
/* Whose turn it is. */
void rest_express_turn(struct rest_loop *loop);
/* Whether there is somebody left for the next turn. */
bool rest_express_has_more(const struct rest_loop *loop);

#endif
