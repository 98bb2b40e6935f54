/* Lines of an import, arrays in pieces, texts for a terminal. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "base/near.h"
#include "cli/cli.h"
#include "cli/known.h"
#include "cli/lines.h"
#include "cli/stream.h"
#include "cli/text.h"

static int parse(const char *text, struct line *line, struct buf *why)
{
    return line_parse(str_of(text), line, why);
}

static void a_line_says_what_it_is(void **state)
{
    struct line line;
    struct buf why = {0};

    (void)state;
    assert_int_equal(parse("{\"op\":\"put\",\"ns\":\"a.roster\",\"type\":\"t\","
                           "\"resource\":{\"_id\":\"x\",\"_rev\":1,"
                           "\"name\":\"n\"}}",
                           &line, &why),
                     0);
    assert_int_equal(line.op, LINE_PUT);
    assert_string_equal(line.ns, "a.roster");
    assert_int_equal(json_object_size(line.body), 1);
    line_done(&line);
    assert_int_equal(parse("{\"op\":\"ns-put\",\"ns\":\"a\"}", &line, &why), 0);
    assert_int_equal(line.op, LINE_NS_PUT);
    line_done(&line);
    assert_int_equal(
        parse("{\"op\":\"type-put\",\"type\":\"t\",\"definition\":{}}", &line,
              &why),
        0);
    assert_int_equal(line.op, LINE_TYPE_PUT);
    line_done(&line);
    assert_int_equal(parse(" \t\r", &line, &why), 0);
    assert_int_equal(line.op, LINE_NONE);
    buf_done(&why);
}

static void a_wrong_line_is_explained(void **state)
{
    static const char *const wrong[] = {
        "{",
        "[]",
        "{}",
        "{\"op\":1}",
        "{\"op\":\"put\"}",
        "{\"op\":\"put\",\"ns\":\"a\",\"type\":\"t\"}",
        "{\"op\":\"put\",\"ns\":\"a\",\"type\":\"t\",\"resource\":{}}",
        "{\"op\":\"put\",\"ns\":\"a\",\"type\":\"t\",\"resource\":{\"a\":1}}",
        "{\"op\":\"ns-put\",\"ns\":\"a\\u0000b\"}",
        "{\"op\":\"ns-put\",\"ns\":\"a\",\"match\":1}",
        "{\"op\":\"ns-put\",\"ns\":\"a\",\"mtach\":null}",
        "{\"op\":\"type-put\",\"type\":\"t\"}",
        "{\"op\":\"ns-delete\",\"ns\":\"a\"}",
    };
    struct line line;
    struct buf why = {0};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        buf_clear(&why);
        assert_int_equal(parse(wrong[i], &line, &why), ERR_INVALID);
        assert_true(why.n > 0);
    }
    buf_done(&why);
}

/* ---- arrays in pieces ---- */

static int count(const json_t *element, void *user)
{
    int *sum = user;

    *sum += (int)json_integer_value(json_object_get(element, "n"));
    return *sum > 1000 ? -1 : 0;
}

static void an_array_is_read_however_it_is_cut(void **state)
{
    static const char text[] =
        " [{\"n\":1,\"s\":\"]}\\\"\\\\\",\"o\":{\"n\":[5]}} ,\n{\"n\":2},{}]\n";

    (void)state;
    for (size_t cut = 1; cut < sizeof text; cut++) {
        int sum = 0;
        struct stream stream = {.element = count, .user = &sum};
        for (size_t at = 0; at < sizeof text - 1; at += cut) {
            size_t left = sizeof text - 1 - at;
            assert_false(stream_whole(&stream) && text[at] != '\n');
            assert_int_equal(
                stream_take(text + at, left < cut ? left : cut, &stream), 0);
        }
        assert_true(stream_whole(&stream));
        assert_int_equal(sum, 3);
        stream_done(&stream);
    }
}

static void what_is_no_array_of_objects_is_refused(void **state)
{
    static const char *const wrong[] = {
        "{}", "[1]", "[{]", "[{\"a\"}]", "[]x", "[[]]", "[{\"n\":2000}]"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int sum = 0;
        struct stream stream = {.element = count, .user = &sum};
        int r = stream_take(wrong[i], strlen(wrong[i]), &stream);
        assert_true(r != 0 || !stream_whole(&stream));
        stream_done(&stream);
    }
}

static void an_object_comes_without_its_largest_member(void **state)
{
    static const char text[] =
        "{\"a\":\"\\\"children\\\":[\",\"children\" : [{\"children\":[1]},"
        "\"]\"],\"types\":{\"x\":{\"children\":[2]}}}";

    (void)state;
    for (size_t cut = 1; cut < sizeof text; cut++) {
        struct stream_without without = {.member = "children"};
        for (size_t at = 0; at < sizeof text - 1; at += cut) {
            size_t left = sizeof text - 1 - at;
            assert_int_equal(stream_without_take(
                                 text + at, left < cut ? left : cut, &without),
                             0);
        }
        assert_string_equal(buf_text(&without.text),
                            "{\"a\":\"\\\"children\\\":[\",\"children\" : null,"
                            "\"types\":{\"x\":{\"children\":[2]}}}");
        buf_done(&without.text);
    }
}

