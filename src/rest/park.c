#include "rest/park.h"

#include <sys/epoll.h>

#include "base/clock.h"
#include "rest/state.h"
#include "rest/taken.h"

/* In one turn of a loop, so that reads do not wait: groups that run, and
 * connections that are answered, or resumed (the library walks over all that
 * are suspended each time, so a few at a time would be worse). */
enum { TURN_RUNS = 64, TURN_ANSWERS = 512, HIRE_AGAIN_MS = 10 };

/* ---- waiters ---- */

/* It goes when it is its turn, which may be now. */
void rest_park_leave(struct rest_waiter *waiter)
{
    struct rest_group *group = waiter->group;

    if (group == NULL) {
        return;
    }
    rest_judge_remove(waiter->loop, &waiter->judged);
    rest_ring_remove(&waiter->ring);
    rest_dues_remove(&waiter->loop->park.dues, &waiter->due);
    waiter->group = NULL;
    rest_ring_add(&waiter->loop->park.answered, &waiter->ring);
    rest_group_leave(group);
}

/* He may see something else now: what there is of that is his answer. */
static void on_other(struct rest_judged *judged)
{
    struct rest_waiter *waiter = CONTAINER(judged, struct rest_waiter, judged);
    struct rest_park *park = &waiter->loop->park;
    struct rest_group *old = waiter->group;
    char *bytes = rest_asked_by((struct str){old->key, old->n}, judged->who);
    struct str key = {bytes, old->n};
    struct rest_group *group = rest_group_find(park, key);

    if (group == NULL) {
        group = rest_group_new(waiter->loop, key);
    }
    (void)mem_free(bytes);
    rest_ring_remove(&waiter->ring);
    rest_dues_remove(&park->dues, &waiter->due);
    waiter->group = group;
    rest_ring_add(&group->due, &waiter->ring);
    rest_group_line_up(group);
    rest_group_leave(old);
}

static void hear(struct rest_side *side, uint32_t events)
{
    (void)events;
    rest_park_leave(CONTAINER(side, struct rest_waiter, side));
}

/* The library has read what is behind the request, or may have. */
static void suspend(struct rest_request *request, struct rest_waiter *waiter)
{
    waiter->peer = request->peer;
    waiter->connection = request->connection;
    waiter->peer->waiter = waiter;
    waiter->side =
        (struct rest_side){.fd = waiter->peer->library_fd, .func = hear};
    rest_deadlines_enter(&request->loop->deadlines, waiter->peer, REST_NONE, 0);
    MHD_suspend_connection(waiter->connection);
}

static void hold(struct rest_request *request, struct rest_waiter *waiter)
{
    struct rest_side *side = &waiter->side;

    waiter->taken = rest_taken_begin(request);
    if (waiter->taken != NULL) {
        waiter->taken->waiter = waiter;
        waiter->peer = &waiter->taken->own;
        side = &waiter->taken->side;
    } else {
        suspend(request, waiter);
    }
    /* Not to hear of its end is to hear of it when its time is over. */
    (void)!rest_side_set(&waiter->loop->sides, side, EPOLLRDHUP | EPOLLONESHOT);
}

/* The request's connection waits from now on, and is the request's no more. */
static void admit(struct rest_request *request, struct rest_group *group,
                  struct rest_ring *ring)
{
    struct rest_loop *loop = request->loop;
    struct rest_waiter *waiter = mem_zero(sizeof *waiter);

    waiter->loop = loop;
    waiter->group = group;
    hold(request, waiter);
    waiter->judged.func = on_other;
    rest_judge_add(loop, &waiter->judged, request->op.who, request->mark);
    rest_ring_add(ring, &waiter->ring);
    rest_dues_add(&loop->park.dues, &waiter->due,
                  rest_due_at(loop->now_ms, request->wait_ms, chance_u64()));
    loop->park.n++;
    rest_count(&loop->counts.polls, 1);
    rest_count(&loop->counts.in_flight, (uint64_t)-1);
    *request->context = NULL;
    request->connection = NULL;
    request->peer = NULL;
}

