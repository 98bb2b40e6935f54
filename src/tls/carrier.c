/* Tunnels: one thread carries the bytes of all connections of its kind between
 * their TLS sessions and the socket pairs whose other ends are in use.
 *
 *     raft, link, file ──pair──► out ──TLS──► the other node
 *                      ◄──pair── in  ◄──TLS──
 *
 * A direction holds one record's worth of bytes; while they cannot go on
 * nothing more is taken in, so who does not read holds up his own connection
 * and no memory. Each gets some records a turn, then the next is served.
 *
 * A thread per connection would do as well for a few nodes. One for all is one
 * wake-up for many that are ready, and one place where all ends; what is large
 * and not urgent (state files) has a second thread of less priority, so that it
 * delays no message of Raft's. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "tls/tunnel.h"

enum {
    EVENTS_A_TURN = 64,   /* of epoll */
    LINGER_MS = 8 * 1000, /* to send what was written before a close */
    BULK_NICENESS = 15,   /* of this thread alone, as Linux has it */
};

struct carrier {
    bool bulk;
    pthread_mutex_t lock; /* starting it */
    bool runs;
    pthread_t thread;
    int epoll;
    struct end wake; /* an eventfd */
    struct queue arriving;
    _Atomic(bool) stopping;
    /* The thread's own: */
    struct tunnel *tunnels, *ended;
};

/* ---- the thread's turn ---- */

static void watch(struct carrier *carrier, struct end *end, uint32_t before)
{
    struct epoll_event event = {.events = end->wants, .data.ptr = end};

    if (!end->gone && end->wants != before) {
        (void)epoll_ctl(carrier->epoll, EPOLL_CTL_MOD, end->fd, &event);
    }
}

/* It is freed at the end of the turn: the turn may have another event of it. */
static void end_tunnel(struct carrier *carrier, struct tunnel *tunnel)
{
    DL_DELETE(carrier->tunnels, tunnel);
    DL_APPEND(carrier->ended, tunnel);
}

static void serve(struct carrier *carrier, struct tunnel *tunnel)
{
    uint32_t net = tunnel->net.wants;
    uint32_t pair = tunnel->pair.wants;

    tunnel->ready = tunnel_carry(tunnel);
    if (tunnel->pair.gone && !tunnel->lingers) {
        tunnel->lingers = true;
        tunnel->until_ms = clock_mono_ms() + LINGER_MS;
    }
    if (tunnel_is_over(tunnel)) {
        end_tunnel(carrier, tunnel);
    } else {
        watch(carrier, &tunnel->net, net);
        watch(carrier, &tunnel->pair, pair);
    }
}

/* One that has hung up is read to its end, and tells nothing new. */
static void note(struct carrier *carrier, const struct epoll_event *event)
{
    struct end *end = event->data.ptr;
    eventfd_t count = 0;

    if (end->tunnel == NULL) {
        (void)eventfd_read(end->fd, &count);
        return;
    }
    if ((event->events & (EPOLLHUP | EPOLLERR)) != 0) {
        end->gone = true;
        (void)epoll_ctl(carrier->epoll, EPOLL_CTL_DEL, end->fd, NULL);
    }
    end->tunnel->ready = true;
}

static bool listen_to(struct carrier *carrier, struct end *end)
{
    struct epoll_event event = {.events = end->wants, .data.ptr = end};
    return epoll_ctl(carrier->epoll, EPOLL_CTL_ADD, end->fd, &event) == 0;
}

static void take_new(struct carrier *carrier)
{
    struct queue_link *link = queue_take(&carrier->arriving);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct tunnel *tunnel = CONTAINER(link, struct tunnel, queued);
        DL_APPEND(carrier->tunnels, tunnel);
        /* Bytes may have come with the handshake: epoll knows nothing of them.
         */
        tunnel->ready = true;
        if (!listen_to(carrier, &tunnel->net) ||
            !listen_to(carrier, &tunnel->pair)) {
            tunnel->broken = true;
        }
        link = next;
    }
}

