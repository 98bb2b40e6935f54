#include "kit.h"

static const struct access_token a_token = {
    .id = {{7}},
    .rev = 9,
    .kind = ACCESS_BEARER,
    .hash = {1, 2, 3},
    .name = {"ci", 2},
    .user = {"ann", 3},
    .roles = {(const struct str[]){{"reader@shop.roster", 18}}, 1},
    .created_ms = 1234,
    .created_by = {"root", 4},
};

static void a_token_survives_its_bytes(void **state)
{
    ARENA *arena = arena_new();
    CLEANUP(buf_done) struct buf bytes = {0};
    CLEANUP(buf_done) struct buf again = {0};
    struct access_token read;

    (void)state;
    access_token_encode(&bytes, &a_token);
    assert_int_equal(
        access_token_decode(arena, a_token.id, buf_str(&bytes), &read), 0);
    access_token_encode(&again, &read);
    assert_true(str_equal(buf_str(&bytes), buf_str(&again)));
    assert_int_equal(read.rev, 9);
    assert_true(str_is(read.user, "ann"));
    assert_true(str_is(read.roles.items[0], "reader@shop.roster"));
    assert_memory_equal(read.hash, a_token.hash, 32);
}

/* Cut anywhere or longer it is none. */
static void a_record_that_is_cut_is_refused(void **state)
{
    ARENA *arena = arena_new();
    CLEANUP(buf_done) struct buf bytes = {0};
    struct access_token read;

    (void)state;
    access_token_encode(&bytes, &a_token);
    for (size_t n = 0; n < bytes.n; n++) {
        assert_int_equal(access_token_decode(arena, a_token.id,
                                             (struct str){bytes.p, n}, &read),
                         ERR_INVALID);
    }
    buf_add_char(&bytes, 0);
    assert_int_equal(
        access_token_decode(arena, a_token.id, buf_str(&bytes), &read),
        ERR_INVALID);
    bytes.n--;
    bytes.p[0] = 2;
    assert_int_equal(
        access_token_decode(arena, a_token.id, buf_str(&bytes), &read),
        ERR_INVALID);
}

static void roles_users_and_groups_survive_their_bytes(void **state)
{
    ARENA *arena = arena_new();
    CLEANUP(buf_done)
    struct buf role_bytes = {0}, user_bytes = {0}, group_bytes = {0};
    const struct access_rule rules[] = {
        {ACCESS_READ | ACCESS_WRITE, STR("shop.roster"),
         NAMES(STR("service"), STR("@ns"))},
        {ACCESS_READ, STR(""), NAMES(STR("*"))}};
    const struct access_role role = {.name = STR("shop"),
                                     .comment = STR("of the shop"),
                                     .rules = rules,
                                     .n_rules = 2},
                             *r;
    const struct access_user user = {.name = STR("ann"),
                                     .source = ACCESS_LDAP,
                                     .disabled = true,
                                     .password = STR("$argon2id$x"),
                                     .roles = NAMES(STR("shop"))},
                             *u;
    const struct access_group group = {.name = STR("ops"),
                                       .roles = NAMES(STR("shop")),
                                       .members = NAMES(STR("ann"), STR("bo")),
                                       .managers = NAMES(STR("ann"))},
                              *g;
    struct access_role role_read;
    struct access_user user_read;
    struct access_group group_read;

    (void)state;
    access_role_encode(&role_bytes, &role);
    access_user_encode(&user_bytes, &user);
    access_group_encode(&group_bytes, &group);
    assert_int_equal(
        access_role_decode(arena, role.name, buf_str(&role_bytes), &role_read),
        0);
    assert_int_equal(
        access_user_decode(arena, user.name, buf_str(&user_bytes), &user_read),
        0);
    assert_int_equal(access_group_decode(arena, group.name,
                                         buf_str(&group_bytes), &group_read),
                     0);
    r = &role_read;
    u = &user_read;
    g = &group_read;
    assert_int_equal(r->n_rules, 2);
    assert_true(str_is(r->rules[0].ns, "shop.roster"));
    assert_true(str_is(r->rules[0].targets.items[1], "@ns"));
    assert_true(u->disabled);
    assert_int_equal(u->source, ACCESS_LDAP);
    assert_true(str_is(u->password, "$argon2id$x"));
    assert_true(str_is(g->members.items[1], "bo"));
    assert_int_equal(g->managers.n, 1);
}

