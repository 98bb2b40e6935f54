#include "registry/registry.h"

#include <assert.h>

#include "access/access_token.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry/answer.h"
#include "registry/asks.h"
#include "registry/audited.h"
#include "registry/cached.h"
#include "registry/gate.h"
#include "registry/limit.h"
#include "registry/own.h"
#include "registry/permit.h"
#include "registry/poll.h"
#include "registry/submit.h"
#include "registry/types_set.h"
#include "registry/wait.h"

/* ---- START ---- */

static const struct verb *verb_of(const struct op_state *s)
{
    return &verbs[s->op->kind];
}

static int start(struct op_state *s)
{
    int r = permit_caller(s);

    if (r == 0) {
        r = gate_check(s);
    }
    if (r == ANSWERED && permit_may_be_old(s) && verb_of(s)->class == WRITE) {
        answer_reset(s); /* Asked again when it runs, and then behind a fence.
                          */
        s->anew = true;
        r = 0;
    }
    if (r != 0) {
        return r;
    }
    if (verb_of(s)->class != READ) {
        s->stage = STAGE_RUN;
        return 0;
    }
    s->until_ms = clock_mono_ms() + WAIT_REVISION_MS;
    s->awaited = s->op->if_.min_revision;
    if (poll_waits(s) && s->op->query.since > s->awaited) {
        s->awaited = s->op->query.since;
    }
    s->stage = STAGE_REVISION;
    return 0;
}

/* ---- REVISION, FENCE, PAUSE ---- */

static int refuse_revision(struct op_state *s, uint64_t revision)
{
    return answer_problem(s, OP_UNAVAILABLE, STR("Roster-Min-Revision"),
                          "this node is at revision %llu and %llu has not come "
                          "within 2 s: try again, or another node",
                          (unsigned long long)revision,
                          (unsigned long long)s->op->if_.min_revision);
}

static int refuse_fence(struct op_state *s)
{
    return answer_busy(s, "no leader that a quorum follows was found");
}

static int see_revision(struct op_state *s)
{
    uint64_t revision = snapshot_newest(s->registry);

    /* What is to be seen may be that he may no more: it may have come between
     * the look at who he is and this one. */
    s->anew = s->awaited > 0 || s->op->query.linearizable;
    if (s->awaited > revision && clock_mono_ms() < s->until_ms) {
        return wait_revision(s);
    }
    if (s->op->if_.min_revision > revision) {
        return refuse_revision(s, revision);
    }
    s->stage = STAGE_RUN;
    if (s->op->fence == OP_FENCE_LOST) {
        return refuse_fence(s);
    }
    if (s->op->fence == OP_FENCE_HOLDS && s->awaited <= revision) {
        return 0;
    }
    /* Behind a fence this node is sure to have all there is. A `since` that is
     * still beyond comes from somewhere else. */
    if (!s->op->query.linearizable && s->awaited <= revision) {
        return gate_fresh(s);
    }
    s->stage = STAGE_FENCE;
    return submit_fence(s);
}

static int behind_fence(struct op_state *s)
{
    s->stage = STAGE_RUN;
    if (s->request.outcome == 0) {
        return 0;
    }
    return refuse_fence(s);
}

/* ---- RUN, RESULT ---- */

static bool is_denied(const struct op_state *s)
{
    return s->op->answer.code == OP_UNAUTHORIZED ||
           s->op->answer.code == OP_FORBIDDEN;
}

/* Not what he was denied, or refused before it was known whether he may: it may
 * be another's, and it costs the log an entry. */
static bool may_recall(const struct op_state *s)
{
    return verb_of(s)->class == WRITE && s->op->if_.idempotency_key.p != NULL &&
           s->op->answer.code >= OP_BAD_REQUEST && !is_denied(s) &&
           permit_was_asked(s);
}

/* A write that was refused by what this node has read, which others may have
 * changed long ago: a refusal must never rest on an old state. */
