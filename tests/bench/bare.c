/* bare PORT FILE [CERT KEY]: the upper bound for a server that answers over
 * TCP. It looks for the end of each request (an empty line), and sends the
 * bytes of FILE for it, in one call for all requests that came together.
 * Nothing else: no parsing, no lookup, one thread. With a certificate the same
 * within TLS. Prints its port and serves until killed. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

enum { FDS = 65536, TOGETHER = 64, READ = 1 << 16 };

/* Of a connection: how much of the empty line was at the end of what came, and
 * how much of its answers is still to be sent. */
static struct {
    unsigned char seen;
    size_t owed;
    struct stream *stream;
} connections[FDS];

static char *answers; /* TOGETHER times the same */
static size_t answer_n;

static void load(const char *file)
{
    FILE *f = fopen(file, "rb");
    static char one[1 << 20];

    if (f == NULL) {
        err(2, "%s", file);
    }
    answer_n = fread(one, 1, sizeof one, f);
    fclose(f);
    answers = malloc(answer_n * TOGETHER + 1);
    if (answers == NULL || answer_n == 0) {
        errx(2, "%s: nothing to send", file);
    }
    for (size_t i = 0; i < TOGETHER; i++) {
        memcpy(answers + i * answer_n, one, answer_n);
    }
}

/* How many requests end in these bytes. */
static size_t ends(unsigned char *seen, const char *p, size_t n)
{
    static const char empty[] = "\r\n\r\n";
    size_t found = 0;

    /* Most often: one request, whole. */
    if (*seen == 0 && n >= 4 && memcmp(p + n - 4, empty, 4) == 0 &&
        memmem(p, n, empty, 4) == p + n - 4) {
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        *seen = p[i] == empty[*seen] ? *seen + 1 : p[i] == '\r';
        if (*seen == 4) {
            *seen = 0;
            found++;
        }
    }
    return found;
}

static int send_owed(int fd)
{
    size_t *owed = &connections[fd].owed;

    while (*owed > 0) {
        /* Begin where the last call stopped inside of an answer. */
        size_t from = (answer_n - *owed % answer_n) % answer_n;
        size_t n = answer_n * TOGETHER - from;
        ssize_t sent = stream_send(connections[fd].stream, fd, answers + from,
                                   n < *owed ? n : *owed, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        *owed -= (size_t)sent;
    }
    return 0;
}

static int serve(int fd)
{
    static char buffer[READ];
    ssize_t n =
        stream_recv(connections[fd].stream, fd, buffer, sizeof buffer, 0);

    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
    connections[fd].owed +=
        answer_n * ends(&connections[fd].seen, buffer, (size_t)n);
    return send_owed(fd);
}

static void watch(int poll, int op, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    if (epoll_ctl(poll, op, fd, &e) != 0) {
        err(1, "epoll_ctl");
    }
}

static void take_connection(int poll, int listener)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd < 0 || fd >= FDS) {
        return;
    }
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    memset(&connections[fd], 0, sizeof connections[fd]);
    connections[fd].stream = stream_open(fd);
    watch(poll, EPOLL_CTL_ADD, fd, EPOLLIN);
}

static void ready(int poll, int fd, unsigned events)
{
    size_t before = connections[fd].owed;
    int r = events & EPOLLOUT ? send_owed(fd) : serve(fd);

    if (r != 0) {
        stream_close(connections[fd].stream);
        close(fd);
    } else if ((before > 0) != (connections[fd].owed > 0)) {
        watch(poll, EPOLL_CTL_MOD, fd,
              connections[fd].owed > 0 ? EPOLLOUT : EPOLLIN);
    }
}

static int listen_on(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((unsigned short)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        err(1, "listen");
    }
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];

    if (argc != 3 && argc != 5) {
        errx(2, "usage: bare PORT FILE [CERT KEY]");
    }
    if (argc == 5) {
        stream_be_server(argv[3], argv[4]);
    }
    load(argv[2]);
    int poll = epoll_create1(0),
        listener = listen_on((int)strtol(argv[1], NULL, 10));
    watch(poll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int n = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take_connection(poll, listener);
            } else {
                ready(poll, events[i].data.fd, events[i].events);
            }
        }
    }
}
