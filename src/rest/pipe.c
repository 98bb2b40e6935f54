#include "rest/pipe.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "rest/state.h"

enum {
    BYTES = TLS_SEAL_ONCE, /* carried in one call */
    PAIR_BYTES = 64 << 10, /* that an end holds; the kernel takes twice that,
                              for what it needs itself */
    RETIRE_LOOKS = 64,     /* in a turn, for one that can go */
};

struct rest_pipe {
    struct rest_ring ring; /* all of a loop, the longest silent first */
    struct rest_loop *loop;
    struct rest_peer *peer; /* whose it is */
    struct rest_side net, pair;
    uint64_t given; /* bytes, to the library */
    bool in_over;   /* the library gets nothing more */
    bool out_over;  /* it writes nothing more */
    bool left;      /* it has closed its connection */
    bool dead;      /* the socket takes or has nothing more */
    bool parts;     /* it goes when nothing is on its way */
};

void rest_pipes_init(struct rest_pipes *pipes, bool any, unsigned most)
{
    rest_ring_init(&pipes->all);
    pipes->n = 0;
    pipes->most = most;
    pipes->bytes = any ? mem_alloc(BYTES) : NULL;
}

void rest_pipes_done(struct rest_pipes *pipes)
{
    pipes->bytes = mem_free(pipes->bytes);
}

static bool has_nothing(int fd)
{
    int unread = 0;

    return ioctl(fd, SIOCINQ, &unread) == 0 && unread == 0;
}

bool rest_pipe_is_carrying(const struct rest_pipe *pipe)
{
    return !pipe->dead && (pipe->left || tls_seal_owes(pipe->peer->seal) ||
                           !has_nothing(pipe->pair.fd));
}

/* ---- its end ---- */

static void forget(struct rest_pipe *pipe)
{
    struct rest_loop *loop = pipe->loop;

    rest_side_remove(&loop->sides, &pipe->net);
    rest_side_remove(&loop->sides, &pipe->pair);
    rest_ring_remove(&pipe->ring);
    loop->pipes.n--;
    (void)close(pipe->pair.fd);
    pipe->peer->pipe = NULL;
    (void)mem_free(pipe);
}

/* The library is told by the end of its own. */
static void die(struct rest_pipe *pipe)
{
    pipe->dead = true;
    rest_side_remove(&pipe->loop->sides, &pipe->net);
    rest_side_remove(&pipe->loop->sides, &pipe->pair);
    (void)shutdown(pipe->pair.fd, SHUT_RDWR);
}

/* It has no holder but the pipe. */
static void end_all(struct rest_pipe *pipe)
{
    struct rest_loop *loop = pipe->loop;
    struct rest_peer *peer = pipe->peer;

    forget(pipe);
    rest_peer_close(peer);
    rest_door_forget(loop, peer);
}

/* ---- carrying ---- */