static bool must_recheck(const struct op_state *s)
{
    enum op_code code = s->op->answer.code;

    return verb_of(s)->class == WRITE && !s->rechecked &&
           (s->seen.applied > 0 || permit_may_be_old(s)) &&
           code >= OP_BAD_REQUEST && code != OP_UNAVAILABLE &&
           code != OP_UNAUTHORIZED;
}

static int recheck(struct op_state *s)
{
    s->rechecked = true;
    answer_reset(s);
    submit_again(s);
    s->stage = STAGE_PAUSE;
    return submit_fence(s);
}

/* A verb that has to ask for itself and did not has said yes to everybody. */
static bool is_unasked(const struct op_state *s, int r)
{
    bool yes = r == 0 || r == PARKS ||
               (r == ANSWERED && s->op->answer.code < OP_BAD_REQUEST);

    return yes && !permit_was_asked(s);
}

/* What was waited for, or came just now, may be that he may no more. */
static bool is_another_now(const struct op_state *s)
{
    return s->registry->trust.access &&
           !registry_who_stands(s->registry, s->who);
}

static int run_verb(struct op_state *s)
{
    int r = s->anew || is_another_now(s) ? permit_again(s) : 0;

    s->anew = s->binds = false;
    if (r == 0) {
        r = verb_of(s)->run(s);
    }
    if (is_unasked(s, r)) {
        answer_reset(s);
        return permit_refuse(s, STR(""), "do that: nobody asked whether");
    }
    return r;
}

static int run(struct op_state *s)
{
    int r = run_verb(s);

    if (r == NEEDS_FENCE) {
        s->stage = STAGE_PAUSE;
        return submit_fence(s);
    }
    if (r == ANSWERED && must_recheck(s)) {
        return recheck(s);
    }
    if (r == ANSWERED && may_recall(s)) {
        return submit_recall(s);
    }
    if (r != 0) {
        return r;
    }
    return verb_of(s)->class == WRITE ? submit_command(s) : ANSWERED;
}

/* What the key stands for; when nothing, the problem stands that made us ask.
 */
static int recalled(struct op_state *s)
{
    struct machine_result *result = &s->request.result;

    if (s->request.outcome != 0) {
        return ANSWERED;
    }
    if (!result->replayed && result->answer != ERR_KEY_REUSED) {
        return ANSWERED;
    }
    answer_reset(s);
    return 0;
}

static int try_again(struct op_state *s)
{
    if (s->tries >= SUBMIT_TRIES) {
        return answer_busy(s, "what the request names keeps changing");
    }
    submit_again(s);
    /* One entry of the log is on its way at a time, and what comes meanwhile
     * goes with the next. Somebody who changes the tree all the time does so in
     * every other entry, and we, resolving again after each of our own, could
     * be one entry late for ever: so we change the step. */
    if (s->tries % 2 == 0) {
        s->stage = STAGE_PAUSE;
        return submit_fence(s);
    }
    s->stage = STAGE_RUN;
    return 0;
}

/* A write that changed nothing reflects what this node has. A list is read
 * after it was put, and may hold somebody's later change. */
static uint64_t reflected(struct op_state *s,
                          const struct machine_result *result)
{
    uint64_t etag = s->op->answer.etag;

    if (!result->changed) {
        return snapshot_newest(s->registry);
    }
    return !result->replayed && etag > result->revision ? etag
                                                        : result->revision;
}

/* The row is not the one that the write was allowed for. */
static bool is_another(const struct op_state *s,
                       const struct machine_result *result)
{
    return s->guard.retries && result->answer == ERR_PRECONDITION;
}

/* The machine is known now, or somebody else has used the token: who is it that
 * asks? */
static int go_on(struct op_state *s, const struct machine_result *result)
{
    if (result->answer != 0) {
        return try_again(s);
    }
    submit_again(s);
    s->stage = STAGE_RUN;
    return 0;
}

