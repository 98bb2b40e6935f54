#include "kit.h"

static void a_row_takes_the_next_revision_and_its_list_follows(void **state)
{
    struct kit *k = kit_new();
    uint64_t before = kit_meta(k).revision;

    (void)state;
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.revision, before + 1);
    assert_true(k->res.created);
    assert_string_equal(kit_list(k, STORE_POOL, "service"),
                        buf_text(&k->res.row));
    kit_free(k);
}

static void a_taken_key_names_its_holder_and_changes_nothing(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid holder = k->res.id;
    uint64_t revision = kit_meta(k).revision;
    c = kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");
    assert_int_equal(kit_do(k, &c), ERR_CONFLICT);
    assert_int_equal(ulid_compare(k->res.id, holder), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 1);
    kit_free(k);
}

/* [MACHINE-2] */
static void equal_content_is_no_change(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t revision = k->res.revision;
    c.row_put.mode = ROW_REPLACE;
    c.row_put.by_key = 1;
    c.row_put.key = STR("a");
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(k->res.changed);
    assert_int_equal(k->res.revision, revision);
    assert_int_equal(kit_meta(k).revision, revision);
    kit_free(k);
}

static struct command bulk(struct kit *k, struct command_row_item *rows,
                           size_t n)
{
    struct command c = {.kind = COMMAND_ROWS_ADD};

    for (size_t i = 0; i < n; i++) {
        rows[i].id = kit_id(k);
        rows[i].secret = STR("");
    }
    c.rows_add.ns = STORE_POOL;
    c.rows_add.type = STR("service");
    c.rows_add.key_field = STR("name");
    c.rows_add.rows = rows;
    c.rows_add.n_rows = n;
    return c;
}

/* [MACHINE-3] */
static void a_bulk_with_one_bad_row_leaves_nothing_behind(void **state)
{
    struct kit *k = kit_new();
    struct command_row_item rows[] = {{.fields = STR("\"name\":\"a\"")},
                                      {.fields = STR("\"name\":\"b\"")},
                                      {.fields = STR("\"name\":\"a\"")}};
    struct command c = bulk(k, rows, 3);
    struct store_meta before = kit_meta(k);

    (void)state;
    assert_int_equal(kit_do(k, &c), ERR_CONFLICT);
    assert_int_equal(k->res.index, 2);
    struct store_meta after = kit_meta(k);
    assert_int_equal(after.revision, before.revision);
    assert_int_equal(after.n_rows, before.n_rows);
    assert_int_equal(after.history_n, before.history_n);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 0);
    c = bulk(k, rows, 2);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.revision, k->res.first_rev + 1);
    kit_free(k);
}

static void an_entry_applied_twice_changes_nothing(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t revision = kit_meta(k).revision;
    k->index--; /* [MACHINE-1] the same entry again, as after a crash */
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 1);
    kit_free(k);
}

static void a_command_resolved_on_an_older_tree_is_sent_back(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    (void)state;
    c.tree_rev = kit_meta(k).tree_rev + 1;
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    c.tree_rev--;
    assert_int_equal(kit_do(k, &c), 0);
    kit_free(k);
}

static void conditions_are_decided_at_apply(void **state)
{
    struct kit *k = kit_new();
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");
    uint8_t revs[8] = {0};

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    revs[0] = (uint8_t)k->res.revision;
    c.row_put.mode = ROW_PATCH;
    c.row_put.by_key = 1;
    c.row_put.key = STR("a");
    c.row_put.fields = STR("\"x\":\"1\"");
    c.row_put.cond = COND_MATCH;
    c.row_put.cond_revs = (struct str){(char *)revs, 8};
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_do(k, &c), ERR_PRECONDITION);
    assert_int_equal(k->res.revision, revs[0] + 1);
    kit_free(k);
}

static struct command keyed(struct kit *k, const char *fields, uint8_t request)
{
    struct command c = kit_add(k, STORE_POOL, "service", "name", fields);
    c.has_key = true;
    c.key_hash[0] = 9;
    c.request_hash[0] = request;
    return c;
}

static void an_idempotency_key_gives_the_first_answer_again(void **state)
{
    struct kit *k = kit_new();
    struct command c = keyed(k, "\"name\":\"a\"", 1);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid id = k->res.id;
    uint64_t revision = k->res.revision;
    c = keyed(k, "\"name\":\"a\"", 1);
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->res.replayed);
    assert_int_equal(ulid_compare(k->res.id, id), 0);
    assert_int_equal(k->res.revision, revision);
    c = keyed(k, "\"name\":\"b\"", 2);
    assert_int_equal(kit_do(k, &c), ERR_KEY_REUSED);
    k->now_ms += MACHINE_KEY_LIFE_MS + 1;
    c = keyed(k, "\"name\":\"b\"", 2);
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(k->res.replayed);
    assert_int_equal(kit_meta(k).n_keys, 1);
    kit_free(k);
}