static void free_ended(struct carrier *carrier)
{
    struct tunnel *tunnel = NULL;
    struct tunnel *next = NULL;

    DL_FOREACH_SAFE(carrier->ended, tunnel, next)
    {
        (void)tunnel_close(tunnel);
    }
    carrier->ended = NULL;
}

/* How long epoll may sleep. */
static int pause_ms(const struct carrier *carrier)
{
    const struct tunnel *tunnel = NULL;
    int pause = -1;

    DL_FOREACH(carrier->tunnels, tunnel)
    {
        if (tunnel->ready) {
            return 0;
        }
        pause = tunnel->lingers ? LINGER_MS : pause;
    }
    return pause;
}

static void take_turn(struct carrier *carrier)
{
    struct epoll_event events[EVENTS_A_TURN];
    struct tunnel *tunnel = NULL;
    struct tunnel *next = NULL;

    int n =
        epoll_wait(carrier->epoll, events, EVENTS_A_TURN, pause_ms(carrier));
    for (int i = 0; i < n; i++) {
        note(carrier, &events[i]);
    }
    take_new(carrier);
    DL_FOREACH_SAFE(carrier->tunnels, tunnel, next)
    {
        if (tunnel->ready || tunnel->lingers) {
            serve(carrier, tunnel);
        }
    }
    free_ended(carrier);
}

static void *run(void *user)
{
    struct carrier *carrier = user;

    if (carrier->bulk) {
        (void)setpriority(PRIO_PROCESS, 0, BULK_NICENESS);
    }
    while (!atomic_load(&carrier->stopping)) {
        take_turn(carrier);
    }
    take_new(carrier);
    DL_CONCAT(carrier->ended, carrier->tunnels);
    free_ended(carrier);
    return NULL;
}

/* ---- the door ---- */

struct carrier *carrier_new(bool bulk)
{
    struct carrier *carrier = mem_zero(sizeof *carrier);

    carrier->bulk = bulk;
    carrier->epoll = carrier->wake.fd = -1;
    (void)pthread_mutex_init(&carrier->lock, NULL);
    return carrier;
}

static void close_descriptors(struct carrier *carrier)
{
    if (carrier->epoll >= 0) {
        (void)close(carrier->epoll);
    }
    if (carrier->wake.fd >= 0) {
        (void)close(carrier->wake.fd);
    }
    carrier->epoll = carrier->wake.fd = -1;
}

struct carrier *carrier_free(struct carrier *carrier)
{
    if (carrier == NULL) {
        return NULL;
    }
    if (carrier->runs) {
        atomic_store(&carrier->stopping, true);
        (void)eventfd_write(carrier->wake.fd, 1);
        (void)pthread_join(carrier->thread, NULL);
    }
    close_descriptors(carrier);
    (void)pthread_mutex_destroy(&carrier->lock);
    return mem_free(carrier);
}

/* Signals are the core loop's. */
static bool start_thread(struct carrier *carrier)
{
    sigset_t all;
    sigset_t old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&carrier->thread, NULL, run, carrier);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r == 0;
}

/* Under the lock: with the first tunnel. */
static bool start(struct carrier *carrier)
{
    if (!carrier->runs) {
        carrier->epoll = epoll_create1(EPOLL_CLOEXEC);
        carrier->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        carrier->wake.wants = EPOLLIN;
        carrier->runs = carrier->epoll >= 0 && carrier->wake.fd >= 0 &&
                        listen_to(carrier, &carrier->wake) &&
                        start_thread(carrier);
        if (!carrier->runs) {
            close_descriptors(carrier);
        }
    }
    return carrier->runs;
}

int carrier_take(struct carrier *carrier, struct tls_link *link, int fd)
{
    struct tunnel *tunnel = tunnel_new(link, fd);

    (void)pthread_mutex_lock(&carrier->lock);
    bool runs = start(carrier);
    (void)pthread_mutex_unlock(&carrier->lock);
    if (!runs) {
        (void)tunnel_close(tunnel);
        return err_raise(ERR_SYSTEM);
    }
    if (queue_push(&carrier->arriving, &tunnel->queued)) {
        (void)eventfd_write(carrier->wake.fd, 1);
    }
    return 0;
}