static bool is_binding(const struct op_state *s, int answer)
{
    return s->binds && (answer == 0 || answer == ERR_CONFLICT ||
                        answer == ERR_PRECONDITION);
}

static int result(struct op_state *s)
{
    struct machine_result *result = &s->request.result;

    int r = s->recalls ? recalled(s) : submit_outcome(s);
    if (r != 0) {
        return r;
    }
    if (result->answer == ERR_RETRY || is_another(s, result)) {
        return try_again(s);
    }
    if (is_binding(s, result->answer)) {
        return go_on(s, result);
    }
    s->op->answer.replayed = result->replayed;
    if (result->answer != 0) {
        return submit_refused(s, result);
    }
    r = verb_of(s)->finish(s, result);
    if (r != 0) {
        return r;
    }
    s->op->answer.revision = reflected(s, result);
    return ANSWERED;
}

static int step(struct op_state *s)
{
    switch (s->stage) {
    case STAGE_START:
        return start(s);
    case STAGE_REVISION:
        return see_revision(s);
    case STAGE_FENCE:
    case STAGE_PAUSE:
        return behind_fence(s);
    case STAGE_RUN:
        return run(s);
    case STAGE_RESULT:
        return result(s);
    }
    assert(false); /* a stage that is none */
    return ANSWERED;
}

/* ---- the turns of an op ---- */

static struct op_state *begin(struct registry *registry, struct op *op)
{
    struct op_state *s = arena_zero(op->arena, sizeof *s);

    assert(op->kind < OP_KINDS);
    s->op = op;
    s->registry = registry;
    s->arena = op->arena;
    op->state = s;
    if (verb_of(s)->secret) {
        arena_secret(op->arena);
    }
    return s;
}

static void fail(struct op_state *s, int fault)
{
    log_error(LOG_CORE, "an operation failed", LOG_TXT("op", verb_of(s)->name),
              LOG_TXT("why", err_text(fault)), LOG_TXT("at", err_origin()));
    answer_reset(s);
    (void)answer_problem(s, OP_INTERNAL, STR(""),
                         "this node could not read what it keeps: its log says "
                         "why. Ask another node");
}

/* Errors too say what they reflect. */
static void settle(struct op_state *s)
{
    if (s->op->answer.revision == 0) {
        s->op->answer.revision = snapshot_newest(s->registry);
    }
    snapshot_show(s->registry, s->op->answer.revision);
}

enum op_step registry_run(struct registry *registry, struct op *op,
                          struct store_reader *reader)
{
    struct op_state *s = op->state != NULL ? op->state : begin(registry, op);
    int r;

    s->reader = reader;
    s->on_worker = s->said == OP_WORK && !op->no_worker;
    s->said = OP_WAIT;
    do {
        r = step(s);
    } while (r == 0);
    if (r == WAITS) {
        return OP_WAIT; /* `s` may be another thread's by now. */
    }
    if (r == NEEDS_WORKER) {
        assert(!s->on_worker);
        return s->said = OP_WORK;
    }
    if (r == PARKS) {
        return s->said = OP_PARK;
    }
    if (r != ANSWERED) { /* A lower room's no that nobody has put in words: it
                            must not pass for a yes. */
        fail(s, r);
    }
    settle(s);
    audited_end(s);
    return s->said = OP_DONE;
}

void registry_op_done(struct registry *registry, struct op *op)
{
    struct op_state *s = op->state;

    (void)registry;
    if (s == NULL) {
        return;
    }
    audited_given_up(s);
    if (verb_of(s)->end != NULL) {
        verb_of(s)->end(s);
    }
    permit_end(s);
    types_release(s);
    cached_end(s);
    asks_end(s);
    if (s->submitted) {
        machine_result_done(&s->request.result);
    }
    buf_done(&s->bytes);
    s->retry = arena_free(s->retry);
    op->state = NULL;
}
