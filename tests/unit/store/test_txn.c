/* Transactions, parts, and namespaces that go away. */
#include <lmdb.h>

#include "store_test.h"

static void make_two(struct bed *bed)
{
    bed_make(bed);
    struct store_txn *txn = begin(bed);
    put_nodes(txn, 2);
    put_row(txn, 2, 1, "{before}", 5);
    store_meta(txn)->revision = 5;
    commit(txn);
}

static void drop(struct store_txn *txn, uint64_t ns, uint64_t id)
{
    assert_int_equal(store_row_del(txn, ns, MACHINE, ulid_of(id), STR_NONE, 90),
                     0);
    assert_int_equal(store_node_del(txn, ns), 0);
}

static void an_undone_part_leaves_no_trace(void **state)
{
    BED bed;
    struct store_list list;

    (void)state;
    make_two(&bed);
    struct store_txn *txn = begin(&bed);
    put_row(txn, 2, 2, "{kept}", 6);
    store_meta(txn)->revision = 6;
    assert_int_equal(store_part_begin(txn), 0);
    put_row(txn, 2, 1, "{undone}", 7);
    put_row(txn, 2, 3, "{undone}", 8);
    store_meta(txn)->revision = 8;
    store_part_abort(txn);
    assert_int_equal(store_meta(txn)->revision, 6);
    assert_int_equal(store_meta(txn)->n_rows, 2);
    commit(txn);
    txn = begin(&bed);
    assert_row(txn, 2, 1, "{before}");
    assert_row(txn, 2, 2, "{kept}");
    assert_no_row(txn, 2, 3);
    assert_int_equal(store_list_get(txn, 2, MACHINE, &list), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.revision, 6);
    assert_int_equal(store_meta(txn)->n_rows, 2);
    store_write_abort(txn);
}

static void a_kept_part_is_in(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_txn *txn = begin(&bed);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(store_part_begin(txn), 0);
        put_row(txn, 3, i, "{part}", 10 + i);
        if (i % 2 == 0) {
            assert_int_equal(store_part_commit(txn), 0);
        } else {
            store_part_abort(txn);
        }
    }
    commit(txn);
    txn = begin(&bed);
    for (uint64_t i = 0; i < 10; i += 2) {
        assert_row(txn, 3, i, "{part}");
        assert_no_row(txn, 3, i + 1);
    }
    store_write_abort(txn);
}

/* LMDB closes a handle with the part that opened it: whoever used it then would
 * read another namespace's rows. */
static void a_handle_opened_in_an_undone_part_is_not_kept(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    bed_reopen(&bed); /* namespace 2 exists, and nobody has its handle */
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_part_begin(txn), 0);
    assert_row(txn, 2, 1, "{before}");
    put_row(txn, 3, 1, "{undone}", 7);
    store_part_abort(txn);
    /* The slots of both are free now, and go to the other one. */
    put_row(txn, 3, 2, "{three}", 8);
    assert_row(txn, 2, 1, "{before}");
    assert_no_row(txn, 2, 2);
    assert_no_row(txn, 3, 1);
    commit(txn);
    struct store_reader *reader = reader_of(&bed);
    txn = snapshot(reader);
    use(txn, 2);
    use(txn, 3);
    assert_row(txn, 2, 1, "{before}");
    assert_row(txn, 3, 2, "{three}");
    store_read_end(txn);
    (void)store_reader_free(reader);
}

static void a_handle_opened_in_a_kept_part_is_kept(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    bed_reopen(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_part_begin(txn), 0);
    put_row(txn, 3, 1, "{three}", 7);
    assert_int_equal(store_part_commit(txn), 0);
    assert_int_equal(store_part_begin(txn), 0);
    put_row(txn, 3, 1, "{undone}", 8);
    assert_row(txn, 2, 1, "{before}");
    store_part_abort(txn);
    assert_row(txn, 3, 1, "{three}");
    commit(txn);
    assert_int_equal(store_usage(bed.store).handles, 1);
}

static void an_aborted_transaction_leaves_no_trace(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_txn *txn = begin(&bed);
    put_row(txn, 3, 1, "{undone}", 7);
    assert_int_equal(store_part_begin(txn), 0);
    store_meta(txn)->revision = 99;
    store_write_abort(txn); /* with its part */
    txn = begin(&bed);
    assert_no_row(txn, 3, 1);
    assert_int_equal(store_meta(txn)->revision, 5);
    store_write_abort(txn);
}

