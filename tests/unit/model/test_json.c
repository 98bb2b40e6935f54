#include "base/utf8.h"
#include "kit.h"

static struct json_error refused(struct arena *arena, struct str text)
{
    struct json *root = NULL;
    struct json_error error = {0};
    int r = json_parse(arena, text, &root, &error);

    assert_int_equal(r, ERR_INVALID);
    assert_null(root); /* An answer leaves ret_ untouched. */
    assert_non_null(error.what.p);
    assert_true(error.offset <= text.n);
    return error;
}

static void assert_refused(const char *text, const char *path, const char *what)
{
    ARENA arena = arena_new();
    struct json_error error = refused(arena, str_of(text));

    assert_str(error.path, path);
    assert_str(error.what, what);
}

static void all_kinds_are_read(void **state)
{
    ARENA arena = arena_new();
    const struct json *root = parsed(
        arena,
        STR(" {\"n\":null,\"f\":false,\"t\":true,\"i\":-1.5e+3,\"s\":\"x\",\n"
            "\t\"a\":[1, 2,[]],\r\"o\":{\"k\":{}}} "));

    (void)state;
    assert_int_equal(root->kind, JSON_OBJECT);
    assert_int_equal(root->n, 7);
    assert_int_equal(json_get(root, "n")->kind, JSON_NULL);
    assert_int_equal(json_get(root, "f")->kind, JSON_FALSE);
    assert_int_equal(json_get(root, "t")->kind, JSON_TRUE);
    assert_int_equal(json_get(root, "i")->kind, JSON_NUMBER);
    assert_str(json_get(root, "i")->text, "-1.5e+3");
    assert_str(json_get(root, "s")->text, "x");
    assert_int_equal(json_get(root, "a")->n, 3);
    assert_int_equal(json_get(root, "a")->first->next->next->kind, JSON_ARRAY);
    assert_int_equal(json_get(json_get(root, "o"), "k")->n, 0);
    assert_null(json_get(root, "absent"));
    assert_null(json_get(json_get(root, "a"), "k"));
}

static void the_text_may_go_once_it_is_read(void **state)
{
    ARENA arena = arena_new();
    char text[] = "{\"a\":\"b\",\"n\":12}";
    const struct json *root = parsed(arena, str_of(text));

    (void)state;
    memset(text, 'x', sizeof text);
    assert_str(json_get(root, "a")->text, "b");
    assert_str(json_get(root, "n")->text, "12");
}

static void escapes_stand_for_their_characters(void **state)
{
    ARENA arena = arena_new();
    const struct json *root = parsed(
        arena, STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83d\\uDe00.\""));

    (void)state;
    assert_str(root->text, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80.");
}

static void nul_is_kept_in_keys_and_values(void **state)
{
    ARENA arena = arena_new();
    const struct json *root =
        parsed(arena, STR("{\"a\\u0000b\":\"\\u0000\",\"a\":\"\"}"));

    (void)state;
    assert_int_equal(root->n, 2);
    assert_true(str_equal(root->first->key, STR("a\0b")));
    assert_true(str_equal(root->first->text, STR("\0")));
    assert_int_equal(root->first->next->text.n, 0);
}

/* The first and last characters of each plane, as UTF-8 and as escapes. */
static void every_plane_is_read_both_ways(void **state)
{
    (void)state;
    for (uint32_t plane = 0; plane <= 0x10; plane++) {
        const uint32_t ends[] = {plane << 16 | 0x20, plane << 16 | 0xfffd,
                                 plane << 16 | 0xffff};
        for (size_t i = 0; i < 3; i++) {
            ARENA arena = arena_new();
            BUF text = {0};
            char utf8[UTF8_MAX];
            size_t n = utf8_put(utf8, ends[i]);
            uint32_t low = ends[i] - 0x10000;

            buf_add_text(&text, "[\"");
            buf_add(&text, utf8, n);
            if (plane == 0) {
                buf_printf(&text, "\",\"\\u%04x\"]", ends[i]);
            } else {
                buf_printf(&text, "\",\"\\u%04X\\u%04x\"]",
                           0xd800 + (low >> 10), 0xdc00 + (low & 0x3ff));
            }
            const struct json *root = parsed(arena, buf_str(&text));
            assert_true(str_equal(root->first->text, (struct str){utf8, n}));
            assert_true(
                str_equal(root->first->next->text, (struct str){utf8, n}));
        }
    }
}

static void lone_surrogates_are_refused_in_each_order(void **state)
{
    (void)state;
    assert_refused("{\"a\":\"\\ud800\"}", "a", "has a lone surrogate \\ud800");
    assert_refused("{\"a\":\"\\uDFFF\"}", "a", "has a lone surrogate \\udfff");
    assert_refused("{\"a\":\"\\udc00\\ud800\"}", "a",
                   "has a lone surrogate \\udc00");
    assert_refused("{\"a\":\"\\ud800\\ud800\"}", "a",
                   "has a lone surrogate \\ud800");
    assert_refused("{\"a\":\"\\udbffx\"}", "a", "has a lone surrogate \\udbff");
    assert_refused("{\"a\":\"\\ud800\\n\"}", "a",
                   "has a lone surrogate \\ud800");
    assert_refused("{\"a\":\"\\ud800\\u0041\"}", "a",
                   "has a lone surrogate \\ud800");
    assert_refused("{\"x\":{\"\\ud800\":1}}", "x",
                   "has a lone surrogate \\ud800 in a key");
}

