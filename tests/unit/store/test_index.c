/* The index of primary keys [STORE-6]: kept with the keys, built over what
 * there was, and not believed in a file that does not have it right. */
#include <unistd.h>

#include "store_test.h"

static void put_keyed(struct store_txn *txn, uint64_t ns, uint64_t id,
                      struct str key, struct str old_key)
{
    assert_int_equal(store_row_put(txn, ns, MACHINE, ulid_of(id), STR("{}"),
                                   STR_NONE, key, old_key, 9),
                     0);
}

/* The namespaces as digits, in the order given. */
static void assert_found(struct store_txn *txn, struct str text, bool prefix,
                         const char *wanted)
{
    uint64_t ids[32];
    char found[33] = "";
    size_t n = 0;

    assert_int_equal(store_index_find(txn, MACHINE, text, prefix, 32, ids, &n),
                     0);
    for (size_t i = 0; i < n; i++) {
        found[i] = (char)('0' + ids[i]);
    }
    assert_string_equal(found, wanted);
}

static struct store_txn *begun(struct bed *bed)
{
    bed_make(bed);
    struct store_txn *txn = begin(bed);
    put_nodes(txn, 4);
    return txn;
}

static struct store_txn *indexed(struct bed *bed)
{
    struct store_txn *txn = begun(bed);

    assert_int_equal(store_index_begin(txn), 0);
    assert_int_equal(store_index_end(txn), 0);
    return txn;
}

static void a_key_is_found_by_its_text_and_its_beginning(void **state)
{
    BED bed;

    (void)state;
    struct store_txn *txn = indexed(&bed);
    put_keyed(txn, 3, 1, STR("web-1"), STR_NONE);
    put_keyed(txn, 2, 1, STR("web-1"), STR_NONE);
    put_keyed(txn, 2, 2, STR("web-10"), STR_NONE);
    put_keyed(txn, 4, 3, STR("web"), STR_NONE);
    put_keyed(txn, 4, 4, STR_NONE, STR_NONE);
    assert_found(txn, STR("web-1"), false, "23");
    assert_found(txn, STR("web-1"), true, "232");
    assert_found(txn, STR("web"), false, "4");
    assert_found(txn, STR("we"), true, "4232");
    assert_found(txn, STR("we"), false, "");
    assert_found(txn, STR("x"), true, "");
    commit(txn);
}

/* A zero byte in a key is a byte as any other. */
static void a_longer_key_is_another(void **state)
{
    BED bed;

    (void)state;
    struct store_txn *txn = indexed(&bed);
    put_keyed(txn, 2, 1, (struct str){"a\0b", 3}, STR_NONE);
    put_keyed(txn, 3, 1, (struct str){"a\0\0\0\0\0\0\0\0\2x", 11}, STR_NONE);
    put_keyed(txn, 4, 1, STR("a"), STR_NONE);
    assert_found(txn, STR("a"), false, "4");
    assert_found(txn, (struct str){"a\0b", 3}, false, "2");
    assert_found(txn, STR("a"), true, "342");
    commit(txn);
}

static void it_changes_with_the_keys(void **state)
{
    BED bed;

    (void)state;
    struct store_txn *txn = indexed(&bed);
    put_keyed(txn, 2, 1, STR("a"), STR_NONE);
    put_keyed(txn, 2, 1, STR("b"), STR("a"));
    assert_found(txn, STR("a"), false, "");
    assert_found(txn, STR("b"), false, "2");
    put_keyed(txn, 2, 1, STR("b"), STR("b"));
    assert_found(txn, STR("b"), false, "2");
    assert_int_equal(store_row_unkey(txn, 2, MACHINE, STR("b")), 0);
    assert_found(txn, STR("b"), false, "");
    put_keyed(txn, 2, 1, STR("c"), STR("b"));
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR("c"), 9),
                     0);
    assert_found(txn, STR("c"), false, "");
    put_keyed(txn, 2, 2, STR("d"), STR_NONE);
    assert_int_equal(store_part_begin(txn), 0);
    put_keyed(txn, 2, 3, STR("e"), STR_NONE);
    put_keyed(txn, 2, 2, STR_NONE, STR("d"));
    store_part_abort(txn);
    assert_found(txn, STR("d"), false, "2");
    assert_found(txn, STR("e"), false, "");
    commit(txn);
}

