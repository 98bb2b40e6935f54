/* The marks of webhooks, and what their rows show. */
#include "kit.h"
#include "machine/webhook.h"

static void raise_level(struct kit *k)
{
    struct command c = {.kind = COMMAND_FEATURE};
    c.feature.level = 2;
    assert_int_equal(kit_do(k, &c), 0);
}

/* Answers: NOT_FOUND. */
static int mark_of(struct kit *k, uint64_t ns, struct ulid id,
                   struct webhook_mark *ret_mark)
{
    struct store_txn *txn = NULL;
    char name[WEBHOOK_NAME];
    uint64_t ends_ms = 1;
    struct str record;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    struct str n = webhook_mark_name(ns, id, name);
    int r = store_mark_get(txn, STORE_MARK_WEBHOOK, n, &ends_ms, &record);
    if (r == 0) {
        assert_int_equal(record.n, WEBHOOK_RECORD);
        assert_int_equal(ends_ms, 0);
        webhook_mark_read(n, record, ret_mark);
    }
    store_read_end(txn);
    return r;
}

static struct webhook_mark mark(struct kit *k, uint64_t ns, struct ulid id)
{
    struct webhook_mark found;
    assert_int_equal(mark_of(k, ns, id, &found), 0);
    return found;
}

static bool has_mark(struct kit *k, uint64_t ns, struct ulid id)
{
    struct webhook_mark found;
    return mark_of(k, ns, id, &found) == 0;
}

static uint64_t revision(struct kit *k)
{
    return kit_meta(k).revision;
}

static struct ulid add_hook(struct kit *k, uint64_t ns)
{
    struct command c = kit_add(k, ns, "webhook", "name",
                               "\"name\":\"w\",\"url\":\"http://x/\"");
    assert_int_equal(kit_do(k, &c), 0);
    return k->res.id;
}

static int report(struct kit *k, struct command_hook_item *items, size_t n)
{
    struct command c = {.kind = COMMAND_HOOKS};

    c.hooks.hooks = items;
    c.hooks.n_hooks = n;
    return kit_do(k, &c);
}

static int report_one(struct kit *k, uint64_t ns, struct ulid id,
                      uint64_t cursor, enum hook_state state, const char *text)
{
    struct command_hook_item item = {.id = id,
                                     .ns = ns,
                                     .cursor = cursor,
                                     .state = (uint8_t)state,
                                     .since_ms = state == HOOK_FAILING ? 77 : 0,
                                     .text = str_of(text)};
    return report(k, &item, 1);
}

static int delete_row(struct kit *k, uint64_t ns, struct ulid id)
{
    struct command c = {.kind = COMMAND_ROW_DELETE};

    c.row_delete.ns = ns;
    c.row_delete.type = STR("webhook");
    c.row_delete.key_field = STR("name");
    c.row_delete.id = id;
    return kit_do(k, &c);
}

static int move_row(struct kit *k, uint64_t ns, struct ulid id, uint64_t to)
{
    struct command c = {.kind = COMMAND_ROW_MOVE};

    c.row_move.ns = ns;
    c.row_move.type = STR("webhook");
    c.row_move.key_field = STR("name");
    c.row_move.id = id;
    c.row_move.to = to;
    return kit_do(k, &c);
}

static void a_webhook_begins_behind_its_own_put(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    raise_level(k);
    struct ulid id = add_hook(k, STORE_POOL);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, revision(k));
    assert_int_equal(mark(k, STORE_POOL, id).state, HOOK_SAME);
    struct command c = kit_add(k, STORE_POOL, "thing", "name", "\"a\":\"1\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(has_mark(k, STORE_POOL, k->res.id));
    /* A later put of it moves nothing. */
    uint64_t then = mark(k, STORE_POOL, id).cursor;
    c = kit_add(k, STORE_POOL, "webhook", "name", "\"url\":\"http://y/\"");
    c.row_put.mode = ROW_PATCH;
    c.row_put.id = id;
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->res.changed);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, then);
    kit_free(k);
}

