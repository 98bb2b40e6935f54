/* watch: many who wait for one change, and the change.
 *
 *   -a PORT  of the server, on 127.0.0.1
 *   -f FILE  what each watcher asks with; with -l "####" in it stands for the
 *            revision it knows (0 at first, so that it gets an answer at once)
 *   -x FILE  the change (template.h), sent on a connection of its own
 *   -g TEXT  in what says to a watcher that it is in
 *   -l       long polls: a watcher gets one answer, and asks again with its
 *            revision once all have been told
 *   -c N     watchers (default 1)
 *   -C FILE  TLS: the CA that the server's certificate is from
 *
 * When all are in it prints {"in":N}. Then, for each line on its standard
 * input, it sends the change, and prints one line of JSON when each watcher has
 * read the number that is in it, or after ten seconds: how many did not, and
 * how long it took from the sending of the change to the reading by half of
 * them, by 99 of 100, by the last. What else comes is read and left. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "spread.h"
#include "stream.h"
#include "template.h"

#define BLANK "####"

enum {
    ROOM = 65536,
    DIGITS = 12,
    KEPT = 512, /* the begin of an answer, or what a number was cut from */
    TOGETHER = 100,
    GIVE_UP_S = 10,
    START_S = 120
};

struct watcher {
    int fd;
    struct stream *stream;
    bool in, told;
    uint64_t revision; /* of its answer, for a long poll */
    size_t n_kept;
    char kept[KEPT];
};

static struct watcher *watchers;
static size_t n_watchers = 1, n_begun, n_in, n_told;
static char *question, *blank;
static size_t question_n;
static const char *greeting;
static bool polls;
static struct template change;
static uint16_t port;
static int poll_fd, change_fd;
static struct stream *change_stream;
static char number[DIGITS + 1];
static uint64_t began, answered;
static struct spread *times;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void read_question(const char *file)
{
    FILE *f = fopen(file, "rb");

    if (f == NULL) {
        err(2, "%s", file);
    }
    question = calloc(1, ROOM);
    question_n = fread(question, 1, ROOM - 1, f);
    fclose(f);
    blank = strstr(question, BLANK);
    if (polls != (blank != NULL)) {
        errx(2, "%s: " BLANK " is for long polls, and only for them", file);
    }
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        err(1, "connect");
    }
    /* Within TLS the end of the handshake goes before the request. */
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    return fd;
}

/* Small requests to a socket that has sent nothing: it goes in one call. */
static void put(struct stream *s, int fd, const char *bytes, size_t n)
{
    if (stream_send(s, fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n) {
        err(1, "send");
    }
}

static void ask(struct watcher *w)
{
    char bytes[ROOM];

    w->n_kept = 0;
    if (!polls) {
        put(w->stream, w->fd, question, question_n);
        return;
    }
    int n = snprintf(bytes, sizeof bytes, "%.*s%" PRIu64 "%s",
                     (int)(blank - question), question, w->revision,
                     blank + sizeof BLANK - 1);
    put(w->stream, w->fd, bytes, (size_t)n);
}

static void add(int fd, void *ptr)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = ptr};

    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        err(1, "epoll_ctl");
    }
}

static void begin(struct watcher *w)
{
    w->fd = dial();
    w->stream = stream_open(w->fd);
    add(w->fd, w);
    ask(w);
}

/* ---- what comes ---- */

/* Bytes behind those kept of before; all of them, or as many as have room. */
static size_t join(const struct watcher *w, const char *p, size_t n, char *out)
{
    memcpy(out, w->kept, w->n_kept);
    memcpy(out + w->n_kept, p, n);
    return w->n_kept + n;
}

static void keep(struct watcher *w, const char *all, size_t n)
{
    /* Of a long poll the begin, where its revision is. */
    size_t few = polls ? KEPT : DIGITS - 1;

    w->n_kept = n < few ? n : few;
    memmove(w->kept, polls ? all : all + n - w->n_kept, w->n_kept);
}

static bool note_revision(struct watcher *w, const char *all, size_t n)
{
    static const char name[] = "Roster-Revision: ";
    const char *at = memmem(all, n, name, sizeof name - 1);

    if (at != NULL) {
        w->revision = strtoull(at + sizeof name - 1, NULL, 10);
    }
    return at != NULL;
}

static void note_told(struct watcher *w, uint64_t now)
{
    w->told = true;
    n_told++;
    spread_add(times, now - began);
}

static void came(struct watcher *w, const char *p, size_t n)
{
    static char all[ROOM + KEPT];
    size_t n_all = join(w, p, n, all);

    if (!polls && !w->in &&
        memmem(all, n_all, greeting, strlen(greeting)) != NULL) {
        w->in = true;
        n_in++;
    }
    if (polls && note_revision(w, all, n_all) && !w->in) {
        w->in = true;
        n_in++;
        ask(w);
        return;
    }
    if (began != 0 && !w->told && memmem(all, n_all, number, DIGITS) != NULL) {
        note_told(w, now_ns());
    }
    /* Nothing is looked for before somebody is in: the greeting may be cut. */
    if (!w->in && n_all <= KEPT) {
        memcpy(w->kept, all, n_all);
        w->n_kept = n_all;
    } else {
        keep(w, all, n_all);
    }
}

