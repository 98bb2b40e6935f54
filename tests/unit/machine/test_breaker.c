#include "kit.h"
#include "machine/leased.h"

enum { T0 = 5000000 };
#define HOLD UINT64_C(60000)

static struct command step(struct kit *k, uint64_t scope,
                           enum breaker_what what, uint64_t hold_ms)
{
    struct command c = {.kind = COMMAND_BREAKER};

    c.breaker.epoch = kit_meta(k).lease_epoch;
    c.breaker.scope = scope;
    c.breaker.what = (uint8_t)what;
    c.breaker.hold_ms = hold_ms;
    c.breaker.n = 100;
    c.breaker.bad = 90;
    return c;
}

static int take(struct kit *k, uint64_t scope, enum breaker_what what,
                uint64_t hold_ms)
{
    struct command c = step(k, scope, what, hold_ms);

    return kit_do(k, &c);
}

static struct machine_breaker mark(struct kit *k, uint64_t scope)
{
    struct machine_breaker told;
    struct store_txn *txn = NULL;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(machine_breaker_get(txn, scope, &told), 0);
    store_read_end(txn);
    return told;
}

static const char *last_event(struct kit *k)
{
    struct store_txn *txn = NULL;
    uint64_t revision = 0;
    struct str event;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(
        store_event_next(txn, store_meta(txn)->revision - 1, &revision, &event),
        0);
    const char *text = arena_text(k->arena, event);
    store_read_end(txn);
    return text;
}

static struct kit *kit_of_level(uint64_t level)
{
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_FEATURE, .feature = {level}};

    assert_int_equal(kit_do(k, &c), 0);
    k->now_ms = T0;
    return k;
}

static void a_trip_is_held_then_paced_then_nothing(void **state)
{
    struct kit *k = kit_of_level(2);
    uint64_t shop = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "shop");

    (void)state;
    k->now_ms = T0;
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(take(k, shop, BREAKER_TRIP, HOLD), 0);
    uint64_t now_ms = kit_meta(k).log_time_ms;
    struct machine_breaker told = mark(k, shop);
    assert_int_equal(told.state, MACHINE_BREAKER_HELD);
    assert_int_equal(told.since_ms, now_ms);
    assert_int_equal(told.until_ms, now_ms + HOLD);
    assert_int_equal(k->told.left_ms, HOLD);
    assert_int_equal(k->told.scope, shop);
    assert_int_equal(told.n, 100);
    assert_int_equal(told.bad, 90);
    assert_int_equal(kit_meta(k).revision, revision + 1);
    assert_non_null(
        strstr(last_event(k), "\"op\":\"breaker\",\"ns\":\"shop.roster\""));
    assert_non_null(strstr(last_event(k), "\"cause\":\"breaker\",\"state\":"
                                          "\"held\""));
    assert_non_null(strstr(last_event(k), "\"leases\":100,\"suspect\":90}"));
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_CLOSED);

    assert_int_equal(take(k, shop, BREAKER_END_HOLD, 0), 0);
    assert_int_equal(mark(k, shop).state, MACHINE_BREAKER_PACING);
    assert_int_equal(take(k, shop, BREAKER_CLOSE, 0), 0);
    assert_int_equal(mark(k, shop).state, MACHINE_BREAKER_CLOSED);
    assert_non_null(strstr(last_event(k), "\"state\":\"closed\""));
    assert_int_equal(kit_meta(k).revision, revision + 3);
    kit_free(k);
}

/* It may have been sent twice, or have crossed an operator's. */
static void what_is_so_already_takes_no_revision_and_is_told(void **state)
{
    struct kit *k = kit_of_level(2);

    (void)state;
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), 0);
    struct machine_breaker before = mark(k, 0);
    uint64_t revision = kit_meta(k).revision;
    unsigned tellings = k->tellings;
    k->now_ms += 1000;
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    assert_int_equal(mark(k, 0).until_ms, before.until_ms);
    assert_int_equal(k->tellings, tellings + 1);
    assert_true(k->told.left_ms < HOLD);
    kit_free(k);
}

static void an_earlier_leaders_step_does_nothing(void **state)
{
    struct kit *k = kit_of_level(2);
    struct command c = step(k, 0, BREAKER_TRIP, HOLD);
    struct command epoch = {.kind = COMMAND_EPOCH};

    (void)state;
    assert_int_equal(kit_do(k, &epoch), 0);
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(k->tellings, 0);
    kit_free(k);
}

