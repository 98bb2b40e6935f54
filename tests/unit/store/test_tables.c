/* Leases, idempotency keys, history: the small tables beside the tree. */
#include "store/kv.h"
#include "store_test.h"

#define ARENA CLEANUP(arena_freep) struct arena *

/* ---- leases ---- */

static struct store_lease lease_of(const char *hostname, uint64_t id)
{
    return (struct store_lease){.id = ulid_of(id),
                                .ttl_ms = 30000,
                                .created_rev = 4,
                                .hostname = str_of(hostname)};
}

static void a_lease_comes_back_as_it_was_put(void **state)
{
    BED bed;
    ARENA arena = arena_new();
    struct store_lease lease = lease_of("web1", 5);
    const struct store_placement places[] = {
        {.origin = 3, .ns = 4, .id = ulid_of(6), .owned = true},
        {.origin = UINT64_MAX, .ns = 9, .id = ulid_of(7), .owned = false}};

    (void)state;
    lease.places = places;
    lease.n_places = 2;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_lease_put(txn, &lease), 0);
    struct store_lease got;
    assert_int_equal(store_lease_find(txn, ulid_of(5), arena, &got), 0);
    assert_str(got.hostname, "web1");
    assert_int_equal(number_of(got.id), 5);
    assert_int_equal(got.ttl_ms, 30000);
    assert_int_equal(got.created_rev, 4);
    assert_int_equal(got.n_places, 2);
    assert_int_equal(got.places[0].ns, 4);
    assert_true(got.places[0].owned);
    assert_int_equal(got.places[1].origin, UINT64_MAX);
    assert_int_equal(number_of(got.places[1].id), 7);
    assert_false(got.places[1].owned);
    commit(txn);
}

static void a_new_lease_of_a_host_replaces_the_old(void **state)
{
    BED bed;
    ARENA arena = arena_new();
    struct store_lease old = lease_of("web1", 5);
    struct store_lease new = lease_of("web1", 6);
    struct store_lease got;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_lease_put(txn, &old), 0);
    assert_int_equal(store_lease_put(txn, &new), 0);
    assert_int_equal(store_meta(txn)->n_leases, 1);
    assert_int_equal(store_lease_find(txn, ulid_of(5), arena, &got),
                     ERR_NOT_FOUND);
    assert_int_equal(store_lease_get(txn, STR("web1"), arena, &got), 0);
    assert_int_equal(number_of(got.id), 6);
    assert_int_equal(store_lease_del(txn, &got), 0);
    assert_int_equal(store_lease_del(txn, &got), ERR_NOT_FOUND);
    assert_int_equal(store_meta(txn)->n_leases, 0);
    assert_int_equal(store_lease_get(txn, STR("web1"), arena, &got),
                     ERR_NOT_FOUND);
    commit(txn);
}

static void leases_are_walked_by_hostname(void **state)
{
    BED bed;
    ARENA arena = arena_new();
    struct store_lease a = lease_of("a", 9);
    struct store_lease b = lease_of("b", 1);
    struct store_lease got;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_lease_next(txn, STR_NONE, arena, &got), ERR_END);
    assert_int_equal(store_lease_put(txn, &b), 0);
    assert_int_equal(store_lease_put(txn, &a), 0);
    assert_int_equal(store_lease_next(txn, STR_NONE, arena, &got), 0);
    assert_str(got.hostname, "a");
    assert_int_equal(store_lease_next(txn, got.hostname, arena, &got), 0);
    assert_str(got.hostname, "b");
    assert_int_equal(store_lease_next(txn, got.hostname, arena, &got), ERR_END);
    commit(txn);
}

static void a_lease_gives_its_rows_up_one_by_one(void **state)
{
    BED bed;
    struct str type;
    struct ulid id;
    uint64_t ns = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_bind(txn, ulid_of(5), 2, MACHINE, ulid_of(20)), 0);
    assert_int_equal(store_bind(txn, ulid_of(5), 3, STR("service"), ulid_of(9)),
                     0);
    assert_int_equal(store_bind(txn, ulid_of(6), 2, MACHINE, ulid_of(21)), 0);
    assert_int_equal(store_bound_to(txn, 3, STR("service"), ulid_of(9), &id),
                     0);
    assert_int_equal(store_bound_to(txn, 3, MACHINE, ulid_of(9), &id),
                     ERR_NOT_FOUND);
    assert_int_equal(number_of(id), 5);
    uint64_t n = 0;
    while (store_bound_first(txn, ulid_of(5), &ns, &type, &id) == 0) {
        n++;
        assert_int_equal(store_unbind(txn, ns, type, id), 0);
    }
    assert_int_equal(n, 2);
    assert_int_equal(store_unbind(txn, 2, MACHINE, ulid_of(20)), ERR_NOT_FOUND);
    assert_int_equal(store_bound_to(txn, 2, MACHINE, ulid_of(21), &id), 0);
    commit(txn);
}

