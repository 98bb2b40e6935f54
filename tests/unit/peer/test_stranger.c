/* Who connects may be anybody: what strangers do delays no node [PEER-2]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "kit.h"

enum { FLOOD = 1000, FLOOD_FDS = 2000, MAY_SPIN_MS = 400 };

static int greet(const char *address)
{
    const struct peer_id two = kit_id(2, "two");
    const struct peer_dial dial = kit_dial(PEER_LINK, address, &two);
    struct peer_id other;
    bool refused = false;
    char why[PEER_WHY];
    int fd = -1;

    return peer_connect(&dial, &other, &fd, &refused, why) == 0 ? fd : -1;
}

static void assert_lets_in(struct kit *kit)
{
    int fd = greet(peer_address(kit->peer));

    assert_true(fd >= 0);
    (void)close(fd);
}

/* Nothing more comes, after at most PEER_SHAKE_MS. */
static void assert_ends(int fd)
{
    char byte = 0;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
}

static void what_is_no_hello_is_closed_without_a_word(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[SHAKE_HELLO];

    (void)state;
    int fd = kit_stranger(peer_address(kit->peer));
    kit_send(fd, "GET / HTTP/1.1\r\n", 16);
    assert_ends(fd);
    kit_hello(PEER_LINK, hello);
    hello[64] = '\n';
    fd = kit_stranger(peer_address(kit->peer));
    kit_send(fd, hello, sizeof hello);
    assert_ends(fd);
    assert_int_equal(kit_seen(kit).n_judged, 0);
    kit_stop(kit);
}

static void a_hello_that_was_cut_is_nothing(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[SHAKE_HELLO];

    (void)state;
    kit_hello(PEER_LINK, hello);
    for (size_t n = 0; n < sizeof hello; n += 13) {
        int fd = kit_stranger(peer_address(kit->peer));
        kit_send(fd, hello, n);
        (void)shutdown(fd, SHUT_WR);
        assert_ends(fd);
    }
    assert_int_equal(kit_seen(kit).n_judged, 0);
    kit_stop(kit);
}

static void a_hello_may_come_byte_by_byte(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[SHAKE_HELLO], answer[SHAKE_ANSWER];
    int fd = kit_stranger(peer_address(kit->peer));

    (void)state;
    kit_hello(PEER_LINK, hello);
    for (size_t i = 0; i < sizeof hello; i++) {
        kit_send(fd, hello + i, 1);
    }
    assert_true(kit_recv(fd, answer, sizeof answer));
    (void)close(kit_accepted(kit, 1));
    (void)close(fd);
    kit_stop(kit);
}

/* What follows the hello in the same packet is the connection's. */
static void what_comes_behind_a_hello_is_left_to_the_owner(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t bytes[SHAKE_HELLO + 5];
    int fd = kit_stranger(peer_address(kit->peer));

    (void)state;
    memset(bytes, 'f', sizeof bytes);
    kit_hello(PEER_LINK, bytes);
    kit_send(fd, bytes, sizeof bytes);
    int taken = kit_accepted(kit, 1);
    assert_int_equal(peer_block(taken), 0);
    assert_true(kit_recv(taken, bytes, 5));
    assert_memory_equal(bytes, "fffff", 5);
    (void)close(taken);
    (void)close(fd);
    kit_stop(kit);
}

static void who_never_ends_a_hello_is_dropped(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[SHAKE_HELLO];
    const struct timespec pause = {.tv_nsec = 100000000};
    int fd = kit_stranger(peer_address(kit->peer));
    size_t sent = 0;

    (void)state;
    kit_hello(PEER_LINK, hello);
    /* At this pace it would need a minute. */
    while (sent < sizeof hello - 1 &&
           send(fd, hello + sent, 1, MSG_NOSIGNAL) == 1) {
        sent++;
        (void)nanosleep(&pause, NULL);
    }
    assert_true(sent < sizeof hello - 1);
    assert_int_equal(kit_seen(kit).n_judged, 0);
    (void)close(fd);
    kit_stop(kit);
}

/* The answer must survive what the other has sent and nobody reads. */
static void another_protocol_is_answered_with_a_reason(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[1024] = "ROSTERPH\2\0\0\0\xf0\3";
    uint8_t bytes[SHAKE_ANSWER];
    struct shake_answer answer;

    (void)state;
    int fd = kit_stranger(peer_address(kit->peer));
    kit_send(fd, hello, sizeof hello);
    assert_true(kit_recv(fd, bytes, sizeof bytes));
    assert_int_equal(shake_answer_decode(bytes, &answer), 0);
    assert_int_equal(answer.verdict, PEER_VERSION);
    assert_non_null(strstr(answer.why, "it speaks protocol 2"));
    assert_string_equal(answer.self.name, "one");
    /* An end, not a reset: a reset may overtake the answer. */
    assert_int_equal(recv(fd, bytes, 1, 0), 0);
    (void)close(fd);
    assert_int_equal(kit_seen(kit).n_judged, 0);
    kit_stop(kit);
}

/* ---- many ---- */

