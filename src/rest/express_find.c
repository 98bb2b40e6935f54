#include "rest/express_find.h"

#include <assert.h>

#include "rest/scan.h"
#include "rest/state.h"

/* Counted once: should the library get it, it knows. */
static bool admits(const struct rest_loop *loop, struct rest_peer *peer,
                   struct access_who *who, struct str from)
{
    peer->counted = true;
    peer->refused =
        peer->n_counted == 0 &&
        !registry_admit(loop->rest->registry, who, from, &peer->limit);
    peer->n_counted -= peer->n_counted > 0;
    return !peer->refused;
}

static bool is_admitted(struct rest_request *request)
{
    bool is =
        admits(request->loop, request->peer, request->op.who, request->op.from);

    request->limit = request->peer->limit;
    return is;
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

    rest_request_name(request);
    request->opened = true;
    enum op_step step =
        registry_run(loop->rest->registry, &request->op, loop->reader);
    assert(step != OP_WAIT && step != OP_PARK);
    if (step != OP_DONE) {
        return NULL;
    }
    request->made = rest_shared_pending();
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
    ret_hit->answer = is_admitted(request) ? run(request) : NULL;
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

static enum rest_sight find(struct rest_taken *taken,
                            struct rest_request *request,
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
        taken->found = (struct rest_found){rest_shared_ref(kept->shared),
                                           kept->stamp, scanned->n};
        return FENCED;
    }
    if (!is_admitted(request)) {
        return OTHER;
    }
    ret_hit->answer = rest_shared_ref(kept->shared);
    return HIT;
}

static struct rest_request *new_request(struct rest_taken *taken)
{
    struct rest_request *request = rest_request_new(taken->loop);

    request->loop = taken->loop;
    request->peer = &taken->own;
    request->peer->counted = false;
    request->began_us = taken->began_us;
    return request;
}

enum rest_sight rest_express_find(struct rest_taken *taken, struct str bytes,
                                  size_t covered, struct rest_hit *ret_hit)
{
    struct rest_request *request = new_request(taken);
    struct rest_scanned scanned;
    enum rest_sight sight = OTHER;

    enum rest_scan r = rest_scan_head(bytes, request->arena, &scanned);
    ret_hit->n = scanned.n;
    if (r == SCAN_WHOLE) {
        request->op.fence = scanned.n <= covered ? taken->fence : OP_FENCE_DUE;
        sight = find(taken, request, &scanned, ret_hit);
    } else if (r == SCAN_PART) {
        sight = PART;
    }
    rest_request_release(request);
    return sight;
}

/* Who asks is the one that the connection remembers, if that one stands. */
static bool stands(const struct rest_taken *taken)
{
    const struct rest_loop *loop = taken->loop;
    const struct access_who *who = taken->own.shown.who;

    return taken->fence == OP_FENCE_HOLDS &&
           (!loop->guarded || (who != NULL && rest_who_stands(loop, who))) &&
           rest_kept_stands(loop, &taken->found.stamp);
}

enum rest_sight rest_express_find_again(struct rest_taken *taken,
                                        size_t covered,
                                        struct rest_hit *ret_hit)
{
    struct rest_loop *loop = taken->loop;
    struct rest_peer *peer = &taken->own;
    struct rest_shared *answer = TAKE(taken->found.answer);
    enum rest_sight sight = MORE;

    if (covered == taken->found.n && stands(taken) &&
        rest_shared_date(answer, loop->date)) {
        bool may = admits(loop, peer,
                          loop->guarded ? peer->shown.who : access_anyone(),
                          str_of(peer->shown.from));
        sight = may ? HIT : OTHER;
    }
    if (sight != HIT) {
        rest_shared_unref(answer);
        return sight;
    }
    *ret_hit = (struct rest_hit){answer, true, covered};
    return HIT;
}

/* ---- writes ---- */

bool rest_express_suits(const struct rest_request *request,
                        const struct rest_head *head)
{
    enum rest_takes takes = rest_body_takes(request);
    bool known =
        !request->loop->guarded || request->op.who->kind != ACCESS_ANONYMOUS;

    return request->method != REST_GET && request->route != NULL &&
           request->route->place == REST_OP && !request->old_http &&
           (takes == REST_JSON || (takes == REST_NOTHING && !head->body)) &&
           head->length <= REST_EXPRESS_BODY && head->expect.p == NULL &&
           head->transfer_encoding.p == NULL && known &&
           request->problem.status == 0 && request->credential_wrong == NULL;
}

static bool is_fine(struct rest_request *request, struct rest_scanned *scanned)
{
    struct rest_head *head = &scanned->head;
    struct rest_refusal refusal;

    request->method = scanned->method;
    request->op.method = str_of(rest_method_name(scanned->method));
    request->target = scanned->target;
    rest_who_find(request, head->authorization);
    rest_request_set_head(request, head);
    rest_request_read_target(request);
    if (rest_head_check(head, STR("HTTP/1.1"), rest_body_takes(request),
                        request->loop->rest->config.max_body_bytes,
                        &refusal) != 0) {
        return false;
    }
    request->op.if_ = head->conditions;
    return rest_express_suits(request, head) &&
           !rest_header_is_draining(request);
}

/* What is behind the head. Counted when all else is settled. */
static enum rest_sight take_body(struct rest_request *request, struct str rest,
                                 uint64_t length)
{
    if (rest.n < length) {
        return PART;
    }
    if (length > 0) {
        (void)rest_body_take(request, (struct str){rest.p, (size_t)length});
    }
    return request->problem.status == 0 && is_admitted(request) ? WRITE : OTHER;
}

/* Its head is a copy: it is needed when other bytes have come. What the library
 * gets is overwritten, it may be a secret. */
enum rest_sight rest_express_find_write(struct rest_taken *taken,
                                        struct str bytes,
                                        struct rest_write *ret_write)
{
    struct rest_request *request = new_request(taken);
    size_t n = bytes.n < REST_SCAN_MOST ? bytes.n : REST_SCAN_MOST;
    struct str copy = arena_str(request->arena, (struct str){bytes.p, n});
    struct rest_scanned scanned;
    enum rest_sight sight = OTHER;

    enum rest_scan r = rest_scan_head(copy, request->arena, &scanned);
    if (r == SCAN_WHOLE && is_fine(request, &scanned)) {
        struct str rest = {bytes.p + scanned.n, bytes.n - scanned.n};
        sight = take_body(request, rest, scanned.head.length);
        ret_write->n = scanned.n + (size_t)scanned.head.length;
    } else if (r == SCAN_PART) {
        sight = PART;
    }
    ret_write->request = request;
    if (sight != WRITE) {
        explicit_bzero((char *)(uintptr_t)copy.p, copy.n);
        rest_request_release(request);
    }
    return sight;
}
