#include <assert.h>

#include "base/clock.h"
#include "rest/state.h"
#include "rest/trace.h"

/* ---- begin and end ---- */

static void enter(struct rest_request *request, enum rest_phase phase)
{
    rest_deadlines_enter(&request->loop->deadlines, request->peer, phase,
                         request->loop->now_ms);
}

void *rest_request_begin(void *user, const char *uri,
                         struct MHD_Connection *connection)
{
    struct rest_loop *loop = user;
    struct rest_request *request = rest_request_new(loop);

    request->loop = loop;
    request->connection = connection;
    request->peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
            ->socket_context;
    /* The daemon takes its own copy apart in place. */
    request->target = arena_str(request->arena, str_of(uri));
    request->began_us = loop->now_us; /* it had come by then */
    request->peer->asked = true;
    enter(request, REST_HEAD);
    rest_count(&loop->counts.in_flight, 1);
    return request;
}

void rest_request_release(struct rest_request *request)
{
    if (request->opened) {
        registry_op_done(request->loop->rest->registry, &request->op);
    }
    if (request->op.answer.list != NULL) {
        request->op.answer.list = cache_unref(request->op.answer.list);
    }
    request->op.who = access_unref(request->op.who);
    rest_file_drop(request);
    request->upload = rest_upload_free(request->upload);
    rest_body_drop(request);
    rest_request_free(request->loop, request);
}

void rest_request_end(void *user, struct MHD_Connection *connection,
                      void **context, enum MHD_RequestTerminationCode why)
{
    struct rest_request *request = *context;

    (void)why;
    if (request == NULL) {
        rest_park_forget(user, connection);
        return;
    }
    assert(request->stage != REST_SUSPENDED); /* [REST-2] */
    *context = NULL;
    rest_count_request(request);
    request->peer->n_hits = request->hit ? request->peer->n_hits + 1 : 0;
    request->peer->asked = false;
    enter(request, REST_IDLE);
    rest_request_release(request);
}

/* ---- run ---- */

/* A wake that came already is waiting in the queue of this very thread. */
enum MHD_Result rest_request_suspend(struct rest_request *request,
                                     enum rest_stage woken_stage)
{
    request->stage = REST_SUSPENDED;
    request->woken_stage = woken_stage;
    enter(request, REST_NONE);
    rest_count(&request->loop->counts.suspended, 1);
    if (request->taken == NULL) {
        MHD_suspend_connection(request->connection);
    }
    return MHD_YES;
}

void rest_request_wake(struct op *op)
{
    struct rest_request *request = op->user;
    struct rest_loop *loop = request->loop;

    /* Once it is in the queue it is its loop's, and may be gone. */
    if (queue_push(&loop->woken, &request->link)) {
        rest_loop_poke(loop);
    }
}

static enum op_step run_here(struct rest_request *request, bool no_worker)
{
    struct rest_loop *loop = request->loop;

    request->opened = true;
    request->op.no_worker = no_worker;
    return registry_run(loop->rest->registry, &request->op, loop->reader);
}

/* Behind a fence what is kept will do. */
static const struct rest_kept *find_fenced(struct rest_request *request)
{
    if (request->op.fence != OP_FENCE_HOLDS || request->opened) {
        return NULL;
    }
    const struct rest_kept *kept = rest_kept_find(request);
    bool fits =
        kept != NULL && kept->linearizable && rest_kept_is_whole(request, kept);
    return fits ? kept : NULL;
}

static enum MHD_Result answer_kept(struct rest_request *request,
                                   const struct rest_kept *kept)
{
    rest_count(&request->loop->counts.kept, 1);
    return rest_answer_shared(request, kept->shared);
}

/* What a worker had to do is not for the loop the next time, either. */
static enum MHD_Result answer_op(struct rest_request *request, bool by_worker)
{
    bool alike = request->small || (rest_kept_is_read(request) &&
                                    !request->head && !request->old_http);

    request->finished = true;
    if (request->op.kind == OP_WATCH && request->op.answer.watch != NULL) {
        return rest_stream_begin(request);
    }
    return alike && !by_worker && request->taken == NULL
               ? rest_express_answer(request)
               : rest_answer_op(request);
}

