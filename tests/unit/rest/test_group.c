/* Who asks the same is in one group. What groups do needs a server:
 * tests/system/test_poll.py. */
#include "kit.h"
#include "rest/state.h"

static struct rest_loop *new_loop(void)
{
    struct rest_loop *loop = mem_zero(sizeof *loop);

    rest_park_init(&loop->park);
    return loop;
}

static struct rest_request ask(struct arena *arena, const char *target)
{
    return (struct rest_request){
        .arena = arena, .target = str_of(target), .op.who = access_anyone()};
}

static void what_an_answer_depends_on_tells_groups_apart(void **state)
{
    struct rest_loop *loop = new_loop();
    struct rest_request requests[8];
    struct rest_group *groups[8];

    for (size_t i = 0; i < 8; i++) {
        requests[i] = ask(*state, "/v1/ns/a.roster/t?since=1");
    }
    requests[1].target = STR("/v1/ns/a.roster/t?since=2");
    requests[2].head = true;
    requests[3].op.gzip = true;
    requests[4].op.if_.if_none_match = STR("\"1\"");
    requests[5].op.if_.if_match = STR("\"1\"");
    requests[6].op.if_.min_revision = 1;
    requests[7].op.if_.if_none_match = STR("");
    for (size_t i = 0; i < 8; i++) {
        struct str key = rest_asked_key(&requests[i]);
        assert_null(rest_group_find(&loop->park, key));
        groups[i] = rest_group_new(loop, key);
    }
    for (size_t i = 0; i < 8; i++) {
        struct str key = rest_asked_key(&requests[i]);
        assert_ptr_equal(rest_group_find(&loop->park, key), groups[i]);
    }
    for (size_t i = 0; i < 8; i++) {
        rest_group_leave(groups[i]);
    }
    assert_null(loop->park.groups);
    rest_park_done(&loop->park);
    (void)mem_free(loop);
}

static void who_sees_something_else_is_in_another_group(void **state)
{
    struct rest_request asks = ask(*state, "/v1/search?since=1");
    struct access_who one = {.users = 1, .view = {[15] = 1}};
    struct access_who same = {.users = 1, .view = {[15] = 1}};
    struct access_who other = {.users = 1, .view = {[15] = 2}};
    struct str keys[3];

    const struct access_who *whos[] = {&one, &same, &other};
    for (size_t i = 0; i < 3; i++) {
        asks.op.who = (struct access_who *)(uintptr_t)whos[i];
        keys[i] = rest_asked_key(&asks);
    }
    assert_true(str_equal(keys[0], keys[1]));
    assert_false(str_equal(keys[0], keys[2]));
    char *moved = rest_asked_by(keys[0], &other);
    assert_true(str_equal((struct str){moved, keys[0].n}, keys[2]));
    (void)mem_free(moved);
}

/* The key is what the request is made of again. */
static void a_request_is_made_again_out_of_its_key(void **state)
{
    struct rest_loop *loop = new_loop();
    struct rest_request asks = ask(*state, "/v1/ns/a.roster/t?since=7&limit=3");

    asks.op.gzip = true;
    asks.op.if_.if_none_match = STR("\"1\"");
    struct str key = rest_asked_key(&asks);
    struct rest_request *again = rest_asked_again(loop, key.p);
    assert_int_equal(again->op.kind, OP_LIST_GET);
    assert_int_equal(again->op.query.since, 7);
    assert_int_equal(again->op.query.limit, 3);
    assert_true(again->op.gzip);
    expect_str(again->op.if_.if_none_match, "\"1\"");
    assert_null(again->op.who);
    rest_request_free(loop, again);
    rest_request_free_spare(loop);
    rest_park_done(&loop->park);
    (void)mem_free(loop);
}