/* What it was to get, the caller's; NULL: nothing. */
static struct rest_shared *end(struct rest_waiter *waiter)
{
    struct rest_loop *loop = waiter->loop;
    struct rest_shared *answer = waiter->answer;

    if (waiter->taken != NULL) {
        waiter->taken->waiter = NULL;
    } else {
        waiter->peer->waiter = NULL;
    }
    rest_side_remove(&loop->sides, &waiter->side);
    rest_judge_remove(loop, &waiter->judged);
    rest_ring_remove(&waiter->ring);
    loop->park.n--;
    rest_count(&loop->counts.polls, (uint64_t)-1);
    rest_watchers_give(loop->rest);
    (void)mem_free(waiter);
    return answer;
}

static struct rest_peer *peer_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection,
                                   MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        ->socket_context;
}

/* ---- from and to the library ---- */

bool rest_park_is_poll(const struct rest_request *request)
{
    const struct op *op = &request->op;

    return op->query.has_since && !op->expired &&
           (op->kind == OP_LIST_GET || op->kind == OP_SEARCH);
}

/* What asks for nothing special has been looked at by the group. */
static enum MHD_Result join(struct rest_request *request,
                            struct rest_group *group)
{
    bool special = !request->plain || request->op.query.linearizable ||
                   request->op.query.max_stale_ms != UINT64_MAX;

    admit(request, group, &group->waiting);
    rest_request_release(request);
    if (special) {
        rest_group_note(group, REST_MAYBE);
    }
    return MHD_YES;
}

static void own(struct arena *arena, struct str *io_text)
{
    *io_text = io_text->p == NULL ? STR_NONE : arena_str(arena, *io_text);
}

/* What it lends from its connection, which it may outlive. */
static void own_head(struct rest_request *request)
{
    struct op *op = &request->op;

    own(request->arena, &op->from);
    own(request->arena, &op->method);
    own(request->arena, &op->request);
    own(request->arena, &op->if_.if_match);
    own(request->arena, &op->if_.if_none_match);
    own(request->arena, &op->if_.idempotency_key);
}

static enum MHD_Result begin(struct rest_request *request, struct str key)
{
    struct rest_loop *loop = request->loop;

    own_head(request);
    request->opened = true;
    rest_count(&loop->counts.looks, 1);
    enum op_step step =
        registry_run(loop->rest->registry, &request->op, loop->reader);
    if (step == OP_DONE) {
        rest_watchers_give(loop->rest);
        request->finished = true;
        return rest_answer_op(request);
    }
    struct rest_group *group = rest_group_new(loop, key);
    admit(request, group, &group->taken);
    rest_group_go_on(group, request, step);
    return MHD_YES;
}

enum MHD_Result rest_park_begin(struct rest_request *request)
{
    struct rest *rest = request->loop->rest;

    if (!rest_watchers_take(rest)) {
        struct rest_problem problem = rest_watchers_problem();
        return rest_answer_problem(request, &problem);
    }
    struct str key = rest_asked_key(request);
    struct rest_group *group = rest_group_find(&request->loop->park, key);
    return group != NULL ? join(request, group) : begin(request, key);
}

/* The time it waited does not count as the request's. */
enum MHD_Result rest_park_resume(struct rest_loop *loop,
                                 struct MHD_Connection *connection,
                                 void **context)
{
    enum MHD_Result r = MHD_NO;

    if (peer_of(connection)->waiter == NULL) {
        return MHD_NO; /* it was taken */
    }
    struct rest_request *request = rest_request_new(loop);
    request->loop = loop;
    request->connection = connection;
    request->peer = peer_of(connection);
    request->stage = REST_ANSWERED;
    request->method = REST_GET;
    request->began_us = loop->now_us;
    *context = request;
    rest_count(&loop->counts.in_flight, 1);
    struct rest_shared *shared = end(request->peer->waiter);
    if (shared == NULL) {
        return r;
    }
    request->head = shared->no_body;
    if (shared->reply.response != NULL) {
        r = rest_answer_reply(request, &shared->reply);
    }
    rest_shared_unref(shared);
    return r;
}

