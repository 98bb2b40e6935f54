#include "kit.h"
#include "model/name.h"

/* `n` times the text. */
static struct str times(struct arena *arena, size_t n, const char *text)
{
    struct buf buf = {0};

    for (size_t i = 0; i < n; i++) {
        buf_add_text(&buf, text);
    }
    return arena_take(arena, &buf);
}

static void labels_are_those_of_dns(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(name_is_label(STR("a")));
    assert_true(name_is_label(STR("0")));
    assert_true(name_is_label(STR("web-1--x")));
    assert_true(name_is_label(times(arena, 63, "a")));
    assert_false(name_is_label(times(arena, 64, "a")));
    assert_false(name_is_label(STR("")));
    assert_false(name_is_label(STR("-a")));
    assert_false(name_is_label(STR("a-")));
    assert_false(name_is_label(STR("A")));
    assert_false(name_is_label(STR("a_b")));
    assert_false(name_is_label(STR("a.b")));
    assert_false(name_is_label(STR("a\0")));
    assert_false(name_is_label(STR("\xc3\xa9")));
}

static void a_path_is_labels_with_dots_between(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(name_is_path(STR("roster")));
    assert_true(name_is_path(STR("web.shop.example.com")));
    assert_false(name_is_path(STR("")));
    assert_false(name_is_path(STR(".")));
    assert_false(name_is_path(STR(".a")));
    assert_false(name_is_path(STR("a.")));
    assert_false(name_is_path(STR("a..b")));
    assert_false(name_is_path(STR("a.B")));
    assert_false(name_is_path(times(arena, 64, "a")));
    struct str longest = times(arena, 127, "a.");
    assert_true(name_is_path((struct str){longest.p, 253}));
    assert_false(name_is_path(times(arena, 254, "a")));
    struct str wide = times(arena, 127, "aa.");
    assert_false(name_is_path((struct str){wide.p, 254}));
}

static void a_type_begins_with_a_letter(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(name_is_type(STR("a")));
    assert_true(name_is_type(STR("load_balancer-2")));
    assert_true(name_is_type(times(arena, 63, "t")));
    assert_false(name_is_type(times(arena, 64, "t")));
    assert_false(name_is_type(STR("")));
    assert_false(name_is_type(STR("2a")));
    assert_false(name_is_type(STR("_a")));
    assert_false(name_is_type(STR("Machine")));
    assert_false(name_is_type(STR("a.b")));
}

static void a_host_is_anything_that_names_a_machine(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(name_is_host(STR("web-1")));
    assert_true(name_is_host(STR("WEB_1.shop.example.com")));
    assert_true(name_is_host(times(arena, 253, "h")));
    assert_false(name_is_host(times(arena, 254, "h")));
    assert_false(name_is_host(STR("")));
    assert_false(name_is_host(STR("a b")));
    assert_false(name_is_host(STR("a/b")));
    assert_false(name_is_host(STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
}

static void a_key_is_text_that_is_no_id(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_true(name_is_key(STR("x")));
    assert_true(name_is_key(STR("caf\xc3\xa9 / 1")));
    assert_true(name_is_key(times(arena, 255, "k")));
    assert_false(name_is_key(times(arena, 256, "k")));
    assert_false(name_is_key(STR("")));
    assert_false(name_is_key(STR("\xff")));
    assert_false(name_is_key(STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
    assert_false(name_is_key(STR("01arz3ndektsv4rrffq69g5fav")));
    assert_true(name_is_key(STR("01ARZ3NDEKTSV4RRFFQ69G5FAVX")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_those_of_dns),
        cmocka_unit_test(a_path_is_labels_with_dots_between),
        cmocka_unit_test(a_type_begins_with_a_letter),
        cmocka_unit_test(a_host_is_anything_that_names_a_machine),
        cmocka_unit_test(a_key_is_text_that_is_no_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
