/* Ways around the gate that there must not be; agents and their tokens; who is
 * known, and for how long. */
#include "access/access_token.h"
#include "kit.h"
#include "registry/callers.h"
#include "registry/permit.h"

#define SHOP "web.shop.roster"

/* ---- the registry ---- */

static void make_ns(struct kit *k, const char *body)
{
    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body),
                     OP_CREATED);
}

static void add(struct kit *k, const char *ns, const char *type,
                const char *body)
{
    assert_int_equal(kit_do(k, OP_LIST_ADD, ns, type, NULL, body), OP_CREATED);
}

static int set_up(void **state)
{
    struct kit *k = kit_new();

    make_ns(k, "{\"parent\":\"roster\",\"name\":\"shop\",\"kind\":\"branch\"}");
    make_ns(k, "{\"parent\":\"shop.roster\",\"name\":\"web\",\"match\":"
               "\"^web-\",\"comment\":\"c1\"}");
    make_ns(k, "{\"parent\":\"roster\",\"name\":\"db\",\"match\":\"^db-\","
               "\"comment\":\"c2\"}");
    make_ns(k, "{\"parent\":\"roster\",\"name\":\"ab-shop\"}");
    add(k, SHOP, "service", "{\"name\":\"api\",\"port\":\"80\"}");
    add(k, SHOP, "secretly", "{\"name\":\"s\"}");
    add(k, "db.roster", "service", "{\"name\":\"pg\"}");
    add(k, "ab-shop.roster", "service", "{\"name\":\"x\"}");
    registry_set_trust(k->registry, &(struct registry_trust){.access = true});
    *state = k;
    return 0;
}

static void let_go(struct kit *k)
{
    (void)kit_op(k, OP_LEADER, NULL, NULL, NULL, NULL);
    k->op.who = NULL;
    k->who = access_unref(k->who);
}

static int tear_down(void **state)
{
    let_go(*state);
    kit_free(*state);
    return 0;
}

static void be(struct kit *k, const char *grant)
{
    struct str grants[] = {str_of(grant)};
    const struct access_made made = {.kind = ACCESS_USER,
                                     .name = STR("ann"),
                                     .user = STR("ann"),
                                     .grants = {grants, 1}};

    let_go(k);
    assert_int_equal(access_make(NULL, &made, &k->who), 0);
    k->who->access_rev = machine_access_rev(k->core.machine);
}

static void may_only(struct kit *k, const char *ns, unsigned what,
                     const char *target)
{
    struct str targets[] = {str_of(target)};
    const struct access_rule rule = {
        .verbs = (uint8_t)what, .ns = str_of(ns), .targets = {targets, 1}};
    const struct access_made made = {.kind = ACCESS_USER,
                                     .name = STR("ann"),
                                     .user = STR("ann"),
                                     .rules = &rule,
                                     .n_rules = 1};

    let_go(k);
    assert_int_equal(access_make(NULL, &made, &k->who), 0);
    k->who->access_rev = machine_access_rev(k->core.machine);
}

/* ---- sentences ---- */

static void a_refusal_names_verb_target_and_place(void **state)
{
    struct kit *k = *state;

    be(k, "reader@shop.roster");
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, SHOP, "service", "api", "{\"port\":\"1\"}"),
        OP_FORBIDDEN);
    assert_true(kit_says(k, "user ann may not update service in "
                            "web.shop.roster: it needs update on service "
                            "there"));
    assert_true(str_is(k->op.answer.ns, SHOP));
    assert_int_equal(kit_do(k, OP_ROW_PUT, SHOP, "service", "api", "{}"),
                     OP_FORBIDDEN);
    assert_true(kit_says(k, "may not create and update service"));
    assert_int_equal(kit_do(k, OP_LIST_PUT, SHOP, "service", NULL, "[]"),
                     OP_FORBIDDEN);
    assert_true(kit_says(k, "may not create, update and delete service"));
}

static void
a_refusal_is_the_same_whether_a_namespace_is_there_or_not(void **state)
{
    struct kit *k = *state;
    static const char *const places[] = {"db.roster", "no.roster"};
    char there[256];

    be(k, "operator@shop.roster");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            kit_do(k, OP_LIST_GET, places[i], "service", NULL, NULL),
            OP_FORBIDDEN);
        assert_int_equal(kit_do(k, OP_ROW_MOVE, SHOP, "service", "api",
                                i == 0 ? "{\"to\":\"db.roster\"}"
                                       : "{\"to\":\"no.roster\"}"),
                         OP_FORBIDDEN);
        assert_int_equal(kit_do(k, OP_NS_GET, places[i], NULL, NULL, NULL),
                         OP_FORBIDDEN);
        (void)snprintf(there, sizeof there,
                       "{\"parent\":\"%s\",\"name\":\"n\"}", places[i]);
        assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, there),
                         OP_FORBIDDEN);
    }
}

/* ---- ways around ---- */

static void a_name_that_only_ends_alike_is_another(void **state)
{
    struct kit *k = *state;

    be(k, "operator@shop.roster");
    assert_int_equal(
        kit_do(k, OP_LIST_GET, "ab-shop.roster", "service", NULL, NULL),
        OP_FORBIDDEN);
    assert_int_equal(
        kit_do(k, OP_ROW_DELETE, "ab-shop.roster", "service", "x", NULL),
        OP_FORBIDDEN);
}

