#include "kit.h"
#include "model/row.h"

static const char id_text[] = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

static struct ulid some_id(void)
{
    struct ulid id = {0};

    assert_int_equal(ulid_parse(str_of(id_text), &id), 0);
    return id;
}

static struct row_input read_as(struct arena *arena, struct str text,
                                bool patch)
{
    struct row_input input = {0};
    struct row_error error = {0};
    int r = row_read(arena, parsed(arena, text), patch, &input, &error);

    if (r != 0) {
        print_error("%.*s %.*s\n", STR_ARG(error.field), STR_ARG(error.what));
    }
    assert_int_equal(r, 0);
    return input;
}

static struct str fields_of(struct arena *arena, const char *text)
{
    return read_as(arena, str_of(text), false).fields;
}

static struct str patch_of(struct arena *arena, const char *text)
{
    return read_as(arena, str_of(text), true).fields;
}

static void assert_refused(const char *text, bool patch, const char *field,
                           const char *what)
{
    ARENA arena = arena_new();
    struct row_input input = {.n = 77};
    struct row_error error = {0};

    assert_int_equal(
        row_read(arena, parsed(arena, str_of(text)), patch, &input, &error),
        ERR_INVALID);
    assert_int_equal(input.n, 77); /* An answer leaves ret_ untouched. */
    assert_str(error.field, field);
    assert_str(error.what, what);
}

static void fields_have_one_form(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_str(fields_of(arena, "{\"b\" : \"2\",\"a\":\"\\u0031\\/\"}"),
               "\"a\":\"1/\",\"b\":\"2\"");
    assert_str(fields_of(arena, "{\"ab\":\"\",\"a\":\"\",\"a\\u0000\":\"\"}"),
               "\"a\":\"\",\"a\\u0000\":\"\",\"ab\":\"\"");
}

/* Encoded, a NUL is a backslash and sorts behind 'A'; decoded it sorts first.
 * Merges walk the encoded bytes, so those decide. */
static void keys_are_sorted_by_their_encoded_bytes(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_str(fields_of(arena, "{\"\\u0000\":\"n\",\"A\":\"a\",\"b\":\"b\"}"),
               "\"A\":\"a\",\"\\u0000\":\"n\",\"b\":\"b\"");
}

static void what_the_server_added_may_be_sent_back(void **state)
{
    ARENA arena = arena_new();
    struct row_input input =
        read_as(arena,
                STR("{\"_rev\":42,\"name\":\"x\",\"_status\":\"ok\","
                    "\"_maintenance\":\"until\","
                    "\"_id\":\"01arz3ndektsv4rrffq69g5fav\"}"),
                false);

    (void)state;
    assert_str(input.fields, "\"name\":\"x\"");
    assert_int_equal(ulid_compare(input.id, some_id()), 0);
    assert_int_equal(input.n, 1);
    assert_true(ulid_is_zero(read_as(arena, STR("{\"a\":\"\"}"), false).id));
}

static void a_masked_value_is_noticed(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(read_as(arena, STR("{\"a\":\"***\"}"), false).masked);
    assert_false(read_as(arena, STR("{\"a\":\"****\"}"), false).masked);
    assert_false(read_as(arena, STR("{\"***\":\"\"}"), false).masked);
}

static void what_is_no_resource_is_refused(void **state)
{
    (void)state;
    assert_refused("[]", false, "", "must be an object");
    assert_refused("{}", false, "", "must have at least one field");
    assert_refused("{\"_rev\":1}", false, "", "must have at least one field");
    assert_refused("{\"a\":1}", false, "a", "must be a string");
    assert_refused("{\"a\":{}}", false, "a", "must be a string");
    assert_refused("{\"a\":null}", false, "a", "must be a string");
    assert_refused("{\"a\":false}", true, "a", "must be a string or null");
    assert_refused("{\"\":\"x\"}", false, "", "must not be empty as a name");
    assert_refused("{\"_x\":\"\"}", false, "_x",
                   "must not start with '_': such names are the server's");
    assert_refused("{\"_id\":\"x\",\"a\":\"\"}", false, "_id",
                   "must be an id of 26 characters");
    assert_refused("{\"_id\":null,\"a\":\"\"}", true, "_id",
                   "must be an id of 26 characters");
    assert_refused("{\"_rev\":\"1\",\"a\":\"\"}", false, "_rev",
                   "must be a number");
    assert_refused("{\"_status\":1,\"a\":\"\"}", false, "_status",
                   "must be a string");
    assert_refused("{\"_maintenance\":null,\"a\":\"\"}", true, "_maintenance",
                   "must be a string");
}