static void its_mark_goes_with_the_row_and_moves_with_it(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    raise_level(k);
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    struct ulid id = add_hook(k, STORE_POOL);
    uint64_t cursor = mark(k, STORE_POOL, id).cursor;
    assert_int_equal(report_one(k, STORE_POOL, id, 0, HOOK_FAILING, "f"), 0);
    assert_int_equal(move_row(k, STORE_POOL, id, leaf), 0);
    assert_false(has_mark(k, STORE_POOL, id));
    assert_int_equal(mark(k, leaf, id).cursor, cursor);
    assert_int_equal(mark(k, leaf, id).state, HOOK_FAILING);
    assert_int_equal(mark(k, leaf, id).since_ms, 77);
    assert_non_null(strstr(kit_list(k, leaf, "webhook"), "\"_status\":\"f\""));
    assert_int_equal(delete_row(k, leaf, id), 0);
    assert_false(has_mark(k, leaf, id));
    kit_free(k);
}

static void a_reclaimed_namespace_takes_marks_along(void **state)
{
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_NS_DELETE};

    (void)state;
    raise_level(k);
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    struct ulid id = add_hook(k, leaf);
    c.ns_delete.id = leaf;
    c.ns_delete.recursive = 1;
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(has_mark(k, leaf, id));
    /* Out of reach: nothing is shown any more. */
    uint64_t then = revision(k);
    assert_int_equal(report_one(k, leaf, id, 0, HOOK_OK, "ok"), 0);
    assert_int_equal(revision(k), then);
    c = (struct command){.kind = COMMAND_RECLAIM};
    c.reclaim.limit = 100;
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(has_mark(k, leaf, id));
    kit_free(k);
}

static void a_cursor_grows_and_takes_no_revision(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    raise_level(k);
    struct ulid id = add_hook(k, STORE_POOL);
    uint64_t begin = revision(k);
    for (int i = 0; i < 9; i++) {
        struct command c =
            kit_add(k, STORE_POOL, "thing", "name", "\"a\":\"1\"");
        assert_int_equal(kit_do(k, &c), 0);
    }
    uint64_t then = revision(k);
    assert_int_equal(report_one(k, STORE_POOL, id, begin + 5, HOOK_SAME, ""),
                     0);
    assert_false(k->res.changed);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, begin + 5);
    assert_int_equal(report_one(k, STORE_POOL, id, begin + 2, HOOK_SAME, ""),
                     0);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, begin + 5);
    /* Nor beyond what there is. */
    assert_int_equal(report_one(k, STORE_POOL, id, then + 1, HOOK_SAME, ""), 0);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, begin + 5);
    assert_int_equal(revision(k), then);
    kit_free(k);
}

static void a_state_is_shown_in_the_row_and_told_as_its_own(void **state)
{
    struct kit *k = kit_new();
    struct store_txn *txn = NULL;
    struct str event;
    uint64_t at = 0;

    (void)state;
    raise_level(k);
    struct ulid id = add_hook(k, STORE_POOL);
    uint64_t then = revision(k);
    assert_int_equal(
        report_one(k, STORE_POOL, id, 0, HOOK_FAILING, "say \"no\""), 0);
    assert_int_equal(revision(k), then + 1);
    assert_non_null(strstr(kit_list(k, STORE_POOL, "webhook"),
                           "\"_status\":\"say \\\"no\\\"\""));
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(store_event_next(txn, then, &at, &event), 0);
    assert_non_null(memmem(event.p, event.n, "\"cause\":\"webhook\"", 17));
    store_read_end(txn);
    assert_int_equal(
        report_one(k, STORE_POOL, id, 0, HOOK_FAILING, "say \"no\""), 0);
    assert_int_equal(revision(k), then + 1);
    assert_int_equal(report_one(k, STORE_POOL, id, 0, HOOK_OK, "ok"), 0);
    assert_int_equal(mark(k, STORE_POOL, id).since_ms, 0);
    assert_int_equal(revision(k), then + 2);
    kit_free(k);
}

