/* What only threads can break: fills that race with drops. Most telling under
 * the thread sanitizer. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/err.h"
#include "cache/cache.h"

#define TYPE STR("service")

enum { READERS = 3, LISTS = 4, CHANGES = 20000 };

/* One writer changes lists as the machine does: drop, then commit. What a
 * list is at a revision is that revision of its last commit. */
struct world {
    struct cache *cache;
    _Atomic uint64_t dropped[LISTS];   /* cache_drop has returned */
    _Atomic uint64_t committed[LISTS]; /* what a snapshot shows */
    _Atomic uint64_t revision;
    _Atomic bool over;
    _Atomic uint64_t n_hits;
    _Atomic uint64_t n_stale;
};

static void change(struct world *world, uint64_t revision)
{
    uint64_t ns = revision % LISTS;

    if (revision % 50 == 0) {
        cache_drop_all(world->cache, revision);
        for (size_t i = 0; i < LISTS; i++) {
            atomic_store(&world->dropped[i], revision);
        }
    } else {
        cache_drop(world->cache, ns, TYPE, revision);
        atomic_store(&world->dropped[ns], revision);
    }
    atomic_store(&world->committed[ns], revision);
    atomic_store(&world->revision, revision);
}

/* A read of the store: the snapshot first, then the list as of then or later,
 * slowly enough for changes to come between. */
static void fill(struct world *world, uint64_t ns)
{
    uint64_t snapshot = atomic_load(&world->revision);
    struct buf body = {0};

    buf_add_u64(&body, snapshot);
    sched_yield();
    (void)cache_unref(
        cache_put(world->cache, ns, TYPE, snapshot, snapshot, 1, &body));
}

static void read_once(struct world *world, uint64_t ns)
{
    uint64_t least = atomic_load(&world->dropped[ns]);
    const struct cache_list *list = NULL;
    uint64_t in_body = 0;

    if (cache_get(world->cache, ns, TYPE, &list) != 0) {
        fill(world, ns);
        return;
    }
    if (str_number(list->body, UINT64_MAX, &in_body) != 0 ||
        in_body != list->revision || list->revision < least) {
        atomic_fetch_add(&world->n_stale, 1);
    }
    atomic_fetch_add(&world->n_hits, 1);
    (void)cache_unref(list);
}

static void *reader(void *user)
{
    struct world *world = user;

    for (uint64_t i = 0; !atomic_load(&world->over); i++) {
        read_once(world, i / 2 % LISTS); /* and once more what it filled */
    }
    return NULL;
}

/* However the threads take turns: without a rest all fills could come late, and
 * the test would prove nothing. */
static void wait_for_hit(const struct world *world)
{
    uint64_t before = atomic_load(&world->n_hits);
    while (atomic_load(&world->n_hits) == before) {
        sched_yield();
    }
}

static void run(struct world *world)
{
    pthread_t threads[READERS];

    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader, world), 0);
    }
    for (uint64_t r = 1; r <= CHANGES; r++) {
        change(world, r);
        if (r % 8 == 0) {
            sched_yield();
        }
        if (r % 64 == 0) {
            wait_for_hit(world);
        }
    }
    atomic_store(&world->over, true);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    world->cache = cache_free(world->cache);
}

/* [CACHE-1] */
static void a_hit_is_never_older_than_a_drop_that_returned(void **state)
{
    struct world world = {.cache = cache_new(1000000)};

    (void)state;
    run(&world);
    assert_int_equal(world.n_stale, 0);
}

/* [CACHE-1] [CACHE-3] Room for two of four lists: slots come and go. */
static void nor_when_slots_are_forgotten_all_the_time(void **state)
{
    struct world world = {.cache = cache_new(700)};

    (void)state;
    run(&world);
    assert_int_equal(world.n_stale, 0);
}

/* [CACHE-2] */
struct crowd {
    struct cache *cache;
    uint64_t limit;
    _Atomic uint64_t n_over;
};

static void *pusher(void *user)
{
    struct crowd *crowd = user;

    for (uint64_t i = 1; i <= 3000; i++) {
        struct buf body = {0};
        buf_reserve(&body, 4000);
        memset(body.p, 'x', 4000);
        body.n = 4000;
        (void)cache_unref(
            cache_put(crowd->cache, i * 7919 % 1000, TYPE, i, i, 1, &body));
        if (cache_stats(crowd->cache).bytes > crowd->limit) {
            atomic_fetch_add(&crowd->n_over, 1);
        }
    }
    return NULL;
}

static void many_fills_at_once_stay_within_the_bound(void **state)
{
    struct crowd crowd = {.cache = cache_new(40000), .limit = 40000};
    pthread_t threads[READERS];

    (void)state;
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, pusher, &crowd), 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.n_over, 0);
    assert_in_range(cache_stats(crowd.cache).lists, 1, 9);
    crowd.cache = cache_free(crowd.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_is_never_older_than_a_drop_that_returned),
        cmocka_unit_test(nor_when_slots_are_forgotten_all_the_time),
        cmocka_unit_test(many_fills_at_once_stay_within_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