static void nothing_leaves_or_enters_the_subtree(void **state)
{
    struct kit *k = *state;

    be(k, "operator@shop.roster");
    assert_int_equal(kit_do(k, OP_ROW_MOVE, SHOP, "service", "api",
                            "{\"to\":\"db.roster\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_MOVE, "db.roster", "service", "pg",
                            "{\"to\":\"" SHOP "\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_COPY, "db.roster", "service", "pg",
                            "{\"to\":\"" SHOP "\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_NS_CHANGE, "db.roster", NULL, NULL,
                            "{\"parent\":\"shop.roster\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(
        kit_do(k, OP_NS_CHANGE, SHOP, NULL, NULL, "{\"parent\":\"roster\"}"),
        OP_FORBIDDEN);
    assert_true(kit_says(k, "create @ns in web.roster"));
    assert_int_equal(kit_do(k, OP_NS_CHANGE, "ab-shop.roster", NULL, NULL,
                            "{\"name\":\"x\",\"parent\":\"shop.roster\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_NS_CHANGE, "shop.roster", NULL, NULL,
                            "{\"name\":\"store\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(
        kit_do(k, OP_NS_CHANGE, SHOP, NULL, NULL, "{\"name\":\"www\"}"), OP_OK);
}

static void a_transaction_is_as_allowed_as_its_last_operation(void **state)
{
    struct kit *k = *state;
    uint64_t before = k->core.status.revision;

    be(k, "operator@shop.roster");
    assert_int_equal(
        kit_do(k, OP_TXN, NULL, NULL, NULL,
               "{\"do\":[{\"op\":\"put\",\"ns\":\"" SHOP "\",\"type\":"
               "\"service\",\"resource\":{\"name\":\"b\"}},{\"op\":\"delete\","
               "\"ns\":\"db.roster\",\"type\":\"service\",\"id\":\"pg\"}]}"),
        OP_FORBIDDEN);
    assert_true(kit_says(k, "\"operation\":1"));
    assert_int_equal(
        kit_do(k, OP_TXN, NULL, NULL, NULL,
               "{\"if\":[{\"ns\":\"db.roster\",\"type\":\"service\",\"id\":"
               "\"pg\",\"rev\":7}],\"do\":[{\"op\":\"put\",\"ns\":\"" SHOP
               "\",\"type\":\"service\",\"resource\":{\"name\":\"b\"}}]}"),
        OP_FORBIDDEN);
    assert_true(kit_says(k, "\"condition\":0"));
    assert_int_equal(k->core.status.revision, before);
}

static void a_put_needs_what_it_may_come_to(void **state)
{
    struct kit *k = *state;

    may_only(k, "shop.roster", ACCESS_CREATE, "service");
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"new\"}"),
        OP_CREATED);
    assert_int_equal(
        kit_do(k, OP_ROW_PUT, SHOP, "service", "newer", "{\"port\":\"1\"}"),
        OP_FORBIDDEN);
    assert_int_equal(
        kit_do(k, OP_TXN, NULL, NULL, NULL,
               "{\"do\":[{\"op\":\"put\",\"ns\":\"" SHOP "\",\"type\":"
               "\"service\",\"id\":\"api\",\"resource\":{\"name\":\"api\"}}]}"),
        OP_FORBIDDEN);
}

static void a_webhook_is_written_by_who_may_read_what_it_tells(void **state)
{
    struct kit *k = *state;
    const char *hook = "{\"name\":\"h\",\"url\":\"http://127.0.0.1:1/\"}";

    may_only(k, "shop.roster", ACCESS_ALL, "webhook");
    assert_int_equal(kit_do(k, OP_LIST_ADD, SHOP, "webhook", NULL, hook),
                     OP_FORBIDDEN);
    assert_true(kit_says(k, "needs read on * and @ns"));
    be(k, "operator@shop.roster");
    assert_int_equal(kit_do(k, OP_LIST_ADD, SHOP, "webhook", NULL, hook),
                     OP_CREATED);
    may_only(k, "shop.roster", ACCESS_ALL, "webhook");
    assert_int_equal(kit_do(k, OP_ROW_PATCH, SHOP, "webhook", "h", hook),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_DELETE, SHOP, "webhook", "h", NULL),
                     OP_NO_CONTENT);
}

static void a_whole_subtree_is_deleted_by_who_may_delete_all_in_it(void **state)
{
    struct kit *k = *state;
    struct op *op;

    may_only(k, "shop.roster", ACCESS_ALL, "@ns");
    op = kit_op(k, OP_NS_DELETE, SHOP, NULL, NULL, NULL);
    op->query.recursive = true;
    assert_int_equal(kit_run(k), OP_FORBIDDEN);
    be(k, "operator@shop.roster");
    op = kit_op(k, OP_NS_DELETE, SHOP, NULL, NULL, NULL);
    op->query.recursive = true;
    assert_int_equal(kit_run(k), OP_NO_CONTENT);
}

/* ---- what is shown ---- */

static bool may_begin(struct kit *k, enum op_kind kind)
{
    struct op *op = kit_op(k, kind, SHOP, "service", NULL, NULL);

    return registry_may_begin(k->registry, op);
}

static void no_body_is_worth_it_for_who_would_be_refused_anyway(void **state)
{
    struct kit *k = *state;

    assert_false(may_begin(k, OP_RESTORE));
    assert_false(may_begin(k, OP_LIST_ADD));
    assert_true(may_begin(k, OP_SESSION_CREATE));
    be(k, "operator");
    assert_false(may_begin(k, OP_RESTORE));
    assert_true(may_begin(k, OP_TXN));
    be(k, "admin");
    assert_true(may_begin(k, OP_RESTORE));
    registry_set_trust(k->registry, &(struct registry_trust){0});
    k->op.who = NULL;
    assert_true(registry_may_begin(k->registry, &k->op));
}

