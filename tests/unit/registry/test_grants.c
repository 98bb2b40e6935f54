/* Records of access control as operations write them: decided on what is there,
 * and decided anew when that is something else by then. */
#include "kit.h"
#include "machine/machine.h"
#include "model/access_record.h"
#include "model/json.h"

static int begin(void **state)
{
    *state = kit_new();
    return 0;
}

static int end(void **state)
{
    kit_free(*state);
    return 0;
}

static void put_users(struct kit *k)
{
    assert_int_equal(kit_do(k, OP_USER_PUT, NULL, NULL, "ann", "{}"),
                     OP_CREATED);
    assert_int_equal(kit_do(k, OP_USER_PUT, NULL, NULL, "bob", "{}"),
                     OP_CREATED);
    assert_int_equal(
        kit_do(k, OP_GROUP_PUT, NULL, NULL, "web", "{\"roles\":[\"reader\"]}"),
        OP_CREATED);
}

/* Somebody else puts bob into the group, once, at the last moment. */
static void add_bob(void *user)
{
    static const struct str bob = {"bob", 3}, reader = {"reader", 6};
    struct core *core = user;
    struct access_group group = {.roles = {&reader, 1}, .members = {&bob, 1}};
    struct buf record = {0};

    core->before = NULL;
    group.comment = STR("");
    access_group_encode(&record, &group);
    struct command_access_item item = {.what = ACCESS_IS_GROUP,
                                       .name = STR("web"),
                                       .seen_rev = COMMAND_ACCESS_ANY,
                                       .record = buf_str(&record)};
    struct command command = {.kind = COMMAND_ACCESS,
                              .access = {.items = &item, .n_items = 1}};
    assert_int_equal(kit_apply(core, &command), 0);
    buf_done(&record);
}

static void two_who_change_a_group_lose_nobody(void **state)
{
    struct kit *k = *state;

    put_users(k);
    k->core.before = add_bob;
    k->core.user = &k->core;
    (void)kit_op(k, OP_MEMBER_PUT, NULL, "ann", "web", NULL);
    k->op.if_.idempotency_key = STR("one");
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(kit_says(k, "\"members\":[\"bob\",\"ann\"]"));
}

static void a_condition_that_was_overtaken_does_not_hold(void **state)
{
    struct kit *k = *state;

    put_users(k);
    k->core.before = add_bob;
    k->core.user = &k->core;
    uint64_t rev = k->op.answer.etag;
    struct str tag =
        arena_printf(k->arena, "\"%llu\"", (unsigned long long)rev);
    (void)kit_op(k, OP_GROUP_PUT, NULL, NULL, "web", "{}");
    k->op.if_.if_match = tag;
    assert_int_equal(kit_run(k), OP_PRECONDITION);
    assert_int_equal(kit_do(k, OP_GROUP_GET, NULL, NULL, "web", NULL), OP_OK);
    assert_true(kit_says(k, "\"members\":[\"bob\"]"));
}

static void what_is_equal_takes_no_revision(void **state)
{
    struct kit *k = *state;

    put_users(k);
    uint64_t before = machine_view(k->core.machine).revision;
    assert_int_equal(
        kit_do(k, OP_GROUP_PUT, NULL, NULL, "web", "{\"roles\":[\"reader\"]}"),
        OP_OK);
    assert_int_equal(machine_view(k->core.machine).revision, before);
}

static void a_deleted_user_leaves_nothing_to_who_gets_the_name(void **state)
{
    struct kit *k = *state;

    put_users(k);
    assert_int_equal(kit_do(k, OP_MEMBER_PUT, NULL, "ann", "web", NULL), OP_OK);
    assert_int_equal(
        kit_do(k, OP_TOKEN_CREATE, NULL, NULL, NULL, "{\"user\":\"ann\"}"),
        OP_CREATED);
    assert_int_equal(kit_do(k, OP_USER_DELETE, NULL, NULL, "ann", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(kit_do(k, OP_TOKEN_LIST, NULL, NULL, NULL, NULL), OP_OK);
    assert_false(kit_says(k, "ann"));
    assert_int_equal(kit_do(k, OP_GROUP_GET, NULL, NULL, "web", NULL), OP_OK);
    assert_false(kit_says(k, "ann"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_who_change_a_group_lose_nobody),
        TEST(a_condition_that_was_overtaken_does_not_hold),
        TEST(what_is_equal_takes_no_revision),
        TEST(a_deleted_user_leaves_nothing_to_who_gets_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
