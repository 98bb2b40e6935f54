#include "rest/peer.h"

#include <sys/socket.h>

#include "base/mem.h"
#include "tls/tls.h"

ssize_t rest_peer_send(const struct rest_peer *peer, const void *bytes,
                       size_t n)
{
    return peer->session != NULL
               ? tls_http_send(peer->session, bytes, n)
               : send(peer->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static char *text_or_null(const char *text)
{
    return text[0] == '\0' ? NULL : mem_text(text);
}

void rest_peer_identify(struct rest_peer *peer)
{
    struct tls_peer who;

    if (peer->known || peer->session == NULL) {
        return;
    }
    peer->known = true;
    tls_http_peer(peer->session, &who);
    if (who.verified) {
        peer->cert_name = text_or_null(who.name);
        peer->cert_node = text_or_null(who.node);
    }
}

struct rest_peer *rest_peer_free(struct rest_peer *peer)
{
    if (peer->held != NULL) {
        peer->held = tls_http_end(peer->held);
    }
    rest_shown_done(&peer->shown);
    (void)mem_free(peer->cert_name);
    (void)mem_free(peer->cert_node);
    return mem_free(peer);
}