/* What it said before is not so any more. */
static void a_state_without_room_in_the_row_is_not_the_one_before(void **state)
{
    struct kit *k = kit_new();
    struct buf fields = {0};

    (void)state;
    raise_level(k);
    buf_add_text(&fields, "\"name\":\"w\",\"note\":\"");
    while (fields.n < ROW_FIELDS_MAX - 40) {
        buf_add_char(&fields, 'x');
    }
    buf_add(&fields, "\",\"url\":\"h\"", sizeof "\",\"url\":\"h\"");
    struct command c = kit_add(k, STORE_POOL, "webhook", "name", fields.p);
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid id = k->res.id;
    report_one(k, STORE_POOL, id, 0, HOOK_OK, "ok");
    assert_non_null(strstr(kit_list(k, STORE_POOL, "webhook"), "_status"));
    report_one(k, STORE_POOL, id, 0, HOOK_FAILING, "failing since today: why");
    assert_null(strstr(kit_list(k, STORE_POOL, "webhook"), "_status"));
    assert_int_equal(mark(k, STORE_POOL, id).state, HOOK_FAILING);
    buf_done(&fields);
    kit_free(k);
}

static void reports_about_what_is_gone_are_passed_over(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    raise_level(k);
    struct ulid gone = add_hook(k, STORE_POOL);
    assert_int_equal(delete_row(k, STORE_POOL, gone), 0);
    struct ulid id = add_hook(k, STORE_POOL);
    uint64_t then = revision(k);
    struct command_hook_item items[] = {
        {.id = gone,
         .ns = STORE_POOL,
         .cursor = then,
         .state = HOOK_OK,
         .text = STR("ok")},
        {.id = id,
         .ns = 999,
         .cursor = then,
         .state = HOOK_OK,
         .text = STR("ok")},
        {.id = id,
         .ns = STORE_POOL,
         .cursor = then,
         .state = HOOK_OK,
         .text = STR("ok")},
    };
    assert_int_equal(report(k, items, 3), 0);
    assert_int_equal(revision(k), then + 1);
    assert_int_equal(mark(k, STORE_POOL, id).state, HOOK_OK);
    assert_false(has_mark(k, STORE_POOL, gone));
    kit_free(k);
}

static void rows_from_before_are_looked_for_and_found(void **state)
{
    static const struct ulid none;
    struct kit *k = kit_new();

    (void)state;
    struct ulid id = add_hook(k, STORE_POOL);
    struct ulid also = add_hook(k, STORE_ROOT);
    assert_false(has_mark(k, STORE_POOL, id));
    raise_level(k);
    assert_true(has_mark(k, 0, none));
    /* Whoever puts it first has found it. */
    struct command c =
        kit_add(k, STORE_POOL, "webhook", "name", "\"url\":\"http://y/\"");
    c.row_put.mode = ROW_PATCH;
    c.row_put.id = id;
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t put = revision(k);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, put);
    add_hook(k, kit_mkns(k, STORE_ROOT, STORE_LEAF, "web"));
    struct command_hook_item items[] = {
        {.id = id, .ns = STORE_POOL, .state = HOOK_FOUND, .text = STR("")},
        {.id = also, .ns = STORE_ROOT, .state = HOOK_FOUND, .text = STR("")},
        {.id = also, .ns = 999, .state = HOOK_FOUND, .text = STR("")},
        {.state = HOOK_FOUND, .text = STR("")},
    };
    assert_int_equal(report(k, items, 4), 0);
    assert_int_equal(mark(k, STORE_POOL, id).cursor, put);
    assert_int_equal(mark(k, STORE_ROOT, also).cursor, revision(k));
    assert_false(has_mark(k, 0, none));
    assert_false(has_mark(k, 999, also));
    kit_free(k);
}

static void without_rows_from_before_nobody_has_to_look(void **state)
{
    static const struct ulid none;
    struct kit *k = kit_new();

    (void)state;
    raise_level(k);
    assert_false(has_mark(k, 0, none));
    add_hook(k, STORE_POOL);
    raise_level(k);
    assert_false(has_mark(k, 0, none));
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_webhook_begins_behind_its_own_put),
        cmocka_unit_test(its_mark_goes_with_the_row_and_moves_with_it),
        cmocka_unit_test(a_reclaimed_namespace_takes_marks_along),
        cmocka_unit_test(a_cursor_grows_and_takes_no_revision),
        cmocka_unit_test(a_state_is_shown_in_the_row_and_told_as_its_own),
        cmocka_unit_test(a_state_without_room_in_the_row_is_not_the_one_before),
        cmocka_unit_test(reports_about_what_is_gone_are_passed_over),
        cmocka_unit_test(rows_from_before_are_looked_for_and_found),
        cmocka_unit_test(without_rows_from_before_nobody_has_to_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
