#include "kit.h"
#include "machine/flap.h"

#define HOST STR("web-1")
#define MINUTE 60000

static struct kit *begun(void)
{
    struct kit *k = kit_new();

    kit_rise(k, 2);
    return k;
}

static void come_and_go(struct kit *k, uint64_t at_ms)
{
    k->now_ms = at_ms;
    assert_int_equal(kit_enrol(k, 0), 0);
    assert_int_equal(kit_expire(k), 1);
}

/* How often it went since then; 0 when there is no mark. */
static uint64_t goings(struct kit *k, uint64_t since_ms)
{
    struct store_txn *txn;
    struct str record;
    uint64_t n = 0, ends_ms = 0;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    int r = store_mark_get(txn, STORE_MARK_GOINGS, HOST, &ends_ms, &record);
    assert_true(r == 0 || r == ERR_NOT_FOUND);
    if (r == 0) {
        n = flap_count(record, since_ms);
    }
    store_read_end(txn);
    return n;
}

static struct command flap(struct kit *k, uint64_t until_ms)
{
    struct command c = {.kind = COMMAND_FLAP};
    struct store_txn *txn;
    struct store_lease lease;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(store_lease_get(txn, HOST, k->arena, &lease), 0);
    c.flap = (struct command_flap){.epoch = store_meta(txn)->lease_epoch,
                                   .hostname = HOST,
                                   .lease = lease.id,
                                   .until_ms = until_ms};
    store_read_end(txn);
    return c;
}

static void each_expiry_is_noted_and_no_other_end(void **state)
{
    struct kit *k = begun();
    struct command del = {.kind = COMMAND_AGENT_DEL, .agent_del = {HOST}};

    (void)state;
    come_and_go(k, 2000000);
    come_and_go(k, 2000000 + MINUTE);
    assert_int_equal(kit_enrol(k, 0), 0);
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(goings(k, 0), 2);
    assert_int_equal(goings(k, 2000001), 1);
    assert_int_equal(goings(k, 2000001 + MINUTE), 0);
    kit_free(k);
}

static void before_level_two_nothing_is_noted(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    come_and_go(k, 2000000);
    assert_int_equal(goings(k, 0), 0);
    kit_free(k);
}

static void the_last_sixteen_are_remembered_for_a_day(void **state)
{
    struct kit *k = begun();

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        come_and_go(k, 2000000 + i * MINUTE);
    }
    assert_int_equal(goings(k, 0), FLAP_GOINGS_MOST);
    assert_int_equal(goings(k, 2000000 + 4 * MINUTE), FLAP_GOINGS_MOST);
    assert_int_equal(goings(k, 2000000 + 5 * MINUTE), FLAP_GOINGS_MOST - 1);
    uint64_t last = 2000000 + 19 * MINUTE;
    assert_int_equal(kit_sweep(k, last + FLAP_MEMORY_MS - 1, 10), 0);
    assert_int_equal(kit_sweep(k, last + FLAP_MEMORY_MS, 10), 1);
    assert_int_equal(goings(k, 0), 0);
    kit_free(k);
}

static void who_flaps_is_spared_until_it_ends(void **state)
{
    struct kit *k = begun();

    (void)state;
    come_and_go(k, 2000000);
    assert_int_equal(kit_enrol(k, 0), 0);
    struct command c = flap(k, 2000000 + 10 * MINUTE);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 1);
    assert_true(k->spared);
    assert_int_equal(kit_expire(k), 0);
    assert_int_equal(kit_count(k, STORE_POOL, "machine"), 1);
    assert_int_equal(kit_sweep(k, 2000000 + 10 * MINUTE, 10), 1);
    assert_false(k->spared);
    /* Counting begins anew. */
    assert_int_equal(goings(k, 0), 0);
    assert_int_equal(kit_expire(k), 1);
    assert_int_equal(goings(k, 0), 1);
    kit_free(k);
}

static void an_older_epoch_and_another_lease_do_nothing(void **state)
{
    struct kit *k = begun();

    (void)state;
    assert_int_equal(kit_enrol(k, 0), 0);
    struct command c = flap(k, 3000000);
    c.flap.lease = kit_id(k);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 0);
    c = flap(k, 3000000);
    c.flap.epoch--;
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    assert_int_equal(kit_expire(k), 1);
    c.flap.epoch++;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(k->res.n, 0);
    assert_int_equal(goings(k, 0), 1);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_expiry_is_noted_and_no_other_end),
        cmocka_unit_test(before_level_two_nothing_is_noted),
        cmocka_unit_test(the_last_sixteen_are_remembered_for_a_day),
        cmocka_unit_test(who_flaps_is_spared_until_it_ends),
        cmocka_unit_test(an_older_epoch_and_another_lease_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
