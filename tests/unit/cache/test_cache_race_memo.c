/* What only threads can break: answers that are kept, and compressed bodies,
 * while a writer commits. Most telling under the thread sanitizer. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <libdeflate.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/err.h"
#include "cache/memo.h"

#define TYPE STR("service")
#define KEY STR("GET /v1/ns/web.roster/service")

enum { READERS = 3, CHANGES = 10000, BODY = 3000 };

/* One writer changes one list as the machine does: tells, drops, commits. The
 * list at a revision is that revision, again and again. */
struct world {
    struct cache *cache;
    _Atomic uint64_t committed; /* what a snapshot shows */
    _Atomic uint64_t published;
    _Atomic uint64_t seen; /* the newest that any reader has shown */
    _Atomic bool over;
    _Atomic uint64_t n_kept, n_gzips;
    _Atomic uint64_t n_old, n_torn;
};

static void change(struct world *world, uint64_t revision)
{
    cache_changing(world->cache, revision);
    cache_drop(world->cache, 1, TYPE, revision);
    atomic_store(&world->committed, revision);
    sched_yield();
    atomic_store(&world->published, revision);
}

static void show(struct world *world, uint64_t revision)
{
    uint64_t seen = atomic_load(&world->seen);

    while (seen < revision &&
           !atomic_compare_exchange_weak(&world->seen, &seen, revision)) {
    }
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* As the registry says it: what was shown or published. */
static uint64_t newest(struct world *world)
{
    return larger(atomic_load(&world->seen), atomic_load(&world->published));
}

/* ---- answers ---- */

static void end(void *value)
{
    (void)mem_free(value);
}

static void keep(struct cache_memo *memo, uint64_t claimed, uint64_t content)
{
    uint64_t *value = mem_dup(&content, sizeof content);

    if (!cache_memo_keep(memo, KEY, claimed, 100, value)) {
        end(value);
    }
}

/* A resource: read in a snapshot of the store. */
static void read_row(struct world *world, struct cache_memo *memo)
{
    uint64_t snapshot = atomic_load(&world->committed);

    sched_yield();
    show(world, snapshot);
    keep(memo, snapshot, snapshot);
}

static const struct cache_list *fill(struct world *world)
{
    uint64_t snapshot = atomic_load(&world->committed);
    struct buf body = {0};

    while (body.n < BODY) {
        buf_add_u64(&body, snapshot);
        buf_add_char(&body, ' ');
    }
    sched_yield();
    return cache_put(world->cache, 1, TYPE, snapshot, snapshot, 1, &body);
}

/* A list: out of the cache, under the newest revision before it was got. */
static void read_list(struct world *world, struct cache_memo *memo)
{
    uint64_t claimed = newest(world);
    const struct cache_list *list = NULL;

    if (cache_get(world->cache, 1, TYPE, &list) != 0) {
        (void)cache_unref(fill(world));
        return;
    }
    if (list->revision <= claimed) {
        sched_yield();
        show(world, claimed);
        keep(memo, claimed, list->revision);
    }
    (void)cache_unref(list);
}

static void *answerer(void *user)
{
    struct world *world = user;
    struct cache_memo *memo = cache_memo_new(world->cache, 1000, end);

    for (uint64_t i = 0; !atomic_load(&world->over); i++) {
        uint64_t least = newest(world);
        const uint64_t *kept = cache_memo_find(memo, KEY);
        if (kept != NULL) {
            atomic_fetch_add(&world->n_kept, 1);
            atomic_fetch_add(&world->n_old, *kept < least);
        } else if (i % 2 == 0) {
            read_row(world, memo);
        } else {
            read_list(world, memo);
        }
    }
    (void)cache_memo_free(memo);
    return NULL;
}

/* ---- compressed bodies ---- */

static void compare(struct world *world, const struct cache_list *list,
                    struct str gzip)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    char out[BODY + 32];
    size_t n = 0;

    bool good = libdeflate_gzip_decompress(d, gzip.p, gzip.n, out, sizeof out,
                                           &n) == LIBDEFLATE_SUCCESS &&
                str_equal((struct str){out, n}, list->body);
    atomic_fetch_add(&world->n_gzips, 1);
    atomic_fetch_add(&world->n_torn, !good);
    libdeflate_free_decompressor(d);
}

static void take_gzip(struct world *world)
{
    const struct cache_list *list = NULL;
    struct str gzip;

    if (cache_get(world->cache, 1, TYPE, &list) != 0) {
        list = fill(world);
    }
    if (cache_gzip_claim(list)) {
        sched_yield();
        cache_gzip_make(world->cache, 1, TYPE, list);
    }
    if (cache_gzip_get(list, &gzip) == CACHE_GZIP_MADE) {
        compare(world, list, gzip);
    }
    (void)cache_unref(list);
}

static void *taker(void *user)
{
    struct world *world = user;

    while (!atomic_load(&world->over)) {
        take_gzip(world);
    }
    return NULL;
}

/* ---- the race ---- */

/* However the threads take turns: without a rest nobody would meet anybody. */
static void wait_for_more(const _Atomic uint64_t *counter)
{
    uint64_t before = atomic_load(counter);

    while (atomic_load(counter) == before) {
        sched_yield();
    }
}

static void run(struct world *world, void *(*reader)(void *),
                const _Atomic uint64_t *progress)
{
    pthread_t threads[READERS];

    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader, world), 0);
    }
    for (uint64_t r = 1; r <= CHANGES; r++) {
        change(world, r);
        if (r % 32 == 0) {
            wait_for_more(progress);
        }
    }
    atomic_store(&world->over, true);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

/* [CACHE-4] */
static void
a_kept_answer_is_never_older_than_what_anybody_has_seen(void **state)
{
    struct world world = {.cache = cache_new(1000000)};

    (void)state;
    run(&world, answerer, &world.n_kept);
    world.cache = cache_free(world.cache);
    assert_int_equal(world.n_old, 0);
}

/* [CACHE-2] Nothing of it is left in the account either. */
static void a_compressed_body_is_always_that_of_its_list(void **state)
{
    struct world world = {.cache = cache_new(1000000)};

    (void)state;
    run(&world, taker, &world.n_gzips);
    cache_drop(world.cache, 1, TYPE, CHANGES + 1);
    assert_int_equal(world.n_torn, 0);
    assert_int_equal(cache_stats(world.cache).gzip_bytes, 0);
    assert_in_range(cache_stats(world.cache).bytes, 0, BODY / 2);
    world.cache = cache_free(world.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_kept_answer_is_never_older_than_what_anybody_has_seen),
        cmocka_unit_test(a_compressed_body_is_always_that_of_its_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
