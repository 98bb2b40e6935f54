/* Connections whose time is over, and what they are told. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "rest/state.h"

/* An answer may take ten times the idle timeout to be read. */
enum { SEND_MORE = 10 * REST_SEND_LOOKS - 1 };

void rest_cut_last_word(const struct rest_peer *peer, unsigned status,
                        const char *reason, struct str body)
{
    struct buf text = {0};

    if (peer->pipe != NULL && !rest_pipe_flush(peer->pipe)) {
        return; /* it would come into the middle of another answer */
    }
    buf_printf(&text,
               "HTTP/1.1 %u %s\r\n"
               "Content-Type: application/problem+json\r\n"
               "Connection: close\r\n"
               "Content-Length: %zu\r\n\r\n",
               status, reason, body.n);
    buf_add_str(&text, body);
    struct iovec part = {text.p, text.n};
    (void)!rest_peer_send(peer, &part, 1);
    buf_done(&text);
}

/* Nothing of the request was answered yet, so this is what the client reads
 * first. */
static void tell_timeout(const struct rest_peer *peer)
{
    rest_cut_last_word(
        peer, 408, "Request Timeout",
        STR("{\"type\":\"/problems/timeout\",\"title\":\"Request timeout\","
            "\"status\":408,\"detail\":\"the request did not arrive in time: "
            "send it again\"}\n"));
}

/* What the library is done with may be on its way yet. */
static bool is_sending(const struct rest_peer *peer)
{
    return peer->phase == REST_SEND ||
           (peer->phase == REST_IDLE && peer->pipe != NULL &&
            rest_pipe_is_carrying(peer->pipe));
}

/* Who reads slowly is given more time, who does not read at all is not. The
 * kernel knows how much has arrived over there. */
static bool has_read_on(struct rest_peer *peer)
{
    struct tcp_info info;
    socklen_t n = sizeof info;

    if (!is_sending(peer) || (peer->n_more == SEND_MORE && !peer->is_long) ||
        getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        info.tcpi_bytes_acked == peer->acked) {
        return false;
    }
    peer->acked = info.tcpi_bytes_acked;
    peer->n_more += !peer->is_long;
    return true;
}

void rest_cut(struct rest_loop *loop, struct rest_peer *peer)
{
    if (peer->guest != NULL) {
        rest_guest_send_away(peer->guest);
        return;
    }
    rest_deadlines_enter(&loop->deadlines, peer, REST_NONE, 0);
    tls_seal_bye(peer->seal);
    (void)shutdown(peer->fd, SHUT_RDWR);
}

void rest_cut_due(struct rest_loop *loop)
{
    struct rest_peer *peer = NULL;

    while ((peer = rest_deadlines_due(&loop->deadlines, loop->now_ms)) !=
           NULL) {
        if (has_read_on(peer)) {
            rest_deadlines_enter(&loop->deadlines, peer, REST_SEND,
                                 loop->now_ms);
            continue;
        }
        if (peer->asked &&
            (peer->phase == REST_HEAD || peer->phase == REST_BODY)) {
            tell_timeout(peer);
        }
        rest_count(&loop->counts.timeouts, 1);
        rest_cut(loop, peer);
    }
}
