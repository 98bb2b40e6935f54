/* What is kept for access control, by the log. */
#include "kit.h"
#include "model/access_record.h"

#define ANN STR("ann")

static struct kit *begun(void)
{
    struct kit *k = kit_new();

    kit_rise(k, MACHINE_FEATURE_CHANGES);
    return k;
}

static struct str user_record(struct kit *k, const char *comment)
{
    const struct access_user user = {.source = ACCESS_LOCAL,
                                     .comment = str_of(comment)};
    struct buf bytes = {0};

    access_user_encode(&bytes, &user);
    return arena_take(k->arena, &bytes);
}

static struct str token_record(struct kit *k, const char *hostname,
                               const char *name)
{
    const struct access_token token = {.kind = ACCESS_JOINING,
                                       .hostname = str_of(hostname),
                                       .name = str_of(name)};
    struct buf bytes = {0};

    access_token_encode(&bytes, &token);
    return arena_take(k->arena, &bytes);
}

static struct command_access_item user_item(struct kit *k, const char *comment,
                                            uint64_t seen_rev)
{
    return (struct command_access_item){.what = ACCESS_IS_USER,
                                        .name = ANN,
                                        .seen_rev = seen_rev,
                                        .record = user_record(k, comment)};
}

static struct command_access_item gone(struct command_access_item item)
{
    item.del = 1;
    item.seen_rev = COMMAND_ACCESS_ANY;
    item.record = STR("");
    return item;
}

static int do_items(struct kit *k, struct command_access_item *items, size_t n)
{
    struct command c = {.kind = COMMAND_ACCESS,
                        .access = {.items = items, .n_items = n}};

    return kit_do(k, &c);
}

static int do_item(struct kit *k, struct command_access_item item)
{
    return do_items(k, &item, 1);
}

/* Its revision, 0 when there is none. */
static uint64_t stored_rev(struct kit *k, char what, struct str name,
                           uint64_t *ret_ends_ms)
{
    struct store_txn *txn = NULL;
    struct str record;
    uint64_t rev = 0;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    int r = store_mark_get(txn, what, name, ret_ends_ms, &record);
    if (r == 0) {
        rev = le_get(record.p + 1, 8);
    }
    store_read_end(txn);
    return rev;
}

static void a_record_is_kept_with_the_revision_it_took(void **state)
{
    struct kit *k = begun();
    uint64_t ends_ms, before = kit_meta(k).revision;

    (void)state;
    assert_int_equal(do_item(k, user_item(k, "", 0)), 0);
    assert_true(k->res.created);
    assert_int_equal(k->res.revision, before + 1);
    assert_int_equal(le_get(k->res.detail.p, 8), before + 1);
    assert_int_equal(stored_rev(k, 'U', ANN, &ends_ms), before + 1);
    assert_int_equal(kit_meta(k).access_rev, before + 1);
    assert_int_equal(machine_access_rev(k->m), before + 1);
    assert_string_equal(k->path, "roster");
    kit_free(k);
}

static void what_was_not_seen_is_not_overwritten(void **state)
{
    struct kit *k = begun();

    (void)state;
    assert_int_equal(do_item(k, user_item(k, "", 0)), 0);
    uint64_t rev = k->res.revision;
    assert_int_equal(do_item(k, user_item(k, "a", 0)), ERR_RETRY);
    assert_int_equal(do_item(k, user_item(k, "a", rev - 1)), ERR_RETRY);
    assert_int_equal(do_item(k, user_item(k, "a", rev)), 0);
    assert_int_equal(do_item(k, user_item(k, "b", COMMAND_ACCESS_ANY)), 0);
    assert_int_equal(do_item(k, gone(user_item(k, "", 0))), 0);
    assert_int_equal(do_item(k, gone(user_item(k, "", 0))), ERR_NOT_FOUND);
    assert_int_equal(do_item(k, user_item(k, "c", rev)), ERR_RETRY);
    kit_free(k);
}

static void all_of_it_or_nothing(void **state)
{
    struct kit *k = begun();
    struct command_access_item items[] = {
        user_item(k, "", 0),
        {.what = ACCESS_IS_ROLE, .name = STR("no"), .del = 1},
    };
    uint64_t ends_ms, before = kit_meta(k).revision;
    unsigned events = k->events;

    (void)state;
    assert_int_equal(do_items(k, items, 2), ERR_NOT_FOUND);
    assert_int_equal(k->res.index, 1);
    assert_int_equal(kit_meta(k).revision, before);
    assert_int_equal(kit_meta(k).access_rev, 0);
    assert_int_equal(stored_rev(k, 'U', ANN, &ends_ms), 0);
    assert_int_equal(k->events, events);
    kit_free(k);
}

static void the_same_again_takes_no_revision(void **state)
{
    struct kit *k = begun();

    (void)state;
    assert_int_equal(do_item(k, user_item(k, "x", 0)), 0);
    uint64_t rev = k->res.revision;
    assert_int_equal(do_item(k, user_item(k, "x", rev)), 0);
    assert_false(k->res.changed);
    assert_false(k->res.created);
    assert_int_equal(k->res.revision, rev);
    assert_int_equal(kit_meta(k).revision, rev);
    kit_free(k);
}

static void nothing_unsound_gets_in(void **state)
{
    struct kit *k = begun();
    struct command_access_item item = user_item(k, "", 0);

    (void)state;
    item.record.n--;
    assert_int_equal(do_item(k, item), ERR_INVALID);
    item = user_item(k, "", 0);
    item.what = 'X';
    assert_int_equal(do_item(k, item), ERR_INVALID);
    item = user_item(k, "", 0);
    item.name = STR("a b");
    assert_int_equal(do_item(k, item), ERR_INVALID);
    item = user_item(k, "", 0);
    item.ends_ms = 1;
    assert_int_equal(do_item(k, item), ERR_INVALID);
    item = gone(user_item(k, "", 0));
    item.name = STR("");
    assert_int_equal(do_item(k, item), ERR_INVALID);
    kit_free(k);
}

