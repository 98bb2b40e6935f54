#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/err.h"
#include "peer/inside.h"

enum { ADDRESSES_MOST = 8 /* of one host */ };

int road_broken(const struct road *road, const char *why)
{
    (void)snprintf(road->why, PEER_WHY, "%s", why);
    return err_raise(ERR_IO);
}

/* ---- steps that wait ---- */

int road_await(const struct road *road, short events)
{
    struct pollfd polls[2] = {{.fd = road->wire.fd, .events = events},
                              {.fd = road->stop_fd, .events = POLLIN}};

    for (;;) {
        uint64_t now = clock_mono_ms();
        if (now >= road->deadline_ms) {
            return road_broken(road, "it did not answer in time");
        }
        int n = poll(polls, 2, (int)(road->deadline_ms - now));
        if (n < 0 && errno != EINTR) {
            return road_broken(road, strerrordesc_np(errno));
        }
        if (n > 0 && polls[1].revents != 0) {
            return road_broken(road, "this node is stopping");
        }
        if (n > 0) {
            return 0;
        }
    }
}

int road_put(const struct road *road, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    while (n > 0) {
        ssize_t sent = wire_send(&road->wire, at, n);
        if (sent >= 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int r = road_await(road, POLLOUT);
            if (r != 0) {
                return r;
            }
        } else if (errno != EINTR) {
            return road_broken(road, strerrordesc_np(errno));
        }
    }
    return 0;
}

int road_get(const struct road *road, void *bytes, size_t n)
{
    uint8_t *at = bytes;

    while (n > 0) {
        ssize_t got = wire_recv(&road->wire, at, n);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        } else if (got == 0) {
            return road_broken(road, "it closed the connection");
        } else if (errno == EAGAIN) {
            int r = road_await(road, POLLIN);
            if (r != 0) {
                return r;
            }
        } else if (errno != EINTR) {
            return road_broken(road, strerrordesc_np(errno));
        }
    }
    return 0;
}

/* ---- connecting ---- */

/* With nobody listening, the kernel may choose as our port the very one that we
 * connect to: the connection is made, to itself. It must not live: it would
 * keep the port from the program that is to listen there. */
static bool is_itself(int fd)
{
    struct address here = {.n = sizeof here.sa};
    struct address there = {.n = sizeof there.sa};

    return getsockname(fd, (struct sockaddr *)&here.sa, &here.n) == 0 &&
           getpeername(fd, (struct sockaddr *)&there.sa, &there.n) == 0 &&
           here.n == there.n && memcmp(&here.sa, &there.sa, here.n) == 0;
}

/* errno, 0 when it stands. */
static int outcome(int fd)
{
    int error = 0;
    socklen_t n = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0) {
        return errno;
    }
    return error == 0 && is_itself(fd) ? ECONNREFUSED : error;
}

static int connect_once(struct road *road, const struct address *address,
                        bool *ret_refused)
{
    int r = socket_tune(road->wire.fd);
    if (r != 0) {
        return road_broken(road, strerrordesc_np(errno));
    }
    int error = 0;
    if (connect(road->wire.fd, (const struct sockaddr *)&address->sa,
                address->n) != 0) {
        error = errno;
    }
    if (error == EINPROGRESS || error == EINTR) {
        r = road_await(road, POLLOUT);
        if (r != 0) {
            return r;
        }
        error = 0;
    }
    error = error != 0 ? error : outcome(road->wire.fd);
    *ret_refused = error == ECONNREFUSED;
    return error == 0 ? 0 : road_broken(road, strerrordesc_np(error));
}

static int connect_one(struct road *road, const struct address *address,
                       bool *ret_refused)
{
    road->wire.fd = socket(address->sa.ss_family,
                           SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (road->wire.fd < 0) {
        return road_broken(road, strerrordesc_np(errno));
    }
    int r = connect_once(road, address, ret_refused);
    if (r != 0) {
        wire_close(&road->wire);
    }
    return r;
}

/* Each address of the host in turn. One that swallows everything gets its share
 * of the time only. */
static int connect_any(struct road *road, const struct address *addresses,
                       size_t n, bool *ret_refused)
{
    const uint64_t end = road->deadline_ms;
    bool all_refused = true;
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        bool refused = false;
        uint64_t now = clock_mono_ms();
        road->deadline_ms = now < end ? now + (end - now) / (n - i) : end;
        r = connect_one(road, &addresses[i], &refused);
        all_refused = all_refused && refused;
        if (r == 0) {
            break;
        }
    }
    road->deadline_ms = end;
    *ret_refused = r != 0 && all_refused;
    return r;
}

int road_reach(struct road *road, const char *address, bool *ret_refused)
{
    struct address addresses[ADDRESSES_MOST];
    const char *why = NULL;
    size_t n = 0;

    if (address_to_dial(address, addresses, ADDRESSES_MOST, &n, &why) != 0) {
        return road_broken(road, why);
    }
    return connect_any(road, addresses, n, ret_refused);
}
