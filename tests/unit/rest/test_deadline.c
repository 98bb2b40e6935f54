#include "kit.h"
#include "rest/deadline.h"

static struct rest_deadlines with_spans(void)
{
    struct rest_deadlines deadlines = {0};

    deadlines.lists[REST_IDLE].span_ms = 60;
    deadlines.lists[REST_HEAD].span_ms = 10;
    deadlines.lists[REST_BODY].span_ms = 30;
    deadlines.lists[REST_SEND].span_ms = 600;
    return deadlines;
}

static void the_first_to_end_is_due_first(void **state)
{
    struct rest_deadlines deadlines = with_spans();
    struct rest_peer a = {0};
    struct rest_peer b = {0};

    (void)state;
    rest_deadlines_enter(&deadlines, &a, REST_HEAD, 100);
    rest_deadlines_enter(&deadlines, &b, REST_HEAD, 105);
    assert_null(rest_deadlines_due(&deadlines, 109));
    assert_int_equal(rest_deadlines_next(&deadlines, 104), 6);
    assert_ptr_equal(rest_deadlines_due(&deadlines, 110), &a);
    rest_deadlines_enter(&deadlines, &a, REST_NONE, 110);
    assert_null(rest_deadlines_due(&deadlines, 110));
    assert_ptr_equal(rest_deadlines_due(&deadlines, 115), &b);
    assert_int_equal(rest_deadlines_next(&deadlines, 200), 0);
}

static void a_new_phase_starts_anew(void **state)
{
    struct rest_deadlines deadlines = with_spans();
    struct rest_peer a = {0};
    struct rest_peer b = {0};
    struct rest_peer c = {0};

    (void)state;
    rest_deadlines_enter(&deadlines, &a, REST_HEAD, 0);
    rest_deadlines_enter(&deadlines, &b, REST_HEAD, 1);
    rest_deadlines_enter(&deadlines, &c, REST_HEAD, 2);
    rest_deadlines_enter(&deadlines, &b, REST_BODY, 3); /* from the middle */
    rest_deadlines_enter(&deadlines, &a, REST_HEAD, 4); /* to the end */
    assert_ptr_equal(rest_deadlines_due(&deadlines, 12), &c);
    rest_deadlines_enter(&deadlines, &c, REST_NONE, 12);
    assert_null(rest_deadlines_due(&deadlines, 13));
    assert_ptr_equal(rest_deadlines_due(&deadlines, 14), &a);
    rest_deadlines_enter(&deadlines, &a, REST_NONE, 14);
    assert_ptr_equal(rest_deadlines_due(&deadlines, 33), &b);
    rest_deadlines_enter(&deadlines, &b, REST_NONE, 33);
    rest_deadlines_enter(&deadlines, &b, REST_NONE, 33); /* twice is fine */
    assert_true(rest_deadlines_next(&deadlines, 33) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_end_is_due_first),
        cmocka_unit_test(a_new_phase_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
