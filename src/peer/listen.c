#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/inside.h"

/* Each turn takes a part of who waits outside, smaller than what can be half
 * done: who came in the turn before has had a chance to say hello. */
enum { ACCEPTS_A_TURN = PEER_HALF_MOST / 4, STARVED_MS = 100 };

/* ---- opening ---- */

static int complain(const char *address, const char *why)
{
    log_error(LOG_PEER, "cannot listen for other nodes",
              LOG_TXT("address", address), LOG_TXT("why", why));
    return ERR_INVALID;
}

static int open_at(struct address *address)
{
    const int on = 1;
    int fd = socket(address->sa.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
         bind(fd, (const struct sockaddr *)&address->sa, address->n) != 0 ||
         listen(fd, SOMAXCONN) != 0)) {
        int error = errno;
        fd = socket_close(fd);
        errno = error;
    }
    return fd;
}

int listener_open(const char *address, int *ret_fd, char **ret_address)
{
    struct address place = {0};
    const char *why = NULL;

    if (address_to_listen(address, &place, &why) != 0) {
        return complain(address, why);
    }
    int fd = open_at(&place);
    if (fd < 0) {
        return complain(address, strerrordesc_np(errno));
    }
    place.n = sizeof place.sa;
    (void)getsockname(fd, (struct sockaddr *)&place.sa, &place.n);
    *ret_address = address_text(&place);
    *ret_fd = fd;
    return 0;
}

/* ---- taking connections ---- */

/* Not one whose reply is on its way to us: that one owes nothing, and there are
 * fewer of them than places. */
static struct half *oldest(struct listener *listener)
{
    struct half *found = NULL;

    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        struct half *half = &listener->halves[i];
        if (half->stage != HALF_FREE && half->stage != HALF_WAITING &&
            (found == NULL || half->number < found->number)) {
            found = half;
        }
    }
    return found;
}

_Static_assert((int)PEER_WAITING_MOST < (int)PEER_HALF_MOST,
               "there is always one to drop");

static struct half *place_for_one(struct listener *listener)
{
    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        if (listener->halves[i].stage == HALF_FREE) {
            return &listener->halves[i];
        }
    }
    struct half *half = oldest(listener);
    half_free(half);
    return half;
}

/* Without a descriptor to spare the next one stays outside, and poll would tell
 * of it again at once: look away for a while. */
static void starve(struct listener *listener, int error)
{
    struct half *half = oldest(listener);

    if (half != NULL) {
        half_free(half);
    }
    if (!listener->starved) {
        log_warn(LOG_PEER, "other nodes' connections have to wait",
                 LOG_TXT("why", strerrordesc_np(error)));
    }
    listener->starved = true;
    listener->accept_from_ms = clock_mono_ms() + STARVED_MS;
}

static bool is_starved(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS ||
           error == ENOMEM;
}

static void take_one(struct listener *listener, int fd)
{
    listener->starved = false;
    if (socket_tune(fd) != 0) {
        (void)socket_close(fd);
        return;
    }
    half_open(listener, place_for_one(listener), fd);
}

static void take_some(struct listener *listener)
{
    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd =
            accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_one(listener, fd);
        } else if (is_starved(errno)) {
            starve(listener, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* ---- the thread ---- */

enum { AT_STOP, AT_REPLIES, AT_LISTENER, AT_HALVES };

/* What one poll waits for: open descriptors only, for poll refuses more entries
 * than the process may have descriptors. */
struct turn {
    struct pollfd polls[AT_HALVES + PEER_HALF_MOST];
    struct half *halves[PEER_HALF_MOST]; /* of polls from AT_HALVES on */
    size_t n_halves;
    uint64_t end_ms; /* when a time is over, UINT64_MAX never */
};

static void watch(struct turn *turn, struct half *half)
{
    turn->polls[AT_HALVES + turn->n_halves] =
        (struct pollfd){half->wire.fd, half_events(half), 0};
    turn->halves[turn->n_halves++] = half;
    if (half->deadline_ms < turn->end_ms) {
        turn->end_ms = half->deadline_ms;
    }
}

static void prepare(struct listener *listener, struct turn *turn)
{
    bool closed = listener->accept_from_ms > clock_mono_ms();

    turn->n_halves = 0;
    turn->end_ms = closed ? listener->accept_from_ms : UINT64_MAX;
    turn->polls[AT_STOP] = (struct pollfd){listener->stop_fd, POLLIN, 0};
    turn->polls[AT_REPLIES] = (struct pollfd){listener->replies->fd, POLLIN, 0};
    turn->polls[AT_LISTENER] =
        (struct pollfd){closed ? -1 : listener->fd, POLLIN, 0};
    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        if (listener->halves[i].stage != HALF_FREE) {
            watch(turn, &listener->halves[i]);
        }
    }
}

static int timeout_of(const struct turn *turn)
{
    uint64_t now = clock_mono_ms();

    if (turn->end_ms == UINT64_MAX) {
        return -1;
    }
    return turn->end_ms > now ? (int)(turn->end_ms - now) : 0;
}

static void give_reply(struct listener *listener, struct peer_called *called)
{
    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        struct half *half = &listener->halves[i];
        if (half->stage == HALF_WAITING && half->number == called->number) {
            half_reply(half, buf_str(&called->reply));
            return;
        }
    }
}

static void give_replies(struct listener *listener)
{
    event_clear(listener->replies->fd);
    struct queue_link *link = queue_take(&listener->replies->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct peer_called *called = CONTAINER(link, struct peer_called, link);
        give_reply(listener, called);
        (void)called_free(called);
        link = next;
    }
}

static void step_all(struct listener *listener, const struct turn *turn)
{
    uint64_t now = clock_mono_ms();

    for (size_t i = 0; i < turn->n_halves; i++) {
        struct half *half = turn->halves[i];
        if (turn->polls[AT_HALVES + i].revents != 0) {
            half_step(listener, half);
        }
        if (half->stage != HALF_FREE && half->deadline_ms <= now) {
            half_free(half);
        }
    }
}

/* False when it is to stop. */
static bool take_turn(struct listener *listener, struct turn *turn)
{
    prepare(listener, turn);
    int n = poll(turn->polls, AT_HALVES + turn->n_halves, timeout_of(turn));
    assert(n >= 0 || errno == EINTR || errno == ENOMEM);
    if (n < 0) {
        return true;
    }
    if (turn->polls[AT_STOP].revents != 0) {
        return false;
    }
    step_all(listener, turn);
    if (turn->polls[AT_REPLIES].revents != 0) {
        give_replies(listener);
    }
    if (turn->polls[AT_LISTENER].revents != 0) {
        take_some(listener);
    }
    return true;
}

void *listener_run(void *user)
{
    struct listener *listener = user;
    struct turn turn;

    while (take_turn(listener, &turn)) {
    }
    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        half_free(&listener->halves[i]);
    }
    return NULL;
}