static void invalid_utf8_is_refused(void **state)
{
    static const char *const wrong[] = {
        "\x80",             /* continuation alone */
        "\xc3",             /* cut off */
        "\xc3(",            /* no continuation */
        "\xc0\x80",         /* NUL in two bytes */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe2\x82",         /* cut off */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf0\x9f\x98",     /* cut off */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80", /* above U+10FFFF */
        "\xff",             /* never */
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "[{},{\"b\":\"x%s\"}]", wrong[i]);
        assert_refused(text, "[1].b", "is not valid UTF-8");
        (void)snprintf(text, sizeof text, "{\"a\":{\"x%s\":1}}", wrong[i]);
        assert_refused(text, "a", "is not valid UTF-8 in a key");
    }
}

static void errors_name_the_field(void **state)
{
    (void)state;
    assert_refused("", "", "ends too early");
    assert_refused("  ", "", "ends too early");
    assert_refused("{", "", "lacks a key in double quotes");
    assert_refused("{\"a\"", "a", "lacks a ':' after its key");
    assert_refused("{\"a\":", "a", "ends too early");
    assert_refused("{\"a\":1", "", "lacks a ',' or '}'");
    assert_refused("{\"a\":\"x", "a", "ends too early");
    assert_refused("{\"a\":\"x\\", "a", "ends too early");
    assert_refused("{\"a\":1,}", "", "lacks a key in double quotes");
    assert_refused("[1,]", "[1]", "is not JSON");
    assert_refused("[1", "", "lacks a ',' or ']'");
    assert_refused("[1 2]", "", "lacks a ',' or ']'");
    assert_refused("[{\"a\":[0,{\"b\":nul}]}]", "[0].a[1].b", "is not JSON");
    assert_refused("\xef\xbb\xbf{}", "", "is not JSON");
    assert_refused("{} x", "", "has more behind its end");
    assert_refused("{\"a\":\"\\x\"}", "a",
                   "has an unknown escape after a backslash");
    assert_refused("{\"a\":\"\\u12g4\"}", "a",
                   "has an escape \\u without four hex digits");
    assert_refused("{\"a\":\"\\u12", "a",
                   "has an escape \\u without four hex digits");
    assert_refused("{\"a\":\"\n\"}", "a",
                   "has a control character that is not escaped");
}

static void an_error_knows_its_byte(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_int_equal(refused(arena, STR("[1,x]")).offset, 3);
    assert_int_equal(refused(arena, STR("{\"a\":\"b\\ud800\"}")).offset, 7);
    assert_int_equal(refused(arena, STR("{\"a\":1,\"a\":2}")).offset, 8);
}

static void numbers_are_those_of_the_rfc(void **state)
{
    static const char *const right[] = {
        "0", "-0", "10", "1.5", "1e5", "1E+5", "1e-05", "-0.0e0", "1e999"};
    static const char *const wrong[] = {"01",  "-",  "1.",  "1.e5", "1e",
                                        "1e+", "-a", "-01", "00"};
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        ARENA arena = arena_new();
        assert_str(parsed(arena, str_of(right[i]))->text, right[i]);
        assert_true(json_is_number(str_of(right[i])));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ARENA arena = arena_new();
        (void)refused(arena, str_of(wrong[i]));
        assert_false(json_is_number(str_of(wrong[i])));
    }
    assert_false(json_is_number(STR("")));
    assert_false(json_is_number(STR("+1")));
    assert_false(json_is_number(STR(".5")));
}

static int number_of(const char *text, uint64_t *ret_number)
{
    ARENA arena = arena_new();

    return json_u64(parsed(arena, str_of(text)), ret_number);
}

static void integers_are_read_up_to_2_to_the_53(void **state)
{
    uint64_t number = 7;

    (void)state;
    assert_int_equal(number_of("9007199254740992", &number), ERR_INVALID);
    assert_int_equal(number_of("99999999999999999999999", &number),
                     ERR_INVALID);
    assert_int_equal(number_of("-1", &number), ERR_INVALID);
    assert_int_equal(number_of("1.0", &number), ERR_INVALID);
    assert_int_equal(number_of("1e3", &number), ERR_INVALID);
    assert_int_equal(number_of("\"1\"", &number), ERR_INVALID);
    assert_int_equal(number, 7);
    assert_int_equal(number_of("9007199254740991", &number), 0);
    assert_int_equal(number, 9007199254740991);
    assert_int_equal(number_of("0", &number), 0);
    assert_int_equal(number, 0);
}

