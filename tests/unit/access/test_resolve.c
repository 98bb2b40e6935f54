#include "access/access_token.h"
#include "kit.h"

enum { NOW = 1000000 };

static void put(struct store_txn *txn, char kind, struct str name,
                uint64_t ends_ms, struct buf *bytes)
{
    assert_int_equal(store_mark_put(txn, kind, name, ends_ms, buf_str(bytes)),
                     0);
    buf_done(bytes);
}

static void put_user(struct store_txn *txn, struct access_user user)
{
    struct buf bytes = {0};

    user.source = ACCESS_LOCAL;
    access_user_encode(&bytes, &user);
    put(txn, STORE_MARK_USER, user.name, 0, &bytes);
}

static void put_group(struct store_txn *txn, struct access_group group)
{
    struct buf bytes = {0};

    access_group_encode(&bytes, &group);
    put(txn, STORE_MARK_GROUP, group.name, 0, &bytes);
}

static void put_role(struct store_txn *txn, struct str name, struct str target,
                     struct str ns)
{
    const struct access_rule rule = {ACCESS_READ, ns, NAMES(target)};
    const struct access_role role = {
        .name = name, .rules = &rule, .n_rules = 1};
    struct buf bytes = {0};

    access_role_encode(&bytes, &role);
    put(txn, STORE_MARK_ROLE, name, 0, &bytes);
}

/* Its text, for `ret_text`. */
static struct str put_token(struct store_txn *txn, struct access_token token,
                            char ret_text[ACCESS_TOKEN_TEXT])
{
    struct str text = {ret_text, ACCESS_TOKEN_TEXT};
    struct buf bytes = {0};

    token.id = ulid_next();
    access_token_make(token.id, ret_text);
    access_token_hash(text, token.hash);
    access_token_encode(&bytes, &token);
    put(txn, STORE_MARK_TOKEN, (struct str){(char *)token.id.b, 16},
        token.ends_ms, &bytes);
    return text;
}

static struct access_who *shown(struct store_txn *txn, struct str token)
{
    const struct access_shown shown = {.token = token};
    struct access_who *who = NULL;

    int r = access_resolve(txn, &shown, NOW, &who);
    assert_true(r == 0 || r == ERR_NOT_FOUND);
    assert_true((r == 0) == (who != NULL));
    return who;
}

static struct store_txn *begun(struct bed *bed)
{
    bed_make(bed);
    struct store_txn *txn = begin(bed);
    put_node(txn, STORE_ROOT, 0, "roster");
    return txn;
}

static void a_bare_token_has_its_roles(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char text[ACCESS_TOKEN_TEXT];

    (void)state;
    store_meta(txn)->access_rev = 77;
    struct str t = put_token(
        txn,
        (struct access_token){.kind = ACCESS_BEARER,
                              .name = STR("ci"),
                              .roles = NAMES(STR("reader"), STR("mine")),
                              .ends_ms = NOW + 1},
        text);
    put_role(txn, STR("mine"), STR("@admin"), STR("roster"));
    WHO *who = shown(txn, t);
    assert_non_null(who);
    assert_int_equal(who->kind, ACCESS_TOKEN);
    assert_true(str_equal(who->id, (struct str){text + 4, ULID_TEXT}));
    assert_int_equal(who->expires_ms, NOW + 1);
    assert_int_equal(who->access_rev, 77);
    assert_true(access_may(who, ACCESS_READ, STR("machine"), STR("roster")));
    /* The root has two names, in rules and in questions. */
    assert_true(access_may(who, ACCESS_READ, STR("@admin"), STR("")));
    assert_true(access_may(who, ACCESS_READ, STR("@admin"), STR("roster")));
    store_write_abort(txn);
}

static void what_is_not_known_is_nobody(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char text[ACCESS_TOKEN_TEXT], ended[ACCESS_TOKEN_TEXT];

    (void)state;
    struct str t =
        put_token(txn,
                  (struct access_token){.kind = ACCESS_BEARER,
                                        .roles = NAMES(STR("admin"))},
                  text);
    struct str e = put_token(txn,
                             (struct access_token){.kind = ACCESS_BEARER,
                                                   .roles = NAMES(STR("admin")),
                                                   .ends_ms = NOW},
                             ended);
    assert_null(shown(txn, e));
    assert_null(shown(txn, STR("")));
    assert_null(shown(txn, STR("rst_")));
    text[40] = text[40] == 'A' ? 'B' : 'A';
    assert_null(shown(txn, t));
    text[29] = text[29] == 'A' ? 'B' : 'A';
    assert_null(shown(txn, t));
    store_write_abort(txn);
}

