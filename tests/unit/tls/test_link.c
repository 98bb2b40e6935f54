/* Two sides shake hands, or one says why not. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

static int begin(void **state)
{
    *state = kit_begin();
    kit_sign(*state, "n1", "n1");
    kit_sign(*state, "n2", "n2");
    kit_sign(*state, "ann", NULL);
    return 0;
}

static int end(void **state)
{
    kit_end(*state);
    return 0;
}

static void assert_words(const char *why, const char *words)
{
    if (strstr(why, words) == NULL) {
        fail_msg("'%s' says nothing of '%s'", why, words);
    }
}

static void each_knows_whom_it_speaks_to(void **state)
{
    struct tls *one = kit_tls(*state, "n1", *state);
    struct tls *two = kit_tls(*state, "n2", *state);
    struct tls_peer peer;
    char text[8] = "";
    char why[TLS_WHY];

    struct kit_ends ends = kit_shake(one, two);
    assert_int_equal(ends.r[0], 0);
    assert_int_equal(ends.r[1], 0);
    assert_int_equal(tls_link_peer(ends.links[0], &peer, why), 0);
    assert_string_equal(peer.node, "n2");
    assert_string_equal(peer.name, "n2");
    assert_true(peer.verified);
    assert_int_equal(tls_link_peer(ends.links[1], &peer, why), 0);
    assert_string_equal(peer.node, "n1");
    assert_int_equal(tls_link_send(ends.links[0], "hello", 5), 5);
    assert_int_equal(kit_recv(ends.links[1], text, 2), 2);
    assert_true(tls_link_pending(ends.links[1]));
    assert_int_equal(kit_recv(ends.links[1], text + 2, 6), 3);
    assert_string_equal(text, "hello");
    tls_link_shutdown(ends.links[0]);
    assert_int_equal(kit_recv(ends.links[1], text, 1), 0);
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(two);
}

static void a_client_is_no_node(void **state)
{
    struct tls *one = kit_tls(*state, "n1", *state);
    struct tls *ann = kit_tls(*state, "ann", *state);
    struct tls_peer peer;
    char why[TLS_WHY];

    struct kit_ends ends = kit_shake(ann, one);
    assert_int_equal(tls_link_peer(ends.links[1], &peer, why), 0);
    assert_string_equal(peer.node, "");
    assert_string_equal(peer.name, "ann");
    kit_close(&ends);
    /* Nor may it pose as a server. */
    ends = kit_shake(one, ann);
    assert_int_equal(tls_link_peer(ends.links[0], &peer, why), ERR_FORBIDDEN);
    assert_words(why, "not made for this use");
    assert_false(peer.verified);
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(ann);
}

/* The handshake is made all the same: the listening side can say why. */
static void a_foreign_certificate_is_told_so_in_words(void **state)
{
    char *foreign = kit_begin();
    kit_sign(foreign, "n1", "n1");
    struct tls *one = kit_tls(foreign, "n1", *state);
    struct tls *two = kit_tls(*state, "n2", *state);
    struct tls_peer peer;
    char text[8] = "";
    char why[TLS_WHY];

    struct kit_ends ends = kit_shake(one, two);
    assert_int_equal(ends.r[0], 0);
    assert_int_equal(ends.r[1], 0);
    assert_int_equal(tls_link_peer(ends.links[0], &peer, why), 0);
    assert_int_equal(tls_link_peer(ends.links[1], &peer, why), ERR_FORBIDDEN);
    assert_words(why, "not from the CA");
    assert_false(peer.verified);
    assert_string_equal(peer.node, "");
    assert_int_equal(tls_link_send(ends.links[1], "no", 2), 2);
    assert_int_equal(kit_recv(ends.links[0], text, 8), 2);
    assert_string_equal(text, "no");
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(two);
    kit_end(foreign);
}

