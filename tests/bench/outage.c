/* outage: how long a cluster takes no writes after its leader is killed or
 * stopped. Writers (-c) send all the time over connections spread over all
 * nodes; the last port is the leader's. After the warm time (-w) the leader
 * gets the signal, and from then on a new client comes every 10 ms to one of
 * the others and asks for one write. The time that counts is the one from the
 * signal to the first yes to a request that was sent after the signal: what was
 * on its way before may have been accepted by the leader that is gone. Goes on
 * for the measured time (-t) after that; prints one line of JSON. Options:
 * settings.h.
 *
 * What was sent and never answered may be kept or not: `unknown`. So may what
 * was refused. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "settings.h"
#include "stream.h"
#include "tally.h"

#define MS UINT64_C(1000000)

enum { ROOM = 16384, GIVE_UP_MS = 30000, PROBE_MS = 10, PROBES_MOST = 3000 };
/* A writer whose connection broke comes back after so long, to one of those
 * that are left; at the end answers are awaited for so long. */
enum { AGAIN_MS = 50, LINGER_MS = 500 };

enum state { CLOSED, GREETING, IDLE, WAITING, ENDED };

/* Who sends one request at a time; a probe only one. */
struct caller {
    enum state state;
    int fd;
    struct stream *stream;
    size_t port; /* of set.ports */
    bool probe;
    uint64_t since, again; /* ns: sent; to be connected again */
    char *kept;            /* the begin of an answer */
    size_t kept_n;
};

static struct caller *callers;
static size_t n_callers;
static int poll_fd;
static char *out;
static struct tally tally;
static uint64_t n_sent, n_before;
static bool over;
static uint64_t signalled, accepted, last_good, silence; /* ns */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- a caller ---- */

/* A writer comes back to one that is not the leader that was. */
static void hang_up(struct caller *c, uint64_t now)
{
    if (c->state == WAITING) {
        tally.broken++;
    }
    stream_close(c->stream);
    close(c->fd);
    c->stream = NULL;
    c->fd = -1;
    c->kept_n = 0;
    c->state = c->probe ? ENDED : CLOSED;
    c->again = now + AGAIN_MS * MS;
    if (signalled != 0) {
        c->port = (c->port + 1) % (set.n_ports - 1);
    }
}

static void send_all(struct caller *c, struct template *t, enum state next,
                     uint64_t now)
{
    template_next(t, out);
    n_sent += next == WAITING;
    c->state = next;
    c->since = now;
    /* It is short: the socket has room for it, or is broken. */
    if (stream_send(c->stream, c->fd, out, t->n, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)t->n) {
        hang_up(c, now);
    }
}

static void begin(struct caller *c, uint64_t now)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(set.ports[c->port]),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) {
        err(1, "socket");
    }
    setsockopt(c->fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        stream_try(c->fd, &c->stream) < 0 ||
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        hang_up(c, now);
        return;
    }
    if (set.hello.n > 0) {
        send_all(c, &set.hello, GREETING, now);
    } else {
        send_all(c, &set.request, WAITING, now);
    }
}

static void note_good(const struct caller *c, uint64_t now)
{
    if (signalled == 0) {
        n_before++;
    } else if (now - last_good > silence) {
        silence = now - last_good;
    }
    last_good = now;
    if (signalled != 0 && accepted == 0 && c->since > signalled) {
        accepted = now;
    }
}

static void answered(struct caller *c, const struct wire_answer *a,
                     uint64_t now)
{
    bool greeted = c->state == GREETING;

    c->kept_n = 0;
    c->state = IDLE;
    if (!greeted) {
        tally_answer(&tally, a->good, c->since, now);
    }
    if (!greeted && a->good) {
        note_good(c, now);
    }
    if (!greeted && !a->good) {
        tally_refused(&tally, c->kept, a->n);
        /* It comes back later, and to another. */
        hang_up(c, now);
    } else if (over || (!greeted && c->probe)) {
        hang_up(c, now);
    } else {
        send_all(c, &set.request, WAITING, now);
    }
}

