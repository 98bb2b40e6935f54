#include "kit.h"
#include "model/type.h"

static struct str fields_of(struct arena *arena, const char *text)
{
    struct row_input input = {0};
    struct row_error error = {0};

    assert_int_equal(
        row_read(arena, parsed(arena, str_of(text)), false, &input, &error), 0);
    return input.fields;
}

static const struct type *read_type(struct arena *arena, const char *body)
{
    struct type *type = NULL;
    struct row_error error = {0};
    int r = type_read(arena, STR("thing"), parsed(arena, str_of(body)), &type,
                      &error);

    if (r != 0) {
        print_error("%.*s %.*s\n", STR_ARG(error.field), STR_ARG(error.what));
    }
    assert_int_equal(r, 0);
    return type;
}

static void assert_no_type(const char *body, const char *field)
{
    ARENA arena = arena_new();
    struct type *type = NULL;
    struct row_error error = {0};

    assert_int_equal(type_read(arena, STR("thing"), parsed(arena, str_of(body)),
                               &type, &error),
                     ERR_INVALID);
    assert_null(type);
    assert_str(error.field, field);
    assert_non_null(error.what.p);
}

static void assert_valid(const struct type *type, const char *row)
{
    ARENA arena = arena_new();
    struct row_error error = {0};
    int r = type_validate(arena, type, fields_of(arena, row), &error);

    if (r != 0) {
        print_error("%.*s %.*s\n", STR_ARG(error.field), STR_ARG(error.what));
    }
    assert_int_equal(r, 0);
}

static void assert_invalid(const struct type *type, const char *row,
                           const char *field)
{
    ARENA arena = arena_new();
    struct row_error error = {0};

    assert_int_equal(type_validate(arena, type, fields_of(arena, row), &error),
                     ERR_INVALID);
    assert_str(error.field, field);
    assert_true(error.what.n > 0);
}

static const struct type *builtin(const char *name)
{
    ARENA arena = arena_new();
    const struct type *type = type_default(arena, str_of(name));

    assert_true(type->builtin); /* Outlives the arena. */
    return type;
}

static void the_known_types_have_their_keys(void **state)
{
    size_t n = 0;

    (void)state;
    for (const char *const *name = type_builtin_names(); *name; name++) {
        const struct type *type = builtin(*name);
        assert_str(type->name, *name);
        assert_str(type->key, n == 0 ? "hostname" : "name");
        assert_true(type->key_required);
        assert_int_equal(type->template_rows, !str_is(type->name, "webhook"));
        n++;
    }
    assert_int_equal(n, 9);
}

static void the_known_types_ask_for_little(void **state)
{
    (void)state;
    for (const char *const *name = type_builtin_names(); *name; name++) {
        assert_valid(builtin(*name), "{\"name\":\"x\",\"hostname\":\"x\","
                                     "\"url\":\"http://x\",\"any\":\"\"}");
        assert_invalid(builtin(*name), "{\"any\":\"\"}",
                       **name == 'm' && (*name)[1] == 'a' ? "hostname"
                                                          : "name");
    }
}

static void the_known_types_check_values_that_are_there(void **state)
{
    (void)state;
    assert_invalid(builtin("machine"), "{\"hostname\":\"a b\"}", "hostname");
    assert_invalid(builtin("machine"),
                   "{\"hostname\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}", "hostname");
    assert_invalid(builtin("service"), "{\"name\":\"x\",\"port\":\"0\"}",
                   "port");
    assert_valid(builtin("service"), "{\"name\":\"x\",\"port\":\"80\"}");
    assert_invalid(builtin("check"), "{\"name\":\"x\",\"interval\":\"often\"}",
                   "interval");
    assert_invalid(builtin("webhook"), "{\"name\":\"x\"}", "url");
    assert_invalid(builtin("webhook"), "{\"name\":\"x\",\"url\":\"ftp://x\"}",
                   "url");
    assert_invalid(builtin("webhook"),
                   "{\"name\":\"x\",\"url\":\"http://x\",\"types\":\"A\"}",
                   "types");
    assert_str(builtin("webhook")->secret[0], "secret");
}

static void any_other_name_is_a_plain_type(void **state)
{
    ARENA arena = arena_new();
    const struct type *type = type_default(arena, STR("gadget"));

    (void)state;
    assert_str(type->name, "gadget");
    assert_str(type->key, "name");
    assert_false(type->key_required);
    assert_false(type->builtin);
    assert_true(type->template_rows);
    assert_valid(type, "{\"x\":\"\"}");
    assert_invalid(type, "{\"name\":\"\"}", "name");
}

