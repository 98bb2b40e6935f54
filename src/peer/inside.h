/* What the sources of this room share. */
#ifndef PEER_INSIDE_H
#define PEER_INSIDE_H

#include <pthread.h>

#include "base/queue.h"
#include "peer/shake.h"
#include "tls/tls.h"

/* ---- socket.c: descriptors ---- */

/* NODELAY, keepalive, TCP_USER_TIMEOUT. Faults: SYSTEM. */
int socket_tune(int fd) MUST_USE;
/* Closes what is not -1; always -1. */
int socket_close(int fd);
/* Readable for good, until closed. */
void event_raise(int fd);
void event_clear(int fd);
/* With every signal blocked: they are the core loop's. Faults: SYSTEM. */
int thread_start(pthread_t *ret_thread, void *(*run)(void *),
                 void *user) MUST_USE;

/* ---- wire.c: a connection, plain or in TLS ---- */

struct wire {
    int fd;                /* -1: none */
    struct tls_link *link; /* which owns fd then; NULL: plain */
};

/* As recv(2), send(2). */
ssize_t wire_recv(const struct wire *wire, void *bytes, size_t n);
ssize_t wire_send(const struct wire *wire, const void *bytes, size_t n);
/* Bytes have come that poll does not tell of. */
bool wire_holds(const struct wire *wire);
void wire_shutdown(const struct wire *wire);
void wire_close(struct wire *wire);
/* Takes the wire in any case; gives the descriptor to go on with. Faults:
 * SYSTEM. */
int wire_take(struct wire *wire, enum peer_kind kind, int *ret_fd) MUST_USE;
/* The first byte that waits, untaken; 0: none. */
uint8_t wire_first(const struct wire *wire);

/* ---- road.c: the steps of a dial, which wait ---- */

/* One dial on its way. Its descriptor is non-blocking: each step waits in poll,
 * for the other, for the deadline and for who breaks it off. A step that fails
 * has written its sentence. */
struct road {
    struct wire wire;
    int stop_fd; /* -1: nobody breaks it off */
    uint64_t deadline_ms;
    char *why; /* PEER_WHY bytes */
};

/* Always the fault IO. */
int road_broken(const struct road *road, const char *why) MUST_USE;
/* Gives road->wire. Faults: IO. */
int road_reach(struct road *road, const char *address,
               bool *ret_refused) MUST_USE;
/* For what poll calls `events`. Faults: IO. */
int road_await(const struct road *road, short events) MUST_USE;
/* All of them. Faults: IO. */
int road_put(const struct road *road, const void *bytes, size_t n) MUST_USE;
int road_get(const struct road *road, void *bytes, size_t n) MUST_USE;

/* ---- dial.c ---- */

/* peer_connect that is broken off when `stop_fd` becomes readable; -1: never.
 */
int dial_connect(const struct peer_dial *dial, int stop_fd,
                 struct peer_id *ret_other, int *ret_fd, bool *ret_refused,
                 char why[PEER_WHY]) MUST_USE;

/* ---- threads.c: who dials at the same time ---- */

struct threads;

/* Both are lent. */
struct threads *threads_new(int stop_fd, struct tls *tls) MUST_USE;
int threads_dial(struct threads *threads,
                 struct peer_dialling *dialling) MUST_USE;
/* After stop_fd was raised; always NULL. */
struct threads *threads_free(struct threads *threads);

/* ---- called.c: replies on their way to the peer thread ---- */

/* Lives until the peer and every call it was asked are over. */
struct replies {
    _Atomic(unsigned) refs;
    int fd; /* readable: there are some */
    struct queue queue;
};

struct peer_called {
    struct queue_link link;
    struct replies *replies;
    uint64_t number; /* of the connection that waits for it */
    struct buf reply;
};

/* NULL when the system has no descriptor. */
struct replies *replies_new(void) MUST_USE;
void replies_unref(struct replies *replies);
struct peer_called *called_new(struct replies *replies,
                               uint64_t number) MUST_USE;
/* Of one that peer_reply has put into the queue; always NULL. */
struct peer_called *called_free(struct peer_called *called);

/* ---- half.c: a connection that is not made yet ---- */

/*            accept
 *              │
 *    (TLS) ─► HELLO ─────refused──────────────────────┐
 *              │ ╲                                    │
 *              │  handed over                         │
 *            ASKED ─► WAITING ─► REPLYING ──────────► ENDING
 *          (the request)  (peer_reply)              (what still comes)
 *
 * and from each of them, when its time is over, to FREE. */
enum half_stage {
    HALF_FREE,
    HALF_TLS,      /* shaking hands for it; no link: has not begun to speak */
    HALF_HELLO,    /* reading it */
    HALF_ASKED,    /* reading the request of a call */
    HALF_WAITING,  /* for peer_reply */
    HALF_REPLYING, /* writing it */
    HALF_ENDING,   /* until the other has closed: a close before all it sent was
                      read would take back from it what we said last */
};

struct half {
    enum half_stage stage;
    struct wire wire;
    char node[TLS_NAME];     /* of its certificate */
    char stranger[PEER_WHY]; /* why it is refused, whatever it says; "": it is
                                not */
    uint64_t number;         /* the smaller the older; never used twice */
    uint64_t deadline_ms;
    size_t want;      /* bytes of `bytes` until it goes on */
    struct buf bytes; /* what was read, or is to be written */
    size_t written;
    struct peer_id from;
};

/* The listener's thread and what it owns. */
struct listener {
    struct peer_config config; /* its `listen` is not kept */
    struct replies *replies;
    int fd, stop_fd;
    pthread_t thread;
    uint64_t n_accepted;
    uint64_t accept_from_ms; /* not before: there were no descriptors */
    bool starved;            /* since a connection was last taken */
    uint64_t told_ms;        /* when a refusal was last logged */
    struct half halves[PEER_HALF_MOST];
};

void half_open(struct listener *listener, struct half *half, int fd);
void half_free(struct half *half);
/* What poll is to tell about it. */
short half_events(const struct half *half);
/* Poll has told something. */
void half_step(struct listener *listener, struct half *half);
/* One that waits for it; the bytes with their size in front. */
void half_reply(struct half *half, struct str reply);

/* That it is refused: not each time. */
void half_tell(struct listener *listener, const struct half *half,
               const char *why);

/* ---- encrypt.c: the same in TLS ---- */

/* A step of its handshake. */
void half_encrypt(struct listener *listener, struct half *half);
/* After its hello: is it whom it says to be? */
enum peer_verdict half_certify(const struct half *half, char why[PEER_WHY]);
/* It has gone: the dialling side looks at our certificate when its handshake is
 * over, and may not like it. */
void half_tell_alert(struct listener *listener, const struct half *half);

/* ---- listen.c ---- */

/* Gives *ret_fd and *ret_address. Answers: INVALID (logged). */
int listener_open(const char *address, int *ret_fd,
                  char **ret_address) MUST_USE;
/* The thread: `user` is a struct listener. */
void *listener_run(void *user);

#endif
