/* Who may do what: every operation, as each built-in role, given for the whole
 * registry and for a subtree, on what lies in it and beside it. The table is
 * what users are promised, written by hand. */
#include "kit.h"
#include "registry/permit.h"

#define IN "web.shop.roster"
#define BESIDE "db.roster"

/* Of each role three letters: given for everything; given for shop.roster, on
 * what lies in it; the same, on what lies beside it. y: yes, n: 403. What is in
 * no namespace is the same twice. */
struct promise {
    enum op_kind kind;
    const char *reader, *agent, *operator, * admin;
};

static const struct promise promises[] = {
    {OP_NS_TREE, "yyy", "nnn", "yyy", "yyy"},
    {OP_NS_CREATE, "nnn", "nnn", "yyn", "yyn"},
    {OP_NS_GET, "yyn", "nnn", "yyn", "yyn"},
    {OP_NS_CHANGE, "nnn", "nnn", "yyn", "yyn"},
    {OP_NS_DELETE, "nnn", "nnn", "yyn", "yyn"},
    {OP_TYPE_LIST, "yyy", "yyy", "yyy", "yyy"},
    {OP_TYPE_GET, "yyy", "yyy", "yyy", "yyy"},
    {OP_TYPE_PUT, "nnn", "nnn", "ynn", "ynn"},
    {OP_LIST_GET, "yyn", "nnn", "yyn", "yyn"},
    {OP_LIST_ADD, "nnn", "nnn", "yyn", "yyn"},
    {OP_LIST_PUT, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_GET, "yyn", "nnn", "yyn", "yyn"},
    {OP_ROW_PUT, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_PATCH, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_DELETE, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_MOVE, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_COPY, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_MAINT, "nnn", "nnn", "yyn", "yyn"},
    {OP_ROW_BACK, "nnn", "nnn", "yyn", "yyn"},
    {OP_SEARCH, "yyn", "nnn", "yyn", "yyn"},
    {OP_TXN, "nnn", "nnn", "yyn", "yyn"},
    {OP_AGENT_PUT, "nnn", "yyn", "yyn", "yyn"},
    {OP_AGENT_LIST, "ynn", "ynn", "ynn", "ynn"},
    {OP_AGENT_GET, "ynn", "ynn", "ynn", "ynn"},
    {OP_AGENT_DELETE, "nnn", "ynn", "ynn", "ynn"},
    {OP_AGENT_MAINT, "nnn", "ynn", "ynn", "ynn"},
    {OP_AGENT_BACK, "nnn", "ynn", "ynn", "ynn"},
    {OP_HEARTBEAT, "nnn", "ynn", "ynn", "ynn"},
    {OP_HEARTBEATS, "nnn", "ynn", "ynn", "ynn"},
    {OP_BREAKER_GET, "ynn", "nnn", "ynn", "ynn"},
    {OP_BREAKER_SET, "nnn", "nnn", "ynn", "ynn"},
    {OP_LEADER, "yyy", "yyy", "yyy", "yyy"},
    {OP_CLUSTER_GET, "ynn", "nnn", "ynn", "ynn"},
    {OP_CLUSTER_JOIN, "nnn", "nnn", "nnn", "ynn"},
    {OP_CLUSTER_REMOVE, "nnn", "nnn", "nnn", "ynn"},
    {OP_CLUSTER_TRANSFER, "nnn", "nnn", "nnn", "ynn"},
    {OP_BACKUP, "nnn", "nnn", "nnn", "ynn"},
    {OP_RESTORE, "nnn", "nnn", "nnn", "ynn"},
    {OP_SNAPSHOT, "nnn", "nnn", "nnn", "ynn"},
    {OP_SNAPSHOT_LIST, "nnn", "nnn", "nnn", "ynn"},
    {OP_DIGEST, "nnn", "nnn", "nnn", "ynn"},
    {OP_HISTORY_GET, "ynn", "nnn", "ynn", "ynn"},
    {OP_HISTORY_PUT, "nnn", "nnn", "nnn", "ynn"},
    {OP_WATCH, "yyn", "nnn", "yyn", "yyn"},
    {OP_ROLE_LIST, "nnn", "nnn", "nnn", "ynn"},
    {OP_ROLE_GET, "nnn", "nnn", "nnn", "ynn"},
    {OP_ROLE_PUT, "nnn", "nnn", "nnn", "ynn"},
    {OP_ROLE_DELETE, "nnn", "nnn", "nnn", "ynn"},
    {OP_USER_GET, "nnn", "nnn", "nnn", "ynn"},
    {OP_USER_PUT, "nnn", "nnn", "nnn", "ynn"},
    {OP_USER_DELETE, "nnn", "nnn", "nnn", "ynn"},
    {OP_USER_PASSWORD, "nnn", "nnn", "nnn", "ynn"},
    {OP_GROUP_GET, "nnn", "nnn", "nnn", "ynn"},
    {OP_GROUP_PUT, "nnn", "nnn", "nnn", "ynn"},
    {OP_GROUP_DELETE, "nnn", "nnn", "nnn", "ynn"},
    {OP_WHOAMI, "yyy", "yyy", "yyy", "yyy"},
    {OP_QUOTA_GET, "yyn", "nnn", "yyn", "yyn"},
    {OP_QUOTA_PUT, "nnn", "nnn", "nnn", "yyn"},
    {OP_QUOTA_DELETE, "nnn", "nnn", "nnn", "yyn"},
    {OP_AUDIT_GET, "nnn", "nnn", "nnn", "ynn"},
    {OP_METRICS, "ynn", "nnn", "ynn", "ynn"},
};

