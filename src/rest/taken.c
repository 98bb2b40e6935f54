#include "rest/taken.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "rest/state.h"
#include "rest/stream.h"

/* ---- taking ---- */

void rest_taken_note(struct rest_request *request, bool body, uint64_t length)
{
    struct rest_peer *peer = request->peer;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    peer->unsure = peer->unsure || info == NULL || (body && length == 0);
    peer->read += info == NULL ? 0 : info->header_size + length;
}

/* In this order: what arrives meanwhile is taken for read. */
static bool has_read_known(const struct rest_peer *peer)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    int unread = 0;

    return ioctl(peer->fd, SIOCINQ, &unread) == 0 &&
           getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
           (uint64_t)info.tcpi_bytes_received == peer->read + (uint64_t)unread;
}

/* [TAKEN-1] What is on its way in a pipe goes out before. */
static bool can_go(const struct rest_peer *peer)
{
    if (peer->unsure) {
        return false;
    }
    return peer->pipe == NULL ? has_read_known(peer)
                              : rest_pipe_flush(peer->pipe) &&
                                    rest_pipe_is_all_read(peer->pipe);
}

struct wish {
    bool close, keep;
};

static void add_word(struct wish *wish, struct str word)
{
    wish->close =
        wish->close || (word.n == 5 && strncasecmp(word.p, "close", 5) == 0);
    wish->keep = wish->keep ||
                 (word.n == 10 && strncasecmp(word.p, "keep-alive", 10) == 0);
}

static enum MHD_Result find_wish(void *user, enum MHD_ValueKind kind,
                                 const char *name, const char *value)
{
    const char *at = value == NULL ? "" : value;

    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) != 0) {
        return MHD_YES;
    }
    while (*at != '\0') {
        at += strspn(at, ", \t");
        size_t n = strcspn(at, ", \t");
        add_word(user, (struct str){at, n});
        at += n;
    }
    return MHD_YES;
}

static enum rest_after after(const struct rest_request *request)
{
    struct wish wish = {0};

    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
                                    find_wish, &wish);
    if (wish.close || (request->old_http && !wish.keep)) {
        return REST_CLOSES;
    }
    return request->old_http ? REST_GOES_ON_OLD : REST_GOES_ON;
}

static void hear(struct rest_side *side, uint32_t events);

int rest_taken_socket(struct rest_peer *peer, struct buf *rest)
{
    if (peer->pipe == NULL) {
        return fcntl(peer->fd, F_DUPFD_CLOEXEC, 0);
    }
    rest_pipe_end(peer->pipe, rest);
    return peer->fd;
}

/* Of the library's connection nothing is left but its end. */
static void leave_library(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;
    struct rest_peer *peer = request->peer;

    rest_deadlines_enter(&loop->deadlines, peer, REST_NONE, 0);
    MHD_suspend_connection(request->connection);
    (void)dup3(loop->streams->ended, peer->library_fd, O_CLOEXEC);
    MHD_resume_connection(request->connection);
    loop->park.lets_go = true;
}

struct rest_taken *rest_taken_begin(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;
    struct rest_peer *peer = request->peer;
    struct buf rest = {0}; /* nothing: it has gone out */
    int one = 1;
    int fd = can_go(peer) ? rest_taken_socket(peer, &rest) : -1;

    if (fd < 0) {
        return NULL;
    }
    struct rest_taken *taken = mem_zero(sizeof *taken);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    taken->loop = loop;
    taken->after = after(request);
    taken->side = (struct rest_side){.fd = fd, .func = hear};
    leave_library(request);
    rest_peer_move(&taken->own, peer);
    taken->own.fd = fd;
    rest_ring_add(&loop->taken, &taken->ring);
    return taken;
}

ssize_t rest_taken_peek(struct rest_taken *taken, char *bytes, size_t n)
{
    if (taken->own.seal == NULL) {
        return recv(taken->own.fd, bytes, n, MSG_PEEK | MSG_DONTWAIT);
    }
    ssize_t got = tls_seal_recv(taken->own.seal, bytes, n);
    taken->peeked = got > 0 ? (size_t)got : 0;
    return got;
}

