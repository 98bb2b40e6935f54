/* One request, one reply; the reply may be late, or too late. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

/* A call by somebody, on a thread of its own. */
struct call {
    pthread_t thread;
    const char *address;
    struct str request;
    int r;
    struct peer_id other;
    struct buf reply;
    char why[PEER_WHY];
};

static void *ask(void *user)
{
    struct call *call = user;
    const struct peer_id nobody = {.name = "new"};
    struct peer_dial dial = kit_dial(PEER_CALL, call->address, &nobody);

    dial.expects = 0;
    call->r =
        peer_call(&dial, call->request, &call->other, &call->reply, call->why);
    return NULL;
}

static void call_start(struct call *call, const struct kit *kit,
                       struct str request)
{
    memset(call, 0, sizeof *call);
    call->address = peer_address(kit->peer);
    call->request = request;
    assert_int_equal(pthread_create(&call->thread, NULL, ask, call), 0);
}

static int call_end(struct call *call)
{
    (void)pthread_join(call->thread, NULL);
    return call->r;
}

static void assert_echoed(struct kit *kit, struct str request)
{
    struct call call;

    call_start(&call, kit, request);
    assert_int_equal(call_end(&call), 0);
    assert_true(str_equal(buf_str(&call.reply), request));
    assert_string_equal(call.other.name, "one");
    assert_string_equal(kit_seen(kit).from.name, "new");
    buf_done(&call.reply);
}

static void a_call_is_answered_at_once_whatever_its_size(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    char *most = mem_zero(PEER_CALL_MOST);

    (void)state;
    memset(most, 'x', PEER_CALL_MOST);
    assert_echoed(kit, STR("who leads?"));
    assert_echoed(kit, STR(""));
    assert_echoed(kit, (struct str){most, PEER_CALL_MOST});
    mem_free(most);
    assert_int_equal(kit_seen(kit).n_accepted, 0);
    kit_stop(kit);
}

static void a_reply_is_added_to_what_the_buffer_holds(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    const struct peer_id two = kit_id(2, "two");
    const struct peer_dial dial =
        kit_dial(PEER_CALL, peer_address(kit->peer), &two);
    struct peer_id other;
    struct buf reply = {0};
    char why[PEER_WHY];

    (void)state;
    buf_add_text(&reply, "before ");
    assert_int_equal(peer_call(&dial, STR("and"), &other, &reply, why), 0);
    assert_string_equal(buf_text(&reply), "before and");
    buf_done(&reply);
    kit_stop(kit);
}

static void late_replies_find_who_asked(void **state)
{
    enum { CALLS = 8 };
    struct kit *kit = kit_start("127.0.0.1:0");
    struct call calls[CALLS];
    static const char names[] = "abcdefgh";

    (void)state;
    kit_hold(kit, true);
    for (unsigned i = 0; i < CALLS; i++) {
        call_start(&calls[i], kit, (struct str){names + i, 1});
        kit_wait_held(kit, i + 1);
    }
    for (unsigned i = CALLS; i-- > 0;) {
        peer_reply(kit->held[i], (struct str){names + i, 1});
    }
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(call_end(&calls[i]), 0);
        assert_int_equal(calls[i].reply.n, 1);
        assert_int_equal(calls[i].reply.p[0], names[i]);
        buf_done(&calls[i].reply);
    }
    kit_stop(kit);
}

static void a_refused_call_is_told_why(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct call call;

    (void)state;
    kit_judge(kit, PEER_BUSY, "still forming");
    call_start(&call, kit, STR("join"));
    assert_int_equal(call_end(&call), PEER_BUSY);
    assert_string_equal(call.why, "still forming");
    assert_int_equal(call.reply.n, 0);
    buf_done(&call.reply);
    kit_stop(kit);
}

static void a_call_may_expect_a_node(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct peer_id two = kit_id(2, "two");
    struct peer_dial dial = kit_dial(PEER_CALL, peer_address(kit->peer), &two);
    struct peer_id other;
    struct buf reply = {0};
    char why[PEER_WHY];

    (void)state;
    dial.expects = 3;
    assert_int_equal(peer_call(&dial, STR("?"), &other, &reply, why),
                     PEER_WRONG_NODE);
    dial.expects = 1;
    two.cluster[0] ^= 1;
    assert_int_equal(peer_call(&dial, STR("?"), &other, &reply, why),
                     PEER_WRONG_CLUSTER);
    buf_done(&reply);
    kit_stop(kit);
}

/* ---- in bytes ---- */

