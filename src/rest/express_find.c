#include "rest/express_find.h"

#include <assert.h>

#include "rest/scan.h"
#include "rest/state.h"
#include "rest/trace.h"

/* Counted once: should the library get it, it knows. */
static bool admits(struct rest_request *request)
{
    struct rest_peer *peer = request->peer;

    peer->counted = true;
    peer->refused =
        peer->n_counted == 0 &&
        !registry_admit(request->loop->rest->registry, request->op.who,
                        request->op.from, &peer->limit);
    peer->n_counted -= peer->n_counted > 0;
    request->limit = peer->limit;
    return !peer->refused;
}

/* Whether what it says can be answered with what is kept. */
static bool is_plain(struct rest_request *request, struct rest_head *head)
{
    struct rest_refusal refusal;

    if (rest_head_check(head, STR("HTTP/1.1"), REST_NOTHING, 0, &refusal) !=
        0) {
        return false;
    }
    rest_who_find(request, head->authorization);
    rest_request_set_head(request, head);
    request->op.if_ = head->conditions;
    return request->plain && request->problem.status == 0 &&
           request->credential_wrong == NULL;
}

/* Takes as long as it would in the library's hands; what takes longer is a
 * worker's, and the library waits for him. */
static struct rest_shared *run(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;

    if (request->op.request.n == 0) {
        request->op.request = rest_trace_make(request->arena, loop->traces);
    }
    request->opened = true;
    enum op_step step =
        registry_run(loop->rest->registry, &request->op, loop->reader);
    assert(step != OP_WAIT && step != OP_PARK);
    if (step != OP_DONE) {
        return NULL;
    }
    request->made = rest_shared_new(&(struct rest_reply){.status = 0}, STR(""));
    (void)rest_answer_op(request);
    if (request->made->reply.response != NULL) {
        rest_shared_write(request->made);
        return request->made;
    }
    rest_shared_unref(request->made);
    return NULL;
}

/* What is not kept, or not any more. */
static enum rest_sight make(struct rest_request *request,
                            struct rest_hit *ret_hit)
{
    rest_request_read_target(request);
    if (!rest_kept_is_read(request)) {
        return OTHER;
    }
    if (rest_express_has_to_wait(request)) {
        return FENCED;
    }
    if (!request->op.query.linearizable) {
        request->op.fence = OP_FENCE_DUE; /* how that ended is nothing to it */
    }
    ret_hit->answer = admits(request) ? run(request) : NULL;
    return ret_hit->answer == NULL ? OTHER : HIT;
}

/* Where no leader was found the operation says so, whatever is kept. */
static bool is_known(const struct rest_request *request,
                     const struct rest_kept *kept)
{
    return kept != NULL &&
           (!kept->linearizable || request->op.fence != OP_FENCE_LOST) &&
           rest_shared_date(kept->shared, request->loop->date);
}

static enum rest_sight find(struct rest_request *request,
                            struct rest_scanned *scanned,
                            struct rest_hit *ret_hit)
{
    request->method = REST_GET;
    request->op.method = STR("GET");
    request->target = scanned->target;
    if (!is_plain(request, &scanned->head) ||
        rest_header_is_draining(request)) {
        return OTHER;
    }
    const struct rest_kept *kept = rest_kept_find(request);
    ret_hit->known = is_known(request, kept);
    if (!ret_hit->known) {
        return make(request, ret_hit);
    }
    if (kept->linearizable && request->op.fence == OP_FENCE_DUE) {
        return FENCED;
    }
    if (!admits(request)) {
        return OTHER;
    }
    ret_hit->answer = rest_shared_ref(kept->shared);
    return HIT;
}

enum rest_sight rest_express_find(struct rest_taken *taken, struct str bytes,
                                  size_t covered, struct rest_hit *ret_hit)
{
    struct rest_loop *loop = taken->loop;
    struct rest_request *request = rest_request_new(loop);
    struct rest_scanned scanned;
    enum rest_sight sight = OTHER;

    request->loop = loop;
    request->peer = &taken->own;
    request->peer->counted = false;
    enum rest_scan r = rest_scan_head(bytes, request->arena, &scanned);
    ret_hit->n = scanned.n;
    if (r == SCAN_WHOLE) {
        request->op.fence = scanned.n <= covered ? taken->fence : OP_FENCE_DUE;
        sight = find(request, &scanned, ret_hit);
    } else if (r == SCAN_PART) {
        sight = PART;
    }
    rest_request_release(request);
    return sight;
}
