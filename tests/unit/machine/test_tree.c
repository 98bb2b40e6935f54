#include "kit.h"

static void a_new_leaf_starts_with_the_nearest_templates(void **state)
{
    struct kit *k = kit_new();
    uint64_t shop = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "shop");

    (void)state;
    struct command c = kit_add(k, STORE_ROOT, "check", "name",
                               "\"every\":\"1m\",\"name\":\"ping\"");
    assert_int_equal(kit_do(k, &c), 0);
    c = kit_add(k, STORE_ROOT, "check", "name", "\"name\":\"disk\"");
    assert_int_equal(kit_do(k, &c), 0);
    c = kit_add(k, shop, "check", "name", "\"every\":\"5s\",\"name\":\"ping\"");
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t web = kit_mkns(k, shop, STORE_LEAF, "web");
    assert_int_equal(kit_count(k, web, "check"), 2);
    assert_non_null(strstr(kit_list(k, web, "check"), "\"every\":\"5s\""));
    assert_null(strstr(kit_list(k, web, "check"), "\"every\":\"1m\""));
    kit_free(k);
}

static void
too_few_ids_for_the_templates_is_a_retry_that_leaves_nothing(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_ROOT, "check", "name", "\"name\":\"ping\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct store_meta before = kit_meta(k);
    struct command create = {.kind = COMMAND_NS_CREATE};
    create.ns_create.parent = STORE_ROOT;
    create.ns_create.kind = STORE_LEAF;
    create.ns_create.name = STR("web");
    assert_int_equal(kit_do(k, &create), ERR_RETRY);
    struct store_meta after = kit_meta(k);
    assert_int_equal(after.revision, before.revision);
    assert_int_equal(after.n_ns, before.n_ns);
    assert_int_equal(after.next_ns, before.next_ns);
    kit_free(k);
}

static struct command change(uint64_t id, uint8_t what)
{
    struct command c = {.kind = COMMAND_NS_CHANGE};
    c.ns_change.id = id;
    c.ns_change.what = what;
    c.ns_change.comment = STR("");
    return c;
}

static void a_move_below_itself_is_refused(void **state)
{
    struct kit *k = kit_new();
    uint64_t a = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "a");
    uint64_t b = kit_mkns(k, a, STORE_BRANCH, "b");

    (void)state;
    struct command c = change(a, NS_PARENT);
    c.ns_change.parent = b;
    assert_int_equal(kit_do(k, &c), ERR_FORBIDDEN);
    c.ns_change.parent = a;
    assert_int_equal(kit_do(k, &c), ERR_FORBIDDEN);
    kit_free(k);
}

static void a_rename_touches_no_row_but_the_tree_revision(void **state)
{
    struct kit *k = kit_new();
    uint64_t a = kit_mkns(k, STORE_ROOT, STORE_LEAF, "a");
    struct command c = kit_add(k, a, "service", "name", "\"name\":\"x\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    const char *before = kit_list(k, a, "service");
    c = change(a, NS_NAME);
    c.ns_change.name = STR("b");
    assert_int_equal(kit_do(k, &c), 0);
    assert_string_equal(kit_list(k, a, "service"), before);
    assert_int_equal(kit_meta(k).tree_rev, k->res.revision);
    kit_free(k);
}

static void a_rename_elsewhere_sends_no_command_back(void **state)
{
    struct kit *k = kit_new();
    uint64_t a = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "a");
    uint64_t leaf = kit_mkns(k, a, STORE_LEAF, "leaf");
    uint64_t other = kit_mkns(k, STORE_ROOT, STORE_LEAF, "other");
    struct command rename = change(other, NS_NAME);

    (void)state;
    rename.ns_change.name = STR("x");
    assert_int_equal(kit_do(k, &rename), 0);
    uint64_t seen = kit_meta(k).tree_rev;
    rename.ns_change.name = STR("y");
    assert_int_equal(kit_do(k, &rename), 0);
    struct command c = kit_add(k, leaf, "service", "name", "\"name\":\"a\"");
    c.tree_rev = seen;
    assert_int_equal(kit_do(k, &c), 0);
    /* But one of the namespace itself or above it does. */
    rename = change(a, NS_NAME);
    rename.ns_change.name = STR("b");
    assert_int_equal(kit_do(k, &rename), 0);
    c = kit_add(k, leaf, "service", "name", "\"name\":\"b\"");
    c.tree_rev = seen;
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    /* Who matched hostnames did so on the whole tree. */
    struct command put = {.kind = COMMAND_AGENT_PUT, .tree_rev = seen};
    put.agent_put.hostname = STR("h");
    put.agent_put.fields = STR("\"hostname\":\"h\"");
    assert_int_equal(kit_do(k, &put), ERR_RETRY);
    kit_free(k);
}

