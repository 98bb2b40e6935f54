#include "rest/peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "rest/door.h"
#include "tls/tls.h"

ssize_t rest_peer_send(const struct rest_peer *peer, struct iovec *parts,
                       size_t n)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = n};
    ssize_t sent;

    if (peer->seal != NULL) {
        return tls_seal_send(peer->seal, parts, n);
    }
    do {
        sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

bool rest_peer_owes(const struct rest_peer *peer)
{
    return peer->seal != NULL && tls_seal_owes(peer->seal);
}

bool rest_peer_has_more(const struct rest_peer *peer)
{
    return peer->seal != NULL && tls_seal_has_more(peer->seal);
}

static char *text_or_null(const char *text)
{
    return text[0] == '\0' ? NULL : mem_text(text);
}

void rest_peer_identify(struct rest_peer *peer)
{
    struct tls_peer who;

    if (peer->known || peer->seal == NULL) {
        return;
    }
    peer->known = true;
    tls_seal_peer(peer->seal, &who);
    if (who.verified) {
        peer->cert_name = text_or_null(who.name);
        peer->cert_node = text_or_null(who.node);
    }
}

void rest_peer_move(struct rest_peer *to, struct rest_peer *from)
{
    to->fd = to->library_fd = from->fd;
    to->read = from->read;
    to->counted = from->counted;
    to->refused = from->refused;
    to->limit = from->limit;
    to->known = from->known;
    to->seal = from->seal;
    to->cert_name = from->cert_name;
    to->cert_node = from->cert_node;
    from->seal = NULL;
    from->cert_name = from->cert_node = NULL;
    rest_shown_move(&to->shown, &from->shown);
    to->seat = rest_door_move_seat(&from->seat);
}

void rest_peer_close(const struct rest_peer *peer)
{
    tls_seal_bye(peer->seal);
    (void)close(peer->fd);
}

void rest_peer_done(struct rest_peer *peer)
{
    peer->seal = tls_seal_end(peer->seal);
    rest_shown_done(&peer->shown);
    peer->cert_name = mem_free(peer->cert_name);
    peer->cert_node = mem_free(peer->cert_node);
}

struct rest_peer *rest_peer_free(struct rest_peer *peer)
{
    rest_peer_done(peer);
    return mem_free(peer);
}
