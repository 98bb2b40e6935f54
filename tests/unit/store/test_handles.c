/* [STORE-2] [STORE-3] More namespaces than handles, on one thread. */
#include "store_test.h"

enum { HANDLES = 8, NAMESPACES = 200 };

static void put_numbered(struct store_txn *txn, uint64_t ns)
{
    char row[24];

    (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)ns);
    put_row(txn, ns, 1, row, ns);
}

static void assert_numbered(struct store_txn *txn, uint64_t ns)
{
    char row[24];

    (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)ns);
    assert_row(txn, ns, 1, row);
}

/* Every namespace has a row that names it, written one transaction each. */
static void make_many(struct bed *bed)
{
    bed_make_with(bed, HANDLES, (uint64_t)64 << 20);
    struct store_txn *txn = begin(bed);
    put_nodes(txn, NAMESPACES);
    commit(txn);
    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        txn = begin(bed);
        put_numbered(txn, ns);
        commit(txn);
    }
}

static void handles_stay_within_their_bound(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    assert_int_equal(store_usage(bed.store).handles, HANDLES);
    struct store_reader *reader = reader_of(&bed);
    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        struct store_txn *txn = snapshot(reader);
        use(txn, ns);
        assert_numbered(txn, ns);
        store_read_end(txn);
        assert_in_range(store_usage(bed.store).handles, 1, HANDLES);
    }
    (void)store_reader_free(reader);
}

/* What it wrote through cannot be closed under it; the next one closes it. */
static void one_transaction_may_overshoot(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    struct store_txn *txn = begin(&bed);
    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        put_numbered(txn, ns);
    }
    assert_int_equal(store_usage(bed.store).handles, NAMESPACES);
    commit(txn);
    txn = begin(&bed);
    assert_int_equal(store_usage(bed.store).handles, HANDLES);
    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        assert_numbered(txn, ns);
    }
    commit(txn);
}

static void a_reader_restarts_once_for_a_closed_handle(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *txn = snapshot(reader);
    assert_int_equal(store_use(txn, 2), ERR_RESTART);
    assert_int_equal(store_use(txn, 2), 0);
    assert_numbered(txn, 2);
    store_read_end(txn);
    txn = snapshot(reader);
    assert_int_equal(store_use(txn, 2), 0); /* still open */
    store_read_end(txn);
    (void)store_reader_free(reader);
}

/* The handle is newer than the snapshot: LMDB's copy of its table does not know
 * it, or knows another database in its place. */
static void a_handle_opened_after_the_snapshot_restarts_it(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    struct store_reader *early = reader_of(&bed);
    struct store_reader *late = reader_of(&bed);
    struct store_txn *txn = snapshot(early);
    struct store_txn *other = snapshot(late);
    use(other, 2);
    store_read_end(other);
    assert_int_equal(store_use(txn, 2), ERR_RESTART);
    assert_int_equal(store_use(txn, 2), 0);
    assert_numbered(txn, 2);
    store_read_end(txn);
    (void)store_reader_free(early);
    (void)store_reader_free(late);
}

static void a_snapshot_without_a_database_stays_so(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    commit(txn);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *read = snapshot(reader);
    assert_int_equal(store_use(read, 2), 0);
    txn = begin(&bed);
    put_row(txn, 2, 1, "{}", 9);
    commit(txn);
    assert_no_row(read, 2, 1);
    assert_int_equal(store_use(read, 2), 0);
    assert_no_row(read, 2, 1);
    store_read_end(read);
    read = snapshot(reader);
    assert_int_equal(store_use(read, 2), 0);
    assert_row(read, 2, 1, "{}");
    store_read_end(read);
    (void)store_reader_free(reader);
}

static void a_reader_has_half_of_the_handles(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *txn = snapshot(reader);
    for (uint64_t ns = 2; ns < 2 + HANDLES / 2; ns++) {
        use(txn, ns);
    }
    /* Those without a database cost none. */
    assert_int_equal(store_use(txn, NAMESPACES + 50), 0);
    assert_int_equal(store_use(txn, 150), ERR_FULL);
    assert_numbered(txn, 2);
    store_read_end(txn);
    (void)store_reader_free(reader);
}

static void what_a_reader_pins_is_not_closed(void **state)
{
    BED bed;

    (void)state;
    make_many(&bed);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *read = snapshot(reader);
    for (uint64_t ns = 2; ns < 2 + HANDLES / 2; ns++) {
        use(read, ns);
    }
    for (uint64_t ns = 20; ns < 120; ns++) {
        struct store_txn *txn = begin(&bed);
        put_numbered(txn, ns);
        commit(txn);
    }
    for (uint64_t ns = 2; ns < 2 + HANDLES / 2; ns++) {
        assert_numbered(read, ns);
    }
    store_read_end(read);
    (void)store_reader_free(reader);
}

/* All pinned: readers overshoot to twice the bound and are told then; the
 * writer still finds room. */
static void readers_that_pin_everything_are_told(void **state)
{
    BED bed;
    struct store_reader *readers[5];
    struct store_txn *reads[5];
    uint64_t ns = 2;

    (void)state;
    make_many(&bed);
    for (int i = 0; i < 5; i++) {
        readers[i] = reader_of(&bed);
        reads[i] = snapshot(readers[i]);
    }
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < HANDLES / 2; k++) {
            use(reads[i], ns++);
        }
    }
    assert_int_equal(store_use(reads[4], ns), ERR_FULL);
    struct store_txn *txn = begin(&bed);
    put_numbered(txn, 150);
    commit(txn);
    for (int i = 0; i < 5; i++) {
        store_read_end(reads[i]);
        (void)store_reader_free(readers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handles_stay_within_their_bound),
        cmocka_unit_test(one_transaction_may_overshoot),
        cmocka_unit_test(a_reader_restarts_once_for_a_closed_handle),
        cmocka_unit_test(a_handle_opened_after_the_snapshot_restarts_it),
        cmocka_unit_test(a_snapshot_without_a_database_stays_so),
        cmocka_unit_test(a_reader_has_half_of_the_handles),
        cmocka_unit_test(what_a_reader_pins_is_not_closed),
        cmocka_unit_test(readers_that_pin_everything_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
