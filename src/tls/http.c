#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "tls/inside.h"

struct tls_held {
    struct credentials *credentials;
};

/* A ticket holds the certificate of the session that it is from: who goes on
 * with it is not asked for another, be his expired, lost or renewed. Where one
 * was shown tickets are of a time that is over, and of a key (GnuTLS makes one
 * for each such time) that no later session looks for. 0 is not taken. */
enum { TICKET_S = 1 };

/* Only what encrypts and authenticates in one, with keys nobody can find out
 * afterwards; both sides' processors do AES. */
const char *tls_priorities(void)
{
    return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:"
           "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD";
}

/* Within the handshake: a certificate that is not good ends it, and the other
 * side reads why in the alert. */
static int check_client(gnutls_session_t session)
{
    struct tls_peer peer;
    char why[TLS_WHY];
    int r = peer_check(session, true, &peer, why);

    if (r == 0) {
        gnutls_db_set_cache_expiration(session, TICKET_S);
    }
    /* One that is required and missing has ended it before. */
    return r == 0 || r == ERR_NOT_FOUND ? 0 : -1;
}

struct tls_held *tls_http_begin(struct tls *tls, void *session)
{
    struct tls_held *held = mem_zero(sizeof *held);
    struct credentials *own = tls_credentials(tls);

    held->credentials = own;
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, own->gnutls) <
        0) {
        abort(); /* Memory. */
    }
    if (own->clients != TLS_CLIENTS_NONE && own->verifies) {
        gnutls_certificate_server_set_request(
            session, own->clients == TLS_CLIENTS_REQUIRED
                         ? GNUTLS_CERT_REQUIRE
                         : GNUTLS_CERT_REQUEST);
        gnutls_session_set_verify_function(session, check_client);
    }
    /* Without tickets it is only slower. */
    (void)gnutls_session_ticket_enable_server(session, &own->ticket_key);
    return held;
}

struct tls_held *tls_http_end(struct tls_held *held)
{
    if (held != NULL) {
        credentials_unref(held->credentials);
    }
    return mem_free(held);
}

/* The library says it only this way: before the end there is nothing to
 * describe. */
bool tls_http_is_shaken(void *session)
{
    char *text = gnutls_session_get_desc(session);
    bool is = text != NULL;

    gnutls_free(text);
    return is;
}

bool tls_http_is_writing(void *session)
{
    return gnutls_record_get_direction(session) == 1;
}

/* Again: a session that was resumed has checked nothing, and its certificate
 * may have expired since. */
void tls_http_peer(void *session, struct tls_peer *ret_peer)
{
    char why[TLS_WHY];

    if (peer_check(session, true, ret_peer, why) != 0) {
        *ret_peer = (struct tls_peer){.verified = false};
    }
}

ssize_t tls_http_send(void *session, const void *bytes, size_t n)
{
    ssize_t sent = gnutls_record_send(session, bytes, n);

    if (sent >= 0) {
        return sent;
    }
    errno =
        sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED ? EAGAIN : EPIPE;
    return -1;
}
