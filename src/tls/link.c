#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "tls/inside.h"

static void or_stop(int error)
{
    if (error < 0) {
        abort(); /* Memory. */
    }
}

static ssize_t pull_nothing(gnutls_transport_ptr_t fd, void *bytes, size_t n)
{
    (void)fd;
    (void)bytes;
    (void)n;
    errno = EAGAIN;
    return -1;
}

static ssize_t pull(gnutls_transport_ptr_t fd, void *bytes, size_t n)
{
    return recv((int)(intptr_t)fd, bytes, n, 0);
}

/* No tickets: connections between nodes live long, and each is checked anew. */
struct tls_link *tls_link_begin(struct tls *tls, int fd, bool listening)
{
    struct tls_link *link = mem_zero(sizeof *link);
    const unsigned side = listening ? GNUTLS_SERVER : GNUTLS_CLIENT;

    link->tls = tls;
    link->fd = fd;
    link->listening = listening;
    link->alert = -1;
    link->credentials = tls_credentials(tls);
    or_stop(gnutls_init(&link->session, side | GNUTLS_NONBLOCK |
                                            GNUTLS_NO_SIGNAL |
                                            GNUTLS_NO_TICKETS));
    or_stop(gnutls_priority_set(link->session, tls->priorities));
    or_stop(gnutls_credentials_set(link->session, GNUTLS_CRD_CERTIFICATE,
                                   link->credentials->gnutls));
    if (listening) {
        gnutls_certificate_server_set_request(link->session,
                                              GNUTLS_CERT_REQUEST);
    }
    gnutls_handshake_set_timeout(link->session, GNUTLS_INDEFINITE_TIMEOUT);
    gnutls_transport_set_int(link->session, fd);
    if (!listening) {
        gnutls_transport_set_pull_function(link->session, pull_nothing);
    }
    return link;
}

struct tls_link *tls_link_close(struct tls_link *link)
{
    if (link == NULL) {
        return NULL;
    }
    gnutls_deinit(link->session);
    (void)close(link->fd);
    credentials_unref(link->credentials);
    return mem_free(link);
}

short tls_link_events(const struct tls_link *link)
{
    return gnutls_record_get_direction(link->session) == 0 ? POLLIN : POLLOUT;
}

/* ---- the handshake ---- */

static bool is_again(ssize_t r)
{
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

static bool is_alert(ssize_t r)
{
    return r == GNUTLS_E_FATAL_ALERT_RECEIVED ||
           r == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

static void note_alert(struct tls_link *link, ssize_t r)
{
    if (is_alert(r)) {
        link->alert = (int)gnutls_alert_get(link->session);
    }
}

const char *tls_link_alert(const struct tls_link *link)
{
    const char *text =
        link->alert < 0
            ? NULL
            : gnutls_alert_get_name((gnutls_alert_description_t)link->alert);

    return link->alert >= 0 && text == NULL ? "an alert" : text;
}

/* What is no TLS at all, as far as it can be told. */
static bool is_foreign(ssize_t r)
{
    return r == GNUTLS_E_UNEXPECTED_PACKET ||
           r == GNUTLS_E_UNEXPECTED_PACKET_LENGTH ||
           r == GNUTLS_E_UNSUPPORTED_VERSION_PACKET ||
           r == GNUTLS_E_RECORD_OVERFLOW;
}

static int failed(struct tls_link *link, int error, char why[TLS_WHY])
{
    note_alert(link, error);
    if (is_alert(error)) {
        (void)snprintf(why, TLS_WHY, "the other side refused the handshake: %s",
                       tls_link_alert(link));
        return ERR_FORBIDDEN;
    }
    if (error == GNUTLS_E_PREMATURE_TERMINATION ||
        error == GNUTLS_E_PULL_ERROR || error == GNUTLS_E_PUSH_ERROR) {
        (void)snprintf(why, TLS_WHY,
                       "it closed the connection during the TLS handshake");
        return err_raise(ERR_IO);
    }
    (void)gnutls_alert_send_appropriate(link->session, error);
    (void)snprintf(why, TLS_WHY, "%s",
                   is_foreign(error) ? "what it says is no TLS"
                                     : gnutls_strerror(error));
    return ERR_INVALID;
}

int tls_link_shake(struct tls_link *link, char why[TLS_WHY])
{
    int error = 0;

    do {
        error = gnutls_handshake(link->session);
    } while (error == GNUTLS_E_INTERRUPTED ||
             error == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (!link->listening) {
        gnutls_transport_set_pull_function(link->session, pull);
    }
    if (error == GNUTLS_E_SUCCESS) {
        return 0;
    }
    return error == GNUTLS_E_AGAIN ? ERR_BUSY : failed(link, error, why);
}

int tls_link_peer(struct tls_link *link, struct tls_peer *ret_peer,
                  char why[TLS_WHY])
{
    if (peer_check(link->session, link->listening, ret_peer, why) == 0) {
        return 0;
    }
    if (!link->listening) {
        (void)gnutls_alert_send_appropriate(
            link->session, GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR);
    }
    return ERR_FORBIDDEN;
}

/* ---- what is said ---- */

ssize_t tls_link_recv(struct tls_link *link, void *bytes, size_t n)
{
    ssize_t got = gnutls_record_recv(link->session, bytes, n);

    if (got >= 0) {
        return got;
    }
    note_alert(link, got);
    errno = is_again(got) ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t tls_link_send(struct tls_link *link, const void *bytes, size_t n)
{
    ssize_t sent = gnutls_record_send(link->session, bytes, n);

    if (sent >= 0) {
        return sent;
    }
    errno = is_again(sent) ? EAGAIN : EPIPE;
    return -1;
}

bool tls_link_pending(const struct tls_link *link)
{
    return gnutls_record_check_pending(link->session) > 0;
}

void tls_link_shutdown(struct tls_link *link)
{
    (void)gnutls_bye(link->session, GNUTLS_SHUT_WR);
    (void)shutdown(link->fd, SHUT_WR);
}

int tls_link_tunnel(struct tls_link *link, bool bulk, int *ret_fd)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   pair) != 0) {
        (void)tls_link_close(link);
        return err_raise(ERR_SYSTEM);
    }
    struct tls *tls = link->tls;
    int r = carrier_take(bulk ? tls->bulk : tls->urgent, link, pair[0]);
    if (r != 0) {
        (void)close(pair[1]);
        return r;
    }
    *ret_fd = pair[1];
    return 0;
}
