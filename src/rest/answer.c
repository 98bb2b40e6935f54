#include <assert.h>

#include "rest/problem.h"
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
    [OP_UNAUTHORIZED] = 401,
    [OP_FORBIDDEN] = 403,
    [OP_TOO_MANY] = 429,
    [OP_NOT_FOUND] = 404,
    [OP_CONFLICT] = 409,
    [OP_PRECONDITION] = 412,
    [OP_TOO_LARGE] = 413,
    [OP_UNPROCESSABLE] = 422,
    [OP_UNAVAILABLE] = 503,
    [OP_OUTCOME_UNKNOWN] = 504,
    [OP_NO_SPACE] = 507,
    [OP_QUOTA] = 507,
    [OP_INTERNAL] = 500,
};
_Static_assert(sizeof statuses / sizeof statuses[0] == OP_CODES,
               "each answer of the registry has a status");

unsigned rest_answer_status(enum op_code code)
{
    assert(code < OP_CODES && statuses[code] != 0);
    return statuses[code];
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

/* *io_body is the copy's. */
static struct MHD_Response *copied(struct str *io_body)
{
    char *copy = mem_dup(io_body->p, io_body->n);
    /* The library frees it, with free(). */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        io_body->n, copy, MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        (void)mem_free(copy);
    }
    io_body->p = copy;
    return response;
}

/* What is sent later, when the request is gone, is a copy. */
static struct MHD_Response *of_bytes(struct rest_request *request,
                                     struct str body)
{
    if (request->made == NULL) {
        return from_arena(body);
    }
    struct MHD_Response *response = copied(&body);
    request->made->body = body;
    return response;
}

/* Of bytes that the cache lends; takes the answer's reference. NULL when there
 * is no memory. */
static struct MHD_Response *lent(struct op_answer *answer)
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
    request->peer->n_more = 0;
    request->peer->is_long = false;
    request->status = status;
    rest_deadlines_enter(&request->loop->deadlines, request->peer, REST_SEND,
                         request->loop->now_ms);
    return MHD_queue_response(request->connection, status, response);
}

static enum MHD_Result send_answer(struct rest_request *request,
                                   unsigned status,
                                   struct MHD_Response *response)
{
    if (request->made != NULL) {
        request->made->reply = (struct rest_reply){
            response, request->route, status, request->answer_bytes};
        return MHD_YES;
    }
    enum MHD_Result r = send_lent(request, status, response);
    MHD_destroy_response(response);
    return r;
}

static void set_problem(struct rest_request *request,
                        const struct rest_problem *problem)
{
    unsigned again_s = problem->status == 429   ? request->limit.retry_after_s
                       : problem->status == 503 ? 1
                                                : 0;

    request->op.answer = (struct op_answer){
        .detail = problem->detail,
        .field = problem->field,
        .retry_after_s = again_s,
    };
}

struct str rest_answer_body(struct rest_request *request,
                            const struct rest_problem *problem)
{
    set_problem(request, problem);
    return rest_problem_render(request->arena, problem->status,
                               &request->op.answer);
}