static void a_user_has_his_roles_and_those_of_his_groups(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    const struct access_shown cn = {.user = STR("ann")};
    WHO *who = NULL;

    (void)state;
    put_user(txn, (struct access_user){.name = STR("ann"),
                                       .roles = NAMES(STR("agent"))});
    put_group(txn,
              (struct access_group){.name = STR("a"),
                                    .roles = NAMES(STR("reader@x.roster")),
                                    .members = NAMES(STR("bo"), STR("ann"))});
    put_group(txn, (struct access_group){.name = STR("b"),
                                         .roles = NAMES(STR("admin")),
                                         .members = NAMES(STR("annie"))});
    assert_int_equal(access_resolve(txn, &cn, NOW, &who), 0);
    assert_int_equal(who->kind, ACCESS_USER);
    assert_true(str_is(who->user, "ann"));
    assert_true(access_may(who, ACCESS_ALL, STR("@agents"), STR("")));
    assert_true(access_may(who, ACCESS_READ, STR("machine"), STR("x.roster")));
    assert_false(access_may(who, ACCESS_READ, STR("@admin"), STR("")));
    store_write_abort(txn);
}

static void a_users_token_lives_and_dies_with_him(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char text[ACCESS_TOKEN_TEXT], small[ACCESS_TOKEN_TEXT];
    struct access_user ann = {.name = STR("ann"),
                              .roles = NAMES(STR("operator"))};

    (void)state;
    struct str t = put_token(
        txn, (struct access_token){.kind = ACCESS_SESSION, .user = STR("ann")},
        text);
    struct str s = put_token(
        txn,
        (struct access_token){.kind = ACCESS_BEARER,
                              .user = STR("ann"),
                              .roles = NAMES(STR("reader"), STR("admin"))},
        small);
    assert_null(shown(txn, t));
    put_user(txn, ann);
    WHO *who = shown(txn, t);
    WHO *limited = shown(txn, s);
    assert_true(access_may(who, ACCESS_ALL, STR("machine"), STR("roster")));
    assert_true(access_may(limited, ACCESS_ALL, STR("machine"), STR("roster")));
    assert_false(access_may(limited, ACCESS_READ, STR("@admin"), STR("")));
    ann.disabled = true;
    put_user(txn, ann);
    assert_null(shown(txn, t));
    assert_null(shown(txn, s));
    store_write_abort(txn);
}

/* What a directory said when the session began. */
static void a_session_has_groups_of_its_own(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char text[ACCESS_TOKEN_TEXT];

    (void)state;
    put_user(txn, (struct access_user){.name = STR("ann")});
    put_group(txn, (struct access_group){.name = STR("ops"),
                                         .roles = NAMES(STR("operator"))});
    struct str t = put_token(
        txn,
        (struct access_token){.kind = ACCESS_SESSION,
                              .user = STR("ann"),
                              .groups = NAMES(STR("gone"), STR("ops"))},
        text);
    WHO *who = shown(txn, t);
    assert_true(access_may(who, ACCESS_ALL, STR("machine"), STR("roster")));
    assert_false(access_may(who, ACCESS_READ, STR("@admin"), STR("")));
    const struct access_shown cn = {.user = STR("ann")};
    WHO *elsewhere = NULL;
    assert_int_equal(access_resolve(txn, &cn, NOW, &elsewhere), 0);
    assert_false(
        access_may(elsewhere, ACCESS_READ, STR("machine"), STR("roster")));
    store_write_abort(txn);
}

