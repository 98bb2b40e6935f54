/* What the sources of this room share. */
#ifndef TLS_INSIDE_H
#define TLS_INSIDE_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tls/tls.h"

/* ---- file.c: PEM files ---- */

/* "FILE: what is wrong", cut in front when the path is long; INVALID. */
int file_wrong(const char *path, const char *what, char why[TLS_WHY]) MUST_USE;
/* Gives *ret_bytes, which may hold a key: end it with file_forget. Answers:
 * INVALID. */
int file_read(const char *path, struct buf *ret_bytes,
              char why[TLS_WHY]) MUST_USE;
/* Overwrites and ends it. */
void file_forget(struct buf *bytes);

/* Certificates of one file. */
struct chain {
    gnutls_x509_crt_t *list;
    unsigned n;
};
/* Each with a validity that holds now. Answers: INVALID. */
int chain_read(const char *path, struct chain *ret_chain,
               char why[TLS_WHY]) MUST_USE;
void certs_done(struct chain *chain);
int key_read(const char *path, gnutls_x509_privkey_t *ret_key,
             char why[TLS_WHY]) MUST_USE;

/* ---- credentials.c: what one reading of the files gave ---- */

/* Immutable, counted: a session keeps its own until it ends. */
struct credentials {
    _Atomic(unsigned) refs;
    gnutls_certificate_credentials_t gnutls;
    gnutls_datum_t ticket_key; /* of tickets that this reading's sessions get:
                                  with another CA none may be resumed */
    enum tls_clients clients;
    bool verifies; /* there is a CA */
    uint64_t expires_s;
    struct tls_peer self; /* as the other side would see it */
    int self_status;      /* of our own certificate by our own CA:
                             gnutls_certificate_status_t; -1: no CA */
};

int credentials_read(const struct tls_config *config,
                     struct credentials **ret_credentials,
                     char why[TLS_WHY]) MUST_USE;
/* tls_is_node. */
int credentials_are_node(const struct credentials *own, const char *cert,
                         const char *node, char why[TLS_WHY]) MUST_USE;
struct credentials *credentials_ref(struct credentials *credentials) MUST_USE;
void credentials_unref(struct credentials *credentials);

/* ---- peer.c: whose a certificate is ---- */

void peer_names(gnutls_x509_crt_t crt, struct tls_peer *ret_peer);
/* What is wrong, for a person. */
void peer_status_text(unsigned status, char why[TLS_WHY]);
/* The other side's certificate, by the session's own CA and for its role.
 * Answers: NOT_FOUND (it showed none), FORBIDDEN. */
int peer_check(gnutls_session_t session, bool is_client,
               struct tls_peer *ret_peer, char why[TLS_WHY]) MUST_USE;

/* ---- link.c ---- */

struct tls_link {
    struct tls *tls;
    struct credentials *credentials;
    gnutls_session_t session;
    int fd;
    bool listening;
    int alert; /* the last one that came, -1: none */
};

/* ---- carrier.c: the threads that carry tunnels ---- */

struct carrier;
struct carrier *carrier_new(bool bulk) MUST_USE;
/* Tunnels that are open end. Always NULL; takes NULL. */
struct carrier *carrier_free(struct carrier *carrier);
/* Takes link and fd in any case. Any thread. Faults: SYSTEM. */
int carrier_take(struct carrier *carrier, struct tls_link *link,
                 int fd) MUST_USE;

/* ---- tls.c ---- */

struct tls {
    pthread_mutex_t lock;
    struct credentials *credentials; /* under the lock */
    struct tls_config config;        /* its texts are our own */
    gnutls_priority_t priorities;    /* of links */
    gnutls_priority_t http_priorities;
    struct carrier *urgent, *bulk;
};

struct credentials *tls_credentials(struct tls *tls) MUST_USE;

#endif
