/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "base/metric.h"

static void a_duration_counts_in_the_first_bound_that_holds_it(void **state)
{
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};

    (void)state;
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 101);
    histogram_add(&histogram, 20000);
    histogram_add(&histogram, 20001);
    histogram_add(&histogram, 11000000);
    histogram_read(&histogram, &sum);
    assert_int_equal(sum.buckets[0], 1);
    assert_int_equal(sum.buckets[1], 1);
    assert_int_equal(sum.buckets[7], 1);
    assert_int_equal(sum.buckets[8], 1);
    assert_int_equal(sum.buckets[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(sum.sum_us, 100 + 101 + 20000 + 20001 + 11000000);
    assert_int_equal(sum.max_us, 11000000);
}

static void several_histograms_are_read_into_one(void **state)
{
    struct histogram a = {0};
    struct histogram b = {0};
    struct histogram_sum sum = {0};

    (void)state;
    histogram_add(&a, 50);
    histogram_add(&b, 60);
    histogram_read(&a, &sum);
    histogram_read(&b, &sum);
    assert_int_equal(sum.buckets[0], 2);
    assert_int_equal(sum.sum_us, 110);
    assert_int_equal(sum.max_us, 60);
}

static void buckets_are_told_cumulative_and_in_seconds(void **state)
{
    struct histogram_sum sum = {
        .buckets = {2, 0, 0, 1}, .sum_us = 1234567, .max_us = 900};
    struct buf out = {0};

    (void)state;
    sum.buckets[HISTOGRAM_BOUNDS] = 1;
    metric_histogram(&out, "x_seconds", "How long.", &sum);
    const char *text = buf_text(&out);
    assert_non_null(strstr(text, "# HELP x_seconds How long.\n"
                                 "# TYPE x_seconds histogram\n"
                                 "x_seconds_bucket{le=\"0.0001\"} 2\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"0.001\"} 3\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"10\"} 3\n"
                                 "x_seconds_bucket{le=\"+Inf\"} 4\n"
                                 "x_seconds_sum 1.234567\n"
                                 "x_seconds_count 4\n"));
    buf_done(&out);
}

static void samples_stand_under_their_head(void **state)
{
    struct buf out = {0};

    (void)state;
    metric_gauge(&out, "a", "A.", 1);
    metric_counter(&out, "b_total", "B.", 2);
    metric_seconds(&out, "c_seconds_total", "counter", "C.", 1500000);
    metric_head(&out, "d", "gauge", "D.");
    metric_labelled(&out, "d", "kind", "x", 3);
    assert_string_equal(buf_text(&out),
                        "# HELP a A.\n# TYPE a gauge\na 1\n"
                        "# HELP b_total B.\n# TYPE b_total counter\n"
                        "b_total 2\n"
                        "# HELP c_seconds_total C.\n"
                        "# TYPE c_seconds_total counter\n"
                        "c_seconds_total 1.500000\n"
                        "# HELP d D.\n# TYPE d gauge\nd{kind=\"x\"} 3\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_counts_in_the_first_bound_that_holds_it),
        cmocka_unit_test(several_histograms_are_read_into_one),
        cmocka_unit_test(buckets_are_told_cumulative_and_in_seconds),
        cmocka_unit_test(samples_stand_under_their_head),
    };
    return cmocka_run_group_tests_name("base/metric", tests, NULL, NULL);
}