static void tokens_are_bound_to_hosts(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char open[ACCESS_TOKEN_TEXT], taken[ACCESS_TOKEN_TEXT],
        agent[ACCESS_TOKEN_TEXT];
    struct access_token token = {.kind = ACCESS_JOINING,
                                 .hosts = STR("^web-"),
                                 .roles = NAMES(STR("agent"))};

    (void)state;
    WHO *join = shown(txn, put_token(txn, token, open));
    token.hostname = STR("web-1");
    WHO *bound = shown(txn, put_token(txn, token, taken));
    token.kind = ACCESS_OF_AGENT;
    token.hosts = STR("");
    WHO *own = shown(txn, put_token(txn, token, agent));
    assert_int_equal(join->kind, ACCESS_JOIN);
    assert_true(str_is(join->hosts, "^web-"));
    assert_int_equal(bound->kind, ACCESS_AGENT);
    assert_true(str_is(bound->hostname, "web-1"));
    assert_int_equal(own->kind, ACCESS_AGENT);
    assert_memory_equal(own->view, bound->view, ACCESS_VIEW_BYTES);
    store_write_abort(txn);
}

static void a_node_may_join_and_a_token_goes_before_it(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    const struct access_shown node = {.node = STR("n1")};
    const struct access_shown both = {.node = STR("n1"), .token = STR("rst_x")};
    WHO *who = NULL;
    struct access_who *none = NULL;

    (void)state;
    assert_int_equal(access_resolve(txn, &node, NOW, &who), 0);
    assert_int_equal(who->kind, ACCESS_NODE);
    assert_true(
        access_may(who, ACCESS_READ | ACCESS_CREATE, STR("@cluster"), STR("")));
    assert_false(access_may(who, ACCESS_UPDATE, STR("@cluster"), STR("")));
    assert_false(access_may(who, ACCESS_READ, STR("@access"), STR("")));
    assert_false(access_may(who, ACCESS_READ, STR("machine"), STR("")));
    assert_int_equal(access_resolve(txn, &both, NOW, &none), ERR_NOT_FOUND);
    store_write_abort(txn);
}

static void the_same_again_is_as_it_is_now(void **state)
{
    BED bed;
    struct store_txn *txn = begun(&bed);
    char text[ACCESS_TOKEN_TEXT];
    WHO *again = NULL;
    struct access_who *gone = NULL;

    (void)state;
    struct str t = put_token(txn,
                             (struct access_token){.kind = ACCESS_BEARER,
                                                   .roles = NAMES(STR("mine"))},
                             text);
    WHO *who = shown(txn, t);
    assert_false(access_may(who, ACCESS_READ, STR("machine"), STR("roster")));
    put_role(txn, STR("mine"), STR("machine"), STR(""));
    assert_int_equal(access_again(txn, who, NOW, &again), 0);
    assert_true(access_may(again, ACCESS_READ, STR("machine"), STR("roster")));
    struct ulid id;
    assert_int_equal(ulid_parse(who->id, &id), 0);
    assert_int_equal(
        store_mark_del(txn, STORE_MARK_TOKEN, (struct str){(char *)id.b, 16}),
        0);
    assert_int_equal(access_again(txn, who, NOW, &gone), ERR_NOT_FOUND);
    store_write_abort(txn);
}

static void roles_are_listed_with_the_built_in_ones_in_order(void **state)
{
    static const char *const names[] = {"admin", "agent", "mine", "operator",
                                        "reader"};
    BED bed;
    struct store_txn *txn = begun(&bed);
    ARENA *arena = arena_new();
    struct access_role role;
    struct str after = STR_NONE;

    (void)state;
    put_role(txn, STR("mine"), STR("machine"), STR(""));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(access_role_next(txn, arena, after, &role), 0);
        assert_true(str_is(role.name, names[i]));
        after = role.name;
    }
    assert_int_equal(access_role_next(txn, arena, after, &role), ERR_END);
    store_write_abort(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_token_has_its_roles),
        cmocka_unit_test(what_is_not_known_is_nobody),
        cmocka_unit_test(a_user_has_his_roles_and_those_of_his_groups),
        cmocka_unit_test(a_users_token_lives_and_dies_with_him),
        cmocka_unit_test(a_session_has_groups_of_its_own),
        cmocka_unit_test(tokens_are_bound_to_hosts),
        cmocka_unit_test(a_node_may_join_and_a_token_goes_before_it),
        cmocka_unit_test(the_same_again_is_as_it_is_now),
        cmocka_unit_test(roles_are_listed_with_the_built_in_ones_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
