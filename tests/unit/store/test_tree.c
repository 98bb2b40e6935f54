#include "store_test.h"

/* roster: 1 > shop: 2 > web: 3, db: 4 */
static struct store_txn *make_shop(struct bed *bed)
{
    bed_make(bed);
    struct store_txn *txn = begin(bed);
    put_node(txn, STORE_ROOT, 0, "roster");
    put_node(txn, 2, STORE_ROOT, "shop");
    put_node(txn, 3, 2, "web");
    put_node(txn, 4, 2, "db");
    return txn;
}

static int resolve(struct store_txn *txn, const char *path, uint64_t *ret_id)
{
    return store_path_resolve(txn, str_of(path), ret_id);
}

static struct store_node node_of(struct store_txn *txn, uint64_t id)
{
    struct store_node node = {0};

    assert_int_equal(store_node_get(txn, id, &node), 0);
    return node;
}

static void a_node_comes_back_as_it_was_put(void **state)
{
    BED bed;
    struct store_node node = {.id = 9,
                              .parent = 2,
                              .kind = STORE_LEAF,
                              .created_rev = 3,
                              .path_rev = 4,
                              .changed_rev = 5,
                              .n_children = 6,
                              .n_rows = 7,
                              .name = STR("x"),
                              .match = STR(""),
                              .comment = STR("why")};

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_node_put(txn, &node), 0);
    struct store_node got = node_of(txn, 9);
    assert_int_equal(got.id, 9);
    assert_int_equal(got.parent, 2);
    assert_int_equal(got.kind, STORE_LEAF);
    assert_int_equal(got.created_rev, 3);
    assert_int_equal(got.path_rev, 4);
    assert_int_equal(got.changed_rev, 5);
    assert_int_equal(got.n_children, 6);
    assert_int_equal(got.n_rows, 7);
    assert_str(got.name, "x");
    assert_non_null(got.match.p); /* an empty pattern is one */
    assert_int_equal(got.match.n, 0);
    assert_str(got.comment, "why");
    assert_null(node_of(txn, 3).match.p);
    assert_int_equal(store_node_get(txn, 10, &got), ERR_NOT_FOUND);
    commit(txn);
}

static void a_path_is_resolved_from_the_domain_down(void **state)
{
    BED bed;
    uint64_t id = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(resolve(txn, "roster", &id), 0);
    assert_int_equal(id, STORE_ROOT);
    assert_int_equal(resolve(txn, "web.shop.roster", &id), 0);
    assert_int_equal(id, 3);
    const char *const wrong[] = {"",
                                 "web",
                                 "xroster",
                                 ".roster",
                                 "web.roster",
                                 "web..shop.roster",
                                 ".web.shop.roster",
                                 "web.shop.roster."};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(resolve(txn, wrong[i], &id), ERR_NOT_FOUND);
    }
    commit(txn);
}

static void a_domain_may_have_several_labels(void **state)
{
    BED bed;
    struct buf path = {0};
    uint64_t id = 0;

    (void)state;
    bed_make(&bed);
    struct store_txn *txn = begin(&bed);
    put_node(txn, STORE_ROOT, 0, "reg.example.net");
    put_node(txn, 2, STORE_ROOT, "web");
    assert_int_equal(resolve(txn, "web.reg.example.net", &id), 0);
    assert_int_equal(id, 2);
    assert_int_equal(resolve(txn, "example.net", &id), ERR_NOT_FOUND);
    assert_int_equal(store_path_of(txn, 2, &path), 0);
    assert_str(buf_str(&path), "web.reg.example.net");
    buf_done(&path);
    commit(txn);
}

