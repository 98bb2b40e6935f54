#include "kit.h"

static struct command enrol(struct kit *k, const char *fields,
                            struct command_leaf_item *leaves, size_t n)
{
    struct command c = {.kind = COMMAND_AGENT_PUT};

    for (size_t i = 0; i < n; i++) {
        leaves[i].new_id = kit_id(k);
    }
    c.agent_put.hostname = STR("web-1");
    c.agent_put.ttl_ms = 30000;
    c.agent_put.fields = str_of(fields);
    c.agent_put.lease = kit_id(k);
    c.agent_put.pool_id = kit_id(k);
    c.agent_put.leaves = leaves;
    c.agent_put.n_leaves = n;
    return c;
}

#define FIELDS "\"hostname\":\"web-1\",\"os\":\"debian\""

static void an_unmatched_machine_goes_to_the_pool_until_a_leaf_fits(
    void **state)
{
    struct kit *k = kit_new();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    struct command_leaf_item leaves[] = {{.ns = leaf}};

    (void)state;
    struct command c = enrol(k, FIELDS, NULL, 0);
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->res.created);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 1);
    c = enrol(k, FIELDS, leaves, 1);
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(k->res.created);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 0);
    assert_int_equal(kit_count(k, leaf, "machine"), 1);
    kit_free(k);
}

static void a_refresh_that_changes_nothing_is_no_change(void **state)
{
    struct kit *k = kit_new();
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t revision = kit_meta(k).revision;
    c = enrol(k, FIELDS, NULL, 0);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).revision, revision);
    assert_int_equal(k->puts, 2); /* It is a sign of life all the same. */
    kit_free(k);
}

static struct command move(uint64_t from, uint64_t to)
{
    struct command c = {.kind = COMMAND_ROW_MOVE};
    c.row_move.ns = from;
    c.row_move.type = STR("machine");
    c.row_move.key_field = STR("hostname");
    c.row_move.by_key = 1;
    c.row_move.key = STR("web-1");
    c.row_move.to = to;
    return c;
}

static void a_refresh_does_not_undo_an_operators_move(void **state)
{
    struct kit *k = kit_new();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    uint64_t other = kit_mkns(k, STORE_ROOT, STORE_LEAF, "other");
    struct command_leaf_item leaves[] = {{.ns = leaf}};

    (void)state;
    struct command c = enrol(k, FIELDS, leaves, 1);
    assert_int_equal(kit_do(k, &c), 0);
    c = move(leaf, other);
    assert_int_equal(kit_do(k, &c), 0);
    c = enrol(k, "\"hostname\":\"web-1\",\"os\":\"new\"", leaves, 1);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_count(k, leaf, "machine"), 0);
    assert_non_null(strstr(kit_list(k, other, "machine"), "\"os\":\"new\""));
    kit_free(k);
}

static struct command expire(struct kit *k, struct command_lease_item *item,
                             struct ulid lease)
{
    struct command c = {.kind = COMMAND_EXPIRE};
    *item = (struct command_lease_item){STR("web-1"), lease};
    c.expire.epoch = kit_meta(k).lease_epoch;
    c.expire.leases = item;
    c.expire.n_leases = 1;
    return c;
}

static void expiry_takes_all_that_is_bound_and_spares_what_was_there(
    void **state)
{
    struct kit *k = kit_new();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    struct command_leaf_item leaves[] = {{.ns = leaf}};
    struct command_lease_item item;

    (void)state;
    /* An operator's own row of that machine, without a lease. */
    struct command c =
        kit_add(k, leaf, "machine", "hostname", "\"hostname\":\"web-1\"");
    assert_int_equal(kit_do(k, &c), 0);
    c = enrol(k, FIELDS, leaves, 1);
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid lease = k->res.id;
    c = kit_add(k, STORE_POOL, "service", "name", "\"name\":\"http\"");
    c.row_put.has_lease = 1;
    c.row_put.lease = lease;
    assert_int_equal(kit_do(k, &c), 0);
    c = expire(k, &item, lease);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 1);
    assert_int_equal(k->dels, 1);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 0);
    assert_int_equal(kit_count(k, leaf, "machine"), 1);
    assert_int_equal(kit_meta(k).n_leases, 0);
    kit_free(k);
}

static void an_expiry_of_an_older_epoch_does_nothing(void **state)
{
    struct kit *k = kit_new();
    struct command c = enrol(k, FIELDS, NULL, 0);
    struct command_lease_item item;

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct command old = expire(k, &item, k->res.id);
    struct command epoch = {.kind = COMMAND_EPOCH};
    assert_int_equal(kit_do(k, &epoch), 0);
    assert_int_equal(kit_do(k, &old), ERR_RETRY);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 1);
    kit_free(k);
}

static void a_lease_ends_with_its_last_placement(void **state)
{
    struct kit *k = kit_new();
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct command del = {.kind = COMMAND_ROW_DELETE};
    del.row_delete.ns = STORE_POOL;
    del.row_delete.type = STR("machine");
    del.row_delete.key_field = STR("hostname");
    del.row_delete.by_key = 1;
    del.row_delete.key = STR("web-1");
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(k->dels, 1);
    assert_int_equal(kit_meta(k).n_leases, 0);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            an_unmatched_machine_goes_to_the_pool_until_a_leaf_fits),
        cmocka_unit_test(a_refresh_that_changes_nothing_is_no_change),
        cmocka_unit_test(a_refresh_does_not_undo_an_operators_move),
        cmocka_unit_test(
            expiry_takes_all_that_is_bound_and_spares_what_was_there),
        cmocka_unit_test(an_expiry_of_an_older_epoch_does_nothing),
        cmocka_unit_test(a_lease_ends_with_its_last_placement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
