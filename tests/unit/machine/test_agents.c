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

static void
an_unmatched_machine_goes_to_the_pool_until_a_leaf_fits(void **state)
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

static void
expiry_takes_all_that_is_bound_and_spares_what_was_there(void **state)
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

static struct command enrol_as(struct kit *k, const char *hostname,
                               const char *fields)
{
    struct command c = enrol(k, fields, NULL, 0);
    c.agent_put.hostname = str_of(hostname);
    return c;
}

static struct command delete_row(const char *type, const char *key_field,
                                 const char *key)
{
    struct command c = {.kind = COMMAND_ROW_DELETE};
    c.row_delete.ns = STORE_POOL;
    c.row_delete.type = str_of(type);
    c.row_delete.key_field = str_of(key_field);
    c.row_delete.by_key = 1;
    c.row_delete.key = str_of(key);
    return c;
}

static struct command bind(struct kit *k, const char *type,
                           const char *key_field, const char *fields,
                           struct ulid lease)
{
    struct command c = kit_add(k, STORE_POOL, type, key_field, fields);
    c.row_put.has_lease = 1;
    c.row_put.lease = lease;
    return c;
}

static struct store_list list_of(struct kit *k, uint64_t ns, const char *type)
{
    struct store_txn *txn;
    struct store_list list;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    while (store_use(txn, ns) == ERR_RESTART) {
    }
    assert_int_equal(store_list_get(txn, ns, str_of(type), &list), 0);
    store_read_end(txn);
    return list;
}

/* The last placement took a row of the same list along, at a later revision,
 * and then wrote its own, earlier one over it. */
static void a_lists_revision_is_that_of_the_last_row_that_went(void **state)
{
    struct kit *k = kit_new();
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    c = bind(k, "machine", "hostname", "\"hostname\":\"web-9\"", k->res.id);
    assert_int_equal(kit_do(k, &c), 0);
    c = delete_row("machine", "hostname", "web-1");
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 0);
    assert_int_equal(list_of(k, STORE_POOL, "machine").revision,
                     kit_meta(k).revision);
    kit_free(k);
}

/* web-2's machine is there before it registers, bound by hand to the lease of
 * web-1. The end of web-2's lease must not unbind it from that. */
static void a_row_bound_by_hand_stays_bound_to_its_lease(void **state)
{
    struct kit *k = kit_new();
    struct command_lease_item item;
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid first = k->res.id;
    c = bind(k, "machine", "hostname", "\"hostname\":\"web-2\"", first);
    assert_int_equal(kit_do(k, &c), 0);
    c = enrol_as(k, "web-2", "\"hostname\":\"web-2\"");
    assert_int_equal(kit_do(k, &c), 0);
    struct command del = {.kind = COMMAND_AGENT_DEL};
    del.agent_del.hostname = STR("web-2");
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 2);
    c = expire(k, &item, first);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 0);
    kit_free(k);
}

/* A put may choose the `_id` of a new row. With that of a machine beside it,
 * the end of either stopped every node: the way back from a row to its lease
 * knew no type. */
static void a_row_with_the_id_of_a_machine_is_another_row(void **state)
{
    struct kit *k = kit_new();
    struct command_lease_item item;
    struct ulid id;
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    struct ulid lease = k->res.id;
    memcpy(id.b, k->res.detail.p + 8, sizeof id.b);
    for (int bound = 0; bound < 2; bound++) {
        c = kit_add(k, STORE_POOL, "service", "name", "\"name\":\"http\"");
        c.row_put.mode = ROW_REPLACE;
        c.row_put.id = id;
        c.row_put.has_lease = (uint8_t)bound;
        c.row_put.lease = lease;
        assert_int_equal(kit_do(k, &c), 0);
        assert_int_equal(ulid_compare(k->res.id, id), 0);
        c = delete_row("service", "name", "http");
        assert_int_equal(kit_do(k, &c), 0);
        assert_int_equal(kit_meta(k).n_leases, 1);
    }
    c = expire(k, &item, lease);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 0);
    kit_free(k);
}

/* A step of the core loop is bounded: what is behind a large lease waits for
 * the next one. */
static void an_expiry_of_many_rows_goes_in_steps(void **state)
{
    struct kit *k = kit_new();
    struct command_row_item rows[1000];
    struct command_lease_item items[2];
    struct command c = enrol(k, FIELDS, NULL, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    items[0] = (struct command_lease_item){STR("web-1"), k->res.id};
    for (int i = 0; i < 2; i++) {
        struct command add = {.kind = COMMAND_ROWS_ADD};
        for (size_t n = 0; n < 1000; n++) {
            rows[n] = (struct command_row_item){.id = kit_id(k),
                                                .fields = STR("\"a\":\"1\""),
                                                .secret = STR("")};
        }
        add.rows_add.ns = STORE_POOL;
        add.rows_add.type = STR("thing");
        add.rows_add.key_field = STR("");
        add.rows_add.rows = rows;
        add.rows_add.n_rows = MACHINE_BOUND_MOST - 1; /* and the machine */
        add.rows_add.has_lease = 1;
        add.rows_add.lease = items[0].lease;
        /* A lease holds so many and no more. */
        assert_int_equal(kit_do(k, &add), i == 0 ? 0 : ERR_FULL);
    }
    c = enrol_as(k, "web-2", "\"hostname\":\"web-2\"");
    assert_int_equal(kit_do(k, &c), 0);
    items[1] = (struct command_lease_item){STR("web-2"), k->res.id};
    c = (struct command){.kind = COMMAND_EXPIRE};
    c.expire.epoch = kit_meta(k).lease_epoch;
    c.expire.leases = items;
    c.expire.n_leases = 2;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 1);
    assert_int_equal(kit_count(k, STORE_POOL, "thing"), 0);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 1);
    assert_int_equal(kit_meta(k).n_leases, 0);
    kit_free(k);
}

/* One transaction of the store serves a few thousand namespaces: a log entry
 * that needed more could never be applied, at no start. */
static void a_machine_has_so_many_places_and_no_more(void **state)
{
    struct kit *k = kit_new();
    struct command_leaf_item *leaves = mem_zero(1001 * sizeof *leaves);
    struct command c;

    (void)state;
    for (size_t i = 0; i < 1001; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "l%zu", i);
        leaves[i].ns = kit_mkns(k, STORE_ROOT, STORE_LEAF, name);
    }
    c = enrol(k, FIELDS, leaves, 1001);
    assert_int_equal(kit_do(k, &c), ERR_FULL);
    assert_int_equal(kit_meta(k).n_leases, 0);
    assert_int_equal(k->puts, 0);
    c = enrol(k, FIELDS, leaves, 1000);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).n_rows, 1000);
    mem_free(leaves);
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
        cmocka_unit_test(a_lists_revision_is_that_of_the_last_row_that_went),
        cmocka_unit_test(a_row_bound_by_hand_stays_bound_to_its_lease),
        cmocka_unit_test(a_row_with_the_id_of_a_machine_is_another_row),
        cmocka_unit_test(an_expiry_of_many_rows_goes_in_steps),
        cmocka_unit_test(a_machine_has_so_many_places_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
