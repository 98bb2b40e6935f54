/* What the tests of connections share: a node that listens on a free port and
 * notes what comes, and strangers that speak in bytes. */
#ifndef TEST_PEER_KIT_H
#define TEST_PEER_KIT_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>

#include "peer/shake.h"

enum { KIT_LONG_MS = 30000, KIT_HELD_MOST = 2 * PEER_WAITING_MOST };

/* What has come so far. */
struct kit_seen {
    unsigned n_judged;
    uint64_t expected; /* raft id the last one expected */
    unsigned n_accepted;
    enum peer_kind kind; /* of the last one accepted */
    struct peer_id from; /* of the last one accepted or called */
};

struct kit {
    struct peer *peer;
    struct peer_id id; /* the listener's */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t news;
    struct kit_seen seen;
    enum peer_verdict verdict;
    const char *why;
    int fd;     /* of the last one accepted, until kit_accepted */
    bool holds; /* calls are not answered, but kept */
    unsigned n_held;
    struct peer_called *held[KIT_HELD_MOST];
};

/* Somebody of the kit's cluster. */
struct peer_id kit_id(uint64_t raft_id, const char *name);
/* A node with raft id 1 that takes everybody, and answers a call with what it
 * was asked. */
struct kit *kit_start(const char *listen);
/* The same in TLS, which is lent; NULL: plain. */
struct kit *kit_start_tls(const char *listen, struct tls *tls);
struct kit *kit_stop(struct kit *kit);
void kit_judge(struct kit *kit, enum peer_verdict verdict, const char *why);
struct kit_seen kit_seen(struct kit *kit);
/* From now on calls are held, or answered. */
void kit_hold(struct kit *kit, bool holds);
/* Waits until so many were accepted; the last one's descriptor. */
int kit_accepted(struct kit *kit, unsigned n);
/* Waits until so many calls are held. */
void kit_wait_held(struct kit *kit, unsigned n);

/* A dial by `id` that expects the kit's node. */
struct peer_dial kit_dial(enum peer_kind kind, const char *address,
                          const struct peer_id *id);
/* Connected, blocking, has said nothing. */
int kit_stranger(const char *address);
/* Listens on 127.0.0.1, gives the address. */
int kit_listener(int backlog, char ret_address[PEER_ADDRESS]);
void kit_send(int fd, const void *bytes, size_t n);
/* All of them; false when it ends before. */
bool kit_recv(int fd, void *bytes, size_t n) MUST_USE;
/* A good hello of node 2. */
void kit_hello(enum peer_kind kind, uint8_t ret_bytes[SHAKE_HELLO]);

#endif