static void an_operator_changes_only_what_is_there(void **state)
{
    struct kit *k = kit_of_level(2);
    struct command epoch = {.kind = COMMAND_EPOCH};
    struct command c;

    (void)state;
    assert_int_equal(take(k, 0, BREAKER_RELEASE, 0), ERR_CONFLICT);
    assert_int_equal(take(k, 0, BREAKER_EXTEND, HOLD), ERR_CONFLICT);
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), 0);
    uint64_t until_ms = mark(k, 0).until_ms;
    /* Whoever leads. */
    c = step(k, 0, BREAKER_EXTEND, HOLD / 2);
    assert_int_equal(kit_do(k, &epoch), 0);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(mark(k, 0).until_ms, until_ms); /* never shorter */
    assert_int_equal(take(k, 0, BREAKER_EXTEND, 2 * HOLD), 0);
    assert_true(mark(k, 0).until_ms >= until_ms + HOLD);
    assert_int_equal(take(k, 0, BREAKER_EXTEND, UINT64_MAX), 0);
    assert_true(mark(k, 0).until_ms == UINT64_MAX);
    assert_int_equal(take(k, 0, BREAKER_RELEASE, 0), 0);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_PACING);
    assert_int_equal(take(k, 0, BREAKER_RELEASE, 0), ERR_CONFLICT);
    assert_int_equal(take(k, 0, BREAKER_EXTEND, HOLD), 0);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_HELD);
    assert_int_equal(take(k, 0, (enum breaker_what)77, 0), ERR_INVALID);
    kit_free(k);
}

/* What a leader decided before it heard of it comes too late. */
static void what_an_operator_extended_is_not_ended_by_mistake(void **state)
{
    struct kit *k = kit_of_level(2);
    struct command c = {
        .kind = COMMAND_BREAKER,
        .breaker = {.what = BREAKER_EXTEND, .hold_ms = 2 * HOLD}};

    (void)state;
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), 0);
    assert_false(mark(k, 0).extended);
    uint64_t until_ms = mark(k, 0).until_ms;
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(mark(k, 0).extended);
    assert_int_equal(take(k, 0, BREAKER_END_HOLD, until_ms), ERR_RETRY);
    assert_int_equal(take(k, 0, BREAKER_CLOSE, until_ms), ERR_RETRY);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_HELD);
    assert_int_equal(take(k, 0, BREAKER_END_HOLD, mark(k, 0).until_ms), 0);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_PACING);
    assert_false(mark(k, 0).extended);
    kit_free(k);
}

static void a_release_of_all_is_of_each_that_is_held(void **state)
{
    struct kit *k = kit_of_level(2);

    (void)state;
    assert_int_equal(take(k, COMMAND_BREAKER_ALL, BREAKER_RELEASE, 0),
                     ERR_CONFLICT);
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), 0);
    assert_int_equal(take(k, STORE_POOL, BREAKER_TRIP, HOLD), 0);
    assert_int_equal(take(k, COMMAND_BREAKER_ALL, BREAKER_EXTEND, HOLD),
                     ERR_INVALID);
    assert_int_equal(take(k, COMMAND_BREAKER_ALL, BREAKER_RELEASE, 0), 0);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_PACING);
    assert_int_equal(mark(k, STORE_POOL).state, MACHINE_BREAKER_PACING);
    assert_int_equal(take(k, COMMAND_BREAKER_ALL, BREAKER_RELEASE, 0),
                     ERR_CONFLICT);
    kit_free(k);
}

static void an_older_registry_knows_no_breaker(void **state)
{
    struct kit *k = kit_of_level(1);

    (void)state;
    assert_int_equal(take(k, 0, BREAKER_TRIP, HOLD), ERR_INVALID);
    assert_int_equal(mark(k, 0).state, MACHINE_BREAKER_CLOSED);
    kit_free(k);
}

/* Its leases went with it; the leader closes what it held. */
static void a_scope_whose_namespace_has_gone_closes_silently(void **state)
{
    struct kit *k = kit_of_level(2);
    uint64_t shop = kit_mkns(k, STORE_ROOT, STORE_LEAF, "shop");
    struct command c = {.kind = COMMAND_NS_DELETE, .ns_delete = {.id = shop}};

    (void)state;
    assert_int_equal(take(k, shop, BREAKER_TRIP, HOLD), 0);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(take(k, shop, BREAKER_CLOSE, 0), 0);
    assert_non_null(strstr(last_event(k), "\"op\":\"ns-delete\""));
    assert_int_equal(mark(k, shop).state, MACHINE_BREAKER_CLOSED);
    kit_free(k);
}

