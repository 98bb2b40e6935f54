/* Connections between the nodes of a cluster, until they are made: who listens,
 * who dials, and the handshake in which both say who they are. What is spoken
 * on a made connection is its owner's. api/peer-protocol.md has the bytes.
 *
 * The listener's thread takes connections and reads their first words without
 * ever waiting for one of them; dialling waits, and so has threads of its own.
 * With TLS the hands are shaken inside of it: a certificate has to be from our
 * CA and to name the node that the other says to be. Who does not speak it, or
 * is a stranger, is told so in words.
 *
 *     struct peer_config config = {.listen = "[::]:7001", ...};
 *     r = peer_start(&config, &peer);
 *     ...
 *     r = peer_connect(&(struct peer_dial){.kind = PEER_LINK, ...}, &other,
 *                      &fd, &refused, why);
 *     ...
 *     peer = peer_stop(peer);
 *
 * Invariants
 *   [PEER-1] nothing is asked of the callbacks, and no connection handed over,
 *            before its hello was read whole and found valid: `from` holds
 *            texts that end inside their fields and can be printed.
 *   [PEER-2] what a stranger can hold is bounded: PEER_HALF_MOST connections,
 *            each PEER_SHAKE_MS for its hello and PEER_CALL_MS for its call.
 *            One more takes the place of the oldest, so it delays nobody.
 *   [PEER-3] no callback runs after peer_stop has returned.
 *
 *   [PEER-4] with TLS, what judge, accepted and called are told of was proven
 * by the certificate: `from` is the node it names.
 *
 * Every descriptor is closed on exec, and has NODELAY, keepalive and a
 * TCP_USER_TIMEOUT of PEER_DEAD_MS when it is handed over; with TLS it is one
 * of a socket pair, and what lies behind that has those. */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/own.h"

#define PEER_PROTOCOL 1

enum {
    PEER_WHY = 256,             /* a sentence for a person, with its NUL */
    PEER_ADDRESS = 128,         /* HOST:PORT, with its NUL */
    PEER_CALL_MOST = 64 * 1024, /* bytes of a request, and of a reply */
    PEER_HALF_MOST = 256,       /* connections that are not made yet */
    PEER_WAITING_MOST = 64,     /* calls whose reply is outstanding */
    PEER_DIALS_MOST = 64,       /* threads that dial */
    PEER_SHAKE_MS = 3 * 1000,   /* from accept to the end of the hello */
    PEER_CALL_MS = 10 * 1000,   /* from the handshake to the reply */
    PEER_FILE_MS = 10 * 1000,   /* one read or write of peer_block */
    PEER_DEAD_MS = 8 * 1000,    /* a silent host's connection ends */
};

/* Numbers cross the wire. */
enum peer_kind {
    PEER_RAFT = 1, /* libraft's messages */
    PEER_LINK,     /* frames of the core loops */
    PEER_FILE,     /* state files */
    PEER_CALL,     /* one request, one reply: forming, joining */
};

/* Numbers cross the wire. */
enum peer_verdict {
    PEER_OK,
    PEER_WRONG_CLUSTER, /* the ids of the clusters differ */
    PEER_WRONG_NODE,    /* another node answers at this address */
    PEER_NOT_MEMBER,    /* the dialler is no member */
    PEER_REMOVED,       /* the dialler was one, and was removed */
    PEER_VERSION,       /* no protocol, or feature level, both understand */
    PEER_BUSY,          /* later perhaps: not ready, or too many calls */
    PEER_STRANGER,      /* no certificate, or not a good one of that node; or
                           one of the two does not speak TLS */
};

/* Who somebody is. Texts end inside their fields and are UTF-8 without control
 * characters: what comes from a stranger was checked [PEER-1]; in what is told
 * to others, it is asserted. Only with PEER_CALL, and in an answer, the cluster
 * may be zero and raft_id 0: none yet. */
struct peer_id {
    uint8_t cluster[16];
    uint64_t raft_id;
    uint32_t level_least, level_most; /* feature levels it understands */
    char name[64];
    char raft[PEER_ADDRESS], http[PEER_ADDRESS];
    char version[32]; /* of the program */
};

/* ---- listening ---- */

struct tls;
struct peer;        /* the listener, its thread, and the threads that dial */
struct peer_called; /* one request of another node, until peer_reply */

/* All functions are called on the peer thread, also before peer_start returns,
 * and must be quick: while one runs nobody is let in. None may call peer_stop.
 */
struct peer_config {
    const char *listen; /* HOST:PORT, [V6]:PORT, :PORT; port 0: a free one */
    struct tls *tls;    /* lent; also for peer_dial. NULL: plain */
    void *user;