static void a_list_put_keeps_ids_by_key_and_may_swap_keys(void **state)
{
    struct kit *k = kit_new();
    struct command_row_item rows[] = {{.fields = STR("\"name\":\"a\"")},
                                      {.fields = STR("\"name\":\"b\"")}};
    struct command c = bulk(k, rows, 2);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct command put = {.kind = COMMAND_LIST_PUT};
    struct command_row_item swapped[] = {
        {.has_id = 1, .id = rows[0].id, .fields = STR("\"name\":\"b\"")},
        {.has_id = 1, .id = rows[1].id, .fields = STR("\"name\":\"a\"")}};
    swapped[0].secret = swapped[1].secret = STR("");
    put.list_put.ns = STORE_POOL;
    put.list_put.type = STR("service");
    put.list_put.key_field = STR("name");
    put.list_put.first_id = kit_id(k);
    put.list_put.rows = swapped;
    put.list_put.n_rows = 2;
    assert_int_equal(kit_do(k, &put), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 2);
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(kit_do(k, &put), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    /* One keeps its `_id` under another key; its old key goes to a new row. */
    struct command_row_item handed[] = {
        {.has_id = 1, .id = rows[0].id, .fields = STR("\"name\":\"c\"")},
        {.fields = STR("\"name\":\"b\"")}};
    handed[0].secret = handed[1].secret = STR("");
    put.list_put.rows = handed;
    assert_int_equal(kit_do(k, &put), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 2);
    put.list_put.n_rows = 0;
    assert_int_equal(kit_do(k, &put), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 0);
    assert_int_equal(kit_meta(k).n_rows, 0);
    kit_free(k);
}

static void a_moved_row_keeps_its_id_and_leaves_its_key_free(void **state)
{
    struct kit *k = kit_new();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid id = k->res.id;
    struct command move = {.kind = COMMAND_ROW_MOVE};
    move.row_move.ns = STORE_POOL;
    move.row_move.type = STR("service");
    move.row_move.key_field = STR("name");
    move.row_move.by_key = 1;
    move.row_move.key = STR("a");
    move.row_move.to = leaf;
    assert_int_equal(kit_do(k, &move), 0);
    assert_int_equal(ulid_compare(k->res.id, id), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 0);
    assert_int_equal(kit_count(k, leaf, "service"), 1);
    c = kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_do(k, &move), ERR_CONFLICT);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 1);
    kit_free(k);
}

static void a_transaction_is_all_or_nothing(void **state)
{
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_TXN};
    struct command_txn_op ops[2] = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ops[i] = (struct command_txn_op){.op = ROW_ADD,
                                         .ns = STORE_POOL,
                                         .type = STR("service"),
                                         .key_field = STR("name"),
                                         .new_id = kit_id(k),
                                         .fields = STR("\"name\":\"a\""),
                                         .secret = STR("")};
    }
    c.txn.ops = ops;
    c.txn.n_ops = 2;
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(kit_do(k, &c), ERR_CONFLICT);
    assert_int_equal(k->res.index, 1);
    assert_int_equal(kit_meta(k).revision, revision);
    ops[1].fields = STR("\"name\":\"b\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.detail.n, 2 * 24);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 2);
    kit_free(k);
}

/* A bulk that failed used to leave the revision of its first row behind: in the
 * answer, and as that of the type's last put, so that on a quiet registry the
 * type could not be changed any more. */
static void an_undone_part_leaves_no_revision_behind(void **state)
{
    struct kit *k = kit_new();
    struct command_row_item rows[] = {{.fields = STR("\"name\":\"a\"")},
                                      {.fields = STR("\"name\":\"a\"")}};
    struct command put = {.kind = COMMAND_TYPE_PUT};

    (void)state;
    uint64_t revision = kit_meta(k).revision;
    struct command c = bulk(k, rows, 2);
    assert_int_equal(kit_do(k, &c), ERR_CONFLICT);
    assert_int_equal(k->res.revision, 0);
    assert_int_equal(k->res.row.n, 0);
    assert_int_equal(k->res.index, 1);
    put.type_put.type = STR("service");
    put.type_put.definition = STR("{\"key\":\"name\"}");
    put.type_put.seen_rev = revision;
    assert_int_equal(kit_do(k, &put), 0);
    kit_free(k);
}

/* More types than are put aside are written at once; inside a part that is
 * undone, the touches of earlier commands went with it. */
