/* A direction holds one record's worth of bytes. It ends alone: the end of what
 * is written into the pair goes over as TLS's notice of closing, and comes out
 * as the end of what is read. A connection that breaks without that notice is
 * closed at once. */
#include "tls/tunnel.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { RECORDS_A_TURN = 8 /* in each direction */ };

struct tunnel *tunnel_new(struct tls_link *link, int fd)
{
    struct tunnel *tunnel = mem_zero(sizeof *tunnel);

    tunnel->link = link;
    tunnel->net = (struct end){.tunnel = tunnel, .fd = link->fd};
    tunnel->pair = (struct end){.tunnel = tunnel, .fd = fd};
    return tunnel;
}

struct tunnel *tunnel_close(struct tunnel *tunnel)
{
    tunnel->link = tls_link_close(tunnel->link);
    (void)close(tunnel->pair.fd);
    return mem_free(tunnel);
}

static bool blocked(ssize_t r)
{
    return r < 0 && (errno == EAGAIN || errno == EINTR);
}

/* What the session waits for may be either, whatever was asked of it. */
static void want_net(struct tunnel *tunnel)
{
    bool writes = gnutls_record_get_direction(tunnel->link->session) == 1;
    tunnel->net.wants |= writes ? EPOLLOUT : EPOLLIN;
}

static bool fill_out(struct tunnel *tunnel)
{
    struct flow *out = &tunnel->out;
    ssize_t n = recv(tunnel->pair.fd, out->bytes, TUNNEL_RECORD, MSG_DONTWAIT);

    if (blocked(n)) {
        tunnel->pair.wants |= EPOLLIN;
        return false;
    }
    out->at = 0;
    out->n = n > 0 ? (size_t)n : 0;
    out->over = n <= 0;
    return true;
}

static bool drain_out(struct tunnel *tunnel)
{
    struct flow *out = &tunnel->out;
    ssize_t n =
        tls_link_send(tunnel->link, out->bytes + out->at, out->n - out->at);

    if (blocked(n)) {
        want_net(tunnel);
        return false;
    }
    if (n < 0) { /* Nobody is there to read it; what came may yet be read. */
        out->over = out->told = true;
    }
    out->at += n > 0 ? (size_t)n : 0;
    out->n = n < 0 || out->at == out->n ? 0 : out->n;
    return n >= 0;
}

static bool tell_out(struct tunnel *tunnel)
{
    int r = gnutls_bye(tunnel->link->session, GNUTLS_SHUT_WR);

    if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
        want_net(tunnel);
        return false;
    }
    tunnel->broken = r < 0;
    tunnel->out.told = true;
    return false;
}

static bool fill_in(struct tunnel *tunnel)
{
    struct flow *in = &tunnel->in;
    ssize_t n = tls_link_recv(tunnel->link, in->bytes, TUNNEL_RECORD);

    if (blocked(n)) {
        want_net(tunnel);
        return false;
    }
    in->at = 0;
    in->n = n > 0 ? (size_t)n : 0;
    in->over = n == 0;
    tunnel->broken = n < 0;
    return !tunnel->broken;
}

static bool drain_in(struct tunnel *tunnel)
{
    struct flow *in = &tunnel->in;
    ssize_t n = send(tunnel->pair.fd, in->bytes + in->at, in->n - in->at,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (blocked(n)) {
        tunnel->pair.wants |= EPOLLOUT;
        return false;
    }
    if (n < 0) { /* Nobody reads it any more. */
        in->over = in->told = true;
    }
    in->at += n > 0 ? (size_t)n : 0;
    in->n = n < 0 || in->at == in->n ? 0 : in->n;
    return n >= 0;
}

/* False when it has to wait, or there is nothing left to do. */
static bool step_out(struct tunnel *tunnel)
{
    struct flow *out = &tunnel->out;

    if (out->told || tunnel->broken) {
        return false;
    }
    if (out->n > 0) {
        return drain_out(tunnel);
    }
    return out->over ? tell_out(tunnel) : fill_out(tunnel);
}

static bool step_in(struct tunnel *tunnel)
{
    struct flow *in = &tunnel->in;

    if (in->told || tunnel->broken) {
        return false;
    }
    if (in->n > 0) {
        return drain_in(tunnel);
    }
    if (in->over) {
        (void)shutdown(tunnel->pair.fd, SHUT_WR);
        in->told = true;
        return false;
    }
    return fill_in(tunnel);
}

/* Two steps are a record. */
bool tunnel_carry(struct tunnel *tunnel)
{
    bool more_out = true;
    bool more_in = true;

    tunnel->net.wants = tunnel->pair.wants = 0;
    for (unsigned i = 0; i < 2 * RECORDS_A_TURN && (more_out || more_in); i++) {
        more_out = more_out && step_out(tunnel);
        more_in = more_in && step_in(tunnel);
    }
    return more_out || more_in;
}

bool tunnel_is_over(const struct tunnel *tunnel)
{
    return tunnel->broken ||
           (tunnel->out.told && (tunnel->in.told || tunnel->pair.gone)) ||
           (tunnel->lingers && clock_mono_ms() >= tunnel->until_ms);
}
