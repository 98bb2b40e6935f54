/* How much a caller and an address may send; the clock is the test's. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <stdatomic.h>

#include "registry/bucket.h"
#include "registry/limit.h"

enum { LARGE = 1 << 20 };
#define SECOND UINT64_C(1000000)

static struct registry_limit limit;

static struct access_who ann = {
    .kind = ACCESS_USER, .name = {"ann", 3}, .id = {"01J0", 4}};
static struct access_who bob = {.kind = ACCESS_USER, .name = {"bob", 3}};

static bool take(struct buckets *buckets, const char *key, uint64_t now_us)
{
    return buckets_take(buckets, str_of(key), now_us, &limit);
}

static void a_bucket_gives_a_second_at_once_and_then_its_rate(void **state)
{
    struct buckets *buckets = buckets_new(10, 1000, LARGE);
    uint64_t now = 5 * SECOND;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(take(buckets, "a", now));
        assert_int_equal(limit.left, 9 - i);
        assert_int_equal(limit.most, 10);
        assert_int_equal(limit.reset_s, 1);
    }
    assert_false(take(buckets, "a", now));
    assert_int_equal(limit.left, 0);
    assert_int_equal(limit.retry_after_s, 1);
    assert_false(take(buckets, "a", now + SECOND / 10 - 1));
    assert_true(take(buckets, "a", now + SECOND / 10));
    assert_false(take(buckets, "a", now + SECOND / 10));
    assert_true(take(buckets, "a", now + 2 * SECOND));
    assert_int_equal(limit.left, 9);
    (void)buckets_free(buckets);
}

static void who_is_refused_pays_nothing(void **state)
{
    struct buckets *buckets = buckets_new(1, 1000, LARGE);

    (void)state;
    assert_true(take(buckets, "a", 0));
    for (unsigned i = 0; i < 1000; i++) {
        assert_false(take(buckets, "a", SECOND - 1));
    }
    assert_true(take(buckets, "a", SECOND));
    (void)buckets_free(buckets);
}

static void one_bucket_is_nobody_elses(void **state)
{
    struct buckets *buckets = buckets_new(1, 1000, LARGE);

    (void)state;
    assert_true(take(buckets, "a", 0));
    assert_false(take(buckets, "a", 0));
    assert_true(take(buckets, "b", 0));
    (void)buckets_free(buckets);
}

static void looking_takes_nothing(void **state)
{
    struct buckets *buckets = buckets_new(1, 1000, LARGE);

    (void)state;
    assert_true(buckets_have(buckets, STR("a"), 0, &limit));
    assert_true(buckets_have(buckets, STR("a"), 0, &limit));
    assert_int_equal(buckets_stats(buckets).held, 0);
    assert_true(take(buckets, "a", 0));
    assert_false(buckets_have(buckets, STR("a"), 0, &limit));
    assert_int_equal(buckets_stats(buckets).held, 1);
    (void)buckets_free(buckets);
}

static void full_buckets_are_forgotten(void **state)
{
    struct buckets *buckets = buckets_new(10, 1000, LARGE);
    char key[16];

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        assert_true(take(buckets, key, 0));
    }
    assert_int_equal(buckets_stats(buckets).held, 2000);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "x%u", i);
        assert_true(take(buckets, key, 2 * SECOND));
    }
    assert_true(buckets_stats(buckets).held < 2500);
    assert_int_equal(buckets_stats(buckets).pushed, 0);
    (void)buckets_free(buckets);
}

static void the_oldest_go_when_there_is_no_place(void **state)
{
    struct buckets *buckets = buckets_new(1, 1000, 64 << 10);
    char key[16];

    (void)state;
    assert_true(take(buckets, "old", 0));
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        assert_true(take(buckets, key, 1));
    }
    struct buckets_stats stats = buckets_stats(buckets);
    assert_true(stats.held <= (64 << 10) / sizeof(void *));
    assert_int_equal(stats.held + stats.pushed, 100001);
    assert_true(take(buckets, "old", 1));
    assert_false(take(buckets, key, 1));
    (void)buckets_free(buckets);
}

enum { TAKERS = 4, TAKES = 20000 };

static struct buckets *shared;
static atomic_uint n_taken;

static void *take_many(void *user)
{
    struct registry_limit own;

    (void)user;
    for (unsigned i = 0; i < TAKES; i++) {
        n_taken += buckets_take(shared, STR("all"), 0, &own);
    }
    return NULL;
}

static void many_threads_take_no_more_than_there_is(void **state)
{
    pthread_t threads[TAKERS];

    (void)state;
    shared = buckets_new(1000, 1000, LARGE);
    for (size_t i = 0; i < TAKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, NULL), 0);
    }
    for (size_t i = 0; i < TAKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(n_taken, 1000);
    shared = buckets_free(shared);
}

/* ---- callers and addresses ---- */

static struct limits *make(uint64_t token, uint64_t address, bool access)
{
    return limits_new(&(struct registry_trust){
        .access = access, .rate_token = token, .rate_address = address});
}

static bool admit(struct limits *limits, struct access_who *who,
                  const char *address)
{
    return limits_admit(limits, who, str_of(address), 0, &limit);
}

static void nothing_is_limited_unless_it_was_asked_for(void **state)
{
    (void)state;
    assert_null(make(0, 0, false));
    assert_true(admit(NULL, &ann, "10.0.0.1"));
    assert_false(limit.limited);
    struct limits *limits = make(0, 0, true);
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_false(limit.limited);
    (void)limits_free(limits);
}

