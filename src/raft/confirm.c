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
 * All who wait share a round; who comes while one is out waits for the next. */
#include "base/clock.h"
#include "base/err.h"
#include "base/wake.h"
#include "raft/inside.h"

void confirm_add(struct core *core, struct core_request *fence)
{
    fence->link.next = core->confirm.waiting;
    core->confirm.waiting = &fence->link;
}

static void finish(struct core *core)
{
    struct queue_link *link = core->confirm.first;

    core->confirm.first = NULL;
    core->confirm.out = false;
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
        links_confirm(core, core->raft.current_term, confirm->seq);
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
    if (core->confirm.out) {
        links_confirm(core, core->raft.current_term, core->confirm.seq);
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

    core->confirm.out = false;
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