static void who_may_write_and_not_read_is_shown_nothing(void **state)
{
    struct kit *k = *state;

    may_only(k, "shop.roster", ACCESS_WRITE, "service");
    assert_int_equal(kit_do(k, OP_ROW_PATCH, SHOP, "service", "api", "{}"),
                     OP_OK);
    assert_null(memmem(k->op.answer.body.p, k->op.answer.body.n, "\"80\"", 4));
    assert_true(kit_says(k, "\"_rev\""));
    assert_int_equal(kit_do(k, OP_LIST_PUT, SHOP, "service", NULL,
                            "[{\"name\":\"api\",\"port\":\"81\"}]"),
                     OP_NO_CONTENT);
}

static bool body_has(const struct kit *k, const char *text)
{
    return memmem(k->op.answer.body.p, k->op.answer.body.n, text,
                  strlen(text)) != NULL;
}

static void
a_search_finds_what_may_be_read_and_counts_nothing_else(void **state)
{
    struct kit *k = *state;
    struct op *op;

    be(k, "reader@shop.roster");
    (void)kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL);
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(body_has(k, "\"api\""));
    assert_false(body_has(k, "\"pg\""));
    assert_false(body_has(k, "ab-shop"));

    may_only(k, "", ACCESS_READ, "secretly");
    op = kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL);
    op->query.limit = 1;
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(body_has(k, "\"s\""));
    assert_false(body_has(k, "\"api\""));
    assert_int_equal(k->op.answer.next.n, 0);
    op = kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL);
    op->query.type = STR("service");
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(str_is(k->op.answer.body, "{}"));
}

static void the_tree_shows_the_bare_way_to_what_may_be_read(void **state)
{
    struct kit *k = *state;
    struct op *op;

    be(k, "reader@" SHOP);
    for (int flat = 0; flat < 2; flat++) {
        op = kit_op(k, OP_NS_TREE, NULL, NULL, NULL, NULL);
        op->query.flat = flat == 1;
        assert_int_equal(kit_run(k), OP_OK);
        assert_true(
            body_has(k, "\"ns\":\"roster\",\"id\":1,\"kind\":\"branch\""));
        assert_true(body_has(k, "\"comment\":\"c1\""));
        assert_false(body_has(k, "db"));
        assert_false(body_has(k, "pool"));
    }
    assert_int_equal(kit_do(k, OP_NS_GET, "shop.roster", NULL, NULL, NULL),
                     OP_OK);
    assert_false(body_has(k, "\"ns\":\"shop.roster\",\"id\":3,\"kind\":"
                             "\"branch\",\"match\""));
    assert_true(body_has(k, "\"comment\":\"c1\""));
}

static void counts_are_of_types_that_may_be_read(void **state)
{
    struct kit *k = *state;

    may_only(k, "shop.roster", ACCESS_READ, "service");
    assert_int_equal(kit_do(k, OP_NS_GET, SHOP, NULL, NULL, NULL), OP_OK);
    assert_true(body_has(k, "\"service\":{\"count\":1"));
    assert_false(body_has(k, "secretly"));
    assert_false(body_has(k, "c1"));
}

/* ---- events ---- */

static enum registry_sight sees(struct kit *k, const char *text)
{
    struct event event;

    event_read(str_of(text), &event);
    return registry_sees(k->who, &event);
}

#define HEAD(op, ns)                                                           \
    "{\"revision\":7,\"op\":\"" op "\",\"ns\":\"" ns                           \
    "\",\"ns_id\":4,\"cause\":\"api\""
#define ROW                                                                    \
    ",\"type\":\"service\",\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\","             \
    "\"resource\":{\"_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"_rev\":7,"         \
    "\"name\":\"a\"}}"

static void events_are_for_who_may_read_what_they_are_about(void **state)
{
    struct kit *k = *state;

    be(k, "reader@shop.roster");
    assert_int_equal(sees(k, HEAD("put", "web.shop.roster") ROW), SIGHT_WHOLE);
    assert_int_equal(sees(k, HEAD("delete", "db.roster") ROW), SIGHT_NONE);
    assert_int_equal(sees(k, HEAD("put", "ab-shop.roster") ROW), SIGHT_NONE);
    assert_int_equal(
        sees(k, HEAD("ns-put", "shop.roster") ",\"kind\":\"branch\"}"),
        SIGHT_WHOLE);
    assert_int_equal(
        sees(k, HEAD("ns-delete", "db.roster") ",\"kind\":\"leaf\"}"),
        SIGHT_NONE);
    assert_int_equal(sees(k, HEAD("restore", "roster") "}"), SIGHT_WHOLE);
    assert_int_equal(sees(k, HEAD("type-put", "roster") ",\"type\":\"x\"}"),
                     SIGHT_WHOLE);
    assert_int_equal(sees(k, HEAD("breaker", "roster") "}"), SIGHT_NONE);
    assert_int_equal(sees(k, HEAD("breaker", "shop.roster") "}"), SIGHT_WHOLE);
    assert_int_equal(sees(k, HEAD("access", "roster") ",\"what\":\"user\","
                                                      "\"name\":\"bob\"}"),
                     SIGHT_NONE);
    assert_int_equal(sees(k, HEAD("new", "shop.roster") "}"), SIGHT_NONE);
    be(k, "admin");
    assert_int_equal(sees(k, HEAD("access", "roster") ",\"what\":\"user\","
                                                      "\"name\":\"bob\"}"),
                     SIGHT_WHOLE);
    may_only(k, "shop.roster", ACCESS_READ, "machine");
    assert_int_equal(sees(k, HEAD("put", "web.shop.roster") ROW), SIGHT_NONE);
    /* The rows he may read went with it. */
    assert_int_equal(
        sees(k, HEAD("ns-delete", "web.shop.roster") ",\"kind\":\"leaf\"}"),
        SIGHT_WHOLE);
}