/* False: the library takes no more now. */
static bool give(struct rest_pipe *pipe, const char *bytes, size_t n)
{
    ssize_t taken = send(pipe->pair.fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (taken < 0 && errno != EAGAIN && errno != EINTR) {
        pipe->in_over = true; /* nobody reads it any more */
        return true;
    }
    size_t done = taken < 0 ? 0 : (size_t)taken;
    pipe->given += done;
    tls_seal_unread(pipe->peer->seal, bytes + done, n - done);
    return done == n;
}

/* What there is, up to what the library takes. *ret_full: it takes no more. */
static void carry_in(struct rest_pipe *pipe, bool *ret_full)
{
    char *bytes = pipe->loop->pipes.bytes;

    *ret_full = false;
    while (!pipe->in_over && !*ret_full) {
        ssize_t n = tls_seal_recv(pipe->peer->seal, bytes, BYTES);
        if (n > 0) {
            *ret_full = !give(pipe, bytes, (size_t)n);
            explicit_bzero(bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else {
            pipe->in_over = true;
            (void)shutdown(pipe->pair.fd, SHUT_WR);
        }
    }
}

static bool flush(struct rest_pipe *pipe)
{
    if (tls_seal_flush(pipe->peer->seal) == 0) {
        return true;
    }
    if (errno != EAGAIN) {
        die(pipe);
    }
    return false;
}

/* The other way round, until the socket takes no more. */
static void carry_out(struct rest_pipe *pipe)
{
    struct iovec part = {.iov_base = pipe->loop->pipes.bytes};

    while (!pipe->dead && flush(pipe) && !pipe->out_over) {
        ssize_t n = recv(pipe->pair.fd, part.iov_base, BYTES, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        pipe->out_over = n <= 0;
        part.iov_len = n > 0 ? (size_t)n : 0;
        if (n > 0 && tls_seal_send(pipe->peer->seal, &part, 1) < 0) {
            die(pipe);
        }
    }
}

/* Also what is no more to be told: an end that is over would be told again and
 * again. */
static void listen_to(struct rest_pipe *pipe, bool full)
{
    struct rest_sides *sides = &pipe->loop->sides;
    bool owes = tls_seal_owes(pipe->peer->seal);
    uint32_t net =
        (pipe->in_over || full ? 0U : EPOLLIN) | (owes ? EPOLLOUT : 0U);
    uint32_t pair = (pipe->in_over || !full ? 0U : EPOLLOUT) |
                    (pipe->out_over || owes ? 0U : EPOLLIN);

    if (pair == 0) {
        rest_side_remove(sides, &pipe->pair);
    }
    if (rest_side_set(sides, &pipe->net, net) != 0 ||
        (pair != 0 && rest_side_set(sides, &pipe->pair, pair) != 0)) {
        die(pipe);
    }
}

static void to_end(struct rest_pipe *pipe)
{
    rest_ring_remove(&pipe->ring);
    rest_ring_add(&pipe->loop->pipes.all, &pipe->ring);
}

static void go_on(struct rest_pipe *pipe)
{
    struct rest_loop *loop = pipe->loop;
    bool full = false;

    to_end(pipe);
    if (!pipe->dead) {
        carry_in(pipe, &full);
        carry_out(pipe);
    }
    if (!pipe->dead) {
        listen_to(pipe, full);
    }
    bool all_out =
        pipe->dead || (pipe->out_over && !tls_seal_owes(pipe->peer->seal));
    if (pipe->left && all_out) {
        end_all(pipe);
    } else if (pipe->parts && !rest_pipe_is_carrying(pipe)) {
        rest_cut(loop, pipe->peer);
    }
}

static void hear_net(struct rest_side *side, uint32_t events)
{
    struct rest_pipe *pipe = CONTAINER(side, struct rest_pipe, net);

    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        die(pipe);
    }
    go_on(pipe);
}

static void hear_pair(struct rest_side *side, uint32_t events)
{
    (void)events; /* an end is read, too */
    go_on(CONTAINER(side, struct rest_pipe, pair));
}

/* ---- to and from the library ---- */

static int open_pair(struct rest_pipe *pipe)
{
    int ends[2], bytes = PAIR_BYTES;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   ends) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    pipe->pair = (struct rest_side){.fd = ends[0], .func = hear_pair};
    pipe->peer->library_fd = ends[1];
    return 0;
}

int rest_pipe_begin(struct rest_loop *loop, struct rest_peer *peer)
{
    struct rest_pipe *pipe = mem_zero(sizeof *pipe);

    pipe->loop = loop;
    pipe->peer = peer;
    int r = open_pair(pipe);
    if (r != 0) {
        (void)mem_free(pipe);
        return r;
    }
    pipe->net = (struct rest_side){.fd = peer->fd, .func = hear_net};
    peer->pipe = pipe;
    peer->read = 0; /* of what is given */
    peer->unsure = false;
    rest_ring_add(&loop->pipes.all, &pipe->ring);
    loop->pipes.n++;
    return 0;
}

void rest_pipe_go(struct rest_pipe *pipe)
{
    go_on(pipe);
}

bool rest_pipe_is_all_read(const struct rest_pipe *pipe)
{
    const struct rest_peer *peer = pipe->peer;
    int unread = 0;

    return !pipe->dead && ioctl(peer->library_fd, SIOCINQ, &unread) == 0 &&
           pipe->given == peer->read + (uint64_t)unread;
}

bool rest_pipe_flush(struct rest_pipe *pipe)
{
    carry_out(pipe);
    return !rest_pipe_is_carrying(pipe);
}

static void read_all(int fd, char *bytes, struct buf *all)
{
    ssize_t n = 0;

    while ((n = recv(fd, bytes, BYTES, MSG_DONTWAIT)) > 0) {
        buf_add(all, bytes, (size_t)n);
    }
}

void rest_pipe_end(struct rest_pipe *pipe, struct buf *rest)
{
    struct rest_peer *peer = pipe->peer;
    char *bytes = pipe->loop->pipes.bytes;
    struct buf unread = {.secret = true};

    carry_out(pipe);
    read_all(pipe->pair.fd, bytes, rest);
    read_all(peer->library_fd, bytes, &unread);
    tls_seal_unread(peer->seal, unread.p, unread.n);
    buf_done(&unread);
    forget(pipe);
}

void rest_pipe_leave(struct rest_pipe *pipe)
{
    struct rest_loop *loop = pipe->loop;

    pipe->left = true;
    rest_deadlines_enter(&loop->deadlines, pipe->peer, REST_SEND, loop->now_ms);
    go_on(pipe);
}

/* ---- all of them ---- */

/* What it has not asked for yet is asked for later, through another one. */
static bool can_retire(const struct rest_peer *peer)
{
    const struct rest_pipe *pipe = peer->pipe;

    return peer->phase == REST_IDLE && !pipe->left && !peer->unsure &&
           !rest_pipe_is_carrying(pipe) && has_nothing(peer->library_fd) &&
           rest_pipe_is_all_read(pipe);
}

/* The library finds the end of its connection, and closes that. */
static void retire(struct rest_loop *loop, struct rest_peer *was)
{
    struct rest_peer *peer = mem_zero(sizeof *peer);
    struct buf rest = {0};

    rest_pipe_end(was->pipe, &rest);
    buf_done(&rest);
    rest_peer_move(peer, was);
    rest_deadlines_enter(&loop->deadlines, was, REST_NONE, 0);
    rest_deadlines_enter(&loop->deadlines, peer, REST_IDLE, loop->now_ms);
    rest_guest_wait(loop, peer);
}

bool rest_pipes_have_room(struct rest_loop *loop)
{
    struct rest_pipes *pipes = &loop->pipes;

    for (int i = 0; pipes->n >= pipes->most && i < RETIRE_LOOKS; i++) {
        struct rest_pipe *pipe =
            CONTAINER(pipes->all.next, struct rest_pipe, ring);
        if (can_retire(pipe->peer)) {
            retire(loop, pipe->peer);
        } else {
            to_end(pipe);
        }
    }
    return pipes->n < pipes->most;
}

bool rest_pipes_carry(const struct rest_loop *loop)
{
    const struct rest_ring *all = &loop->pipes.all;

    for (const struct rest_ring *at = all->next; at != all; at = at->next) {
        if (rest_pipe_is_carrying(CONTAINER(at, struct rest_pipe, ring))) {
            return true;
        }
    }
    return false;
}

bool rest_pipe_part(struct rest_pipe *pipe)
{
    pipe->parts = rest_pipe_is_carrying(pipe);
    return pipe->parts;
}

void rest_pipes_abandon(struct rest_loop *loop)
{
    struct rest_ring *all = &loop->pipes.all;

    while (!rest_ring_is_empty(all)) {
        struct rest_pipe *pipe = CONTAINER(all->next, struct rest_pipe, ring);
        (void)rest_pipe_flush(pipe);
        end_all(pipe);
    }
}
