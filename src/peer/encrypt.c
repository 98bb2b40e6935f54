/* What TLS adds to a connection that is not made yet. */
#include <stdio.h>

#include "base/err.h"
#include "peer/inside.h"

/* A node that does not speak it can be told so: it begins with a hello. */
static bool is_plain(struct half *half)
{
    if (wire_first(&half->wire) != 'R') {
        return false;
    }
    (void)snprintf(half->stranger, sizeof half->stranger,
                   "the node that was reached speaks TLS and this connection "
                   "does not: all nodes need --tls-cert, --tls-key and "
                   "--tls-ca, or none");
    return true;
}

/* The deadline is that of the hello. */
static void encrypted(struct half *half)
{
    struct tls_peer certified;
    char why[TLS_WHY];

    half->stage = HALF_HELLO;
    if (tls_link_peer(half->wire.link, &certified, why) == 0) {
        memcpy(half->node, certified.node, sizeof half->node);
    } else {
        (void)snprintf(half->stranger, sizeof half->stranger,
                       "the dialling node is not trusted: %.200s", why);
    }
}

void half_encrypt(struct listener *listener, struct half *half)
{
    char why[TLS_WHY];

    if (half->wire.link == NULL && is_plain(half)) {
        half->stage = HALF_HELLO;
        return;
    }
    if (half->wire.link == NULL) {
        half->wire.link =
            tls_link_begin(listener->config.tls, half->wire.fd, true);
    }
    int r = tls_link_shake(half->wire.link, why);
    if (r == 0) {
        encrypted(half);
    } else if (r != ERR_BUSY) {
        if (r > 0) {
            half_tell(listener, half, why);
        }
        half_free(half);
    }
}

enum peer_verdict half_certify(const struct half *half, char why[PEER_WHY])
{
    if (half->stranger[0] != '\0') {
        (void)snprintf(why, PEER_WHY, "%s", half->stranger);
        return PEER_STRANGER;
    }
    if (half->wire.link == NULL || strcmp(half->node, half->from.name) == 0) {
        return PEER_OK;
    }
    (void)snprintf(why, PEER_WHY,
                   half->node[0] == '\0'
                       ? "the certificate of the dialling node names no node: "
                         "it has no URI roster://node/NAME"
                       : "the certificate of the dialling node is that of "
                         "%.63s, and it says that it is %.63s",
                   half->node, half->from.name);
    return PEER_STRANGER;
}

void half_tell_alert(struct listener *listener, const struct half *half)
{
    char why[PEER_WHY];
    const char *alert =
        half->wire.link != NULL ? tls_link_alert(half->wire.link) : NULL;

    if (alert != NULL) {
        (void)snprintf(why, sizeof why,
                       "it does not take this node's certificate: %s%s%.150s",
                       alert, half->stranger[0] != '\0' ? "; " : "",
                       half->stranger);
        half_tell(listener, half, why);
    }
}