static void
a_namespace_that_leaves_or_enters_is_told_as_gone_or_moved_within(void **state)
{
    struct kit *k = *state;
    struct event event;
    struct buf out = {0};

    be(k, "reader@shop.roster");
    event_read(
        STR(HEAD("ns-put", "web.other.roster") ",\"kind\":\"leaf\","
                                               "\"old\":\"web.shop.roster\"}"),
        &event);
    assert_int_equal(registry_sees(k->who, &event), SIGHT_PART);
    registry_event_part(k->who, &event, &out);
    assert_true(
        str_is(buf_str(&out),
               HEAD("ns-delete", "web.shop.roster") ",\"kind\":\"leaf\"}"));
    buf_clear(&out);
    event_read(
        STR(HEAD("ns-put", "web.shop.roster") ",\"kind\":\"leaf\","
                                              "\"old\":\"web.other.roster\"}"),
        &event);
    assert_int_equal(registry_sees(k->who, &event), SIGHT_PART);
    registry_event_part(k->who, &event, &out);
    assert_true(str_is(
        buf_str(&out),
        HEAD("ns-put", "web.shop.roster") ",\"kind\":\"leaf\","
                                          "\"old\":\"web.shop.roster\"}"));
    buf_done(&out);
}

/* ---- the state moves on ---- */

static struct access_token token_of(const char *text)
{
    struct access_token token = {.kind = ACCESS_BEARER};

    assert_int_equal(access_token_parse(str_of(text), &token.id), 0);
    access_token_hash(str_of(text), token.hash);
    return token;
}

static int put_token(struct kit *k, const struct access_token *token,
                     uint64_t seen_rev)
{
    struct buf record = {0};

    access_token_encode(&record, token);
    struct command_access_item item = {
        .what = ACCESS_IS_TOKEN,
        .name = {(const char *)token->id.b, sizeof token->id.b},
        .ends_ms = token->ends_ms,
        .seen_rev = seen_rev,
        .record = buf_str(&record)};
    struct command command = {.kind = COMMAND_ACCESS,
                              .access = {.items = &item, .n_items = 1}};
    int r = kit_apply(&k->core, &command);
    buf_done(&record);
    return r;
}

static int drop_token(struct kit *k, const struct access_token *token)
{
    struct command_access_item item = {
        .what = ACCESS_IS_TOKEN,
        .del = 1,
        .name = {(const char *)token->id.b, sizeof token->id.b},
        .seen_rev = COMMAND_ACCESS_ANY};
    struct command command = {.kind = COMMAND_ACCESS,
                              .access = {.items = &item, .n_items = 1}};

    return kit_apply(&k->core, &command);
}

#define TEXT(id) "rst_" id "_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define T1 TEXT("01ARZ3NDEKTSV4RRFFQ69G5FA1")
#define T2 TEXT("01ARZ3NDEKTSV4RRFFQ69G5FA2")
#define T3 TEXT("01ARZ3NDEKTSV4RRFFQ69G5FA3")

static struct access_who *show(struct kit *k, struct registry_callers *callers,
                               const char *text)
{
    const struct access_shown shown = {.token = str_of(text)};
    struct access_who *who = NULL;

    int r = registry_identify(callers, k->reader, &shown, &who);
    assert_int_equal(r, who->kind == ACCESS_ANONYMOUS ? ERR_NOT_FOUND : 0);
    return who;
}

/* From now on requests come of whom this token is. */
static void come_with(struct kit *k, const char *text)
{
    struct registry_callers *callers = registry_callers_new(k->registry);

    let_go(k);
    k->who = show(k, callers, text);
    (void)registry_callers_free(callers);
}

static struct str roles[] = {{"operator", 8}};

static void a_caller_is_kept_until_something_changes_for_somebody(void **state)
{
    struct kit *k = *state;
    struct registry_callers *callers = registry_callers_new(k->registry);
    struct access_token token = token_of(T1), other = token_of(T2);

    token.roles = (struct access_names){roles, 1};
    other.kind = ACCESS_BEARER;
    assert_int_equal(show(k, callers, T1)->kind, ACCESS_ANONYMOUS);
    assert_int_equal(put_token(k, &token, 0), 0);
    struct access_who *first = show(k, callers, T1);
    assert_int_equal(first->kind, ACCESS_TOKEN);
    struct access_who *second = show(k, callers, T1);
    assert_ptr_equal(first, second);
    assert_true(registry_who_stands(k->registry, first));
    assert_int_equal(put_token(k, &other, 0), 0); /* moves nothing */
    assert_true(registry_who_stands(k->registry, first));
    assert_int_equal(drop_token(k, &other), 0);
    assert_false(registry_who_stands(k->registry, first));
    struct access_who *third = show(k, callers, T1);
    assert_ptr_not_equal(first, third);
    assert_int_equal(drop_token(k, &token), 0);
    assert_int_equal(show(k, callers, T1)->kind, ACCESS_ANONYMOUS);
    (void)access_unref(first);
    (void)access_unref(second);
    (void)access_unref(third);
    (void)registry_callers_free(callers);
}

