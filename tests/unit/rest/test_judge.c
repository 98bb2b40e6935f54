/* Who waits is who he is at the access mark he is kept with. What becomes of
 * him needs a server: tests/system/test_access_watch.py. */
#include "kit.h"
#include "machine/apply.h"
#include "raft/inside.h"
#include "registry/room.h"
#include "rest/state.h"

/* A registry at which the access revision is what a test says. */
struct world {
    struct machine machine;
    struct core core;
    struct registry registry;
    struct rest rest;
    struct rest_loop loop;
    struct access_who who;
    struct rest_judged judged;
};

static int setup(void **state)
{
    struct world *w = mem_zero(sizeof *w);

    w->core.machine = &w->machine;
    w->registry.core = &w->core;
    w->registry.trust.access = true;
    w->rest.registry = &w->registry;
    w->loop.rest = &w->rest;
    w->who =
        (struct access_who){.kind = ACCESS_TOKEN, .users = 1, .access_rev = 5};
    rest_who_begin(&w->loop);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    rest_judge_remove(&w->loop, &w->judged);
    rest_judge_done(&w->loop.judge);
    w->loop.callers = registry_callers_free(w->loop.callers);
    *state = mem_free(w);
    return 0;
}

/* It is told before it can be read. */
static void change_is_told(struct world *w, uint64_t revision)
{
    atomic_store(&w->machine.access_rev, revision);
}

static void who_was_read_at_the_mark_stands_at_it(void **state)
{
    struct world *w = *state;

    change_is_told(w, 5);
    assert_int_equal(rest_who_mark(&w->loop, &w->who, 5), 5);
    assert_true(rest_judge_turn(&w->loop));
    rest_judge_add(&w->loop, &w->judged, &w->who, 5);
    assert_true(rest_judge_stands(&w->loop, &w->judged));
    assert_true(rest_judge_is_done(&w->loop));
}

static void
who_was_read_before_the_change_does_not_stand_at_its_mark(void **state)
{
    struct world *w = *state;

    change_is_told(w, 7);
    uint64_t mark = rest_who_mark(&w->loop, &w->who, 7);
    assert_true(rest_judge_turn(&w->loop)); /* Nobody is there: all are done. */
    rest_judge_add(&w->loop, &w->judged, &w->who, mark);
    assert_false(rest_judge_stands(&w->loop, &w->judged));
    assert_false(rest_judge_is_done(&w->loop));
}

/* There will be a revision of the same number. */
static void a_change_that_was_taken_back_leaves_no_mark(void **state)
{
    struct world *w = *state;

    change_is_told(w, 5);
    assert_int_equal(rest_who_mark(&w->loop, &w->who, 7), REST_NO_MARK);
    rest_judge_add(&w->loop, &w->judged, &w->who, REST_NO_MARK);
    assert_false(rest_judge_is_done(&w->loop));
    assert_true(rest_judge_turn(&w->loop));
    assert_int_equal(w->judged.mark, 5);
    assert_true(rest_judge_is_done(&w->loop));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_was_read_at_the_mark_stands_at_it),
        CASE(who_was_read_before_the_change_does_not_stand_at_its_mark),
        CASE(a_change_that_was_taken_back_leaves_no_mark),
    };
    return cmocka_run_group_tests_name("rest/judge", tests, NULL, NULL);
}
