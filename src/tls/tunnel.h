/* One tunnel, as its carrier serves it: a TLS session on the one side, one end
 * of a socket pair on the other. */
#ifndef TLS_TUNNEL_H
#define TLS_TUNNEL_H

#include "base/queue.h"
#include "tls/inside.h"

enum { TUNNEL_RECORD = 16 * 1024 /* most plain bytes of one record */ };

/* Bytes on their way in one direction. */
struct flow {
    size_t at, n; /* of `bytes` */
    bool over;    /* nothing more comes in */
    bool told;    /* and the other end knows */
    uint8_t bytes[TUNNEL_RECORD];
};

/* A descriptor in epoll. */
struct end {
    struct tunnel *tunnel; /* NULL: the carrier's eventfd */
    int fd;
    uint32_t wants;
    bool gone; /* hung up: epoll would tell of it again and again */
};

struct tunnel {
    struct queue_link queued;
    struct tunnel *next, *prev; /* of the carrier's list */
    struct tls_link *link;
    struct end net, pair;
    struct flow in, out;
    bool broken;
    bool ready;        /* it may have something to do */
    bool lingers;      /* its user is gone, and not all of his bytes are sent */
    uint64_t until_ms; /* then it ends */
};

/* Takes both. */
struct tunnel *tunnel_new(struct tls_link *link, int fd) MUST_USE;
/* Always NULL. */
struct tunnel *tunnel_close(struct tunnel *tunnel);
/* Carries what can be carried, up to some records in each direction, and sets
 * what its ends wait for. True when it could go on, but others are to be served
 * before. */
bool tunnel_carry(struct tunnel *tunnel) MUST_USE;
bool tunnel_is_over(const struct tunnel *tunnel);

#endif
