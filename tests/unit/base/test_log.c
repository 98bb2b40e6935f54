/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"

/* What one event with this value looks like on stderr. */
static size_t logged(enum log_format format, struct str value, char *line,
                     size_t most)
{
    int ends[2];
    int kept = dup(STDERR_FILENO);

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    log_start(LOG_INFO, format);
    log_info(LOG_CORE, "something happened", LOG_STR("name", value),
             LOG_U64("n", 7));
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    (void)close(ends[1]);
    ssize_t n = read(ends[0], line, most - 1);
    assert_true(n > 0);
    line[n] = '\0';
    (void)close(ends[0]);
    return (size_t)n;
}

static const struct str hostile[] = {
    {"a\nb\r\nc", 6},
    {"\",\"level\":\"error", 17},
    {"\" level=error x=\"", 17},
    {"\\", 1},
    {"nul\0nul", 7},
    {"\xff\xfe\x80", 3},         /* no UTF-8 */
    {"\xc3", 1},                 /* cut short */
    {"\xed\xa0\x80", 3},         /* a surrogate */
    {"next\xc2\x85line", 10},    /* U+0085 */
    {"line\xe2\x80\xa8sep", 10}, /* U+2028 */
    {"para\xe2\x80\xa9sep", 10}, /* U+2029 */
    {"\x1b[2J\x7f", 5},
    {"", 0},
};

static void no_value_ends_its_line_or_its_quotes(void **state)
{
    char line[4096];

    (void)state;
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
            size_t n =
                logged((enum log_format)format, hostile[i], line, sizeof line);
            struct str text = {line, n - 1};
            assert_int_equal(strlen(line), n);
            assert_int_equal(line[n - 1], '\n');
            assert_true(utf8_is_valid(text));
            for (size_t at = 0; at + 1 < n; at++) {
                assert_true((unsigned char)line[at] >= 0x20);
                assert_int_not_equal(line[at], 0x7f);
            }
            assert_null(strstr(line, "\xc2\x85"));
            assert_null(strstr(line, "\xe2\x80\xa8"));
            assert_null(strstr(line, "\xe2\x80\xa9"));
            /* What comes behind the value is still outside of it. */
            const char *end = format == LOG_JSON ? "\",\"n\":7}\n" : "\" n=7\n";
            assert_string_equal(line + n - strlen(end), end);
        }
    }
}

static void a_value_keeps_what_is_text(void **state)
{
    char line[4096];

    (void)state;
    (void)logged(LOG_JSON, STR("Z\xc3\xbcrich \xf0\x9f\x90\x98 \"x\""), line,
                 sizeof line);
    assert_non_null(strstr(line, "\"room\":\"core\",\"msg\":\"something "
                                 "happened\",\"name\":\"Z\xc3\xbcrich "
                                 "\xf0\x9f\x90\x98 \\\"x\\\"\",\"n\":7}\n"));
}

static void a_long_value_is_cut(void **state)
{
    char value[8192];
    char line[4096];

    (void)state;
    memset(value, 'x', sizeof value);
    size_t n =
        logged(LOG_JSON, (struct str){value, sizeof value}, line, sizeof line);
    assert_true(n < 1024);
    assert_non_null(strstr(line, "xxx...\",\"n\":7}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_value_ends_its_line_or_its_quotes),
        cmocka_unit_test(a_value_keeps_what_is_text),
        cmocka_unit_test(a_long_value_is_cut),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
