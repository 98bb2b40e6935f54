/* barewatch PORT [CERT KEY]: the least that telling many sockets something
 * costs. Who asks with GET waits; the body of a POST is written to all who
 * wait, as it is, in one call each, and the POST is answered before. Nothing
 * else: no parsing, no history, one thread. With a certificate the same within
 * TLS, one record for each. Prints its port and serves until killed. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

enum { FDS = 65536, READ = 1 << 16 };

static int waiting[FDS];
static struct stream *streams[FDS]; /* by socket */
static size_t n_waiting;
static const char hello[] = "HTTP/1.1 200 OK\r\n\r\n";
static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static ssize_t put(int fd, const char *bytes, size_t n)
{
    return stream_send(streams[fd], fd, bytes, n, MSG_NOSIGNAL);
}

static void tell(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n_waiting; i++) {
        if (put(waiting[i], bytes, n) != (ssize_t)n) {
            errx(1, "somebody does not read");
        }
    }
}

/* Requests come whole: they are small, and sent in one call. */
static void serve(int fd)
{
    static char buffer[READ];
    ssize_t n = stream_recv(streams[fd], fd, buffer, sizeof buffer - 1, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            stream_close(streams[fd]);
            close(fd);
        }
        return;
    }
    buffer[n] = '\0';
    const char *body = strstr(buffer, "\r\n\r\n");
    if (body == NULL) {
        errx(1, "part of a request");
    }
    if (buffer[0] == 'G') {
        waiting[n_waiting++] = fd;
        (void)!put(fd, hello, sizeof hello - 1);
        return;
    }
    (void)!put(fd, done, sizeof done - 1);
    tell(body + 4, (size_t)(buffer + n - body - 4));
}

static void take_connection(int poll, int listener)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0) {
        return;
    }
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    if (fd >= FDS || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e) != 0) {
        err(1, "epoll_ctl");
    }
    streams[fd] = stream_open(fd);
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
    struct rlimit files;

    if (argc != 2 && argc != 4) {
        errx(2, "usage: barewatch PORT [CERT KEY]");
    }
    if (argc == 4) {
        stream_be_server(argv[2], argv[3]);
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int poll = epoll_create1(0),
        listener = listen_on((int)strtol(argv[1], NULL, 10));
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take_connection(poll, listener);
            } else {
                serve(events[i].data.fd);
            }
        }
    }
}
