/* /leader: for those who send everything to one node. A leader that a quorum
 * has left does not know it yet: so it asks, which costs the others one small
 * message, whoever many ask at once. Nobody waits longer than a second.
 *
 *   ask ──► waiting ──► one fence is out for `sent` ──► told
 *              ▲              │
 *              └── come meanwhile: theirs is the next */
#include <assert.h>

#include "base/clock.h"
#include "model/json.h"
#include "registry/answer.h"
#include "registry/cluster.h"

enum { WAIT_MS = 1000 };

struct asker {
    struct asker *next;
    struct op_state *s;
    uint64_t until_ms;
    uint64_t term; /* in which this node led when it was asked */
    bool confirmed;
};

struct leader {
    struct core *core;
    struct core_request fence;
    pthread_mutex_t lock;
    bool out;
    struct asker *sent, *waiting;
};

struct leader *leader_new(struct core *core)
{
    struct leader *leader = mem_zero(sizeof *leader);

    leader->core = core;
    (void)pthread_mutex_init(&leader->lock, NULL);
    return leader;
}

struct leader *leader_free(struct leader *leader)
{
    assert(!leader->out && leader->waiting == NULL);
    (void)pthread_mutex_destroy(&leader->lock);
    return mem_free(leader);
}

/* Under the lock: whether a fence has to go out for those that wait. */
static bool begin(struct leader *leader)
{
    leader->sent = leader->waiting;
    leader->waiting = NULL;
    leader->out = leader->sent != NULL;
    return leader->out;
}

static void tell(struct asker *asker, bool confirmed)
{
    while (asker != NULL) {
        struct asker *next = asker->next; /* Once woken it may be gone. */
        asker->confirmed = confirmed;
        asker->s->op->wake(asker->s->op);
        asker = next;
    }
}

static void on_fence(struct core_request *request);

static void send(struct leader *leader)
{
    leader->fence =
        (struct core_request){.shrinks = true, .local = true, .done = on_fence};
    core_submit(leader->core, &leader->fence);
}

static void on_fence(struct core_request *request)
{
    struct leader *leader = CONTAINER(request, struct leader, fence);
    bool confirmed = request->outcome == 0;

    (void)pthread_mutex_lock(&leader->lock);
    struct asker *told = leader->sent;
    bool more = begin(leader);
    (void)pthread_mutex_unlock(&leader->lock);
    if (more) {
        send(leader);
    }
    tell(told, confirmed);
}

static int confirm(struct op_state *s, struct asker *asker)
{
    struct leader *leader = s->registry->leader;

    asker->s = s;
    asker->until_ms = clock_mono_ms() + WAIT_MS;
    (void)pthread_mutex_lock(&leader->lock);
    asker->next = leader->waiting;
    leader->waiting = asker;
    bool goes = !leader->out && begin(leader);
    (void)pthread_mutex_unlock(&leader->lock);
    if (goes) {
        send(leader);
    }
    return WAITS;
}

static struct asker *take_due(struct asker **from, uint64_t mono_ms,
                              struct asker *due)
{
    while (*from != NULL) {
        struct asker *asker = *from;
        if (asker->until_ms > mono_ms) {
            from = &asker->next;
            continue;
        }
        *from = asker->next;
        asker->next = due;
        due = asker;
    }
    return due;
}

void leader_tick(struct leader *leader, uint64_t mono_ms)
{
    (void)pthread_mutex_lock(&leader->lock);
    struct asker *due = take_due(&leader->sent, mono_ms, NULL);
    due = take_due(&leader->waiting, mono_ms, due);
    (void)pthread_mutex_unlock(&leader->lock);
    tell(due, false);
}

/* ---- the answer ---- */

static int answer(struct op_state *s, const struct core_status *status,
                  bool leads)
{
    struct core_member leader = {0};
    struct buf out = {0};

    if (core_leader(s->registry->core, &leader) != 0 ||
        (leader.self && !leads)) {
        leader = (struct core_member){0};
    }
    buf_printf(&out, "{\"leader\":%s,\"id\":", leads ? "true" : "false");
    json_add_string(&out, str_of(leader.id));
    buf_add_text(&out, ",\"address\":");
    json_add_string(&out, str_of(leader.http));
    buf_printf(&out, ",\"term\":%llu}\n", (unsigned long long)status->term);
    (void)answer_ok(s, &out);
    if (!leads) {
        s->op->answer.code = OP_UNAVAILABLE;
        s->op->answer.retry_after_s = 1;
    }
    return 0;
}

int leader_get(struct op_state *s)
{
    struct core_status status = core_status(s->registry->core);
    struct asker *asker = s->memory;

    if (asker == NULL && status.leads) {
        asker = s->memory = arena_zero(s->op->arena, sizeof *asker);
        asker->term = status.term;
        return confirm(s, asker);
    }
    /* In one term nobody else led between the two looks. */
    return answer(s, &status,
                  asker != NULL && asker->confirmed && status.leads &&
                      status.term == asker->term);
}
