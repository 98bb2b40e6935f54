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
#include "cache/cache.h"

DEFINE_CLEANUP(struct cache, cache_free)
#define CACHE CLEANUP(cache_freep) struct cache *

#define TYPE STR("service")
#define MIB UINT64_C(1048576)

/* Where a test says nothing of a list's revision it is the snapshot's. */
static void fill(struct cache *cache, uint64_t ns, uint64_t snapshot,
                 size_t size)
{
    struct buf body = {0};

    buf_reserve(&body, size);
    memset(body.p, 'x', size);
    body.n = size;
    (void)cache_unref(cache_put(cache, ns, TYPE, snapshot, snapshot, 1, &body));
    assert_null(body.p); /* taken */
}

static bool held(struct cache *cache, uint64_t ns)
{
    const struct cache_list *list = NULL;

    if (cache_get(cache, ns, TYPE, &list) != 0) {
        assert_null(list); /* An answer leaves ret_ untouched. */
        return false;
    }
    (void)cache_unref(list);
    return true;
}

/* The revision of the list that is served, 0 without one. */
static uint64_t served(struct cache *cache, uint64_t ns)
{
    const struct cache_list *list = NULL;

    if (cache_get(cache, ns, TYPE, &list) != 0) {
        return 0;
    }
    uint64_t revision = list->revision;
    (void)cache_unref(list);
    return revision;
}

static void a_list_is_given_as_it_was_put(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = NULL;
    struct buf body = {0};

    (void)state;
    assert_int_equal(cache_get(cache, 7, TYPE, &list), ERR_NOT_FOUND);
    buf_add_text(&body, "[{\"a\":\"1\"}]");
    const struct cache_list *put = cache_put(cache, 7, TYPE, 12, 9, 1, &body);

    assert_int_equal(cache_get(cache, 7, TYPE, &list), 0);
    assert_ptr_equal(list, put); /* one copy for all */
    assert_int_equal(list->revision, 9);
    assert_int_equal(list->count, 1);
    assert_true(str_is(list->body, "[{\"a\":\"1\"}]"));
    (void)cache_unref(put);
    (void)cache_unref(list);
}

static void lists_differ_by_namespace_and_type(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = NULL;

    (void)state;
    fill(cache, 7, 1, 10);
    assert_false(held(cache, 8));
    assert_int_equal(cache_get(cache, 7, STR("servic"), &list), ERR_NOT_FOUND);
    assert_int_equal(cache_get(cache, 7, STR("service\0"), &list),
                     ERR_NOT_FOUND);
}

static void a_type_that_cannot_be_is_never_found(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = NULL;
    struct buf body = {0};
    char text[64];

    (void)state;
    memset(text, 'a', sizeof text);
    struct str longest = {text, 63};
    struct str too_long = {text, 64};
    buf_add_text(&body, "[]");
    (void)cache_unref(cache_put(cache, 1, too_long, 1, 1, 0, &body));
    assert_int_equal(cache_get(cache, 1, too_long, &list), ERR_NOT_FOUND);
    cache_drop(cache, 1, too_long, 2);
    buf_add_text(&body, "[]");
    (void)cache_unref(cache_put(cache, 1, longest, 1, 1, 0, &body));
    assert_int_equal(cache_get(cache, 1, longest, &list), 0);
    (void)cache_unref(list);
}

/* A reader goes on reading what it holds. */
static void a_dropped_list_lives_as_long_as_it_is_held(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = NULL;

    (void)state;
    fill(cache, 1, 5, 100);
    assert_int_equal(cache_get(cache, 1, TYPE, &list), 0);
    cache_drop(cache, 1, TYPE, 6);
    assert_false(held(cache, 1));
    assert_int_equal(list->body.n, 100);
    assert_int_equal(list->body.p[99], 'x');
    (void)cache_unref(list);
}

static void a_fill_from_before_a_drop_is_not_published(void **state)
{
    CACHE cache = cache_new(MIB);
    struct buf body = {0};

    (void)state;
    cache_drop(cache, 1, TYPE, 10);
    buf_add_text(&body, "[]");
    const struct cache_list *mine = cache_put(cache, 1, TYPE, 9, 4, 0, &body);
    assert_true(str_is(mine->body, "[]")); /* its maker still gets it */
    (void)cache_unref(mine);
    assert_false(held(cache, 1));

    fill(cache, 1, 10, 10);
    assert_int_equal(served(cache, 1), 10);
}

