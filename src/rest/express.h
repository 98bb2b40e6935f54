/* Plain reads and small writes without the library.
 *
 * Of what a read costs whose answer is kept (kept.c), the library has most; of
 * what a write costs, a fourth. So after some requests in a row that could do
 * without it a connection's socket is taken (taken.h), and what comes is looked
 * at here:
 *
 *   LOOKS ─ a read whose answer is kept ─► answered, LOOKS on
 *     │ ─── one that waits for a fence ──► in line, all of the loop behind one
 *     │ ─── a write that came whole ─────► read, run, perhaps it WAITS for the
 *     │                                    log; answered, LOOKS on
 *     └──── anything else ───────────────► the library, its bytes unread
 *
 * Who was given back has to earn it again, so that mixed requests do not go
 * back and forth. A read is taken out of the socket only when its answer goes
 * out: nothing is ever read that could not be put back.
 *
 * [EXPRESS-1] Whose request was whole before a fence began may have, when it is
 *             over, what is kept then: kept.c.
 * [EXPRESS-2] A write is taken out of the socket before it is run, and is never
 *             given back after: it is run once. What comes behind it stays
 *             where it is until its answer has gone out. Who hangs up meanwhile
 *             does not end it: the socket is closed behind its operation.
 *
 * No allocation for the answer of a read. One thread: the loop's. */
#ifndef REST_EXPRESS_H
#define REST_EXPRESS_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "registry/registry.h"
#include "rest/ring.h"

struct rest_head;
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
/* The request is done, and could have done without the library: it is answered
 * by it, or its connection is taken as above. */
enum MHD_Result rest_express_answer(struct rest_request *request);
/* Whether a write whose head was looked at could be run past the library, if it
 * came whole. */
bool rest_express_suits(const struct rest_request *request,
                        const struct rest_head *head);
/* Whether the request, whose target was taken apart, is for behind a fence that
 * it has not got. */
bool rest_express_has_to_wait(const struct rest_request *request);
/* It gets one, that of the others; suspended meanwhile. */
void rest_express_wait(struct rest_request *request);
/* Its socket has something to say, and nothing is on its way there. */
void rest_express_hear(struct rest_taken *taken);
/* Its answer has gone out. */
void rest_express_go_on(struct rest_taken *taken);
/* The operation of one that was read here is over, or goes on. */
void rest_express_woken(struct rest_request *request);
/* It ends, or is given back. */
void rest_express_forget(struct rest_taken *taken);
/* Whose turn it is. */
void rest_express_turn(struct rest_loop *loop);
/* Whether there is somebody left for the next turn. */
bool rest_express_has_more(const struct rest_loop *loop);

#endif
