/* What people see. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/text.h"

static char printed[4096];

static void print_text(void (*print)(const json_t *), const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    FILE *capture = tmpfile();

    assert_non_null(value);
    assert_non_null(capture);
    (void)fflush(stdout);
    int old = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(capture), STDOUT_FILENO) >= 0);
    print(value);
    (void)fflush(stdout);
    (void)dup2(old, STDOUT_FILENO);
    (void)close(old);
    rewind(capture);
    printed[fread(printed, 1, sizeof printed - 1, capture)] = '\0';
    (void)fclose(capture);
    json_decref(value);
}

static void a_table_has_a_column_for_every_field(void **state)
{
    (void)state;
    print_text(print_table,
               "[{\"_id\":\"1\",\"_rev\":\"9\",\"name\":\"\\u00f6ne\"},"
               "{\"_id\":\"2\",\"name\":\"two\",\"port\":\"80\"}]");
    assert_string_equal(printed, "_ID  NAME  PORT\n"
                                 "1    \xc3\xb6ne   -\n"
                                 "2    two   80\n");
}

static void a_table_is_whole_where_there_is_no_terminal(void **state)
{
    (void)state;
    print_text(print_table,
               "[{\"a\":\"1234567890123456789012345678901234567890123456"
               "\\u00e9\\u00e9\\u00e9\"}]");
    assert_string_equal(printed,
                        "A\n"
                        "1234567890123456789012345678901234567890123456"
                        "\xc3\xa9\xc3\xa9\xc3\xa9\n");
}

static void columns_are_aligned_by_what_is_seen(void **state)
{
    (void)state;
    text_init();
    print_text(print_table, "[{\"a\":\"\\u6f22\\u5b57\",\"b\":\"1\"},"
                            "{\"a\":\"e\\u0301x\",\"b\":\"2\"},"
                            "{\"a\":\"abcd\",\"b\":\"3\"}]");
    assert_string_equal(printed, "A     B\n"
                                 "\u6f22\u5b57  1\n"
                                 "e\xcc\x81x    2\n"
                                 "abcd  3\n");
}

/* A field is anybody's text; an escape sequence in it must stay text. */
static void no_field_reaches_the_terminal_as_a_command(void **state)
{
    (void)state;
    print_text(print_fields,
               "{\"note\":\"\\u001b[2J\\u009b1m\\n\",\"x\":\"y\"}");
    assert_string_equal(printed, "note  \\x1b[2J\\u009b1m\\n\nx     y\n");
}

static void the_tree_draws_its_branches(void **state)
{
    (void)state;
    print_text(print_tree,
               "{\"name\":\"roster\",\"kind\":\"branch\",\"children\":["
               "{\"name\":\"a\",\"kind\":\"branch\",\"children\":["
               "{\"name\":\"b\",\"kind\":\"leaf\",\"match\":\"^b\","
               "\"comment\":\"c\"}]},{\"name\":\"pool\",\"kind\":\"leaf\"}]}");
    assert_string_equal(printed, "roster/\n"
                                 "├── a/\n"
                                 "│   └── b  ^b  # c\n"
                                 "└── pool\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_a_column_for_every_field),
        cmocka_unit_test(a_table_is_whole_where_there_is_no_terminal),
        cmocka_unit_test(columns_are_aligned_by_what_is_seen),
        cmocka_unit_test(no_field_reaches_the_terminal_as_a_command),
        cmocka_unit_test(the_tree_draws_its_branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
