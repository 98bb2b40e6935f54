/* What one thread remembers of its answers. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "cache/memo.h"

#define KEY STR("GET /a")

struct kit {
    struct cache *cache;
    struct cache_memo *memo;
};

static unsigned n_alive;

static unsigned *value(unsigned number)
{
    n_alive++;
    return mem_dup(&number, sizeof number);
}

static void end(void *value)
{
    n_alive--;
    (void)mem_free(value);
}

static int set_up(void **state)
{
    struct kit *k = mem_zero(sizeof *k);

    k->cache = cache_new(1000);
    k->memo = cache_memo_new(k->cache, 100000, end);
    cache_changing(k->cache, 7);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *k = *state;

    k->memo = cache_memo_free(k->memo);
    k->cache = cache_free(k->cache);
    assert_int_equal(n_alive, 0);
    (void)mem_free(k);
    return 0;
}

/* Also when it is not taken. */
static bool keep(struct kit *k, struct str key, uint64_t revision,
                 uint64_t bytes, unsigned number)
{
    unsigned *made = value(number);

    if (cache_memo_keep(k->memo, key, revision, bytes, made)) {
        return true;
    }
    end(made);
    return false;
}

/* 0: none. */
static unsigned found(struct kit *k, struct str key)
{
    const unsigned *value = cache_memo_find(k->memo, key);
    return value == NULL ? 0 : *value;
}

static void an_answer_is_found_by_what_was_asked(void **state)
{
    struct kit *k = *state;

    assert_int_equal(found(k, KEY), 0);
    assert_true(keep(k, KEY, 7, 10, 1));
    assert_int_equal(found(k, KEY), 1);
    assert_int_equal(found(k, STR("GET /b")), 0);
    assert_int_equal(found(k, STR("GET /")), 0);
    assert_true(keep(k, KEY, 7, 10, 2));
    assert_int_equal(found(k, KEY), 2);
    assert_int_equal(n_alive, 1);
}

static void a_key_is_wanted_from_the_second_time_on(void **state)
{
    struct kit *k = *state;

    assert_false(cache_memo_wants(k->memo, KEY));
    assert_true(cache_memo_wants(k->memo, KEY));
    assert_true(keep(k, KEY, 7, 10, 1));
    cache_changing(k->cache, 8); /* it is gone, and still wanted */
    assert_int_equal(found(k, KEY), 0);
    assert_true(cache_memo_wants(k->memo, KEY));
}

/* Two keys with one place: who is found stays. */
static void what_is_found_goes_for_nobody(void **state)
{
    struct kit *k = *state;
    char key[16];

    assert_true(keep(k, KEY, 7, 10, 1));
    for (unsigned i = 0; i < 20000; i++) {
        int n = snprintf(key, sizeof key, "%u", i);
        struct str other = {key, (size_t)n};
        assert_false(cache_memo_wants(k->memo, other));
        assert_int_equal(found(k, KEY), 1);
        if (cache_memo_wants(k->memo, other)) {
            assert_true(keep(k, other, 7, 1, 2));
        }
        assert_int_equal(found(k, KEY), 1);
    }
}

/* [CACHE-4] */
static void none_is_found_once_a_commit_has_begun(void **state)
{
    struct kit *k = *state;

    assert_true(keep(k, KEY, 7, 10, 1));
    cache_changing(k->cache, 8);
    assert_int_equal(found(k, KEY), 0);
    cache_changing(k->cache, 7); /* it never goes back */
    assert_int_equal(found(k, KEY), 0);
}

/* [CACHE-4] The commit has begun and cannot be seen yet. */
static void what_was_read_before_a_commit_is_not_kept(void **state)
{
    struct kit *k = *state;

    cache_changing(k->cache, 8);
    assert_false(keep(k, KEY, 7, 10, 1));
    assert_int_equal(found(k, KEY), 0);
    assert_true(keep(k, KEY, 8, 10, 2));
    assert_int_equal(found(k, KEY), 2);
}

static void a_commit_without_a_change_leaves_all(void **state)
{
    struct kit *k = *state;

    assert_true(keep(k, KEY, 7, 10, 1));
    cache_changing(k->cache, 7);
    assert_int_equal(found(k, KEY), 1);
}

static void the_bytes_stay_within_the_bound(void **state)
{
    struct kit *k = *state;
    char key[16];

    assert_false(keep(k, KEY, 7, 100001, 1));
    for (unsigned i = 1; i <= 5000; i++) {
        int n = snprintf(key, sizeof key, "%u", i);
        assert_true(keep(k, (struct str){key, (size_t)n}, 7, 9900, i));
        assert_int_equal(found(k, (struct str){key, (size_t)n}), i);
        assert_in_range(n_alive, 1, 10);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_found_by_what_was_asked),
        TEST(a_key_is_wanted_from_the_second_time_on),
        TEST(what_is_found_goes_for_nobody),
        TEST(none_is_found_once_a_commit_has_begun),
        TEST(what_was_read_before_a_commit_is_not_kept),
        TEST(a_commit_without_a_change_leaves_all),
        TEST(the_bytes_stay_within_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
