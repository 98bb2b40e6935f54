/* What the sources of this room share; nobody else includes it. */
#ifndef REST_STATE_H
#define REST_STATE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/metric.h"
#include "base/queue.h"
#include "cache/memo.h"
#include "rest/deadline.h"
#include "rest/door.h"
#include "rest/express.h"
#include "rest/guest.h"
#include "rest/judge.h"
#include "rest/origin.h"
#include "rest/park.h"
#include "rest/pipe.h"
#include "rest/rest.h"
#include "rest/route.h"
#include "rest/shared.h"
#include "rest/side.h"
#include "rest/spool.h"
#include "rest/strict.h"
#include "tls/tls.h"

/* ---- counters: written by one thread, read by any ---- */

enum { REST_CLASSES = 4 }; /* 2xx to 5xx */

struct rest_counts {
    _Atomic uint64_t answers[REST_ROUTES_MAX + 1][REST_CLASSES];
    struct histogram duration;
    _Atomic uint64_t accepted, exhausted, connections, in_flight, suspended;
    _Atomic uint64_t gave_way, crowded, plain;
    _Atomic uint64_t requests, kept, express, timeouts, aborted;
    _Atomic uint64_t received_bytes, sent_bytes; /* of bodies */
    _Atomic uint64_t streams, streams_behind, streams_cut, stream_resets;
    _Atomic uint64_t stream_bytes;
    _Atomic uint64_t polls, looks, renderings;
};

/* One writer: a plain addition that readers see whole. */
static inline void rest_count(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + more, memory_order_relaxed);
}

/* ---- one request ---- */

enum rest_stage {
    REST_HEAD_PENDING, /* its request line has come */
    REST_READING,      /* body */
    REST_RUNNING,
    REST_SUSPENDED, /* waits for a wake */
    REST_TAKEN,     /* its connection is a stream's: the library ends it */
    REST_ANSWERED,
};

struct rest_problem {
    unsigned status; /* 0: none */
    struct str detail;
    struct str field;
};

struct rest_request {
    struct queue_link link;    /* in its loop's woken queue */
    struct rest_request *next; /* free list; a worker's queue; a fence's */
    struct arena *arena;       /* kept when the rest is cleared for the next */
    struct op op;
    struct rest_loop *loop;
    struct MHD_Connection *connection; /* NULL: it is a group's runner, or came
                                          past the library */
    struct rest_peer *peer;            /* NULL: it is a group's runner */
    struct rest_group *group;          /* whose runner it is */
    struct rest_taken *taken;          /* it came from that socket, past the
                                          library */
    struct rest_shared *made;          /* its answer becomes that: it has no
                                          connection to send it to */
    void **context; /* where the library keeps it for the connection */
    struct str target;
    enum rest_stage stage;
    enum rest_method method;
    const struct rest_route *route; /* NULL: none fits */
    unsigned methods;               /* for Allow */
    bool options;
    bool head; /* HEAD: the answer's body is not sent */
    bool verbose, stale;
    bool lines;    /* Accept: application/x-ndjson */
    bool old_http; /* HTTP/1.0 */
    struct str last_event_id;
    bool traced;    /* it came with a traceparent */
    bool plain;     /* a read that kept.c may answer: its target is taken apart
                       only if that cannot */
    struct str key; /* of such a read */
    bool small;     /* a write that could be run past the library: express.h */
    bool hit;       /* it could have been answered there */
    bool finished;  /* the operation has its answer */
    bool parks;     /* or has none and waits for news */
    bool opened;    /* registry_run was called: registry_op_done is due */
    bool unwanted;  /* its body: the operation answers without */
    struct rest_problem problem;  /* found before it could run */
    const char *credential_wrong; /* why it is nobody's; NULL: nothing is */
    uint64_t mark;                /* of access, when its who was looked up */
    struct registry_limit limit;  /* what it left of one */
    struct buf body;
    struct rest_upload *upload;  /* the body goes there instead */
    enum rest_stage woken_stage; /* when it is no longer suspended */
    uint64_t received;
    uint64_t spooled; /* of these: taken by the upload */
    unsigned status;  /* answered with; 0: not */
    uint64_t answer_bytes;
    uint64_t began_us;
    uint64_t wait_ms; /* of a long poll */
};