static void a_token_that_ended_is_nobodys(void **state)
{
    struct kit *k = *state;
    struct registry_callers *callers = registry_callers_new(k->registry);
    struct access_token token = token_of(T1);

    token.ends_ms = clock_wall_ms() + 60000;
    assert_int_equal(put_token(k, &token, 0), 0);
    struct access_who *who = show(k, callers, T1);
    assert_true(registry_who_stands(k->registry, who));
    who->expires_ms = clock_wall_ms() - 1;
    assert_false(registry_who_stands(k->registry, who));
    (void)access_unref(who);
    (void)registry_callers_free(callers);
}

static void more_callers_than_there_are_places_are_all_known(void **state)
{
    struct kit *k = *state;
    struct registry_callers *callers = registry_callers_new(k->registry);
    char user[16];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3000; i++) {
            (void)snprintf(user, sizeof user, "n%d", i);
            const struct access_shown shown = {.node = str_of(user)};
            struct access_who *who = NULL;
            assert_int_equal(
                registry_identify(callers, k->reader, &shown, &who), 0);
            assert_true(str_is(who->name, user));
            (void)access_unref(who);
        }
    }
    (void)registry_callers_free(callers);
}

static void this_nodes_own_token_is_known_without_the_state(void **state)
{
    struct kit *k = *state;
    struct registry_callers *callers = registry_callers_new(k->registry);
    struct access_token token = token_of(T1), other = token_of(T2);

    callers_set_own(k->registry, STR("n1"), token.hash);
    struct access_who *who = show(k, callers, T1);
    assert_int_equal(who->kind, ACCESS_NODE);
    assert_true(registry_who_stands(k->registry, who));
    let_go(k);
    k->who = access_ref(who);
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"b\"}"),
        OP_CREATED);
    assert_int_equal(kit_do(k, OP_SNAPSHOT_LIST, NULL, NULL, NULL, NULL),
                     OP_OK);
    callers_set_own(k->registry, STR("n1"), other.hash);
    assert_false(registry_who_stands(k->registry, who));
    assert_int_equal(show(k, callers, T1)->kind, ACCESS_ANONYMOUS);
    assert_int_equal(kit_do(k, OP_SNAPSHOT_LIST, NULL, NULL, NULL, NULL),
                     OP_UNAUTHORIZED);
    (void)access_unref(who);
    (void)registry_callers_free(callers);
}

static void
a_malformed_token_is_nobodys_and_no_certificate_helps_it(void **state)
{
    struct kit *k = *state;
    struct registry_callers *callers = registry_callers_new(k->registry);
    const struct access_shown shown = {.token = STR("x"), .node = STR("n1")};
    const struct access_shown nothing = {.token = STR_NONE};
    struct access_who *who = NULL;

    assert_int_equal(registry_identify(callers, k->reader, &shown, &who),
                     ERR_NOT_FOUND);
    assert_int_equal(who->kind, ACCESS_ANONYMOUS);
    assert_int_equal(registry_identify(callers, k->reader, &nothing, &who), 0);
    assert_int_equal(who->kind, ACCESS_ANONYMOUS);
    (void)registry_callers_free(callers);
}

/* While his write is on its way he loses what it needs. */
static void take_away(void *user)
{
    struct kit *k = user;
    struct access_token token = token_of(T1);

    k->core.before = NULL;
    assert_int_equal(drop_token(k, &token), 0);
}

static void a_write_that_was_allowed_before_is_not_done_after(void **state)
{
    struct kit *k = *state;
    struct access_token token = token_of(T1);

    token.roles = (struct access_names){roles, 1};
    assert_int_equal(put_token(k, &token, 0), 0);
    come_with(k, T1);
    k->core.user = k;
    k->core.before = take_away;
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"late\"}"),
        OP_UNAUTHORIZED);
    be(k, "admin");
    assert_int_equal(kit_do(k, OP_ROW_GET, SHOP, "service", "late", NULL),
                     OP_NOT_FOUND);
}

/* Somebody else's token went: he may what he might. */
static void take_from_another(void *user)
{
    struct kit *k = user;
    struct access_token token = token_of(T2);

    k->core.before = NULL;
    assert_int_equal(put_token(k, &token, 0), 0);
    assert_int_equal(drop_token(k, &token), 0);
}

static void a_write_is_decided_again_when_anybodys_rights_move(void **state)
{
    struct kit *k = *state;
    struct access_token token = token_of(T1);

    token.roles = (struct access_names){roles, 1};
    assert_int_equal(put_token(k, &token, 0), 0);
    come_with(k, T1);
    k->core.user = k;
    k->core.before = take_from_another;
    k->core.submits = 0;
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"b\"}"),
        OP_CREATED);
    assert_int_equal(k->core.submits, 2);
}

static void give(void *user)
{
    struct kit *k = user;
    struct access_token token = token_of(T1), before;
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct store_txn *txn = NULL;

    k->core.at_fence = NULL;
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(access_token_get(txn, arena, token.id, &before), 0);
    store_read_end(txn);
    token.roles = (struct access_names){roles, 1};
    assert_int_equal(put_token(k, &token, before.rev), 0);
}

static void a_refusal_of_a_write_rests_on_the_newest_state(void **state)
{
    struct kit *k = *state;
    struct access_token token = token_of(T1);

    assert_int_equal(put_token(k, &token, 0), 0);
    come_with(k, T1);
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"b\"}"),
        OP_FORBIDDEN);
    k->core.user = k;
    k->core.at_fence = give; /* was known to others all the time */
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, SHOP, "service", NULL, "{\"name\":\"b\"}"),
        OP_CREATED);
}

