/* How a state comes to an index of its primary keys, and what is freed goes out
 * of it. test_any.c does it in any order. */
#include "kit.h"

static void add(struct kit *k, uint64_t ns, unsigned from, unsigned n)
{
    char fields[40];

    for (unsigned i = from; i < from + n; i++) {
        (void)snprintf(fields, sizeof fields, "\"name\":\"r%04u\"", i);
        struct command c = kit_add(k, ns, "service", "name", fields);
        assert_int_equal(kit_do(k, &c), 0);
    }
}

static size_t found(struct kit *k, const char *prefix)
{
    static uint64_t ids[4000];
    struct store_txn *txn = NULL;
    size_t n = 0;
    int r;

    do {
        assert_int_equal(store_read_begin(k->reader, &txn), 0);
        r = store_index_find(txn, STR("service"), str_of(prefix), true, 4000,
                             ids, &n);
        store_read_end(txn);
    } while (r == ERR_RESTART);
    assert_int_equal(r, 0);
    return n;
}

static void check(struct kit *k)
{
    struct store_found file;
    char copy[96];

    (void)snprintf(copy, sizeof copy, "%s/copy", k->dir);
    assert_int_equal(store_copy(k->store, copy), 0);
    if (store_check_file(copy, &file) != 0) {
        fail_msg("%s", file.why);
    }
    (void)remove(copy);
}

static void a_new_registry_has_one_at_once(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    kit_rise(k, MACHINE_FEATURE_INDEX);
    assert_int_equal(kit_meta(k).index, STORE_INDEX_COMPLETE);
    assert_false(machine_view(k->m).is_indexing);
    add(k, STORE_POOL, 0, 3);
    assert_int_equal(found(k, "r"), 3);
    check(k);
    kit_free(k);
}

static void a_large_one_gets_it_step_by_step(void **state)
{
    struct kit *k = kit_new();
    struct command index = {.kind = COMMAND_INDEX, .index = {100}};
    unsigned steps = 0;

    (void)state;
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "leaf");
    add(k, STORE_POOL, 0, 700);
    add(k, leaf, 1000, 400);
    kit_rise(k, MACHINE_FEATURE_CHANGES);
    assert_int_equal(kit_do(k, &index), 0);
    assert_int_equal(kit_meta(k).index, STORE_INDEX_NONE);
    kit_rise(k, MACHINE_FEATURE_INDEX);
    assert_int_equal(kit_meta(k).index, STORE_INDEX_BUILDING);
    uint64_t revision = kit_meta(k).revision;
    while (machine_view(k->m).is_indexing) {
        size_t before = found(k, "r");
        assert_int_equal(kit_do(k, &index), 0);
        assert_true(found(k, "r") - before <= 101);
        check(k);
        steps++;
    }
    assert_true(steps >= 6 && steps < 12);
    assert_int_equal(found(k, "r"), 1100);
    assert_int_equal(kit_meta(k).index, STORE_INDEX_COMPLETE);
    assert_int_equal(kit_do(k, &index), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    check(k);
    kit_free(k);
}

static void a_restore_without_a_file_leaves_it_as_it_is(void **state)
{
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_RESTORE};

    (void)state;
    kit_rise(k, MACHINE_FEATURE_INDEX);
    add(k, STORE_POOL, 0, 3);
    c.restore.file = STR("");
    c.restore.revision = COMMAND_RESTORE_STEP;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).index, STORE_INDEX_COMPLETE);
    assert_int_equal(found(k, "r"), 3);
    kit_free(k);
}

static void what_is_freed_goes_out_of_it_in_steps(void **state)
{
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_NS_DELETE};

    (void)state;
    kit_rise(k, MACHINE_FEATURE_INDEX);
    uint64_t top = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "top");
    uint64_t leaf = kit_mkns(k, top, STORE_LEAF, "leaf");
    add(k, leaf, 0, 50);
    add(k, STORE_POOL, 0, 5);
    c.ns_delete.id = top;
    c.ns_delete.recursive = 1;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(found(k, "r"), 55);
    c = (struct command){.kind = COMMAND_RECLAIM, .reclaim = {7}};
    for (unsigned i = 0; machine_view(k->m).has_trash; i++) {
        size_t before = found(k, "r");
        assert_int_equal(kit_do(k, &c), 0);
        assert_true(before - found(k, "r") <= 7 && i < 30);
        check(k);
    }
    assert_int_equal(found(k, "r"), 5);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_registry_has_one_at_once),
        cmocka_unit_test(a_large_one_gets_it_step_by_step),
        cmocka_unit_test(a_restore_without_a_file_leaves_it_as_it_is),
        cmocka_unit_test(what_is_freed_goes_out_of_it_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
