/* Encryption of connections: credentials that can be read anew while they are
 * used, who the other side is, certificates for a first cluster.
 *
 * GnuTLS: one library for HTTP and between nodes. Minimum TLS 1.2.
 *
 *     r = tls_new(&(struct tls_config){.cert = "n1.pem", ...}, &tls, why);
 *     ...
 *     r = tls_reload(tls, why);   SIGHUP: connections that are made stay
 *     tls = tls_free(tls);        sessions keep what they use
 *
 * Any thread, unless said otherwise. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/mem.h"
#include "base/own.h"

struct tls; /* opaque */

enum {
    TLS_WHY = 256,  /* a sentence for a person, with its NUL */
    TLS_NAME = 256, /* of a peer, with its NUL */
    TLS_DAYS_MOST = 36500,
};

/* Whether clients of HTTP are asked for a certificate. */
enum tls_clients {
    TLS_CLIENTS_NONE,
    TLS_CLIENTS_OPTIONAL,
    TLS_CLIENTS_REQUIRED
};

struct tls_config {
    const char *cert; /* PEM files; the chain, leaf first */
    const char *key;
    const char *ca;   /* verifies the other side; NULL: nobody is */
    const char *node; /* ours must be tls_is_node of it; NULL: whatever it is */
    enum tls_clients clients; /* of tls_seal_begin */
};

/* Answers: INVALID (`why` names the file and what is wrong with it). */
int tls_new(const struct tls_config *config, struct tls **ret_tls,
            char why[TLS_WHY]) MUST_USE;
/* The same files again; what is wrong with them leaves all as it was. Answers:
 * INVALID. */
int tls_reload(struct tls *tls, char why[TLS_WHY]) MUST_USE;
/* Always NULL; takes NULL. After each link and each seal; tunnels that are
 * still open end. */
struct tls *tls_free(struct tls *tls);
/* When the certificate in use ends, Unix seconds. */
uint64_t tls_expires_s(struct tls *tls);
/* Whether our own certificate could be a node's of that name: it says so and is
 * from the CA. Answers: INVALID (`why`). */
int tls_is_node(struct tls *tls, const char *node, char why[TLS_WHY]) MUST_USE;

/* Who the other side is, as its verified certificate says. */
struct tls_peer {
    bool verified;       /* false: it showed none; the rest is "" then */
    char name[TLS_NAME]; /* CN */
    char node[TLS_NAME]; /* from a URI SAN roster://node/ID; "": no node */
};

/* ---- connections of HTTP: the server's side ---- */

/* What the sessions of a thread share, so that none has buffers of its own.
 * tls_desk_free: always NULL; takes NULL; after all of them. */
struct tls_desk; /* opaque */
struct tls_desk *tls_desk_new(void) MUST_USE;
struct tls_desk *tls_desk_free(struct tls_desk *desk);

/* On a connected, non-blocking socket, which stays the caller's: it waits for
 * it, and closes it after. No call waits. Its credentials are those of its
 * begin. A certificate that is shown and is not good ends the handshake.
 * Sessions without one may be resumed by tickets until the next reload.
 *
 * Bytes that are sealed and that the socket has not taken are owed: they go
 * out, by any call that writes, when it takes more. Bytes that came may be
 * known to the session alone: who waits for the socket looks at
 * tls_seal_has_more before. */
struct tls_seal; /* opaque */
struct tls_seal *tls_seal_begin(struct tls *tls, struct tls_desk *desk,
                                int fd) MUST_USE;
/* Always NULL; takes NULL. */
struct tls_seal *tls_seal_end(struct tls_seal *seal);
/* Answers: BUSY (when its socket takes what it owes, or has more: again),
 * INVALID (it has failed, and the other was told). */
int tls_seal_shake(struct tls_seal *seal) MUST_USE;
/* After it. */
void tls_seal_peer(struct tls_seal *seal, struct tls_peer *ret_peer);
/* As recv(2): bytes, 0 when the other has said that it ends, or -1 with errno.
 */
ssize_t tls_seal_recv(struct tls_seal *seal, void *bytes, size_t n);
/* The next call receives these first. */
void tls_seal_unread(struct tls_seal *seal, const void *bytes, size_t n);
/* Takes that much of what was put back. */
void tls_seal_drop(struct tls_seal *seal, size_t n);
bool tls_seal_has_more(const struct tls_seal *seal);
/* As sendmsg(2), with as few records and calls as it can be: bytes taken, or -1
 * with errno. When anything is taken that is at least TLS_SEAL_ONCE, or all;
 * nothing is while something is owed (EAGAIN). */
