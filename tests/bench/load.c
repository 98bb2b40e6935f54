/* load: sends requests to a server over many connections from one thread, and
 * measures the answers. Prints one line of JSON. Options: settings.h.
 *
 * No request is left unanswered: those that are out when the time is over are
 * waited for and count as acknowledged, not in the rate. SIGTERM: the time is
 * over now. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
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

enum {
    READ = 1 << 18,
    HEAD = 1024,
    LARGE = 8192,
    PATIENCE_S = 60,
    BROKEN_MOST = 1000
};

struct connection {
    int fd;
    struct stream *stream;
    uint16_t port;
    bool first; /* the answer to -p is awaited */
    bool busy, idle;
    uint64_t since;      /* ns, of the request that is out */
    char *out;           /* the request, and how much of it is sent */
    size_t sent, out_n;  /* sent == out_n: all */
    char *kept;          /* the begin of an answer */
    size_t kept_n, left; /* left: to come of an answer that was judged */
    bool good;
};

static struct connection *connections, **idle;
static size_t n_idle, n_busy;
static int poll_fd;
static uint64_t issued;
static bool over, large; /* large: the last answer was */
static volatile sig_atomic_t told_to_end;
static struct tally tally;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- connections ---- */

static void watch(struct connection *c, int op, unsigned events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (epoll_ctl(poll_fd, op, c->fd, &e) != 0) {
        err(1, "epoll_ctl");
    }
}