static void a_node_is_moved_by_unlink_and_put(void **state)
{
    BED bed;
    struct buf path = {0};
    uint64_t id = 0;
    uint64_t revision = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    struct store_node shop = node_of(txn, 2);
    assert_int_equal(store_node_unlink(txn, &shop), 0);
    shop.name = STR("store");
    shop.path_rev = 50;
    assert_int_equal(store_node_put(txn, &shop), 0);
    assert_int_equal(resolve(txn, "web.shop.roster", &id), ERR_NOT_FOUND);
    assert_int_equal(resolve(txn, "web.store.roster", &id), 0);
    assert_int_equal(id, 3);
    assert_int_equal(store_path_of(txn, 3, &path), 0);
    assert_str(buf_str(&path), "web.store.roster");
    assert_int_equal(store_path_rev(txn, 3, &revision), 0);
    assert_int_equal(revision, 50);
    assert_int_equal(store_path_rev(txn, STORE_ROOT, &revision), 0);
    assert_int_equal(revision, 1);
    buf_done(&path);
    commit(txn);
}

/* Put with strings lent from the record itself. */
static void a_node_is_put_back_changed(void **state)
{
    BED bed;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    struct store_node node = node_of(txn, 3);
    node.match = STR("^web[0-9]+$");
    node.comment = STR("front");
    assert_int_equal(store_node_put(txn, &node), 0);
    node = node_of(txn, 3);
    node.match = STR_NONE;
    assert_int_equal(store_node_put(txn, &node), 0);
    node = node_of(txn, 3);
    assert_str(node.name, "web");
    assert_null(node.match.p);
    assert_str(node.comment, "front");
    commit(txn);
}

static void a_deleted_subtree_has_no_path(void **state)
{
    BED bed;
    struct buf path = {0};
    uint64_t revision = 0;
    uint64_t id = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    struct store_node shop = node_of(txn, 2);
    assert_int_equal(store_node_unlink(txn, &shop), 0);
    buf_add_text(&path, "kept");
    assert_int_equal(store_path_of(txn, 3, &path), ERR_NOT_FOUND);
    assert_str(buf_str(&path), "kept");
    assert_int_equal(store_path_rev(txn, 3, &revision), ERR_NOT_FOUND);
    /* Another of that name does not bring it back. */
    put_node(txn, 7, STORE_ROOT, "shop");
    assert_int_equal(store_path_of(txn, 3, &path), ERR_NOT_FOUND);
    assert_int_equal(resolve(txn, "web.shop.roster", &id), ERR_NOT_FOUND);
    /* Rows of the unlinked can still be counted down: it is not linked anew. */
    put_row(txn, 3, 1, "{}", 9);
    assert_int_equal(store_path_of(txn, 3, &path), ERR_NOT_FOUND);
    buf_done(&path);
    commit(txn);
}

static void below_means_in_the_subtree(void **state)
{
    BED bed;
    bool below = false;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_path_below(txn, 3, STORE_ROOT, &below), 0);
    assert_true(below);
    assert_int_equal(store_path_below(txn, 3, 3, &below), 0);
    assert_true(below);
    assert_int_equal(store_path_below(txn, 3, 4, &below), 0);
    assert_false(below);
    assert_int_equal(store_path_below(txn, 2, 3, &below), 0);
    assert_false(below);
    assert_int_equal(store_path_below(txn, 99, 2, &below), 0);
    assert_false(below);
    commit(txn);
}

static void a_circle_in_the_file_is_damage(void **state)
{
    BED bed;
    bool below = false;
    struct buf path = {0};

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    put_node(txn, 8, 9, "a");
    put_node(txn, 9, 8, "b");
    assert_int_equal(store_path_of(txn, 8, &path), ERR_CORRUPT);
    /* Sticky: whoever goes on after damage cannot commit. */
    assert_int_equal(store_path_below(txn, 3, 2, &below), ERR_CORRUPT);
    assert_int_equal(store_write_commit(txn), ERR_CORRUPT);
    buf_done(&path);
}

static void children_are_walked_by_label(void **state)
{
    BED bed;
    struct str label;
    uint64_t id = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_node_next_child(txn, 2, STR_NONE, &label, &id), 0);
    assert_str(label, "db");
    assert_int_equal(store_node_next_child(txn, 2, label, &label, &id), 0);
    assert_str(label, "web");
    assert_int_equal(id, 3);
    assert_int_equal(store_node_next_child(txn, 2, label, &label, &id),
                     ERR_END);
    assert_int_equal(store_node_next_child(txn, 3, STR_NONE, &label, &id),
                     ERR_END);
    commit(txn);
}

