#include "rest/guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "rest/state.h"

enum {
    /* A handshake takes as long as a hundred reads; who asks something on this
     * loop waits for no more than these. */
    TURN_HANDSHAKES = 1,
    AGAIN_MS = 10, /* no pipe was free among those that were looked at */
    PART_BYTES = 256 << 10, /* of a plain request, that nobody reads */
    HANDSHAKE = 0x16,       /* RFC 8446 5.1: what a client begins with */
};

struct rest_guest {
    struct rest_side side;
    struct rest_ring ring; /* in line */
    struct rest_loop *loop;
    struct rest_peer *peer;
    size_t left; /* PARTING: of what is read of it; 0: it is not */
};

void rest_guests_init(struct rest_guests *guests)
{
    rest_ring_init(&guests->ready);
    rest_ring_init(&guests->asking);
}

/* Gives its peer. */
static struct rest_peer *let_go(struct rest_guest *guest)
{
    struct rest_peer *peer = guest->peer;

    rest_side_remove(&guest->loop->sides, &guest->side);
    rest_ring_remove(&guest->ring);
    peer->guest = NULL;
    (void)mem_free(guest);
    return peer;
}

void rest_guest_send_away(struct rest_guest *guest)
{
    struct rest_loop *loop = guest->loop;
    struct rest_peer *peer = let_go(guest);

    rest_peer_close(peer);
    rest_door_forget(loop, peer);
}

static void listen_for(struct rest_guest *guest, uint32_t events)
{
    if (rest_side_set(&guest->loop->sides, &guest->side, events) != 0) {
        rest_guest_send_away(guest);
    }
}

/* ---- WAITING, PARTING ---- */

static void tell_plain(struct rest_guest *guest)
{
    rest_count(&guest->loop->counts.plain, 1);
    rest_cut_last_word(
        guest->peer, 400, "Bad Request",
        STR("{\"type\":\"/problems/bad-request\",\"title\":\"Bad request\","
            "\"status\":400,\"detail\":\"this port speaks TLS: use https://"
            " instead of http://\"}\n"));
    (void)shutdown(guest->peer->fd, SHUT_WR);
    guest->left = PART_BYTES;
}

/* To close what was not read would take the answer away from the client. */
static bool parts(struct rest_guest *guest)
{
    static _Thread_local char dust[16 << 10];
    ssize_t n = recv(guest->peer->fd, dust, sizeof dust, MSG_DONTWAIT);

    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    guest->left -= (size_t)n < guest->left ? (size_t)n : guest->left;
    return guest->left > 0;
}

/* False: it goes. */
static bool look_at(struct rest_guest *guest)
{
    unsigned char first = 0;
    ssize_t n =
        recv(guest->peer->fd, &first, sizeof first, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n == 1 && first == HANDSHAKE) {
        rest_side_remove(&guest->loop->sides, &guest->side);
        rest_ring_add(&guest->loop->guests.ready, &guest->ring);
        return true;
    }
    if (n == 1 && first >= 'A' && first <= 'Z') {
        tell_plain(guest);
        return parts(guest);
    }
    return false;
}

static void hear_first(struct rest_side *side, uint32_t events)
{
    struct rest_guest *guest = CONTAINER(side, struct rest_guest, side);

    (void)events; /* an end is read, too */
    if (!(guest->left > 0 ? parts(guest) : look_at(guest))) {
        rest_guest_send_away(guest);
    }
}

static struct rest_guest *
new_guest(struct rest_loop *loop, struct rest_peer *peer, rest_side_func *func)
{
    struct rest_guest *guest = mem_zero(sizeof *guest);

    guest->loop = loop;
    guest->peer = peer;
    guest->side = (struct rest_side){.fd = peer->fd, .func = func};
    peer->guest = guest;
    return guest;
}

void rest_guest_welcome(struct rest_loop *loop, struct rest_peer *peer)
{
    listen_for(new_guest(loop, peer, hear_first), EPOLLIN);
}

/* ---- SILENT ---- */

