/* Answers about this node, which need no operation. */
#include "rest/openapi.h"
#include "rest/state.h"

#define PLAIN "text/plain; charset=utf-8"

static void add_check(struct buf *out, const struct registry_check *check)
{
    if (check->ok) {
        buf_printf(out, "[+]%s ok\n", check->name);
    } else {
        buf_printf(out, "[-]%s failed: %s\n", check->name,
                   check->why == NULL ? "" : check->why);
    }
}

static enum MHD_Result checked(struct rest_request *request,
                               const struct registry_check *checks, bool good)
{
    struct buf out = {0};

    for (; request->verbose && checks->name != NULL; checks++) {
        add_check(&out, checks);
    }
    buf_add_text(&out, good ? "ok\n" : "not ready\n");
    return rest_answer_text(request, good ? 200 : 503, PLAIN,
                            arena_take(request->arena, &out));
}

/* Alive is who can answer; a node that must be replaced cannot. */
static enum MHD_Result livez(struct rest_request *request)
{
    static const struct registry_check checks[] = {
        {.name = "http", .ok = true},
        {.name = NULL},
    };
    return checked(request, checks, true);
}

static enum MHD_Result readyz(struct rest_request *request)
{
    struct rest *rest = request->loop->rest;
    bool draining = atomic_load(&rest->draining);
    struct registry_check checks[1 + REGISTRY_CHECKS] = {
        {.name = "serving", .ok = !draining, .why = "it is shutting down"},
    };

    bool good = registry_ready(rest->registry, request->stale, checks + 1);
    return checked(request, checks, good && !draining);
}

/* Whoever may not see them has his answer then. */
static bool may_see_metrics(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;

    if (!loop->guarded) {
        return true;
    }
    request->opened = true;
    enum op_step step =
        registry_run(loop->rest->registry, &request->op, loop->reader);
    return step == OP_DONE && request->op.answer.code < OP_BAD_REQUEST;
}

static enum MHD_Result metrics(struct rest_request *request)
{
    const struct rest *rest = request->loop->rest;
    struct buf out = {0};

    if (!may_see_metrics(request)) {
        return rest_answer_op(request);
    }
    rest_metrics(rest, &out);
    registry_metrics(rest->registry, &out);
    if (rest->config.add_metrics != NULL) {
        rest->config.add_metrics(rest->config.user, &out);
    }
    return rest_answer_text(request, 200,
                            "text/plain; version=0.0.4; charset=utf-8",
                            arena_take(request->arena, &out));
}

enum MHD_Result rest_page_serve(struct rest_request *request)
{
    switch (request->route->place) {
    case REST_LIVEZ:
        return livez(request);
    case REST_READYZ:
        return readyz(request);
    case REST_METRICS:
        return metrics(request);
    case REST_OPENAPI:
        return rest_answer_text(request, 200, "application/json",
                                rest_openapi());
    case REST_OP:
        break;
    }
    return MHD_NO;
}