/* ---- ways back of the releases that wrote no type into them ---- */

/* The key of the way back of a row in namespace 2, as it is in the file. */
static MDB_val back_key(uint64_t id, const char *type, char bytes[64])
{
    memset(bytes, 0, 25);
    bytes[0] = 'r';
    bytes[8] = 2;
    bytes[24] = (char)id;
    size_t n = 25;
    for (; *type != '\0'; type++) {
        bytes[n++] = *type;
    }
    return (MDB_val){n, bytes};
}

static bool has_back(struct store_txn *txn, uint64_t id, const char *type)
{
    char bytes[64];
    MDB_val key = back_key(id, type, bytes), value;

    return mdb_get(txn->mdb, kv_base(txn, KV_LEASES), &key, &value) == 0;
}

/* As the older releases had it. */
static void bind_old(struct store_txn *txn, uint64_t lease, uint64_t id)
{
    struct ulid to = ulid_of(lease);
    char bytes[64];
    MDB_val value = {sizeof to.b, to.b};

    assert_int_equal(store_bind(txn, to, 2, MACHINE, ulid_of(id)), 0);
    MDB_val key = back_key(id, "machine", bytes);
    assert_int_equal(mdb_del(txn->mdb, kv_base(txn, KV_LEASES), &key, NULL), 0);
    key = back_key(id, "", bytes);
    assert_int_equal(
        mdb_put(txn->mdb, kv_base(txn, KV_LEASES), &key, &value, 0), 0);
}

static void an_older_way_back_leads_to_its_lease(void **state)
{
    BED bed;
    struct str type;
    struct ulid id;
    uint64_t ns = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    bind_old(txn, 5, 20);
    bind_old(txn, 5, 21);
    assert_int_equal(store_bound_to(txn, 2, MACHINE, ulid_of(20), &id), 0);
    assert_int_equal(number_of(id), 5);
    assert_int_equal(store_bound_to(txn, 2, STR("service"), ulid_of(20), &id),
                     ERR_NOT_FOUND);
    assert_int_equal(store_unbind(txn, 2, STR("service"), ulid_of(20)),
                     ERR_NOT_FOUND);
    assert_int_equal(store_unbind(txn, 2, MACHINE, ulid_of(20)), 0);
    assert_false(has_back(txn, 20, ""));
    /* Bound anew it leaves nothing behind. */
    assert_int_equal(store_bind(txn, ulid_of(6), 2, MACHINE, ulid_of(21)), 0);
    assert_false(has_back(txn, 21, ""));
    assert_true(has_back(txn, 21, "machine"));
    assert_int_equal(store_bound_first(txn, ulid_of(5), &ns, &type, &id),
                     ERR_END);
    assert_int_equal(store_bound_to(txn, 2, MACHINE, ulid_of(21), &id), 0);
    assert_int_equal(number_of(id), 6);
    commit(txn);
}

static void an_older_way_back_gets_its_type_before_another(void **state)
{
    BED bed;
    struct ulid id;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    bind_old(txn, 5, 20);
    assert_int_equal(
        store_bind(txn, ulid_of(6), 2, STR("service"), ulid_of(20)), 0);
    assert_false(has_back(txn, 20, ""));
    assert_int_equal(store_bound_to(txn, 2, MACHINE, ulid_of(20), &id), 0);
    assert_int_equal(number_of(id), 5);
    assert_int_equal(store_bound_to(txn, 2, STR("service"), ulid_of(20), &id),
                     0);
    assert_int_equal(number_of(id), 6);
    assert_int_equal(store_unbind(txn, 2, MACHINE, ulid_of(20)), 0);
    assert_int_equal(store_unbind(txn, 2, STR("service"), ulid_of(20)), 0);
    commit(txn);
}

