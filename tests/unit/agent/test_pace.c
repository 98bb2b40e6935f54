/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "agent/pace.h"

static const uint64_t chances[] = {0, 1, 12345, UINT64_MAX / 3, UINT64_MAX};
#define N_CHANCES (sizeof chances / sizeof chances[0])

static void a_heartbeat_comes_a_tenth_early_at_most(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CHANCES; i++) {
        assert_in_range(pace_beat_ms(10000, chances[i]), 9000, 10000);
    }
    assert_int_equal(pace_beat_ms(10000, 0), 10000);
    assert_int_equal(pace_beat_ms(10000, 1000), 9000);
    assert_int_equal(pace_beat_ms(1, 7), 1);
}

static void pauses_grow_to_ten_seconds(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CHANCES; i++) {
        assert_in_range(pace_retry_ms(1, 28800000, chances[i]), 125, 250);
        assert_in_range(pace_retry_ms(3, 28800000, chances[i]), 500, 1000);
        assert_in_range(pace_retry_ms(32, 28800000, chances[i]), 5000, 10000);
    }
}

static void no_pause_is_longer_than_the_heartbeat(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 33; failures++) {
        for (size_t i = 0; i < N_CHANCES; i++) {
            assert_in_range(pace_retry_ms(failures, 700, chances[i]), 100, 700);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_comes_a_tenth_early_at_most),
        cmocka_unit_test(pauses_grow_to_ten_seconds),
        cmocka_unit_test(no_pause_is_longer_than_the_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