static void only_true_and_false_are_booleans(void **state)
{
    ARENA arena = arena_new();
    bool value = false;

    (void)state;
    assert_int_equal(json_bool(parsed(arena, STR("true")), &value), 0);
    assert_true(value);
    assert_int_equal(json_bool(parsed(arena, STR("false")), &value), 0);
    assert_false(value);
    assert_int_equal(json_bool(parsed(arena, STR("null")), &value),
                     ERR_INVALID);
    assert_int_equal(json_bool(parsed(arena, STR("1")), &value), ERR_INVALID);
}

static void a_key_given_twice_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"a\":1,\"b\":2,\"a\":3,\"b\":4}", "a", "is given twice");
    assert_refused("[{\"x\":{\"a\":1,\"\\u0061\":2}}]", "[0].x.a",
                   "is given twice");
    assert_refused("{\"\":1,\"\":2}", "", "is given twice");
}

static struct str nested(struct arena *arena, size_t depth, const char *open,
                         const char *close)
{
    struct buf text = {0};

    for (size_t i = 0; i < depth; i++) {
        buf_add_text(&text, open);
    }
    buf_add_text(&text, "0");
    for (size_t i = 0; i < depth; i++) {
        buf_add_text(&text, close);
    }
    return arena_take(arena, &text);
}

static void sixteen_levels_are_the_most(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    (void)parsed(arena, nested(arena, 16, "[", "]"));
    (void)parsed(arena, nested(arena, 16, "{\"a\":", "}"));
    struct json_error error = refused(arena, nested(arena, 17, "[", "]"));
    assert_str(error.what, "is nested deeper than 16 levels");
    assert_int_equal(error.offset, 16);
    error = refused(arena, nested(arena, 17, "{\"a\":", "}"));
    assert_str(error.path, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a");
}

static void a_depth_bomb_is_refused_at_once(void **state)
{
    ARENA arena = arena_new();
    uint64_t start = clock_mono_ms();

    (void)state;
    (void)refused(arena, nested(arena, 1000000, "[", "]"));
    (void)refused(arena, nested(arena, 1000000, "{\"a\":", "}"));
    assert_soon(start, 2000);
}

static struct str many_keys(struct arena *arena, size_t n, bool twice)
{
    struct buf text = {0};

    for (size_t i = 0; i < n; i++) {
        buf_printf(&text, "%c\"a long common beginning %zu\":\"\"",
                   i == 0 ? '{' : ',', i);
    }
    buf_add_text(&text, twice ? ",\"a long common beginning 77\":1}" : "}");
    return arena_take(arena, &text);
}

static void many_keys_do_not_take_quadratic_time(void **state)
{
    ARENA arena = arena_new();
    uint64_t start = clock_mono_ms();

    (void)state;
    assert_int_equal(parsed(arena, many_keys(arena, 300000, false))->n, 300000);
    struct json_error error = refused(arena, many_keys(arena, 300000, true));
    assert_str(error.path, "a long common beginning 77");
    assert_soon(start, 5000);
}

static struct str encoded(struct arena *arena, struct str text)
{
    struct buf buf = {0};

    json_add_string(&buf, text);
    return arena_take(arena, &buf);
}

static void strings_are_written_in_one_form(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_str(encoded(arena, STR("")), "\"\"");
    assert_str(encoded(arena, STR("plain /\x7f\xc3\xa9")),
               "\"plain /\x7f\xc3\xa9\"");
    assert_str(encoded(arena, STR("\0\x01\b\t\n\x0b\f\r\x1f\"\\")),
               "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\\"");
}

/* Every byte below 0x80, alone and between others. */
static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (int c = 0; c < 0x80; c++) {
        ARENA arena = arena_new();
        const char text[] = {'x', (char)c, (char)c, 'y'};
        struct str given = {text, sizeof text};
        assert_true(
            str_equal(parsed(arena, encoded(arena, given))->text, given));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_read),
        cmocka_unit_test(the_text_may_go_once_it_is_read),
        cmocka_unit_test(escapes_stand_for_their_characters),
        cmocka_unit_test(nul_is_kept_in_keys_and_values),
        cmocka_unit_test(every_plane_is_read_both_ways),
        cmocka_unit_test(lone_surrogates_are_refused_in_each_order),
        cmocka_unit_test(invalid_utf8_is_refused),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(an_error_knows_its_byte),
        cmocka_unit_test(numbers_are_those_of_the_rfc),
        cmocka_unit_test(integers_are_read_up_to_2_to_the_53),
        cmocka_unit_test(only_true_and_false_are_booleans),
        cmocka_unit_test(a_key_given_twice_is_refused),
        cmocka_unit_test(sixteen_levels_are_the_most),
        cmocka_unit_test(a_depth_bomb_is_refused_at_once),
        cmocka_unit_test(many_keys_do_not_take_quadratic_time),
        cmocka_unit_test(strings_are_written_in_one_form),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