/* Shaken hands, the request is still to come. */
static int caller(const struct kit *kit)
{
    uint8_t bytes[SHAKE_ANSWER];
    struct shake_answer answer;

    kit_hello(PEER_CALL, bytes);
    int fd = kit_stranger(peer_address(kit->peer));
    kit_send(fd, bytes, SHAKE_HELLO);
    assert_true(kit_recv(fd, bytes, SHAKE_ANSWER));
    assert_int_equal(shake_answer_decode(bytes, &answer), 0);
    assert_int_equal(answer.verdict, PEER_OK);
    return fd;
}

static void send_request(int fd, struct str request)
{
    uint8_t size[SHAKE_SIZE];

    le_put(size, request.n, SHAKE_SIZE);
    kit_send(fd, size, SHAKE_SIZE);
    kit_send(fd, request.p, request.n);
}

static void a_reply_to_one_who_has_gone_is_dropped(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    int gone = caller(kit);

    (void)state;
    kit_hold(kit, true);
    send_request(gone, STR("?"));
    kit_wait_held(kit, 1);
    (void)close(gone);
    peer_reply(kit->held[0], STR("nobody"));
    kit_hold(kit, false);
    assert_echoed(kit, STR("still here"));
    kit_stop(kit);
}

static void a_reply_after_the_end_is_safe(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    int fd = caller(kit);
    char byte = 0;

    (void)state;
    kit_hold(kit, true);
    send_request(fd, STR("?"));
    kit_wait_held(kit, 1);
    struct peer_called *called = kit->held[0];
    kit_stop(kit);
    assert_false(kit_recv(fd, &byte, 1));
    peer_reply(called, STR("too late"));
    (void)close(fd);
}

static void *reply_all(void *user)
{
    struct peer_called *const *held = user;

    for (unsigned i = 0; i < PEER_WAITING_MOST; i++) {
        peer_reply(held[i], STR("meanwhile"));
    }
    return NULL;
}

static void replies_may_meet_the_end(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    struct peer_called *held[PEER_WAITING_MOST];
    int fds[PEER_WAITING_MOST];
    pthread_t thread;

    (void)state;
    kit_hold(kit, true);
    for (unsigned i = 0; i < PEER_WAITING_MOST; i++) {
        fds[i] = caller(kit);
        send_request(fds[i], STR("?"));
    }
    kit_wait_held(kit, PEER_WAITING_MOST);
    memcpy(held, kit->held, sizeof held);
    assert_int_equal(pthread_create(&thread, NULL, reply_all, held), 0);
    kit_stop(kit);
    (void)pthread_join(thread, NULL);
    for (unsigned i = 0; i < PEER_WAITING_MOST; i++) {
        (void)close(fds[i]);
    }
}

static void a_call_too_many_is_refused_until_one_is_answered(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    int fds[PEER_WAITING_MOST];
    struct call call;

    (void)state;
    kit_hold(kit, true);
    for (unsigned i = 0; i < PEER_WAITING_MOST; i++) {
        fds[i] = caller(kit);
        send_request(fds[i], STR("?"));
    }
    kit_wait_held(kit, PEER_WAITING_MOST);
    call_start(&call, kit, STR("?"));
    assert_int_equal(call_end(&call), PEER_BUSY);
    buf_done(&call.reply);
    kit_hold(kit, false);
    (void)reply_all(kit->held);
    for (unsigned i = 0; i < PEER_WAITING_MOST; i++) {
        uint8_t bytes[SHAKE_SIZE + 9];
        assert_true(kit_recv(fds[i], bytes, sizeof bytes));
        assert_memory_equal(bytes, "\x9\0\0\0meanwhile", sizeof bytes);
        (void)close(fds[i]);
    }
    assert_echoed(kit, STR("again"));
    kit_stop(kit);
}

static void a_request_that_announces_too_much_ends(void **state)
{
    struct kit *kit = kit_start("127.0.0.1:0");
    int fd = caller(kit);
    uint8_t size[SHAKE_SIZE];

    (void)state;
    le_put(size, PEER_CALL_MOST + 1, SHAKE_SIZE);
    kit_send(fd, size, sizeof size);
    assert_false(kit_recv(fd, size, 1));
    (void)close(fd);
    kit_stop(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_at_once_whatever_its_size),
        cmocka_unit_test(a_reply_is_added_to_what_the_buffer_holds),
        cmocka_unit_test(late_replies_find_who_asked),
        cmocka_unit_test(a_refused_call_is_told_why),
        cmocka_unit_test(a_call_may_expect_a_node),
        cmocka_unit_test(a_reply_to_one_who_has_gone_is_dropped),
        cmocka_unit_test(a_reply_after_the_end_is_safe),
        cmocka_unit_test(replies_may_meet_the_end),
        cmocka_unit_test(a_call_too_many_is_refused_until_one_is_answered),
        cmocka_unit_test(a_request_that_announces_too_much_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