static void the_dialling_side_refuses_by_an_alert(void **state)
{
    char *foreign = kit_begin();
    kit_sign(foreign, "n2", "n2");
    struct tls *one = kit_tls(*state, "n1", *state);
    struct tls *two = kit_tls(foreign, "n2", *state);
    struct tls_peer peer;
    char byte = 0;
    char why[TLS_WHY];

    struct kit_ends ends = kit_shake(one, two);
    assert_int_equal(ends.r[0], 0);
    assert_int_equal(tls_link_peer(ends.links[0], &peer, why), ERR_FORBIDDEN);
    assert_words(why, "not from the CA");
    assert_null(tls_link_alert(ends.links[1]));
    assert_int_equal(kit_recv(ends.links[1], &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_non_null(tls_link_alert(ends.links[1]));
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(two);
    kit_end(foreign);
}

/* It was good when the other side read it. */
static void a_certificate_that_expires_meanwhile_is_refused(void **state)
{
    kit_sign_dated(*state, "brief", -3600, 4);
    struct tls *one = kit_tls(*state, "brief", *state);
    struct tls *two = kit_tls(*state, "n2", *state);
    struct tls_peer peer;
    char why[TLS_WHY];

    (void)sleep(5);
    struct kit_ends ends = kit_shake(one, two);
    assert_int_equal(tls_link_peer(ends.links[1], &peer, why), ERR_FORBIDDEN);
    assert_words(why, "has expired");
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(two);
}

/* ---- what is no TLS ---- */

static int say_to(struct tls *tls, bool listening, const void *bytes, size_t n,
                  char why[TLS_WHY])
{
    int pair[2];
    int r = ERR_BUSY;

    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                pair),
                     0);
    struct tls_link *link = tls_link_begin(tls, pair[0], listening);
    if (!listening) {
        assert_int_equal(tls_link_shake(link, why), ERR_BUSY);
    }
    assert_int_equal(send(pair[1], bytes, n, MSG_NOSIGNAL), n);
    assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
    while (r == ERR_BUSY) {
        r = tls_link_shake(link, why);
    }
    (void)tls_link_close(link);
    (void)close(pair[1]);
    return r;
}