static void take(struct watcher *w)
{
    static char buffer[ROOM];
    int fd = w == NULL ? change_fd : w->fd;
    ssize_t n = stream_recv(w == NULL ? change_stream : w->stream, fd, buffer,
                            sizeof buffer, 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        errx(1, "the server ended a connection");
    }
    if (w != NULL) {
        came(w, buffer, (size_t)n);
    } else if (answered == 0) {
        answered = now_ns();
        if (memcmp(buffer, "HTTP/", 5) == 0 &&
            memcmp(buffer + 9, "20", 2) != 0) {
            errx(1, "the change: %.300s", buffer);
        }
    }
}

static void turn(int timeout_ms)
{
    struct epoll_event events[512];
    int n = epoll_wait(poll_fd, events, 512, timeout_ms);

    for (int i = 0; i < n; i++) {
        take(events[i].data.ptr);
    }
}

/* ---- the course ---- */

static void everybody_in(void)
{
    uint64_t end = now_ns() + START_S * UINT64_C(1000000000);

    while (n_in < n_watchers) {
        while (n_begun < n_watchers && n_begun < n_in + TOGETHER) {
            begin(&watchers[n_begun++]);
        }
        turn(10);
        if (now_ns() > end) {
            errx(1, "%zu of %zu watchers are in after %d s: %.200s", n_in,
                 n_watchers, START_S, watchers[0].kept);
        }
    }
    printf("{\"in\": %zu}\n", n_in);
    fflush(stdout);
}

static void send_change(void)
{
    static char bytes[ROOM];

    /* A new one: servers end those that are idle. */
    change_fd = dial();
    change_stream = stream_open(change_fd);
    add(change_fd, NULL);
    (void)snprintf(number, sizeof number, "%012" PRIu64, change.item);
    template_next(&change, bytes);
    memset(times, 0, sizeof *times);
    n_told = 0;
    answered = 0;
    for (size_t i = 0; i < n_watchers; i++) {
        watchers[i].told = false;
    }
    began = now_ns();
    put(change_stream, change_fd, bytes, change.n);
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void one_change(void)
{
    send_change();
    while ((n_told < n_watchers || answered == 0) &&
           now_ns() < began + GIVE_UP_S * UINT64_C(1000000000)) {
        turn(100);
    }
    stream_close(change_stream);
    close(change_fd);
    printf("{\"told\": %zu, \"missed\": %zu, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"last_us\": %.1f, \"answer_us\": %.1f}\n",
           n_told, n_watchers - n_told, ms(spread_quantile(times, 0.5)),
           ms(spread_quantile(times, 0.99)), ms(times->most),
           answered == 0 ? 0.0 : ms(answered - began));
    fflush(stdout);
    for (size_t i = 0; polls && i < n_watchers; i++) {
        ask(&watchers[i]);
    }
}

static void options(int argc, char **argv)
{
    int c;
    const char *file = NULL;

    while ((c = getopt(argc, argv, "a:f:x:g:lc:C:")) != -1) {
        switch (c) {
        case 'a':
            port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            file = optarg;
            break;
        case 'x':
            template_read(&change, optarg);
            break;
        case 'g':
            greeting = optarg;
            break;
        case 'l':
            polls = true;
            break;
        case 'C':
            stream_be_client(optarg);
            break;
        case 'c':
            n_watchers = strtoul(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (port == 0 || file == NULL || change.n == 0 || change.n > ROOM ||
        polls == (greeting != NULL)) {
        errx(2, "-a, -f, -x and one of -g and -l are needed");
    }
    read_question(file);
}

static void start(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    watchers = calloc(n_watchers, sizeof *watchers);
    times = calloc(1, sizeof *times);
    poll_fd = epoll_create1(0);
    everybody_in();
}

int main(int argc, char **argv)
{
    struct epoll_event stdin_ready = {.events = EPOLLIN, .data.ptr = &poll_fd};
    char line[64];

    options(argc, argv);
    start();
    /* What comes between two changes is read, too. */
    int both = epoll_create1(0);
    if (epoll_ctl(both, EPOLL_CTL_ADD, 0, &stdin_ready) != 0) {
        err(1, "standard input");
    }
    struct epoll_event inner = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(both, EPOLL_CTL_ADD, poll_fd, &inner);
    for (;;) {
        struct epoll_event e;
        if (epoll_wait(both, &e, 1, -1) < 1) {
            continue;
        }
        if (e.data.ptr == NULL) {
            turn(0);
        } else if (read(0, line, sizeof line) <= 0) {
            return 0;
        } else {
            one_change();
        }
    }
}
