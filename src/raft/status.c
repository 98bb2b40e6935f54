/* What this node says of itself: whether it has a leader, and how old what it
 * serves may be. */
#include "base/clock.h"
#include "raft/inside.h"

enum {
    STALE_STEP_MS = 100,
    BEHIND_MOST = 2000, /* entries */
};

void status_heard(struct core *core, uint64_t now_ms)
{
    atomic_store(&core->status.heard_ms, now_ms);
    atomic_store(&core->status.follows, true);
}

static uint64_t quorum_heard(const struct core *core, uint64_t now_ms)
{
    return members_voters(core) <= 1 ? now_ms
                                     : members_quorum_heard_ms(core, now_ms);
}

static uint64_t leader_of(struct core *core)
{
    raft_id id = 0;
    const char *address = NULL;

    if (core->raft_inited) {
        raft_leader(&core->raft, &id, &address);
    }
    return id;
}

/* Every turn, so that nobody is sent to one that led before. */
void status_turn(struct core *core)
{
    atomic_store(&core->status.leader, leader_of(core));
}

void status_tick(struct core *core, uint64_t now_ms)
{
    bool leads = log_leads(core);
    uint64_t heard = atomic_load(&core->status.heard_ms);

    if (leads) {
        atomic_store(&core->status.heard_ms, quorum_heard(core, now_ms));
    }
    atomic_store(&core->status.follows,
                 !leads && core->raft_inited && heard != 0 &&
                     now_ms - heard < ELECTION_MS && leader_of(core) != 0);
    status_turn(core);
    atomic_store(&core->status.voter, members_is_voter(core, core->raft_id));
    atomic_store(&core->status.behind,
                 core->raft_inited && !leads &&
                     core->raft.commit_index >
                         machine_view(core->machine).applied + BEHIND_MOST);
}

uint64_t status_stale_ms(const struct core *core)
{
    uint64_t heard = atomic_load(&core->status.heard_ms);
    uint64_t now = clock_mono_ms();
    uint64_t age = heard == 0 || now < heard ? 0 : now - heard;

    if (atomic_load(&core->status.leads) && age < ELECTION_MS) {
        return 0;
    }
    if (heard == 0) {
        return now; /* Never since the start. */
    }
    return (age / STALE_STEP_MS + 1) * STALE_STEP_MS;
}
