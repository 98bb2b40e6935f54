/* Connections, as the library tells of them. */
#include "rest/state.h"

static uint64_t busy(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void peer_begin(struct rest_loop *loop,
                       struct MHD_Connection *connection, void **context)
{
    struct rest_peer *peer = mem_zero(sizeof *peer);

    peer->fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
            ->connect_fd;
    /* A new connection gets the time of a header, not that of an idle one: who
     * connects has something to ask. */
    rest_deadlines_enter(&loop->deadlines, peer, REST_HEAD, loop->now_ms);
    *context = peer;
    if (loop->given != NULL) {
        peer->read = loop->given->read;
    } else {
        rest_count(&loop->counts.accepted, 1);
    }
    rest_count(&loop->counts.connections, 1);
    if (busy(&loop->counts.connections) == loop->max_connections) {
        rest_count(&loop->counts.exhausted, 1);
    }
}

void rest_connection_notify(void *user, struct MHD_Connection *connection,
                            void **context,
                            enum MHD_ConnectionNotificationCode what)
{
    struct rest_loop *loop = user;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        peer_begin(loop, connection, context);
    } else if (*context != NULL) {
        rest_deadlines_enter(&loop->deadlines, *context, REST_NONE, 0);
        *context = mem_free(*context);
        rest_count(&loop->counts.connections, (uint64_t)-1);
        loop->has_room = true;
    }
}

/* The library counts its own: streams and polls are none of these any more,
 * and have descriptors all the same. */
enum MHD_Result rest_connection_has_room(void *user,
                                         const struct sockaddr *address,
                                         socklen_t n)
{
    struct rest_loop *loop = user;
    uint64_t all = busy(&loop->counts.connections) +
                   busy(&loop->counts.streams) + busy(&loop->counts.taken);

    (void)address;
    (void)n;
    if (loop->given != NULL || all < loop->max_connections) {
        return MHD_YES;
    }
    rest_count(&loop->counts.exhausted, 1);
    return MHD_NO;
}
