#include "kit.h"
#include "rest/due.h"

enum { MANY = 2000 };

/* Any order will do, as long as it is the same each time. */
static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

static void they_come_out_in_order_whatever_was_taken_out_between(void **state)
{
    static struct rest_due dues[MANY];
    struct rest_dues heap = {0};
    uint64_t seed = 1;
    uint64_t last = 0;
    size_t left = MANY;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        rest_dues_add(&heap, &dues[i], next(&seed) % 500);
    }
    for (size_t i = 0; i < MANY; i += 3) {
        rest_dues_remove(&heap, &dues[i]);
        rest_dues_remove(&heap, &dues[i]); /* it is in none: nothing happens */
        left--;
    }
    for (size_t i = 0; i < MANY; i += 6) {
        rest_dues_add(&heap, &dues[i], next(&seed) % 500);
        left++;
    }
    for (; left > 0; left--) {
        struct rest_due *first = rest_dues_first(&heap);
        assert_true(first->at_ms >= last);
        last = first->at_ms;
        rest_dues_remove(&heap, first);
        assert_int_equal(first->place, 0);
    }
    assert_null(rest_dues_first(&heap));
    rest_dues_done(&heap);
}

static void a_wait_is_shortened_by_a_tenth_at_most(void **state)
{
    static const uint64_t waits[] = {1,    9,     10,    39,     40,
                                     1000, 50000, 59999, 600000, 123};
    uint64_t seed = 7;

    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        for (int k = 0; k < 1000; k++) {
            uint64_t now = next(&seed);
            uint64_t at = rest_due_at(now, waits[i], next(&seed));
            assert_true(at <= now + waits[i]);
            assert_true(at + waits[i] / 10 >= now + waits[i]);
        }
    }
}

static void who_begins_together_ends_in_few_moments_and_not_in_one(void **state)
{
    uint64_t seed = 3;
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t at = rest_due_at(1000000, 50000, next(&seed));
        assert_int_equal(at % 500, 0);
        first = at < first ? at : first;
        last = at > last ? at : last;
    }
    assert_true(last - first >= 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_out_in_order_whatever_was_taken_out_between),
        cmocka_unit_test(a_wait_is_shortened_by_a_tenth_at_most),
        cmocka_unit_test(
            who_begins_together_ends_in_few_moments_and_not_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
