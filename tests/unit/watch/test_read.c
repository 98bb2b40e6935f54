/* The history as it is read by who is behind. */
#include "kit.h"

struct kit {
    struct kit_store bed;
    struct watch_reading reading;
    uint64_t seen[256];
    size_t n;
};

static int set_up(void **state)
{
    struct kit *k = mem_zero(sizeof *k);

    kit_store_open(&k->bed);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *k = *state;

    kit_store_close(&k->bed);
    (void)mem_free(k);
    return 0;
}

static void keep(struct kit *k, uint64_t from, uint64_t to, const char *ns,
                 uint64_t limit)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_write_begin(k->bed.store, &txn), 0);
    store_meta(txn)->history_limit = limit;
    for (uint64_t revision = from; revision <= to; revision++) {
        struct str event =
            kit_put(k->bed.arena, revision, ns, "t", "\"a\":\"1\"", NULL);
        assert_int_equal(store_event_put(txn, revision, event), 0);
    }
    store_meta(txn)->revision = to;
    assert_int_equal(store_write_commit(txn), 0);
}

static void note(void *user, const struct event *event)
{
    struct kit *k = user;

    assert_true(k->n < 256);
    k->seen[k->n++] = event->revision;
}

static int read_behind(struct kit *k, const char *ns, uint64_t after,
                       uint64_t most)
{
    const struct watch_spec spec = {.ns = str_of(ns)};

    k->n = 0;
    return watch_read(k->bed.reader, &spec, after, most, note, k, &k->reading);
}

static void what_is_behind_is_read_in_order(void **state)
{
    struct kit *k = *state;

    keep(k, 1, 10, "a.r", 100);
    keep(k, 11, 20, "b.r", 100);
    assert_int_equal(read_behind(k, "a.r", 5, 1 << 20), 0);
    assert_int_equal(k->n, 5);
    assert_int_equal(k->seen[0], 6);
    assert_true(k->reading.end);
    assert_int_equal(k->reading.upto, 20);
    assert_int_equal(read_behind(k, "r", 20, 1 << 20), 0);
    assert_int_equal(k->n, 0);
    assert_true(k->reading.end);
    assert_int_equal(read_behind(k, "r", 30, 1 << 20), 0);
    assert_int_equal(k->reading.upto, 30);
}

static void little_at_a_time_comes_to_the_same(void **state)
{
    struct kit *k = *state;
    uint64_t after = 0, all = 0;

    keep(k, 1, 50, "a.r", 100);
    do {
        assert_int_equal(read_behind(k, "r", after, 300), 0);
        assert_true(k->n < 5);
        for (size_t i = 0; i < k->n; i++) {
            assert_int_equal(k->seen[i], ++all);
        }
        after = k->reading.upto;
    } while (!k->reading.end);
    assert_int_equal(all, 50);
}

static void what_is_gone_is_said(void **state)
{
    struct kit *k = *state;

    keep(k, 1, 50, "a.r", 10);
    assert_int_equal(read_behind(k, "r", 39, 1 << 20), ERR_NOT_FOUND);
    assert_int_equal(k->reading.upto, 50);
    assert_int_equal(k->reading.first, 41);
    assert_int_equal(read_behind(k, "r", 40, 1 << 20), 0);
    assert_int_equal(k->n, 10);
}

static void a_restore_between_is_said(void **state)
{
    struct kit *k = *state;
    struct store_txn *txn = NULL;

    keep(k, 1, 5, "a.r", 100);
    assert_int_equal(store_write_begin(k->bed.store, &txn), 0);
    assert_int_equal(
        store_event_put(txn, 6,
                        STR("{\"revision\":6,\"op\":\"restore\",\"ns\":\"r\","
                            "\"ns_id\":1,\"cause\":\"api\"}")),
        0);
    store_meta(txn)->revision = 6;
    assert_int_equal(store_write_commit(txn), 0);
    keep(k, 7, 8, "a.r", 100);
    assert_int_equal(read_behind(k, "r", 3, 1 << 20), ERR_NOT_FOUND);
    assert_int_equal(k->reading.upto, 8);
    assert_int_equal(read_behind(k, "r", 6, 1 << 20), 0);
    assert_int_equal(k->n, 2);
}

static void the_ring_begins_with_the_end_of_the_history(void **state)
{
    struct kit *k = *state;
    struct watch_hub *hub = watch_hub_new(1 << 20);
    struct watch_event *events[64];
    uint64_t upto;
    size_t n;

    assert_int_equal(watch_hub_load(hub, k->bed.store), 0);
    assert_int_equal(watch_hub_take(hub, 0, events, 64, &n, &upto), 0);
    keep(k, 1, 50, "a.r", 20);
    assert_int_equal(watch_hub_load(hub, k->bed.store), 0);
    assert_int_equal(watch_hub_revision(hub), 50);
    assert_int_equal(watch_hub_take(hub, 29, events, 64, &n, &upto),
                     ERR_NOT_FOUND);
    assert_int_equal(watch_hub_take(hub, 30, events, 64, &n, &upto), 0);
    assert_int_equal(n, 20);
    assert_int_equal(events[0]->event.revision, 31);
    while (n > 0) {
        events[n - 1] = watch_event_unref(events[n - 1]);
        n--;
    }
    (void)watch_hub_free(hub);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_behind_is_read_in_order),
        TEST(little_at_a_time_comes_to_the_same),
        TEST(what_is_gone_is_said),
        TEST(a_restore_between_is_said),
        TEST(the_ring_begins_with_the_end_of_the_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