static void receive(struct caller *c, uint64_t now)
{
    struct wire_answer a = {0};
    wire_func *wire =
        c->state == GREETING && set.wire_first ? set.wire_first : set.wire;

    if (c->kept == NULL && (c->kept = malloc(ROOM)) == NULL) {
        err(1, "malloc");
    }
    ssize_t n = stream_recv(c->stream, c->fd, c->kept + c->kept_n,
                            ROOM - c->kept_n, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0 || c->state == IDLE) {
        hang_up(c, now);
        return;
    }
    c->kept_n += (size_t)n;
    int r = wire(c->kept, c->kept_n, &a);
    if (r < 0 || (r == 0 && a.n > ROOM)) {
        hang_up(c, now);
    } else if (r == 0 && a.n <= c->kept_n) {
        answered(c, &a, now);
    }
}

/* ---- the run ---- */

static void step(int wait_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(poll_fd, events, 256, wait_ms);
    uint64_t now = now_ns();

    for (int i = 0; i < n; i++) {
        receive(events[i].data.ptr, now);
    }
}

static void come_back(uint64_t now)
{
    for (size_t i = 0; i < set.n_connections; i++) {
        if (callers[i].state == CLOSED && callers[i].again <= now) {
            begin(&callers[i], now);
        }
    }
}

static void run_until(uint64_t end)
{
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        come_back(now);
        step(1);
    }
}

static void probe(void)
{
    struct caller *c = &callers[n_callers];

    *c = (struct caller){.probe = true, .port = n_callers % (set.n_ports - 1)};
    n_callers++;
    begin(c, now_ns());
}

/* Clients come until one of them, or a writer, has had its write accepted. */
static void await_acceptance(void)
{
    uint64_t next = signalled + MS;

    while (accepted == 0 && now_ns() < signalled + GIVE_UP_MS * MS &&
           n_callers < set.n_connections + PROBES_MOST) {
        run_until(next);
        probe();
        next += PROBE_MS * MS;
    }
}

/* Nothing new is asked, answers still count. */
static uint64_t linger(void)
{
    uint64_t end = now_ns() + LINGER_MS * MS, unanswered = 0;

    over = true;
    while (now_ns() < end) {
        step(10);
    }
    for (size_t i = 0; i < n_callers; i++) {
        unanswered += callers[i].state == WAITING;
    }
    return unanswered;
}

static void prepare(void)
{
    struct rlimit files;
    size_t n = set.request.n > set.hello.n ? set.request.n : set.hello.n;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poll_fd = epoll_create1(0);
    out = malloc(n);
    callers = calloc(set.n_connections + PROBES_MOST, sizeof *callers);
    if (out == NULL || callers == NULL) {
        err(1, "no memory");
    }
    n_callers = set.n_connections;
    for (size_t i = 0; i < n_callers; i++) {
        callers[i].port = i % set.n_ports;
        begin(&callers[i], now_ns());
    }
}

static void report(uint64_t unanswered)
{
    if (accepted != 0) {
        printf("{\"seconds\": %.6f, ", (double)(accepted - signalled) / 1e9);
    } else {
        printf("{\"seconds\": null, ");
    }
    printf("\"silence\": %.6f, \"rate_before\": %.1f, \"sent\": %" PRIu64
           ", \"acknowledged\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"unknown\": %" PRIu64 ", \"probes\": %zu, "
           "\"first_refused\": \"%s\"}\n",
           (double)silence / 1e9, (double)n_before * 1e9 / (double)set.warm_ns,
           n_sent, tally.good, tally.refused, tally.broken + unanswered,
           n_callers - set.n_connections, tally.first_refused);
}

int main(int argc, char **argv)
{
    settings_read(argc, argv);
    if (set.pid < 2 || set.signal == 0 || set.n_ports < 2 || set.warm_ns == 0) {
        errx(2, "-k, -S, -w and two ports are needed");
    }
    if (set.ca != NULL) {
        stream_be_client(set.ca);
    }
    prepare();
    run_until(now_ns() + set.warm_ns);
    if (n_before == 0) {
        errx(1, "nothing was accepted before the leader was to go");
    }
    signalled = last_good = now_ns();
    if (kill((pid_t)set.pid, (int)set.signal) != 0) {
        err(1, "cannot send the signal");
    }
    await_acceptance();
    run_until(now_ns() + set.measure_ns);
    report(linger());
    return 0;
}