static void a_patch_may_be_empty_and_hold_nulls(void **state)
{
    ARENA arena = arena_new();
    struct row_input input =
        read_as(arena, STR("{\"b\":null,\"a\":\"1\"}"), true);

    (void)state;
    assert_str(input.fields, "\"a\":\"1\",\"b\":null");
    assert_int_equal(input.n, 1);
    assert_int_equal(read_as(arena, STR("{}"), true).fields.n, 0);
}

static struct str with_keys(struct arena *arena, size_t n)
{
    struct buf text = {0};

    buf_printf(&text, "{\"_id\":\"%s\",\"_rev\":1", id_text);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&text, ",\"k%zu\":\"\"", i);
    }
    buf_add_char(&text, '}');
    return arena_take(arena, &text);
}

static void the_first_field_beyond_128_is_named(void **state)
{
    ARENA arena = arena_new();
    struct row_input input = {0};
    struct row_error error = {0};

    (void)state;
    assert_int_equal(read_as(arena, with_keys(arena, 128), false).n, 128);
    for (size_t n = 129; n <= 100000; n = n == 129 ? 100000 : n + 1) {
        assert_int_equal(row_read(arena, parsed(arena, with_keys(arena, n)),
                                  false, &input, &error),
                         ERR_INVALID);
        assert_str(error.field, "k128");
        assert_str(error.what, "is one more than 128 fields");
    }
}

/* {"v":"xxx"} whose whole row, at the widest revision, has `size` bytes. */
static struct str of_size(struct arena *arena, size_t size)
{
    struct buf text = {0};
    BUF empty = {0};

    row_write(&empty, some_id(), (UINT64_C(1) << 53) - 1, NULL,
              STR("\"v\":\"\""));
    size_t n = size - empty.n;
    buf_add_text(&text, "{\"v\":\"");
    buf_reserve(&text, n);
    memset(text.p + text.n, 'x', n);
    text.n += n;
    buf_add_text(&text, "\"}");
    return arena_take(arena, &text);
}

static void a_row_may_have_256_kib_and_no_byte_more(void **state)
{
    ARENA arena = arena_new();
    struct row_input input =
        read_as(arena, of_size(arena, ROW_BYTES_MAX), false);
    BUF row = {0};
    struct row_error error = {0};

    (void)state;
    row_write(&row, some_id(), (UINT64_C(1) << 53) - 1, NULL, input.fields);
    assert_int_equal(row.n, ROW_BYTES_MAX);
    assert_int_equal(input.fields.n, ROW_FIELDS_MAX);
    assert_int_equal(row_read(arena,
                              parsed(arena, of_size(arena, ROW_BYTES_MAX + 1)),
                              false, &input, &error),
                     ERR_INVALID);
    assert_str(error.field, "");
    assert_str(error.what, "is larger than 256 KiB");
}

/* A control character takes six bytes encoded: that size counts. */
static void the_encoded_size_counts(void **state)
{
    ARENA arena = arena_new();
    struct buf text = {0};
    struct row_input input = {0};
    struct row_error error = {0};

    (void)state;
    buf_add_text(&text, "{\"v\":\"");
    for (size_t i = 0; i < ROW_BYTES_MAX / 6; i++) {
        buf_add_text(&text, "\\u0001");
    }
    buf_add_text(&text, "\"}");
    assert_int_equal(row_read(arena, parsed(arena, arena_take(arena, &text)),
                              false, &input, &error),
                     ERR_INVALID);
}

static void a_row_is_written_and_split(void **state)
{
    BUF row = {0};
    struct ulid id = {0};
    uint64_t revision = 0;
    struct str fields = STR_NONE;

    (void)state;
    row_write(&row, some_id(), 42, NULL, STR("\"a\":\"1\""));
    assert_str(buf_str(&row), "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\","
                              "\"_rev\":42,\"a\":\"1\"}");
    row_split(buf_str(&row), &id, &revision, NULL, &fields);
    assert_int_equal(ulid_compare(id, some_id()), 0);
    assert_int_equal(revision, 42);
    assert_str(fields, "\"a\":\"1\"");
    buf_clear(&row);
    row_write(&row, some_id(), 0, NULL, STR(""));
    row_split(buf_str(&row), &id, &revision, NULL, &fields);
    assert_int_equal(fields.n, 0);
}

static void assert_server(struct str maintenance, struct str status,
                          struct str fields, const char *text)
{
    BUF row = {0};
    BUF bare = {0};
    struct row_server server = {maintenance, status}, got;
    struct ulid id = {0};
    uint64_t revision = 0;
    struct str got_fields = STR_NONE;

