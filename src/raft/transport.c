/* Connections for libraft: it asks for one to a member, and is given those that
 * members made. Connecting and shaking hands happen on other threads (peer);
 * what comes here is a descriptor, and who is at its other end.
 *
 * libraft tells members apart by id and address text, and connects anew when
 * the text changes; where somebody really listens is looked up by id at each
 * dial, so the text is the one of the configuration, whatever the other says.
 */
#include <stdlib.h>
#include <unistd.h>

#include "peer/peer.h"
#include "raft/inside.h"

enum { DIAL_MS = 2000 };

/* One that libraft asked for. */
struct connecting {
    struct connecting *next;
    struct core *core;
    struct peer_dialling dialling;
    struct core_call call;
    struct raft_uv_connect *asked; /* NULL: it does not want it any more */
    raft_uv_connect_cb connected;
};

static struct uv_stream_s *stream_of(struct core *core, int fd)
{
    uv_tcp_t *tcp = raft_malloc(sizeof *tcp);

    if (tcp == NULL || uv_tcp_init(&core->loop, tcp) != 0) {
        abort();
    }
    if (uv_tcp_open(tcp, fd) != 0) {
        (void)close(fd);
        uv_close((uv_handle_t *)tcp, (uv_close_cb)raft_free);
        return NULL;
    }
    return (struct uv_stream_s *)tcp;
}

static int start(struct raft_uv_transport *transport, raft_id id,
                 const char *address)
{
    (void)transport;
    (void)id;
    (void)address;
    return 0;
}

static int take_streams(struct raft_uv_transport *transport,
                        raft_uv_accept_cb accepted)
{
    struct core *core = CONTAINER(transport, struct core, transport);

    core->accept_stream = accepted;
    return 0;
}

/* ---- to a member ---- */

static void end(struct connecting *c)
{
    struct connecting **at = &c->core->connecting;

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    mem_free(c);
}

static void dial_ended(struct core_call *call)
{
    struct connecting *c = CONTAINER(call, struct connecting, call);
    struct peer_dialling *d = &c->dialling;
    struct uv_stream_s *stream = NULL;

    if (d->r == 0 && c->asked == NULL) {
        (void)close(d->fd);
    } else if (d->r == 0) {
        members_learn(c->core, &d->other);
        stream = stream_of(c->core, d->fd);
    } else if (d->r == PEER_REMOVED) {
        members_removed(c->core);
    }
    if (c->asked != NULL) {
        c->connected(c->asked, stream, stream == NULL ? RAFT_NOCONNECTION : 0);
    }
    end(c);
}

static void dial_done(struct peer_dialling *dialling)
{
    struct connecting *c = CONTAINER(dialling, struct connecting, dialling);
    core_call(c->core, &c->call);
}

static int connect_to(struct raft_uv_transport *transport,
                      struct raft_uv_connect *asked, raft_id id,
                      const char *address, raft_uv_connect_cb connected)
{
    struct core *core = CONTAINER(transport, struct core, transport);
    struct connecting *c = mem_zero(sizeof *c);

    (void)address;
    c->core = core;
    c->asked = asked;
    c->connected = connected;
    c->call.func = dial_ended;
    c->dialling.kind = PEER_RAFT;
    c->dialling.expects = id;
    c->dialling.timeout_ms = DIAL_MS;
    c->dialling.done = dial_done;
    members_self(core, &c->dialling.self);
    if (members_address(core, id, c->dialling.address) != 0 ||
        peer_dial(core->peer, &c->dialling) != 0) {
        mem_free(c);
        return RAFT_NOCONNECTION;
    }
    c->next = core->connecting;
    core->connecting = c;
    return 0;
}

/* ---- from a member ---- */

static const char *text_of(const struct core *core, uint64_t raft_id)
{
    const struct raft_configuration *now = &core->raft.configuration;

    for (unsigned i = 0; i < now->n; i++) {
        if (now->servers[i].id == raft_id) {
            return now->servers[i].address;
        }
    }
    return "?"; /* It has a configuration, and we do not yet. */
}

void transport_arrive(struct core *core, const struct peer_id *from, int fd)
{
    if (core->accept_stream == NULL) {
        (void)close(fd);
        return;
    }
    struct uv_stream_s *stream = stream_of(core, fd);
    if (stream != NULL) {
        members_learn(core, from);
        core->accept_stream(&core->transport, from->raft_id,
                            text_of(core, from->raft_id), stream);
    }
}

static void stop(struct raft_uv_transport *transport,
                 raft_uv_transport_close_cb closed)
{
    struct core *core = CONTAINER(transport, struct core, transport);

    core->accept_stream = NULL;
    for (struct connecting *c = core->connecting; c != NULL; c = c->next) {
        struct raft_uv_connect *asked = TAKE(c->asked);
        if (asked != NULL) {
            c->connected(asked, NULL, RAFT_CANCELED);
        }
    }
    closed(transport);
}

void transport_init(struct core *core)
{
    core->transport = (struct raft_uv_transport){
        .version = 1,
        .init = start,
        .listen = take_streams,
        .connect = connect_to,
        .close = stop,
    };
}