/* Sends what is left of the request; waits for room when there is none. */
static void push(struct connection *c)
{
    bool waited = c->sent > 0;

    while (c->sent < c->out_n) {
        ssize_t n =
            stream_send(c->stream, c->fd, c->out + c->sent, c->out_n - c->sent,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            /* A fault shows when the answer is read. */
            watch(c, EPOLL_CTL_MOD, EPOLLIN | (errno == EAGAIN ? EPOLLOUT : 0));
            return;
        }
        c->sent += (size_t)n;
    }
    if (waited) {
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void start(struct connection *c, struct template *t, uint64_t since)
{
    template_next(t, c->out);
    c->out_n = t->n;
    c->sent = 0;
    c->since = since;
    c->busy = true;
    n_busy++;
    push(c);
}

static void rest(struct connection *c)
{
    if (!c->idle) {
        c->idle = true;
        idle[n_idle++] = c;
    }
}

static void connect_to(struct connection *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(c->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0) {
        err(1, "cannot connect to port %u", c->port);
    }
    setsockopt(c->fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    c->stream = stream_open(c->fd);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    c->kept_n = c->left = 0;
    c->first = set.hello.n > 0;
    if (c->first) {
        start(c, &set.hello, 0);
    } else {
        rest(c);
    }
}

static void lose(struct connection *c)
{
    if (c->busy) {
        n_busy--;
        tally.broken++;
    }
    c->busy = false;
    stream_close(c->stream);
    close(c->fd);
    if (tally.broken >= BROKEN_MOST) {
        errx(1, "%d connections broke", BROKEN_MOST);
    }
    connect_to(c);
}

/* ---- answers ---- */

static void answered(struct connection *c, uint64_t now)
{
    c->busy = false;
    n_busy--;
    rest(c);
    if (c->first) {
        c->first = false;
        return;
    }
    tally_answer(&tally, c->good, c->since, now);
}

static void keep(struct connection *c, const char *p, size_t n)
{
    if (c->kept != p) {
        c->kept = realloc(c->kept, (size_t)READ * 2);
        if (c->kept == NULL) {
            err(1, "realloc");
        }
        memcpy(c->kept, p, n);
    }
    c->kept_n = n;
}

/* Takes n bytes that have come; < 0: they are no answer. */
static int take(struct connection *c, const char *p, size_t n, uint64_t now)
{
    struct wire_answer a = {0};

    if (c->left == 0) {
        int r =
            (c->first && set.wire_first ? set.wire_first : set.wire)(p, n, &a);
        if (r != 0) {
            keep(c, p, n);
            return r < 0 || n >= READ ? -1 : 0;
        }
        if (!a.good) {
            tally_refused(&tally, p, n < a.n ? n : a.n);
        }
        large = a.told && a.n > LARGE;
        c->good = a.good;
        c->left = a.n;
    }
    c->kept_n = 0;
    /* One request is out, so no answer is followed by another. */
    if (n > c->left || !c->busy) {
        return -1;
    }
    c->left -= n;
    if (c->left == 0) {
        answered(c, now);
    }
    return 0;
}

/* Reads once; false when nothing was there. The body of a large answer is
 * thrown away where it lies (MSG_TRUNC): copying it would take this program
 * longer than it takes a good server to send it. What came within TLS has to be
 * deciphered, so all of a record is read at once. */
static bool receive_some(struct connection *c, uint64_t now)
{
    static char buffer[READ];
    char *into = c->kept_n > 0 ? c->kept + c->kept_n : buffer;
    size_t room = large && c->stream == NULL ? HEAD : READ;
    int flags = MSG_DONTWAIT;

    if (c->left > 0) {
        room = c->left < READ ? c->left : READ;
        flags |= MSG_TRUNC;
    } else if (c->kept_n > 0) {
        room = (size_t)READ * 2 - c->kept_n;
    }
    ssize_t n = stream_recv(c->stream, c->fd, into, room, flags);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    tally.bytes += n > 0 ? (uint64_t)n : 0;
    if (n <= 0 || take(c, c->kept_n > 0 ? c->kept : buffer,
                       c->kept_n + (size_t)n, now) != 0) {
        lose(c);
        return false;
    }
    return true;
}

static void receive(struct connection *c, uint64_t now)
{
    while (receive_some(c, now) && c->left > 0) {
    }
}

/* ---- the run ---- */

/* How many requests are due by now. */
static uint64_t due(uint64_t now, uint64_t started)
{
    uint64_t n = UINT64_MAX;

    if (set.rate > 0) {
        n = (uint64_t)((double)(now - started) * (double)set.rate / 1e9) + 1;
    }
    return set.most > 0 && n > set.most ? set.most : n;
}

static void issue(uint64_t now, uint64_t started)
{
    uint64_t n = over ? 0 : due(now, started);

    while (n_idle > 0 && issued < n) {
        uint64_t since = now;
        if (set.rate > 0) {
            since =
                started + (uint64_t)((double)issued * 1e9 / (double)set.rate);
        }
        issued++;
        struct connection *c = idle[--n_idle];
        c->idle = false;
        start(c, &set.request, since);
    }
}

static bool may_end(uint64_t now)
{
    if (told_to_end != 0 && now < tally.end_ns) {
        tally.end_ns = now > tally.begin_ns ? now : tally.begin_ns;
    }
    over = over || now >= tally.end_ns || (set.most > 0 && issued >= set.most);
    if (n_busy > 0 && now > tally.last_ns + PATIENCE_S * 1000000000ULL) {
        errx(1, "%zu requests have had no answer for %d s", n_busy, PATIENCE_S);
    }
    return over && n_busy == 0;
}

static void run(void)
{
    struct epoll_event events[512];
    uint64_t started = now_ns(), now = started;

    tally.last_ns = started;
    tally.begin_ns = started + set.warm_ns;
    tally.end_ns = set.most > 0 ? UINT64_MAX : tally.begin_ns + set.measure_ns;
    while (!may_end(now)) {
        issue(now, started);
        struct timespec wait = {.tv_nsec = set.rate > 0 ? 50000 : 100000000};
        int n = epoll_pwait2(poll_fd, events, 512, &wait, NULL);
        now = now_ns();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                push(c);
            }
            if (events[i].events & ~(unsigned)EPOLLOUT) {
                receive(c, now);
            }
            /* Its next request goes before the next answer is looked at: a
             * server must not wait for a client that is busy reading. */
            issue(now, started);
        }
    }
    if (set.most > 0) {
        set.measure_ns = tally.last_ns - started;
    } else {
        set.measure_ns = tally.end_ns - tally.begin_ns;
    }
}

static void await_first_answers(void)
{
    struct epoll_event events[512];

    while (n_busy > 0) {
        int n = epoll_wait(poll_fd, events, 512, 5000);
        if (n == 0) {
            errx(1, "no answer to the first bytes of a connection");
        }
        for (int i = 0; i < n; i++) {
            receive(events[i].data.ptr, now_ns());
        }
    }
}

static void prepare(void)
{
    struct rlimit files;
    size_t room = set.request.n > set.hello.n ? set.request.n : set.hello.n;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poll_fd = epoll_create1(0);
    connections = calloc(set.n_connections, sizeof *connections);
    idle = calloc(set.n_connections, sizeof(struct connection *));
    if (connections == NULL || idle == NULL) {
        err(1, "calloc");
    }
    for (size_t i = 0; i < set.n_connections; i++) {
        connections[i].out = malloc(room + 1);
        if (connections[i].out == NULL) {
            err(1, "malloc");
        }
        connections[i].port = set.ports[i % set.n_ports];
        connect_to(&connections[i]);
    }
    await_first_answers();
}

/* What it takes to be connected is not the work that is measured. */
static void await_word(void)
{
    char line[16];

    printf("ready\n");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        errx(2, "nobody says when to begin");
    }
}

static void end_now(int number)
{
    (void)number;
    told_to_end = 1;
}

int main(int argc, char **argv)
{
    settings_read(argc, argv);
    if (set.ca != NULL) {
        stream_be_client(set.ca);
    }
    signal(SIGTERM, end_now);
    prepare();
    if (set.waits) {
        await_word();
    }
    run();
    tally_print(&tally, set.measure_ns);
    return tally.refused + tally.broken > 0 ? 3 : 0;
}