    row_write(&row, some_id(), 42, &server, fields);
    assert_str(buf_str(&row), text);
    row_split(buf_str(&row), &id, &revision, &got, &got_fields);
    assert_int_equal(revision, 42);
    assert_true(row_server_equal(&server, &got));
    assert_true(str_equal(got_fields, fields));
    row_write(&bare, some_id(), 42, NULL, fields);
    assert_int_equal(row.n - bare.n, row_server_bytes(&server));
    buf_clear(&bare);
    row_project(&bare, buf_str(&row), NULL, 0);
    row_split(buf_str(&bare), &id, &revision, &got, &got_fields);
    assert_true(row_server_equal(&server, &got));
    assert_int_equal(got_fields.n, 0);
}

static void what_the_server_says_stands_among_its_names(void **state)
{
    (void)state;
    assert_server(STR("until x: \\\"it\\\\"), STR_NONE, STR("\"a\":\"1\""),
                  "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\","
                  "\"_maintenance\":\"until x: \\\"it\\\\\",\"_rev\":42,"
                  "\"a\":\"1\"}");
    assert_server(STR_NONE, STR("ok"), STR("\"a\":\"1\""),
                  "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"_rev\":42,"
                  "\"_status\":\"ok\",\"a\":\"1\"}");
    assert_server(STR("m"), STR("s"), STR(""),
                  "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\","
                  "\"_maintenance\":\"m\",\"_rev\":42,\"_status\":\"s\"}");
}

static void walking_gives_each_field_once(void **state)
{
    ARENA arena = arena_new();
    struct str fields =
        patch_of(arena, "{\"q\\\"\":\"x\\\\\",\"b\":null,\"a\":\"\\\\\\\"\"}");
    struct str key = STR_NONE;
    struct str value = STR_NONE;
    size_t at = 0;

    (void)state;
    assert_true(row_next(fields, &at, &key, &value));
    assert_str(key, "a");
    assert_str(value, "\\\\\\\"");
    assert_true(row_next(fields, &at, &key, &value));
    assert_str(key, "b");
    assert_null(value.p);
    assert_true(row_next(fields, &at, &key, &value));
    assert_str(key, "q\\\"");
    assert_str(value, "x\\\\");
    assert_false(row_next(fields, &at, &key, &value));
    assert_int_equal(row_count(fields), 3);
    assert_int_equal(row_count(STR("")), 0);
}

static void a_field_is_found_by_its_plain_name(void **state)
{
    ARENA arena = arena_new();
    struct str fields = patch_of(
        arena,
        "{\"a\":\"\",\"a\\\"\\n\":\"1\\n\",\"c\":\"\\u0000\",\"d\":null}");

    (void)state;
    assert_str(row_get(fields, STR("a")), "");
    assert_str(row_get(fields, STR("a\"\n")), "1\\n");
    assert_null(row_get(fields, STR("b")).p);
    assert_null(row_get(fields, STR("d")).p);
    assert_null(row_get(fields, STR("e")).p);
    assert_null(row_get(STR(""), STR("a")).p);
    assert_str(row_get_text(arena, fields, STR("a\"\n")), "1\n");
    assert_str(row_get_text(arena, fields, STR("a")), "");
    assert_true(str_equal(row_get_text(arena, fields, STR("c")), STR("\0")));
    assert_null(row_get_text(arena, fields, STR("b")).p);
}

static void escapes_are_undone(void **state)
{
    BUF text = {0};

    (void)state;
    row_unescape(&text, STR("a\\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001f\xc3\xa9"));
    assert_true(
        str_equal(buf_str(&text), STR("a\"\\\b\t\n\f\r\0\x1f\xc3\xa9")));
}

static void assert_merged(const char *fields, const char *patch,
                          const char *wanted)
{
    ARENA arena = arena_new();
    BUF merged = {0};
    struct str laid = patch_of(arena, patch);

    buf_add_char(&merged, '#'); /* What stood there before stays. */
    row_merge(&merged, patch_of(arena, fields), laid);
    assert_str(((struct str){merged.p + 1, merged.n - 1}), wanted);
    BUF again = {0};
    row_merge(&again, (struct str){merged.p + 1, merged.n - 1}, laid);
    assert_int_equal(again.n, merged.n - 1);
    assert_memory_equal(again.p, merged.p + 1, again.n);
}