/* ---- texts ---- */

static void no_text_drives_a_terminal(void **state)
{
    struct buf out = {0};

    (void)state;
    text_init();
    text_add_safe(&out, STR("a\x1b[1m\n\t\r\x7f\xc2\x9b\xe2\x80\xae\xff\xc3"
                            "\xa4\0z"));
    assert_string_equal(buf_text(&out),
                        "a\\x1b[1m\\n\\t\\r\\x7f\\u009b\\u202e\\u00ff\xc3\xa4"
                        "\\x00z");
    buf_done(&out);
}

static void a_text_is_cut_to_columns(void **state)
{
    static const struct {
        const char *text;
        size_t most;
        const char *cut;
    } cases[] = {{"abcdef", 6, "abcdef"},     {"abcdef", 4, "abc…"},
                 {"漢字漢字", 8, "漢字漢字"}, {"漢字漢字", 6, "漢字…"},
                 {"漢字漢字", 5, "漢字…"},    {"abc", 0, "abc"}};

    (void)state;
    text_init();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        buf_add_text(&out, cases[i].text);
        text_cut(&out, 0, cases[i].most);
        assert_string_equal(buf_text(&out), cases[i].cut);
        buf_done(&out);
    }
}

static void numbers_are_for_people(void **state)
{
    struct buf out = {0};

    (void)state;
    text_add_bytes(&out, 512);
    buf_add_char(&out, ' ');
    text_add_bytes(&out, 1536);
    buf_add_char(&out, ' ');
    text_add_bytes(&out, 200ULL << 30);
    buf_add_char(&out, ' ');
    text_add_time(&out, 4200);
    buf_add_char(&out, ' ');
    text_add_time(&out, 200000);
    buf_add_char(&out, ' ');
    text_add_time(&out, 90000000);
    assert_string_equal(buf_text(&out),
                        "512 B 1.5 KiB 200 GiB 4.2 s 3 min 20 s 1 d 1 h");
    buf_done(&out);
}

/* ---- what is known ---- */

static void a_mask_is_known_by_its_type(void **state)
{
    struct known_types known = {0};
    json_t *types = json_loads("[{\"name\":\"t\",\"key\":\"row\",\"secret\":"
                               "[\"pw\"]},{\"name\":\"bag\",\"key\":null}]",
                               0, NULL);
    json_t *mask = json_string("***");
    json_t *value = json_string("x");

    (void)state;
    known_types_set(&known, types);
    assert_string_equal(known_key(&known, "t"), "row");
    assert_null(known_key(&known, "bag"));
    assert_string_equal(known_key(&known, "anything"), "name");
    assert_true(known_is_mask(&known, "t", "pw", mask));
    assert_false(known_is_mask(&known, "t", "pw", value));
    assert_false(known_is_mask(&known, "t", "other", mask));
    assert_true(known_is_mask(&known, "anything", "other", mask));
    known_types_done(&known);
    json_decref(types);
    json_decref(mask);
    json_decref(value);
}

static void the_nearest_name_is_found(void **state)
{
    struct near near = near_to(STR("serach"));

    (void)state;
    near_try(&near, "status");
    near_try(&near, "search");
    near_try(&near, "set");
    assert_string_equal(near.name, "search");
    near = near_to(STR("xyzzy"));
    near_try(&near, "tree");
    assert_null(near.name);
}

static void every_option_of_a_verb_exists(void **state)
{
    (void)state;
    assert_true(cli_takes(cli_find_verb("export"), "ns"));
    assert_true(cli_takes(cli_find_verb("export"), "leased"));
    assert_false(cli_takes(cli_find_verb("export"), "lease"));
    assert_false(cli_takes(cli_find_verb("tree"), "ns"));
    assert_true(cli_takes(cli_find_verb("tree"), "json"));
    assert_null(cli_find_verb("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_it_is),
        cmocka_unit_test(a_wrong_line_is_explained),
        cmocka_unit_test(an_array_is_read_however_it_is_cut),
        cmocka_unit_test(what_is_no_array_of_objects_is_refused),
        cmocka_unit_test(an_object_comes_without_its_largest_member),
        cmocka_unit_test(no_text_drives_a_terminal),
        cmocka_unit_test(a_text_is_cut_to_columns),
        cmocka_unit_test(numbers_are_for_people),
        cmocka_unit_test(a_mask_is_known_by_its_type),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(every_option_of_a_verb_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