static void a_token_counts_from_wherever_it_comes(void **state)
{
    struct limits *limits = make(2, 0, true);

    (void)state;
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_true(admit(limits, &ann, "10.0.0.2"));
    assert_false(admit(limits, &ann, "10.0.0.3"));
    assert_int_equal(limit.retry_after_s, 1);
    assert_true(admit(limits, &bob, "10.0.0.1"));
    (void)limits_free(limits);
}

static void who_is_nobody_has_no_bucket_of_his_own(void **state)
{
    struct limits *limits = make(1, 0, true);

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(admit(limits, access_anonymous(), "10.0.0.1"));
        assert_true(admit(limits, access_anyone(), "10.0.0.1"));
        assert_true(admit(limits, NULL, "10.0.0.1"));
    }
    (void)limits_free(limits);
}

static void an_address_counts_whoever_it_is(void **state)
{
    struct limits *limits = make(0, 2, true);

    (void)state;
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_true(admit(limits, &bob, "::ffff:10.0.0.1"));
    assert_false(admit(limits, access_anonymous(), "10.0.0.1"));
    assert_true(admit(limits, &ann, "10.0.0.2"));
    (void)limits_free(limits);
}

static void a_network_of_ipv6_is_one_address(void **state)
{
    struct limits *limits = make(0, 1, true);

    (void)state;
    assert_true(admit(limits, &ann, "2001:db8:0:1::1"));
    assert_false(admit(limits, &ann, "2001:db8:0:1:ffff::2"));
    assert_true(admit(limits, &ann, "2001:db8:0:2::1"));
    (void)limits_free(limits);
}

static void the_tighter_limit_is_told(void **state)
{
    struct limits *limits = make(100, 3, true);

    (void)state;
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_int_equal(limit.most, 3);
    assert_int_equal(limit.left, 2);
    (void)limits_free(limits);
    limits = make(3, 100, true);
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_int_equal(limit.most, 3);
    (void)limits_free(limits);
}

static void who_shows_nothing_good_too_often_is_slowed_down(void **state)
{
    struct limits *limits = make(0, 0, true);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_true(admit(limits, access_anonymous(), "10.0.0.1"));
        limits_note_unknown(limits, STR("10.0.0.1"), 0);
    }
    assert_false(admit(limits, access_anonymous(), "10.0.0.1"));
    assert_true(limit.limited);
    assert_true(admit(limits, access_anonymous(), "10.0.0.2"));
    /* Somebody behind the same address whom we know is served. */
    assert_true(admit(limits, &ann, "10.0.0.1"));
    assert_true(limits_admit(limits, access_anonymous(), STR("10.0.0.1"),
                             SECOND, &limit));
    (void)limits_free(limits);
}

static bool signs_in(struct limits *limits, const char *address,
                     const char *user)
{
    return limits_admit_signin(limits, str_of(address), str_of(user), 0,
                               &limit);
}

static void tries_to_sign_in_are_few(void **state)
{
    struct limits *limits = make(0, 0, true);
    char text[32];
    unsigned n = 0;

    (void)state;
    for (; signs_in(limits, "10.0.0.1", "ann"); n++) {
    }
    assert_int_equal(n, 10);
    assert_true(limit.retry_after_s > 0);
    for (; snprintf(text, sizeof text, "user%u", n) > 0 &&
           signs_in(limits, "10.0.0.1", text);
         n++) {
    }
    assert_int_equal(n, 19); /* and the one that was refused */
    /* From elsewhere too. */
    assert_false(signs_in(limits, "10.0.0.2", "ann"));
    assert_true(signs_in(limits, "10.0.0.2", "bob"));
    (void)limits_free(limits);
}

static void who_signs_in_was_not_trying(void **state)
{
    struct limits *limits = make(0, 0, true);

    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        assert_true(signs_in(limits, "10.0.0.1", "ann"));
        limits_signed_in(limits, STR("10.0.0.1"), STR("ann"), 0);
    }
    limits_signed_in(limits, STR("10.0.0.1"), STR("ann"), 0);
    for (unsigned n = 0; n < 10; n++) {
        assert_true(signs_in(limits, "10.0.0.1", "ann"));
    }
    assert_false(signs_in(limits, "10.0.0.1", "ann"));
    (void)limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_a_second_at_once_and_then_its_rate),
        cmocka_unit_test(who_is_refused_pays_nothing),
        cmocka_unit_test(one_bucket_is_nobody_elses),
        cmocka_unit_test(looking_takes_nothing),
        cmocka_unit_test(full_buckets_are_forgotten),
        cmocka_unit_test(the_oldest_go_when_there_is_no_place),
        cmocka_unit_test(many_threads_take_no_more_than_there_is),
        cmocka_unit_test(nothing_is_limited_unless_it_was_asked_for),
        cmocka_unit_test(a_token_counts_from_wherever_it_comes),
        cmocka_unit_test(who_is_nobody_has_no_bucket_of_his_own),
        cmocka_unit_test(an_address_counts_whoever_it_is),
        cmocka_unit_test(a_network_of_ipv6_is_one_address),
        cmocka_unit_test(the_tighter_limit_is_told),
        cmocka_unit_test(who_shows_nothing_good_too_often_is_slowed_down),
        cmocka_unit_test(tries_to_sign_in_are_few),
        cmocka_unit_test(who_signs_in_was_not_trying),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
