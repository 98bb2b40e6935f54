#include "store_test.h"

#define SECRET STR("\"pass\":\"x\"")

static struct store_list list_of(struct store_txn *txn, uint64_t ns)
{
    struct store_list list = {0};

    assert_int_equal(store_list_get(txn, ns, MACHINE, &list), 0);
    return list;
}

static uint64_t rows_of(struct store_txn *txn, uint64_t ns)
{
    struct store_node node;

    assert_int_equal(store_node_get(txn, ns, &node), 0);
    return node.n_rows;
}

static int put_keyed(struct store_txn *txn, uint64_t id, const char *key,
                     const char *old_key)
{
    return store_row_put(txn, 2, MACHINE, ulid_of(id), STR("{}"), STR_NONE,
                         str_of(key), str_of(old_key), 9);
}

static void assert_holder(struct store_txn *txn, const char *key, uint64_t id)
{
    struct ulid holder;

    assert_int_equal(store_row_find(txn, 2, MACHINE, str_of(key), &holder), 0);
    assert_int_equal(number_of(holder), id);
}

static void assert_free(struct store_txn *txn, const char *key)
{
    struct ulid holder;

    assert_int_equal(store_row_find(txn, 2, MACHINE, str_of(key), &holder),
                     ERR_NOT_FOUND);
}

/* What a list and its namespace count is kept aside while the list changes:
 * whoever looks in between must not see the old numbers. */
static void counts_are_seen_while_lists_take_turns(void **state)
{
    BED bed;
    struct str type;
    struct store_list list;
    struct store_node node;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 2);
    for (uint64_t i = 1; i <= 10; i++) {
        put_row(txn, 2 + i % 2, i, "{}", i);
        assert_int_equal(list_of(txn, 2 + i % 2).count, (i + 1) / 2);
        assert_int_equal(list_of(txn, 2 + i % 2).revision, i);
    }
    put_row(txn, 2, 11, "{}", 11);
    assert_int_equal(rows_of(txn, 2), 6);
    put_row(txn, 2, 12, "{}", 12);
    assert_int_equal(store_node_next(txn, 1, &node), 0);
    assert_int_equal(node.n_rows, 7);
    put_row(txn, 2, 13, "{}", 13);
    assert_int_equal(store_list_next(txn, 2, STR_NONE, &type, &list), 0);
    assert_int_equal(list.count, 8);
    assert_int_equal(list.revision, 13);
    commit(txn);
}

static void counts_of_an_undone_part_are_undone(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    put_row(txn, 2, 1, "{}", 1);
    assert_int_equal(store_part_begin(txn), 0);
    put_row(txn, 2, 2, "{}", 2);
    put_row(txn, 2, 3, "{}", 3);
    store_part_abort(txn);
    assert_int_equal(list_of(txn, 2).count, 1);
    assert_int_equal(list_of(txn, 2).revision, 1);
    put_row(txn, 2, 4, "{}", 4);
    assert_int_equal(rows_of(txn, 2), 2);
    commit(txn);
}

/* A namespace that is emptied and used again in one transaction. */
static void a_dropped_list_counts_from_nothing(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    put_row(txn, 2, 1, "{}", 1);
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR_NONE, 2),
                     0);
    assert_int_equal(store_ns_drop(txn, 2), 0);
    put_row(txn, 2, 3, "{}", 3);
    assert_int_equal(list_of(txn, 2).count, 1);
    assert_int_equal(rows_of(txn, 2), 1);
    commit(txn);
}

static void a_row_comes_back_as_it_was_put(void **state)
{
    BED bed;
    struct str row;
    struct str secret;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(store_row_put(txn, 2, MACHINE, ulid_of(7), STR("{open}"),
                                   SECRET, STR("web"), STR_NONE, 5),
                     0);
    assert_int_equal(store_row_get(txn, 2, MACHINE, ulid_of(7), &row, &secret),
                     0);
    assert_str(row, "{open}");
    assert_true(str_equal(secret, SECRET));
    assert_holder(txn, "web", 7);
    assert_int_equal(
        store_row_get(txn, 2, STR("machines"), ulid_of(7), &row, NULL),
        ERR_NOT_FOUND);
    commit(txn);
}

