/* Who is told of what. */
#include "kit.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena = arena_free(arena);
    return 0;
}

static bool wants(struct watch_spec spec, struct str text)
{
    struct event event;

    event_read(text, &event);
    return watch_wants(&spec, &event);
}

#define SPEC(...) ((struct watch_spec){__VA_ARGS__})
#define NS(path) .ns = STR(path)
#define TYPE(name) .type = STR(name)

static void a_row_concerns_its_namespace_and_those_above(void **state)
{
    struct str put =
        kit_put(arena, 1, "web.shop.roster", "t", "\"a\":\"1\"", NULL);

    (void)state;
    assert_true(wants(SPEC(NS("web.shop.roster")), put));
    assert_true(wants(SPEC(NS("shop.roster")), put));
    assert_true(wants(SPEC(NS("roster")), put));
    assert_false(wants(SPEC(NS("b.shop.roster")), put));
    assert_false(wants(SPEC(NS("hop.roster")), put));
    assert_false(wants(SPEC(NS("x.web.shop.roster")), put));
    assert_true(wants(SPEC(NS("roster"), TYPE("t")), put));
    assert_false(wants(SPEC(NS("roster"), TYPE("u")), put));
}

static void a_field_is_looked_at_as_it_is_and_as_it_was(void **state)
{
    struct str put =
        kit_put(arena, 1, "a.r", "t", "\"k\":\"new \\\"q\\\"\",\"s\":\"x\"",
                "\"k\":\"old\",\"s\":\"x\"");
    struct str fresh = kit_put(arena, 1, "a.r", "t", "\"k\":\"new\"", NULL);
    struct watch_spec spec = {NS("r"), .k = STR("k"), .v = STR("old")};

    (void)state;
    assert_true(wants(spec, put));
    assert_false(wants(spec, fresh));
    spec.v = STR("new \"q\"");
    assert_true(wants(spec, put));
    spec.mode = PATTERN_PREFIX;
    spec.v = STR("ne");
    assert_true(wants(spec, put));
    spec.v = STR("ew");
    assert_false(wants(spec, put));
    spec.mode = PATTERN_CONTAINS;
    assert_true(wants(spec, put));
    spec = SPEC(NS("r"), .v = STR("old")); /* any field */
    assert_true(wants(spec, put));
    spec.v = STR("x");
    assert_true(wants(spec, put));
    spec.v = STR("y");
    assert_false(wants(spec, put));
    spec = SPEC(NS("r"), .k = STR("z"));
    assert_false(wants(spec, put));
    spec.k = STR("s");
    assert_true(wants(spec, put));
}

static void namespaces_that_come_are_told_to_who_filters_nothing(void **state)
{
    struct str made = kit_ns(arena, 1, "ns-put", "a.r", NULL);

    (void)state;
    assert_true(wants(SPEC(NS("r")), made));
    assert_true(wants(SPEC(NS("a.r")), made));
    assert_false(wants(SPEC(NS("b.a.r")), made));
    assert_false(wants(SPEC(NS("r"), TYPE("t")), made));
    assert_false(wants(SPEC(NS("r"), .k = STR("k")), made));
}

static void rows_that_go_or_move_with_a_namespace_are_told_to_all(void **state)
{
    struct str gone = kit_ns(arena, 1, "ns-delete", "a.r", NULL);
    struct str moved = kit_ns(arena, 1, "ns-put", "b.r", "a.r");

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct str event = i == 0 ? gone : moved;
        assert_true(wants(SPEC(NS("r"), TYPE("t")), event));
        assert_true(wants(SPEC(NS("a.r"), TYPE("t")), event));
        assert_true(wants(SPEC(NS("x.a.r"), .k = STR("k")), event));
        assert_false(wants(SPEC(NS("c.r")), event));
    }
    assert_true(wants(SPEC(NS("x.b.r")), moved));
    assert_false(wants(SPEC(NS("x.b.r")), gone));
}

static void a_restore_concerns_everybody(void **state)
{
    (void)state;
    assert_true(wants(SPEC(NS("x.r"), TYPE("t"), .k = STR("k")),
                      STR("{\"revision\":1,\"op\":\"restore\",\"ns\":\"r\","
                          "\"ns_id\":1,\"cause\":\"api\"}")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_concerns_its_namespace_and_those_above),
        TEST(a_field_is_looked_at_as_it_is_and_as_it_was),
        TEST(namespaces_that_come_are_told_to_who_filters_nothing),
        TEST(rows_that_go_or_move_with_a_namespace_are_told_to_all),
        TEST(a_restore_concerns_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