static void more_than_asked_for_is_too_many(void **state)
{
    BED bed;
    uint64_t ids[2];
    struct ulid rows[2];
    size_t n = 0;

    (void)state;
    struct store_txn *txn = indexed(&bed);
    put_keyed(txn, 2, 1, STR("a1"), STR_NONE);
    put_keyed(txn, 2, 2, STR("a2"), STR_NONE);
    assert_int_equal(store_index_find(txn, MACHINE, STR("a"), true, 2, ids, &n),
                     0);
    assert_int_equal(store_keys_find(txn, 2, MACHINE, STR("a"), 2, rows, &n),
                     0);
    assert_true(n == 2 && number_of(rows[0]) == 1 && number_of(rows[1]) == 2);
    assert_int_equal(store_index_find(txn, MACHINE, STR("a"), true, 1, ids, &n),
                     ERR_FULL);
    assert_int_equal(store_keys_find(txn, 2, MACHINE, STR("a"), 1, rows, &n),
                     ERR_FULL);
    assert_int_equal(store_keys_find(txn, 2, MACHINE, STR("b"), 1, rows, &n),
                     0);
    assert_int_equal(n, 0);
    assert_int_equal(store_keys_find(txn, 4, MACHINE, STR("a"), 1, rows, &n),
                     0);
    assert_int_equal(n, 0);
    commit(txn);
}

/* ---- over what there was ---- */

static void what_there_was_is_added_step_by_step(void **state)
{
    BED bed;
    struct store_index_place place;
    struct buf last = {0};
    uint64_t n = 0;

    (void)state;
    struct store_txn *txn = begun(&bed);
    put_keyed(txn, 2, 1, STR("a"), STR_NONE);
    put_keyed(txn, 2, 2, STR("b"), STR_NONE);
    put_keyed(txn, 2, 3, STR("c"), STR_NONE);
    store_meta(txn)->next_ns = 5;
    assert_found(txn, STR("a"), false, "");
    assert_int_equal(store_index_begin(txn), 0);
    commit(txn);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->index, STORE_INDEX_BUILDING);
    assert_int_equal(store_index_place(txn, &place), 0);
    assert_true(place.until == 5 && place.ns == STORE_ROOT && place.key.n == 0);
    /* Behind the place and before it, it is written. */
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(2), STR("b"), 9),
                     0);
    put_keyed(txn, 3, 1, STR("d"), STR_NONE);
    assert_found(txn, STR(""), true, "3");
    assert_int_equal(store_index_add(txn, 2, STR(""), 1, &n, &last), 0);
    assert_int_equal(n, 1);
    place = (struct store_index_place){5, 2, buf_str(&last)};
    assert_int_equal(store_index_set_place(txn, &place), 0);
    commit(txn);
    txn = begin(&bed);
    assert_int_equal(store_index_place(txn, &place), 0);
    assert_int_equal(place.ns, 2);
    assert_int_equal(store_index_add(txn, 2, place.key, 9, &n, &last), ERR_END);
    assert_int_equal(n, 1);
    assert_int_equal(store_index_add(txn, 4, STR(""), 9, &n, &last), ERR_END);
    assert_int_equal(store_index_end(txn), 0);
    assert_found(txn, STR(""), true, "223");
    commit(txn);
    buf_done(&last);
}

static void keys_of_what_is_freed_go_in_steps(void **state)
{
    BED bed;
    uint64_t n = 0;

    (void)state;
    struct store_txn *txn = indexed(&bed);
    put_keyed(txn, 2, 1, STR("a"), STR_NONE);
    put_keyed(txn, 2, 2, STR("b"), STR_NONE);
    put_keyed(txn, 3, 1, STR("b"), STR_NONE);
    assert_int_equal(store_keys_drop(txn, 2, 1, &n), 0);
    assert_found(txn, STR(""), true, "23");
    assert_int_equal(store_keys_drop(txn, 2, 9, &n), ERR_END);
    assert_int_equal(n, 1);
    assert_found(txn, STR(""), true, "3");
    assert_int_equal(store_keys_drop(txn, 4, 9, &n), ERR_END);
    assert_int_equal(n, 0);
    commit(txn);
}

/* ---- without it ---- */

static void without_an_index_nothing_is_written(void **state)
{
    BED bed;

    (void)state;
    struct store_txn *txn = begun(&bed);
    put_keyed(txn, 2, 1, STR("a"), STR_NONE);
    assert_found(txn, STR(""), true, "");
    commit(txn);
    bed_reopen(&bed);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->index, STORE_INDEX_NONE);
    commit(txn);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_found_by_its_text_and_its_beginning),
        TEST(a_longer_key_is_another),
        TEST(it_changes_with_the_keys),
        TEST(more_than_asked_for_is_too_many),
        TEST(what_there_was_is_added_step_by_step),
        TEST(keys_of_what_is_freed_go_in_steps),
        TEST(without_an_index_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
