#include "kit.h"
#include "rest/query.h"
#include "rest/route.h"

static struct rest_uri parse(struct arena *arena, const char *target)
{
    const char *why = NULL;
    struct rest_uri uri;

    assert_int_equal(rest_uri_parse(arena, str_of(target), &uri, &why), 0);
    return uri;
}

static int find(struct arena *arena, const char *method, const char *target,
                struct rest_match *ret_match)
{
    struct rest_uri uri = parse(arena, target);
    return rest_route_find(rest_method_parse(method), &uri, ret_match);
}

static void goes_to(struct arena *arena, const char *method, const char *target,
                    enum op_kind op)
{
    struct rest_match match;

    assert_int_equal(find(arena, method, target, &match), 0);
    assert_int_equal(match.route->place, REST_OP);
    assert_int_equal(match.route->op, op);
}

static void the_table_agrees_with_itself(void **state)
{
    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        struct rest_match match;
        struct rest_uri uri = parse(*state, r->pattern);

        assert_int_equal(uri.n_segments, r->n_segments);
        /* A pattern is a path that fits itself, and nothing above it. */
        assert_int_equal(rest_route_find(r->method, &uri, &match), 0);
        assert_ptr_equal(match.route, r);
        assert_true(rest_route_index(r) < REST_ROUTES_MAX);
    }
}

static void each_operation_has_a_route(void **state)
{
    unsigned seen[OP_KINDS] = {0};

    (void)state;
    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        if (r->place == REST_OP || r->place == REST_METRICS) {
            seen[r->op]++;
        }
    }
    for (int op = 0; op < OP_KINDS; op++) {
        assert_int_equal(seen[op], 1);
    }
}

static void paths_give_their_variables(void **state)
{
    struct rest_match match;

    assert_int_equal(
        find(*state, "POST", "/v1/ns/web.roster/service/a%2Fb/move", &match),
        0);
    assert_int_equal(match.route->op, OP_ROW_MOVE);
    expect_str(match.ns, "web.roster");
    expect_str(match.type, "service");
    expect_str(match.id, "a/b");
    assert_int_equal(find(*state, "PUT", "/v1/types/disk", &match), 0);
    expect_str(match.type, "disk");
    assert_int_equal(find(*state, "PUT", "/v1/agents/web-1/heartbeat", &match),
                     0);
    assert_int_equal(match.route->op, OP_HEARTBEAT);
    expect_str(match.id, "web-1");
}

static void a_name_may_be_any_word_of_the_table(void **state)
{
    goes_to(*state, "GET", "/v1/ns/search/ns/types", OP_ROW_GET);
    goes_to(*state, "GET", "/v1/agents/heartbeat", OP_AGENT_GET);
    goes_to(*state, "POST", "/v1/ns/a/b/copy/copy", OP_ROW_COPY);
    goes_to(*state, "DELETE", "/v1/ns/a/b/move", OP_ROW_DELETE);
}

