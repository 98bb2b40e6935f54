/* That this node still leads: said by a majority of the voters, after it was
 * asked.
 *
 * A voter answers a round when its term is the leader's. It answers after the
 * round began, so at that moment it had voted for nobody in a later term; and
 * whoever is elected later needs the vote of one of this majority, given after
 * its answer. So when the round began, no other node could have committed
 * anything that this leader does not know of: what it has applied by then holds
 * every write that anybody was told is done (ReadIndex, Ongaro's thesis 6.4).
 * No clock is asked. The leader must have committed an entry of its own term
 * before: `leading` says so.
 *
 * All who wait share a round; who comes while one is out waits for the next.
 *
 * A voter that asks for a fence itself has said its term with that, after the
 * read began: it need not be asked, and nobody else if it makes a majority with
 * this node.
 *
 * Each who is asked costs both sides a message and a wake, and a majority will
 * do: those are asked that made the last one. When that does not come in time,
 * all are; so it is now and then in any case, for another may be quicker now.
 */
#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/wake.h"
#include "raft/inside.h"

enum { LATE_MS = 5 };

static void ask(struct core *core, const uint64_t *raft_ids, size_t n)
{
    links_confirm(core, core->raft.current_term, core->confirm.seq, raft_ids,
                  n);
}

static void on_late(uv_timer_t *timer)
{
    struct core *core = CONTAINER(timer, struct core, confirm.late);

    ask(core, NULL, 0);
}

void confirm_init(struct core *core)
{
    int r = uv_timer_init(&core->loop, &core->confirm.late);

    assert(r == 0);
    (void)r;
}

void confirm_add(struct core *core, struct core_request *fence)
{
    fence->link.next = core->confirm.waiting;
    core->confirm.waiting = &fence->link;
}

bool confirm_is_made(const struct core *core, const struct core_request *fence)
{
    return fence->guest && members_is_voter(core, fence->raft_id) &&
           members_is_voter(core, core->raft_id) &&
           members_voters(core) / 2 < 2;
}

static void finish(struct core *core)
{
    struct confirm *confirm = &core->confirm;
    struct queue_link *link = TAKE(confirm->first);

    confirm->out = false;
    confirm->n_quick = confirm->n;
    memcpy(confirm->quick, confirm->by, confirm->n * sizeof confirm->by[0]);
    (void)uv_timer_stop(&confirm->late);
    wake_hold();
    while (link != NULL) {
        struct core_request *fence = request_of(link);
        link = link->next;
        fence->index = machine_view(core->machine).applied;
        order_complete(core, fence, 0);
    }
    wake_release();
}

static void count(struct core *core)
{
    if (core->confirm.n > members_voters(core) / 2) {
        finish(core);
    }
}

/* Whether those who made the last majority can make one now. */
static bool quick_will_do(const struct core *core)
{
    const struct confirm *confirm = &core->confirm;
    size_t n = 0;

    for (size_t i = 0; i < confirm->n_quick; i++) {
        uint64_t raft_id = confirm->quick[i];
        n += members_is_voter(core, raft_id) &&
             (raft_id == core->raft_id || links_have(core, raft_id));
    }
    return n > members_voters(core) / 2;
}

static void ask_first(struct core *core)
{
    struct confirm *confirm = &core->confirm;

    if (quick_will_do(core)) {
        ask(core, confirm->quick, confirm->n_quick);
        (void)uv_timer_start(&confirm->late, on_late, LATE_MS, 0);
    } else {
        ask(core, NULL, 0);
    }
}

static void begin(struct core *core)
{
    struct confirm *confirm = &core->confirm;

    confirm->first = confirm->waiting;
    confirm->waiting = NULL;
    confirm->out = true;
    confirm->seq++;
    confirm->n = 0;
    if (members_is_voter(core, core->raft_id)) {
        confirm->by[confirm->n++] = core->raft_id;
    }
    if (members_voters(core) > 1) {
        COUNT(core, rounds, 1);
        ask_first(core);
    }
    count(core);
}

void confirm_turn(struct core *core)
{
    if (core->leading && !core->confirm.out && core->confirm.waiting != NULL) {
        begin(core);
    }
}

void confirm_tick(struct core *core)
{
    core->confirm.n_quick = 0;
    if (core->confirm.out) {
        ask(core, NULL, 0);
    }
}

void confirm_heard(struct core *core, uint64_t raft_id, uint64_t term,
                   uint64_t seq)
{
    struct confirm *confirm = &core->confirm;

    if (!confirm->out || seq != confirm->seq || !core->leading ||
        term != core->raft.current_term || !members_is_voter(core, raft_id)) {
        return;
    }
    for (size_t i = 0; i < confirm->n; i++) {
        if (confirm->by[i] == raft_id) {
            return;
        }
    }
    if (confirm->n < CORE_MEMBERS_MOST) {
        confirm->by[confirm->n++] = raft_id;
    }
    count(core);
}

void confirm_lose(struct core *core)
{
    struct queue_link **lists[] = {&core->confirm.first,
                                   &core->confirm.waiting};

    if (core->confirm.out) {
        core->confirm.out = false;
        (void)uv_timer_stop(&core->confirm.late);
    }
    for (size_t i = 0; i < 2; i++) {
        while (*lists[i] != NULL) {
            struct core_request *fence = request_of(*lists[i]);
            *lists[i] = fence->link.next;
            if (fence->guest || core->stopping) {
                order_complete(core, fence, ERR_NOT_READY);
            } else {
                order_wait(core, fence);
            }
        }
    }
}
