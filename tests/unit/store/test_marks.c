/* clang-format off */
#include "store_test.h"
/* clang-format on */

#define HOST 'm'
#define RECORD STR("\1x")

static void put_mark(struct store_txn *txn, char kind, const char *name,
                     uint64_t ends_ms)
{
    assert_int_equal(store_mark_put(txn, kind, str_of(name), ends_ms, RECORD),
                     0);
}

static void assert_due(struct store_txn *txn, uint64_t now_ms, char kind,
                       const char *name, uint64_t ends_ms)
{
    struct str got;
    uint64_t ends = 0;
    char got_kind = 0;

    assert_int_equal(store_mark_due(txn, now_ms, &got_kind, &got, &ends), 0);
    assert_int_equal(got_kind, kind);
    assert_str(got, name);
    assert_int_equal(ends, ends_ms);
}

static void assert_none_due(struct store_txn *txn, uint64_t now_ms)
{
    struct str got;
    uint64_t ends = 0;
    char kind = 0;

    assert_int_equal(store_mark_due(txn, now_ms, &kind, &got, &ends), ERR_END);
}

static void a_mark_comes_back_as_it_was_put(void **state)
{
    BED bed;
    struct str record;
    uint64_t ends_ms = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "web-1", 500);
    put_mark(txn, 'f', "web-1", 0);
    assert_int_equal(store_mark_get(txn, HOST, STR("web-1"), &ends_ms, &record),
                     0);
    assert_int_equal(ends_ms, 500);
    assert_str(record, "\1x");
    assert_int_equal(store_mark_get(txn, 'f', STR("web-1"), &ends_ms, &record),
                     0);
    assert_int_equal(ends_ms, 0);
    assert_int_equal(store_mark_get(txn, HOST, STR("web"), &ends_ms, &record),
                     ERR_NOT_FOUND);
    commit(txn);
    bed_reopen(&bed);
    txn = begin(&bed);
    assert_int_equal(store_mark_get(txn, HOST, STR("web-1"), &ends_ms, &record),
                     0);
    assert_int_equal(store_mark_del(txn, HOST, STR("web-1")), 0);
    assert_int_equal(store_mark_del(txn, HOST, STR("web-1")), ERR_NOT_FOUND);
    assert_none_due(txn, UINT64_MAX);
    commit(txn);
}

static void a_name_longer_than_any_has_no_mark(void **state)
{
    BED bed;
    static char name[STORE_MARK_NAME_MOST + 1];
    struct str record;
    uint64_t ends_ms = 0;

    (void)state;
    bed_make(&bed);
    memset(name, 'a', sizeof name);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_mark_put(txn, HOST,
                                    (struct str){name, sizeof name - 1}, 7,
                                    RECORD),
                     0);
    struct str longer = {name, sizeof name};
    assert_int_equal(store_mark_get(txn, HOST, longer, &ends_ms, &record),
                     ERR_NOT_FOUND);
    assert_int_equal(store_mark_del(txn, HOST, longer), ERR_NOT_FOUND);
    commit(txn);
}

static void marks_are_due_in_the_order_of_their_ends(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "late", 300);
    put_mark(txn, 'f', "early", 100);
    put_mark(txn, HOST, "never", 0);
    assert_none_due(txn, 99);
    assert_due(txn, 100, 'f', "early", 100);
    assert_int_equal(store_mark_del(txn, 'f', STR("early")), 0);
    assert_none_due(txn, 299);
    assert_due(txn, UINT64_MAX, HOST, "late", 300);
    assert_int_equal(store_mark_del(txn, HOST, STR("late")), 0);
    assert_none_due(txn, UINT64_MAX);
    commit(txn);
}

/* The old end must not take the new record for due. */
static void a_mark_put_again_ends_at_its_new_end(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "web-1", 100);
    put_mark(txn, HOST, "web-1", 500);
    assert_none_due(txn, 499);
    assert_due(txn, 500, HOST, "web-1", 500);
    put_mark(txn, HOST, "web-1", 0);
    assert_none_due(txn, UINT64_MAX);
    commit(txn);
}

