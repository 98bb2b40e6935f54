#include "rest/route.h"

#include <stdio.h>

#include "base/err.h"

#define READ (REST_CONSISTENCY | REST_MAX_STALE)
#define LISTED (READ | REST_LIMIT | REST_AFTER)
#define POLLED (REST_SINCE | REST_WAIT)

#define LIST "/v1/ns/{ns}/{type}"
#define ROW "/v1/ns/{ns}/{type}/{id}"
#define AGENT "/v1/agents/{hostname}"
#define MEMBER "/v1/groups/{name}/members/{user}"

/* Reads of lists and rows first: the table is searched from the top. */
/* clang-format off */
const struct rest_route rest_routes[] = {
    {REST_GET,    4, LIST, REST_OP, OP_LIST_GET, LISTED | POLLED | REST_FIELDS, REST_NOTHING},
    {REST_GET,    5, ROW, REST_OP, OP_ROW_GET, READ | REST_FIELDS, REST_NOTHING},
    {REST_POST,   4, LIST, REST_OP, OP_LIST_ADD, REST_LEASE, REST_JSON},
    {REST_PUT,    4, LIST, REST_OP, OP_LIST_PUT, 0, REST_JSON},
    {REST_PUT,    5, ROW, REST_OP, OP_ROW_PUT, REST_LEASE, REST_JSON},
    {REST_PATCH,  5, ROW, REST_OP, OP_ROW_PATCH, 0, REST_JSON},
    {REST_DELETE, 5, ROW, REST_OP, OP_ROW_DELETE, 0, REST_NOTHING},
    {REST_POST,   6, ROW "/move", REST_OP, OP_ROW_MOVE, 0, REST_JSON},
    {REST_POST,   6, ROW "/copy", REST_OP, OP_ROW_COPY, 0, REST_JSON},
    {REST_PUT,    6, ROW "/maintenance", REST_OP, OP_ROW_MAINT, 0, REST_JSON},
    {REST_DELETE, 6, ROW "/maintenance", REST_OP, OP_ROW_BACK, 0,
     REST_NOTHING},
    {REST_PUT,    4, AGENT "/heartbeat", REST_OP, OP_HEARTBEAT, 0, REST_NOTHING},
    {REST_POST,   2, "/v1/heartbeats", REST_OP, OP_HEARTBEATS, 0, REST_JSON},
    {REST_POST,   2, "/v1/agents", REST_OP, OP_AGENT_PUT, 0, REST_JSON},
    {REST_GET,    2, "/v1/agents", REST_OP, OP_AGENT_LIST, LISTED, REST_NOTHING},
    {REST_GET,    3, AGENT, REST_OP, OP_AGENT_GET, READ, REST_NOTHING},
    {REST_PUT,    4, AGENT "/maintenance", REST_OP, OP_AGENT_MAINT, 0,
     REST_JSON},
    {REST_DELETE, 4, AGENT "/maintenance", REST_OP, OP_AGENT_BACK, 0,
     REST_NOTHING},
    {REST_DELETE, 3, AGENT, REST_OP, OP_AGENT_DELETE, 0, REST_NOTHING},
    {REST_GET,    2, "/v1/search", REST_OP, OP_SEARCH,
     LISTED | POLLED | REST_NS | REST_TYPE | REST_K | REST_V | REST_MODE,
     REST_NOTHING},
    {REST_GET,    2, "/v1/watch", REST_OP, OP_WATCH,
     REST_NS | REST_TYPE | REST_K | REST_V | REST_MODE | REST_SINCE |
         REST_INITIAL, REST_NOTHING},
    {REST_POST,   2, "/v1/txn", REST_OP, OP_TXN, 0, REST_JSON},
    {REST_GET,    2, "/v1/ns", REST_OP, OP_NS_TREE,
     READ | REST_DEPTH | REST_FLAT, REST_NOTHING},
    {REST_POST,   2, "/v1/ns", REST_OP, OP_NS_CREATE, 0, REST_JSON},
    {REST_GET,    3, "/v1/ns/{ns}", REST_OP, OP_NS_GET, READ, REST_NOTHING},
    {REST_PATCH,  3, "/v1/ns/{ns}", REST_OP, OP_NS_CHANGE, 0, REST_JSON},
    {REST_DELETE, 3, "/v1/ns/{ns}", REST_OP, OP_NS_DELETE,
     REST_RECURSIVE, REST_NOTHING},
    {REST_GET,    2, "/v1/types", REST_OP, OP_TYPE_LIST, READ, REST_NOTHING},
    {REST_GET,    3, "/v1/types/{type}", REST_OP, OP_TYPE_GET, READ, REST_NOTHING},
    {REST_PUT,    3, "/v1/types/{type}", REST_OP, OP_TYPE_PUT, 0, REST_JSON},
    {REST_GET,    2, "/v1/whoami", REST_OP, OP_WHOAMI,
     READ | REST_VERB | REST_TYPE | REST_NS, REST_NOTHING},
    {REST_GET,    2, "/v1/tokens", REST_OP, OP_TOKEN_LIST, LISTED, REST_NOTHING},
    {REST_POST,   2, "/v1/tokens", REST_OP, OP_TOKEN_CREATE, 0, REST_JSON},
    {REST_GET,    3, "/v1/tokens/{id}", REST_OP, OP_TOKEN_GET, READ,
     REST_NOTHING},
    {REST_DELETE, 3, "/v1/tokens/{id}", REST_OP, OP_TOKEN_DELETE, 0,
     REST_NOTHING},
    {REST_GET,    2, "/v1/roles", REST_OP, OP_ROLE_LIST, LISTED, REST_NOTHING},
    {REST_GET,    3, "/v1/roles/{name}", REST_OP, OP_ROLE_GET, READ,
     REST_NOTHING},
    {REST_PUT,    3, "/v1/roles/{name}", REST_OP, OP_ROLE_PUT, 0, REST_JSON},
    {REST_DELETE, 3, "/v1/roles/{name}", REST_OP, OP_ROLE_DELETE, 0,
     REST_NOTHING},
    {REST_GET,    2, "/v1/users", REST_OP, OP_USER_LIST, LISTED, REST_NOTHING},
    {REST_GET,    3, "/v1/users/{name}", REST_OP, OP_USER_GET, READ,
     REST_NOTHING},
    {REST_PUT,    3, "/v1/users/{name}", REST_OP, OP_USER_PUT, 0, REST_SECRET},
    {REST_DELETE, 3, "/v1/users/{name}", REST_OP, OP_USER_DELETE, 0,
     REST_NOTHING},
    {REST_GET,    2, "/v1/groups", REST_OP, OP_GROUP_LIST, LISTED, REST_NOTHING},
    {REST_GET,    3, "/v1/groups/{name}", REST_OP, OP_GROUP_GET, READ,
     REST_NOTHING},
    {REST_PUT,    3, "/v1/groups/{name}", REST_OP, OP_GROUP_PUT, 0, REST_JSON},
    {REST_DELETE, 3, "/v1/groups/{name}", REST_OP, OP_GROUP_DELETE, 0,
     REST_NOTHING},
    {REST_PUT,    5, MEMBER, REST_OP, OP_MEMBER_PUT, 0, REST_NOTHING},
    {REST_DELETE, 5, MEMBER, REST_OP, OP_MEMBER_DELETE, 0, REST_NOTHING},
    {REST_PUT,    4, "/v1/users/{name}/password", REST_OP, OP_USER_PASSWORD, 0,
     REST_SECRET},
    {REST_POST,   2, "/v1/sessions", REST_OP, OP_SESSION_CREATE, 0,
     REST_SECRET},
    {REST_GET,    2, "/v1/sessions", REST_OP, OP_SESSION_LIST, LISTED,
     REST_NOTHING},
    {REST_DELETE, 3, "/v1/sessions/{id}", REST_OP, OP_SESSION_DELETE, 0,
     REST_NOTHING},
    {REST_GET,    2, "/v1/quotas", REST_OP, OP_QUOTA_LIST, LISTED,
     REST_NOTHING},
    {REST_GET,    3, "/v1/quotas/{ns}", REST_OP, OP_QUOTA_GET, READ,
     REST_NOTHING},
    {REST_PUT,    3, "/v1/quotas/{ns}", REST_OP, OP_QUOTA_PUT, 0, REST_JSON},
    {REST_DELETE, 3, "/v1/quotas/{ns}", REST_OP, OP_QUOTA_DELETE, 0,
     REST_NOTHING},
    {REST_GET,    3, "/v1/admin/backup", REST_OP, OP_BACKUP, READ, REST_NOTHING},
    {REST_POST,   3, "/v1/admin/restore", REST_OP, OP_RESTORE, 0, REST_FILE},
    {REST_POST,   3, "/v1/admin/snapshot", REST_OP, OP_SNAPSHOT, 0,
     REST_NOTHING},
    {REST_GET,    3, "/v1/admin/snapshots", REST_OP, OP_SNAPSHOT_LIST, 0,
     REST_NOTHING},
    {REST_GET,    3, "/v1/admin/breaker", REST_OP, OP_BREAKER_GET, 0,
     REST_NOTHING},
    {REST_POST,   3, "/v1/admin/breaker", REST_OP, OP_BREAKER_SET, 0,
     REST_JSON},
    {REST_GET,    3, "/v1/admin/digest", REST_OP, OP_DIGEST, READ,
     REST_NOTHING},
    {REST_GET,    3, "/v1/admin/history", REST_OP, OP_HISTORY_GET, READ,
     REST_NOTHING},
    {REST_PUT,    3, "/v1/admin/history", REST_OP, OP_HISTORY_PUT, 0,
     REST_JSON},
    {REST_GET,    3, "/v1/admin/audit", REST_OP, OP_AUDIT_GET, 0,
     REST_NOTHING},
    {REST_GET,    2, "/v1/cluster", REST_OP, OP_CLUSTER_GET, 0, REST_NOTHING},
    {REST_POST,   3, "/v1/cluster/nodes", REST_OP, OP_CLUSTER_JOIN, 0,
     REST_JSON},
    {REST_DELETE, 4, "/v1/cluster/nodes/{node}", REST_OP, OP_CLUSTER_REMOVE, 0,
     REST_NOTHING},
    {REST_POST,   3, "/v1/cluster/transfer", REST_OP, OP_CLUSTER_TRANSFER, 0,
     REST_JSON},
    {REST_GET,    1, "/leader", REST_OP, OP_LEADER, 0, REST_NOTHING},
    {REST_GET,    1, "/livez", REST_LIVEZ, 0, REST_VERBOSE, REST_NOTHING},
    {REST_GET,    1, "/readyz", REST_READYZ, 0,
     REST_VERBOSE | REST_STALE, REST_NOTHING},
    {REST_GET,    1, "/metrics", REST_METRICS, OP_METRICS, 0, REST_NOTHING},
    {REST_GET,    1, "/openapi.json", REST_OPENAPI, 0, 0, REST_NOTHING},
    {.pattern = NULL},
};
/* clang-format on */
_Static_assert(sizeof rest_routes / sizeof rest_routes[0] <= REST_ROUTES_MAX,
               "counters are kept for REST_ROUTES_MAX routes");