static enum MHD_Result send_problem(struct rest_request *request,
                                    unsigned status)
{
    struct str body =
        rest_problem_render(request->arena, status, &request->op.answer);
    struct MHD_Response *response = of_bytes(request, body);
    char allow[64];

    if (response == NULL) {
        return MHD_NO;
    }
    request->answer_bytes = body.n;
    rest_header_add(response, MHD_HTTP_HEADER_CONTENT_TYPE, PROBLEM_JSON);
    if (status == 405) {
        rest_route_allow(request->methods, allow);
        rest_header_add(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    if (status == 401) {
        rest_header_add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                        "Bearer realm=\"roster\"");
    }
    rest_header_add_node(request, response);
    rest_header_add_op(request, response);
    rest_header_add_limit(request, response);
    rest_header_add_trace(request, response);
    return send_answer(request, status, response);
}

enum MHD_Result rest_answer_problem(struct rest_request *request,
                                    const struct rest_problem *problem)
{
    set_problem(request, problem);
    return send_problem(request, problem->status);
}

enum MHD_Result rest_answer_reply(struct rest_request *request,
                                  const struct rest_reply *reply)
{
    request->route = reply->route;
    request->answer_bytes = reply->body_bytes;
    return send_lent(request, reply->status, reply->response);
}

enum MHD_Result rest_answer_shared(struct rest_request *request,
                                   struct rest_shared *shared)
{
    request->hit = true;
    return rest_express_begin(request, shared)
               ? MHD_YES
               : rest_answer_reply(request, &shared->reply);
}

/* *ret_body is its: as long-lived as it is, when it is kept or sent later. */
static struct MHD_Response *make_response(struct rest_request *request,
                                          bool keep, struct str *ret_body)
{
    struct op_answer *answer = &request->op.answer;
    bool copies = (keep || request->made != NULL) && answer->body.n > 0;

    *ret_body = answer->body;
    struct MHD_Response *response = answer->list != NULL ? lent(answer)
                                    : copies             ? copied(ret_body)
                                             : from_arena(answer->body);
    if (request->made != NULL) {
        request->made->body = *ret_body;
    }
    return response;
}

/* A read that waits for a fence is answered anew each time: it counts as one
 * that was known. */
static enum MHD_Result send_kept(struct rest_request *request,
                                 struct rest_shared *kept)
{
    if (request->made != NULL) {
        rest_shared_unref(request->made);
        request->made = rest_shared_ref(kept);
        return MHD_YES;
    }
    return request->op.query.linearizable
               ? rest_answer_shared(request, kept)
               : rest_answer_reply(request, &kept->reply);
}

static enum MHD_Result send_op(struct rest_request *request, unsigned status)
{
    struct op_answer *answer = &request->op.answer;
    struct rest_stamp stamp = rest_header_stamp(request);
    uint64_t cost = request->group != NULL ? 0 : rest_kept_cost(request);
    struct str body;
    struct MHD_Response *response = make_response(request, cost > 0, &body);

    if (response == NULL) {
        return MHD_NO;
    }
    if (answer->code <= OP_CREATED || answer->code >= OP_BAD_REQUEST) {
        rest_header_add(response, MHD_HTTP_HEADER_CONTENT_TYPE, JSON);
    }
    rest_header_add_stamp(request, &stamp, response);
    rest_header_add_op(request, response);
    if (cost == 0) {
        rest_header_add_limit(request, response);
    }
    struct rest_shared *kept =
        cost == 0
            ? NULL
            : rest_kept_keep(request, status, &stamp, cost, body, response);
    if (kept != NULL) {
        return send_kept(request, kept);
    }
    if (cost == 0) {
        rest_header_add_trace(request, response);
    }
    return send_answer(request, status, response);
}

static enum MHD_Result send_file(struct rest_request *request, unsigned status)
{
    const struct op_file file = *request->op.answer.file;
    struct MHD_Response *response = rest_file_response(request);

    if (response == NULL) {
        return MHD_NO;
    }
    rest_file_headers(request, &file, response);
    rest_header_add_node(request, response);
    rest_header_add_trace(request, response);
    enum MHD_Result r = send_answer(request, status, response);
    request->peer->is_long = true;
    return r;
}

enum MHD_Result rest_answer_op(struct rest_request *request)
{
    unsigned status = rest_answer_status(request->op.answer.code);

    if (!rest_header_has_room(request)) {
        struct rest_problem problem = rest_problem_make(
            400,
            STR("the query is too long for a Link to the next page: shorten "
                "it, or ask for fewer resources than need a second page"),
            STR_NONE);
        return rest_answer_problem(request, &problem);
    }

    if (request->op.answer.code == OP_UNAUTHORIZED &&
        request->credential_wrong != NULL) {
        request->op.answer.detail = str_of(request->credential_wrong);
    }
    if (request->op.answer.code >= OP_BAD_REQUEST &&
        request->op.answer.body.n == 0) {
        return send_problem(request, status);
    }
    if (request->op.answer.file != NULL) {
        return send_file(request, status);
    }
    request->answer_bytes = request->op.answer.body.n;
    return send_op(request, status);
}

enum MHD_Result rest_answer_text(struct rest_request *request, unsigned status,
                                 const char *content_type, struct str body)
{
    struct MHD_Response *response = from_arena(body);

    if (response == NULL) {
        return MHD_NO;
    }
    request->answer_bytes = body.n;
    rest_header_add(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    if (status == 503) {
        rest_header_add_number(response, MHD_HTTP_HEADER_RETRY_AFTER, 1);
    }
    rest_header_add_node(request, response);
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
    rest_header_add(response, MHD_HTTP_HEADER_ALLOW, allow);
    rest_header_add_node(request, response);
    return send_answer(request, 204, response);
}
