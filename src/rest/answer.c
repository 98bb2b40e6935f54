#include <assert.h>
#include <stdio.h>

#include "base/err.h"
#include "model/json.h"
#include "rest/state.h"

#define JSON "application/json"
#define PROBLEM_JSON "application/problem+json"

/* ---- words ---- */

/* The registry's answers in HTTP. */
static const unsigned statuses[] = {
    [OP_OK] = 200,
    [OP_CREATED] = 201,
    [OP_NO_CONTENT] = 204,
    [OP_NOT_MODIFIED] = 304,
    [OP_BAD_REQUEST] = 400,
    [OP_NOT_FOUND] = 404,
    [OP_CONFLICT] = 409,
    [OP_PRECONDITION] = 412,
    [OP_TOO_LARGE] = 413,
    [OP_UNPROCESSABLE] = 422,
    [OP_UNAVAILABLE] = 503,
    [OP_OUTCOME_UNKNOWN] = 504,
    [OP_NO_SPACE] = 507,
    [OP_INTERNAL] = 500,
};
_Static_assert(sizeof statuses / sizeof statuses[0] == OP_CODES,
               "each answer of the registry has a status");

unsigned rest_answer_status(enum op_code code)
{
    assert(code < OP_CODES && statuses[code] != 0);
    return statuses[code];
}

struct kind {
    unsigned status;
    const char *slug;
    const char *title;
};

/* The last one stands for every other status. */
static const struct kind kinds[] = {
    {400, "bad-request", "Bad request"},
    {404, "not-found", "Not found"},
    {405, "method-not-allowed", "Method not allowed"},
    {409, "conflict", "Conflict"},
    {412, "precondition-failed", "Precondition failed"},
    {413, "too-large", "Too large"},
    {415, "unsupported-media-type", "Unsupported media type"},
    {422, "key-reused", "Idempotency key reused"},
    {503, "unavailable", "Unavailable"},
    {504, "outcome-unknown", "Outcome unknown"},
    {507, "no-space", "No space left"},
    {500, "internal", "Internal error"},
};

static const struct kind *kind_of(unsigned status)
{
    size_t i = 0;
    while (i + 1 < sizeof kinds / sizeof kinds[0] &&
           kinds[i].status != status) {
        i++;
    }
    return &kinds[i];
}

struct rest_problem rest_problem_make(unsigned status, struct str detail,
                                      struct str field)
{
    return (struct rest_problem){
        .status = status, .detail = detail, .field = field};
}

static void add_member(struct buf *out, const char *name, struct str text)
{
    if (text.n > 0) {
        buf_printf(out, ",\"%s\":", name);
        json_add_string(out, text);
    }
}

/* RFC 9457. */
static struct str render_problem(struct rest_request *request, unsigned status,
                                 const struct op_answer *answer)
{
    const struct kind *kind = kind_of(status);
    struct buf out = {0};

    buf_printf(&out,
               "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%u",
               kind->slug, kind->title, status);
    add_member(&out, "detail", answer->detail);
    add_member(&out, "field", answer->field);
    add_member(&out, "ns", answer->ns);
    if (answer->at_revision != 0) {
        buf_printf(&out, ",\"revision\":%llu",
                   (unsigned long long)answer->at_revision);
    }
    if (answer->outcome_unknown) {
        buf_add_text(&out, ",\"outcome\":\"unknown\"");
    }
    buf_add_str(&out, answer->extra);
    buf_add_text(&out, "}\n");
    return arena_take(request->arena, &out);
}

/* ---- headers ---- */

/* The library keeps copies. It refuses a value with line ends in it, and then
 * the header is left out: nothing a client sent can add a header. */
static void add(struct MHD_Response *response, const char *name,
                const char *value)
{
    (void)MHD_add_response_header(response, name, value);
}

static void add_number(struct MHD_Response *response, const char *name,
                       uint64_t number)
{
    char text[21];
    char *at = text + sizeof text - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add(response, name, at);
}

static void add_etag(struct MHD_Response *response, uint64_t etag)
{
    char text[24];
    (void)snprintf(text, sizeof text, "\"%llu\"", (unsigned long long)etag);
    add(response, MHD_HTTP_HEADER_ETAG, text);
}

/* What every answer says about this node. */
static void add_node(struct rest_request *request,
                     struct MHD_Response *response)
{
    const struct rest *rest = request->loop->rest;
    struct core_status status = core_status(rest->core);
    uint64_t revision = request->op.answer.revision;

    add_number(response, "Roster-Revision",
               revision != 0 ? revision : status.revision);
    add(response, "Roster-Node", rest->node_id);
    /* The library takes no empty value; a blank is read as one. */
    add(response, "Roster-Leader", status.leads ? rest->node_id : " ");
    if (request->method == REST_GET) {
        add_number(response, "Roster-Stale-Ms", status.stale_ms);
    }
    if (atomic_load_explicit(&rest->draining, memory_order_relaxed)) {
        add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
}

static void add_link(struct rest_request *request,
                     struct MHD_Response *response, struct str next)
{
    const char *end = memchr(request->op.path.p, '?', request->op.path.n);
    struct str path = request->op.path;
    struct buf text = {0};