static void nobody_in_it_is_the_end_of_a_group(void **state)
{
    struct rest_loop *loop = new_loop();
    struct rest_request request = ask(*state, "/v1/search?since=1");
    struct str key = rest_asked_key(&request);
    struct rest_group *group = rest_group_new(loop, key);
    struct rest_ring member = {0};

    rest_ring_add(&group->waiting, &member);
    rest_group_leave(group);
    assert_non_null(rest_group_find(&loop->park, key));
    rest_group_note(group, REST_NEWS);
    assert_ptr_equal(loop->park.ready.next, &group->line);
    rest_ring_remove(&member);
    rest_group_leave(group);
    assert_null(rest_group_find(&loop->park, key));
    assert_true(rest_ring_is_empty(&loop->park.ready));
    /* Nor does one stay that finds nobody when it is its turn. */
    group = rest_group_new(loop, key);
    rest_group_note(group, REST_NEWS);
    rest_group_run(&loop->park);
    assert_null(rest_group_find(&loop->park, key));
    rest_park_done(&loop->park);
    (void)mem_free(loop);
}

static void what_is_uncertain_stays_so(void **state)
{
    struct rest_loop *loop = new_loop();
    struct rest_request request = ask(*state, "/v1/search?since=1");
    struct rest_group *group = rest_group_new(loop, rest_asked_key(&request));

    rest_group_note(group, REST_NEWS);
    assert_int_equal(group->news, REST_NEWS);
    rest_group_note(group, REST_MAYBE);
    rest_group_note(group, REST_NEWS);
    assert_int_equal(group->news, REST_MAYBE);
    rest_group_run(&loop->park);
    rest_park_done(&loop->park);
    (void)mem_free(loop);
}

/* A look that nobody waits for any more is given up; who came meanwhile waits
 * for the next. */
static void who_comes_during_a_look_is_looked_for_again(void **state)
{
    struct rest_loop *loop = new_loop();
    struct rest_request request = ask(*state, "/v1/search?since=1");
    struct rest_group *group = rest_group_new(loop, rest_asked_key(&request));
    struct rest_request *runner = rest_request_new(loop);
    struct rest_ring late = {0};

    runner->loop = loop;
    rest_group_go_on(group, runner, OP_WORK);
    rest_ring_add(&group->waiting, &late);
    rest_group_note(group, REST_NEWS); /* it has a runner: not in line */
    group->news = REST_NO_NEWS;
    assert_true(rest_ring_is_empty(&loop->park.ready));
    rest_group_hire(&loop->park);
    assert_null(group->runner);
    assert_int_equal(group->news, REST_MAYBE);
    assert_ptr_equal(loop->park.ready.next, &group->line);
    rest_ring_remove(&late);
    rest_group_leave(group);
    rest_park_done(&loop->park);
    rest_request_free_spare(loop);
    (void)mem_free(loop);
}

static void a_ring_moves_whole_and_is_left_from_anywhere(void **state)
{
    struct rest_ring from, to, members[4] = {{0}};

    (void)state;
    rest_ring_init(&from);
    rest_ring_init(&to);
    rest_ring_move(&to, &from);
    assert_true(rest_ring_is_empty(&to));
    rest_ring_add(&to, &members[0]);
    for (size_t i = 1; i < 4; i++) {
        rest_ring_add(&from, &members[i]);
    }
    rest_ring_move(&to, &from);
    assert_true(rest_ring_is_empty(&from));
    rest_ring_remove(&members[2]);
    rest_ring_remove(&members[2]);
    assert_ptr_equal(to.next, &members[0]);
    assert_ptr_equal(members[0].next, &members[1]);
    assert_ptr_equal(members[1].next, &members[3]);
    assert_ptr_equal(to.prev, &members[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(what_an_answer_depends_on_tells_groups_apart),
        WITH_ARENA(who_sees_something_else_is_in_another_group),
        WITH_ARENA(a_request_is_made_again_out_of_its_key),
        WITH_ARENA(nobody_in_it_is_the_end_of_a_group),
        WITH_ARENA(what_is_uncertain_stays_so),
        WITH_ARENA(who_comes_during_a_look_is_looked_for_again),
        cmocka_unit_test(a_ring_moves_whole_and_is_left_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