static void the_marks_are_found_one_after_another(void **state)
{
    struct kit *k = kit_of_level(2);
    uint64_t scopes[3] = {0}, n = 0;
    const uint64_t *after = NULL;
    struct machine_breaker told;
    struct store_txn *txn = NULL;

    (void)state;
    scopes[1] = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "shop");
    scopes[2] = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "bank");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(take(k, scopes[2 - i], BREAKER_TRIP, HOLD), 0);
    }
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    while (machine_breaker_next(txn, after, &told) == 0) {
        assert_int_equal(told.scope, scopes[n]);
        assert_int_equal(told.state, MACHINE_BREAKER_HELD);
        after = &scopes[n++];
    }
    store_read_end(txn);
    assert_int_equal(n, 3);
    kit_free(k);
}

static struct command enrol(struct kit *k, struct command_leaf_item *leaves,
                            size_t n)
{
    struct command c = {.kind = COMMAND_AGENT_PUT};

    for (size_t i = 0; i < n; i++) {
        leaves[i].new_id = kit_id(k);
    }
    c.agent_put.hostname = STR("web-1");
    c.agent_put.ttl_ms = 30000;
    c.agent_put.fields = STR("\"hostname\":\"web-1\"");
    c.agent_put.lease = kit_id(k);
    c.agent_put.pool_id = kit_id(k);
    c.agent_put.leaves = leaves;
    c.agent_put.n_leaves = n;
    return c;
}

static void a_lease_is_told_with_the_top_levels_of_its_machines(void **state)
{
    struct kit *k = kit_of_level(2);
    uint64_t shop = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "shop");
    uint64_t bank = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "bank");
    uint64_t deep = kit_mkns(k, bank, STORE_BRANCH, "deep");
    struct command_leaf_item leaves[] = {
        {.ns = kit_mkns(k, deep, STORE_LEAF, "a")},
        {.ns = kit_mkns(k, shop, STORE_LEAF, "b")},
        {.ns = kit_mkns(k, bank, STORE_LEAF, "c")},
    };
    struct command c = enrol(k, leaves, 3);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->lease_registered);
    assert_int_equal(k->n_scopes, 2);
    assert_int_equal(k->scopes[0], shop);
    assert_int_equal(k->scopes[1], bank);

    struct command move = {.kind = COMMAND_ROW_MOVE};
    move.row_move.ns = leaves[1].ns;
    move.row_move.type = STR("machine");
    move.row_move.key_field = STR("hostname");
    move.row_move.by_key = 1;
    move.row_move.key = STR("web-1");
    move.row_move.to = STORE_POOL;
    assert_int_equal(kit_do(k, &move), 0);
    assert_false(k->lease_registered);
    assert_int_equal(k->n_scopes, 2);
    assert_int_equal(k->scopes[0], STORE_POOL);
    assert_int_equal(k->scopes[1], bank);

    struct command gone = {.kind = COMMAND_ROW_DELETE};
    gone.row_delete.ns = STORE_POOL;
    gone.row_delete.type = STR("machine");
    gone.row_delete.key_field = STR("hostname");
    gone.row_delete.by_key = 1;
    gone.row_delete.key = STR("web-1");
    assert_int_equal(kit_do(k, &gone), 0);
    assert_int_equal(k->n_scopes, 1);
    assert_int_equal(k->scopes[0], bank);

    assert_int_equal(k->moves, 0);
    struct command up = {.kind = COMMAND_NS_CHANGE};
    up.ns_change.id = deep;
    up.ns_change.what = NS_PARENT;
    up.ns_change.parent = shop;
    assert_int_equal(kit_do(k, &up), 0);
    assert_int_equal(k->moves, 1);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trip_is_held_then_paced_then_nothing),
        cmocka_unit_test(what_is_so_already_takes_no_revision_and_is_told),
        cmocka_unit_test(an_earlier_leaders_step_does_nothing),
        cmocka_unit_test(an_operator_changes_only_what_is_there),
        cmocka_unit_test(what_an_operator_extended_is_not_ended_by_mistake),
        cmocka_unit_test(a_release_of_all_is_of_each_that_is_held),
        cmocka_unit_test(an_older_registry_knows_no_breaker),
        cmocka_unit_test(a_scope_whose_namespace_has_gone_closes_silently),
        cmocka_unit_test(the_marks_are_found_one_after_another),
        cmocka_unit_test(a_lease_is_told_with_the_top_levels_of_its_machines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