    if (end != NULL) {
        path.n = (size_t)(end - path.p);
    }
    buf_add_char(&text, '<');
    rest_uri_add_quoted(&text, path);
    buf_add_char(&text, '?');
    rest_uri_add_quoted(&text, next);
    buf_add_text(&text, ">; rel=\"next\"");
    add(response, MHD_HTTP_HEADER_LINK, buf_text(&text));
    buf_done(&text);
}

static void add_of_op(struct rest_request *request,
                      struct MHD_Response *response)
{
    const struct op_answer *answer = &request->op.answer;

    if (answer->etag != 0) {
        add_etag(response, answer->etag);
    }
    if (answer->location.n > 0) {
        add(response, MHD_HTTP_HEADER_LOCATION,
            arena_text(request->arena, answer->location));
    }
    if (answer->next.n > 0) {
        add_link(request, response, answer->next);
    }
    if (answer->retry_after_s != 0) {
        add_number(response, MHD_HTTP_HEADER_RETRY_AFTER,
                   answer->retry_after_s);
    }
}

/* ---- sending ---- */

static void unref_list(void *list)
{
    (void)cache_unref(list);
}

/* The arena lives until the request has ended, and with it the answer. */
static struct MHD_Response *from_arena(struct str body)
{
    return MHD_create_response_from_buffer(
        body.n, (void *)(uintptr_t)(body.n == 0 ? "" : body.p),
        MHD_RESPMEM_PERSISTENT);
}

/* Takes the answer's reference to its list. */
static struct MHD_Response *from_answer(struct op_answer *answer)
{
    if (answer->list == NULL) {
        return from_arena(answer->body);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(
            answer->body.n, (void *)(uintptr_t)answer->body.p, unref_list,
            (void *)(uintptr_t)answer->list);
    if (response != NULL) {
        answer->list = NULL;
    }
    return response;
}

/* NO closes the connection: the library has no memory left. */
static enum MHD_Result send_answer(struct rest_request *request,
                                   unsigned status,
                                   struct MHD_Response *response)
{
    enum MHD_Result r =
        MHD_queue_response(request->connection, status, response);

    MHD_destroy_response(response);
    request->stage = REST_ANSWERED;
    request->status = status;
    rest_deadlines_enter(&request->loop->deadlines, request->peer, REST_SEND,
                         request->loop->now_ms);
    return r;
}

static enum MHD_Result send_problem(struct rest_request *request,
                                    unsigned status)
{
    struct str body = render_problem(request, status, &request->op.answer);
    struct MHD_Response *response = from_arena(body);
    char allow[64];

    if (response == NULL) {
        return MHD_NO;
    }
    add(response, MHD_HTTP_HEADER_CONTENT_TYPE, PROBLEM_JSON);
    if (status == 405) {
        rest_route_allow(request->methods, allow);
        add(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    add_node(request, response);
    add_of_op(request, response);
    return send_answer(request, status, response);
}

enum MHD_Result rest_answer_problem(struct rest_request *request,
                                    const struct rest_problem *problem)
{
    request->op.answer = (struct op_answer){
        .detail = problem->detail,
        .field = problem->field,
        .retry_after_s = problem->status == 503 ? 1 : 0,
    };
    return send_problem(request, problem->status);
}

enum MHD_Result rest_answer_op(struct rest_request *request)
{
    struct op_answer *answer = &request->op.answer;
    unsigned status = rest_answer_status(answer->code);

    if (answer->code >= OP_BAD_REQUEST) {
        return send_problem(request, status);
    }
    struct MHD_Response *response = from_answer(answer);
    if (response == NULL) {
        return MHD_NO;
    }
    if (answer->code <= OP_CREATED) {
        add(response, MHD_HTTP_HEADER_CONTENT_TYPE, JSON);
    }
    add_node(request, response);
    add_of_op(request, response);
    return send_answer(request, status, response);
}

enum MHD_Result rest_answer_text(struct rest_request *request, unsigned status,
                                 const char *content_type, struct str body)
{
    struct MHD_Response *response = from_arena(body);

    if (response == NULL) {
        return MHD_NO;
    }
    add(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    if (status == 503) {
        add_number(response, MHD_HTTP_HEADER_RETRY_AFTER, 1);
    }
    add_node(request, response);
    return send_answer(request, status, response);
}

enum MHD_Result rest_answer_options(struct rest_request *request)
{
    struct MHD_Response *response = from_arena(STR(""));
    char allow[64];

    if (response == NULL) {
        return MHD_NO;
    }
    rest_route_allow(request->methods, allow);
    add(response, MHD_HTTP_HEADER_ALLOW, allow);
    add_node(request, response);
    return send_answer(request, 204, response);
}
