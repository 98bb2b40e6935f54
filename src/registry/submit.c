#include "registry/submit.h"

#include "registry/answer.h"
#include "registry/idem.h"
#include "registry/permit.h"

/* On the core thread. The op is its mouth's from here on. */
static void on_done(struct core_request *request)
{
    struct op_state *s = CONTAINER(request, struct op_state, request);

    s->op->wake(s->op);
}

static void end_result(struct op_state *s)
{
    if (s->submitted) {
        machine_result_done(&s->request.result);
        s->submitted = false;
    }
}

/* Nothing may touch `s` after core_submit: on_done can come first. */
static int submit(struct op_state *s, struct str bytes, bool shrinks)
{
    end_result(s);
    s->submitted = true;
    s->request = (struct core_request){
        .command = bytes,
        .shrinks = shrinks,
        .done = on_done,
    };
    core_submit(s->registry->core, &s->request);
    return WAITS;
}

static bool only_takes(const struct command_access *access)
{
    for (size_t i = 0; i < access->n_items; i++) {
        if (access->items[i].del == 0) {
            return false;
        }
    }
    return true;
}

/* May go through on a full disk. Who leaves a group makes it smaller. */
static bool shrinks(const struct op_state *s)
{
    const struct command *command = &s->command;

    return command_shrinks(command->kind) ||
           (command->kind == COMMAND_MAINT && command->maint.set == 0) ||
           (command->kind == COMMAND_ACCESS &&
            (only_takes(&command->access) || s->op->kind == OP_USER_DELETE ||
             s->op->kind == OP_MEMBER_DELETE));
}

/* Other nodes may be of a release that cannot read it. */
static bool is_too_new(struct op_state *s)
{
    if (core_feature_level(s->registry->core) >= MACHINE_FEATURE_CHANGES) {
        return false;
    }
    s->command.has_access = false;
    return s->command.kind == COMMAND_ACCESS;
}

int submit_command(struct op_state *s)
{
    if (is_too_new(s)) {
        return answer_busy(s, "the cluster is being upgraded: this is possible "
                              "once all nodes run a release that knows it");
    }
    idem_set(s);
    permit_stamp(s);
    bound_guard(s);
    buf_clear(&s->bytes);
    command_encode(&s->bytes, &s->command);
    s->tries++;
    s->stage = STAGE_RESULT;
    return submit(s, buf_str(&s->bytes), shrinks(s));
}

int submit_recall(struct op_state *s)
{
    /* The key is looked up before anything else; the tree revision, which never
     * is this, keeps the command from doing anything after. */
    s->command =
        (struct command){.kind = COMMAND_RECLAIM, .tree_rev = UINT64_MAX};
    s->recalls = true;
    return submit_command(s);
}

int submit_fence(struct op_state *s)
{
    s->fences++;
    return submit(s, STR_NONE, true);
}

static void on_fence(struct core_request *request)
{
    struct registry_fence *fence =
        CONTAINER(request, struct registry_fence, request);

    fence->holds = request->outcome == 0;
    fence->over(fence);
}

void registry_fence(struct registry *registry, struct registry_fence *fence)
{
    fence->request = (struct core_request){
        .shrinks = true, .asked_us = fence->asked_us, .done = on_fence};
    core_submit(registry->core, &fence->request);
}

void submit_again(struct op_state *s)
{
    end_result(s);
    if (s->retry == NULL) {
        s->retry = arena_new();
    } else {
        arena_reset(s->retry);
    }
    s->arena = s->retry;
    if (verbs[s->op->kind].secret) {
        arena_secret(s->retry);
    }
    s->anew = true;
    s->command = (struct command){0};
}

int submit_outcome(struct op_state *s)
{
    switch (s->request.outcome) {
    case 0:
        return 0;
    case ERR_FULL:
        return answer_problem(
            s, OP_NO_SPACE, STR(""),
            "the disk or the store's limit is nearly full: nothing that grows "
            "is taken, reads and deletes still work. Make room, then try "
            "again");
    case ERR_TOO_LARGE:
        return answer_problem(s, OP_TOO_LARGE, STR(""),
                              "the operation is larger than one entry of the "
                              "log may be: split it");
    case ERR_UNKNOWN:
        s->op->answer.outcome_unknown = true;
        return answer_problem(
            s, OP_OUTCOME_UNKNOWN, STR(""),
            "the leader was lost while waiting: the write may have been done, "
            "or not. Read to find out, or repeat it with an Idempotency-Key");
    default:
        return answer_busy(s, "there is no leader now, nothing was done");
    }
}
