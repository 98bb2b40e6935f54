#include "rest/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rest/state.h"

enum {
    TURN_ACCEPTS = 16,
    NO_FILE_MS = 100, /* there was no descriptor: how long to wait */
};

static uint64_t busy(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- seats ---- */

static void listen_on(struct rest_loop *loop)
{
    struct rest_door *door = &loop->door;

    if (door->full && door->side.fd >= 0 &&
        rest_side_set(&loop->sides, &door->side, EPOLLIN) == 0) {
        door->full = false;
    }
}

static void pause_listening(struct rest_loop *loop)
{
    rest_side_remove(&loop->sides, &loop->door.side);
    loop->door.full = true;
}

static bool take_seat(struct rest_loop *loop, struct rest_seat *seat)
{
    if (!rest_origins_take(&loop->rest->origins, seat->address)) {
        return false;
    }
    seat->taken = true;
    rest_count(&loop->counts.connections, 1);
    return true;
}

void rest_door_give_seat(struct rest_loop *loop, struct rest_seat *seat)
{
    if (!seat->taken) {
        return;
    }
    seat->taken = false;
    rest_origins_give(&loop->rest->origins, seat->address);
    rest_count(&loop->counts.connections, (uint64_t)-1);
    if (loop->door.again_ms == 0) {
        listen_on(loop);
    }
}

struct rest_seat rest_door_move_seat(struct rest_seat *seat)
{
    struct rest_seat moved = *seat;

    seat->taken = false;
    return moved;
}

/* ---- to the library ---- */

void rest_door_forget(struct rest_loop *loop, struct rest_peer *peer)
{
    rest_deadlines_enter(&loop->deadlines, peer, REST_NONE, 0);
    rest_ring_remove(&peer->fresh);
    rest_door_give_seat(loop, &peer->seat);
    (void)rest_peer_free(peer);
}

/* It closes its descriptor, too, when it cannot have it. */
static void refuse(struct rest_loop *loop, struct rest_peer *peer)
{
    if (peer->pipe != NULL) {
        rest_pipe_leave(peer->pipe);
    } else {
        rest_door_forget(loop, peer);
    }
}

void rest_door_admit(struct rest_loop *loop, struct rest_peer *peer)
{
    static const struct sockaddr_in nobody = {.sin_family = AF_INET};

    if (peer->seal != NULL && rest_pipe_begin(loop, peer) != 0) {
        rest_peer_close(peer);
        rest_door_forget(loop, peer);
        return;
    }
    loop->door.comes = peer;
    bool has_it = MHD_add_connection(loop->daemon, peer->library_fd,
                                     (const struct sockaddr *)&nobody,
                                     sizeof nobody) == MHD_YES;
    if (loop->door.comes != NULL) {
        loop->door.comes = NULL;
        refuse(loop, peer);
    } else if (has_it && peer->pipe != NULL) { /* else it has told its end */
        rest_pipe_go(peer->pipe);
    }
}

/* Who is given back has something to ask: it gets the time of a header. */
void rest_door_give_back(struct rest_loop *loop, struct rest_peer *was)
{
    struct rest_peer *peer = mem_zero(sizeof *peer);

    rest_peer_move(peer, was);
    rest_deadlines_enter(&loop->deadlines, peer, REST_HEAD, loop->now_ms);
    if (peer->seal != NULL) {
        rest_guest_wait(loop, peer);
    } else {
        rest_door_admit(loop, peer);
    }
}

/* ---- accepting ---- */

/* [DOOR-2] */
static void make_room(struct rest_loop *loop)
{
    struct rest_peer *oldest =
        CONTAINER(loop->door.fresh.next, struct rest_peer, fresh);

    rest_count(&loop->counts.gave_way, 1);
    if (oldest->guest != NULL) {
        rest_guest_send_away(oldest->guest);
        return;
    }
    rest_ring_remove(&oldest->fresh);
    rest_door_give_seat(loop, &oldest->seat);
    rest_cut(loop, oldest);
}

static void enter(struct rest_loop *loop, int fd, const struct sockaddr *from)
{
    struct rest_peer *peer = mem_zero(sizeof *peer);

    peer->fd = peer->library_fd = fd;
    rest_origin_address(from, peer->seat.address);
    if (!take_seat(loop, &peer->seat)) {
        rest_count(&loop->counts.crowded, 1);
        (void)close(fd);
        (void)rest_peer_free(peer);
        return;
    }
    rest_count(&loop->counts.accepted, 1);
    uint64_t n = busy(&loop->counts.connections);
    rest_count(&loop->counts.exhausted, n == loop->max_connections);
    if (n > loop->max_connections) {
        make_room(loop);
    }
    rest_ring_add(&loop->door.fresh, &peer->fresh);
    /* A new connection gets the time of a header, not that of an idle one: who
     * connects has something to ask. A handshake is within that. */
    rest_deadlines_enter(&loop->deadlines, peer, REST_HEAD, loop->now_ms);
    if (loop->rest->config.tls != NULL) {
        rest_guest_welcome(loop, peer);
    } else {
        rest_door_admit(loop, peer);
    }
}

/* Whether somebody came. */
static bool accept_one(struct rest_loop *loop)
{
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof from;
    int fd = accept4(loop->door.side.fd, (struct sockaddr *)&from, &n,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        enter(loop, fd, (const struct sockaddr *)&from);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
        errno == ENOMEM) {
        pause_listening(loop);
        loop->door.again_ms = loop->now_ms + NO_FILE_MS;
    }
    return errno == ECONNABORTED || errno == EINTR;
}

static void come(struct rest_side *side, uint32_t events)
{
    struct rest_door *door = CONTAINER(side, struct rest_door, side);
    struct rest_loop *loop = CONTAINER(door, struct rest_loop, door);

    (void)events;
    for (int i = 0; i < TURN_ACCEPTS; i++) {
        if (busy(&loop->counts.connections) >= loop->max_connections &&
            rest_ring_is_empty(&door->fresh)) {
            pause_listening(loop);
            return;
        }
        if (!accept_one(loop)) {
            return;
        }
    }
}

/* ---- turns ---- */

void rest_door_turn(struct rest_loop *loop)
{
    struct rest_door *door = &loop->door;

    if (door->again_ms != 0 && door->again_ms <= loop->now_ms) {
        door->again_ms = 0;
        listen_on(loop);
    }
}

uint64_t rest_door_next(const struct rest_loop *loop, uint64_t now_ms)
{
    const struct rest_door *door = &loop->door;

    if (door->again_ms == 0) {
        return UINT64_MAX;
    }
    return door->again_ms > now_ms ? door->again_ms - now_ms : 0;
}

int rest_door_open(struct rest_loop *loop)
{
    struct rest_door *door = &loop->door;

    rest_ring_init(&door->fresh);
    door->side = (struct rest_side){.fd = loop->listener, .func = come};
    return rest_side_set(&loop->sides, &door->side, EPOLLIN);
}

void rest_door_shut(struct rest_loop *loop)
{
    rest_side_remove(&loop->sides, &loop->door.side);
    loop->door.side.fd = -1;
    loop->door.again_ms = 0;
    (void)close(loop->listener);
    loop->listener = -1;
}