/* What is left of what was opened is kept until it is looked at again. */
static void consume_opened(struct rest_taken *taken, size_t n)
{
    if (taken->peeked == 0) {
        tls_seal_drop(taken->own.seal, n);
        return;
    }
    tls_seal_unread(taken->own.seal, taken->loop->express.bytes + n,
                    taken->peeked - n);
    taken->peeked = 0;
}

bool rest_taken_consume(struct rest_taken *taken, size_t n)
{
    taken->own.read += n;
    if (taken->own.seal != NULL) {
        consume_opened(taken, n);
        return true;
    }
    /* Nothing is written there (tcp(7)), but the thread sanitizer thinks so. */
    ssize_t gone = recv(taken->own.fd, taken->loop->express.bytes, n,
                        MSG_TRUNC | MSG_DONTWAIT);
    return gone >= 0 && (size_t)gone == n;
}

bool rest_taken_listen(struct rest_taken *taken, uint32_t events)
{
    return rest_side_set(&taken->loop->sides, &taken->side, events) == 0;
}

/* ---- its end ---- */

static void forget(struct rest_taken *taken)
{
    struct rest_loop *loop = taken->loop;

    rest_side_remove(&loop->sides, &taken->side);
    rest_deadlines_enter(&loop->deadlines, &taken->own, REST_NONE, 0);
    rest_ring_remove(&taken->ring);
    rest_express_forget(taken);
    rest_door_give_seat(loop, &taken->own.seat);
}

/* An answer has ended, whole or not. */
static void answered(struct rest_taken *taken, bool whole)
{
    struct rest_loop *loop = taken->loop;
    struct rest_shared *answer = taken->answer;

    taken->answer = NULL;
    rest_count(&loop->counts.in_flight, (uint64_t)-1);
    if (whole) {
        rest_count_answer(loop, &answer->reply, answer->no_body,
                          taken->began_us);
    } else {
        rest_count(&loop->counts.aborted, 1);
    }
    rest_shared_unref(answer);
}

void rest_taken_shut(struct rest_taken *taken)
{
    assert(taken->request == NULL); /* [REST-2] */
    if (taken->answer != NULL) {
        answered(taken, false);
    }
    forget(taken);
    tls_seal_bye(taken->own.seal);
    (void)shutdown(taken->own.fd, SHUT_WR);
    (void)close(taken->own.fd);
    rest_peer_done(&taken->own);
    (void)mem_free(taken);
}

/* Who takes the socket closes it, too, when that cannot be done. */
void rest_taken_give_back(struct rest_taken *taken)
{
    struct rest_peer own = {.fd = -1};

    rest_peer_move(&own, &taken->own);
    forget(taken);
    rest_door_give_back(taken->loop, &own);
    (void)mem_free(taken);
}

/* ---- answering ---- */

static void rest_it(struct rest_taken *taken)
{
    struct rest_loop *loop = taken->loop;

    rest_deadlines_enter(&loop->deadlines, &taken->own, REST_IDLE,
                         loop->now_ms);
    if (rest_peer_has_more(&taken->own) ||
        !rest_taken_listen(taken, EPOLLIN | EPOLLRDHUP)) {
        rest_taken_give_back(taken);
    }
}

static void finish(struct rest_taken *taken)
{
    bool closes = taken->after == REST_CLOSES || taken->answer->closes ||
                  taken->loop->closing;

    answered(taken, true);
    if (closes) {
        rest_taken_shut(taken);
    } else if (taken->reads) {
        rest_express_go_on(taken);
    } else {
        rest_it(taken);
    }
}

static struct str connection_line(const struct rest_taken *taken)
{
    if (taken->answer->closes || taken->after == REST_GOES_ON) {
        return STR("");
    }
    return taken->after == REST_CLOSES ? STR("Connection: close\r\n")
                                       : STR("Connection: Keep-Alive\r\n");
}