static const char *const method_names[] = {
    [REST_GET] = "GET",     [REST_POST] = "POST",     [REST_PUT] = "PUT",
    [REST_PATCH] = "PATCH", [REST_DELETE] = "DELETE",
};
_Static_assert(sizeof method_names / sizeof method_names[0] == REST_METHODS,
               "each method has a name");

size_t rest_route_index(const struct rest_route *route)
{
    return (size_t)(route - rest_routes);
}

enum rest_method rest_method_parse(const char *name)
{
    if (strcmp(name, "HEAD") == 0) {
        return REST_GET;
    }
    for (int method = 0; method < REST_METHODS; method++) {
        if (strcmp(name, method_names[method]) == 0) {
            return (enum rest_method)method;
        }
    }
    return REST_METHODS;
}

const char *rest_method_name(enum rest_method method)
{
    return method_names[method];
}

static void capture(struct str variable, struct str value,
                    struct rest_match *match)
{
    if (str_is(variable, "{ns}")) {
        match->ns = value;
    } else if (str_is(variable, "{type}") || str_is(variable, "{user}")) {
        match->type = value;
    } else {
        match->id = value;
    }
}

static bool fits(const struct rest_route *route, const struct rest_uri *uri,
                 struct rest_match *match)
{
    const char *at = route->pattern;