static void meta_outlives_the_process(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    struct store_meta meta = {.applied = 1,
                              .revision = 2,
                              .tree_rev = 3,
                              .types_rev = 4,
                              .log_time_ms = 5,
                              .lease_epoch = 6,
                              .next_ns = 7,
                              .n_keys = 8,
                              .history_limit = 9,
                              .history_first = 10,
                              .history_n = 11,
                              .n_rows = 12,
                              .n_ns = 13,
                              .n_leases = 14,
                              .feature_level = 15,
                              .cluster = "0123456789abcde"};
    *store_meta(txn) = meta;
    commit(txn);
    bed_reopen(&bed);
    struct store_reader *reader = reader_of(&bed);
    txn = snapshot(reader);
    assert_memory_equal(store_meta(txn), &meta, sizeof meta);
    store_read_end(txn);
    (void)store_reader_free(reader);
}

/* ---- databases that go ---- */

/* Whether a namespace has a database in the file: its name, or its rows, may
 * outlive it for a while. The store is closed. */
static bool has_database(const struct bed *bed, uint64_t ns)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    char name[24];

    (void)snprintf(name, sizeof name, "n%016llx", (unsigned long long)ns);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, bed->directory, MDB_RDONLY, 0), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    int rc = mdb_dbi_open(txn, name, 0, &dbi);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return rc == 0;
}

static void a_dropped_namespace_has_no_database(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_txn *txn = begin(&bed);
    drop(txn, 2, 1);
    assert_no_row(txn, 2, 1);
    commit(txn);
    assert_int_equal(store_usage(bed.store).handles, 0);
    bed.store = store_close(bed.store);
    assert_false(has_database(&bed, 2));
}

static void a_drop_in_an_undone_part_is_undone(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_txn *txn = begin(&bed);
    put_row(txn, 2, 2, "{more}", 8);
    assert_int_equal(store_part_begin(txn), 0);
    assert_int_equal(store_ns_drop(txn, 2), 0);
    assert_no_row(txn, 2, 1);
    store_part_abort(txn);
    assert_row(txn, 2, 1, "{before}");
    commit(txn);
    bed_reopen(&bed);
    txn = begin(&bed);
    assert_row(txn, 2, 1, "{before}");
    assert_row(txn, 2, 2, "{more}");
    store_write_abort(txn);
}

/* [STORE-3] The reader goes on in its snapshot; the name goes with the first
 * commit after it. */
static void a_drop_waits_for_its_readers(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *read = snapshot(reader);
    use(read, 2);
    struct store_txn *txn = begin(&bed);
    drop(txn, 2, 1);
    commit(txn);
    assert_row(read, 2, 1, "{before}");
    store_read_end(read);
    read = snapshot(reader);
    assert_int_equal(store_use(read, 2), 0);
    assert_no_row(read, 2, 1);
    store_read_end(read);
    (void)store_reader_free(reader);
    commit(begin(&bed));
    bed.store = store_close(bed.store);
    assert_false(has_database(&bed, 2));
}

static void a_drop_that_waited_too_long_is_swept_at_the_start(void **state)
{
    BED bed;

    (void)state;
    make_two(&bed);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *read = snapshot(reader);
    use(read, 2);
    struct store_txn *txn = begin(&bed);
    put_row(txn, 3, 1, "{stays}", 8);
    drop(txn, 2, 1);
    commit(txn);
    store_read_end(read);
    (void)store_reader_free(reader);
    bed.store = store_close(bed.store);
    assert_true(has_database(&bed, 2));
    bed_open(&bed);
    bed.store = store_close(bed.store);
    assert_false(has_database(&bed, 2));
    assert_true(has_database(&bed, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undone_part_leaves_no_trace),
        cmocka_unit_test(a_kept_part_is_in),
        cmocka_unit_test(a_handle_opened_in_an_undone_part_is_not_kept),
        cmocka_unit_test(a_handle_opened_in_a_kept_part_is_kept),
        cmocka_unit_test(an_aborted_transaction_leaves_no_trace),
        cmocka_unit_test(meta_outlives_the_process),
        cmocka_unit_test(a_dropped_namespace_has_no_database),
        cmocka_unit_test(a_drop_in_an_undone_part_is_undone),
        cmocka_unit_test(a_drop_waits_for_its_readers),
        cmocka_unit_test(a_drop_that_waited_too_long_is_swept_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