static void a_slower_fill_does_not_replace_a_newer_one(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    fill(cache, 1, 8, 10);
    fill(cache, 1, 7, 10);
    assert_int_equal(served(cache, 1), 8);
    fill(cache, 1, 9, 10);
    assert_int_equal(served(cache, 1), 9);
}

static void a_drop_of_one_list_leaves_the_others(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    for (uint64_t ns = 1; ns <= 500; ns++) {
        fill(cache, ns, 1, 10);
    }
    cache_drop(cache, 250, TYPE, 2);
    for (uint64_t ns = 1; ns <= 500; ns++) {
        assert_int_equal(held(cache, ns), ns != 250);
    }
}

static void a_drop_of_all_takes_every_list_and_every_older_fill(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    for (uint64_t ns = 1; ns <= 200; ns++) {
        fill(cache, ns, 5, 10);
    }
    cache_drop_all(cache, 10);
    for (uint64_t ns = 1; ns <= 400; ns++) {
        assert_false(held(cache, ns));
        fill(cache, ns, 9, 10);
        assert_false(held(cache, ns));
        fill(cache, ns, 10, 10);
        assert_true(held(cache, ns));
    }
}

/* [CACHE-3] The slots of many drops push each other out. */
static void a_forgotten_drop_is_still_obeyed(void **state)
{
    CACHE cache = cache_new(16384);

    (void)state;
    for (uint64_t ns = 1; ns <= 10000; ns++) {
        cache_drop(cache, ns, TYPE, 1000 + ns);
        assert_true(cache_stats(cache).bytes <= 16384);
    }
    for (uint64_t ns = 1; ns <= 10000; ns++) {
        fill(cache, ns, 999 + ns, 10);
        assert_false(held(cache, ns));
    }
    fill(cache, 1, 11000, 10);
    assert_true(held(cache, 1));
}

/* [CACHE-2] */
static void the_least_recently_used_makes_room(void **state)
{
    CACHE cache = cache_new(10240);

    (void)state;
    /* With what a slot costs, nine of these fit but ten do not. */
    for (uint64_t ns = 1; ns <= 9; ns++) {
        fill(cache, ns, 1, 800);
    }
    assert_int_equal(cache_stats(cache).evictions, 0);
    assert_true(held(cache, 1)); /* used: now 2 is the oldest */
    fill(cache, 10, 1, 800);
    assert_false(held(cache, 2));
    assert_true(held(cache, 1));
    assert_true(held(cache, 3));
    assert_true(held(cache, 10));
    assert_int_equal(cache_stats(cache).evictions, 1);
    assert_int_equal(cache_stats(cache).lists, 9);
}

/* [CACHE-2] */
static void the_bytes_held_stay_within_the_bound(void **state)
{
    CACHE cache = cache_new(100000);

    (void)state;
    for (uint64_t ns = 1; ns <= 2000; ns++) {
        fill(cache, ns, ns, ns * 7919 % 12000);
        assert_true(cache_stats(cache).bytes <= 100000);
    }
    struct cache_stats stats = cache_stats(cache);
    assert_true(stats.bytes > 70000);
    assert_int_equal(stats.lists + stats.evictions, 2000);
}

static void what_leaves_gives_its_bytes_back(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    cache_drop(cache, 1, TYPE, 1);
    uint64_t empty = cache_stats(cache).bytes;
    for (uint64_t r = 2; r < 100; r += 2) {
        fill(cache, 1, r, 5000);
        fill(cache, 1, r, 7000);     /* in its place */
        fill(cache, 1, r - 1, 3000); /* refused */
        assert_true(cache_stats(cache).bytes > empty + 7000);
        assert_true(cache_stats(cache).bytes < empty + 7100);
        cache_drop(cache, 1, TYPE, r + 1);
        assert_int_equal(cache_stats(cache).bytes, empty);
        assert_int_equal(cache_stats(cache).lists, 0);
    }
}

static void a_big_list_is_kept_up_to_an_eighth_of_the_bound(void **state)
{
    CACHE cache = cache_new(64 * MIB);

    (void)state;
    fill(cache, 1, 1, 10);
    fill(cache, 2, 1, 8 * MIB);
    assert_true(held(cache, 2));
    fill(cache, 3, 1, 8 * MIB + 1);
    assert_false(held(cache, 3));
    assert_true(held(cache, 1));
    for (uint64_t ns = 10; ns < 30; ns++) {
        fill(cache, ns, 1, 8 * MIB);
        assert_true(held(cache, ns));
    }
    assert_int_equal(cache_stats(cache).lists, 7);
}

