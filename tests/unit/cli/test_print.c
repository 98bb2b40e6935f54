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

static void a_long_cell_is_cut_between_characters(void **state)
{
    (void)state;
    print_text(print_table,
               "[{\"a\":\"1234567890123456789012345678901234567890123456"
               "\\u00e9\\u00e9\\u00e9\"}]");
    assert_string_equal(printed,
                        "A\n"
                        "1234567890123456789012345678901234567890123456\xc3\xa9"
                        "\xe2\x80\xa6\n");
}

/* A field is anybody's text; an escape sequence in it must stay text. */
static void no_field_reaches_the_terminal_as_a_command(void **state)
{
    (void)state;
    print_text(print_fields,
               "{\"note\":\"\\u001b[2J\\u009b1m\\n\",\"x\":\"y\"}");
    assert_string_equal(printed, "note  ?[2J??1m?\nx     y\n");
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
        cmocka_unit_test(a_long_cell_is_cut_between_characters),
        cmocka_unit_test(no_field_reaches_the_terminal_as_a_command),
        cmocka_unit_test(the_tree_draws_its_branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
