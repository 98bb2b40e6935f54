/* A session of HTTP, on a socket that somebody else waits for.
 *
 * GnuTLS reads a record in two calls, and sends each by itself. Here it reads
 * from what one recv(2) gave, and writes to where one send(2) takes it from:
 * both places are the desk's, which a thread has once. What does not fit into a
 * call stays with the session until the next: bytes that came and were not
 * asked for (`raw`, sealed; `unread`, open), and bytes that the socket did not
 * take (`owed`). Nearly always there are none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "tls/inside.h"

enum {
    RECORD = 16 << 10,     /* most open bytes of one */
    RECORD_OVERHEAD = 256, /* RFC 8446 5.2 */
    LONG = 4 << 10,        /* a part that is not worth to be copied */
    IN = 2 * (RECORD + RECORD_OVERHEAD),
    /* What is written besides records is small, but for a chain of
     * certificates, which may need some rounds. */
    OUT = TLS_SEAL_ONCE / RECORD * (RECORD + RECORD_OVERHEAD) + 1024,
    OWED_MOST = 4 * OUT,
};

struct tls_desk {
    uint8_t in[IN];
    size_t in_at, in_n;
    bool asked; /* the socket, in this call */
    uint8_t out[OUT];
    size_t out_n;
    uint8_t open[RECORD]; /* gathered for a record */
};

struct tls_seal {
    struct credentials *credentials;
    struct tls_desk *desk;
    gnutls_session_t session;
    int fd;
    bool ended;  /* the other sends nothing more */
    bool failed; /* and has not said so */
    bool cut;    /* the socket ends */
    bool broken; /* nothing is read or written any more */
    bool more;   /* the socket had as much as was asked for */
    struct buf raw, unread, owed;
    size_t unread_at, owed_at; /* so much of it is gone */
};

/* A ticket holds the certificate of the session that it is from: who goes on
 * with it is not asked for another, be his expired, lost or renewed. Where one
 * was shown tickets are of a time that is over, and of a key (GnuTLS makes one
 * for each such time) that no later session looks for. 0 is not taken. */
enum { TICKET_S = 1 };

struct tls_desk *tls_desk_new(void)
{
    return mem_zero(sizeof(struct tls_desk));
}

struct tls_desk *tls_desk_free(struct tls_desk *desk)
{
    return mem_free(desk);
}

static void or_stop(int error)
{
    if (error < 0) {
        abort(); /* Memory. */
    }
}