    /* Who we are now, to be told. *ret_self was zeroed. */
    void (*self)(void *user, struct peer_id *ret_self);
    /* May it? `expects` is the raft id that the other believes to have reached
     * (0: anybody). The sentence is told to the other and logged; an empty one
     * is filled in. */
    enum peer_verdict (*judge)(void *user, enum peer_kind kind,
                               const struct peer_id *from, uint64_t expects,
                               char why[PEER_WHY]);
    /* Hands were shaken, our answer is out: takes the descriptor, non-blocking
     * whatever the kind (peer_block changes that). Not for PEER_CALL. */
    void (*accepted)(void *user, enum peer_kind kind,
                     const struct peer_id *from, int fd);
    /* PEER_CALL: gives `called`, which peer_reply ends, now or later. `from`
     * and the request are lent for the call. */
    void (*called)(void *user, struct peer_called *called,
                   const struct peer_id *from, struct str request);
};

/* Gives *ret_peer. What config->listen points to is not needed afterwards.
 * Blocks when its host is a name. Answers: INVALID (the address is none, or
 * cannot be listened on: logged). Faults: SYSTEM. */
int peer_start(const struct peer_config *config,
               struct peer **ret_peer) MUST_USE;
/* Always NULL; takes NULL. Half-done connections and calls are closed, dials
 * are broken off and their `done` has returned when this does; it waits for the
 * resolver when one of them is looking up a name. Not from a callback. */
struct peer *peer_stop(struct peer *peer);
/* HOST:PORT as bound. Lent as long as the peer. */
const char *peer_address(const struct peer *peer);

/* The reply of a call; takes `called`. Exactly once for each, from any thread,
 * also within config->called, also when the connection or the whole peer is
 * gone by now: then nothing is sent. At most PEER_CALL_MOST bytes (asserted),
 * copied. */
void peer_reply(struct peer_called *called, struct str reply);

/* ---- dialling ---- */

struct peer_dial {
    enum peer_kind kind;
    const char *address;        /* HOST:PORT or [V6]:PORT */
    struct tls *tls;            /* NULL: plain */
    const struct peer_id *self; /* with cluster and raft_id, but for a call */
    uint64_t expects;           /* 0: anybody */
    unsigned timeout_ms;        /* for connecting and the handshake together */
};

/* Blocking, any thread: connect and shake hands. The answer is checked too:
 * the other must be of our cluster and, when `expects` is not 0, that node.
 *
 * 0 gives *ret_fd: non-blocking for RAFT and LINK; for FILE as peer_block makes
 * it. Answers: a peer_verdict (not an err!). Faults: IO, SYSTEM. Unless it is 0
 * `why` holds a sentence. *ret_other is who answered, zeroed when nobody did;
 * *ret_refused is true when nobody listens there (ECONNREFUSED from each
 * address of the host): the program does not run. A name is looked up first,
 * which takes what the resolver takes. Not with PEER_CALL. */
int peer_connect(const struct peer_dial *dial, struct peer_id *ret_other,
                 int *ret_fd, bool *ret_refused, char why[PEER_WHY]) MUST_USE;

/* Blocking, any thread: a connection for one request, at most PEER_CALL_MOST
 * bytes (asserted), and the reply, appended to *reply when 0 is returned.
 * dial->kind is PEER_CALL; after the handshake it takes PEER_CALL_MS at most.
 * The other's cluster is looked at only when `expects` is not 0. Otherwise as
 * peer_connect. After a fault the request may have been received. */
int peer_call(const struct peer_dial *dial, struct str request,
              struct peer_id *ret_other, struct buf *reply,
              char why[PEER_WHY]) MUST_USE;

/* peer_connect in a thread of its own. The caller fills in the first part; all
 * of it is lent to the room until `done`, which may end it or start it again.
 */
struct peer_dialling {
    enum peer_kind kind; /* not PEER_CALL */
    char address[PEER_ADDRESS];
    struct peer_id self;
    uint64_t expects;
    unsigned timeout_ms;
    void *user;
    /* On the dialling thread, once; `fd` is its to take when r is 0. */
    void (*done)(struct peer_dialling *dialling);

    /* What peer_connect gave. */
    int r;
    int fd;
    bool refused;
    struct peer_id other;
    char why[PEER_WHY];
};

/* Any thread. Answers: BUSY (PEER_DIALS_MOST are at work, or the peer is being
 * stopped: `done` will not be called). Faults: SYSTEM. */
int peer_dial(struct peer *peer, struct peer_dialling *dialling) MUST_USE;

/* Makes a connection that was handed over blocking, with PEER_FILE_MS for each
 * read and write. Faults: SYSTEM. */
int peer_block(int fd) MUST_USE;

#endif
