/* The compressed bodies of lists. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <libdeflate.h>

#include "base/err.h"
#include "cache/cache.h"

DEFINE_CLEANUP(struct cache, cache_free)
#define CACHE CLEANUP(cache_freep) struct cache *

#define TYPE STR("service")
#define MIB UINT64_C(1048576)

/* `random`: nothing that could be compressed. */
static const struct cache_list *put(struct cache *cache, uint64_t snapshot,
                                    size_t size, bool random)
{
    struct buf body = {0};
    uint64_t x = snapshot + 1;

    buf_reserve(&body, size);
    for (body.n = 0; body.n < size; body.n++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        body.p[body.n] = "row of a list "[x >> 61];
        if (random) {
            body.p[body.n] = (char)(x >> 56);
        }
    }
    return cache_put(cache, 1, TYPE, snapshot, snapshot, 1, &body);
}

/* What is made of a list by who asks first. */
static enum cache_gzip make(struct cache *cache, const struct cache_list *list,
                            struct str *ret_body)
{
    *ret_body = STR_NONE;
    if (cache_gzip_claim(list)) {
        cache_gzip_make(cache, 1, TYPE, list);
    }
    return cache_gzip_get(list, ret_body);
}

static void expect_same(struct str gzip, struct str body)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    char *out = mem_alloc(body.n);
    size_t n = 0;

    assert_int_equal(
        libdeflate_gzip_decompress(d, gzip.p, gzip.n, out, body.n, &n),
        LIBDEFLATE_SUCCESS);
    assert_true(str_equal((struct str){out, n}, body));
    (void)mem_free(out);
    libdeflate_free_decompressor(d);
}

static void a_body_is_compressed_once_for_all(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = put(cache, 5, 20000, false);
    struct str first, again;

    (void)state;
    assert_int_equal(cache_gzip_get(list, &first), CACHE_GZIP_NONE);
    assert_int_equal(make(cache, list, &first), CACHE_GZIP_MADE);
    assert_in_range(first.n, 20, 20000 / 2);
    expect_same(first, list->body);
    assert_false(cache_gzip_claim(list));
    assert_int_equal(make(cache, list, &again), CACHE_GZIP_MADE);
    assert_ptr_equal(first.p, again.p);
    assert_int_equal(cache_stats(cache).gzips, 1);
    (void)cache_unref(list);
}

static void one_of_many_makes_it(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = put(cache, 5, 20000, false);
    struct str body;

    (void)state;
    assert_true(cache_gzip_claim(list));
    assert_false(cache_gzip_claim(list));
    assert_int_equal(cache_gzip_get(list, &body), CACHE_GZIP_CLAIMED);
    cache_gzip_unclaim(list);
    assert_int_equal(cache_gzip_get(list, &body), CACHE_GZIP_NONE);
    assert_true(cache_gzip_claim(list));
    cache_gzip_unclaim(list);
    (void)cache_unref(list);
}

static void small_bodies_and_noise_are_left_as_they_are(void **state)
{
    CACHE cache = cache_new(MIB);
    struct str body;

    (void)state;
    const struct cache_list *small = put(cache, 5, CACHE_GZIP_LEAST - 1, false);
    assert_int_equal(make(cache, small, &body), CACHE_GZIP_NEVER);
    const struct cache_list *noise = put(cache, 6, 20000, true);
    assert_int_equal(make(cache, noise, &body), CACHE_GZIP_NEVER);
    assert_false(cache_gzip_claim(noise));
    assert_int_equal(cache_stats(cache).gzips, 0);
    (void)cache_unref(small);
    (void)cache_unref(noise);
}

/* [CACHE-2] */
static void its_bytes_count_and_leave_with_the_list(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = put(cache, 5, 20000, false);
    uint64_t before = cache_stats(cache).bytes;
    struct str body;

    (void)state;
    assert_int_equal(make(cache, list, &body), CACHE_GZIP_MADE);
    assert_int_equal(cache_stats(cache).bytes, before + body.n);
    assert_int_equal(cache_stats(cache).gzip_bytes, body.n);
    (void)cache_unref(list);
    cache_drop(cache, 1, TYPE, 6);
    assert_int_equal(cache_stats(cache).gzip_bytes, 0);
    assert_in_range(cache_stats(cache).bytes, 0, before - 20000);
}

/* Nobody would account for it. */
static void a_list_that_is_kept_no_more_gets_none(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *list = put(cache, 5, 20000, false);
    struct str body;

    (void)state;
    cache_drop(cache, 1, TYPE, 6);
    uint64_t before = cache_stats(cache).bytes;
    assert_int_equal(make(cache, list, &body), CACHE_GZIP_NEVER);
    assert_int_equal(cache_stats(cache).bytes, before);

    (void)cache_unref(list);
}

/* While it is made the list changes and is read anew. */
static void nor_does_the_one_in_its_place_get_it(void **state)
{
    CACHE cache = cache_new(MIB);
    const struct cache_list *old = put(cache, 5, 20000, false);
    struct str body;

    (void)state;
    assert_true(cache_gzip_claim(old));
    cache_drop(cache, 1, TYPE, 6);
    const struct cache_list *newer = put(cache, 7, 30000, false);
    cache_gzip_make(cache, 1, TYPE, old);
    assert_int_equal(cache_gzip_get(old, &body), CACHE_GZIP_NEVER);
    assert_int_equal(cache_gzip_get(newer, &body), CACHE_GZIP_NONE);
    assert_int_equal(make(cache, newer, &body), CACHE_GZIP_MADE);
    expect_same(body, newer->body);
    (void)cache_unref(old);
    (void)cache_unref(newer);
}

static void without_room_there_is_none(void **state)
{
    CACHE cache = cache_new(UINT64_C(8) * 2000);
    const struct cache_list *list = put(cache, 5, 2000, false);
    struct str body;

    (void)state;
    for (uint64_t ns = 2; cache_stats(cache).evictions == 0; ns++) {
        struct buf other = {0};
        buf_reserve(&other, 1000);
        memset(other.p, 'x', other.n = 1000);
        (void)cache_unref(cache_put(cache, ns, TYPE, 5, 5, 1, &other));
    }
    assert_int_equal(make(cache, list, &body), CACHE_GZIP_NEVER);
    assert_in_range(cache_stats(cache).bytes, 0, 8 * 2000);
    (void)cache_unref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_compressed_once_for_all),
        cmocka_unit_test(one_of_many_makes_it),
        cmocka_unit_test(small_bodies_and_noise_are_left_as_they_are),
        cmocka_unit_test(its_bytes_count_and_leave_with_the_list),
        cmocka_unit_test(a_list_that_is_kept_no_more_gets_none),
        cmocka_unit_test(nor_does_the_one_in_its_place_get_it),
        cmocka_unit_test(without_room_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
