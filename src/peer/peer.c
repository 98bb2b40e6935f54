#include <sys/eventfd.h>

#include "base/err.h"
#include "peer/inside.h"

struct peer {
    struct listener listener;
    struct threads *threads;
    char *address;
    int stop_fd; /* readable: everything in here is to end */
};

/* stop_fd comes last: until then each of them may look at it. */
static struct peer *release(struct peer *peer)
{
    peer->threads = threads_free(peer->threads);
    replies_unref(peer->listener.replies);
    (void)socket_close(peer->listener.fd);
    (void)socket_close(peer->stop_fd);
    mem_free(peer->address);
    return mem_free(peer);
}

static struct peer *hollow(const struct peer_config *config)
{
    struct peer *peer = mem_zero(sizeof *peer);

    peer->listener.config = *config;
    peer->listener.config.listen = NULL;
    peer->listener.fd = -1;
    peer->stop_fd = -1;
    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        peer->listener.halves[i].wire.fd = -1;
    }
    return peer;
}

static int open_events(struct peer *peer)
{
    peer->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    peer->listener.stop_fd = peer->stop_fd;
    peer->listener.replies = replies_new();
    return peer->stop_fd < 0 || peer->listener.replies == NULL
               ? err_raise(ERR_SYSTEM)
               : 0;
}

int peer_start(const struct peer_config *config, struct peer **ret_peer)
{
    struct peer *peer = hollow(config);

    int r = listener_open(config->listen, &peer->listener.fd, &peer->address);
    if (r == 0) {
        r = open_events(peer);
    }
    if (r == 0) {
        /* First: a callback may dial. */
        peer->threads = threads_new(peer->stop_fd, config->tls);
        r = thread_start(&peer->listener.thread, listener_run, &peer->listener);
    }
    if (r != 0) {
        (void)release(peer);
        return r;
    }
    *ret_peer = peer;
    return 0;
}

struct peer *peer_stop(struct peer *peer)
{
    if (peer == NULL) {
        return NULL;
    }
    event_raise(peer->stop_fd);
    (void)pthread_join(peer->listener.thread, NULL);
    return release(peer);
}

const char *peer_address(const struct peer *peer)
{
    return peer->address;
}

int peer_dial(struct peer *peer, struct peer_dialling *dialling)
{
    return threads_dial(peer->threads, dialling);
}
