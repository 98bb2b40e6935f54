/* Encryption of connections: credentials that can be read anew while they are
 * used, who the other side is, certificates for a first cluster.
 *
 * GnuTLS, as libmicrohttpd uses it: one library, one set of settings for HTTP
 * and between nodes. Minimum TLS 1.2.
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
    enum tls_clients clients; /* of tls_http_begin */
};

/* Answers: INVALID (`why` names the file and what is wrong with it). */
int tls_new(const struct tls_config *config, struct tls **ret_tls,
            char why[TLS_WHY]) MUST_USE;
/* The same files again; what is wrong with them leaves all as it was. Answers:
 * INVALID. */
int tls_reload(struct tls *tls, char why[TLS_WHY]) MUST_USE;
/* Always NULL; takes NULL. After each link and each session's `held`; tunnels
 * that are still open end. */
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

/* ---- sessions of libmicrohttpd: `session` is its gnutls_session_t ---- */

/* Before the handshake: our credentials and settings. Gives what the session
 * holds of them, ended with tls_http_end after the session. A certificate that
 * is shown and is not good ends the handshake. Sessions without one may be
 * resumed by tickets until the next reload. */
struct tls_held; /* opaque */
struct tls_held *tls_http_begin(struct tls *tls, void *session) MUST_USE;
struct tls_held *tls_http_end(struct tls_held *held);
/* Whether the handshake is over, and well. */
bool tls_http_is_shaken(void *session);
/* Which way it waits: for its bytes to be taken, or for the other's. */
bool tls_http_is_writing(void *session);
/* After it. */
void tls_http_peer(void *session, struct tls_peer *ret_peer);
/* Non-blocking, as send(2): bytes taken, or -1 with errno (EAGAIN: call again
 * with the same bytes). */
ssize_t tls_http_send(void *session, const void *bytes, size_t n);
/* For MHD_OPTION_HTTPS_PRIORITIES. Static. */
const char *tls_priorities(void);

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