/* [STORE-1] */
static void a_list_and_its_namespace_count_rows(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    put_row(txn, 2, 1, "{a}", 11);
    put_row(txn, 2, 2, "{b}", 12);
    put_row(txn, 2, 2, "{bb}", 13);
    assert_int_equal(list_of(txn, 2).count, 2);
    assert_int_equal(list_of(txn, 2).revision, 13);
    assert_int_equal(rows_of(txn, 2), 2);
    assert_int_equal(store_meta(txn)->n_rows, 2);
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR_NONE, 14),
                     0);
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR_NONE, 15),
                     ERR_NOT_FOUND);
    assert_int_equal(list_of(txn, 2).count, 1);
    assert_int_equal(list_of(txn, 2).revision, 14);
    assert_int_equal(rows_of(txn, 2), 1);
    assert_int_equal(store_meta(txn)->n_rows, 1);
    commit(txn);
}

static void an_emptied_list_keeps_its_revision(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(list_of(txn, 2).revision, 0);
    put_row(txn, 2, 1, "{}", 3);
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR_NONE, 4),
                     0);
    assert_int_equal(list_of(txn, 2).count, 0);
    assert_int_equal(list_of(txn, 2).revision, 4);
    commit(txn);
}

static void a_secret_goes_with_a_put_that_has_none(void **state)
{
    BED bed;
    struct str row;
    struct str secret = SECRET;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(store_row_put(txn, 2, MACHINE, ulid_of(1), STR("{}"),
                                   SECRET, STR_NONE, STR_NONE, 2),
                     0);
    put_row(txn, 2, 1, "{}", 3);
    assert_int_equal(store_row_get(txn, 2, MACHINE, ulid_of(1), &row, &secret),
                     0);
    assert_null(secret.p);
    commit(txn);
}

static void a_renamed_row_frees_its_key(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(put_keyed(txn, 1, "a", NULL), 0);
    assert_int_equal(put_keyed(txn, 1, "b", "a"), 0);
    assert_free(txn, "a");
    assert_holder(txn, "b", 1);
    assert_int_equal(put_keyed(txn, 1, NULL, "b"), 0);
    assert_free(txn, "b");
    commit(txn);
}

/* The second put names as its old key what the first has just taken. */
static void two_rows_swap_their_keys(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(put_keyed(txn, 1, "a", NULL), 0);
    assert_int_equal(put_keyed(txn, 2, "b", NULL), 0);
    assert_int_equal(store_row_unkey(txn, 2, MACHINE, STR("a")), 0);
    assert_int_equal(store_row_unkey(txn, 2, MACHINE, STR("b")), 0);
    assert_int_equal(put_keyed(txn, 1, "b", "a"), 0);
    assert_int_equal(put_keyed(txn, 2, "a", "b"), 0);
    assert_holder(txn, "a", 2);
    assert_holder(txn, "b", 1);
    commit(txn);
}

/* Everything handed in points into the page that the call changes. */
static void a_row_is_put_from_its_own_bytes(void **state)
{
    BED bed;
    struct store_list list;
    struct str type;
    struct str row;
    struct str secret;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    for (uint64_t id = 1; id <= 9; id++) {
        assert_int_equal(store_row_put(txn, 2, MACHINE, ulid_of(id),
                                       STR("{\"name\":\"kkkk\"}"), SECRET,
                                       STR_NONE, STR_NONE, id),
                         0);
    }
    for (uint64_t id = 1; id <= 9; id++) {
        assert_int_equal(store_list_next(txn, 2, STR_NONE, &type, &list), 0);
        assert_int_equal(
            store_row_get(txn, 2, type, ulid_of(id), &row, &secret), 0);
        row.n -= 4;
        assert_int_equal(store_row_put(txn, 2, type, ulid_of(id), row, secret,
                                       STR_NONE, STR_NONE, 20),
                         0);
        assert_row(txn, 2, id, "{\"name\":\"kk");
        assert_int_equal(
            store_row_get(txn, 2, MACHINE, ulid_of(id), &row, &secret), 0);
        assert_true(str_equal(secret, SECRET));
    }
    assert_int_equal(list_of(txn, 2).count, 9);
    commit(txn);
}

static void rows_are_walked_in_id_order(void **state)
{
    BED bed;
    struct ulid id = {{0}};
    struct str row;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    put_row(txn, 2, 0x300, "{3}", 1);
    put_row(txn, 2, 0x1, "{1}", 2);
    put_row(txn, 2, 0x20, "{2}", 3);
    assert_int_equal(store_row_put(txn, 2, STR("machine2"), ulid_of(5),
                                   STR("{}"), STR_NONE, STR_NONE, STR_NONE, 4),
                     0);
    assert_int_equal(store_row_next(txn, 2, MACHINE, NULL, &id, &row), 0);
    assert_str(row, "{1}");
    assert_int_equal(store_row_next(txn, 2, MACHINE, &id, &id, &row), 0);
    assert_str(row, "{2}");
    struct ulid between = ulid_of(0x21);
    assert_int_equal(store_row_next(txn, 2, MACHINE, &between, &id, &row), 0);
    assert_str(row, "{3}");
    assert_int_equal(number_of(id), 0x300);
    assert_int_equal(store_row_next(txn, 2, MACHINE, &id, &id, &row), ERR_END);
    commit(txn);
}