static void an_undone_part_forgets_no_touched_type(void **state)
{
    struct kit *k = kit_new();
    struct command_txn_op ops[20];
    struct command txn = {.kind = COMMAND_TXN};
    struct command c = kit_add(k, STORE_POOL, "early", "", "\"a\":\"1\"");
    struct command put = {.kind = COMMAND_TYPE_PUT};
    struct machine_result results[2] = {{0}};
    struct buf first = {0}, second = {0}, pack = {0};
    char names[20][8];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%zu", i);
        ops[i] = (struct command_txn_op){.op = i == 19 ? ROW_PATCH : ROW_ADD,
                                         .ns = STORE_POOL,
                                         .type = str_of(names[i]),
                                         .key_field = STR(""),
                                         .new_id = kit_id(k),
                                         .fields = STR("\"a\":\"1\""),
                                         .secret = STR("")};
    }
    txn.txn.ops = ops;
    txn.txn.n_ops = 20;
    command_encode(&first, &c);
    command_encode(&second, &txn);
    command_pack_begin(&pack, k->now_ms, 1);
    command_pack_add(&pack, buf_str(&first));
    command_pack_add(&pack, buf_str(&second));
    command_pack_end(&pack);
    uint64_t before = kit_meta(k).revision;
    assert_int_equal(machine_apply(k->m, ++k->index, buf_str(&pack), results),
                     0);
    assert_int_equal(machine_commit(k->m), 0);
    assert_int_equal(results[0].answer, 0);
    assert_int_equal(results[1].answer, ERR_NOT_FOUND);
    put.type_put.type = STR("early");
    put.type_put.definition = STR("{\"key\":null}");
    put.type_put.seen_rev = before;
    assert_int_equal(kit_do(k, &put), ERR_RETRY);
    machine_result_done(&results[0]);
    machine_result_done(&results[1]);
    buf_done(&first);
    buf_done(&second);
    buf_done(&pack);
    kit_free(k);
}

/* What came before in its pack keeps its result, what comes behind waits. */
static void a_list_that_is_cut_is_whole_or_not_there(void **state)
{
    struct kit *k = kit_new();
    struct command_row_item rows[30];
    struct command list = {.kind = COMMAND_LIST_PUT};
    struct command before = kit_add(k, STORE_POOL, "a", "", "\"a\":\"1\"");
    struct command behind = kit_add(k, STORE_POOL, "b", "", "\"b\":\"1\"");
    struct command *of[] = {&before, &list, &behind};
    struct machine_result results[3] = {{0}};
    struct buf pack = {0};
    unsigned n_cut = 0;
    int r = ERR_BUSY;

    (void)state;
    for (size_t i = 0; i < 30; i++) {
        rows[i] = (struct command_row_item){.fields = STR("\"x\":\"1\""),
                                            .secret = STR("")};
    }
    list.list_put = (struct command_list_put){.ns = STORE_POOL,
                                              .type = STR("service"),
                                              .key_field = STR(""),
                                              .first_id = kit_id(k),
                                              .rows = rows,
                                              .n_rows = 30};
    command_pack_begin(&pack, k->now_ms, 1);
    for (size_t i = 0; i < 3; i++) {
        struct buf bytes = {0};
        command_encode(&bytes, of[i]);
        command_pack_add(&pack, buf_str(&bytes));
        buf_done(&bytes);
    }
    command_pack_end(&pack);
    uint64_t revision = kit_meta(k).revision;
    machine_slice(k->m, 7);
    k->index++;
    for (int round = 0; round < 2; round++) {
        /* Lost in the middle, and all of it again. */
        for (n_cut = 0; r == ERR_BUSY && (round == 1 || n_cut < 3); n_cut++) {
            r = machine_apply(k->m, k->index, buf_str(&pack), results);
            assert_int_equal(kit_count(k, STORE_POOL, "service"), 0);
            assert_int_equal(results[2].revision,
                             round == 1 && r == 0 ? revision + 32 : 0);
        }
        assert_int_equal(results[0].revision, revision + 1);
        if (round == 0) {
            assert_int_equal(r, ERR_BUSY);
            machine_abort(k->m);
            machine_result_done(&results[0]);
            memset(results, 0, sizeof results);
        }
    }
    assert_int_equal(r, 0);
    assert_in_range(n_cut, 5, 6);
    assert_int_equal(machine_commit(k->m), 0);
    assert_int_equal(results[1].n, 30);
    assert_int_equal(results[1].first_rev, revision + 2);
    assert_int_equal(results[1].revision, revision + 31);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 30);
    for (size_t i = 0; i < 3; i++) {
        machine_result_done(&results[i]);
    }
    buf_done(&pack);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_takes_the_next_revision_and_its_list_follows),
        cmocka_unit_test(a_taken_key_names_its_holder_and_changes_nothing),
        cmocka_unit_test(equal_content_is_no_change),
        cmocka_unit_test(a_bulk_with_one_bad_row_leaves_nothing_behind),
        cmocka_unit_test(an_entry_applied_twice_changes_nothing),
        cmocka_unit_test(a_command_resolved_on_an_older_tree_is_sent_back),
        cmocka_unit_test(conditions_are_decided_at_apply),
        cmocka_unit_test(an_idempotency_key_gives_the_first_answer_again),
        cmocka_unit_test(a_list_put_keeps_ids_by_key_and_may_swap_keys),
        cmocka_unit_test(a_moved_row_keeps_its_id_and_leaves_its_key_free),
        cmocka_unit_test(a_transaction_is_all_or_nothing),
        cmocka_unit_test(an_undone_part_leaves_no_revision_behind),
        cmocka_unit_test(an_undone_part_forgets_no_touched_type),
        cmocka_unit_test(a_list_that_is_cut_is_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
