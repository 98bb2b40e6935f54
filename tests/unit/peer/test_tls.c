/* The same in TLS: who is let in, and what strangers are told. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"
#include "tls/tls.h"

enum { NAMES = 4, AT_ONCE = 24 };

/* Certificates of two CAs: ours, and a stranger's. */
struct bed {
    char dir[2][64];
    struct tls *one, *two;
};

static const char *const names[NAMES] = {"one", "two", "three", "ann"};

static void sign_all(const char *dir)
{
    char why[TLS_WHY] = "";

    assert_int_equal(tls_make_ca(dir, 10, why), 0);
    for (size_t i = 0; i < NAMES; i++) {
        const struct tls_make make = {
            .dir = dir,
            .name = names[i],
            .node = strcmp(names[i], "ann") == 0 ? NULL : names[i],
            .days = 1};
        assert_int_equal(tls_make_cert(&make, why), 0);
    }
}

/* The certificate of `name` by CA `own`, trusting CA `trusted`. */
static struct tls *certificate(const struct bed *bed, const char *name, int own,
                               int trusted)
{
    char cert[128];
    char key[128];
    char ca[128];
    char why[TLS_WHY] = "";
    struct tls *tls = NULL;

    (void)snprintf(cert, sizeof cert, "%s/%s.pem", bed->dir[own], name);
    (void)snprintf(key, sizeof key, "%s/%s-key.pem", bed->dir[own], name);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", bed->dir[trusted]);
    const struct tls_config config = {.cert = cert, .key = key, .ca = ca};
    assert_int_equal(tls_new(&config, &tls, why), 0);
    return tls;
}

static int begin(void **state)
{
    struct bed *bed = mem_zero(sizeof *bed);

    for (int i = 0; i < 2; i++) {
        (void)snprintf(bed->dir[i], sizeof bed->dir[i], "/tmp/roster-XXXXXX");
        assert_non_null(mkdtemp(bed->dir[i]));
        sign_all(bed->dir[i]);
    }
    bed->one = certificate(bed, "one", 0, 0);
    bed->two = certificate(bed, "two", 0, 0);
    *state = bed;
    return 0;
}

static int end(void **state)
{
    struct bed *bed = *state;
    char command[192];

    bed->one = tls_free(bed->one);
    bed->two = tls_free(bed->two);
    (void)snprintf(command, sizeof command, "rm -rf '%s' '%s'", bed->dir[0],
                   bed->dir[1]);
    assert_int_equal(system(command), 0);
    mem_free(bed);
    return 0;
}

struct dialled {
    int r, fd;
    char why[PEER_WHY];
};

/* Node 2, that is, with whatever certificate. */
static struct dialled dial(const struct kit *kit, enum peer_kind kind,
                           struct tls *tls)
{
    const struct peer_id two = kit_id(2, "two");
    struct peer_dial what = kit_dial(kind, peer_address(kit->peer), &two);
    struct dialled d = {.fd = -1};
    struct peer_id other;
    bool refused = false;

    what.tls = tls;
    d.r = peer_connect(&what, &other, &d.fd, &refused, d.why);
    assert_int_equal(d.r == 0, d.fd >= 0);
    assert_false(refused);
    return d;
}

static void assert_stranger(const struct kit *kit, struct tls *tls,
                            const char *words)
{
    struct dialled d = dial(kit, PEER_LINK, tls);

    if (d.r != PEER_STRANGER || strstr(d.why, words) == NULL) {
        fail_msg("%d, '%s' says nothing of '%s'", d.r, d.why, words);
    }
}

/* ---- who is let in ---- */

static void each_kind_is_carried_both_ways(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    unsigned n = 0;
    char bytes[4];

    for (unsigned kind = PEER_RAFT; kind <= PEER_FILE; kind++) {
        struct dialled d = dial(kit, (enum peer_kind)kind, bed->two);
        assert_int_equal(d.r, 0);
        int fd = kit_accepted(kit, ++n);
        assert_int_equal(peer_block(fd), 0);
        assert_int_equal(peer_block(d.fd), 0);
        kit_send(d.fd, "next", 4);
        assert_true(kit_recv(fd, bytes, 4));
        assert_memory_equal(bytes, "next", 4);
        kit_send(fd, "back", 4);
        assert_true(kit_recv(d.fd, bytes, 4));
        assert_memory_equal(bytes, "back", 4);
        (void)close(d.fd);
        assert_int_equal(recv(fd, bytes, 1, 0), 0);
        (void)close(fd);
    }
    kit_stop(kit);
}

