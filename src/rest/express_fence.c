#include "rest/express_fence.h"

#include "rest/state.h"
#include "rest/taken.h"

static bool is_wanted(const struct rest_express *express)
{
    return express->requests != NULL || !rest_ring_is_empty(&express->waiting);
}

bool rest_fence_is_awaited(const struct rest_express *express)
{
    return !express->out && is_wanted(express);
}

/* Before he is in line. */
static void note_who_waits(struct rest_loop *loop)
{
    if (!is_wanted(&loop->express)) {
        loop->express.since_us = loop->now_us;
    }
}

static void on_over(struct registry_fence *fence)
{
    struct rest_express *express = CONTAINER(fence, struct rest_express, fence);
    struct rest_loop *loop = CONTAINER(express, struct rest_loop, express);

    /* Once it is said the loop may go on with it. */
    atomic_store(&express->over, true);
    rest_loop_poke(loop);
}

/* It counts as an operation of its own, which those who wait share. */
void rest_fence_begin(struct rest_loop *loop)
{
    struct rest_express *express = &loop->express;

    if (!rest_fence_is_awaited(express)) {
        return;
    }
    rest_ring_move(&express->behind, &express->waiting);
    express->requests_behind = express->requests;
    express->requests = NULL;
    express->out = true;
    atomic_store(&express->over, false);
    rest_count(&loop->counts.in_flight, 1);
    rest_count(&loop->counts.suspended, 1);
    express->fence.over = on_over;
    express->fence.asked_us = express->since_us;
    registry_fence(loop->rest->registry, &express->fence);
}

static void resume(struct rest_request *request, enum op_fence fence)
{
    struct rest_loop *loop = request->loop;

    request->op.fence = fence;
    request->stage = request->woken_stage;
    rest_count(&loop->counts.suspended, (uint64_t)-1);
    MHD_resume_connection(request->connection);
}

/* Who waited is looked at when it is his turn, in whichever hands he is. */
void rest_fence_end(struct rest_loop *loop)
{
    struct rest_express *express = &loop->express;
    struct rest_request *request = NULL;

    if (!express->out || !atomic_load(&express->over)) {
        return;
    }
    enum op_fence said = express->fence.holds ? OP_FENCE_HOLDS : OP_FENCE_LOST;
    express->out = false;
    rest_count(&loop->counts.in_flight, (uint64_t)-1);
    rest_count(&loop->counts.suspended, (uint64_t)-1);
    while ((request = express->requests_behind) != NULL) {
        express->requests_behind = request->next;
        resume(request, said);
    }
    for (struct rest_ring *at = express->behind.next; at != &express->behind;
         at = at->next) {
        CONTAINER(at, struct rest_taken, line)->fence = said;
    }
    rest_ring_move(&express->ready, &express->behind);
}

bool rest_express_has_to_wait(const struct rest_request *request)
{
    return request->op.query.linearizable &&
           request->op.fence == OP_FENCE_DUE && rest_kept_is_read(request);
}

void rest_express_wait(struct rest_request *request)
{
    struct rest_express *express = &request->loop->express;

    note_who_waits(request->loop);
    request->next = express->requests;
    express->requests = request;
}

void rest_fence_wait(struct rest_taken *taken, size_t unread)
{
    struct rest_loop *loop = taken->loop;

    note_who_waits(loop);
    taken->covered = unread;
    rest_count(&loop->counts.in_flight, 1);
    rest_deadlines_enter(&loop->deadlines, &taken->own, REST_NONE, 0);
    rest_ring_add(&loop->express.waiting, &taken->line);
}

size_t rest_fence_take_covered(struct rest_taken *taken)
{
    size_t covered = taken->covered;

    if (covered > 0) {
        rest_count(&taken->loop->counts.in_flight, (uint64_t)-1);
        taken->covered = 0;
    }
    return covered;
}