static enum op_code add_keyed(struct kit *k, const char *body)
{
    struct op *op = kit_op(k, OP_LIST_ADD, SHOP, "service", NULL, body);

    op->if_.idempotency_key = STR("key");
    return kit_run(k);
}

static void an_idempotency_key_is_ones_own(void **state)
{
    struct kit *k = *state;
    struct access_token one = token_of(T1), other = token_of(T2);

    one.roles = other.roles = (struct access_names){roles, 1};
    assert_int_equal(put_token(k, &one, 0), 0);
    assert_int_equal(put_token(k, &other, 0), 0);
    come_with(k, T1);
    assert_int_equal(add_keyed(k, "{\"name\":\"k1\"}"), OP_CREATED);
    assert_int_equal(add_keyed(k, "{\"name\":\"k1\"}"), OP_CREATED);
    assert_true(k->op.answer.replayed);
    come_with(k, T2);
    assert_int_equal(add_keyed(k, "{\"name\":\"k2\"}"), OP_CREATED);
    assert_false(k->op.answer.replayed);
    /* What it did is not told to who may no more. */
    assert_int_equal(drop_token(k, &other), 0);
    assert_int_equal(add_keyed(k, "{\"name\":\"k2\"}"), OP_UNAUTHORIZED);
}

/* ---- agents ---- */

static struct str agent_roles[] = {{"agent", 5}};

static void make_join(struct kit *k, const char *text, const char *hosts,
                      bool reusable)
{
    struct access_token token = token_of(text);

    token.kind = ACCESS_JOINING;
    token.hosts = str_of(hosts);
    token.reusable = reusable;
    token.roles = (struct access_names){agent_roles, 1};
    assert_int_equal(put_token(k, &token, 0), 0);
}

static enum op_code enrol(struct kit *k, const char *body)
{
    return kit_do(k, OP_AGENT_PUT, NULL, NULL, NULL, body);
}

static void a_join_token_becomes_the_first_machines_own(void **state)
{
    struct kit *k = *state;

    make_join(k, T1, "^web-", false);
    come_with(k, T1);
    assert_int_equal(kit_do(k, OP_AGENT_LIST, NULL, NULL, NULL, NULL),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_FORBIDDEN);
    assert_int_equal(enrol(k, "{\"hostname\":\"db-1\"}"), OP_FORBIDDEN);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    come_with(k, T1);
    assert_int_equal(k->who->kind, ACCESS_AGENT);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-2\"}"), OP_FORBIDDEN);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_OK);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-2", NULL),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"web-1\",\"web-2\"]}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"web-1\"]}"),
                     OP_OK);
    assert_int_equal(kit_do(k, OP_AGENT_GET, NULL, NULL, "web-1", NULL), OP_OK);
    assert_int_equal(kit_do(k, OP_AGENT_GET, NULL, NULL, "no-1", NULL),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_AGENT_DELETE, NULL, NULL, "web-2", NULL),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_AGENT_DELETE, NULL, NULL, "web-1", NULL),
                     OP_NO_CONTENT);
}

/* Another machine was quicker with the same token. */
static void other_machine(void *user)
{
    struct kit *k = user;
    struct access_token token = token_of(T1), join;
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct store_txn *txn = NULL;

    k->core.before = NULL;
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(access_token_get(txn, arena, token.id, &join), 0);
    store_read_end(txn);
    join.hostname = STR("web-9");
    assert_int_equal(put_token(k, &join, join.rev), 0);
}

static void of_two_machines_with_one_token_one_is_let_in(void **state)
{
    struct kit *k = *state;

    make_join(k, T1, "", false);
    come_with(k, T1);
    k->core.user = k;
    k->core.before = other_machine;
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_FORBIDDEN);
    assert_true(kit_says(k, "web-9"));
    be(k, "admin");
    assert_int_equal(kit_do(k, OP_AGENT_GET, NULL, NULL, "web-1", NULL),
                     OP_NOT_FOUND);
}