void rest_park_forget(struct rest_loop *loop, struct MHD_Connection *connection)
{
    struct rest_waiter *waiter = peer_of(connection)->waiter;

    if (waiter == NULL) {
        return;
    }
    struct rest_shared *shared = end(waiter);
    if (shared != NULL) {
        rest_shared_unref(shared);
    }
    rest_count(&loop->counts.aborted, 1);
}

/* ---- turns ---- */

static void take_due(struct rest_loop *loop)
{
    struct rest_dues *dues = &loop->park.dues;
    struct rest_due *due = NULL;

    while ((due = rest_dues_first(dues)) != NULL &&
           due->at_ms <= loop->now_ms) {
        struct rest_waiter *waiter = CONTAINER(due, struct rest_waiter, due);
        rest_dues_remove(dues, due);
        rest_ring_remove(&waiter->ring);
        rest_ring_add(&waiter->group->due, &waiter->ring);
        rest_group_line_up(waiter->group);
    }
}

/* The time it waited does not count as the request's. */
static void answer_taken(struct rest_waiter *waiter)
{
    struct rest_taken *taken = waiter->taken;
    struct rest_shared *shared = end(waiter);

    taken->began_us = taken->loop->now_us;
    rest_taken_answer(taken, shared);
    if (shared != NULL) {
        rest_shared_unref(shared);
    }
}

static void resume(struct rest_park *park, size_t most)
{
    for (size_t i = 0; i < most && !rest_ring_is_empty(&park->answered); i++) {
        struct rest_waiter *waiter =
            CONTAINER(park->answered.next, struct rest_waiter, ring);
        rest_ring_remove(&waiter->ring);
        if (waiter->taken != NULL) {
            answer_taken(waiter);
            continue;
        }
        rest_side_remove(&waiter->loop->sides, &waiter->side);
        MHD_resume_connection(waiter->connection);
    }
}

void rest_park_turn(struct rest_loop *loop)
{
    struct rest_park *park = &loop->park;

    park->lets_go = false; /* the library runs behind this */
    take_due(loop);
    for (int i = 0; i < TURN_RUNS && !rest_ring_is_empty(&park->ready) &&
                    rest_judge_is_done(loop);
         i++) {
        rest_group_run(park);
    }
    rest_group_hire(park);
    resume(park, TURN_ANSWERS);
}

uint64_t rest_park_next(const struct rest_loop *loop, uint64_t now_ms)
{
    const struct rest_park *park = &loop->park;
    const struct rest_due *due = rest_dues_first(&park->dues);
    uint64_t next = UINT64_MAX;

    if (park->lets_go || !rest_ring_is_empty(&park->ready) ||
        !rest_ring_is_empty(&park->answered)) {
        return 0;
    }
    if (due != NULL) {
        next = due->at_ms > now_ms ? due->at_ms - now_ms : 0;
    }
    /* No worker of this loop's will be free: others have them. */
    if (!rest_ring_is_empty(&park->workless) && park->n_working == 0 &&
        next > HIRE_AGAIN_MS) {
        next = HIRE_AGAIN_MS;
    }
    return next;
}

void rest_park_close(struct rest_loop *loop)
{
    struct rest_group *group = NULL, *next = NULL;

    HASH_ITER(hh, loop->park.groups, group, next)
    {
        rest_ring_move(&group->due, &group->waiting);
        rest_group_line_up(group);
    }
}

/* Runners that are left wait for a worker. */
static void abandon(struct rest_group *group)
{
    if (group->runner != NULL) {
        rest_ring_move(&group->due, &group->taken);
        rest_request_release(group->runner);
        group->runner = NULL;
    }
    rest_ring_move(&group->due, &group->waiting);
    if (rest_ring_is_empty(&group->due)) {
        rest_group_leave(group);
    } else {
        rest_park_leave(CONTAINER(group->due.next, struct rest_waiter, ring));
    }
}

void rest_park_abandon(struct rest_loop *loop)
{
    while (loop->park.groups != NULL) {
        abandon(loop->park.groups);
    }
    resume(&loop->park, SIZE_MAX);
}
