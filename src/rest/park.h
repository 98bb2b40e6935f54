/* Long polls that wait: a read with ?since=N to which there is nothing newer.
 *
 *   request ─► joins a group ─► its socket is taken (taken.h), its memory freed
 *
 *   group (all that asked the same of this loop)
 *     WAITING ──told of something──► LOOKS ──nothing newer──► WAITING
 *        │                             └──an answer──► for all of them
 *        └──some are due──► ENDS ──an answer, with what there is──► for those
 *
 * A group is one entry in the loop's table of who waits for what, and runs one
 * operation, in a request without a connection (its runner): ten thousand who
 * ask the same are one look and one answer, made into bytes once. What a waiter
 * costs besides its socket is one struct.
 *
 * Invariants
 *   [PARK-1] an answer goes only to those who waited when its look began: who
 *            came later may have seen, elsewhere on this node, what is newer
 *            than it.
 *   [PARK-3] a group is of those who may see the same; an answer is given only
 *            when nobody's access has changed since its look began.
 *   [PARK-2] a group is in the table from the revision of its last look on, or
 *            looks, or is in line to look: nothing is missed.
 *
 * One thread: the loop's. */
#ifndef REST_PARK_H
#define REST_PARK_H

#include <microhttpd.h>
#include <stdbool.h>
#include <uthash.h>

#include "registry/registry.h"
#include "rest/deadline.h"
#include "rest/due.h"
#include "rest/judge.h"
#include "rest/ring.h"
#include "rest/shared.h"
#include "rest/side.h"

struct rest_loop;
struct rest_request;
struct rest_peer;
struct rest_taken;
struct rest_group;

/* A connection that waits. */
struct rest_waiter {
    struct rest_ring ring; /* in one of its group's, or among the answered */
    struct rest_due due;
    struct rest_judged judged;  /* who it is that waits */
    struct rest_group *group;   /* NULL: it is to be answered */
    struct rest_shared *answer; /* NULL then: its client has gone */
    struct rest_loop *loop;
    struct rest_peer *peer;
    struct rest_taken *taken;          /* its socket; NULL: it is suspended: */
    struct MHD_Connection *connection; /* the library's */
    struct rest_side side;             /* tells when its client has gone */
};

/* What is to be found out. MAYBE: the operation looks itself. */
enum rest_news { REST_NO_NEWS, REST_MAYBE, REST_NEWS };

struct rest_group {
    struct watch_link link; /* its spec is in `text` */
    bool linked;
    bool exact; /* rows below its namespace do not concern it */
    bool ends;  /* what runs is for those who are due */
    enum rest_news news;
    struct rest_loop *loop;
    struct rest_request *runner; /* NULL: nothing runs */
    struct rest_ring waiting;    /* for news */
    struct rest_ring due;        /* whose time is over */
    struct rest_ring taken;      /* who get what the runner makes */
    struct rest_ring line;       /* to run, or for a worker */
    bool works;                  /* a worker has its runner */
    char *text;
    UT_hash_handle hh;
    size_t n;
    char key[];
};

/* One of a loop. */
struct rest_park {
    struct rest_group *groups;
    uint64_t seed;             /* keys come from strangers */
    struct rest_ring ready;    /* groups in line to run */
    struct rest_ring workless; /* whose runners wait for a worker */
    unsigned n_working;
    struct rest_dues dues;
    struct rest_ring answered; /* not resumed, or sent it, yet */
    bool lets_go;              /* the library has one to close */
    uint64_t n;                /* waiters, until they have their answer */
};

void rest_park_init(struct rest_park *park);
/* Nobody waits any more. */
void rest_park_done(struct rest_park *park);

/* ---- park.c: the connections ---- */

/* Whether it is a read that may be parked. */
bool rest_park_is_poll(const struct rest_request *request);
/* Runs it. When it has to wait, the connection is taken or suspended, and the
 * request no longer its. */
enum MHD_Result rest_park_begin(struct rest_request *request);
/* The library comes back to a connection that was suspended: it gets a request
 * again, and its answer; or to one whose socket was taken: it ends. */
enum MHD_Result rest_park_resume(struct rest_loop *loop,
                                 struct MHD_Connection *connection,
                                 void **context);
/* Its client has gone: no more is done for it than is begun. */
void rest_park_leave(struct rest_waiter *waiter);
/* It ended before that. */
void rest_park_forget(struct rest_loop *loop,
                      struct MHD_Connection *connection);
/* Whoever is due, in line or answered, as many as may be in one turn. */
void rest_park_turn(struct rest_loop *loop);
/* Milliseconds to the next turn that has something to do; UINT64_MAX: none. */
uint64_t rest_park_next(const struct rest_loop *loop, uint64_t now_ms);
/* Everybody is answered soon, with what there is. */
void rest_park_close(struct rest_loop *loop);
/* The very end: those who are left are resumed without an answer. */
void rest_park_abandon(struct rest_loop *loop);

/* ---- asked.c ---- */

/* All that the answer to a poll depends on, what the caller may see among it;
 * in the request's arena. */
struct str rest_asked_key(struct rest_request *request);
/* The same of somebody else. From the heap. */
char *rest_asked_by(struct str key, const struct access_who *who) MUST_USE;
/* The same request again, without a connection and without a who. The key is
 * lent to it. */
struct rest_request *rest_asked_again(struct rest_loop *loop,
                                      const char *key) MUST_USE;
/* As whoever waits with that: all of a group see the same. */
void rest_asked_as(struct rest_request *request,
                   const struct rest_waiter *waiter);

/* ---- group.c: what is found out for them ---- */

/* NULL: nobody has asked that. */
struct rest_group *rest_group_find(struct rest_park *park, struct str key);
/* With nobody in it. */
struct rest_group *rest_group_new(struct rest_loop *loop, struct str key);
/* The end of one that nobody waits in, unless it has a runner. */
void rest_group_leave(struct rest_group *group);
/* It has to look, or to end for those who are due, when it is its turn. */
void rest_group_note(struct rest_group *group, enum rest_news news);
void rest_group_line_up(struct rest_group *group);
/* The first in line runs. */
void rest_group_run(struct rest_park *park);
/* Those that need a worker get one, as far as that goes. */
void rest_group_hire(struct rest_park *park);
/* Its first look was begun by this request, which came so far: its runner. */
void rest_group_go_on(struct rest_group *group, struct rest_request *runner,
                      enum op_step step);
/* A runner was woken. */
void rest_group_woken(struct rest_request *runner);

#endif
