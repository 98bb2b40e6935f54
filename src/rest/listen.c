#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

enum { BACKLOG = 4096 };

static void complain(const char *address, const char *why)
{
    log_error(LOG_HTTP, "cannot listen", LOG_TXT("address", address),
              LOG_TXT("why", why));
}

static bool is_loopback(const struct address *place)
{
    if (place->sa.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&place->sa;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const void *)&place->sa;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
            v6->sin6_addr.s6_addr[12] == 127);
}

int rest_address_is_loopback(const char *address, bool *ret_loopback,
                             const char **ret_why)
{
    struct address place = {0};

    int r = address_to_listen(address, &place, ret_why);
    if (r == 0) {
        *ret_loopback = is_loopback(&place);
    }
    return r;
}

/* -1 with errno when it cannot be. */
static int bound(const struct address *place, bool shared)
{
    const int on = 1;
    int fd = socket(place->sa.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (shared &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, (const struct sockaddr *)&place->sa, place->n) != 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* Sockets that share a port let any process of this user share it too, and two
 * servers would each get half of the clients: ask for it alone first. With port
 * 0 this also finds the port for all of them. */
static int claim(struct address *place)
{
    int fd = bound(place, false);
    if (fd < 0) {
        return -1;
    }
    place->n = sizeof place->sa;
    int r = getsockname(fd, (struct sockaddr *)&place->sa, &place->n);
    (void)close(fd);
    return r;
}

static int bind_all(const struct address *place, unsigned n, int *fds)
{
    for (unsigned i = 0; i < n; i++) {
        fds[i] = bound(place, n > 1);
        if (fds[i] < 0) {
            int why = errno;
            for (unsigned j = 0; j < i; j++) {
                (void)close(fds[j]);
            }
            errno = why;
            return -1;
        }
    }
    return 0;
}

int rest_bind(const char *address, unsigned n, int *ret_fds, char **ret_address)
{
    struct address place = {0};
    const char *why = NULL;

    int r = address_to_listen(address, &place, &why);
    if (r != 0) {
        complain(address, why);
        return r;
    }
    if (claim(&place) != 0 || bind_all(&place, n, ret_fds) != 0) {
        complain(address, strerrordesc_np(errno));
        return ERR_INVALID;
    }
    *ret_address = address_text(&place);
    return 0;
}

int rest_listen(const char *address, const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (listen(fds[i], BACKLOG) != 0) {
            complain(address, strerrordesc_np(errno));
            return ERR_INVALID;
        }
    }
    return 0;
}