/* What is lent by a read goes with the next write: a mark is often put again
 * with a name and a record that are in the file. */
static void a_mark_is_put_with_what_a_read_lent(void **state)
{
    BED bed;
    struct str name, record;
    uint64_t ends_ms = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "web-1", 100);
    assert_int_equal(
        store_mark_next(txn, HOST, STR_NONE, &name, &ends_ms, &record), 0);
    assert_int_equal(store_mark_put(txn, HOST, name, 200, record), 0);
    assert_int_equal(store_mark_get(txn, HOST, STR("web-1"), &ends_ms, &record),
                     0);
    assert_int_equal(ends_ms, 200);
    assert_str(record, "\1x");
    assert_due(txn, 200, HOST, "web-1", 200);
    commit(txn);
}

static void marks_of_a_kind_are_walked_by_name(void **state)
{
    BED bed;
    struct str name, record;
    uint64_t ends_ms = 0, n = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "b", 10);
    put_mark(txn, HOST, "a", 20);
    put_mark(txn, 'f', "x", 30);
    put_mark(txn, 'r', "y", 40);
    assert_int_equal(
        store_mark_next(txn, HOST, STR_NONE, &name, &ends_ms, &record), 0);
    assert_str(name, "a");
    assert_int_equal(ends_ms, 20);
    assert_int_equal(
        store_mark_next(txn, HOST, STR("a"), &name, &ends_ms, &record), 0);
    assert_str(name, "b");
    assert_int_equal(
        store_mark_next(txn, HOST, STR("b"), &name, &ends_ms, &record),
        ERR_END);
    assert_int_equal(store_mark_count(txn, HOST, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_mark_count(txn, 'h', &n), 0);
    assert_int_equal(n, 0);
    commit(txn);
}

/* They lie beside the keys and are none. */
static void keys_end_and_marks_stay(void **state)
{
    BED bed;
    struct str record;
    uint64_t ends_ms = 0;
    uint8_t hash[32] = {7};

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "web-1", 50);
    put_mark(txn, 'b', "12345678", 50);
    assert_int_equal(store_key_put(txn, hash, 100, STR("answer")), 0);
    assert_int_equal(store_key_expire(txn, UINT64_MAX, 10), 0);
    assert_int_equal(store_meta(txn)->n_keys, 0);
    assert_int_equal(store_mark_get(txn, HOST, STR("web-1"), &ends_ms, &record),
                     0);
    assert_due(txn, 50, 'b', "12345678", 50);
    commit(txn);
}

static void digest_of(struct bed *bed, uint8_t ret[32])
{
    struct store_meta meta;
    const char *file = bed_file(bed, "copy");

    assert_int_equal(store_copy(bed->store, file), 0);
    assert_int_equal(store_digest_file(file, ret, &meta), 0);
    (void)remove(file);
}

/* Nodes of a release that knows no marks are asked for the same digest. */
static void a_state_that_had_marks_is_as_one_that_never_had_any(void **state)
{
    BED bed;
    uint8_t before[32], with[32], after[32];

    (void)state;
    bed_make(&bed);
    digest_of(&bed, before);
    struct store_txn *txn = begin(&bed);
    put_mark(txn, HOST, "web-1", 50);
    commit(txn);
    digest_of(&bed, with);
    assert_memory_not_equal(before, with, sizeof with);
    txn = begin(&bed);
    assert_int_equal(store_mark_del(txn, HOST, STR("web-1")), 0);
    commit(txn);
    digest_of(&bed, after);
    assert_memory_equal(before, after, sizeof after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_comes_back_as_it_was_put),
        cmocka_unit_test(a_name_longer_than_any_has_no_mark),
        cmocka_unit_test(marks_are_due_in_the_order_of_their_ends),
        cmocka_unit_test(a_mark_put_again_ends_at_its_new_end),
        cmocka_unit_test(a_mark_is_put_with_what_a_read_lent),
        cmocka_unit_test(marks_of_a_kind_are_walked_by_name),
        cmocka_unit_test(keys_end_and_marks_stay),
        cmocka_unit_test(a_state_that_had_marks_is_as_one_that_never_had_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
