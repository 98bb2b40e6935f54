/* Turns of the loop, cut into steps: the clocks are arguments. cmocka.h needs
 * the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "raft/steps.h"

static struct core_stats told(const struct steps *steps)
{
    struct core_stats stats = {.packs = 0};

    steps_read(steps, &stats);
    return stats;
}

static void begin(struct steps *steps, uint64_t now_us, uint64_t cpu_us)
{
    struct clock_spent spent = {.cpu_us = cpu_us, .faults = 7};

    steps_init(steps, now_us, &spent);
}

static void a_long_turn_counts_for_what_took_most_of_it(void **state)
{
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 1000, 0);
    enum core_step before = steps_enter(&steps, CORE_STEP_APPLY, 2000);
    assert_int_equal(before, CORE_STEP_LOG);
    (void)steps_enter(&steps, CORE_STEP_COMMIT, 20000);
    (void)steps_enter(&steps, before, 24000);
    struct turn turn = steps_end(&steps, 25000, 0, NULL);
    assert_int_equal(turn.us, 24000);
    assert_int_equal(turn.most, CORE_STEP_APPLY);
    assert_int_equal(turn.most_us, 18000);

    struct core_stats stats = told(&steps);
    assert_int_equal(stats.steps[CORE_STEP_APPLY].n_long, 1);
    assert_int_equal(stats.steps[CORE_STEP_COMMIT].n_long, 0);
    assert_int_equal(stats.steps[CORE_STEP_COMMIT].max_us, 4000);
    assert_int_equal(stats.steps[CORE_STEP_LOG].sum_us, 2000);
}

static void sleep_is_no_part_of_a_turn(void **state)
{
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 0, 0);
    (void)steps_end(&steps, 1000, 0, NULL);
    struct turn turn = steps_end(&steps, 502000, 500000, NULL);
    assert_int_equal(turn.us, 1000);
    turn = steps_end(&steps, 503000, 500000, NULL);
    assert_int_equal(turn.us, 1000);
    assert_int_equal(told(&steps).steps[CORE_STEP_LOG].n_long, 0);
}

static void what_is_done_while_libuv_has_the_word_is_no_sleep(void **state)
{
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 0, 0);
    /* 30 ms: a call-back of libraft that blocks; slept: 5 ms. */
    struct turn turn = steps_end(&steps, 35000, 5000, NULL);
    assert_int_equal(turn.us, 30000);
    assert_int_equal(told(&steps).steps[CORE_STEP_LOG].n_long, 1);
}

static void the_same_step_twice_in_a_turn_is_one_length(void **state)
{
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 0, 0);
    for (uint64_t i = 0; i < 3; i++) {
        enum core_step before = steps_enter(&steps, CORE_STEP_APPLY, i * 10000);
        (void)steps_enter(&steps, before, i * 10000 + 8000);
    }
    (void)steps_end(&steps, 30000, 0, NULL);
    struct core_stats stats = told(&steps);
    assert_int_equal(stats.steps[CORE_STEP_APPLY].max_us, 24000);
    assert_int_equal(stats.steps[CORE_STEP_APPLY].n_long, 1);
}

static void the_processor_is_asked_once_a_millisecond(void **state)
{
    const struct clock_spent spent = {.cpu_us = 30100, .faults = 9};
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 0, 100);
    assert_false(steps_want_spent(&steps, 999));
    assert_true(steps_want_spent(&steps, 1000));
    struct turn turn = steps_end(&steps, 50000, 0, &spent);
    assert_int_equal(turn.spent.cpu_us, 30000);
    assert_int_equal(turn.spent.faults, 2);
    assert_false(steps_want_spent(&steps, 50999));
    assert_int_equal(told(&steps).turn_cpu_max_us, 30000);
    assert_int_equal(told(&steps).turns_cpu_long, 1);
}

/* It was last asked before this turn began. */
static void a_turn_needs_no_more_than_it_took(void **state)
{
    const struct clock_spent spent = {.cpu_us = 1100, .faults = 7};
    struct steps steps = {.logged_us = 0};

    (void)state;
    begin(&steps, 0, 0);
    (void)steps_end(&steps, 900, 0, NULL);
    struct turn turn = steps_end(&steps, 1100, 0, &spent);
    assert_int_equal(turn.us, 200);
    assert_int_equal(turn.spent.cpu_us, 200);
}

static void the_longest_entry_of_a_turn_is_known(void **state)
{
    struct steps steps = {.logged_us = 0};

    (void)state;
    steps_about(&steps, "rows_add", 8, 9000);
    steps_about(&steps, "epoch", 1, 10);
    assert_string_equal(steps.about, "rows_add");
    assert_int_equal(steps.about_n, 8);
    steps_about_none(&steps);
    assert_null(steps.about);
}

static void each_step_has_a_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CORE_STEPS; i++) {
        assert_non_null(core_step_name((enum core_step)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_turn_counts_for_what_took_most_of_it),
        cmocka_unit_test(sleep_is_no_part_of_a_turn),
        cmocka_unit_test(what_is_done_while_libuv_has_the_word_is_no_sleep),
        cmocka_unit_test(the_same_step_twice_in_a_turn_is_one_length),
        cmocka_unit_test(the_processor_is_asked_once_a_millisecond),
        cmocka_unit_test(a_turn_needs_no_more_than_it_took),
        cmocka_unit_test(the_longest_entry_of_a_turn_is_known),
        cmocka_unit_test(each_step_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