/* What is not sent yet. */
static size_t parts_of(const struct rest_taken *taken, struct iovec *parts)
{
    const struct rest_shared *answer = taken->answer;
    const struct buf *head = &answer->head;
    size_t line = answer->line_n;
    const struct str all[] = {{head->p, line},
                              connection_line(taken),
                              {head->p + line, head->n - line},
                              answer->no_body ? STR("") : answer->body};
    size_t skip = taken->sent, n = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t known = skip < all[i].n ? skip : all[i].n;
        skip -= known;
        if (known < all[i].n) {
            parts[n++] = (struct iovec){(void *)(uintptr_t)(all[i].p + known),
                                        all[i].n - known};
        }
    }
    return n;
}

enum outcome { GONE, FULL, WHOLE };

static enum outcome send_on(struct rest_taken *taken)
{
    struct iovec parts[4];
    size_t n_parts;

    while ((n_parts = parts_of(taken, parts)) > 0 ||
           rest_peer_owes(&taken->own)) {
        ssize_t n = rest_peer_send(&taken->own, parts, n_parts);
        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? FULL : GONE;
        }
        taken->sent += (size_t)n;
    }
    return WHOLE;
}

/* Who reads here is told of all that happens to his socket already. */
static bool waits_for_room(struct rest_taken *taken)
{
    struct rest_loop *loop = taken->loop;

    taken->own.n_more = 0;
    rest_deadlines_enter(&loop->deadlines, &taken->own, REST_SEND,
                         loop->now_ms);
    return taken->reads || rest_taken_listen(taken, EPOLLOUT);
}

static void go_on(struct rest_taken *taken, bool first)
{
    enum outcome outcome = send_on(taken);

    if (outcome == WHOLE) {
        finish(taken);
    } else if (outcome == GONE || (first && !waits_for_room(taken))) {
        rest_taken_shut(taken);
    }
}

static void begin_answer(struct rest_taken *taken, struct rest_shared *answer,
                         size_t sent)
{
    taken->answer = rest_shared_ref(answer);
    taken->sent = sent;
    rest_count(&taken->loop->counts.in_flight, 1);
}

void rest_taken_answer(struct rest_taken *taken, struct rest_shared *answer)
{
    if (answer == NULL || answer->reply.response == NULL) {
        rest_count(&taken->loop->counts.aborted, 1);
        rest_taken_shut(taken);
        return;
    }
    rest_shared_write(answer);
    begin_answer(taken, answer, 0);
    go_on(taken, true);
}

void rest_taken_owe(struct rest_taken *taken, struct rest_shared *answer,
                    size_t sent)
{
    begin_answer(taken, answer, sent);
    if (!waits_for_room(taken)) {
        rest_taken_shut(taken);
    }
}

/* ---- its socket ---- */

/* It asks for something else, or has gone. */
static void hear_idle(struct rest_taken *taken, uint32_t events)
{
    int unread = 0;

    if ((events & EPOLLRDHUP) != 0 &&
        (ioctl(taken->own.fd, SIOCINQ, &unread) != 0 || unread == 0)) {
        rest_taken_shut(taken);
    } else {
        rest_taken_give_back(taken);
    }
}

static void hear(struct rest_side *side, uint32_t events)
{
    struct rest_taken *taken = CONTAINER(side, struct rest_taken, side);

    /* It may be told only once, whatever it is that goes on meanwhile. */
    taken->more = true;
    taken->ended = taken->ended || (events & EPOLLRDHUP) != 0;
    if (taken->waiter != NULL) {
        rest_park_leave(taken->waiter);
    } else if (taken->request != NULL) {
        return; /* its operation is not to be stopped any more */
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        rest_taken_shut(taken);
    } else if (taken->answer != NULL) {
        go_on(taken, false);
    } else if (taken->reads) {
        rest_express_hear(taken);
    } else {
        hear_idle(taken, events);
    }
}

void rest_taken_abandon(struct rest_loop *loop)
{
    while (!rest_ring_is_empty(&loop->taken)) {
        rest_taken_shut(CONTAINER(loop->taken.next, struct rest_taken, ring));
    }
}
