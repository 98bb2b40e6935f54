/* A scripted server on a real socket, for the tests of the library. */
#ifndef TESTS_CLIENT_FAKE_H
#define TESTS_CLIENT_FAKE_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "roster.h"

/* What the server does with a request instead of answering. */
/* Every body it answers is 4 bytes long. */
#define CUT "cut"       /* read it, close */
#define SILENT "silent" /* read it, say nothing */

#define ANSWER(status, headers, body)                                          \
    "HTTP/1.1 " status "\r\nContent-Length: 4\r\n" headers "\r\n" body
#define OK_ANSWER ANSWER("200 OK", "", "[ ] ")

struct fake {
    int listener;
    int stop;
    char url[64];
    pthread_t thread;
    const char *const *script; /* one line per request, ends with NULL */
    size_t n_requests;
    size_t n_connections;
    char seen[8192]; /* all requests, one behind the other */
    size_t seen_n;
};

/* Reads one whole request; false when the peer has closed or we must stop. */
static bool read_request(struct fake *fake, int fd)
{
    char *start = fake->seen + fake->seen_n;

    for (;;) {
        struct pollfd wait[2] = {{.fd = fd, .events = POLLIN},
                                 {.fd = fake->stop, .events = POLLIN}};
        if (poll(wait, 2, 10000) <= 0 || wait[1].revents != 0) {
            return false;
        }
        ssize_t n = read(fd, fake->seen + fake->seen_n,
                         sizeof fake->seen - 1 - fake->seen_n);
        if (n <= 0) {
            return false;
        }
        fake->seen_n += (size_t)n;
        fake->seen[fake->seen_n] = '\0';
        const char *end = strstr(start, "\r\n\r\n");
        const char *length = strstr(start, "Content-Length: ");
        size_t body = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
        if (end != NULL && strlen(end + 4) >= body) {
            return true;
        }
    }
}

static void serve(struct fake *fake, int fd)
{
    while (read_request(fake, fd)) {
        const char *line = fake->script[fake->n_requests];
        assert_non_null(line);
        fake->n_requests++;
        if (strcmp(line, CUT) == 0) {
            return;
        }
        if (strcmp(line, SILENT) != 0) {
            (void)!write(fd, line, strlen(line));
        }
    }
}

static void *run_fake(void *user)
{
    struct fake *fake = user;

    for (;;) {
        struct pollfd wait[2] = {{.fd = fake->listener, .events = POLLIN},
                                 {.fd = fake->stop, .events = POLLIN}};
        if (poll(wait, 2, -1) < 0 || wait[1].revents != 0) {
            return NULL;
        }
        int fd = accept(fake->listener, NULL, NULL);
        fake->n_connections++;
        serve(fake, fd);
        (void)close(fd);
    }
}

static void fake_start(struct fake *fake, const char *const *script)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;

    *fake = (struct fake){.script = script};
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    fake->stop = eventfd(0, 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, size),
                     0);
    assert_int_equal(listen(fake->listener, 8), 0);
    assert_int_equal(
        getsockname(fake->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(fake->url, sizeof fake->url, "http://127.0.0.1:%u",
                   ntohs(address.sin_port));
    assert_int_equal(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
}

static void fake_stop(struct fake *fake)
{
    (void)eventfd_write(fake->stop, 1);
    (void)pthread_join(fake->thread, NULL);
    (void)close(fake->listener);
    (void)close(fake->stop);
}

/* A port that refuses connections. */
#define DEAD "http://127.0.0.1:1"

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct roster *client_of(const char *urls)
{
    struct roster *roster = roster_new();
    assert_int_equal(roster_set_servers(roster, urls), ROSTER_OK);
    return roster;
}

#endif