struct rest_loop {
    struct rest *rest;
    struct MHD_Daemon *daemon;
    struct store_reader *reader;
    pthread_t thread;
    bool running;
    int listener;
    int outer; /* epoll: the daemon's, `poke` and the sides */
    int poke;  /* eventfd */
    struct rest_sides sides;
    struct rest_door door;
    struct rest_guests guests;
    struct rest_pipes pipes;
    struct tls_desk *desk; /* NULL: no TLS */
    struct queue woken;
    struct rest_park park;
    struct rest_ring taken; /* sockets in our own hands: taken.h */
    struct rest_express express;
    struct rest_deadlines deadlines;
    struct registry_callers *callers;
    bool guarded; /* not everybody may do everything */
    struct rest_judge judge;
    struct rest_request *spare;
    unsigned n_spare;
    uint64_t traces[2];      /* trace.h */
    struct cache_memo *kept; /* kept.c */
    struct watch_table *watching;
    struct rest_streams *streams; /* stream.h */
    uint64_t now_us, now_ms;      /* when this turn began */
    uint64_t wall_ms;             /* and by the clock of the wall */
    uint64_t leader;              /* whose name `leader_name` is; 0: nobody's */
    char leader_name[64];         /* "" : not known */
    uint64_t second;              /* since 1970, as `date` says */
    char date[32];                /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    unsigned max_connections;
    bool closing;        /* no new connections */
    uint64_t closing_ms; /* since when */
    struct rest_counts counts;
};

struct rest_workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct rest_request *first, *last;
    atomic_uint n; /* changed under the lock */
    bool stopping;
    unsigned n_threads;
    pthread_t threads[REST_WORKERS];
    struct store_reader *readers[REST_WORKERS];
};

struct rest {
    struct rest_config config;
    struct registry *registry;
    struct core *core;
    struct watch_hub *hub;
    char *address;
    char node_id[256]; /* a header's value */
    atomic_bool draining;
    atomic_bool stopping;
    atomic_uint stuck; /* operations still waiting after the last moment */
    _Atomic uint64_t body_bytes;
    _Atomic uint64_t n_watchers; /* streams, and polls that wait */
    uint64_t max_upload_bytes;   /* a file that may be a whole state */
    struct rest_workers workers;
    struct rest_spool spool;
    struct rest_origins origins;
    uint64_t max_pipes;
    unsigned n_loops;
    struct rest_loop loops[REST_THREADS_MAX];
};

/* ---- loop.c ---- */
int rest_loop_start(struct rest_loop *loop, unsigned max_connections,
                    unsigned max_pipes) MUST_USE;
void rest_loop_poke(struct rest_loop *loop);
void rest_loop_join(struct rest_loop *loop);

/* ---- cut.c ---- */
/* A stalled answer is looked at so often in an idle timeout. */
enum { REST_SEND_LOOKS = 2 };
/* An answer past the library, to a client that has still not sent all that
 * nobody wants: the connection is closed after it. A lost one is no worse than
 * silence. */
void rest_cut_last_word(const struct rest_peer *peer, unsigned status,
                        const char *reason, struct str body);
/* Its time is over. Whoever has the socket sees the end, and closes. */
void rest_cut(struct rest_loop *loop, struct rest_peer *peer);
/* All that are due. */
void rest_cut_due(struct rest_loop *loop);

/* ---- connection.c: called by the daemon; `user` is the loop ---- */
void rest_connection_notify(void *user, struct MHD_Connection *connection,
                            void **context,
                            enum MHD_ConnectionNotificationCode what);

/* ---- request.c: called by the daemon; `user` is the loop ---- */
/* What its lines say besides who sends it: whether it is plain, and all that
 * the answer to a plain one depends on. */
