/* The HTTP mouth: reads a request, has the registry run it, renders the answer.
 *
 * N loops, each one thread with its own listening socket and libmicrohttpd
 * daemon, driven from outside: the daemon's epoll descriptor stands in an outer
 * epoll set beside an eventfd. (The library's own epoll loop sleeps with
 * everything unanswered when exactly 128 connections are ready.)
 *
 *   request line ─► head ─► body ─► run ─┬─► answer
 *                                        ├─► wait: suspended until woken
 *                                        └─► work: suspended, on a worker
 *
 * Invariants
 *   [REST-1] a request belongs to its loop's thread; a worker has it only while
 *            its connection is suspended and no wake is outstanding.
 *   [REST-2] no request is freed while its operation waits.
 *   [REST-3] what framing leaves open to doubt is refused and the connection
 *            closed: no byte of a body is ever read as a request.
 *   [REST-4] a connection holds at most its pool, one arena and the bytes it
 *            has sent; all bodies together at most REST_BODIES_BOUND. */
#ifndef REST_REST_H
#define REST_REST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"
#include "raft/core.h"
#include "registry/registry.h"

struct rest; /* opaque */
struct tls;  /* tls/tls.h */

#define REST_THREADS_MAX 64
#define REST_WORKERS 2
/* Bodies being received at once, in units of max_body_bytes. */
#define REST_BODIES_BOUND 32

struct rest_config {
    const char *address; /* HOST:PORT; port 0: a free one */
    unsigned io_threads;
    uint64_t max_connections; /* 0: what the limit of open files allows */
    uint64_t max_connections_address; /* of one client address; 0: any */
    uint64_t max_watchers;            /* 0: nine tenths of max_connections */
    struct tls *tls; /* NULL: plain. Lent; may be reloaded at any time */
    uint64_t max_body_bytes;
    uint64_t max_header_bytes;   /* request line and header, 4 KiB at least */
    uint64_t head_timeout_ms;    /* for the whole header */
    uint64_t request_timeout_ms; /* until the body is there */
    uint64_t idle_timeout_ms;    /* between requests; a stalled reader */
    /* Appends metrics of rooms that this one does not know; NULL: there are
     * none. */
    void (*add_metrics)(void *user, struct buf *out);
    void *user;
};

/* Readers of the store this room opens: one for each loop and worker. */
#define REST_READERS(io_threads) ((io_threads) + REST_WORKERS)

/* Takes the address, so that it can be told, and serves nobody yet: who
 * connects is refused. A complaint has been logged when it fails. Answers:
 * INVALID (address unusable, in use). */
int rest_open(const struct rest_config *config,
              struct rest **ret_rest) MUST_USE;
/* Begins to serve. All lent until rest_stop. When it fails a complaint has
 * been logged, and rest_close is due. Answers: INVALID (address in use).
 * Faults: SYSTEM. */
int rest_start(struct rest *rest, struct registry *registry, struct core *core,
               struct watch_hub *hub) MUST_USE;
/* One that serves nobody, or NULL. Always NULL. */
struct rest *rest_close(struct rest *rest);
/* Any thread: /readyz says 503 and every answer closes its connection. */
void rest_drain(struct rest *rest);
/* Any thread but a loop: no new connections, finish what is in flight, end. The
 * core has to run on so that waiting operations end. When some do not within
 * ten seconds their number is returned: then the process may only leave. 0:
 * rest_close is due when the core has ended, which may be about to wake a loop
 * that has seen already what it is woken for. */
unsigned rest_stop(struct rest *rest) MUST_USE;

/* "127.0.0.1:43211", as bound. Lends. */
const char *rest_address(const struct rest *rest);
/* Whether the address can be reached from this host only. Answers: INVALID
 * (cannot be understood or resolved, *ret_why tells; static text). */
int rest_address_is_loopback(const char *address, bool *ret_loopback,
                             const char **ret_why) MUST_USE;

struct rest_stats {
    uint64_t connections; /* now */
    uint64_t max_connections;
    uint64_t accepted;
    uint64_t exhausted; /* times a loop had no connection left to give */
    uint64_t gave_way;  /* had sent no request yet when one was needed */
    uint64_t crowded;   /* refused: their address had as many as it may */
    uint64_t plain;     /* refused: HTTP without TLS */
    uint64_t in_flight; /* requests between request line and last byte */
    uint64_t suspended; /* of these: waiting for the log or a worker */
    uint64_t requests;
    uint64_t kept;              /* answered as the one before was */
    uint64_t express;           /* reads answered past the library */
    uint64_t polls;             /* waiting now */
    uint64_t looks, renderings; /* for polls */
    uint64_t aborted;           /* ended without an answer */
    uint64_t timeouts;
    uint64_t received_bytes, sent_bytes; /* of bodies */
    uint64_t body_bytes;                 /* held by bodies now */
    uint64_t streams, streams_behind; /* of changes, now; among connections */
    uint64_t streams_cut, stream_resets, stream_bytes;
};
/* Any thread. */
struct rest_stats rest_stats(const struct rest *rest);

#endif