/* Whose they are decides: the tests of those operations say so. */
static const enum op_kind personal[] = {
    OP_TOKEN_LIST,     OP_TOKEN_CREATE,  OP_TOKEN_GET,    OP_TOKEN_DELETE,
    OP_MEMBER_PUT,     OP_MEMBER_DELETE, OP_SESSION_LIST, OP_SESSION_CREATE,
    OP_SESSION_DELETE, OP_USER_LIST,     OP_GROUP_LIST,   OP_QUOTA_LIST,
};

static bool is_personal(enum op_kind kind)
{
    for (size_t i = 0; i < sizeof personal / sizeof personal[0]; i++) {
        if (personal[i] == kind) {
            return true;
        }
    }
    return false;
}

static const struct promise *promise_of(enum op_kind kind)
{
    for (size_t i = 0; i < sizeof promises / sizeof promises[0]; i++) {
        if (promises[i].kind == kind) {
            return &promises[i];
        }
    }
    return NULL;
}

/* ---- the registry ---- */

static void make_ns(struct kit *k, const char *body)
{
    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body),
                     OP_CREATED);
}

static int set_up(void **state)
{
    struct kit *k = kit_new();

    make_ns(k, "{\"parent\":\"roster\",\"name\":\"shop\",\"kind\":\"branch\"}");
    make_ns(k, "{\"parent\":\"shop.roster\",\"name\":\"web\",\"match\":"
               "\"^web-\"}");
    make_ns(k, "{\"parent\":\"shop.roster\",\"name\":\"www\"}");
    make_ns(k, "{\"parent\":\"roster\",\"name\":\"db\",\"match\":\"^db-\"}");
    make_ns(k, "{\"parent\":\"roster\",\"name\":\"ab-shop\"}");
    registry_set_trust(k->registry, &(struct registry_trust){.access = true});
    /* What is allowed comes as far as the log. */
    k->core.refuses = ERR_NOT_READY;
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

static struct access_who *with_role(const char *grant)
{
    struct str grants[] = {str_of(grant)};
    const struct access_made made = {.kind = ACCESS_USER,
                                     .name = STR("ann"),
                                     .user = STR("ann"),
                                     .grants = {grants, 1}};
    struct access_who *who = NULL;

    assert_int_equal(access_make(NULL, &made, &who), 0);
    return who;
}

/* A request of this kind that is about the namespace, where it can be. */
static enum op_code ask(struct kit *k, enum op_kind kind, const char *ns)
{
    bool in = strcmp(ns, IN) == 0;
    char body[256] = "{\"name\":\"a\"}";
    const char *id = "a";
    struct op *op;

    switch (kind) {
    case OP_NS_CREATE:
        (void)snprintf(body, sizeof body, "{\"parent\":\"%s\",\"name\":\"n\"}",
                       in ? "shop.roster" : "roster");
        break;
    case OP_NS_CHANGE:
        (void)snprintf(body, sizeof body, "{\"comment\":\"c\"}");
        break;
    case OP_LIST_PUT:
        (void)snprintf(body, sizeof body, "[]");
        break;
    case OP_ROW_MOVE:
    case OP_ROW_COPY:
        (void)snprintf(body, sizeof body, "{\"to\":\"%s\"}",
                       in ? "www.shop.roster" : "ab-shop.roster");
        break;
    case OP_TXN:
        (void)snprintf(body, sizeof body,
                       "{\"if\":[{\"ns\":\"%s\",\"type\":\"service\",\"id\":"
                       "\"a\",\"rev\":0}],\"do\":[{\"op\":\"put\",\"ns\":"
                       "\"%s\",\"type\":\"service\",\"resource\":{\"name\":"
                       "\"a\"}}]}",
                       ns, ns);
        break;
    case OP_AGENT_PUT:
        (void)snprintf(body, sizeof body, "{\"hostname\":\"%s\"}",
                       in ? "web-1" : "db-1");
        break;
    case OP_HEARTBEATS:
        (void)snprintf(body, sizeof body, "{\"hostnames\":[\"web-1\"]}");
        break;
    case OP_AGENT_GET:
    case OP_AGENT_DELETE:
    case OP_AGENT_MAINT:
    case OP_AGENT_BACK:
    case OP_HEARTBEAT:
        id = "web-1";
        break;
    default:
        break;
    }
    op = kit_op(k, kind, ns, "service", id, body);
    if (kind == OP_SEARCH || kind == OP_WATCH) {
        op->query.ns = str_of(ns);
    }
    enum op_code code = kit_run(k);
    op->answer.file = registry_file_close(op->answer.file);
    return code;
}

static bool is_denied(enum op_code code)
{
    return code == OP_FORBIDDEN || code == OP_UNAUTHORIZED;
}

static void expect(struct kit *k, enum op_kind kind, const char *grant,
                   const char *ns, char wanted)
{
    enum op_code code;

    k->who = with_role(grant);
    code = ask(k, kind, ns);
    bool right = wanted == 'y' ? !is_denied(code) : code == OP_FORBIDDEN;
    if (!right) {
        print_message("%s as %s in %s: wanted %c, came to %d: %.*s\n",
                      verbs[kind].name, grant, ns, wanted, (int)code,
                      STR_ARG(k->op.answer.detail));
    }
    assert_true(right);
    (void)kit_op(k, OP_LEADER, NULL, NULL, NULL, NULL); /* lets go of him */
    k->op.who = NULL;
    k->who = access_unref(k->who);
}

static void walk(struct kit *k, const struct promise *promise, const char *role,
                 const char *letters)
{
    char grant[64];

    (void)snprintf(grant, sizeof grant, "%s@shop.roster", role);
    expect(k, promise->kind, role, IN, letters[0]);
    expect(k, promise->kind, role, BESIDE, letters[0]);
    expect(k, promise->kind, grant, IN, letters[1]);
    expect(k, promise->kind, grant, BESIDE, letters[2]);
}

static void each_operation_is_given_to_whom_it_is_promised(void **state)
{
    struct kit *k = *state;

    for (int kind = 0; kind < OP_KINDS; kind++) {
        const struct promise *promise = promise_of((enum op_kind)kind);
        if (promise == NULL || verbs[kind].run == NULL) {
            continue;
        }
        walk(k, promise, "reader", promise->reader);
        walk(k, promise, "agent", promise->agent);
        walk(k, promise, "operator", promise->operator);
        walk(k, promise, "admin", promise->admin);
    }
}

static void nothing_is_left_out(void **state)
{
    (void)state;
    for (int kind = 0; kind < OP_KINDS; kind++) {
        assert_int_not_equal(needs[kind].how, NEED_UNSAID);
        assert_true((promise_of((enum op_kind)kind) != NULL) !=
                    is_personal((enum op_kind)kind));
    }
}

static bool is_open(enum op_kind kind)
{
    return kind == OP_LEADER || kind == OP_SESSION_CREATE;
}

static void nobody_may_what_is_not_open_to_everybody(void **state)
{
    struct kit *k = *state;
    struct access_who *nobodies[] = {access_anonymous(), NULL, access_anyone()};

    for (int kind = 0; kind < OP_KINDS; kind++) {
        for (size_t i = 0; verbs[kind].run != NULL && i < 3; i++) {
            k->who = nobodies[i];
            enum op_code code = ask(k, (enum op_kind)kind, IN);
            assert_int_equal(code == OP_UNAUTHORIZED,
                             !is_open((enum op_kind)kind));
            assert_int_not_equal(code, OP_FORBIDDEN);
        }
    }
    k->who = NULL;
}

static void who_has_no_role_may_what_is_everybodys_who_is_known(void **state)
{
    struct kit *k = *state;
    const struct access_made made = {.kind = ACCESS_TOKEN, .name = STR("t")};

    assert_int_equal(access_make(NULL, &made, &k->who), 0);
    for (int kind = 0; kind < OP_KINDS; kind++) {
        if (verbs[kind].run == NULL || is_personal((enum op_kind)kind)) {
            continue;
        }
        bool yes = needs[kind].how == NEED_KNOWN || kind == OP_LEADER;
        assert_int_equal(ask(k, (enum op_kind)kind, IN) == OP_FORBIDDEN, !yes);
    }
    (void)kit_op(k, OP_LEADER, NULL, NULL, NULL, NULL);
    k->op.who = NULL;
    k->who = access_unref(k->who);
}

static void without_access_control_everybody_may(void **state)
{
    struct kit *k = *state;

    registry_set_trust(k->registry, &(struct registry_trust){0});
    for (int kind = 0; kind < OP_KINDS; kind++) {
        if (verbs[kind].run != NULL && !is_personal((enum op_kind)kind)) {
            assert_false(is_denied(ask(k, (enum op_kind)kind, BESIDE)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_out),
        cmocka_unit_test_setup_teardown(
            each_operation_is_given_to_whom_it_is_promised, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            nobody_may_what_is_not_open_to_everybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_has_no_role_may_what_is_everybodys_who_is_known, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(without_access_control_everybody_may,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