/* A replica that an older release wrote, and one rebuilt from the log. */
static void an_older_way_back_makes_no_other_digest(void **state)
{
    BED old;
    BED new;
    uint8_t a[32], b[32];

    (void)state;
    bed_make(&old);
    bed_make(&new);
    struct store_txn *was = begin(&old), *is = begin(&new);
    bind_old(was, 5, 20);
    assert_int_equal(store_bind(is, ulid_of(5), 2, MACHINE, ulid_of(20)), 0);
    for (int step = 0; step < 3; step++) {
        struct store_txn *both[] = {was, is};
        assert_int_equal(kv_digest(was, a), 0);
        assert_int_equal(kv_digest(is, b), 0);
        assert_memory_equal(a, b, sizeof a);
        for (int i = 0; i < 2; i++) {
            /* A type before and one behind it, and another lease's. */
            const char *type = step == 0 ? "service" : "alarm";
            assert_int_equal(store_bind(both[i], ulid_of(step == 0 ? 6 : 4), 2,
                                        str_of(type), ulid_of(20)),
                             0);
        }
    }
    assert_int_equal(store_bind(is, ulid_of(7), 2, MACHINE, ulid_of(20)), 0);
    assert_int_equal(kv_digest(is, b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    commit(was);
    commit(is);
}

static void a_row_bound_anew_leaves_its_old_lease(void **state)
{
    BED bed;
    struct str type;
    struct ulid id;
    uint64_t ns = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_bind(txn, ulid_of(5), 2, MACHINE, ulid_of(20)), 0);
    assert_int_equal(store_bind(txn, ulid_of(6), 2, MACHINE, ulid_of(20)), 0);
    assert_int_equal(store_bound_first(txn, ulid_of(5), &ns, &type, &id),
                     ERR_END);
    assert_int_equal(store_bound_first(txn, ulid_of(6), &ns, &type, &id), 0);
    assert_int_equal(ns, 2);
    assert_str(type, "machine");
    assert_int_equal(number_of(id), 20);
    commit(txn);
}

/* ---- idempotency keys ---- */

static void hash_of(uint8_t n, uint8_t ret_hash[32])
{
    memset(ret_hash, n, 32);
}

static void put_hash(struct store_txn *txn, uint8_t n, uint64_t ends_ms,
                     const char *record)
{
    uint8_t hash[32];

    hash_of(n, hash);
    assert_int_equal(store_key_put(txn, hash, ends_ms, str_of(record)), 0);
}

static int get_hash(struct store_txn *txn, uint8_t n, struct str *ret_record)
{
    uint8_t hash[32];

    hash_of(n, hash);
    return store_key_get(txn, hash, ret_record);
}

static void keys_are_forgotten_when_they_end(void **state)
{
    BED bed;
    struct str record;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_hash(txn, 1, 100, "one");
    put_hash(txn, 2, 200, "two");
    put_hash(txn, 3, 300, "three");
    assert_int_equal(store_meta(txn)->n_keys, 3);
    assert_int_equal(store_key_expire(txn, 99, 10), 0);
    assert_int_equal(store_meta(txn)->n_keys, 3);
    assert_int_equal(store_key_expire(txn, 200, 10), 0);
    assert_int_equal(store_meta(txn)->n_keys, 1);
    assert_int_equal(get_hash(txn, 1, &record), ERR_NOT_FOUND);
    assert_int_equal(get_hash(txn, 3, &record), 0);
    assert_str(record, "three");
    commit(txn);
}

static void expiry_stops_at_its_limit(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    for (uint8_t n = 0; n < 10; n++) {
        put_hash(txn, n, 100, "x");
    }
    assert_int_equal(store_key_expire(txn, 100, 4), 0);
    assert_int_equal(store_meta(txn)->n_keys, 6);
    assert_int_equal(store_key_expire(txn, 100, 100), 0);
    assert_int_equal(store_meta(txn)->n_keys, 0);
    commit(txn);
}

/* The old end must not forget the new record. */
static void a_key_put_again_lives_to_its_new_end(void **state)
{
    BED bed;
    struct str record;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_hash(txn, 1, 100, "old");
    put_hash(txn, 1, 500, "new");
    assert_int_equal(store_meta(txn)->n_keys, 1);
    assert_int_equal(store_key_expire(txn, 100, 10), 0);
    assert_int_equal(get_hash(txn, 1, &record), 0);
    assert_str(record, "new");
    commit(txn);
}

/* ---- history ---- */

static void put_events(struct store_txn *txn, uint64_t first, uint64_t last)
{
    char event[32];

    for (uint64_t r = first; r <= last; r++) {
        (void)snprintf(event, sizeof event, "{%llu}", (unsigned long long)r);
        assert_int_equal(store_event_put(txn, r, str_of(event)), 0);
    }
}

static void a_full_history_drops_the_oldest(void **state)
{
    BED bed;
    struct str event;
    uint64_t revision = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    store_meta(txn)->history_limit = 3;
    put_events(txn, 1, 3);
    assert_int_equal(store_meta(txn)->history_first, 1);
    put_events(txn, 4, 5);
    assert_int_equal(store_meta(txn)->history_first, 3);
    assert_int_equal(store_meta(txn)->history_n, 3);
    assert_int_equal(store_event_next(txn, 0, &revision, &event), 0);
    assert_int_equal(revision, 3);
    assert_int_equal(store_event_next(txn, 4, &revision, &event), 0);
    assert_int_equal(revision, 5);
    assert_str(event, "{5}");
    assert_int_equal(store_event_next(txn, 5, &revision, &event), ERR_END);
    commit(txn);
}

static void a_lowered_limit_is_reached_in_steps(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    store_meta(txn)->history_limit = 1000;
    put_events(txn, 1, 300);
    store_meta(txn)->history_limit = 2;
    put_events(txn, 301, 301);
    assert_int_equal(store_meta(txn)->history_n, 301 - 64);
    put_events(txn, 302, 310);
    assert_int_equal(store_meta(txn)->history_n, 2);
    assert_int_equal(store_meta(txn)->history_first, 309);
    commit(txn);
}

/* Neither number alone lets one go. */
static void a_history_keeps_as_many_bytes_too(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    store_meta(txn)->history_limit = 100;
    put_events(txn, 10, 19);
    assert_int_equal(store_history_keep(txn, 2, 30), 0);
    assert_int_equal(store_meta(txn)->history_bytes, 10 * 4);
    put_events(txn, 20, 20);
    assert_int_equal(store_meta(txn)->history_n, 8); /* 32 bytes */
    assert_int_equal(store_meta(txn)->history_first, 13);
    commit(txn);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->history_least_bytes, 30);
    assert_int_equal(store_meta(txn)->history_bytes, 8 * 4);
    assert_int_equal(store_history_keep(txn, 20, 30), 0);
    put_events(txn, 21, 40);
    assert_int_equal(store_meta(txn)->history_n, 20);
    assert_int_equal(store_meta(txn)->history_bytes, 20 * 4);
    assert_int_equal(store_history_keep(txn, 2, 0), 0);
    put_events(txn, 41, 41);
    assert_int_equal(store_meta(txn)->history_n, 2);
    assert_int_equal(store_meta(txn)->history_bytes, 0);
    commit(txn);
}