static enum MHD_Result run_op(struct rest_request *request)
{
    bool by_worker = request->finished;

    if (rest_express_has_to_wait(request)) {
        rest_express_wait(request);
        return rest_request_suspend(request, REST_RUNNING);
    }
    const struct rest_kept *kept = find_fenced(request);
    if (kept != NULL) {
        return answer_kept(request, kept);
    }
    enum op_step step = by_worker ? OP_DONE : run_here(request, false);

    if (step == OP_WORK) {
        if (rest_workers_push(request->loop->rest, request)) {
            return rest_request_suspend(request, REST_RUNNING);
        }
        step = run_here(request, true);
    }
    if (step == OP_WAIT) {
        return rest_request_suspend(request, REST_RUNNING);
    }
    if (step == OP_DONE) {
        return answer_op(request, by_worker);
    }
    rest_request_wrong(request, 503,
                       STR("too many long requests are running: try again"),
                       STR_NONE);
    return rest_answer_problem(request, &request->problem);
}

void rest_request_name(struct rest_request *request)
{
    if (request->op.request.n == 0) {
        request->op.request =
            rest_trace_make(request->arena, request->loop->traces);
    }
}

enum MHD_Result rest_request_run(struct rest_request *request)
{
    if (request->op.fence == OP_FENCE_HOLDS && !request->opened &&
        request->loop->guarded) {
        rest_who_renew(request); /* it may have been about him */
    }
    if (request->problem.status != 0) {
        return rest_answer_problem(request, &request->problem);
    }
    if (request->route == NULL) {
        return rest_answer_options(request);
    }
    if (request->route->place != REST_OP) {
        return rest_page_serve(request);
    }
    rest_request_name(request);
    request->op.body = buf_str(&request->body);
    /* A chunked body of no bytes has made no file. */
    request->op.file =
        request->spooled == 0 ? NULL : rest_upload_path(request->upload);
    return rest_park_is_poll(request) ? rest_park_begin(request)
                                      : run_op(request);
}

/* Without its body. */
static enum MHD_Result answer_now(struct rest_request *request)
{
    request->stage = REST_RUNNING;
    enter(request, REST_NONE);
    return rest_request_run(request);
}

/* The whole request is there. */
static enum MHD_Result start(struct rest_request *request)
{
    if (rest_body_waits(request)) {
        return MHD_YES;
    }
    request->stage = REST_RUNNING;
    if (request->loop->guarded) {
        rest_who_renew(request);
    }
    if (request->plain && request->problem.status == 0) {
        const struct rest_kept *kept = rest_kept_find(request);
        if (kept != NULL && !kept->linearizable &&
            rest_kept_is_whole(request, kept)) {
            return answer_kept(request, kept);
        }
        rest_request_read_target(request);
    }
    enter(request, REST_NONE);
    return rest_request_run(request);
}

enum MHD_Result rest_request_handle(void *user,
                                    struct MHD_Connection *connection,
                                    const char *url, const char *method,
                                    const char *version, const char *upload,
                                    size_t *upload_n, void **context)
{
    struct rest_request *request = *context;

    (void)url;
    if (request == NULL) {
        return rest_park_resume(user, connection, context);
    }
    request->context = context;
    if (request->stage == REST_HEAD_PENDING) {
        bool now = rest_request_take_head(request, method, version);
        return now ? answer_now(request) : MHD_YES;
    }
    if (request->stage == REST_SUSPENDED) {
        /* The library goes on with the chunks it has already: it keeps what is
         * not taken, and comes again. */
        return MHD_YES;
    }
    if (request->stage == REST_TAKEN) {
        return MHD_NO;
    }
    if (*upload_n > 0) {
        struct str part = {upload, *upload_n};
        *upload_n = 0;
        return rest_body_take(request, part);
    }
    if (request->stage == REST_READING) {
        return start(request);
    }
    return request->stage == REST_RUNNING ? rest_request_run(request) : MHD_YES;
}