static void words_are_taken_by_their_letters(void **state)
{
    uint8_t verbs = 0;

    (void)state;
    assert_true(access_is_role(STR("shop-ops.2")));
    assert_false(access_is_role(STR("Shop")));
    assert_false(access_is_role(STR("a@b")));
    assert_false(access_is_role(STR("")));
    assert_false(access_is_role(STR("-x")));
    assert_true(access_is_name(STR("Ann.B+x@example.org")));
    assert_false(access_is_name(STR("ann b")));
    assert_false(access_is_name(STR("a\0b")));
    assert_false(access_is_name(STR(".hidden")));
    assert_true(access_is_target(STR("machine")));
    assert_true(access_is_target(STR("@*")));
    assert_false(access_is_target(STR("@nothing")));
    assert_false(access_is_target(STR("")));
    assert_int_equal(access_verbs_parse(STR("write"), &verbs), 0);
    assert_int_equal(verbs, ACCESS_WRITE);
    assert_int_equal(access_verbs_parse(STR("reads"), &verbs), ERR_INVALID);
}

static void a_grant_is_a_role_and_perhaps_a_namespace(void **state)
{
    struct str role, ns;

    (void)state;
    assert_int_equal(access_grant_parse(STR("reader"), &role, &ns), 0);
    assert_true(str_is(role, "reader"));
    assert_int_equal(ns.n, 0);
    assert_int_equal(access_grant_parse(STR("x@shop.roster"), &role, &ns), 0);
    assert_true(str_is(ns, "shop.roster"));
    assert_int_equal(access_grant_parse(STR("x@"), &role, &ns), ERR_INVALID);
    assert_int_equal(access_grant_parse(STR("@x"), &role, &ns), ERR_INVALID);
    assert_int_equal(access_grant_parse(STR("x@a@b"), &role, &ns), ERR_INVALID);
    assert_int_equal(access_grant_parse(STR(""), &role, &ns), ERR_INVALID);
}

static void what_may_not_be_kept_is_said_in_words(void **state)
{
    ARENA *arena = arena_new();
    const struct access_rule nothing = {0, STR(""), NAMES(STR("*"))};
    const struct access_role role = {
        .name = STR("r"), .rules = &nothing, .n_rules = 1};
    const struct access_user user = {.name = STR("u"),
                                     .source = ACCESS_LOCAL,
                                     .roles =
                                         NAMES(STR("reader"), STR("reader"))};
    struct access_token session = a_token;
    struct str why;

    (void)state;
    assert_int_equal(access_role_check(arena, &role, &why), ERR_INVALID);
    assert_non_null(strstr(arena_text(arena, why), "has to allow"));
    assert_int_equal(access_user_check(arena, &user, &why), ERR_INVALID);
    assert_true(str_is(why, "\"reader\" is in roles twice"));
    session.kind = ACCESS_SESSION;
    session.user = STR("");
    assert_int_equal(access_token_check(arena, &session, &why), ERR_INVALID);
    assert_true(str_is(why, "a session is a user's"));
    session = a_token;
    session.groups = NAMES(STR("ops"));
    assert_int_equal(access_token_check(arena, &session, &why), ERR_INVALID);
    assert_true(str_is(why, "only a session has groups of its own"));
    session = a_token;
    session.name = STR("a\nb");
    assert_int_equal(access_token_check(arena, &session, &why), ERR_INVALID);
}

static void as_many_as_the_limit_and_no_more(void **state)
{
    ARENA *arena = arena_new();
    const struct access_rule rule = {ACCESS_READ, STR(""),
                                     NAMES(STR("machine"))};
    struct access_rule rules[ACCESS_RULES_MOST + 1];
    struct access_role role = {
        .name = STR("r"), .rules = rules, .n_rules = ACCESS_RULES_MOST};
    struct str why;

    (void)state;
    for (size_t i = 0; i <= ACCESS_RULES_MOST; i++) {
        rules[i] = rule;
    }
    assert_int_equal(access_role_check(arena, &role, &why), 0);
    role.n_rules++;
    assert_int_equal(access_role_check(arena, &role, &why), ERR_INVALID);
    assert_true(str_is(why, "more than 32 rules"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_survives_its_bytes),
        cmocka_unit_test(a_record_that_is_cut_is_refused),
        cmocka_unit_test(roles_users_and_groups_survive_their_bytes),
        cmocka_unit_test(words_are_taken_by_their_letters),
        cmocka_unit_test(a_grant_is_a_role_and_perhaps_a_namespace),
        cmocka_unit_test(what_may_not_be_kept_is_said_in_words),
        cmocka_unit_test(as_many_as_the_limit_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