void rest_request_set_head(struct rest_request *request,
                           const struct rest_head *head);
void *rest_request_begin(void *user, const char *uri,
                         struct MHD_Connection *connection);
enum MHD_Result rest_request_handle(void *user,
                                    struct MHD_Connection *connection,
                                    const char *url, const char *method,
                                    const char *version, const char *upload,
                                    size_t *upload_n, void **context);
void rest_request_end(void *user, struct MHD_Connection *connection,
                      void **context, enum MHD_RequestTerminationCode why);
/* Takes the request line apart; `problem` says what is wrong with it. */
void rest_request_read_target(struct rest_request *request);
/* Its head has come. True: the answer is due now and closes the connection, any
 * other waits for the end of the body. */
bool rest_request_take_head(struct rest_request *request, const char *method,
                            const char *version);
/* All it holds, and itself. */
void rest_request_release(struct rest_request *request);
/* What is wrong with it, unless something is already. */
void rest_request_wrong(struct rest_request *request, unsigned status,
                        struct str detail, struct str field);
/* Gives it an id, by which the audit and its answer name it, when its client
 * has not. */
void rest_request_name(struct rest_request *request);
/* It is whole: runs it as far as it goes now. Answered, or suspended; or gone,
 * with its connection taken. */
enum MHD_Result rest_request_run(struct rest_request *request);
/* Until it is woken; it goes on in that stage. */
enum MHD_Result rest_request_suspend(struct rest_request *request,
                                     enum rest_stage woken_stage);
/* Any thread: its loop goes on with it. */
void rest_request_wake(struct op *op);

/* ---- body.c ---- */
enum rest_takes rest_body_takes(const struct rest_request *request);
/* One follows. `length` is 0 when nobody knows. */
void rest_body_begin(struct rest_request *request, uint64_t length);
enum MHD_Result rest_body_take(struct rest_request *request, struct str part);
/* It is over: whether some of it has to be written first. Then the request is
 * suspended and comes again. */
bool rest_body_waits(struct rest_request *request);
void rest_body_drop(struct rest_request *request);

/* ---- spare.c: a loop's own ---- */
struct rest_request *rest_request_new(struct rest_loop *loop) MUST_USE;
void rest_request_free(struct rest_loop *loop, struct rest_request *request);
void rest_request_free_spare(struct rest_loop *loop);

/* ---- answer.c ---- */
enum MHD_Result rest_answer_op(struct rest_request *request);
enum MHD_Result rest_answer_problem(struct rest_request *request,
                                    const struct rest_problem *problem);
/* `body` in the request's arena, or static. */
enum MHD_Result rest_answer_text(struct rest_request *request, unsigned status,
                                 const char *content_type, struct str body);
enum MHD_Result rest_answer_options(struct rest_request *request);
unsigned rest_answer_status(enum op_code code);
struct rest_problem rest_problem_make(unsigned status, struct str detail,
                                      struct str field);

/* One that was made before. */
enum MHD_Result rest_answer_reply(struct rest_request *request,
                                  const struct rest_reply *reply);
/* One that is kept. The request's connection may be taken: then the request is
 * over, and gone. */
enum MHD_Result rest_answer_shared(struct rest_request *request,
                                   struct rest_shared *shared);

/* The problem's JSON; `problem` becomes the request's answer. */
struct str rest_answer_body(struct rest_request *request,
                            const struct rest_problem *problem);

/* ---- file.c ---- */
/* To the answer's file, which it takes. NULL when there is no memory. */
struct MHD_Response *rest_file_response(struct rest_request *request);
void rest_file_headers(struct rest_request *request, const struct op_file *file,
                       struct MHD_Response *response);
/* The answer's file, when there is one that no response took. */
void rest_file_drop(struct rest_request *request);

/* ---- header.c ---- */
void rest_header_add(struct MHD_Response *response, const char *name,
                     const char *value);
void rest_header_add_number(struct MHD_Response *response, const char *name,
                            uint64_t number);
