#include "rest/taken.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
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

/* [TAKEN-1] In this order: what arrives meanwhile is taken for read. */
static bool is_all_read(const struct rest_peer *peer)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    int unread = 0;

    return !peer->unsure && ioctl(peer->fd, SIOCINQ, &unread) == 0 &&
           getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
           (uint64_t)info.tcpi_bytes_received == peer->read + (uint64_t)unread;
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

bool rest_taken_begin(struct rest_request *request, struct rest_waiter *waiter)
{
    struct rest_loop *loop = request->loop;
    struct rest_peer *peer = request->peer;
    int one = 1;
    bool can = peer->session == NULL && is_all_read(peer);
    int fd = can ? fcntl(peer->fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0) {
        return false;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    waiter->after = after(request);
    waiter->own = (struct rest_peer){
        .fd = fd, .read = peer->read, .seat = rest_door_move_seat(&peer->seat)};
    rest_shown_move(&waiter->own.shown, &peer->shown);
    waiter->peer = &waiter->own;
    rest_deadlines_enter(&loop->deadlines, peer, REST_NONE, 0);
    MHD_suspend_connection(request->connection);
    (void)dup3(loop->streams->ended, peer->fd, O_CLOEXEC);
    MHD_resume_connection(request->connection);
    loop->park.lets_go = true;
    return true;
}

/* ---- its end ---- */

static void forget(struct rest_waiter *waiter)
{
    struct rest_loop *loop = waiter->loop;

    rest_side_remove(&loop->sides, &waiter->side);
    rest_deadlines_enter(&loop->deadlines, &waiter->own, REST_NONE, 0);
    rest_ring_remove(&waiter->ring);
    rest_door_give_seat(loop, &waiter->own.seat);
    if (waiter->answer != NULL) {
        rest_shared_unref(waiter->answer);
    }
}

static void shut(struct rest_waiter *waiter)
{
    forget(waiter);
    (void)shutdown(waiter->own.fd, SHUT_WR);
    (void)close(waiter->own.fd);
    rest_shown_done(&waiter->own.shown);
    (void)mem_free(waiter);
}

/* Who takes the socket closes it, too, when that cannot be done. */
static void give_back(struct rest_waiter *waiter)
{
    struct rest_peer own = waiter->own;

    own.seat = rest_door_move_seat(&waiter->own.seat);
    forget(waiter);
    rest_door_give_back(waiter->loop, &own);
    (void)mem_free(waiter);
}

/* ---- answering ---- */

static void answered(struct rest_waiter *waiter, bool whole)
{
    struct rest_loop *loop = waiter->loop;

    loop->park.n--;
    rest_count(&loop->counts.in_flight, (uint64_t)-1);
    if (whole) {
        rest_count_answer(loop, &waiter->answer->reply, waiter->answer->head,
                          waiter->began_us);
    } else {
        rest_count(&loop->counts.aborted, 1);
    }
}

static void rest_it(struct rest_waiter *waiter)
{
    struct rest_loop *loop = waiter->loop;

    rest_shared_unref(waiter->answer);
    waiter->answer = NULL;
    if (waiter->ring.next == NULL) {
        rest_ring_add(&loop->park.held, &waiter->ring);
    }
    rest_deadlines_enter(&loop->deadlines, &waiter->own, REST_IDLE,
                         loop->now_ms);
    if (rest_side_set(&loop->sides, &waiter->side, EPOLLIN | EPOLLRDHUP) != 0) {
        give_back(waiter);
    }
}

static void finish(struct rest_waiter *waiter)
{
    answered(waiter, true);
    if (waiter->after == REST_CLOSES || waiter->answer->closes ||
        waiter->loop->closing) {
        shut(waiter);
    } else {
        rest_it(waiter);
    }
}

static struct str connection_line(const struct rest_waiter *waiter)
{
    if (waiter->answer->closes || waiter->after == REST_GOES_ON) {
        return STR("");
    }
    return waiter->after == REST_CLOSES ? STR("Connection: close\r\n")
                                        : STR("Connection: Keep-Alive\r\n");
}

/* What is not sent yet. */
static size_t parts_of(const struct rest_waiter *waiter, struct iovec *parts)
{
    const struct rest_shared *shared = waiter->answer;
    const struct str all[] = {buf_str(&shared->line), connection_line(waiter),
                              buf_str(&shared->rest),
                              shared->head ? STR("") : shared->body};
    size_t skip = waiter->sent, n = 0;

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

static enum outcome send_on(struct rest_waiter *waiter)
{
    struct iovec parts[4];
    struct msghdr message = {.msg_iov = parts};
    ssize_t taken;

    while ((message.msg_iovlen = parts_of(waiter, parts)) > 0) {
        do {
            taken =
                sendmsg(waiter->own.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (taken < 0 && errno == EINTR);
        if (taken < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? FULL : GONE;
        }
        waiter->sent += (size_t)taken;
    }
    return WHOLE;
}

static void go_on(struct rest_waiter *waiter)
{
    struct rest_loop *loop = waiter->loop;
    enum outcome outcome = send_on(waiter);

    if (outcome == WHOLE) {
        finish(waiter);
        return;
    }
    if (outcome == FULL && !waiter->sending) {
        waiter->sending = true;
        rest_ring_add(&loop->park.held, &waiter->ring);
        rest_deadlines_enter(&loop->deadlines, &waiter->own, REST_SEND,
                             loop->now_ms);
        if (rest_side_set(&loop->sides, &waiter->side, EPOLLOUT) != 0) {
            outcome = GONE;
        }
    }
    if (outcome == GONE) {
        answered(waiter, false);
        shut(waiter);
    }
}

void rest_taken_answer(struct rest_waiter *waiter)
{
    struct rest_loop *loop = waiter->loop;

    rest_count(&loop->counts.polls, (uint64_t)-1);
    rest_watchers_give(loop->rest);
    rest_count(&loop->counts.in_flight, 1);
    waiter->begun = true;
    waiter->began_us = loop->now_us;
    if (waiter->answer == NULL || waiter->answer->reply.response == NULL) {
        answered(waiter, false);
        shut(waiter);
    } else {
        go_on(waiter);
    }
}

/* ---- its socket ---- */

/* It asks for something else, or has gone. */
static void hear_idle(struct rest_waiter *waiter, uint32_t events)
{
    int unread = 0;

    if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
        ((events & EPOLLRDHUP) != 0 &&
         (ioctl(waiter->own.fd, SIOCINQ, &unread) != 0 || unread == 0))) {
        shut(waiter);
    } else {
        give_back(waiter);
    }
}

void rest_taken_hear(struct rest_waiter *waiter, uint32_t events)
{
    if (waiter->answer == NULL) {
        hear_idle(waiter, events);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        answered(waiter, false);
        shut(waiter);
    } else {
        go_on(waiter);
    }
}

void rest_taken_abandon(struct rest_loop *loop)
{
    struct rest_park *park = &loop->park;

    while (!rest_ring_is_empty(&park->held)) {
        struct rest_waiter *waiter =
            CONTAINER(park->held.next, struct rest_waiter, ring);
        if (waiter->answer != NULL) {
            answered(waiter, false);
        }
        shut(waiter);
    }
}

/* ---- the answer ---- */

static enum MHD_Result add_header(void *user, enum MHD_ValueKind kind,
                                  const char *name, const char *value)
{
    struct rest_shared *shared = user;

    (void)kind;
    buf_printf(&shared->rest, "%s: %s\r\n", name, value);
    shared->closes =
        shared->closes || strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) == 0;
    return MHD_YES;
}

/* As the library writes it. */
void rest_shared_write(struct rest_shared *shared)
{
    unsigned status = shared->reply.status;

    buf_printf(&shared->line, "HTTP/1.1 %u %s\r\n", status,
               MHD_get_reason_phrase_for(status));
    (void)MHD_get_response_headers(shared->reply.response, add_header, shared);
    buf_printf(&shared->rest, "Content-Length: %zu\r\n\r\n", shared->body.n);
}