enum { TLS_SEAL_ONCE = 64 << 10 };
ssize_t tls_seal_send(struct tls_seal *seal, const struct iovec *parts,
                      size_t n);
bool tls_seal_owes(const struct tls_seal *seal);
/* 0: nothing is owed any more; -1 with errno. */
int tls_seal_flush(struct tls_seal *seal) MUST_USE;
/* Tells the other that nothing follows, unless something is owed. Takes NULL.
 */
void tls_seal_bye(struct tls_seal *seal);

/* ---- connections between nodes ---- */

/* On a connected, non-blocking socket, which it takes in any case. One thread
 * at a time. TLS 1.3; each side shows its certificate, and what is wrong with
 * the other's is found after the handshake, so that a refusal can be told in
 * words. Who polls its descriptor waits for tls_link_events. The dialling
 * side's first step reads nothing: what answers in plain text can be looked at.
 *
 *     link = tls_link_begin(tls, fd, false);
 *     while ((r = tls_link_shake(link, why)) == ERR_BUSY) { poll }
 *     if (r == 0) r = tls_link_peer(link, &peer, why);
 *     ... tls_link_send, tls_link_recv
 *     r = tls_link_tunnel(link, false, &fd) */
struct tls_link; /* opaque */
struct tls_link *tls_link_begin(struct tls *tls, int fd,
                                bool listening) MUST_USE;
/* Answers: BUSY (later again), INVALID (that is no TLS, or none both know),
 * FORBIDDEN (the other refuses, as far as it says so in an alert). Faults: IO.
 * `why` is set unless it is 0 or BUSY. */
int tls_link_shake(struct tls_link *link, char why[TLS_WHY]) MUST_USE;
short tls_link_events(const struct tls_link *link);
/* After the handshake: whose certificate it is. Answers: FORBIDDEN (it showed
 * none, or one that is not from our CA, has expired or the like): the dialling
 * side has sent an alert then, the listening one may tell why. */
int tls_link_peer(struct tls_link *link, struct tls_peer *ret_peer,
                  char why[TLS_WHY]) MUST_USE;
/* As recv(2) and send(2): bytes, 0 when the other has ended, or -1 with errno.
 * After EAGAIN send the same bytes again. What was received and not asked for
 * yet is not seen by poll: ask until EAGAIN, or while tls_link_pending. */
ssize_t tls_link_recv(struct tls_link *link, void *bytes, size_t n);
ssize_t tls_link_send(struct tls_link *link, const void *bytes, size_t n);
bool tls_link_pending(const struct tls_link *link);
/* What the other said when it ended the connection by an alert, or NULL.
 * Static. */
const char *tls_link_alert(const struct tls_link *link);
/* Nothing more will be sent, as shutdown(2). May be lost. */
void tls_link_shutdown(struct tls_link *link);
/* Plain bytes go through the descriptor that it gives, a non-blocking one of a
 * socket pair: a thread carries them, see carrier.c. Either side may end its
 * direction alone. `bulk`: large and not urgent. Takes the link in any case.
 * Faults: SYSTEM. */
int tls_link_tunnel(struct tls_link *link, bool bulk, int *ret_fd) MUST_USE;
/* Always NULL; takes NULL. */
struct tls_link *tls_link_close(struct tls_link *link);

/* ---- making certificates ---- */

/* Each is a pair of PEM files DIR/NAME.pem and DIR/NAME-key.pem (mode 0600),
 * never overwritten; EC P-256. The CA is DIR/ca.pem; what is signed ends no
 * later than it. Answers: CONFLICT (there is one), INVALID (a parameter, or the
 * CA's files). Faults: IO. `why` is set unless it is 0. */
struct tls_make {
    const char *dir;
    const char *name;         /* of the files, and CN: 1 to 64 characters */
    const char *node;         /* URI SAN; NULL: a client's */
    const char *const *hosts; /* DNS names and addresses; NULL-terminated; or
                                 NULL */
    uint64_t days;            /* 1 to TLS_DAYS_MOST */
};
int tls_make_ca(const char *dir, uint64_t days, char why[TLS_WHY]) MUST_USE;
int tls_make_cert(const struct tls_make *make, char why[TLS_WHY]) MUST_USE;

#endif