static void lists_of_a_namespace_are_walked_by_type(void **state)
{
    BED bed;
    struct store_list list;
    struct str type;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    assert_int_equal(store_list_next(txn, 2, STR_NONE, &type, &list), ERR_END);
    put_row(txn, 2, 1, "{}", 4);
    assert_int_equal(store_row_put(txn, 2, STR("check"), ulid_of(5), STR("{}"),
                                   STR_NONE, STR_NONE, STR_NONE, 5),
                     0);
    assert_int_equal(store_list_next(txn, 2, STR_NONE, &type, &list), 0);
    assert_str(type, "check");
    assert_int_equal(list.revision, 5);
    assert_int_equal(store_list_next(txn, 2, type, &type, &list), 0);
    assert_str(type, "machine");
    assert_int_equal(store_list_next(txn, 2, type, &type, &list), ERR_END);
    commit(txn);
}

struct joined {
    struct buf out;
    uint64_t n;
    struct ulid last;
    bool more;
};

static void join(struct store_txn *txn, const struct ulid *after,
                 uint64_t limit, struct joined *joined)
{
    buf_clear(&joined->out);
    assert_int_equal(store_rows_join(txn, 2, MACHINE, after, limit,
                                     &joined->out, &joined->n, &joined->last,
                                     &joined->more),
                     0);
}

static void rows_are_joined_page_by_page(void **state)
{
    BED bed;
    struct joined joined = {.n = 0};

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    join(txn, NULL, 0, &joined);
    assert_int_equal(joined.n, 0);
    assert_false(joined.more);
    put_row(txn, 2, 1, "{a}", 1);
    put_row(txn, 2, 2, "{bb}", 2);
    put_row(txn, 2, 3, "{c}", 3);
    join(txn, NULL, 0, &joined);
    assert_str(buf_str(&joined.out), "{a},{bb},{c}");
    assert_int_equal(joined.n, 3);
    assert_false(joined.more);
    join(txn, NULL, 2, &joined);
    assert_str(buf_str(&joined.out), "{a},{bb}");
    assert_true(joined.more);
    assert_int_equal(number_of(joined.last), 2);
    join(txn, &joined.last, 2, &joined);
    assert_str(buf_str(&joined.out), "{c}");
    assert_false(joined.more);
    buf_done(&joined.out);
    commit(txn);
}

/* Rows too large for a page, and keys as long as they come. */
static void the_largest_row_and_key_fit(void **state)
{
    BED bed;
    struct joined joined = {.n = 0};
    const size_t largest = (size_t)256 * 1024;
    char *row = mem_zero(largest + 1);
    char key[256] = {0};
    char type[64] = {0};

    (void)state;
    memset(row, 'r', largest);
    memset(key, 'k', 255);
    memset(type, 't', 63);
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    put_row(txn, 2, 1, row, 1);
    put_row(txn, 2, 2, row, 2);
    join(txn, NULL, 0, &joined);
    assert_int_equal(joined.out.n, 2 * largest + 1);
    assert_int_equal(store_row_put(txn, 2, str_of(type), ulid_of(3), STR("{}"),
                                   STR_NONE, str_of(key), STR_NONE, 3),
                     0);
    struct ulid id;
    assert_int_equal(store_row_find(txn, 2, str_of(type), str_of(key), &id), 0);
    buf_done(&joined.out);
    (void)mem_free(row);
    commit(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_seen_while_lists_take_turns),
        cmocka_unit_test(counts_of_an_undone_part_are_undone),
        cmocka_unit_test(a_dropped_list_counts_from_nothing),
        cmocka_unit_test(a_row_comes_back_as_it_was_put),
        cmocka_unit_test(a_list_and_its_namespace_count_rows),
        cmocka_unit_test(an_emptied_list_keeps_its_revision),
        cmocka_unit_test(a_secret_goes_with_a_put_that_has_none),
        cmocka_unit_test(a_renamed_row_frees_its_key),
        cmocka_unit_test(two_rows_swap_their_keys),
        cmocka_unit_test(a_row_is_put_from_its_own_bytes),
        cmocka_unit_test(rows_are_walked_in_id_order),
        cmocka_unit_test(lists_of_a_namespace_are_walked_by_type),
        cmocka_unit_test(rows_are_joined_page_by_page),
        cmocka_unit_test(the_largest_row_and_key_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
