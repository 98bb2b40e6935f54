/* Events as bytes: written, read, and told from what is none. */
#include "kit.h"
#include "model/event.h"
#include "model/row.h"

static const struct ulid ID = {{1, 2, 3}};

static void write_put(struct buf *out, const char *fields, const char *old)
{
    const struct event_head head = {.revision = 7,
                                    .op = "put",
                                    .ns = STR("web.roster"),
                                    .ns_id = 4,
                                    .cause = "api"};
    struct buf row = {0};

    row_write(&row, ID, 7, NULL, str_of(fields));
    event_write_row(out, &head, STR("machine"), ID, buf_str(&row),
                    old == NULL ? STR_NONE : str_of(old));
    event_write_end(out);
    buf_done(&row);
}

static void says_what_changed(const char *fields, const char *old,
                              const char *was)
{
    struct buf out = {0};
    struct event event;

    write_put(&out, fields, old);
    event_read(buf_str(&out), &event);
    assert_true(str_is(event.fields, fields));
    assert_true(str_is(event.was, was));
    buf_done(&out);
}

static void it_is_read_as_it_was_written(void **state)
{
    struct buf out = {0};
    struct event event;

    (void)state;
    write_put(&out, "\"a\":\"}\\\"{\",\"b\":\"2\"", "\"a\":\"1\",\"c\":\"\"");
    event_read(buf_str(&out), &event);
    assert_int_equal(event.revision, 7);
    assert_int_equal(event.op, EVENT_PUT);
    assert_true(str_is(event.ns, "web.roster"));
    assert_int_equal(event.ns_id, 4);
    assert_true(str_is(event.cause, "api"));
    assert_true(str_is(event.type, "machine"));
    assert_int_equal(event.id.n, ULID_TEXT);
    assert_true(str_is(event.fields, "\"a\":\"}\\\"{\",\"b\":\"2\""));
    assert_true(str_is(event.was, "\"a\":\"1\",\"b\":null,\"c\":\"\""));
    buf_done(&out);
}

static void was_holds_what_changed_and_nothing_else(void **state)
{
    (void)state;
    says_what_changed("\"a\":\"1\"", NULL, "");
    says_what_changed("\"a\":\"1\"", "\"a\":\"1\"", "");
    says_what_changed("\"a\":\"2\"", "\"a\":\"1\"", "\"a\":\"1\"");
    says_what_changed("\"a\":\"1\"", "\"b\":\"1\"", "\"a\":null,\"b\":\"1\"");
    says_what_changed("\"b\":\"1\"", "\"a\":\"1\"", "\"a\":\"1\",\"b\":null");
    says_what_changed("\"a\":\"1\",\"c\":\"3\"",
                      "\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"", "\"b\":\"2\"");
}

static void a_value_before_is_the_old_or_the_same(void **state)
{
    struct buf out = {0};
    struct event event;

    (void)state;
    write_put(&out, "\"a\":\"2\",\"n\":\"1\",\"s\":\"x\"",
              "\"a\":\"1\",\"s\":\"x\"");
    event_read(buf_str(&out), &event);
    assert_true(str_is(event_old_value(&event, STR("a")), "1"));
    assert_true(str_is(event_old_value(&event, STR("s")), "x"));
    assert_null(event_old_value(&event, STR("n")).p);
    assert_null(event_old_value(&event, STR("z")).p);
    buf_done(&out);
}

static void a_namespace_has_its_old_path(void **state)
{
    struct event event;

    (void)state;
    event_read(STR("{\"revision\":8,\"op\":\"ns-put\",\"ns\":\"b.r\","
                   "\"ns_id\":4,\"cause\":\"api\",\"kind\":\"leaf\","
                   "\"old\":\"a.r\"}"),
               &event);
    assert_int_equal(event.op, EVENT_NS_PUT);
    assert_true(str_is(event.old, "a.r"));
    assert_int_equal(event.type.n, 0);
    event_read(STR("{\"revision\":9,\"op\":\"breaker\",\"ns\":\"r\","
                   "\"ns_id\":1,\"cause\":\"breaker\",\"more\":[1]}"),
               &event);
    assert_int_equal(event.op, EVENT_OTHER);
    assert_int_equal(event.revision, 9);
}

