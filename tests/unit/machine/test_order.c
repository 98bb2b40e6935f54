/* [CACHE-4] Who keeps answers hears of a commit before anybody can see it. */
#include <pthread.h>
#include <stdatomic.h>

#include "kit.h"

enum { COMMITS = 3000 };

struct watch {
    struct kit *k;
    struct store_reader *reader;
    _Atomic bool over;
    _Atomic uint64_t n_new; /* snapshots that had something new */
    uint64_t n_early;       /* and were seen before it was told */
};

static uint64_t look(struct store_reader *reader)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_read_begin(reader, &txn), 0);
    uint64_t revision = store_meta(txn)->revision;
    store_read_end(txn);
    return revision;
}

static void *watcher(void *user)
{
    struct watch *w = user;
    uint64_t last = 0;

    while (!atomic_load(&w->over)) {
        uint64_t revision = look(w->reader);
        w->n_early += revision > cache_newest(w->k->cache);
        if (revision > last) {
            last = revision;
            atomic_fetch_add(&w->n_new, 1);
        }
    }
    return NULL;
}

static void a_commit_is_told_before_it_is_seen(void **state)
{
    struct watch w = {.k = kit_new()};
    pthread_t thread;

    (void)state;
    assert_int_equal(store_reader_new(w.k->store, &w.reader), 0);
    assert_int_equal(pthread_create(&thread, NULL, watcher, &w), 0);
    for (unsigned i = 0; i < COMMITS || atomic_load(&w.n_new) < 10; i++) {
        char fields[32];
        (void)snprintf(fields, sizeof fields, "\"name\":\"n%u\"", i);
        struct command c = kit_add(w.k, STORE_POOL, "service", "name", fields);
        assert_int_equal(kit_do(w.k, &c), 0);
    }
    atomic_store(&w.over, true);
    (void)pthread_join(thread, NULL);
    assert_int_equal(w.n_early, 0);
    w.reader = store_reader_free(w.reader);
    kit_free(w.k);
}

/* Else nothing would be kept until the first write after a start. */
static void a_store_that_is_opened_tells_what_it_holds(void **state)
{
    struct kit *k = kit_new();
    struct machine_hooks none = {0};

    (void)state;
    struct cache *cache = cache_new(1000);
    struct machine *m = machine_new(k->store, cache, &none);
    assert_int_equal(machine_load(m), 0);
    assert_int_equal(cache_newest(cache), kit_meta(k).revision);
    machine_free(m);
    cache_free(cache);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_told_before_it_is_seen),
        cmocka_unit_test(a_store_that_is_opened_tells_what_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