static void a_patch_is_laid_over_fields(void **state)
{
    const char *two = "{\"b\":\"2\",\"d\":\"4\"}";

    (void)state;
    assert_merged(two, "{\"c\":\"3\"}", "\"b\":\"2\",\"c\":\"3\",\"d\":\"4\"");
    assert_merged(two, "{\"a\":\"1\",\"e\":\"5\"}",
                  "\"a\":\"1\",\"b\":\"2\",\"d\":\"4\",\"e\":\"5\"");
    assert_merged(two, "{\"b\":\"x\",\"d\":null}", "\"b\":\"x\"");
    assert_merged(two, "{\"a\":null,\"e\":null}", "\"b\":\"2\",\"d\":\"4\"");
    assert_merged(two, "{}", "\"b\":\"2\",\"d\":\"4\"");
    assert_merged("{}", "{\"a\":\"1\",\"b\":null}", "\"a\":\"1\"");
    assert_merged("{\"a\":\"\",\"\\u0000\":\"1\"}", "{\"\\u0000\":null}",
                  "\"a\":\"\"");
}

static void removing_all_leaves_nothing(void **state)
{
    ARENA arena = arena_new();
    BUF merged = {0};

    (void)state;
    row_merge(&merged, fields_of(arena, "{\"a\":\"1\"}"),
              patch_of(arena, "{\"a\":null}"));
    assert_int_equal(merged.n, 0);
}

static void a_projection_keeps_what_is_named(void **state)
{
    ARENA arena = arena_new();
    const struct str names[] = {STR("c\n"), STR("a"), STR("zz")};
    BUF row = {0};
    BUF cut = {0};

    (void)state;
    row_write(&row, some_id(), 7, NULL,
              fields_of(arena, "{\"a\":\"1\",\"b\":\"2\",\"c\\n\":\"3\"}"));
    row_project(&cut, buf_str(&row), names, 3);
    assert_str(buf_str(&cut), "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\","
                              "\"_rev\":7,\"a\":\"1\",\"c\\n\":\"3\"}");
    buf_clear(&cut);
    row_project(&cut, buf_str(&row), NULL, 0);
    assert_str(buf_str(&cut),
               "{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"_rev\":7}");
}

static void assert_masked(const char *fields, bool patch, const char *open,
                          const char *secret)
{
    ARENA arena = arena_new();
    const struct str names[] = {STR("s"), STR("t")};
    struct str got_open = STR_NONE;
    struct str got_secret = STR_NONE;

    row_mask(arena, patch_of(arena, fields), patch, names, 2, &got_open,
             &got_secret);
    assert_str(got_open, open);
    assert_str(got_secret, secret);
}

static void secrets_are_moved_out(void **state)
{
    (void)state;
    assert_masked("{\"a\":\"1\",\"s\":\"x\",\"t\":\"y\"}", false,
                  "\"a\":\"1\",\"s\":\"***\",\"t\":\"***\"",
                  "\"s\":\"x\",\"t\":\"y\"");
    assert_masked("{\"a\":\"1\"}", false, "\"a\":\"1\"", "");
    assert_masked("{\"a\":\"***\",\"s\":\"***\"}", false,
                  "\"a\":\"***\",\"s\":\"***\"", "");
}

static void a_masked_patch_says_nothing(void **state)
{
    (void)state;
    assert_masked("{\"a\":\"***\",\"s\":\"***\",\"t\":\"y\"}", true,
                  "\"a\":\"***\",\"t\":\"***\"", "\"t\":\"y\"");
    assert_masked("{\"s\":null}", true, "\"s\":null", "\"s\":null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_have_one_form),
        cmocka_unit_test(keys_are_sorted_by_their_encoded_bytes),
        cmocka_unit_test(what_the_server_added_may_be_sent_back),
        cmocka_unit_test(a_masked_value_is_noticed),
        cmocka_unit_test(what_is_no_resource_is_refused),
        cmocka_unit_test(a_patch_may_be_empty_and_hold_nulls),
        cmocka_unit_test(the_first_field_beyond_128_is_named),
        cmocka_unit_test(a_row_may_have_256_kib_and_no_byte_more),
        cmocka_unit_test(the_encoded_size_counts),
        cmocka_unit_test(a_row_is_written_and_split),
        cmocka_unit_test(what_the_server_says_stands_among_its_names),
        cmocka_unit_test(walking_gives_each_field_once),
        cmocka_unit_test(a_field_is_found_by_its_plain_name),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(a_patch_is_laid_over_fields),
        cmocka_unit_test(removing_all_leaves_nothing),
        cmocka_unit_test(a_projection_keeps_what_is_named),
        cmocka_unit_test(secrets_are_moved_out),
        cmocka_unit_test(a_masked_patch_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