static void a_cache_without_room_keeps_nothing_and_lists_are_given(void **state)
{
    CACHE cache = cache_new(0);
    struct buf body = {0};

    (void)state;
    cache_drop(cache, 1, TYPE, 1);
    buf_add_text(&body, "[]");
    const struct cache_list *list = cache_put(cache, 1, TYPE, 2, 2, 0, &body);
    assert_true(str_is(list->body, "[]"));
    (void)cache_unref(list);
    assert_false(held(cache, 1));
    assert_int_equal(cache_stats(cache).bytes, 0);
}

static void it_counts_what_it_does(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    assert_false(held(cache, 1));
    fill(cache, 1, 1, 10);
    assert_true(held(cache, 1));
    assert_true(held(cache, 1));
    cache_drop(cache, 1, TYPE, 2);
    struct cache_stats stats = cache_stats(cache);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.drops, 1);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(stats.lists, 0);
}

static bool path_known(struct cache *cache, const char *path, uint64_t ns)
{
    struct cache_path found = {0};

    if (cache_path_get(cache, str_of(path), &found) != 0) {
        return false;
    }
    assert_int_equal(found.ns, ns);
    assert_true(found.leaf);
    return true;
}

static void put_path(struct cache *cache, const char *path, uint64_t ns,
                     uint64_t snapshot)
{
    struct cache_path value = {.ns = ns, .leaf = true};
    cache_path_put(cache, str_of(path), value, snapshot);
}

static void a_path_is_known_until_the_tree_changes(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    assert_false(path_known(cache, "web.shop.roster", 0));
    put_path(cache, "web.shop.roster", 7, 5);
    assert_true(path_known(cache, "web.shop.roster", 7));
    assert_false(path_known(cache, "web.shop", 0));
    cache_path_drop_all(cache, 6);
    assert_false(path_known(cache, "web.shop.roster", 0));
    put_path(cache, "web.shop.roster", 7, 5); /* looked up before */
    assert_false(path_known(cache, "web.shop.roster", 0));
    put_path(cache, "web.shop.roster", 8, 6);
    assert_true(path_known(cache, "web.shop.roster", 8));
}

static void an_older_look_at_a_path_does_not_replace_a_newer(void **state)
{
    CACHE cache = cache_new(MIB);

    (void)state;
    put_path(cache, "a.roster", 8, 6);
    put_path(cache, "a.roster", 7, 5);
    assert_true(path_known(cache, "a.roster", 8));
    put_path(cache, "", 1, 9);
    assert_false(path_known(cache, "", 1));
}

static void paths_beyond_the_bound_make_room_for_themselves(void **state)
{
    CACHE cache = cache_new(MIB);
    char path[32];
    size_t known = 0;

    (void)state;
    for (uint64_t i = 1; i <= 200000; i++) {
        (void)snprintf(path, sizeof path, "n%u.roster", (unsigned)i);
        put_path(cache, path, i, 1);
        assert_true(path_known(cache, path, i));
    }
    for (uint64_t i = 1; i <= 200000; i++) {
        (void)snprintf(path, sizeof path, "n%u.roster", (unsigned)i);
        known += path_known(cache, path, i);
    }
    assert_in_range(known, 1000, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_given_as_it_was_put),
        cmocka_unit_test(lists_differ_by_namespace_and_type),
        cmocka_unit_test(a_type_that_cannot_be_is_never_found),
        cmocka_unit_test(a_dropped_list_lives_as_long_as_it_is_held),
        cmocka_unit_test(a_fill_from_before_a_drop_is_not_published),
        cmocka_unit_test(a_slower_fill_does_not_replace_a_newer_one),
        cmocka_unit_test(a_drop_of_one_list_leaves_the_others),
        cmocka_unit_test(a_drop_of_all_takes_every_list_and_every_older_fill),
        cmocka_unit_test(a_forgotten_drop_is_still_obeyed),
        cmocka_unit_test(the_least_recently_used_makes_room),
        cmocka_unit_test(the_bytes_held_stay_within_the_bound),
        cmocka_unit_test(what_leaves_gives_its_bytes_back),
        cmocka_unit_test(a_big_list_is_kept_up_to_an_eighth_of_the_bound),
        cmocka_unit_test(
            a_cache_without_room_keeps_nothing_and_lists_are_given),
        cmocka_unit_test(it_counts_what_it_does),
        cmocka_unit_test(a_path_is_known_until_the_tree_changes),
        cmocka_unit_test(an_older_look_at_a_path_does_not_replace_a_newer),
        cmocka_unit_test(paths_beyond_the_bound_make_room_for_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