static struct command_access_item token_item(struct kit *k, const char *id,
                                             const char *hostname,
                                             uint64_t ends_ms)
{
    return (struct command_access_item){.what = ACCESS_IS_TOKEN,
                                        .name = {id, 16},
                                        .ends_ms = ends_ms,
                                        .seen_rev = COMMAND_ACCESS_ANY,
                                        .record =
                                            token_record(k, hostname, "")};
}

#define TOKEN "0123456789abcdef"

/* Everybody is looked up anew when it moves: a fleet that enrols must not do
 * that to everybody. */
static void new_tokens_and_bound_ones_leave_the_access_revision(void **state)
{
    struct kit *k = begun();
    struct command_access_item other = token_item(k, TOKEN, "web-1", 0);

    (void)state;
    assert_int_equal(do_item(k, token_item(k, TOKEN, "", 5000000)), 0);
    assert_int_equal(do_item(k, token_item(k, TOKEN, "web-1", 0)), 0);
    assert_true(k->res.changed);
    assert_int_equal(kit_meta(k).access_rev, 0);
    assert_int_equal(do_item(k, token_item(k, TOKEN, "web-2", 0)), 0);
    assert_int_equal(kit_meta(k).access_rev, kit_meta(k).revision);
    other.record = token_record(k, "web-2", "renamed");
    assert_int_equal(do_item(k, other), 0);
    assert_int_equal(kit_meta(k).access_rev, kit_meta(k).revision);
    assert_int_equal(do_item(k, gone(other)), 0);
    assert_int_equal(kit_meta(k).access_rev, kit_meta(k).revision);
    kit_free(k);
}

static void a_token_that_is_bound_and_ends_sooner_does_not(void **state)
{
    struct kit *k = begun();

    (void)state;
    assert_int_equal(do_item(k, token_item(k, TOKEN, "", 5000000)), 0);
    assert_int_equal(do_item(k, token_item(k, TOKEN, "web-1", 4000000)), 0);
    assert_int_equal(kit_meta(k).access_rev, kit_meta(k).revision);
    kit_free(k);
}

static void a_token_ends_with_its_time(void **state)
{
    struct kit *k = begun();
    const struct str name = STR(TOKEN);
    uint64_t ends_ms = 0;

    (void)state;
    assert_int_equal(do_item(k, token_item(k, TOKEN, "", 5000000)), 0);
    assert_true(stored_rev(k, 'T', name, &ends_ms) > 0);
    assert_int_equal(ends_ms, 5000000);
    assert_int_equal(machine_view(k->m).next_end_ms, 5000000);
    assert_int_equal(kit_sweep(k, 4999999, 10), 0);
    assert_int_equal(kit_sweep(k, 5000000, 10), 1);
    assert_int_equal(stored_rev(k, 'T', name, &ends_ms), 0);
    kit_free(k);
}

static struct command allowed_at(struct kit *k, uint64_t access_rev)
{
    struct command c =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");

    c.has_access = true;
    c.access_rev = access_rev;
    return c;
}

static void what_was_allowed_before_a_change_is_looked_at_again(void **state)
{
    struct kit *k = begun();
    struct command c = allowed_at(k, 0);

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    c = allowed_at(k, 0);
    c.row_put.fields = STR("\"name\":\"b\"");
    assert_int_equal(do_item(k, user_item(k, "", 0)), 0);
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    assert_int_equal(kit_count(k, STORE_POOL, "service"), 1);
    c.access_rev = kit_meta(k).access_rev;
    assert_int_equal(kit_do(k, &c), 0);
    c.has_access = false;
    c.row_put.fields = STR("\"name\":\"c\"");
    c.row_put.new_id = kit_id(k);
    assert_int_equal(kit_do(k, &c), 0);
    kit_free(k);
}

static void a_restore_has_everybody_looked_up_anew(void **state)
{
    struct kit *k = begun();
    struct command c = {
        .kind = COMMAND_RESTORE,
        .restore = {.file = STR(""), .revision = COMMAND_RESTORE_STEP}};

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).access_rev, COMMAND_RESTORE_STEP);
    kit_free(k);
}

/* Older releases have no such number: their states must not differ. */
static void before_level_two_a_restore_says_nothing_of_it(void **state)
{
    struct kit *k = kit_new();
    struct command c = {
        .kind = COMMAND_RESTORE,
        .restore = {.file = STR(""), .revision = COMMAND_RESTORE_STEP}};

    (void)state;
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_meta(k).access_rev, 0);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_kept_with_the_revision_it_took),
        cmocka_unit_test(what_was_not_seen_is_not_overwritten),
        cmocka_unit_test(all_of_it_or_nothing),
        cmocka_unit_test(the_same_again_takes_no_revision),
        cmocka_unit_test(nothing_unsound_gets_in),
        cmocka_unit_test(new_tokens_and_bound_ones_leave_the_access_revision),
        cmocka_unit_test(a_token_that_is_bound_and_ends_sooner_does_not),
        cmocka_unit_test(a_token_ends_with_its_time),
        cmocka_unit_test(what_was_allowed_before_a_change_is_looked_at_again),
        cmocka_unit_test(a_restore_has_everybody_looked_up_anew),
        cmocka_unit_test(before_level_two_a_restore_says_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