static void hear_silent(struct rest_side *side, uint32_t events);

/* What it asks is read once it is the library's. */
static void ask_it(struct rest_guest *guest)
{
    char byte = 0;
    ssize_t n = tls_seal_recv(guest->peer->seal, &byte, sizeof byte);

    guest->side.func = hear_silent;
    if (n > 0) {
        tls_seal_unread(guest->peer->seal, &byte, sizeof byte);
        if (guest->peer->phase == REST_IDLE) {
            rest_deadlines_enter(&guest->loop->deadlines, guest->peer,
                                 REST_HEAD, guest->loop->now_ms);
        }
        rest_side_remove(&guest->loop->sides, &guest->side);
        rest_ring_add(&guest->loop->guests.asking, &guest->ring);
    } else if (n < 0 && errno == EAGAIN) {
        listen_for(guest, EPOLLIN);
    } else {
        rest_guest_send_away(guest);
    }
}

static void hear_silent(struct rest_side *side, uint32_t events)
{
    (void)events;
    ask_it(CONTAINER(side, struct rest_guest, side));
}

void rest_guest_wait(struct rest_loop *loop, struct rest_peer *peer)
{
    ask_it(new_guest(loop, peer, hear_silent));
}

/* ---- SHAKING ---- */

static void hear_shaking(struct rest_side *side, uint32_t events);

static void shake(struct rest_guest *guest)
{
    struct tls_seal *seal = guest->peer->seal;

    switch (tls_seal_shake(seal)) {
    case 0:
        ask_it(guest);
        break;
    case ERR_BUSY:
        guest->side.func = hear_shaking;
        listen_for(guest, tls_seal_owes(seal) ? EPOLLOUT : EPOLLIN);
        break;
    default:
        rest_guest_send_away(guest);
        break;
    }
}

static void hear_shaking(struct rest_side *side, uint32_t events)
{
    (void)events; /* an end is read, too */
    shake(CONTAINER(side, struct rest_guest, side));
}

/* Its credentials are its own from here on: others that are read meanwhile are
 * for those who come later. */
static void begin_shaking(struct rest_guest *guest)
{
    struct rest_peer *peer = guest->peer;
    struct rest_loop *loop = guest->loop;
    int one = 1;

    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer->seal = tls_seal_begin(loop->rest->config.tls, loop->desk, peer->fd);
    shake(guest);
}

/* ---- turns ---- */

static struct rest_guest *take_first(struct rest_ring *line)
{
    struct rest_guest *guest = CONTAINER(line->next, struct rest_guest, ring);

    rest_ring_remove(&guest->ring);
    return guest;
}

void rest_guests_turn(struct rest_loop *loop)
{
    struct rest_guests *guests = &loop->guests;

    for (int i = 0; i < TURN_HANDSHAKES && !rest_ring_is_empty(&guests->ready);
         i++) {
        begin_shaking(take_first(&guests->ready));
    }
    while (!rest_ring_is_empty(&guests->asking) && rest_pipes_have_room(loop)) {
        rest_door_admit(loop, let_go(take_first(&guests->asking)));
    }
}

uint64_t rest_guests_next(const struct rest_loop *loop)
{
    const struct rest_guests *guests = &loop->guests;
    bool asks = !rest_ring_is_empty(&guests->asking);

    if (!rest_ring_is_empty(&guests->ready) ||
        (asks && loop->pipes.n < loop->pipes.most)) {
        return 0;
    }
    return asks ? AGAIN_MS : UINT64_MAX;
}

static void send_away_all(struct rest_peer *peer)
{
    while (peer != NULL) {
        struct rest_peer *next = peer->next;
        if (peer->guest != NULL) {
            rest_guest_send_away(peer->guest);
        }
        peer = next;
    }
}

void rest_guests_abandon(struct rest_loop *loop)
{
    send_away_all(loop->deadlines.lists[REST_HEAD].first);
    send_away_all(loop->deadlines.lists[REST_IDLE].first);
}