static void a_call_is_answered_whatever_its_size(void **state)
{
    static char request[PEER_CALL_MOST];
    static const size_t sizes[] = {0, 1, 5000, PEER_CALL_MOST};
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    const struct peer_id two = {.name = "two"};
    struct peer_dial what = kit_dial(PEER_CALL, peer_address(kit->peer), &two);

    what.tls = bed->two;
    what.expects = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf reply = {0};
        struct peer_id other;
        char why[PEER_WHY];
        (void)memset(request, 'a' + (int)i, sizeof request);
        int r = peer_call(&what, (struct str){request, sizes[i]}, &other,
                          &reply, why);
        assert_int_equal(r, 0);
        assert_true(
            str_equal(buf_str(&reply), (struct str){request, sizes[i]}));
        buf_done(&reply);
    }
    kit_stop(kit);
}

struct runner {
    pthread_t thread;
    const struct kit *kit;
    struct tls *tls;
    int r;
};

static void *run(void *user)
{
    struct runner *runner = user;
    struct dialled d = dial(runner->kit, PEER_RAFT, runner->tls);

    runner->r = d.r;
    if (d.r == 0) {
        (void)close(d.fd);
    }
    return NULL;
}

static void many_may_come_at_once(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    struct runner runners[AT_ONCE];

    for (size_t i = 0; i < AT_ONCE; i++) {
        runners[i] = (struct runner){.kit = kit, .tls = bed->two};
        assert_int_equal(
            pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        (void)pthread_join(runners[i].thread, NULL);
        assert_int_equal(runners[i].r, 0);
    }
    (void)close(kit_accepted(kit, AT_ONCE));
    kit_stop(kit);
}

/* ---- who is not ---- */

static void a_foreign_certificate_is_refused_in_words(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    struct tls *foreign = certificate(bed, "two", 1, 0);

    assert_stranger(kit, foreign,
                    "the dialling node is not trusted: the certificate is not "
                    "from the CA");
    assert_int_equal(kit_seen(kit).n_judged, 0);
    (void)tls_free(foreign);
    kit_stop(kit);
}

static void a_client_is_no_node(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    struct tls *ann = certificate(bed, "ann", 0, 0);

    assert_stranger(kit, ann, "names no node");
    assert_int_equal(kit_seen(kit).n_judged, 0);
    (void)tls_free(ann);
    kit_stop(kit);
}

static void a_node_cannot_be_another_one(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    struct tls *three = certificate(bed, "three", 0, 0);

    assert_stranger(kit, three, "that of three, and it says that it is two");
    assert_int_equal(kit_seen(kit).n_judged, 0);
    (void)tls_free(three);
    kit_stop(kit);
}

static void the_dialling_side_looks_too(void **state)
{
    struct bed *bed = *state;
    struct tls *three = certificate(bed, "three", 0, 0);
    struct tls *foreign = certificate(bed, "one", 1, 0);
    struct tls *ann = certificate(bed, "ann", 0, 0);

    struct kit *kit = kit_start_tls("127.0.0.1:0", foreign);
    assert_stranger(kit, bed->two, "not from the CA");
    kit_stop(kit);
    kit = kit_start_tls("127.0.0.1:0", ann);
    assert_stranger(kit, bed->two, "not made for this use");
    kit_stop(kit);
    /* Nobody but a node of that name may say that one was removed. */
    kit = kit_start_tls("127.0.0.1:0", three);
    kit_judge(kit, PEER_REMOVED, "go away");
    assert_stranger(kit, bed->two, "that of three, and it says that it is one");
    kit_stop(kit);
    (void)tls_free(three);
    (void)tls_free(foreign);
    (void)tls_free(ann);
}

static void who_does_not_speak_it_is_told_so(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);

    assert_stranger(kit, NULL,
                    "speaks TLS and this connection does not: all nodes need "
                    "--tls-cert");
    assert_int_equal(kit_seen(kit).n_judged, 0);
    kit_stop(kit);
}

static void who_speaks_it_alone_is_told_so(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start("127.0.0.1:0");

    assert_stranger(kit, bed->two, "does not speak TLS");
    assert_int_equal(kit_seen(kit).n_judged, 0);
    kit_stop(kit);
}

/* A node behind a bad road: each byte of its side comes alone. */
struct road_of_bytes {
    int listener;
    const char *to;
};

