#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

enum { BACKLOG = 4096 };

struct place {
    struct sockaddr_storage sa;
    socklen_t n;
};

static void complain(const char *address, const char *why)
{
    log_error(LOG_HTTP, "cannot listen", LOG_TXT("address", address),
              LOG_TXT("why", why));
}

/* "host:port", "[v6]:port", ":port". */
static int split(const char *address, char host[256], char port[16])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL) {
        return ERR_INVALID;
    }
    struct str name = {address, (size_t)(colon - address)};
    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']') {
        name = (struct str){name.p + 1, name.n - 2};
    } else if (memchr(name.p, ':', name.n) != NULL) {
        return ERR_INVALID;
    }
    uint64_t number = 0;
    if (name.n >= 256 || str_number(str_of(colon + 1), 65535, &number) != 0) {
        return ERR_INVALID;
    }
    (void)snprintf(host, 256, "%.*s", STR_ARG(name));
    (void)snprintf(port, 16, "%u", (unsigned)number);
    return 0;
}

static int resolve(const char *address, struct place *ret_place,
                   const char **ret_why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    char port[16];

    if (split(address, host, port) != 0) {
        *ret_why = "is no HOST:PORT";
        return ERR_INVALID;
    }
    int r = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (r != 0) {
        *ret_why = gai_strerror(r);
        return ERR_INVALID;
    }
    memcpy(&ret_place->sa, found->ai_addr, found->ai_addrlen);
    ret_place->n = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static bool is_loopback(const struct place *place)
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
    struct place place = {0};

    int r = resolve(address, &place, ret_why);
    if (r == 0) {
        *ret_loopback = is_loopback(&place);
    }
    return r;
}

/* -1 with errno when it cannot be. */
static int bound(const struct place *place, bool shared)
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
static int claim(struct place *place)
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

static char *print(const struct place *place)
{
    char host[64];
    char port[16];
    struct buf text = {0};

    if (getnameinfo((const struct sockaddr *)&place->sa, place->n, host,
                    sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return mem_text("?");
    }
    buf_printf(&text, place->sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
               host, port);
    return buf_text(&text);
}

static int open_all(const struct place *place, unsigned n, int *fds)
{
    for (unsigned i = 0; i < n; i++) {
        fds[i] = bound(place, n > 1);
        if (fds[i] < 0 || listen(fds[i], BACKLOG) != 0) {
            int why = errno;
            for (unsigned j = 0; j <= i && fds[j] >= 0; j++) {
                (void)close(fds[j]);
            }
            errno = why;
            return -1;
        }
    }
    return 0;
}

int rest_listen(const char *address, unsigned n, int *ret_fds,
                char **ret_address)
{
    struct place place = {0};
    const char *why = NULL;

    int r = resolve(address, &place, &why);
    if (r != 0) {
        complain(address, why);
        return r;
    }
    if (claim(&place) != 0 || open_all(&place, n, ret_fds) != 0) {
        complain(address, strerrordesc_np(errno));
        return ERR_INVALID;
    }
    *ret_address = print(&place);
    return 0;
}
