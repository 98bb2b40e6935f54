/* Receivers that do not behave, on sockets of this process. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
/* clang-format on */

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "hook/sender.h"

struct seen {
    unsigned yes, no;
    char why[SENDER_WHY];
};

static void done(void *user, void *request, const char *why)
{
    struct seen *seen = user;

    assert_ptr_equal(request, seen);
    seen->yes += why == NULL;
    seen->no += why != NULL;
    if (why != NULL) {
        (void)snprintf(seen->why, sizeof seen->why, "%s", why);
    }
}

/* One that the system accepts connections for and nobody answers on. */
static int listen_on(char url[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&in, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&in, &n), 0);
    (void)snprintf(url, 64, "http://127.0.0.1:%u/", ntohs(in.sin_port));
    return fd;
}

static struct sender *make(struct allow *allow)
{
    const char *why = NULL;
    const struct sender_config config = {
        .allow = allow, .connect_ms = 200, .whole_ms = 300};

    assert_int_equal(allow_read("127.0.0.1", allow, &why), 0);
    return sender_new(&config);
}

static void post(struct sender *sender, const char *url, struct seen *seen)
{
    const char *const headers[] = {"X: y", NULL};
    struct buf body = {0};

    buf_add_text(&body, "{}");
    sender_send(sender, url, &body, headers, seen);
    assert_null(body.p);
}

static void one_that_never_answers_is_given_up(void **state)
{
    struct allow allow;
    struct sender *sender = make(&allow);
    struct seen seen = {0};
    char url[64];

    (void)state;
    int fd = listen_on(url);
    post(sender, url, &seen);
    while (seen.no == 0) {
        sender_run(sender, 1000, done, &seen);
    }
    assert_non_null(strstr(seen.why, "Timeout"));
    (void)close(fd);
    (void)sender_free(sender);
    allow_done(&allow);
}

/* Says yes, and then a byte now and then. */
static void *trickle(void *user)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    const int *listening = user;
    int fd = accept(*listening, NULL, NULL);
    ssize_t n = send(fd, head, sizeof head - 1, MSG_NOSIGNAL);

    while (n > 0) {
        (void)usleep(20000);
        n = send(fd, "x", 1, MSG_NOSIGNAL);
    }
    (void)close(fd);
    return NULL;
}

static atomic_int resolving;

/* In the place of the system's, which libcurl asks on a thread: names take as
 * long as a dead name server does, until they are let go. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int getaddrinfo(const char *name, const char *service,
                const struct addrinfo *hints, struct addrinfo **ret)
{
    (void)name, (void)service, (void)hints, (void)ret;
    atomic_store(&resolving, 1);
    while (atomic_load(&resolving) == 1) {
        (void)usleep(1000);
    }
    return EAI_AGAIN;
}

static void a_name_that_is_not_resolved_delays_nobody(void **state)
{
    struct allow allow;
    struct sender *sender = make(&allow);
    struct seen seen = {0};

    (void)state;
    post(sender, "http://slow.example/", &seen);
    while (seen.no == 0) {
        sender_run(sender, 1000, done, &seen);
    }
    assert_int_equal(atomic_load(&resolving), 1); /* It still does. */
    assert_non_null(strstr(seen.why, "imeout"));
    (void)sender_free(sender);
    atomic_store(&resolving, 2);
    (void)usleep(50000);
    allow_done(&allow);
}

static void the_status_line_is_the_answer_however_slow_the_rest(void **state)
{
    struct allow allow;
    struct sender *sender = make(&allow);
    struct seen seen = {0};
    pthread_t thread;
    char url[64];

    (void)state;
    int fd = listen_on(url);
    assert_int_equal(pthread_create(&thread, NULL, trickle, &fd), 0);
    post(sender, url, &seen);
    while (seen.yes + seen.no == 0) {
        sender_run(sender, 1000, done, &seen);
    }
    assert_int_equal(seen.yes, 1);
    (void)sender_free(sender);
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    allow_done(&allow);
}

static void an_address_that_is_not_called_is_named(void **state)
{
    struct allow allow = {.n = 0};
    const struct sender_config config = {
        .allow = &allow, .connect_ms = 200, .whole_ms = 300};
    struct sender *sender = sender_new(&config);
    struct seen seen = {0};

    (void)state;
    post(sender, "http://[::1]:1/", &seen);
    while (seen.no == 0) {
        sender_run(sender, 1000, done, &seen);
    }
    assert_non_null(strstr(seen.why, "::1 is a loopback address"));
    assert_non_null(strstr(seen.why, "--webhook-allow ::1/128"));
    (void)sender_free(sender);
}

static void what_is_cut_is_told_to_nobody(void **state)
{
    struct allow allow;
    struct sender *sender = make(&allow);
    struct seen seen = {0};
    char url[64];

    (void)state;
    int fd = listen_on(url);
    post(sender, url, &seen);
    sender_wake(sender);
    sender_run(sender, 100000, done, &seen); /* The wake ends it. */
    sender_cut(sender);
    sender_run(sender, 0, done, &seen);
    assert_int_equal(seen.yes + seen.no, 0);
    (void)close(fd);
    (void)sender_free(sender);
    allow_done(&allow);
}

static void only_http_has_a_host(void **state)
{
    static const char *const bad[] = {
        "", "x", "ftp://h/", "file:///etc/passwd", "gopher://h", "http://"};
    char host[SENDER_HOST];
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sender_host_of(bad[i], host, &why), ERR_INVALID);
        assert_non_null(why);
    }
    assert_int_equal(sender_host_of("https://u:p@H.example/x", host, &why), 0);
    assert_string_equal(host, "h.example:443");
    assert_int_equal(sender_host_of("http://[::1]:8080", host, &why), 0);
    assert_string_equal(host, "[::1]:8080");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_never_answers_is_given_up),
        cmocka_unit_test(the_status_line_is_the_answer_however_slow_the_rest),
        cmocka_unit_test(a_name_that_is_not_resolved_delays_nobody),
        cmocka_unit_test(an_address_that_is_not_called_is_named),
        cmocka_unit_test(what_is_cut_is_told_to_nobody),
        cmocka_unit_test(only_http_has_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