static void a_path_that_a_rename_would_make_too_long_is_refused(void **state)
{
    struct kit *k = kit_new();
    char label[64];
    uint64_t at = STORE_ROOT, top = 0;

    (void)state;
    memset(label, 'x', sizeof label);
    label[61] = '\0';
    for (int i = 0; i < 4; i++) {
        at = kit_mkns(k, at, STORE_BRANCH, i == 0 ? "t" : label);
        top = i == 0 ? at : top;
    }
    label[61] = 'x';
    label[63] = '\0';
    struct command c = change(top, NS_NAME);
    c.ns_change.name = str_of(label);
    assert_int_equal(kit_do(k, &c), ERR_INVALID);
    /* 253 bytes, which are the most; then other ones, and one more. */
    label[60] = '\0';
    c.ns_change.name = str_of(label);
    assert_int_equal(kit_do(k, &c), 0);
    label[0] = 'y';
    assert_int_equal(kit_do(k, &c), 0);
    label[60] = 'x';
    label[61] = '\0';
    c.ns_change.name = str_of(label);
    assert_int_equal(kit_do(k, &c), ERR_INVALID);
    kit_free(k);
}

static void
a_deleted_subtree_is_gone_at_once_and_reclaimed_in_steps(void **state)
{
    struct kit *k = kit_new();
    uint64_t a = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "a");
    uint64_t b = kit_mkns(k, a, STORE_LEAF, "b");
    struct store_meta start = kit_meta(k);
    char fields[32];

    (void)state;
    for (int i = 0; i < 25; i++) {
        (void)snprintf(fields, sizeof fields, "\"name\":\"x%d\"", i);
        struct command c = kit_add(k, b, "service", "name", fields);
        assert_int_equal(kit_do(k, &c), 0);
    }
    struct command del = {.kind = COMMAND_NS_DELETE};
    del.ns_delete.id = a;
    assert_int_equal(kit_do(k, &del), ERR_NOT_EMPTY);
    del.ns_delete.recursive = 1;
    assert_int_equal(kit_do(k, &del), 0);
    assert_true(machine_view(k->m).has_trash);
    uint64_t revision = kit_meta(k).revision;
    struct command reclaim = {.kind = COMMAND_RECLAIM};
    reclaim.reclaim.limit = 10;
    int steps = 0;
    while (machine_view(k->m).has_trash) {
        assert_int_equal(kit_do(k, &reclaim), 0);
        assert_true(++steps < 10);
    }
    assert_true(steps >= 3);
    struct store_meta end = kit_meta(k);
    assert_int_equal(end.n_ns, start.n_ns - 2);
    assert_int_equal(end.n_rows, 0);
    assert_int_equal(end.revision, revision);
    /* Its name is free: reclaiming a child once gave it back to the parent. */
    (void)kit_mkns(k, STORE_ROOT, STORE_LEAF, "a");
    kit_free(k);
}

static void a_type_put_waits_for_rows_it_has_not_seen(void **state)
{
    struct kit *k = kit_new();
    struct command c = kit_add(k, STORE_POOL, "thing", "", "\"a\":\"1\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct command put = {.kind = COMMAND_TYPE_PUT};
    put.type_put.type = STR("thing");
    put.type_put.definition = STR("{\"key\":null}");
    put.type_put.seen_rev = k->res.revision - 1;
    assert_int_equal(kit_do(k, &put), ERR_RETRY);
    put.type_put.seen_rev++;
    assert_int_equal(kit_do(k, &put), 0);
    assert_int_equal(kit_meta(k).types_rev, k->res.revision);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_leaf_starts_with_the_nearest_templates),
        cmocka_unit_test(
            too_few_ids_for_the_templates_is_a_retry_that_leaves_nothing),
        cmocka_unit_test(a_move_below_itself_is_refused),
        cmocka_unit_test(a_rename_touches_no_row_but_the_tree_revision),
        cmocka_unit_test(a_rename_elsewhere_sends_no_command_back),
        cmocka_unit_test(a_path_that_a_rename_would_make_too_long_is_refused),
        cmocka_unit_test(
            a_deleted_subtree_is_gone_at_once_and_reclaimed_in_steps),
        cmocka_unit_test(a_type_put_waits_for_rows_it_has_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