static void a_key_is_no_id_and_not_too_long(void **state)
{
    ARENA arena = arena_new();
    struct str fields = fields_of(arena, "{\"name\":\"a\\nb\",\"x\":\"\"}");
    const struct type *type = builtin("config");

    (void)state;
    assert_invalid(type, "{\"name\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}", "name");
    assert_str(type_key_of(arena, type, fields), "a\nb");
    assert_null(type_key_of(arena, builtin("machine"), fields).p);
    assert_null(
        type_key_of(arena, read_type(arena, "{\"key\":null}"), fields).p);
}

static void a_definition_is_read(void **state)
{
    ARENA arena = arena_new();
    const struct type *type = read_type(
        arena,
        "{\"key\":\"serial\",\"required\":[\"owner\"],\"template\":false,"
        "\"checks\":{\"port\":\"port\",\"at\":\"time\"},"
        "\"secret\":[\"token\",\"pin\"]}");

    (void)state;
    assert_str(type->name, "thing");
    assert_str(type->key, "serial");
    assert_true(type->key_required);
    assert_false(type->template_rows);
    assert_false(type->builtin);
    assert_int_equal(type->n_required, 1);
    assert_int_equal(type->n_checks, 2);
    assert_str(type->checks[1].field, "at");
    assert_str(type->checks[1].kind, "time");
    assert_int_equal(type->n_secret, 2);
    assert_valid(type, "{\"serial\":\"1\",\"owner\":\"me\"}");
    assert_invalid(type, "{\"owner\":\"me\"}", "serial");
    assert_invalid(type, "{\"serial\":\"1\"}", "owner");
    assert_invalid(type, "{\"serial\":\"1\",\"owner\":\"\",\"port\":\"x\"}",
                   "port");
}

static void a_key_that_is_not_given_is_not_asked_for(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_false(read_type(arena, "{}")->key_required);
    assert_str(read_type(arena, "{}")->key, "name");
    assert_null(read_type(arena, "{\"key\":null}")->key.p);
    assert_false(read_type(arena, "{\"key_required\":false,\"key\":\"a\"}")
                     ->key_required);
    assert_false(read_type(arena, "{\"key\":\"a\",\"key_required\":false}")
                     ->key_required);
    assert_true(read_type(arena, "{\"key_required\":true}")->key_required);
}

static void a_wrong_definition_is_refused_by_field(void **state)
{
    (void)state;
    assert_no_type("[]", "");
    assert_no_type("{\"colour\":1}", "colour");
    assert_no_type("{\"key\":1}", "key");
    assert_no_type("{\"key\":\"\"}", "key");
    assert_no_type("{\"key\":\"_id\"}", "key");
    assert_no_type("{\"key\":null,\"key_required\":true}", "key_required");
    assert_no_type("{\"required\":\"a\"}", "required");
    assert_no_type("{\"required\":[\"a\",1]}", "required[1]");
    assert_no_type("{\"required\":[\"_rev\"]}", "required[0]");
    assert_no_type("{\"checks\":[]}", "checks");
    assert_no_type("{\"checks\":{\"a\":\"colour\"}}", "checks.a");
    assert_no_type("{\"checks\":{\"a\":null}}", "checks.a");
    assert_no_type("{\"checks\":{\"_a\":\"int\"}}", "checks._a");
    assert_no_type("{\"template\":\"yes\"}", "template");
    assert_no_type("{\"secret\":{}}", "secret");
    assert_no_type("{\"key\":\"a\",\"secret\":[\"a\"]}", "secret");
    assert_no_type("{\"name\":\"other\"}", "name");
    assert_no_type("{\"builtin\":1}", "builtin");
}

static struct str written(struct arena *arena, const struct type *type)
{
    struct buf buf = {0};

    type_write(&buf, type);
    return arena_take(arena, &buf);
}

static void what_is_written_is_read_back(void **state)
{
    static const char *const bodies[] = {
        "{}",
        "{\"key\":null}",
        "{\"key\":\"a\\n\",\"required\":[\"b\\\"\",\"c\"],\"checks\":{"
        "\"d\\u0000"
        "\":\"int\",\"e\":\"url\"},\"template\":false,\"secret\":[\"f\"]}",
        "{\"key\":\"a\",\"key_required\":false}",
    };
    ARENA arena = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct str text = written(arena, read_type(arena, bodies[i]));
        struct str again =
            written(arena, read_type(arena, arena_text(arena, text)));
        assert_true(str_equal(text, again));
    }
    assert_str(written(arena, builtin("webhook")),
               "{\"name\":\"webhook\",\"key\":\"name\",\"key_required\":true,"
               "\"required\":[\"url\"],\"checks\":{\"types\":\"types\","
               "\"url\":\"weburl\"},"
               "\"template\":false,\"secret\":[\"secret\"],\"builtin\":true}");
}