static bool is_again(ssize_t r)
{
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* ---- from and to the socket ---- */

/* Once a call: a client that is faster than this does not keep the others from
 * their turn. */
static ssize_t ask_socket(struct tls_seal *seal)
{
    struct tls_desk *desk = seal->desk;
    ssize_t n = -1;

    if (desk->asked) {
        errno = EAGAIN;
        return -1;
    }
    desk->asked = true;
    do {
        n = recv(seal->fd, desk->in, IN, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    seal->more = n == IN;
    desk->in_at = 0;
    desk->in_n = n > 0 ? (size_t)n : 0;
    if (n > 0) {
        return n;
    }
    /* Not GnuTLS's business: it would not send any more, either. */
    seal->cut = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    errno = EAGAIN;
    return -1;
}

static ssize_t pull(gnutls_transport_ptr_t user, void *bytes, size_t n)
{
    struct tls_seal *seal = user;
    struct tls_desk *desk = seal->desk;

    if (desk->in_at == desk->in_n) {
        ssize_t r = ask_socket(seal);
        if (r < 0) {
            return r;
        }
    }
    size_t left = desk->in_n - desk->in_at;
    size_t part = n < left ? n : left;
    memcpy(bytes, desk->in + desk->in_at, part);
    desk->in_at += part;
    return (ssize_t)part;
}

/* Whoever waits for the socket is not here. */
static int pull_timeout(gnutls_transport_ptr_t user, unsigned ms)
{
    (void)user;
    (void)ms;
    return 1;
}

static ssize_t try_send(struct tls_seal *seal, const void *bytes, size_t n)
{
    ssize_t sent = -1;

    do {
        sent = send(seal->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : sent;
}

static void send_out(struct tls_seal *seal)
{
    struct tls_desk *desk = seal->desk;
    size_t n = desk->out_n;
    ssize_t sent = 0;

    desk->out_n = 0;
    if (n == 0 || seal->broken) {
        return;
    }
    if (!tls_seal_owes(seal)) {
        sent = try_send(seal, desk->out, n);
    }
    seal->broken = sent < 0 || seal->owed.n > OWED_MOST;
    if (!seal->broken && (size_t)sent < n) {
        buf_add(&seal->owed, desk->out + sent, n - (size_t)sent);
    }
}

static ssize_t push(gnutls_transport_ptr_t user, const giovec_t *parts, int n)
{
    struct tls_seal *seal = user;
    struct tls_desk *desk = seal->desk;
    size_t total = 0;

    for (int i = 0; i < n; i++) {
        size_t room = OUT - desk->out_n;
        size_t part = parts[i].iov_len < room ? parts[i].iov_len : room;
        memcpy(desk->out + desk->out_n, parts[i].iov_base, part);
        desk->out_n += part;
        total += part;
    }
    if (total == 0 && n > 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)total;
}

static void sit_down(struct tls_seal *seal)
{
    struct tls_desk *desk = seal->desk;

    desk->asked = false;
    desk->in_at = desk->out_n = 0;
    desk->in_n = seal->raw.n;
    if (seal->raw.n > 0) {
        memcpy(desk->in, seal->raw.p, seal->raw.n);
        buf_done(&seal->raw);
    }
}

/* The next one finds the desk empty. */
static void stand_up(struct tls_seal *seal)
{
    struct tls_desk *desk = seal->desk;

    if (desk->in_at < desk->in_n && !seal->broken) {
        buf_add(&seal->raw, desk->in + desk->in_at, desk->in_n - desk->in_at);
    }
    send_out(seal);
}

/* ---- begin and end ---- */

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

static void set_clients(struct tls_seal *seal)
{
    const struct credentials *own = seal->credentials;

    if (own->clients != TLS_CLIENTS_NONE && own->verifies) {
        gnutls_certificate_server_set_request(
            seal->session, own->clients == TLS_CLIENTS_REQUIRED
                               ? GNUTLS_CERT_REQUIRE
                               : GNUTLS_CERT_REQUEST);
        gnutls_session_set_verify_function(seal->session, check_client);
    }
}

struct tls_seal *tls_seal_begin(struct tls *tls, struct tls_desk *desk, int fd)
{
    struct tls_seal *seal = mem_zero(sizeof *seal);

    seal->desk = desk;
    seal->fd = fd;
    seal->credentials = tls_credentials(tls);
    or_stop(gnutls_init(&seal->session,
                        GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL));
    or_stop(gnutls_priority_set(seal->session, tls->http_priorities));
    or_stop(gnutls_credentials_set(seal->session, GNUTLS_CRD_CERTIFICATE,
                                   seal->credentials->gnutls));
    set_clients(seal);
    /* Without tickets it is only slower. */
    (void)gnutls_session_ticket_enable_server(seal->session,
                                              &seal->credentials->ticket_key);
    gnutls_handshake_set_timeout(seal->session, GNUTLS_INDEFINITE_TIMEOUT);
    gnutls_transport_set_ptr(seal->session, seal);
    gnutls_transport_set_pull_function(seal->session, pull);
    gnutls_transport_set_pull_timeout_function(seal->session, pull_timeout);
    gnutls_transport_set_vec_push_function(seal->session, push);
    return seal;
}

struct tls_seal *tls_seal_end(struct tls_seal *seal)
{
    if (seal == NULL) {
        return NULL;
    }
    gnutls_deinit(seal->session);
    credentials_unref(seal->credentials);
    buf_done(&seal->raw);
    buf_done(&seal->unread);
    buf_done(&seal->owed);
    return mem_free(seal);
}

/* It waits to read, unless it owes something: what it writes is always taken.
 */
static int shake(struct tls_seal *seal)
{
    int r = GNUTLS_E_AGAIN;

    do {
        r = gnutls_handshake(seal->session);
        send_out(seal);
    } while (r == GNUTLS_E_WARNING_ALERT_RECEIVED ||
             (is_again(r) && !seal->broken && !tls_seal_owes(seal) &&
              gnutls_record_get_direction(seal->session) == 1));
    return r;
}

int tls_seal_shake(struct tls_seal *seal)
{
    if (tls_seal_flush(seal) < 0) {
        return errno == EAGAIN ? ERR_BUSY : ERR_INVALID;
    }
    sit_down(seal);
    int r = shake(seal);
    if (r < 0 && !is_again(r)) {
        (void)gnutls_alert_send_appropriate(seal->session, r);
    }
    stand_up(seal);
    if (seal->broken || seal->cut || (r < 0 && !is_again(r))) {
        return ERR_INVALID;
    }
    return r < 0 ? ERR_BUSY : 0;
}

/* Again: a session that was resumed has checked nothing, and its certificate
 * may have expired since. */
void tls_seal_peer(struct tls_seal *seal, struct tls_peer *ret_peer)
{
    char why[TLS_WHY];

    if (peer_check(seal->session, true, ret_peer, why) != 0) {
        *ret_peer = (struct tls_peer){.verified = false};
    }
}

/* ---- reading ---- */

static size_t take_unread(struct tls_seal *seal, uint8_t *bytes, size_t n)
{
    size_t left = seal->unread.n - seal->unread_at;
    size_t part = n < left ? n : left;

    if (part > 0) {
        memcpy(bytes, seal->unread.p + seal->unread_at, part);
        seal->unread_at += part;
    }
    if (part == left) {
        buf_done(&seal->unread);
        seal->unread_at = 0;
    }
    return part;
}

static bool can_go_on(const struct tls_seal *seal)
{
    const struct tls_desk *desk = seal->desk;

    return !seal->ended && !seal->broken &&
           (!desk->asked || desk->in_at < desk->in_n ||
            gnutls_record_check_pending(seal->session) > 0);
}

/* What it held may be a secret: GnuTLS frees it as it is. */
static size_t unpack(struct tls_seal *seal, gnutls_packet_t packet,
                     uint8_t *bytes, size_t n)
{
    gnutls_datum_t open;

    gnutls_packet_get(packet, &open, NULL);
    size_t part = n < open.size ? n : open.size;
    memcpy(bytes, open.data, part);
    tls_seal_unread(seal, open.data + part, open.size - part);
    explicit_bzero(open.data, open.size);
    gnutls_packet_deinit(packet);
    return part;
}

/* GnuTLS says so behind what is no data (new keys), too: who waits for the
 * socket would not be told of what came behind that. */
static bool has_asked_in_vain(const struct tls_desk *desk)
{
    return desk->asked && desk->in_at == desk->in_n;
}

/* What the other wants settled anew (TLS 1.2) is refused with the rest. */
static size_t open_records(struct tls_seal *seal, uint8_t *bytes, size_t n)
{
    gnutls_packet_t packet = NULL;
    size_t got = 0;

    while (got < n && can_go_on(seal)) {
        ssize_t r = gnutls_record_recv_packet(seal->session, &packet);
        if (r > 0) {
            got += unpack(seal, packet, bytes + got, n - got);
        } else if (is_again(r)) {
            if (has_asked_in_vain(seal->desk)) {
                seal->ended = seal->failed = seal->cut;
                break;
            }
        } else if (r != GNUTLS_E_WARNING_ALERT_RECEIVED) {
            seal->ended = true;
            seal->failed = r < 0;
        }
    }
    return got;
}

ssize_t tls_seal_recv(struct tls_seal *seal, void *bytes, size_t n)
{
    uint8_t *at = bytes;
    size_t got = take_unread(seal, at, n);

    if (got < n && !seal->ended && !seal->broken) {
        sit_down(seal);
        got += open_records(seal, at + got, n - got);
        stand_up(seal);
    }
    if (got > 0) {
        return (ssize_t)got;
    }
    if (seal->ended && !seal->failed) {
        return 0;
    }
    errno = seal->ended || seal->broken ? ECONNRESET : EAGAIN;
    return -1;
}

void tls_seal_unread(struct tls_seal *seal, const void *bytes, size_t n)
{
    struct buf all = {.secret = true};

    if (n == 0) {
        return;
    }
    buf_add(&all, bytes, n);
    if (seal->unread.n > 0) {
        buf_add(&all, seal->unread.p + seal->unread_at,
                seal->unread.n - seal->unread_at);
    }
    buf_done(&seal->unread);
    seal->unread = all;
    seal->unread_at = 0;
}

void tls_seal_drop(struct tls_seal *seal, size_t n)
{
    seal->unread_at += n;
    if (seal->unread_at == seal->unread.n) {
        buf_done(&seal->unread);
        seal->unread_at = 0;
    }
}

bool tls_seal_has_more(const struct tls_seal *seal)
{
    return seal->unread.n > 0 || seal->raw.n > 0 || seal->more || seal->ended ||
           gnutls_record_check_pending(seal->session) > 0;
}

/* ---- writing ---- */

bool tls_seal_owes(const struct tls_seal *seal)
{
    return seal->owed.n > 0;
}

int tls_seal_flush(struct tls_seal *seal)
{
    if (!seal->broken && tls_seal_owes(seal)) {
        size_t left = seal->owed.n - seal->owed_at;
        ssize_t sent = try_send(seal, seal->owed.p + seal->owed_at, left);
        seal->broken = sent < 0;
        seal->owed_at += sent > 0 ? (size_t)sent : 0;
        if (seal->owed_at == seal->owed.n) {
            buf_done(&seal->owed);
            seal->owed_at = 0;
        }
    }
    if (seal->broken) {
        errno = EPIPE;
        return -1;
    }
    errno = EAGAIN;
    return tls_seal_owes(seal) ? -1 : 0;
}

/* Where the next record is taken from: as it is when it is long enough or the
 * last, else gathered. Of what is long only its beginning is: the rest need not
 * be copied. */
static struct str next_record(struct tls_desk *desk, const struct iovec *parts,
                              size_t n, size_t part, size_t at)
{
    const char *first = parts[part].iov_base;
    size_t left = parts[part].iov_len - at, total = 0;
    bool is_long = false;

    if (left >= RECORD || part + 1 == n) {
        return (struct str){first + at, left < RECORD ? left : RECORD};
    }
    for (; part < n && total < RECORD && !is_long; part++, at = 0) {
        struct str from = {(const char *)parts[part].iov_base + at,
                           parts[part].iov_len - at};
        is_long = from.n > LONG;
        size_t most = is_long ? LONG : from.n;
        size_t more = most < RECORD - total ? most : RECORD - total;
        if (more > 0) {
            memcpy(desk->open + total, from.p, more);
        }
        total += more;
    }
    return (struct str){(const char *)desk->open, total};
}

static void skip(const struct iovec *parts, size_t n, size_t *io_part,
                 size_t *io_at, size_t bytes)
{
    *io_at += bytes;
    while (*io_part < n && *io_at >= parts[*io_part].iov_len) {
        *io_at -= parts[(*io_part)++].iov_len;
    }
}

static ssize_t seal_records(struct tls_seal *seal, const struct iovec *parts,
                            size_t n)
{
    struct tls_desk *desk = seal->desk;
    size_t part = 0, at = 0, total = 0;

    skip(parts, n, &part, &at, 0);
    while (part < n && (total < TLS_SEAL_ONCE || !tls_seal_owes(seal))) {
        struct str record = next_record(desk, parts, n, part, at);
        ssize_t taken = gnutls_record_send(seal->session, record.p, record.n);
        if (taken < 0) {
            seal->broken = true;
            return -1;
        }
        total += (size_t)taken;
        skip(parts, n, &part, &at, (size_t)taken);
        if (OUT - desk->out_n < RECORD + RECORD_OVERHEAD) {
            send_out(seal);
        }
    }
    return (ssize_t)total;
}

ssize_t tls_seal_send(struct tls_seal *seal, const struct iovec *parts,
                      size_t n)
{
    if (tls_seal_flush(seal) != 0) {
        return -1;
    }
    seal->desk->out_n = 0;
    ssize_t total = seal_records(seal, parts, n);
    send_out(seal);
    if (seal->broken) {
        errno = EPIPE;
        return -1;
    }
    return total;
}

void tls_seal_bye(struct tls_seal *seal)
{
    if (seal != NULL && !seal->broken && tls_seal_flush(seal) == 0) {
        seal->desk->out_n = 0;
        (void)gnutls_bye(seal->session, GNUTLS_SHUT_WR);
        send_out(seal);
    }
}
