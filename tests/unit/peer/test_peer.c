/* Two nodes shake hands, or one is told why not. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

/* What a peer_connect by node 2 gave. */
struct dialled {
    int r, fd;
    bool refused;
    struct peer_id other;
    char why[PEER_WHY];
};

static struct dialled dial(const struct peer_dial *what)
{
    struct dialled d = {.fd = -1};

    d.r = peer_connect(what, &d.other, &d.fd, &d.refused, d.why);
    assert_int_equal(d.r == 0, d.fd >= 0);
    assert_int_equal(d.r == 0, d.why[0] == '\0');
    return d;
}

static struct dialled dial_at(enum peer_kind kind, const char *address)
{
    const struct peer_id two = kit_id(2, "two");
    const struct peer_dial what = kit_dial(kind, address, &two);

    return dial(&what);
}

static bool is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t n = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &n), 0);
    return value;
}

static void assert_tuned(int fd)
{
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_true(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) < 10);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), PEER_DEAD_MS);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void each_kind_is_handed_over_with_who_dialled(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    unsigned n = 0;
    char bytes[4];

    (void)state;
    for (unsigned kind = PEER_RAFT; kind <= PEER_FILE; kind++) {
        struct dialled d =
            dial_at((enum peer_kind)kind, peer_address(kit->peer));
        assert_int_equal(d.r, 0);
        int fd = kit_accepted(kit, ++n);
        assert_int_equal(kit_seen(kit).kind, kind);
        assert_int_equal(kit_seen(kit).expected, 1);
        assert_string_equal(kit_seen(kit).from.name, "two");
        assert_string_equal(d.other.name, "one");
        assert_int_equal(is_blocking(d.fd), kind == PEER_FILE);
        assert_false(is_blocking(fd));
        assert_tuned(d.fd);
        assert_tuned(fd);
        assert_int_equal(peer_block(fd), 0);
        assert_true(is_blocking(fd));
        kit_send(d.fd, "next", 4);
        assert_true(kit_recv(fd, bytes, 4));
        assert_memory_equal(bytes, "next", 4);
        (void)close(fd);
        (void)close(d.fd);
    }
    kit_stop(kit);
}

static void a_refusal_is_told_with_its_sentence(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");

    (void)state;
    for (unsigned v = PEER_WRONG_CLUSTER; v <= PEER_STRANGER; v++) {
        kit_judge(kit, (enum peer_verdict)v, "because of the weather");
        struct dialled d = dial_at(PEER_LINK, peer_address(kit->peer));
        assert_int_equal(d.r, v);
        assert_string_equal(d.why, "because of the weather");
        assert_string_equal(d.other.name, "one");
        assert_false(d.refused);
        kit_judge(kit, (enum peer_verdict)v, "");
        d = dial_at(PEER_RAFT, peer_address(kit->peer));
        assert_int_equal(d.r, v);
    }
    assert_int_equal(kit_seen(kit).n_accepted, 0);
    kit_stop(kit);
}

static void a_node_of_another_cluster_is_not_taken(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct peer_id two = kit_id(2, "two");
    struct peer_dial what = kit_dial(PEER_LINK, peer_address(kit->peer), &two);

    (void)state;
    what.expects = 0;
    two.cluster[15] ^= 1;
    struct dialled d = dial(&what);
    assert_int_equal(d.r, PEER_WRONG_CLUSTER);
    assert_int_equal(d.other.raft_id, 1);
    kit_stop(kit);
}

static void another_node_than_the_expected_one_is_not_taken(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct peer_id two = kit_id(2, "two");
    struct peer_dial what = kit_dial(PEER_LINK, peer_address(kit->peer), &two);

    (void)state;
    what.expects = 3;
    assert_int_equal(dial(&what).r, PEER_WRONG_NODE);
    what.expects = 0;
    struct dialled d = dial(&what);
    assert_int_equal(d.r, 0);
    (void)close(d.fd);
    kit_stop(kit);
}

static void a_port_where_nobody_listens_is_told_from_silence(void **state)
{
    char address[PEER_ADDRESS];
    int bound = kit_listener(-1, address);

    (void)state;
    struct dialled d = dial_at(PEER_LINK, address);
    assert_int_equal(d.r, ERR_IO);
    assert_true(d.refused);
    assert_string_equal(d.why, "Connection refused");
    (void)close(bound);
}