static void a_masked_secret_is_not_checked_again(void **state)
{
    ARENA arena = arena_new();
    const struct type *type =
        read_type(arena, "{\"checks\":{\"pin\":\"int\",\"n\":\"int\"},"
                         "\"secret\":[\"pin\"]}");

    (void)state;
    assert_valid(type, "{\"pin\":\"***\"}");
    assert_invalid(type, "{\"pin\":\"x\"}", "pin");
    assert_invalid(type, "{\"n\":\"***\"}", "n");
}

struct kind_case {
    const char *kind;
    const char *right[8];
    const char *wrong[14];
};

static const struct kind_case kind_cases[] = {
    {"int",
     {"0", "-1", "9223372036854775807", "-9223372036854775808"},
     {"", "-", "1.0", "+1", "9223372036854775808", "0x1", " 1", "1\\u0000"}},
    {"number", {"0", "-1.5e3"}, {"", "1.", "nan", ".5", "1 "}},
    {"bool", {"true", "false"}, {"", "True", "1", "yes"}},
    {"port", {"1", "65535"}, {"", "0", "65536", "-1", "http"}},
    {"ip",
     {"10.0.0.1", "::1", "fe80::1"},
     {"", "10.0.0", "10.0.0.256", "fe80::1%eth0", "10.0.0.1\\u0000", "x"}},
    {"ipv4", {"10.0.0.1"}, {"", "::1", "010.0.0.1"}},
    {"ipv6", {"::1", "::ffff:10.0.0.1"}, {"", "10.0.0.1", ":::"}},
    {"cidr",
     {"10.0.0.0/8", "0.0.0.0/0", "fe80::/128"},
     {"", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "::/-1"}},
    {"hostname", {"web-1", "a.b_c"}, {"", "a b", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}},
    {"url",
     {"http://x", "https://a.b:1/c?d#e", "redis+tls://x"},
     {"", "x", "http://", "http:///x", "://x", "1http://x", "http://a b",
      "ht tp://x", "http://a\\n"}},
    {"weburl",
     {"http://x", "https://a.b:1/c?d#e", "HTTPS://x"},
     {"", "x", "http://", "https:///x", "ftp://x", "httpx://x", "http://a b"}},
    {"types",
     {"", "service", "machine,vip", "machine, my_type-2"},
     {"Service", "a,,b", "a,", ",", " ", "a b", "a;b", "1a"}},
    {"duration", {"0", "500ms", "10s", "5m", "24h"}, {"", "10", "s", "1d"}},
    {"time",
     {"2006-01-02T15:04:05Z", "2024-02-29T23:59:60.123+01:00",
      "2000-02-29t00:00:00z", "2006-01-02T15:04:05-23:59"},
     {"", "2006-01-02", "2006-01-02T15:04:05", "2023-02-29T00:00:00Z",
      "1900-02-29T00:00:00Z", "2006-13-02T15:04:05Z", "2006-01-32T15:04:05Z",
      "2006-01-02T24:04:05Z", "2006-01-02T15:04:05.Z", "2006-01-02 15:04:05Z",
      "2006-01-02T15:04:05+0100", "2006-01-02T15:04:05ZZ",
      "2006-04-31T15:04:05Z"}},
};

static void every_kind_knows_right_from_wrong(void **state)
{
    size_t n_kinds = 0;

    (void)state;
    for (const char *const *kind = type_kinds(); *kind != NULL; kind++) {
        assert_string_equal(*kind, kind_cases[n_kinds].kind);
        n_kinds++;
    }
    assert_int_equal(n_kinds, sizeof kind_cases / sizeof kind_cases[0]);
    for (size_t i = 0; i < n_kinds; i++) {
        const struct kind_case *c = &kind_cases[i];
        ARENA arena = arena_new();
        struct str body =
            arena_printf(arena, "{\"checks\":{\"v\":\"%s\"}}", c->kind);
        const struct type *type = read_type(arena, body.p);
        for (size_t k = 0; k < 8 && c->right[k] != NULL; k++) {
            assert_valid(type,
                         arena_printf(arena, "{\"v\":\"%s\"}", c->right[k]).p);
        }
        for (size_t k = 0; k < 14 && c->wrong[k] != NULL; k++) {
            assert_invalid(type,
                           arena_printf(arena, "{\"v\":\"%s\"}", c->wrong[k]).p,
                           "v");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_types_have_their_keys),
        cmocka_unit_test(the_known_types_ask_for_little),
        cmocka_unit_test(the_known_types_check_values_that_are_there),
        cmocka_unit_test(any_other_name_is_a_plain_type),
        cmocka_unit_test(a_key_is_no_id_and_not_too_long),
        cmocka_unit_test(a_definition_is_read),
        cmocka_unit_test(a_key_that_is_not_given_is_not_asked_for),
        cmocka_unit_test(a_wrong_definition_is_refused_by_field),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_masked_secret_is_not_checked_again),
        cmocka_unit_test(every_kind_knows_right_from_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