/* Older releases read the record without it. */
static void the_access_revision_is_kept_once_there_is_one(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    store_meta(txn)->revision = 7;
    commit(txn);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->access_rev, 0);
    store_meta(txn)->access_rev = 7;
    commit(txn);
    bed_reopen(&bed);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->revision, 7);
    assert_int_equal(store_meta(txn)->access_rev, 7);
    assert_int_equal(store_meta(txn)->history_least_bytes, 0);
    store_write_abort(txn);
}

static void no_history_keeps_nothing(void **state)
{
    BED bed;
    struct str event;
    uint64_t revision = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_events(txn, 1, 2);
    assert_int_equal(store_meta(txn)->history_n, 0);
    assert_int_equal(store_meta(txn)->history_first, 0);
    assert_int_equal(store_event_next(txn, 0, &revision, &event), ERR_END);
    commit(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_comes_back_as_it_was_put),
        cmocka_unit_test(a_new_lease_of_a_host_replaces_the_old),
        cmocka_unit_test(leases_are_walked_by_hostname),
        cmocka_unit_test(a_lease_gives_its_rows_up_one_by_one),
        cmocka_unit_test(an_older_way_back_leads_to_its_lease),
        cmocka_unit_test(an_older_way_back_gets_its_type_before_another),
        cmocka_unit_test(an_older_way_back_makes_no_other_digest),
        cmocka_unit_test(a_row_bound_anew_leaves_its_old_lease),
        cmocka_unit_test(keys_are_forgotten_when_they_end),
        cmocka_unit_test(expiry_stops_at_its_limit),
        cmocka_unit_test(a_key_put_again_lives_to_its_new_end),
        cmocka_unit_test(a_full_history_drops_the_oldest),
        cmocka_unit_test(a_lowered_limit_is_reached_in_steps),
        cmocka_unit_test(a_history_keeps_as_many_bytes_too),
        cmocka_unit_test(the_access_revision_is_kept_once_there_is_one),
        cmocka_unit_test(no_history_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