static void a_machine_is_let_in_only_where_its_token_may_put_it(void **state)
{
    struct kit *k = *state;

    be(k, "agent@shop.roster");
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    assert_int_equal(enrol(k, "{\"hostname\":\"db-1\"}"), OP_FORBIDDEN);
    assert_true(kit_says(k, "create @agents in db.roster"));
    assert_int_equal(enrol(k, "{\"hostname\":\"other\"}"), OP_FORBIDDEN);
    assert_true(kit_says(k, "pool.roster"));
    /* What is said of a machine that is elsewhere too. */
    be(k, "admin");
    assert_int_equal(kit_do(k, OP_ROW_MOVE, SHOP, "machine", "web-1",
                            "{\"to\":\"ab-shop.roster\"}"),
                     OP_OK);
    be(k, "agent@shop.roster");
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_FORBIDDEN);
}

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER "00b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WITH(host, hash, id)                                                   \
    "{\"hostname\":\"" host "\",\"credential\":\"" hash                        \
    "\",\"credential_id\":\"" id "\"}"
#define ID4 "01ARZ3NDEKTSV4RRFFQ69G5FA4"
#define ID5 "01ARZ3NDEKTSV4RRFFQ69G5FA5"

static void a_reusable_join_token_lets_machines_bring_their_own(void **state)
{
    struct kit *k = *state;
    struct access_token own = token_of(T3);
    char body[256];

    make_join(k, T1, "^web-", true);
    come_with(k, T1);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_BAD_REQUEST);
    assert_true(kit_says(k, "credential"));
    assert_int_equal(enrol(k, WITH("web-1", "xx", ID4)), OP_BAD_REQUEST);
    assert_int_equal(enrol(k, WITH("db-1", HASH, ID4)), OP_FORBIDDEN);
    assert_int_equal(enrol(k, WITH("web-1", HASH, ID4)), OP_CREATED);
    uint64_t before = k->core.status.revision;
    assert_int_equal(enrol(k, WITH("web-1", HASH, ID4)), OP_OK);
    assert_int_equal(k->core.status.revision, before);
    assert_int_equal(enrol(k, WITH("web-1", OTHER, ID4)), OP_CONFLICT);
    assert_int_equal(enrol(k, WITH("web-1", HASH, ID5)), OP_CONFLICT);
    assert_true(kit_says(k, "DELETE /v1/tokens/" ID4));
    assert_int_equal(enrol(k, WITH("web-2", HASH, ID5)), OP_CREATED);

    struct buf hex = {0};
    for (size_t i = 0; i < sizeof own.hash; i++) {
        buf_printf(&hex, "%02x", own.hash[i]);
    }
    (void)snprintf(body, sizeof body,
                   "{\"hostname\":\"web-3\",\"credential\":\"%.*s\","
                   "\"credential_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FA3\"}",
                   STR_ARG(buf_str(&hex)));
    buf_done(&hex);
    assert_int_equal(enrol(k, body), OP_CREATED);
    come_with(k, T3);
    assert_int_equal(k->who->kind, ACCESS_AGENT);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-3", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_FORBIDDEN);
    /* Its credential went: another may come. */
    come_with(k, T1);
    assert_int_equal(
        enrol(k, WITH("web-3", HASH, "01ARZ3NDEKTSV4RRFFQ69G5FA6")),
        OP_CONFLICT);
    assert_int_equal(drop_token(k, &own), 0);
    assert_int_equal(
        enrol(k, WITH("web-3", HASH, "01ARZ3NDEKTSV4RRFFQ69G5FA6")), OP_OK);
}

static void a_list_of_agents_shows_an_agent_itself(void **state)
{
    struct kit *k = *state;

    be(k, "admin");
    assert_int_equal(enrol(k, "{\"hostname\":\"web-5\"}"), OP_CREATED);
    make_join(k, T1, "", false);
    come_with(k, T1);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    come_with(k, T1);
    assert_int_equal(kit_do(k, OP_AGENT_LIST, NULL, NULL, NULL, NULL), OP_OK);
    assert_true(body_has(k, "web-1"));
    assert_false(body_has(k, "web-5"));
    struct op *op = kit_op(k, OP_AGENT_LIST, NULL, NULL, NULL, NULL);
    op->query.after = STR("web-1");
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(str_is(k->op.answer.body, "[]"));
}

/* ---- rows of an agent's own ---- */

static char lease[27];

static void note_lease(struct kit *k)
{
    const char *at =
        memmem(k->op.answer.body.p, k->op.answer.body.n, "\"lease\":\"", 9);

    assert_non_null(at);
    memcpy(lease, at + 9, 26);
}