static void assert_times_out(const char *address)
{
    const struct peer_id two = kit_id(2, "two");
    struct peer_dial what = kit_dial(PEER_LINK, address, &two);

    what.timeout_ms = 200;
    struct dialled d = dial(&what);
    assert_int_equal(d.r, ERR_IO);
    assert_false(d.refused);
    assert_string_equal(d.why, "it did not answer in time");
}

/* A listener whose queue is full lets the kernel swallow who comes. */
static void a_black_hole_costs_the_timeout_and_no_more(void **state)
{
    char address[PEER_ADDRESS];
    int hole = kit_listener(0, address);
    int first = kit_stranger(address);

    (void)state;
    assert_times_out(address);
    (void)close(first);
    (void)close(hole);
}

static void one_who_takes_and_says_nothing_costs_no_more_either(void **state)
{
    char address[PEER_ADDRESS];
    int silent = kit_listener(16, address);

    (void)state;
    assert_times_out(address);
    (void)close(silent);
}

/* ---- somebody else answers ---- */

struct impostor {
    int listener;
    uint8_t answer[SHAKE_ANSWER];
    size_t n;
};

static void *pretend(void *user)
{
    struct impostor *impostor = user;
    uint8_t hello[SHAKE_HELLO];

    int fd = accept(impostor->listener, NULL, NULL);
    if (fd >= 0 && kit_recv(fd, hello, sizeof hello)) {
        (void)send(fd, impostor->answer, impostor->n, MSG_NOSIGNAL);
    }
    (void)close(fd);
    return NULL;
}

static struct dialled dial_impostor(struct impostor *impostor)
{
    char address[PEER_ADDRESS];
    pthread_t thread;

    impostor->listener = kit_listener(16, address);
    assert_int_equal(pthread_create(&thread, NULL, pretend, impostor), 0);
    struct dialled d = dial_at(PEER_LINK, address);
    (void)pthread_join(thread, NULL);
    (void)close(impostor->listener);
    return d;
}

static struct impostor impostor(enum peer_verdict verdict, const char *why)
{
    struct shake_answer answer = {.verdict = verdict, .self = kit_id(1, "one")};
    struct impostor made = {.n = SHAKE_ANSWER};

    (void)snprintf(answer.why, sizeof answer.why, "%s", why);
    shake_answer_encode(&answer, made.answer);
    return made;
}

static void what_is_no_node_is_told_as_such(void **state)
{
    struct impostor one = impostor(PEER_OK, "");

    (void)state;
    memcpy(one.answer, "HTTP/1.1", 8);
    struct dialled d = dial_impostor(&one);
    assert_int_equal(d.r, ERR_IO);
    assert_string_equal(d.why, "what answers there is no roster node");
    one = impostor(PEER_OK, "");
    one.answer[SHAKE_VERDICT + 32] = '\n';
    assert_int_equal(dial_impostor(&one).r, ERR_IO);
    one = impostor(PEER_OK, "");
    one.n--;
    d = dial_impostor(&one);
    assert_int_equal(d.r, ERR_IO);
    assert_string_equal(d.why, "it closed the connection");
}

static void a_newer_protocol_s_sentence_is_understood(void **state)
{
    struct impostor one = impostor(PEER_VERSION, "update node two");

    (void)state;
    one.answer[8] = 2;
    one.n = SHAKE_VERDICT;
    struct dialled d = dial_impostor(&one);
    assert_int_equal(d.r, PEER_VERSION);
    assert_string_equal(d.why, "update node two");
    one = impostor(PEER_OK, "");
    one.answer[8] = 2;
    d = dial_impostor(&one);
    assert_int_equal(d.r, PEER_VERSION);
    assert_non_null(strstr(d.why, "it speaks protocol 2"));
}

/* ---- addresses ---- */

static void assert_reached(const char *listen, const char *host)
{
    struct kit *kit = kit_start(listen);
    char address[PEER_ADDRESS];

    (void)snprintf(address, sizeof address, "%s%s", host,
                   strrchr(peer_address(kit->peer), ':'));
    struct dialled d = dial_at(PEER_RAFT, address);
    assert_int_equal(d.r, 0);
    (void)close(d.fd);
    kit_stop(kit);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has =
        fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;

    (void)close(fd);
    return has;
}