static void *carry_slowly(void *user)
{
    const struct road_of_bytes *road = user;
    int in = accept(road->listener, NULL, NULL);
    int out = kit_stranger(road->to);
    struct pollfd polls[2] = {{.fd = in, .events = POLLIN},
                              {.fd = out, .events = POLLIN}};
    const int one = 1;
    char bytes[4096];
    ssize_t n = 1;

    (void)setsockopt(in, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (n > 0 && poll(polls, 2, -1) > 0) {
        if (polls[1].revents != 0) {
            n = recv(out, bytes, 1, 0);
            (void)!send(in, bytes, n > 0 ? (size_t)n : 0, MSG_NOSIGNAL);
            (void)usleep(200);
        } else {
            n = recv(in, bytes, sizeof bytes, 0);
            (void)!send(out, bytes, n > 0 ? (size_t)n : 0, MSG_NOSIGNAL);
        }
    }
    (void)close(in);
    (void)close(out);
    return NULL;
}

static void what_comes_in_pieces_is_put_together(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    const struct peer_id two = kit_id(2, "two");
    char address[PEER_ADDRESS];
    struct road_of_bytes road = {.to = peer_address(kit->peer)};
    pthread_t thread;

    road.listener = kit_listener(1, address);
    for (unsigned i = 0; i < 4; i++) {
        struct peer_dial what = kit_dial(PEER_LINK, address, &two);
        struct peer_id other;
        bool refused = false;
        int fd = -1;
        char why[PEER_WHY] = "";
        what.tls = bed->two;
        assert_int_equal(pthread_create(&thread, NULL, carry_slowly, &road), 0);
        int r = peer_connect(&what, &other, &fd, &refused, why);
        if (r != 0) {
            fail_msg("%d, '%s'", r, why);
        }
        (void)close(fd);
        (void)close(kit_accepted(kit, i + 1));
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    (void)close(road.listener);
    kit_stop(kit);
}

static void garbage_ends_without_harm(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    uint8_t bytes[700];

    for (unsigned seed = 0; seed < 60; seed++) {
        int fd = kit_stranger(peer_address(kit->peer));
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] =
                (uint8_t)(((size_t)seed * 2654435761U + i * 40503U) >> 9);
        }
        bytes[0] = seed % 3 == 0 ? 0x16 : seed % 3 == 1 ? 'R' : bytes[0];
        bytes[1] = seed % 3 == 0 ? 0x03 : bytes[1];
        (void)send(fd, bytes, 1 + seed * 11, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, bytes, sizeof bytes, 0) > 0) {
        }
        (void)close(fd);
    }
    struct dialled d = dial(kit, PEER_LINK, bed->two);
    assert_int_equal(d.r, 0);
    (void)close(d.fd);
    (void)close(kit_accepted(kit, 1));
    kit_stop(kit);
}

/* Half of them have begun to shake hands, half have said nothing. */
static void a_flood_of_half_open_ones_keeps_no_node_out(void **state)
{
    enum { FLOOD = PEER_HALF_MOST + 40 };
    static const uint8_t begun[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    int fds[FLOOD];

    for (size_t i = 0; i < FLOOD; i++) {
        fds[i] = kit_stranger(peer_address(kit->peer));
        if (i % 2 == 0) {
            (void)send(fds[i], begun, sizeof begun, MSG_NOSIGNAL);
        }
    }
    struct dialled d = dial(kit, PEER_LINK, bed->two);
    assert_int_equal(d.r, 0);
    (void)close(d.fd);
    for (size_t i = 0; i < FLOOD; i++) {
        (void)close(fds[i]);
    }
    (void)close(kit_accepted(kit, 1));
    kit_stop(kit);
}

static void what_is_read_again_is_for_the_next_connection(void **state)
{
    struct bed *bed = *state;
    struct kit *kit = kit_start_tls("127.0.0.1:0", bed->one);
    char bytes[4];
    char why[TLS_WHY];

    struct dialled before = dial(kit, PEER_FILE, bed->two);
    assert_int_equal(before.r, 0);
    int fd = kit_accepted(kit, 1);
    assert_int_equal(tls_reload(bed->one, why), 0);
    assert_int_equal(tls_reload(bed->two, why), 0);
    struct dialled after = dial(kit, PEER_LINK, bed->two);
    assert_int_equal(after.r, 0);
    kit_send(before.fd, "next", 4);
    assert_int_equal(peer_block(fd), 0);
    assert_true(kit_recv(fd, bytes, 4));
    (void)close(fd);
    (void)close(before.fd);
    (void)close(after.fd);
    (void)close(kit_accepted(kit, 2));
    kit_stop(kit);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_is_carried_both_ways),
        TEST(a_call_is_answered_whatever_its_size),
        TEST(many_may_come_at_once),
        TEST(a_foreign_certificate_is_refused_in_words),
        TEST(a_client_is_no_node),
        TEST(a_node_cannot_be_another_one),
        TEST(the_dialling_side_looks_too),
        TEST(who_does_not_speak_it_is_told_so),
        TEST(who_speaks_it_alone_is_told_so),
        TEST(what_comes_in_pieces_is_put_together),
        TEST(garbage_ends_without_harm),
        TEST(a_flood_of_half_open_ones_keeps_no_node_out),
        TEST(what_is_read_again_is_for_the_next_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
