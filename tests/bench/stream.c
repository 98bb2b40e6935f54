#include "stream.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { PATIENCE_MS = 20000 };

struct stream {
    gnutls_session_t session;
    bool begun;  /* hands were shaken */
    bool unsent; /* a record is made, and not all of it is sent */
};

static enum { PLAIN, CLIENT, SERVER } side = PLAIN;
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priorities;

static void must(int r, const char *what)
{
    if (r < 0) {
        errx(1, "%s: %s", what, gnutls_strerror(r));
    }
}

static void prepare(const char *offered)
{
    must(gnutls_certificate_allocate_credentials(&credentials), "TLS");
    must(gnutls_priority_init(&priorities, offered, NULL), "TLS");
}

void stream_be_client(const char *ca)
{
    prepare("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM");
    must(gnutls_certificate_set_x509_trust_file(credentials, ca,
                                                GNUTLS_X509_FMT_PEM),
         ca);
    side = CLIENT;
}

void stream_be_server(const char *cert, const char *key)
{
    prepare("NORMAL:-VERS-ALL:+VERS-TLS1.3");
    must(gnutls_certificate_set_x509_key_file(credentials, cert, key,
                                              GNUTLS_X509_FMT_PEM),
         cert);
    side = SERVER;
}

static int shake_hands(struct stream *s, int fd)
{
    int r;

    gnutls_session_set_verify_cert(s->session, "localhost", 0);
    gnutls_handshake_set_timeout(s->session, PATIENCE_MS);
    do {
        r = gnutls_handshake(s->session);
    } while (r < 0 && gnutls_error_is_fatal(r) == 0);
    s->begun = true;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        err(1, "fcntl");
    }
    return r;
}

static struct stream *make(int fd)
{
    /* No tickets: each session is a whole one. */
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        err(1, "calloc");
    }
    flags |= side == CLIENT ? GNUTLS_CLIENT : GNUTLS_SERVER;
    must(gnutls_init(&s->session, flags), "TLS");
    must(gnutls_priority_set(s->session, priorities), "TLS");
    must(
        gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, credentials),
        "TLS");
    gnutls_transport_set_int(s->session, fd);
    return s;
}

int stream_try(int fd, struct stream **ret)
{
    int r = 0;

    *ret = side == PLAIN ? NULL : make(fd);
    if (side == CLIENT) {
        r = shake_hands(*ret, fd);
    }
    if (r < 0) {
        stream_close(*ret);
        *ret = NULL;
    }
    return r;
}

struct stream *stream_open(int fd)
{
    struct stream *s;

    must(stream_try(fd, &s), "the server");
    return s;
}

void stream_close(struct stream *s)
{
    if (s != NULL) {
        gnutls_deinit(s->session);
    }
    free(s);
}

/* What GnuTLS says, as a system call says it. */
static ssize_t said(ssize_t r)
{
    if (r >= 0) {
        return r;
    }
    errno = gnutls_error_is_fatal((int)r) == 0 ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t stream_recv(struct stream *s, int fd, void *p, size_t n, int flags)
{
    if (s == NULL) {
        return recv(fd, p, n, flags);
    }
    if (!s->begun) {
        int r = gnutls_handshake(s->session);
        if (r < 0) {
            return said(r);
        }
        s->begun = true;
    }
    return said(gnutls_record_recv(s->session, p, n));
}

ssize_t stream_send(struct stream *s, int fd, const void *p, size_t n,
                    int flags)
{
    if (s == NULL) {
        return send(fd, p, n, flags);
    }
    ssize_t r = s->unsent ? gnutls_record_send(s->session, NULL, 0)
                          : gnutls_record_send(s->session, p, n);
    s->unsent = r < 0;
    return said(r);
}