static void head_is_get(void **state)
{
    goes_to(*state, "HEAD", "/v1/ns", OP_NS_TREE);
    goes_to(*state, "GET", "/v1/ns", OP_NS_TREE);
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        const char *allow;
    } cases[] = {
        {"DELETE", "/v1/ns", "GET, HEAD, POST, OPTIONS"},
        {"POST", "/v1/ns/a/b/c", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"},
        {"BREW", "/v1/ns/a/b", "GET, HEAD, POST, PUT, OPTIONS"},
        {"get", "/livez", "GET, HEAD, OPTIONS"},
        {"GET", "/v1/txn", "POST, OPTIONS"},
        {"GET", "/v1/agents/a/heartbeat", "PUT, OPTIONS"},
        {"OPTIONS", "/v1/types/a", "GET, HEAD, PUT, OPTIONS"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rest_match match;
        char allow[64];

        assert_int_equal(find(*state, cases[i].method, cases[i].target, &match),
                         ERR_FORBIDDEN);
        assert_null(match.route);
        rest_route_allow(match.methods, allow);
        assert_string_equal(allow, cases[i].allow);
    }
}

static void every_method_fits_into_allow(void **state)
{
    char allow[64];

    (void)state;
    rest_route_allow((1U << REST_METHODS) - 1, allow);
    assert_string_equal(allow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

static void paths_of_nothing_are_not_found(void **state)
{
    static const char *const targets[] = {"/",
                                          "/v1",
                                          "/v1/",
                                          "/v1/nss",
                                          "/v2/ns",
                                          "/v1/ns//m",
                                          "/v1/ns/a/",
                                          "/v1/ns/a/b/c/drop",
                                          "/livez/",
                                          "/v1/watches",
                                          "/1/2/3/4/5/6/7",
                                          "/1/2/3/4/5/6/7/8/9/10",
                                          "/Livez",
                                          "/v1/ns/a/b//",
                                          "/v1/ns/a/b//move"};

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct rest_match match;
        if (find(*state, "GET", targets[i], &match) != ERR_NOT_FOUND) {
            fail_msg("%s is found", targets[i]);
        }
    }
}

/* ---- query ---- */

static int query(struct arena *arena, const char *target,
                 struct rest_query *ret_query, struct str *ret_field)
{
    struct rest_uri uri = parse(arena, target);
    struct rest_match match;
    const char *why = NULL;

    assert_int_equal(rest_route_find(REST_GET, &uri, &match), 0);
    int r =
        rest_query_read(&uri, match.route->params, ret_query, ret_field, &why);
    assert_true(r == 0 || why != NULL);
    return r;
}

static void parameters_reach_their_operation(void **state)
{
    struct rest_query q;
    struct str field;

    assert_int_equal(query(*state,
                           "/v1/search?ns=a.b&type=m&k=x&v=&mode=regex&limit=7"
                           "&after=zz&consistency=linearizable",
                           &q, &field),
                     0);
    expect_str(q.op.ns, "a.b");
    expect_str(q.op.type, "m");
    expect_str(q.op.k, "x");
    assert_non_null(q.op.v.p);
    assert_int_equal(q.op.v.n, 0);
    expect_str(q.op.mode, "regex");
    expect_str(q.op.after, "zz");
    assert_int_equal(q.op.limit, 7);
    assert_true(q.op.linearizable);
    assert_int_equal(query(*state,
                           "/v1/watch?since=9007199254740991&k=a&initial=false",
                           &q, &field),
                     0);
    assert_true(q.op.has_since && q.op.since == (UINT64_C(1) << 53) - 1);
    assert_false(q.op.initial);
    assert_int_equal(query(*state, "/v1/ns/a/m?since=7", &q, &field), 0);
    assert_int_equal(q.wait_ms, 50000);
    assert_int_equal(query(*state, "/v1/search?wait=10m&since=7", &q, &field),
                     0);
    assert_int_equal(q.wait_ms, 600000);
    assert_int_equal(query(*state, "/v1/watch?initial", &q, &field), 0);
    assert_true(q.op.initial && !q.op.has_since);
}

static void what_is_not_given_is_not_given(void **state)
{
    struct rest_query q;
    struct str field;

    assert_int_equal(query(*state, "/v1/search", &q, &field), 0);
    assert_null(q.op.v.p);
    assert_null(q.op.after.p);
    assert_int_equal(q.op.limit, 0);
    assert_true(q.op.depth == UINT64_MAX);
    assert_false(q.op.linearizable);
    assert_int_equal(
        query(*state, "/v1/ns?depth=0&flat&consistency=local", &q, &field), 0);
    assert_true(q.op.depth == 0);
    assert_true(q.op.flat);
    assert_false(q.op.linearizable);
    assert_int_equal(query(*state, "/readyz?verbose&stale=1", &q, &field), 0);
    assert_true(q.verbose && q.stale);
}

static void a_wrong_parameter_is_named(void **state)
{
    static const struct {
        const char *target;
        const char *field;
    } cases[] = {
        {"/v1/ns/a/m?limits=1", "limits"},
        {"/v1/ns/a/m?limit=0", "limit"},
        {"/v1/ns/a/m?limit=100001", "limit"},
        {"/v1/ns/a/m?limit=", "limit"},
        {"/v1/ns/a/m?limit=1&limit=1", "limit"},
        {"/v1/ns/a/m?depth=1", "depth"},
        {"/v1/ns/a/m/i?limit=1", "limit"},
        {"/v1/ns?depth=-1", "depth"},
        {"/v1/ns?flat=maybe", "flat"},
        {"/v1/ns?consistency=strong", "consistency"},
        {"/v1/ns/a/m?=1", ""},
        {"/v1/ns/a/m/x?since=1", "since"},
        {"/v1/ns/a/m?wait=1s", "wait"},
        {"/v1/ns/a/m?since=1&wait=601s", "wait"},
        {"/v1/search?since=1&wait=1", "wait"},
        {"/v1/watch?since=1&wait=1s", "wait"},
        {"/v1/watch?since=", "since"},
        {"/v1/watch?since=9007199254740992", "since"},
        {"/v1/watch?initial=2", "initial"},
        {"/v1/watch?limit=1", "limit"},
        {"/livez?stale=1", "stale"},
        {"/metrics?x", "x"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rest_query q;
        struct str field;
        assert_int_equal(query(*state, cases[i].target, &q, &field),
                         ERR_INVALID);
        expect_str(field, cases[i].field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(the_table_agrees_with_itself),
        WITH_ARENA(each_operation_has_a_route),
        WITH_ARENA(paths_give_their_variables),
        WITH_ARENA(a_name_may_be_any_word_of_the_table),
        WITH_ARENA(head_is_get),
        WITH_ARENA(a_wrong_method_is_told_the_right_ones),
        WITH_ARENA(every_method_fits_into_allow),
        WITH_ARENA(paths_of_nothing_are_not_found),
        WITH_ARENA(parameters_reach_their_operation),
        WITH_ARENA(what_is_not_given_is_not_given),
        WITH_ARENA(a_wrong_parameter_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