static void names_and_both_families_are_reached(void **state)
{
    (void)state;
    assert_reached("127.0.0.1:0", "127.0.0.1");
    /* Where the name stands for ::1 too, nobody listens there. */
    assert_reached("127.0.0.1:0", "localhost");
    assert_reached(":0", "127.0.0.1");
    if (has_ipv6()) {
        assert_reached("[::1]:0", "[::1]");
    }
}

static void an_address_that_is_none_is_said(void **state)
{
    struct peer_config config = {.listen = "nowhere"};
    struct peer *peer = NULL;

    (void)state;
    struct dialled d = dial_at(PEER_LINK, "127.0.0.1");
    assert_int_equal(d.r, ERR_IO);
    assert_string_equal(d.why, "is no HOST:PORT");
    assert_int_equal(peer_start(&config, &peer), ERR_INVALID);
    struct kit *kit = kit_start("127.0.0.1:0");
    config.listen = peer_address(kit->peer);
    assert_int_equal(peer_start(&config, &peer), ERR_INVALID);
    kit_stop(kit);
}

/* ---- dialling in threads ---- */

struct dialling {
    struct peer_dialling peer;
    sem_t done;
};

static void note(struct peer_dialling *dialling)
{
    (void)sem_post(dialling->user);
}

static void prepare(struct dialling *one, const char *address)
{
    memset(one, 0, sizeof *one);
    (void)sem_init(&one->done, 0, 0);
    one->peer.kind = PEER_LINK;
    one->peer.self = kit_id(2, "two");
    one->peer.expects = 1;
    one->peer.timeout_ms = KIT_LONG_MS;
    one->peer.user = &one->done;
    one->peer.done = note;
    (void)snprintf(one->peer.address, PEER_ADDRESS, "%s", address);
}

static void many_dials_after_each_other_each_call_back(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct dialling one;

    (void)state;
    for (unsigned i = 0; i < 2 * PEER_DIALS_MOST; i++) {
        prepare(&one, peer_address(kit->peer));
        assert_int_equal(peer_dial(kit->peer, &one.peer), 0);
        (void)sem_wait(&one.done);
        assert_int_equal(one.peer.r, 0);
        assert_string_equal(one.peer.other.name, "one");
        (void)close(one.peer.fd);
        (void)sem_destroy(&one.done);
    }
    kit_stop(kit);
}

static void too_many_dials_are_busy_and_the_end_breaks_them_off(void **state)
{
    static struct dialling many[PEER_DIALS_MOST + 1];
    char address[PEER_ADDRESS];
    struct kit *kit = kit_start("127.0.0.1:0");
    int silent = kit_listener(PEER_DIALS_MOST, address);

    (void)state;
    for (unsigned i = 0; i <= PEER_DIALS_MOST; i++) {
        prepare(&many[i], address);
        assert_int_equal(peer_dial(kit->peer, &many[i].peer),
                         i < PEER_DIALS_MOST ? 0 : ERR_BUSY);
    }
    kit_stop(kit);
    for (unsigned i = 0; i < PEER_DIALS_MOST; i++) {
        assert_int_equal(sem_trywait(&many[i].done), 0);
        assert_int_equal(many[i].peer.r, ERR_IO);
        assert_string_equal(many[i].peer.why, "this node is stopping");
    }
    (void)close(silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_handed_over_with_who_dialled),
        cmocka_unit_test(a_refusal_is_told_with_its_sentence),
        cmocka_unit_test(a_node_of_another_cluster_is_not_taken),
        cmocka_unit_test(another_node_than_the_expected_one_is_not_taken),
        cmocka_unit_test(a_port_where_nobody_listens_is_told_from_silence),
        cmocka_unit_test(a_black_hole_costs_the_timeout_and_no_more),
        cmocka_unit_test(one_who_takes_and_says_nothing_costs_no_more_either),
        cmocka_unit_test(what_is_no_node_is_told_as_such),
        cmocka_unit_test(a_newer_protocol_s_sentence_is_understood),
        cmocka_unit_test(names_and_both_families_are_reached),
        cmocka_unit_test(an_address_that_is_none_is_said),
        cmocka_unit_test(many_dials_after_each_other_each_call_back),
        cmocka_unit_test(too_many_dials_are_busy_and_the_end_breaks_them_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