struct rest_stamp rest_header_stamp(const struct rest_request *request);
/* What every answer says about this node. */
void rest_header_add_stamp(struct rest_request *request,
                           const struct rest_stamp *stamp,
                           struct MHD_Response *response);
void rest_header_add_node(struct rest_request *request,
                          struct MHD_Response *response);
/* What is left of a limit: of an answer that is nobody else's. */
void rest_header_add_limit(const struct rest_request *request,
                           struct MHD_Response *response);
/* The id of the request: of an answer that is nobody else's. */
void rest_header_add_trace(const struct rest_request *request,
                           struct MHD_Response *response);
/* What the operation's answer says besides its body. */
void rest_header_add_op(struct rest_request *request,
                        struct MHD_Response *response);
/* The same as text. */
void rest_header_write_stamp(struct rest_request *request, struct buf *head);
bool rest_header_is_draining(const struct rest_request *request);
/* Whether Link, which grows with the request, fits into the answer. */
bool rest_header_has_room(const struct rest_request *request);

/* ---- kept.c ---- */
struct rest_kept {
    struct rest_shared *shared;
    struct rest_stamp stamp;
    bool linearizable; /* only for who came before a fence that is over */
};
struct cache_memo *rest_kept_new(struct cache *cache) MUST_USE;
/* Whether the head leaves it open that the answer is known already. */
bool rest_kept_is_plain(const struct rest_request *request,
                        const struct rest_head *head);
/* The answer that a plain read would get now, but for the second of its Date;
 * NULL when there is none known. Lends until the loop goes on. */
const struct rest_kept *rest_kept_find(struct rest_request *request);
/* Whether what was kept with that stamp would be found now, if its caller is
 * who he was. */
bool rest_kept_stands(const struct rest_loop *loop,
                      const struct rest_stamp *stamp);
/* The same to the second. */
bool rest_kept_is_whole(const struct rest_request *request,
                        const struct rest_kept *kept);
/* Lists and resources as they are now, of a request whose target was taken
 * apart: they wait for nothing but a fence. */
bool rest_kept_is_read(const struct rest_request *request);
/* What it takes in memory to keep the operation's answer; 0: it is not worth
 * it.
 */
uint64_t rest_kept_cost(const struct rest_request *request);
/* Takes the response; its body must not be the request's. NULL when it is not
 * kept after all: then it is not taken. Lends as rest_kept_find. */
struct rest_shared *rest_kept_keep(struct rest_request *request,
                                   unsigned status,
                                   const struct rest_stamp *stamp,
                                   uint64_t cost, struct str body,
                                   struct MHD_Response *response);

/* ---- page.c ---- */
enum MHD_Result rest_page_serve(struct rest_request *request);

/* ---- stream_begin.c ---- */
/* The operation has said yes to a stream: its connection becomes one. */
enum MHD_Result rest_stream_begin(struct rest_request *request);

/* ---- worker.c ---- */
int rest_workers_start(struct rest *rest) MUST_USE;
/* False when the queue is full. */
bool rest_workers_push(struct rest *rest, struct rest_request *request);
void rest_workers_stop(struct rest *rest);

/* ---- watchers.c: any thread ---- */
/* False: there are as many as there may be, and this is no one more. */
bool rest_watchers_take(struct rest *rest) MUST_USE;
void rest_watchers_give(struct rest *rest);
/* What to answer then. */
struct rest_problem rest_watchers_problem(void);

/* ---- stats.c ---- */
void rest_count_request(struct rest_request *request);
void rest_count_answer(struct rest_loop *loop, const struct rest_reply *reply,
                       bool head, uint64_t began_us);
void rest_metrics(const struct rest *rest, struct buf *out);

/* ---- listen.c ---- */
/* `n` sockets bound to one address; *ret_address is from the heap. */
int rest_bind(const char *address, unsigned n, int *ret_fds,
              char **ret_address) MUST_USE;
int rest_listen(const char *address, const int *fds, unsigned n) MUST_USE;

#endif