static void room_for(rlim_t n, struct rlimit *ret_before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_before), 0);
    struct rlimit more = *ret_before;
    more.rlim_cur = n < more.rlim_max ? n : more.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
}

static void a_flood_of_half_open_ones_keeps_no_node_out(void **state)
{
    static int fds[FLOOD];
    struct kit *kit = kit_start("127.0.0.1:0");
    struct rlimit before;
    uint8_t hello[SHAKE_HELLO];

    (void)state;
    room_for(FLOOD_FDS, &before);
    kit_hello(PEER_LINK, hello);
    for (unsigned i = 0; i < FLOOD; i++) {
        fds[i] = kit_stranger(peer_address(kit->peer));
        /* It may have been dropped already: that is what is meant. */
        (void)send(fds[i], hello, i % SHAKE_HELLO, MSG_NOSIGNAL);
        if (i % 100 == 99) {
            assert_lets_in(kit);
        }
    }
    assert_lets_in(kit);
    assert_int_equal(kit_seen(kit).n_judged, FLOOD / 100 + 1);
    kit_stop(kit);
    for (unsigned i = 0; i < FLOOD; i++) {
        (void)close(fds[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* The place that is taken is that of who has had the most time: not of who came
 * last, as a node does in the midst of a flood. */
static void a_node_in_the_midst_of_a_flood_has_time_for_its_hello(void **state)
{
    enum { BEFORE = PEER_HALF_MOST + 10, BEHIND = PEER_HALF_MOST - 20 };
    static int fds[BEFORE + BEHIND];
    struct kit *kit = kit_start("127.0.0.1:0");
    struct rlimit before;
    uint8_t hello[SHAKE_HELLO], answer[SHAKE_ANSWER];

    (void)state;
    room_for(FLOOD_FDS, &before);
    for (unsigned i = 0; i < BEFORE; i++) {
        fds[i] = kit_stranger(peer_address(kit->peer));
    }
    int node = kit_stranger(peer_address(kit->peer));
    for (unsigned i = 0; i < BEHIND; i++) {
        fds[BEFORE + i] = kit_stranger(peer_address(kit->peer));
    }
    assert_ends(fds[9]);
    kit_hello(PEER_LINK, hello);
    kit_send(node, hello, sizeof hello);
    assert_true(kit_recv(node, answer, sizeof answer));
    kit_stop(kit);
    (void)close(node);
    for (unsigned i = 0; i < BEFORE + BEHIND; i++) {
        if (i != 9) {
            (void)close(fds[i]);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void the_end_closes_who_is_half_done(void **state)
{
    enum { HALVES = 20 };
    struct kit *kit = kit_start("127.0.0.1:0");
    uint8_t hello[SHAKE_HELLO];
    int fds[HALVES];

    (void)state;
    kit_hello(PEER_LINK, hello);
    for (unsigned i = 0; i < HALVES; i++) {
        fds[i] = kit_stranger(peer_address(kit->peer));
        kit_send(fds[i], hello, SHAKE_HEAD + i);
    }
    assert_lets_in(kit);
    kit_stop(kit);
    for (unsigned i = 0; i < HALVES; i++) {
        assert_ends(fds[i]);
    }
}

/* ---- no descriptors left ---- */

static uint64_t busy_ms(void)
{
    struct timespec spent;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000 + (uint64_t)spent.tv_nsec / 1000000;
}

/* Who waits outside makes poll return at once: a second of processor time in a
 * second would be the listener going round. */
static void without_descriptors_it_waits_and_then_goes_on(void **state)
{
    enum { MANY = 4096 };
    static int fds[MANY];
    const struct timespec second = {.tv_sec = 1};
    struct kit *kit = kit_start("127.0.0.1:0");
    struct rlimit before;
    unsigned n = 0;

    (void)state;
    assert_lets_in(kit);
    (void)close(kit_accepted(kit, 1));
    room_for(200, &before);
    int outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (n < MANY && (fds[n] = dup(outside)) >= 0) {
        n++;
    }
    assert_int_equal(errno, EMFILE);
    (void)close(outside);
    outside = kit_stranger(peer_address(kit->peer));
    uint64_t before_ms = busy_ms();
    (void)nanosleep(&second, NULL);
    assert_true(busy_ms() - before_ms < MAY_SPIN_MS);
    while (n > 0) {
        (void)close(fds[--n]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_lets_in(kit);
    (void)close(outside);
    kit_stop(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_hello_is_closed_without_a_word),
        cmocka_unit_test(a_hello_that_was_cut_is_nothing),
        cmocka_unit_test(a_hello_may_come_byte_by_byte),
        cmocka_unit_test(what_comes_behind_a_hello_is_left_to_the_owner),
        cmocka_unit_test(who_never_ends_a_hello_is_dropped),
        cmocka_unit_test(another_protocol_is_answered_with_a_reason),
        cmocka_unit_test(a_flood_of_half_open_ones_keeps_no_node_out),
        cmocka_unit_test(a_node_in_the_midst_of_a_flood_has_time_for_its_hello),
        cmocka_unit_test(the_end_closes_who_is_half_done),
        cmocka_unit_test(without_descriptors_it_waits_and_then_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
