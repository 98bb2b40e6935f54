/* Bytes through a tunnel: all of them, in order, each direction for itself. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

enum { LOAD = 8 << 20, PIECE = 100 * 1000 };

struct bed {
    char *dir;
    struct tls *one, *two;
};

static int begin(void **state)
{
    struct bed *bed = mem_zero(sizeof *bed);

    bed->dir = kit_begin();
    kit_sign(bed->dir, "n1", "n1");
    kit_sign(bed->dir, "n2", "n2");
    bed->one = kit_tls(bed->dir, "n1", bed->dir);
    bed->two = kit_tls(bed->dir, "n2", bed->dir);
    *state = bed;
    return 0;
}

static int end(void **state)
{
    struct bed *bed = *state;

    (void)tls_free(bed->one);
    (void)tls_free(bed->two);
    kit_end(bed->dir);
    mem_free(bed);
    return 0;
}

static void open_tunnel(struct bed *bed, bool bulk, int ret_fds[2])
{
    struct kit_ends ends = kit_shake(bed->one, bed->two);

    assert_int_equal(ends.r[0], 0);
    assert_int_equal(ends.r[1], 0);
    assert_int_equal(tls_link_tunnel(ends.links[0], bulk, &ret_fds[0]), 0);
    assert_int_equal(tls_link_tunnel(ends.links[1], bulk, &ret_fds[1]), 0);
}

static bool wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, 30000) == 1;
}

/* 0 at the end, -1 when it was broken off. */
static ssize_t take(int fd, void *bytes, size_t n)
{
    for (;;) {
        ssize_t got = recv(fd, bytes, n, 0);
        if (got >= 0 || errno != EAGAIN) {
            return got;
        }
        assert_true(wait_for(fd, POLLIN));
    }
}

static bool put(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return false;
        }
        if (sent < 0) {
            assert_true(wait_for(fd, POLLOUT));
            continue;
        }
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* The byte at that place of a stream. */
static unsigned char byte_at(size_t at, unsigned seed)
{
    return (unsigned char)((at * 31 + (at >> 8) * 17 + seed) & 0xff);
}

struct sender {
    pthread_t thread;
    int fd;
    unsigned seed;
};

static void *send_all(void *user)
{
    const struct sender *sender = user;
    unsigned char *piece = mem_alloc(PIECE);

    for (size_t at = 0; at < LOAD;) {
        size_t n = LOAD - at < PIECE ? LOAD - at : PIECE;
        for (size_t i = 0; i < n; i++) {
            piece[i] = byte_at(at + i, sender->seed);
        }
        if (!put(sender->fd, piece, n)) {
            break;
        }
        at += n;
    }
    (void)shutdown(sender->fd, SHUT_WR);
    mem_free(piece);
    return NULL;
}

static void start(struct sender *sender, int fd, unsigned seed)
{
    *sender = (struct sender){.fd = fd, .seed = seed};
    assert_int_equal(pthread_create(&sender->thread, NULL, send_all, sender),
                     0);
}

static void assert_all_comes(int fd, unsigned seed)
{
    unsigned char *piece = mem_alloc(PIECE);
    size_t at = 0;
    size_t wrong = 0;

    for (;;) {
        ssize_t n = take(fd, piece, PIECE);
        assert_true(n >= 0);
        if (n == 0) {
            break;
        }
        for (ssize_t i = 0; i < n; i++) {
            wrong += piece[i] != byte_at(at + (size_t)i, seed);
        }
        at += (size_t)n;
    }
    assert_int_equal(at, LOAD);
    assert_int_equal(wrong, 0);
    mem_free(piece);
}

static void many_tunnels_carry_much_both_ways(void **state)
{
    enum { TUNNELS = 4 };
    struct sender senders[2 * TUNNELS];
    int fds[TUNNELS][2];

    for (unsigned i = 0; i < TUNNELS; i++) {
        open_tunnel(*state, i % 2 == 1, fds[i]);
        start(&senders[i], fds[i][0], i);
        start(&senders[TUNNELS + i], fds[i][1], 100 + i);
    }
    /* One after the other: who is not read yet holds up nobody. */
    for (unsigned i = 0; i < TUNNELS; i++) {
        assert_all_comes(fds[i][1], i);
        assert_all_comes(fds[i][0], 100 + i);
    }
    for (unsigned i = 0; i < 2 * TUNNELS; i++) {
        (void)pthread_join(senders[i].thread, NULL);
    }
    for (unsigned i = 0; i < TUNNELS; i++) {
        (void)close(fds[i][0]);
        (void)close(fds[i][1]);
    }
}

