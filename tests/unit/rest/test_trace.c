/* Which ids of other people's are taken, and what our own look like. */
#include "base/err.h"
#include "kit.h"
#include "rest/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static int parse(const char *text, struct str *id)
{
    return rest_trace_parse(str_of(text), id);
}

static void an_id_is_taken(void **state)
{
    struct str id = STR_NONE;

    (void)state;
    assert_int_equal(parse("00-" ID "-" PARENT "-01", &id), 0);
    assert_true(str_is(id, ID));
    /* Of a version that may have more. */
    assert_int_equal(parse("cc-" ID "-" PARENT "-01", &id), 0);
    assert_int_equal(parse("cc-" ID "-" PARENT "-01-more", &id), 0);
}

static void what_is_not_as_it_must_be_is_not_there(void **state)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-" ID "-" PARENT,
        "00-" ID "-" PARENT "-0",
        "00-" ID "-" PARENT "-01-more",
        "00-" ID "-" PARENT "-01 ",
        "ff-" ID "-" PARENT "-01",
        "cc-" ID "-" PARENT "-01.more",
        "0-" ID "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01",
        "00_" ID "_" PARENT "_01",
        "00-" ID "-" PARENT "-01, 00-" ID "-" PARENT "-01",
    };
    struct str id = STR_NONE;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(parse(wrong[i], &id), ERR_INVALID);
    }
    assert_int_equal(rest_trace_parse(STR_NONE, &id), ERR_INVALID);
    assert_null(id.p);
}

static void our_own_is_one_and_never_twice(void **state)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    uint64_t seed[2] = {1, 2};
    struct str id = STR_NONE;

    (void)state;
    struct str first = rest_trace_make(arena, seed);
    struct str second = rest_trace_make(arena, seed);
    assert_false(str_equal(first, second));
    struct str text =
        arena_printf(arena, "00-%.*s-" PARENT "-00", STR_ARG(second));
    assert_int_equal(rest_trace_parse(text, &id), 0);
    assert_true(str_equal(id, second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_taken),
        cmocka_unit_test(what_is_not_as_it_must_be_is_not_there),
        cmocka_unit_test(our_own_is_one_and_never_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
