#include <errno.h>
#include <sys/socket.h>

#include "base/err.h"
#include "peer/inside.h"

ssize_t wire_recv(const struct wire *wire, void *bytes, size_t n)
{
    return wire->link != NULL ? tls_link_recv(wire->link, bytes, n)
                              : recv(wire->fd, bytes, n, 0);
}

ssize_t wire_send(const struct wire *wire, const void *bytes, size_t n)
{
    return wire->link != NULL ? tls_link_send(wire->link, bytes, n)
                              : send(wire->fd, bytes, n, MSG_NOSIGNAL);
}

bool wire_holds(const struct wire *wire)
{
    return wire->link != NULL && tls_link_pending(wire->link);
}

void wire_shutdown(const struct wire *wire)
{
    if (wire->link != NULL) {
        tls_link_shutdown(wire->link);
    } else {
        (void)shutdown(wire->fd, SHUT_WR);
    }
}

void wire_close(struct wire *wire)
{
    if (wire->link != NULL) {
        wire->link = tls_link_close(wire->link);
    } else {
        (void)socket_close(wire->fd);
    }
    wire->fd = -1;
}

int wire_take(struct wire *wire, enum peer_kind kind, int *ret_fd)
{
    struct wire taken = *wire;

    *wire = (struct wire){.fd = -1};
    if (taken.link == NULL) {
        *ret_fd = taken.fd;
        return 0;
    }
    return tls_link_tunnel(taken.link, kind == PEER_FILE, ret_fd);
}

uint8_t wire_first(const struct wire *wire)
{
    uint8_t first = 0;

    return recv(wire->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? first : 0;
}