static void one_direction_ends_alone(void **state)
{
    char text[8] = "";
    int fds[2];

    open_tunnel(*state, false, fds);
    assert_true(put(fds[0], "ask", 3));
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
    assert_int_equal(take(fds[1], text, 8), 3);
    assert_int_equal(take(fds[1], text, 8), 0);
    assert_true(put(fds[1], "told", 4));
    assert_int_equal(take(fds[0], text, 8), 4);
    assert_memory_equal(text, "told", 4);
    (void)close(fds[1]);
    assert_int_equal(take(fds[0], text, 8), 0);
    (void)close(fds[0]);
}

static void what_was_written_before_a_close_arrives(void **state)
{
    static char block[128 * 1024];
    char text[4096];
    size_t got = 0;
    int fds[2];

    open_tunnel(*state, true, fds);
    assert_true(put(fds[0], block, sizeof block));
    (void)close(fds[0]);
    for (ssize_t n = 1; n > 0; got += n > 0 ? (size_t)n : 0) {
        n = take(fds[1], text, sizeof text);
    }
    assert_int_equal(got, sizeof block);
    (void)close(fds[1]);
}

static void who_reads_nothing_holds_up_only_himself(void **state)
{
    static char block[64 * 1024];
    char text[8] = "";
    int full[2];
    int fds[2];

    open_tunnel(*state, false, full);
    open_tunnel(*state, false, fds);
    size_t n = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t sent = send(full[0], block, sizeof block, MSG_NOSIGNAL);
        n += sent > 0 ? (size_t)sent : 0;
        quiet = sent > 0 ? 0 : quiet + 1;
        (void)usleep(sent > 0 ? 0 : 5000);
    }
    assert_true(n < 16U << 20); /* What the kernel keeps, and no more. */
    assert_true(put(fds[0], "hello", 5));
    assert_int_equal(take(fds[1], text, 8), 5);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(full[0]);
    (void)close(full[1]);
}

/* Nobody may end it unnoticed but the two. */
static void a_connection_that_breaks_is_closed(void **state)
{
    struct bed *bed = *state;
    struct kit_ends ends = kit_shake(bed->one, bed->two);
    char text[8] = "";
    int fd = -1;

    assert_int_equal(tls_link_tunnel(ends.links[0], false, &fd), 0);
    (void)tls_link_close(ends.links[1]);
    assert_true(take(fd, text, 8) <= 0);
    (void)wait_for(fd, POLLHUP);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    (void)close(fd);
}

static void what_came_with_the_handshake_is_not_lost(void **state)
{
    struct bed *bed = *state;
    struct kit_ends ends = kit_shake(bed->one, bed->two);
    char text[8] = "";
    int fd = -1;

    assert_int_equal(tls_link_send(ends.links[0], "abcdef", 6), 6);
    assert_int_equal(kit_recv(ends.links[1], text, 2), 2);
    assert_true(tls_link_pending(ends.links[1]));
    assert_int_equal(tls_link_tunnel(ends.links[1], false, &fd), 0);
    assert_int_equal(take(fd, text, 8), 4);
    assert_memory_equal(text, "cdef", 4);
    (void)close(fd);
    (void)tls_link_close(ends.links[0]);
}

static void certificates_are_read_again_under_tunnels(void **state)
{
    struct bed *bed = *state;
    struct sender sender;
    char why[TLS_WHY];
    int fds[2];

    open_tunnel(bed, false, fds);
    start(&sender, fds[0], 3);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(tls_reload(bed->one, why), 0);
        assert_int_equal(tls_reload(bed->two, why), 0);
    }
    assert_all_comes(fds[1], 3);
    (void)pthread_join(sender.thread, NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* tls_free ends them; the descriptors say so. */
static void tunnels_that_are_open_end_with_their_room(void **state)
{
    struct bed *bed = *state;
    char text[8] = "";
    int fds[2];

    open_tunnel(bed, false, fds);
    bed->one = tls_free(bed->one);
    assert_true(take(fds[0], text, 8) <= 0);
    assert_true(take(fds[1], text, 8) <= 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_tunnels_carry_much_both_ways),
        TEST(one_direction_ends_alone),
        TEST(what_was_written_before_a_close_arrives),
        TEST(who_reads_nothing_holds_up_only_himself),
        TEST(a_connection_that_breaks_is_closed),
        TEST(what_came_with_the_handshake_is_not_lost),
        TEST(certificates_are_read_again_under_tunnels),
        TEST(tunnels_that_are_open_end_with_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
