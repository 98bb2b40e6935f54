#include "rest/shake.h"

#include "rest/state.h"
#include "tls/tls.h"

static struct rest_peer *peer_of(struct rest_ring *ring)
{
    return CONTAINER(ring, struct rest_peer, shake);
}

void rest_shakes_init(struct rest_shakes *shakes)
{
    rest_ring_init(&shakes->shaking);
    rest_ring_init(&shakes->paused);
}

static void go_on(struct rest_loop *loop, struct rest_peer *peer)
{
    rest_side_remove(&loop->sides, &peer->shake_side);
    rest_ring_remove(&peer->shake);
    rest_ring_add(&loop->shakes.shaking, &peer->shake);
    MHD_resume_connection(peer->connection);
}

static void hear(struct rest_side *side, uint32_t events)
{
    struct rest_peer *peer = CONTAINER(side, struct rest_peer, shake_side);

    (void)events; /* an end is read, too */
    go_on(peer->loop, peer);
}

void rest_shake_begin(struct rest_loop *loop, struct rest_peer *peer,
                      struct MHD_Connection *connection)
{
    peer->loop = loop;
    peer->connection = connection;
    peer->shake_side = (struct rest_side){.fd = peer->fd, .func = hear};
    rest_ring_add(&loop->shakes.shaking, &peer->shake);
}

/* What cannot be waited for stays with the library: slow, but not wrong. */
static void pause_one(struct rest_loop *loop, struct rest_peer *peer)
{
    uint32_t events = tls_http_is_writing(peer->session) ? EPOLLOUT : EPOLLIN;

    if (rest_side_set(&loop->sides, &peer->shake_side, events | EPOLLRDHUP) ==
        0) {
        rest_ring_add(&loop->shakes.paused, &peer->shake);
        MHD_suspend_connection(peer->connection);
    }
}

void rest_shakes_turn(struct rest_loop *loop)
{
    struct rest_ring *shaking = &loop->shakes.shaking;

    while (!rest_ring_is_empty(shaking)) {
        struct rest_peer *peer = peer_of(shaking->next);
        rest_ring_remove(&peer->shake);
        if (!tls_http_is_shaken(peer->session)) {
            pause_one(loop, peer);
        }
    }
}

void rest_shakes_end(struct rest_loop *loop)
{
    while (!rest_ring_is_empty(&loop->shakes.paused)) {
        go_on(loop, peer_of(loop->shakes.paused.next));
    }
}