static void what_is_kept_for_access_is_told_by_kind_and_name(void **state)
{
    const struct event_head head = {.revision = 9,
                                    .op = "access",
                                    .ns = STR("r"),
                                    .ns_id = 1,
                                    .cause = "api"};
    struct buf out = {0};
    struct event event;

    (void)state;
    event_write_access(&out, &head, "user", STR("ann"), true);
    event_write_end(&out);
    event_read(buf_str(&out), &event);
    assert_int_equal(event.op, EVENT_OTHER);
    assert_true(str_is(event.what, "user"));
    assert_true(str_is(event.thing, "ann"));
    assert_true(event.gone);
    buf_clear(&out);
    event_write_access(&out, &head, "role", STR("shop"), false);
    event_write_end(&out);
    event_read(buf_str(&out), &event);
    assert_true(str_is(buf_str(&out),
                       "{\"revision\":9,\"op\":\"access\",\"ns\":\"r\","
                       "\"ns_id\":1,\"cause\":\"api\",\"what\":\"role\","
                       "\"name\":\"shop\"}"));
    assert_false(event.gone);
    buf_done(&out);
}

/* Cut anywhere, or with any byte another one: it is told from a sound one or
 * still one, and never read beyond its end. */
static void damage_is_seen(void **state)
{
    struct arena *arena = arena_new();
    struct buf out = {0};

    (void)state;
    write_put(&out, "\"a\":\"\\\\\",\"b\":\"2\"", "\"a\":\"1\"");
    assert_true(event_is_sound(arena, buf_str(&out)));
    for (size_t n = 0; n < out.n; n++) {
        char *cut = mem_dup(out.p, n + 1);
        assert_false(event_is_sound(arena, (struct str){cut, n}));
        (void)mem_free(cut);
        arena_reset(arena);
    }
    for (size_t i = 0; i < out.n; i++) {
        for (const char *c = "\"\\{}[],:0 "; *c != '\0'; c++) {
            struct event event;
            char *text = mem_dup(out.p, out.n);
            text[i] = *c;
            if (event_is_sound(arena, (struct str){text, out.n})) {
                event_read((struct str){text, out.n}, &event);
            }
            (void)mem_free(text);
            arena_reset(arena);
        }
    }
    assert_false(event_is_sound(arena, STR("[]")));
    assert_false(event_is_sound(
        arena, STR("{\"revision\":7,\"op\":\"put\",\"ns\":\"r\",\"ns_id\":4,"
                   "\"cause\":\"api\",\"type\":\"t\",\"id\":\"x\","
                   "\"resource\":{\"a\":\"1\"}}")));
    buf_done(&out);
    (void)arena_free(arena);
}

static void add_keys(struct buf *out, char letter, size_t value)
{
    for (unsigned i = 0; i < ROW_KEYS_MAX; i++) {
        buf_printf(out, "%s\"%c%03u\":\"", i > 0 ? "," : "", letter, i);
        for (size_t n = 0; n < value; n++) {
            buf_add_char(out, 'x');
        }
        buf_add_char(out, '"');
    }
}

/* Of all keys that were, and all that are: more than a row can have. */
static void was_is_sound_however_much_changed(void **state)
{
    static const size_t values[] = {1, ROW_FIELDS_MAX / ROW_KEYS_MAX - 10};
    struct arena *arena = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct buf old = {0}, now = {0}, out = {0};
        add_keys(&old, 'a', values[i]);
        add_keys(&now, 'b', values[i]);
        assert_true(old.n <= ROW_FIELDS_MAX);
        buf_add_char(&old, '\0');
        buf_add_char(&now, '\0');
        write_put(&out, now.p, old.p);
        assert_true(event_is_sound(arena, buf_str(&out)));
        buf_done(&old);
        buf_done(&now);
        buf_done(&out);
    }
    (void)arena_free(arena);
}

static void was_has_its_own_form(void **state)
{
    static const char *const wrong[] = {
        "\"b\":\"1\",\"a\":null",
        "\"a\":\"1\",\"a\":null",
        "\"a\":1",
        "\"\":\"1\"",
        "\"_rev\":\"1\"",
        "\"a\":\"\\u0041\"",
        "\"a\":\"1\" ,\"b\":null",
    };
    struct arena *arena = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct buf out = {0}, changed = {0};
        write_put(&out, "\"a\":\"2\"", "\"a\":\"1\"");
        char *at = strstr(out.p, "\"was\":{");
        assert_non_null(at);
        buf_add(&changed, out.p, (size_t)(at - out.p) + 7);
        buf_printf(&changed, "%s}}", wrong[i]);
        assert_false(event_is_sound(arena, buf_str(&changed)));
        buf_done(&out);
        buf_done(&changed);
    }
    (void)arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_as_it_was_written),
        cmocka_unit_test(was_holds_what_changed_and_nothing_else),
        cmocka_unit_test(a_value_before_is_the_old_or_the_same),
        cmocka_unit_test(a_namespace_has_its_old_path),
        cmocka_unit_test(what_is_kept_for_access_is_told_by_kind_and_name),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(was_is_sound_however_much_changed),
        cmocka_unit_test(was_has_its_own_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