    for (size_t i = 0; i < uri->n_segments; i++) {
        at++;
        struct str piece = {at, strcspn(at, "/")};
        struct str segment = uri->segments[i];
        if (piece.p[0] != '{') {
            if (!str_equal(piece, segment)) {
                return false;
            }
        } else if (segment.n == 0) {
            return false;
        } else {
            capture(piece, segment, match);
        }
        at += piece.n;
    }
    return true;
}

static unsigned methods_of(const struct rest_uri *uri)
{
    struct rest_match match = {0};
    unsigned methods = 0;

    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        if (r->n_segments == uri->n_segments && fits(r, uri, &match)) {
            methods |= 1U << r->method;
        }
    }
    return methods;
}

int rest_route_find(enum rest_method method, const struct rest_uri *uri,
                    struct rest_match *ret_match)
{
    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        if (r->n_segments != uri->n_segments || r->method != method) {
            continue;
        }
        *ret_match = (struct rest_match){.route = r};
        if (fits(r, uri, ret_match)) {
            return 0;
        }
    }
    *ret_match = (struct rest_match){.methods = methods_of(uri)};
    return ret_match->methods == 0 ? ERR_NOT_FOUND : ERR_FORBIDDEN;
}

void rest_route_allow(unsigned methods, char ret_text[64])
{
    int n = 0;

    for (int method = 0; method < REST_METHODS; method++) {
        if ((methods & 1U << method) != 0) {
            n += snprintf(ret_text + n, 64 - (size_t)n, "%s, ",
                          method == REST_GET ? "GET, HEAD"
                                             : method_names[method]);
        }
    }
    (void)snprintf(ret_text + n, 64 - (size_t)n, "OPTIONS");
}
