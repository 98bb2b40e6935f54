/* The parts that need no server: conditions, cursors, the order of the tree,
 * idempotency keys. */
#include "kit.h"
#include "registry/condition.h"
#include "registry/cursor.h"
#include "registry/idem.h"
#include "registry/nodes.h"

#define ARENA CLEANUP(arena_freep) struct arena *

static struct condition parsed(struct arena *arena, const char *header,
                               bool weak_counts)
{
    struct condition condition = {0};

    assert_int_equal(
        condition_parse(arena, str_of(header), weak_counts, &condition), 0);
    return condition;
}

static void a_tag_of_either_encoding_names_its_revision(void **state)
{
    ARENA arena = arena_new();
    (void)state;

    struct condition condition = parsed(arena, "\"123\", \"45-gz\"", false);
    assert_true(condition_has(&condition, 123, false));
    assert_true(condition_has(&condition, 45, true));
    assert_false(condition_has(&condition, 12, false));
    assert_false(condition_has(&condition, 123, true));
    assert_false(condition_has(&condition, 45, false));
    assert_false(condition.any);
}

static void a_star_is_whatever_there_is(void **state)
{
    ARENA arena = arena_new();
    (void)state;

    assert_true(parsed(arena, " * ", false).any);
}

static void a_weak_tag_never_fulfils_if_match(void **state)
{
    ARENA arena = arena_new();
    (void)state;

    struct condition match = parsed(arena, "W/\"123\"", false);
    assert_false(condition_has(&match, 123, false));
    struct condition none_match = parsed(arena, "W/\"123\"", true);
    assert_true(condition_has(&none_match, 123, false));
}

static void a_tag_of_others_is_valid_and_matches_nothing(void **state)
{
    ARENA arena = arena_new();
    static const char *const headers[] = {
        "\"abc\"",
        "\"\"",
        "\"0123\"",
        "\"0\"",
        "\"12,3\"",
        "\"-gz\"",
        "\"99999999999999999999\"",
    };
    (void)state;

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_int_equal(parsed(arena, headers[i], true).n, 0);
    }
}

static void empty_elements_of_a_list_are_skipped(void **state)
{
    ARENA arena = arena_new();
    (void)state;

    struct condition condition = parsed(arena, ", \"1\" ,, \"2\",", false);
    assert_int_equal(condition.n, 2);
}

static void what_is_no_list_of_tags_is_refused(void **state)
{
    ARENA arena = arena_new();
    static const char *const headers[] = {
        "", "123", "\"123", "\"1\" \"2\"", "W/123", "*, \"1\"", "\"1\";",
    };
    (void)state;

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct condition condition;
        assert_int_equal(
            condition_parse(arena, str_of(headers[i]), false, &condition),
            ERR_INVALID);
    }
}

static void a_cursor_comes_back_as_it_was_written(void **state)
{
    struct cursor cursor = {STR("web.shop.roster"), STR("service"), {{1, 2}}};
    struct cursor back;
    struct buf out = {0};
    (void)state;

    cursor_write(&out, &cursor);
    assert_int_equal(cursor_parse(buf_str(&out), &back), 0);
    assert_true(str_equal(back.ns, cursor.ns));
    assert_true(str_equal(back.type, cursor.type));
    assert_int_equal(ulid_compare(back.id, cursor.id), 0);
    buf_done(&out);
}

static void a_cursor_that_was_tampered_with_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "roster",
        "roster/service",
        "roster/service/x",
        "Roster/service/01M7XZ8X97XPCHYYZ6WDNSWQWM",
        "roster/Service/01M7XZ8X97XPCHYYZ6WDNSWQWM",
        "roster/service/01M7XZ8X97XPCHYYZ6WDNSWQWM/",
        "/service/01M7XZ8X97XPCHYYZ6WDNSWQWM",
    };
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cursor cursor;
        assert_int_equal(cursor_parse(str_of(texts[i]), &cursor), ERR_INVALID);
    }
}

/* Depth first, parents first, labels by bytes: "a.b" sorts by b before a. */
static void paths_are_ordered_by_their_labels_from_the_root(void **state)
{
    static const char *const in_order[] = {
        "roster",     "a.roster",  "b.a.roster", "b.b.a.roster",
        "a-1.roster", "ab.roster", "b.roster",   "a.b.roster",
    };
    size_t n = sizeof in_order / sizeof in_order[0];
    (void)state;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            int order = nodes_compare(str_of(in_order[i]), str_of(in_order[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
}

static void below_means_whole_labels(void **state)
{
    (void)state;

    assert_true(nodes_below(STR("web.shop.roster"), STR("shop.roster")));
    assert_true(nodes_below(STR("shop.roster"), STR("shop.roster")));
    assert_false(nodes_below(STR("workshop.roster"), STR("shop.roster")));
    assert_false(nodes_below(STR("roster"), STR("shop.roster")));
}

static void an_idempotency_key_is_visible_ascii(void **state)
{
    char longest[256];
    (void)state;

    memset(longest, 'k', sizeof longest);
    assert_true(idem_is_key(STR("8e03978e-40d5-43dd-bc93-6894a57f9324")));
    assert_true(idem_is_key((struct str){longest, 255}));
    assert_false(idem_is_key((struct str){longest, 256}));
    assert_false(idem_is_key(STR("")));
    assert_false(idem_is_key(STR("two words")));
    assert_false(idem_is_key(STR("k\xc3\xa9y")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_of_either_encoding_names_its_revision),
        cmocka_unit_test(a_star_is_whatever_there_is),
        cmocka_unit_test(a_weak_tag_never_fulfils_if_match),
        cmocka_unit_test(a_tag_of_others_is_valid_and_matches_nothing),
        cmocka_unit_test(empty_elements_of_a_list_are_skipped),
        cmocka_unit_test(what_is_no_list_of_tags_is_refused),
        cmocka_unit_test(a_cursor_comes_back_as_it_was_written),
        cmocka_unit_test(a_cursor_that_was_tampered_with_is_refused),
        cmocka_unit_test(paths_are_ordered_by_their_labels_from_the_root),
        cmocka_unit_test(below_means_whole_labels),
        cmocka_unit_test(an_idempotency_key_is_visible_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
