/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <time.h>

#include "base/date.h"

static void assert_date(uint64_t unix_ms, const char *text)
{
    CLEANUP(buf_done) struct buf out = {0};

    date_add(&out, unix_ms);
    assert_string_equal(buf_text(&out), text);
}

static void a_date_is_rfc_3339(void **state)
{
    (void)state;
    assert_date(0, "1970-01-01T00:00:00Z");
    assert_date(951782399999, "2000-02-28T23:59:59Z");
    assert_date(951782400000, "2000-02-29T00:00:00Z");
    assert_date(951868800000, "2000-03-01T00:00:00Z");
    assert_date(4107542400000, "2100-03-01T00:00:00Z");
    assert_date(1795262400000, "2026-11-21T12:00:00Z");
    assert_date(UINT64_MAX, "9999-12-31T23:59:59Z");
}

static void every_day_is_the_one_that_the_system_says(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 200000; day++) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        char text[32];
        struct tm utc;
        assert_non_null(gmtime_r(&seconds, &utc));
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
        assert_date((uint64_t)seconds * 1000, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_date_is_rfc_3339),
        cmocka_unit_test(every_day_is_the_one_that_the_system_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