static void leaves_with_a_match_are_walked_by_id(void **state)
{
    BED bed;
    struct str match;
    uint64_t id = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_match_next(txn, 0, &id, &match), ERR_END);
    struct store_node node = node_of(txn, 4);
    node.match = STR("^db");
    assert_int_equal(store_node_put(txn, &node), 0);
    node = node_of(txn, 3);
    node.match = STR("^web");
    assert_int_equal(store_node_put(txn, &node), 0);
    assert_int_equal(store_match_next(txn, 0, &id, &match), 0);
    assert_int_equal(id, 3);
    assert_str(match, "^web");
    assert_int_equal(store_match_next(txn, id, &id, &match), 0);
    assert_int_equal(id, 4);
    assert_int_equal(store_match_next(txn, id, &id, &match), ERR_END);
    assert_int_equal(store_node_del(txn, 4), 0);
    assert_int_equal(store_match_next(txn, 3, &id, &match), ERR_END);
    assert_int_equal(store_node_get(txn, 4, &node), ERR_NOT_FOUND);
    commit(txn);
}

static void trash_is_emptied_oldest_id_first(void **state)
{
    BED bed;
    uint64_t id = 0;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_trash_first(txn, &id), ERR_END);
    assert_int_equal(store_trash_put(txn, 300), 0);
    assert_int_equal(store_trash_put(txn, 4), 0);
    assert_int_equal(store_trash_first(txn, &id), 0);
    assert_int_equal(id, 4);
    assert_int_equal(store_trash_del(txn, 4), 0);
    assert_int_equal(store_trash_first(txn, &id), 0);
    assert_int_equal(id, 300);
    commit(txn);
}

static void types_keep_definition_and_last_put(void **state)
{
    BED bed;
    struct str type;
    struct str json;
    uint64_t revision = 1;

    (void)state;
    struct store_txn *txn = make_shop(&bed);
    assert_int_equal(store_type_get(txn, STR("rack"), &json), ERR_NOT_FOUND);
    assert_int_equal(store_type_put(txn, STR("rack"), STR("{1}")), 0);
    assert_int_equal(store_type_put(txn, STR("rack2"), STR("{2}")), 0);
    assert_int_equal(store_type_get(txn, STR("rack"), &json), 0);
    assert_str(json, "{1}");
    assert_int_equal(store_type_next(txn, STR_NONE, &type, &json), 0);
    assert_str(type, "rack");
    assert_int_equal(store_type_next(txn, type, &type, &json), 0);
    assert_str(type, "rack2");
    assert_int_equal(store_type_next(txn, type, &type, &json), ERR_END);
    assert_int_equal(store_type_put_rev(txn, STR("rack"), &revision), 0);
    assert_int_equal(revision, 0);
    assert_int_equal(store_type_set_put_rev(txn, STR("rack"), 77), 0);
    assert_int_equal(store_type_put_rev(txn, STR("rack"), &revision), 0);
    assert_int_equal(revision, 77);
    commit(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_comes_back_as_it_was_put),
        cmocka_unit_test(a_path_is_resolved_from_the_domain_down),
        cmocka_unit_test(a_domain_may_have_several_labels),
        cmocka_unit_test(a_node_is_moved_by_unlink_and_put),
        cmocka_unit_test(a_node_is_put_back_changed),
        cmocka_unit_test(a_deleted_subtree_has_no_path),
        cmocka_unit_test(below_means_in_the_subtree),
        cmocka_unit_test(a_circle_in_the_file_is_damage),
        cmocka_unit_test(children_are_walked_by_label),
        cmocka_unit_test(leaves_with_a_match_are_walked_by_id),
        cmocka_unit_test(trash_is_emptied_oldest_id_first),
        cmocka_unit_test(types_keep_definition_and_last_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
