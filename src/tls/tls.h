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
    const char *ca;           /* verifies the other side; NULL: nobody is */
    enum tls_clients clients; /* of tls_http_begin */
};

/* Answers: INVALID (`why` names the file and what is wrong with it). */
int tls_new(const struct tls_config *config, struct tls **ret_tls,
            char why[TLS_WHY]) MUST_USE;
/* The same files again; what is wrong with them leaves all as it was. Answers:
 * INVALID. */
int tls_reload(struct tls *tls, char why[TLS_WHY]) MUST_USE;
/* Always NULL; takes NULL. */
struct tls *tls_free(struct tls *tls);
/* When the certificate in use ends, Unix seconds. */
uint64_t tls_expires_s(const struct tls *tls);

/* Who the other side is, as its verified certificate says. */
struct tls_peer {
    bool verified;       /* false: it showed none; the rest is "" then */
    char name[TLS_NAME]; /* CN */
    char node[TLS_NAME]; /* from a URI SAN roster://node/ID; "": no node */
};

/* ---- sessions of libmicrohttpd: `session` is its gnutls_session_t ---- */

/* Before the handshake: our credentials and settings. Gives what the session
 * holds of them, ended with tls_http_end after the session. */
struct tls_held; /* opaque */
struct tls_held *tls_http_begin(struct tls *tls, void *session) MUST_USE;
struct tls_held *tls_http_end(struct tls_held *held);
/* After it. */
void tls_http_peer(void *session, struct tls_peer *ret_peer);
/* Non-blocking, as send(2): bytes taken, or -1 with errno (EAGAIN: call again
 * with the same bytes). */
ssize_t tls_http_send(void *session, const void *bytes, size_t n);
/* For MHD_OPTION_HTTPS_PRIORITIES. Static. */
const char *tls_priorities(void);

/* ---- connections between nodes ---- */

/* Blocking, up to `timeout_ms`: the handshake on a connected socket. Takes `fd`
 * in any case. The other side's certificate has been verified against the CA
 * when it answers 0; *ret_peer says whose it is. Answers: FORBIDDEN (a
 * certificate that is not from our CA, has expired or the like; as the
 * listening side `said` is sent to it before the end), INVALID (it does not
 * speak TLS). Faults: IO. `why` is set unless it is 0. */
struct tls_link; /* opaque */
int tls_link_open(struct tls *tls, int fd, bool listening, unsigned timeout_ms,
                  struct tls_link **ret_link, struct tls_peer *ret_peer,
                  char why[TLS_WHY]) MUST_USE;
/* Plain bytes come out of the descriptor it gives: a thread carries them. Takes
 * the link; both end when either side closes. Faults: SYSTEM. */
int tls_link_tunnel(struct tls_link *link, int *ret_fd) MUST_USE;
struct tls_link *tls_link_close(struct tls_link *link);

/* ---- making certificates ---- */

/* Each is a PEM file pair DIR/NAME.pem and DIR/NAME-key.pem (mode 0600), never
 * overwritten. Answers: CONFLICT (there is one), INVALID (`why`). Faults: IO,
 * SYSTEM. */
struct tls_make {
    const char *dir;
    const char *name;   /* of the files, and CN */
    const char *node;   /* URI SAN; NULL: a client's */
    const char **hosts; /* DNS names and addresses; NULL-terminated; or NULL */
    uint64_t days;
};
int tls_make_ca(const char *dir, uint64_t days, char why[TLS_WHY]) MUST_USE;
int tls_make_cert(const struct tls_make *make, char why[TLS_WHY]) MUST_USE;

#endif
