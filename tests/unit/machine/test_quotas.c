/* Quotas: what is refused, what is told, what is counted in which steps. That
 * figures are right whatever happens is test_any.c's. */
#include <string.h>

#include "kit.h"
#include "model/access_quota.h"

static int set_quota(struct kit *k, uint64_t ns, uint64_t warn, uint64_t refuse)
{
    struct access_quota quota = {
        .known = true,
        .limits = {{warn, refuse}, {ACCESS_QUOTA_NONE, ACCESS_QUOTA_NONE}}};
    char name[ACCESS_QUOTA_NAME];
    struct buf record = {0};
    struct command_access_item item = {.what = 'Q',
                                       .name = {name, sizeof name},
                                       .seen_rev = COMMAND_ACCESS_ANY};
    struct command c = {.kind = COMMAND_ACCESS, .access = {&item, 1}};

    access_quota_name(ns, name);
    access_quota_encode(&record, &quota);
    item.record = buf_str(&record);
    int answer = kit_do(k, &c);
    buf_done(&record);
    return answer;
}

static struct access_quota quota_of(struct kit *k, uint64_t ns)
{
    struct access_quota quota;
    char name[ACCESS_QUOTA_NAME];
    struct store_txn *txn;
    struct str record;
    uint64_t ends_ms;

    access_quota_name(ns, name);
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(store_mark_get(txn, STORE_MARK_QUOTA,
                                    (struct str){name, sizeof name}, &ends_ms,
                                    &record),
                     0);
    assert_int_equal(access_quota_decode(record, &quota), 0);
    store_read_end(txn);
    quota.at.type = STR("");
    return quota;
}

static int add(struct kit *k, uint64_t ns, unsigned i)
{
    char fields[32];

    (void)snprintf(fields, sizeof fields, "\"name\":\"r%u\"", i);
    struct command c = kit_add(k, ns, "service", "name", fields);
    return kit_do(k, &c);
}

static struct kit *begun(void)
{
    struct kit *k = kit_new();

    kit_rise(k, MACHINE_FEATURE_CHANGES);
    return k;
}

static void tally(struct kit *k, uint64_t limit)
{
    struct command c = {.kind = COMMAND_TALLY, .tally = {limit}};
    assert_int_equal(kit_do(k, &c), 0);
}

static void what_is_refused_changes_nothing_and_says_why(void **state)
{
    struct kit *k = begun();
    uint64_t top = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "top");
    uint64_t leaf = kit_mkns(k, top, STORE_LEAF, "leaf");

    (void)state;
    assert_int_equal(set_quota(k, top, 1, 1), 0);
    tally(k, 100);
    assert_int_equal(add(k, leaf, 1), 0);
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(add(k, leaf, 2), ERR_QUOTA);
    assert_int_equal(kit_meta(k).revision, revision);
    assert_int_equal(kit_count(k, leaf, "service"), 1);
    assert_int_equal(k->res.ns, top);
    assert_int_equal(k->res.detail.n, 17);
    assert_int_equal(k->res.detail.p[0], ACCESS_RESOURCES);
    assert_int_equal(le_get(k->res.detail.p + 1, 8), 1);
    assert_int_equal(le_get(k->res.detail.p + 9, 8), 1);
    kit_free(k);
}

/* The answer is of the row: what is told of the quota comes behind it. */
static void crossing_a_limit_is_an_event_behind_the_change(void **state)
{
    struct kit *k = begun();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "leaf");

    (void)state;
    assert_int_equal(set_quota(k, leaf, 1, 9), 0);
    unsigned events = k->events;
    assert_int_equal(add(k, leaf, 1), 0);
    assert_int_equal(k->events - events, 2);
    assert_string_equal(k->cause, "quota");
    assert_string_equal(k->path, "leaf.roster");
    assert_int_equal(k->res.revision, kit_meta(k).revision - 1);
    assert_int_equal(add(k, leaf, 2), 0);
    assert_int_equal(k->events - events, 3);
    kit_free(k);
}

static void what_is_there_is_counted_in_steps(void **state)
{
    struct kit *k = begun();
    uint64_t leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "leaf");

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(add(k, leaf, i), 0);
    }
    assert_int_equal(set_quota(k, leaf, ACCESS_QUOTA_NONE, 5), 0);
    assert_true(machine_view(k->m).has_counts);
    tally(k, 8);
    assert_int_equal(quota_of(k, leaf).so_far[ACCESS_RESOURCES], 8);
    assert_int_equal(add(k, leaf, 20), 0); /* Nothing is known yet. */
    tally(k, 8);
    tally(k, 8);
    assert_false(machine_view(k->m).has_counts);
    assert_int_equal(quota_of(k, leaf).used[ACCESS_RESOURCES], 21);
    assert_int_equal(add(k, leaf, 21), ERR_QUOTA);
    kit_free(k);
}

static void a_move_has_both_sides_counted_anew(void **state)
{
    struct kit *k = begun();
    uint64_t from = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "from");
    uint64_t to = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "to");
    uint64_t leaf = kit_mkns(k, from, STORE_LEAF, "leaf");
    struct command c = {
        .kind = COMMAND_NS_CHANGE,
        .ns_change = {.id = leaf, .what = NS_PARENT, .parent = to}};

    (void)state;
    assert_int_equal(add(k, leaf, 1), 0);
    assert_int_equal(set_quota(k, STORE_ROOT, 1, 9), 0);
    assert_int_equal(set_quota(k, from, 1, 9), 0);
    assert_int_equal(set_quota(k, to, 1, 9), 0);
    tally(k, 100);
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(quota_of(k, STORE_ROOT).counting);
    assert_true(quota_of(k, from).counting && quota_of(k, to).counting);
    assert_int_equal(quota_of(k, from).used[ACCESS_RESOURCES], 1);
    tally(k, 100);
    assert_int_equal(quota_of(k, from).used[ACCESS_RESOURCES], 0);
    assert_int_equal(quota_of(k, to).used[ACCESS_RESOURCES], 1);
    kit_free(k);
}

static void a_record_is_read_as_it_was_written(void **state)
{
    const struct access_quota quota = {
        .rev = 7,
        .limits = {{1, 2}, {ACCESS_QUOTA_NONE, 3}},
        .known = true,
        .used = {4, 5},
        .counting = true,
        .so_far = {6, 7},
        .at = {8, STR("service"), {{9}}}};
    struct access_quota same;
    struct buf one = {0}, other = {0};

    (void)state;
    access_quota_encode(&one, &quota);
    assert_int_equal(access_quota_decode(buf_str(&one), &same), 0);
    access_quota_encode(&other, &same);
    assert_true(str_equal(buf_str(&one), buf_str(&other)));
    for (size_t n = 0; n < one.n; n++) {
        assert_int_equal(access_quota_decode((struct str){one.p, n}, &same),
                         ERR_INVALID);
    }
    buf_done(&one);
    buf_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_changes_nothing_and_says_why),
        cmocka_unit_test(crossing_a_limit_is_an_event_behind_the_change),
        cmocka_unit_test(what_is_there_is_counted_in_steps),
        cmocka_unit_test(a_move_has_both_sides_counted_anew),
        cmocka_unit_test(a_record_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
