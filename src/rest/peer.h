/* A connection of a client, from accept(2) to its end.
 *
 *   accept ─► door (door.h) ─► the library ─► a stream, or ours for a while
 *                                             (taken.h) ─► end
 *
 * Within TLS there is a session, which goes where the connection goes, and on
 * the way to the library a pipe (pipe.h).
 *
 * One thread: the loop's. */
#ifndef REST_PEER_H
#define REST_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "registry/registry.h"
#include "rest/ring.h"
#include "rest/who.h"

enum rest_phase {
    REST_NONE, /* ours to answer: no limit here */
    REST_IDLE, /* between two requests */
    REST_HEAD, /* until the end of the header */
    REST_BODY,
    REST_SEND, /* until the answer is read */
    REST_PHASES,
};

struct rest_guest;  /* guest.h */
struct rest_pipe;   /* pipe.h */
struct rest_waiter; /* park.h */
struct tls_seal;    /* tls/tls.h */

/* One of the connections that there may be. It goes with the socket. */
struct rest_seat {
    uint8_t address[16]; /* of the client; IPv4 as ::ffff:a.b.c.d */
    bool taken;
};

struct rest_peer {
    struct rest_peer *prev, *next; /* deadline.h: of its phase */
    enum rest_phase phase;
    uint64_t ends_ms;
    int fd;          /* its socket */
    int library_fd;  /* what the library has for that */
    unsigned n_more; /* times that more was granted for this answer */
    bool is_long;    /* more is granted as long as it goes on: a file */
    bool unsure;     /* more was read than is known */
    bool asked;      /* a request line has come: it can be answered */
    bool known;      /* the certificate was looked at */
    unsigned n_hits; /* reads in a row whose answers were kept */
    bool counted;    /* what comes next was, and refused or not, by a limit: */
    bool refused;
    unsigned n_counted; /* so many that are unread were, none of them refused:
                           express.h */
    struct registry_limit limit;
    uint64_t acked; /* bytes sent to it that had arrived then */
    uint64_t read;  /* bytes of it that the library has read, as far as known */
    struct rest_waiter *waiter; /* NULL: it is not suspended for news */
    struct rest_guest *guest;   /* NULL: somebody has it */
    struct rest_ring fresh;     /* of those that no head has come from yet */
    struct rest_seat seat;
    struct rest_shown shown; /* who asks on it */
    struct tls_seal *seal;   /* its session of TLS; NULL: plain */
    struct rest_pipe *pipe;  /* to the library; NULL: none */
    /* Of a client that showed a certificate, from its first request on: CN, and
     * the ID of the node it is. NULL: none. */
    char *cert_name, *cert_node;
};

/* sendmsg(2) that does not wait, through its session when it has one: bytes
 * taken, or -1 with errno. */
ssize_t rest_peer_send(const struct rest_peer *peer, struct iovec *parts,
                       size_t n);
/* Whether something that was taken waits for its socket to take more. */
bool rest_peer_owes(const struct rest_peer *peer);
/* What there is to read behind what its socket tells of. */
bool rest_peer_has_more(const struct rest_peer *peer);
/* Looks at its certificate, once. After the handshake. */
void rest_peer_identify(struct rest_peer *peer);
/* All that goes with the socket, which has another holder now. */
void rest_peer_move(struct rest_peer *to, struct rest_peer *from);
/* Its socket, behind a word to its client that nothing follows. */
void rest_peer_close(const struct rest_peer *peer);
/* All it holds; not its socket. rest_peer_free: and itself. Always NULL. */
void rest_peer_done(struct rest_peer *peer);
struct rest_peer *rest_peer_free(struct rest_peer *peer);

#endif
