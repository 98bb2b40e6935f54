/* What is in front of a request's body: who asks what, and whether that is one
 * that is answered at once. */
#include "base/err.h"
#include "rest/encoding.h"
#include "rest/query.h"
#include "rest/state.h"
#include "rest/taken.h"
#include "rest/trace.h"

void rest_request_wrong(struct rest_request *request, unsigned status,
                        struct str detail, struct str field)
{
    if (request->problem.status == 0) {
        request->problem = rest_problem_make(status, detail, field);
    }
}

struct collect {
    struct rest_head head;
    struct arena *arena;
};

static enum MHD_Result collect(void *user, enum MHD_ValueKind kind,
                               const char *name, size_t name_n,
                               const char *value, size_t value_n)
{
    struct collect *c = user;

    (void)kind;
    rest_head_add(&c->head, c->arena, (struct str){name, name_n},
                  (struct str){value == NULL ? "" : value, value_n});
    return MHD_YES;
}

/* Last-Event-ID is what a browser knows when it comes back to the URL it was
 * given: it goes before whatever that says. */
static void set_resume(struct rest_request *request)
{
    struct op_query *query = &request->op.query;
    uint64_t since = 0;

    if (request->route->op != OP_WATCH || request->last_event_id.n == 0) {
        return;
    }
    if (str_number(request->last_event_id, REST_REVISION_MOST, &since) != 0) {
        rest_request_wrong(request, 400,
                           STR("header Last-Event-ID must be a revision, a "
                               "whole number below 2^53"),
                           STR("Last-Event-ID"));
        return;
    }
    query->since = since;
    query->has_since = true;
    query->initial = false;
}

static void set_query(struct rest_request *request, const struct rest_uri *uri)
{
    struct rest_query query;
    struct str field = STR_NONE;
    const char *why = NULL;

    if (rest_query_read(uri, request->route->params, &query, &field, &why) !=
        0) {
        rest_request_wrong(request, 400,
                           arena_printf(request->arena,
                                        "query parameter %.*s %s",
                                        STR_ARG(field), why),
                           field);
        return;
    }
    request->op.query = query.op;
    set_resume(request);
    request->op.expired = query.wait_ms == 0 || request->loop->closing;
    request->wait_ms = query.wait_ms;
    request->verbose = query.verbose;
    request->stale = query.stale;
}

static void set_op(struct rest_request *request, const struct rest_match *match)
{
    struct op *op = &request->op;

    op->kind = match->route->op;
    op->arena = request->arena;
    op->ns = match->ns;
    op->type = match->type;
    op->id = match->id;
    op->head = request->head;
    op->wake = rest_request_wake;
    op->user = request;
}

static void find_route(struct rest_request *request, const struct rest_uri *uri)
{
    struct rest_match match = {0};
    char allow[64];

    int r = rest_route_find(request->method, uri, &match);
    request->methods = match.methods;
    request->route = match.route;
    if (r == 0) {
        set_op(request, &match);
        set_query(request, uri);
    } else if (r == ERR_NOT_FOUND) {
        rest_request_wrong(
            request, 404,
            arena_printf(request->arena,
                         "there is nothing at %.*s: /openapi.json lists "
                         "what there is",
                         STR_ARG(uri->path)),
            STR_NONE);
    } else if (!request->options) {
        rest_route_allow(match.methods, allow);
        rest_request_wrong(request, 405,
                           arena_printf(request->arena, "%.*s takes %s",
                                        STR_ARG(uri->path), allow),
                           STR_NONE);
    }
}

void rest_request_read_target(struct rest_request *request)
{
    const char *why = NULL;
    struct rest_uri uri;

    if (request->options && str_is(request->target, "*")) {
        request->methods = (1U << REST_METHODS) - 1;
        return;
    }
    if (rest_uri_parse(request->arena, request->target, &uri, &why) != 0) {
        rest_request_wrong(
            request, 400,
            arena_printf(request->arena, "the request's URL has %s", why),
            STR_NONE);
        return;
    }
    request->op.path = uri.target;
    find_route(request, &uri);
}

/* What comes behind the head of somebody who is refused whatever it is fills
 * neither memory nor disk. Who is known may have been given more than this node
 * has heard of yet: what fits into memory is taken of him. */
static bool is_unwanted(const struct rest_request *request)
{
    bool is_file = rest_body_takes(request) == REST_FILE;

    return request->loop->guarded && request->route != NULL &&
           request->route->place == REST_OP &&
           (is_file || request->op.who->kind == ACCESS_ANONYMOUS) &&
           !registry_may_begin(request->loop->rest->registry, &request->op);
}

/* Whether the answer cannot wait for the body. */
static bool check_head(struct rest_request *request, struct collect *c,
                       const char *version)
{
    uint64_t most = request->loop->rest->config.max_body_bytes;
    struct rest_refusal refusal = {0};

    if (rest_head_check(&c->head, str_of(version), rest_body_takes(request),
                        most, &refusal) == 0) {
        request->op.if_ = c->head.conditions;
        request->small = rest_express_suits(request, &c->head);
        request->unwanted = c->head.body && is_unwanted(request);
        if (c->head.body && request->problem.status == 0 &&
            !request->unwanted) {
            rest_body_begin(request, c->head.length);
        }
        bool is_long = c->head.length > rest_discard_bytes(most) ||
                       (request->unwanted && c->head.length == 0 &&
                        rest_body_takes(request) == REST_FILE);
        return c->head.body &&
               (request->problem.status != 0 || request->unwanted) &&
               (c->head.expect.p != NULL || is_long);
    }
    if (refusal.close) {
        request->problem.status = 0; /* it goes before what was found so far */
    }
    rest_request_wrong(request, refusal.status,
                       arena_printf(request->arena, "header %.*s %s",
                                    STR_ARG(refusal.field), refusal.why),
                       refusal.field);
    return refusal.close || (c->head.body && c->head.expect.p != NULL);
}

void rest_request_set_head(struct rest_request *request,
                           const struct rest_head *head)
{
    struct str trace = STR_NONE;

    request->op.gzip = request->method == REST_GET &&
                       rest_encoding_is_gzip(head->accept_encoding);
    request->lines = rest_encoding_is_lines(head->accept);
    request->last_event_id = head->last_event_id;
    if (rest_trace_parse(head->traceparent, &trace) == 0) {
        request->op.request = trace;
        request->traced = true;
    }
    request->plain = rest_kept_is_plain(request, head);
}

bool rest_request_take_head(struct rest_request *request, const char *method,
                            const char *version)
{
    struct collect c = {.arena = request->arena};

    request->method = rest_method_parse(method);
    request->op.method = str_of(method);
    request->options = strcmp(method, "OPTIONS") == 0;
    request->head = strcmp(method, "HEAD") == 0;
    (void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND,
                                      collect, &c);
    rest_ring_remove(&request->peer->fresh);
    rest_peer_identify(request->peer);
    rest_who_set(request, c.head.authorization);
    rest_request_set_head(request, &c.head);
    request->old_http = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
    request->stage = REST_READING;
    if (!request->plain) {
        rest_request_read_target(request);
    }
    bool now = check_head(request, &c, version);
    rest_taken_note(request, c.head.body, c.head.length);
    if (c.head.body) {
        rest_deadlines_enter(&request->loop->deadlines, request->peer,
                             REST_BODY, request->loop->now_ms);
    }
    return now;
}
