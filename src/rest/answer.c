#include <assert.h>
#include <stdio.h>

#include "base/err.h"
#include "model/json.h"
#include "rest/state.h"

#define JSON "application/json"
#define PROBLEM_JSON "application/problem+json"
#define HEADERS_BYTES 2048 /* of a usual request and of every answer */

/* ---- words ---- */

/* The registry's answers in HTTP. */
static const unsigned statuses[] = {
    [OP_OK] = 200,          [OP_CREATED] = 201,
    [OP_NO_CONTENT] = 204,  [OP_NOT_MODIFIED] = 304,
    [OP_BAD_REQUEST] = 400, [OP_NOT_FOUND] = 404,
    [OP_CONFLICT] = 409,    [OP_PRECONDITION] = 412,
    [OP_TOO_LARGE] = 413,   [OP_UNPROCESSABLE] = 422,
    [OP_UNAVAILABLE] = 503, [OP_OUTCOME_UNKNOWN] = 504,
    [OP_NO_SPACE] = 507,    [OP_INTERNAL] = 500,
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

static struct rest_stamp stamp_of(const struct rest_request *request)
{
    struct core_status status = core_status(request->loop->rest->core);
    const struct op_answer *answer = &request->op.answer;

    return (struct rest_stamp){
        .etag = answer->etag,
        .revision = answer->revision != 0
                        ? answer->revision
                        : registry_revision(request->loop->rest->registry),
        .stale_ms = status.stale_ms,
        .second = request->loop->second,
        .leads = status.leads,
    };
}

/* What every answer says about this node. */
static void add_stamp(struct rest_request *request,
                      const struct rest_stamp *stamp,
                      struct MHD_Response *response)
{
    const char *node = request->loop->rest->node_id;

    add(response, MHD_HTTP_HEADER_DATE, request->loop->date);
    add_number(response, "Roster-Revision", stamp->revision);
    add(response, "Roster-Node", node);
    /* The library takes no empty value; a blank is read as one. */
    add(response, "Roster-Leader", stamp->leads ? node : " ");
    if (request->method == REST_GET) {
        add_number(response, "Roster-Stale-Ms", stamp->stale_ms);
    }
}

static bool is_draining(const struct rest_request *request)
{
    return atomic_load_explicit(&request->loop->rest->draining,
                                memory_order_relaxed);
}

static void add_node(struct rest_request *request,
                     struct MHD_Response *response)
{
    struct rest_stamp stamp = stamp_of(request);

    add_stamp(request, &stamp, response);
    if (is_draining(request)) {
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
    if (answer->replayed) {
        add(response, "Idempotent-Replayed", "true");
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

struct MHD_Response *rest_answer_lent(struct op_answer *answer)
{
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
static enum MHD_Result send_lent(struct rest_request *request, unsigned status,
                                 struct MHD_Response *response)
{
    request->stage = REST_ANSWERED;
    request->status = status;
    rest_deadlines_enter(&request->loop->deadlines, request->peer, REST_SEND,
                         request->loop->now_ms);
    return MHD_queue_response(request->connection, status, response);
}

static enum MHD_Result send_answer(struct rest_request *request,
                                   unsigned status,
                                   struct MHD_Response *response)
{
    enum MHD_Result r = send_lent(request, status, response);
    MHD_destroy_response(response);
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

/* NULL when it cannot be reused, now or later. */
static struct MHD_Response *reusable(struct rest_request *request)
{
    struct rest_stamp stamp = stamp_of(request);

    struct MHD_Response *response = rest_reuse_find(request, &stamp);
    if (response != NULL) {
        return response;
    }
    response = rest_reuse_make(request, &stamp);
    if (response != NULL) {
        add(response, MHD_HTTP_HEADER_CONTENT_TYPE, JSON);
        add_stamp(request, &stamp, response);
        add_etag(response, stamp.etag);
    }
    return response;
}

static enum MHD_Result send_new(struct rest_request *request, unsigned status)
{
    struct op_answer *answer = &request->op.answer;
    struct MHD_Response *response = answer->list != NULL
                                        ? rest_answer_lent(answer)
                                        : from_arena(answer->body);

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

/* The library makes an answer's headers in what the request has left of
 * --max-header, and hangs up without a word when that is too little. Only Link
 * grows with the request; who follows it sends it back and gets another. */
static bool has_room_for_link(const struct rest_request *request)
{
    uint64_t most = request->loop->rest->config.max_header_bytes;
    size_t next = request->op.answer.next.n;
    size_t target = request->target.n;

    if (next == 0) {
        return true;
    }
    /* Its path is at most as long as the target. */
    return HEADERS_BYTES + target + 2 * next <= most &&
           HEADERS_BYTES + 2 * target <= most;
}

enum MHD_Result rest_answer_op(struct rest_request *request)
{
    unsigned status = rest_answer_status(request->op.answer.code);

    if (!has_room_for_link(request)) {
        struct rest_problem problem = rest_problem_make(
            400,
            STR("the query is too long for a Link to the next page: shorten "
                "it, or ask for fewer resources than need a second page"),
            STR_NONE);
        return rest_answer_problem(request, &problem);
    }

    if (request->op.answer.code >= OP_BAD_REQUEST) {
        return send_problem(request, status);
    }
    struct MHD_Response *response =
        is_draining(request) ? NULL : reusable(request);
    return response != NULL ? send_lent(request, status, response)
                            : send_new(request, status);
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