static void what_is_no_tls_is_refused(void **state)
{
    static const char plain[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    struct tls *tls = kit_tls(*state, "n1", *state);
    unsigned char garbage[600];
    char why[TLS_WHY];

    assert_int_equal(say_to(tls, true, plain, sizeof plain - 1, why),
                     ERR_INVALID);
    assert_words(why, "no TLS");
    assert_int_equal(say_to(tls, false, plain, sizeof plain - 1, why),
                     ERR_INVALID);
    assert_int_equal(say_to(tls, true, "", 0, why), ERR_IO);
    assert_words(why, "closed the connection");
    for (unsigned seed = 0; seed < 200; seed++) {
        for (size_t i = 0; i < sizeof garbage; i++) {
            garbage[i] =
                (unsigned char)(((size_t)seed * 2654435761U + i * 40503U) >> 7);
        }
        if (seed % 2 == 1) { /* As if a record of a handshake came. */
            garbage[0] = 0x16;
            garbage[1] = 0x03;
            garbage[2] = 0x01;
            garbage[3] = 0;
        }
        int r = say_to(tls, seed % 4 < 2, garbage, 1 + seed * 3 % 599, why);
        assert_int_not_equal(r, 0);
    }
    (void)tls_free(tls);
}

/* ---- reading again ---- */

static void rename_pair(const char *dir, const char *from, const char *to)
{
    char a[64];
    char b[64];

    for (int i = 0; i < 2; i++) {
        (void)snprintf(a, sizeof a, "%s%s.pem", from, i == 0 ? "" : "-key");
        (void)snprintf(b, sizeof b, "%s%s.pem", to, i == 0 ? "" : "-key");
        assert_int_equal(rename(kit_path(dir, a), kit_path(dir, b)), 0);
    }
}

/* It may have been there before our own first word. */
static void what_answers_at_once_can_be_looked_at(void **state)
{
    struct tls *one = kit_tls(*state, "n1", *state);
    char why[TLS_WHY];
    char text[8] = "";
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(send(pair[1], "plain", 5, 0), 5);
    struct tls_link *link = tls_link_begin(one, pair[0], false);
    assert_int_equal(tls_link_shake(link, why), ERR_BUSY);
    assert_int_equal(tls_link_events(link), POLLIN);
    assert_int_equal(recv(pair[0], text, sizeof text, MSG_PEEK), 5);
    assert_string_equal(text, "plain");
    assert_int_equal(tls_link_shake(link, why), ERR_INVALID);
    (void)tls_link_close(link);
    (void)close(pair[1]);
    (void)tls_free(one);
}

static void what_was_read_again_is_for_new_links(void **state)
{
    char *other = kit_begin();
    kit_sign(other, "n1", "n1");
    struct tls *one = kit_tls(*state, "n1", *state);
    struct tls *two = kit_tls(*state, "n2", *state);
    struct tls_peer peer;
    char byte = 0;
    char why[TLS_WHY];

    struct kit_ends before = kit_shake(one, two);
    assert_int_equal(before.r[1], 0);
    /* n1 gets another name, the CA's file another CA. */
    kit_sign(*state, "next", "next");
    rename_pair(*state, "next", "n1");
    assert_int_equal(tls_reload(one, why), 0);
    struct kit_ends after = kit_shake(one, two);
    assert_int_equal(tls_link_peer(after.links[1], &peer, why), 0);
    assert_string_equal(peer.node, "next");
    assert_int_equal(
        rename(kit_path(other, "ca.pem"), kit_path(*state, "ca.pem")), 0);
    assert_int_equal(tls_reload(two, why), 0);
    struct kit_ends last = kit_shake(one, two);
    assert_int_equal(tls_link_peer(last.links[1], &peer, why), ERR_FORBIDDEN);
    /* The one from before has its own, and goes on. */
    assert_int_equal(tls_link_peer(before.links[1], &peer, why), 0);
    assert_string_equal(peer.node, "n1");
    assert_int_equal(tls_link_send(before.links[0], "x", 1), 1);
    assert_int_equal(kit_recv(before.links[1], &byte, 1), 1);
    kit_close(&before);
    kit_close(&after);
    kit_close(&last);
    (void)tls_free(one);
    (void)tls_free(two);
    kit_end(other);
}

static void a_bad_file_changes_nothing(void **state)
{
    struct tls *one = kit_tls(*state, "n1", *state);
    struct tls *two = kit_tls(*state, "n2", *state);
    struct tls_peer peer;
    char why[TLS_WHY];
    uint64_t expires_s = tls_expires_s(one);

    kit_write(kit_path(*state, "n1.pem"), "half a certif");
    assert_int_equal(tls_reload(one, why), ERR_INVALID);
    assert_words(why, "n1.pem");
    assert_int_equal(unlink(kit_path(*state, "n1-key.pem")), 0);
    assert_int_equal(tls_reload(one, why), ERR_INVALID);
    assert_int_equal(tls_expires_s(one), expires_s);
    struct kit_ends ends = kit_shake(one, two);
    assert_int_equal(tls_link_peer(ends.links[1], &peer, why), 0);
    assert_string_equal(peer.node, "n1");
    kit_close(&ends);
    (void)tls_free(one);
    (void)tls_free(two);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_knows_whom_it_speaks_to),
        TEST(a_client_is_no_node),
        TEST(a_foreign_certificate_is_told_so_in_words),
        TEST(the_dialling_side_refuses_by_an_alert),
        TEST(a_certificate_that_expires_meanwhile_is_refused),
        TEST(what_is_no_tls_is_refused),
        TEST(what_answers_at_once_can_be_looked_at),
        TEST(what_was_read_again_is_for_new_links),
        TEST(a_bad_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