static void be_agent(struct kit *k)
{
    be(k, "admin");
    assert_int_equal(enrol(k, "{\"hostname\":\"db-1\"}"), OP_CREATED);
    make_join(k, T1, "", false);
    come_with(k, T1);
    assert_int_equal(enrol(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    note_lease(k);
    come_with(k, T1);
}

static enum op_code put_own(struct kit *k, const char *ns, const char *id,
                            const char *body)
{
    struct op *op = kit_op(k, OP_ROW_PUT, ns, "inventory", id, body);

    op->query.lease = str_of(lease);
    return kit_run(k);
}

static void an_agent_keeps_rows_of_its_own_where_it_is_placed(void **state)
{
    struct kit *k = *state;
    struct op *op;

    be_agent(k);
    assert_int_equal(put_own(k, SHOP, "disks", "{\"n\":\"1\"}"), OP_CREATED);
    assert_true(body_has(k, "\"n\":\"1\""));
    assert_int_equal(put_own(k, SHOP, "disks", "{\"n\":\"2\"}"), OP_OK);
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, SHOP, "inventory", "disks", "{\"n\":\"3\"}"),
        OP_OK);
    assert_int_equal(put_own(k, "ab-shop.roster", "disks", "{\"n\":\"1\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(put_own(k, "db.roster", "disks", "{\"n\":\"1\"}"),
                     OP_FORBIDDEN);
    op = kit_op(k, OP_ROW_PUT, SHOP, "webhook", "h",
                "{\"url\":\"http://127.0.0.1:1/\"}");
    op->query.lease = str_of(lease);
    assert_int_equal(kit_run(k), OP_FORBIDDEN);
    /* Bound to nothing, or not its own. */
    assert_int_equal(kit_do(k, OP_ROW_PUT, SHOP, "inventory", "cpus", "{}"),
                     OP_FORBIDDEN);
    assert_int_equal(put_own(k, SHOP, "none", "{}") == OP_CREATED, true);
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, SHOP, "service", "api", "{\"port\":\"1\"}"),
        OP_FORBIDDEN);
    op = kit_op(k, OP_ROW_PUT, SHOP, "service", "api", "{\"port\":\"1\"}");
    op->query.lease = str_of(lease);
    assert_int_equal(kit_run(k), OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_DELETE, SHOP, "service", "api", NULL),
                     OP_FORBIDDEN);
    /* What its machine is, registration says: it could be another here. */
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, SHOP, "machine", "web-1", "{\"x\":\"1\"}"),
        OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_PATCH, "db.roster", "machine", "db-1",
                            "{\"x\":\"1\"}"),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_LIST_GET, SHOP, "inventory", NULL, NULL),
                     OP_FORBIDDEN);
    assert_int_equal(kit_do(k, OP_ROW_DELETE, SHOP, "inventory", "disks", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(kit_do(k, OP_ROW_DELETE, SHOP, "inventory", "disks", NULL),
                     OP_FORBIDDEN);
}

static void an_agents_conditions_hold(void **state)
{
    struct kit *k = *state;
    struct op *op;
    char tag[32];

    be_agent(k);
    assert_int_equal(put_own(k, SHOP, "disks", "{\"n\":\"1\"}"), OP_CREATED);
    (void)snprintf(tag, sizeof tag, "\"%llu\"",
                   (unsigned long long)k->op.answer.etag);
    op = kit_op(k, OP_ROW_PATCH, SHOP, "inventory", "disks", "{\"n\":\"2\"}");
    op->if_.if_match = str_of(tag);
    assert_int_equal(kit_run(k), OP_OK);
    op = kit_op(k, OP_ROW_PATCH, SHOP, "inventory", "disks", "{\"n\":\"3\"}");
    op->if_.if_match = str_of(tag);
    assert_int_equal(kit_run(k), OP_PRECONDITION);
    op = kit_op(k, OP_ROW_PUT, SHOP, "inventory", "disks", "{\"n\":\"3\"}");
    op->query.lease = str_of(lease);
    op->if_.if_none_match = STR("*");
    assert_int_equal(kit_run(k), OP_PRECONDITION);
    op = kit_op(k, OP_ROW_PUT, SHOP, "inventory", "new", "{\"n\":\"3\"}");
    op->query.lease = str_of(lease);
    op->if_.if_match = STR("*");
    assert_int_equal(kit_run(k), OP_PRECONDITION);
}

/* The agent's row goes, and an operator makes one of the same name. */
static void take_its_place(void *user)
{
    struct kit *k = user;
    struct kit other = {.core = k->core};

    (void)other;
    k->core.before = NULL;
    struct command del = {.kind = COMMAND_ROW_DELETE,
                          .row_delete = {.ns = STORE_POOL + 2,
                                         .type = STR("inventory"),
                                         .key_field = STR("name"),
                                         .by_key = 1,
                                         .key = STR("disks")}};
    struct command put = {.kind = COMMAND_ROW_PUT,
                          .row_put = {.mode = ROW_ADD,
                                      .ns = STORE_POOL + 2,
                                      .type = STR("inventory"),
                                      .key_field = STR("name"),
                                      .new_id = ulid_next(),
                                      .fields = STR("\"name\":\"disks\"")}};
    assert_int_equal(kit_apply(&k->core, &del), 0);
    assert_int_equal(kit_apply(&k->core, &put), 0);
}

static void a_row_that_became_somebody_elses_meanwhile_is_let_be(void **state)
{
    struct kit *k = *state;

    be_agent(k);
    assert_int_equal(put_own(k, SHOP, "disks", "{\"n\":\"1\"}"), OP_CREATED);
    k->core.user = k;
    k->core.before = take_its_place;
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, SHOP, "inventory", "disks", "{\"n\":\"2\"}"),
        OP_FORBIDDEN);
    be(k, "admin");
    assert_int_equal(kit_do(k, OP_ROW_GET, SHOP, "inventory", "disks", NULL),
                     OP_OK);
    assert_false(body_has(k, "\"n\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_names_verb_target_and_place),
        TEST(a_refusal_is_the_same_whether_a_namespace_is_there_or_not),
        TEST(a_name_that_only_ends_alike_is_another),
        TEST(nothing_leaves_or_enters_the_subtree),
        TEST(a_transaction_is_as_allowed_as_its_last_operation),
        TEST(a_put_needs_what_it_may_come_to),
        TEST(a_webhook_is_written_by_who_may_read_what_it_tells),
        TEST(a_whole_subtree_is_deleted_by_who_may_delete_all_in_it),
        TEST(no_body_is_worth_it_for_who_would_be_refused_anyway),
        TEST(who_may_write_and_not_read_is_shown_nothing),
        TEST(a_search_finds_what_may_be_read_and_counts_nothing_else),
        TEST(the_tree_shows_the_bare_way_to_what_may_be_read),
        TEST(counts_are_of_types_that_may_be_read),
        TEST(events_are_for_who_may_read_what_they_are_about),
        TEST(a_namespace_that_leaves_or_enters_is_told_as_gone_or_moved_within),
        TEST(a_caller_is_kept_until_something_changes_for_somebody),
        TEST(a_token_that_ended_is_nobodys),
        TEST(more_callers_than_there_are_places_are_all_known),
        TEST(this_nodes_own_token_is_known_without_the_state),
        TEST(a_malformed_token_is_nobodys_and_no_certificate_helps_it),
        TEST(a_write_that_was_allowed_before_is_not_done_after),
        TEST(a_write_is_decided_again_when_anybodys_rights_move),
        TEST(a_refusal_of_a_write_rests_on_the_newest_state),
        TEST(an_idempotency_key_is_ones_own),
        TEST(a_join_token_becomes_the_first_machines_own),
        TEST(of_two_machines_with_one_token_one_is_let_in),
        TEST(a_machine_is_let_in_only_where_its_token_may_put_it),
        TEST(a_reusable_join_token_lets_machines_bring_their_own),
        TEST(a_list_of_agents_shows_an_agent_itself),
        TEST(an_agent_keeps_rows_of_its_own_where_it_is_placed),
        TEST(an_agents_conditions_hold),
        TEST(a_row_that_became_somebody_elses_meanwhile_is_let_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
