#include "raft/inside.h"

/* A registry of one node has no peers: it opens no port for them and connects
 * to nobody. libraft asks for a transport all the same. */

static int start(struct raft_uv_transport *transport, raft_id id,
                 const char *address)
{
    (void)transport;
    (void)id;
    (void)address;
    return 0;
}

static int listen_for_none(struct raft_uv_transport *transport,
                           raft_uv_accept_cb accepted)
{
    (void)transport;
    (void)accepted;
    return 0;
}

static int connect_to_none(struct raft_uv_transport *transport,
                           struct raft_uv_connect *request, raft_id id,
                           const char *address, raft_uv_connect_cb connected)
{
    (void)transport;
    (void)request;
    (void)id;
    (void)address;
    (void)connected;
    return RAFT_NOCONNECTION;
}

static void stop(struct raft_uv_transport *transport,
                 raft_uv_transport_close_cb closed)
{
    closed(transport);
}

void transport_init(struct raft_uv_transport *transport)
{
    *transport = (struct raft_uv_transport){
        .version = 1,
        .init = start,
        .listen = listen_for_none,
        .connect = connect_to_none,
        .close = stop,
    };
}
