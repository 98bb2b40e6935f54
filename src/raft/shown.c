/* The members as other threads see them: a copy, made when something changed
 * and now and then. */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"

static const char *state_of(const struct core *core, uint64_t raft_id,
                            uint64_t now_ms)
{
    struct raft *raft = (struct raft *)&core->raft;
    raft_index match = 0;

    if (raft_id == core->raft_id) {
        return "self";
    }
    if (raft_state(raft) != RAFT_LEADER ||
        raft_match_index(raft, raft_id, &match) != 0) {
        return "unknown";
    }
    if (!members_is_alive(core, raft_id, now_ms)) {
        return "probe";
    }
    /* What it has next is not in the log any more. */
    return match < raft->trail.offset ? "snapshot" : "pipeline";
}

static struct core_member show_one(const struct core *core,
                                   const struct raft_server *server,
                                   uint64_t leader, uint64_t now_ms)
{
    bool self = server->id == core->raft_id;
    struct known known = self ? members_own(core) : members_known(core, server);
    const struct heard *heard = members_heard_of(core->members, server->id);
    struct core_member member = {
        .raft_id = server->id,
        .role = server->role == RAFT_VOTER ? CORE_VOTER : CORE_LEARNER,
        .leads = server->id == leader,
        .self = self,
        .live = self || core->raft.state == RAFT_LEADER,
        .applied = self ? machine_view(core->machine).applied : heard->applied,
        .contact_ms = self             ? 0
                      : heard->ms == 0 ? UINT64_MAX
                                       : now_ms - heard->ms,
        .feature_level = known.level_most,
        .state = state_of(core, server->id, now_ms),
    };

    memcpy(member.id, known.id, sizeof member.id);
    memcpy(member.raft, known.raft, sizeof member.raft);
    memcpy(member.http, known.http, sizeof member.http);
    memcpy(member.version, known.version, sizeof member.version);
    return member;
}

static void show(struct core *core, uint64_t leader, uint64_t now_ms)
{
    const struct raft_configuration *list = &core->raft.configuration;
    struct members *members = core->members;
    size_t n = 0;

    pthread_mutex_lock(&members->lock);
    bool differs = members->seen_version != members->version ||
                   members->n_shown != list->n;
    for (unsigned i = 0; i < list->n && n < CORE_MEMBERS_MOST; i++) {
        differs = differs || members->shown[n].raft_id != list->servers[i].id;
        members->shown[n++] = show_one(core, &list->servers[i], leader, now_ms);
    }
    members->n_shown = n;
    members->seen_version = members->version;
    members->table_version += differs ? 1 : 0;
    pthread_mutex_unlock(&members->lock);
    members->shown_ms = now_ms;
    atomic_store(&core->status.voter, members_is_voter(core, core->raft_id));
}

/* ---- changes of the configuration ---- */

static bool is_in(const struct raft_configuration *list, uint64_t raft_id)
{
    for (unsigned i = 0; i < list->n; i++) {
        if (list->servers[i].id == raft_id) {
            return true;
        }
    }
    return false;
}

/* [MEMBERS-1] */
static void note_removed(struct core *core)
{
    const struct raft_configuration *list = &core->raft.configuration_committed;
    struct members *members = core->members;
    bool self = false;

    pthread_mutex_lock(&members->lock);
    for (size_t i = 0; i < members->n_committed && list->n > 0; i++) {
        if (!is_in(list, members->committed[i])) {
            known_remove(members, members->committed[i]);
            self = self || members->committed[i] == core->raft_id;
        }
    }
    pthread_mutex_unlock(&members->lock);
    members->n_committed = 0;
    for (unsigned i = 0; i < list->n && i < CORE_MEMBERS_MOST; i++) {
        members->committed[members->n_committed++] = list->servers[i].id;
    }
    if (self) {
        members_removed(core);
    }
}

void members_removed(struct core *core)
{
    if (core->node_state == NODE_REMOVED) {
        return;
    }
    node_set_state(core, NODE_REMOVED);
    atomic_store(&core->status.removed, true);
    log_error(LOG_CORE, "this node was removed from the cluster: start it with "
                        "an empty --data-dir to join again");
    int r = node_write(core);
    if (r != 0) {
        /* It is told again after its next start. */
        log_warn(LOG_CORE, "that cannot be written down",
                 LOG_TXT("why", err_text(r)));
    }
}

static bool has_changed(struct core *core, uint64_t leader, uint64_t now_ms)
{
    struct members *members = core->members;
    const struct raft *raft = &core->raft;

    pthread_mutex_lock(&members->lock);
    bool changed = members->seen_version != members->version;
    pthread_mutex_unlock(&members->lock);
    changed =
        changed ||
        members->seen_committed != raft->configuration_committed_index ||
        members->seen_uncommitted != raft->configuration_uncommitted_index ||
        members->seen_leader != leader || members->seen_state != raft->state ||
        now_ms - members->shown_ms >= MEMBERS_TURN_MS;
    members->seen_committed = raft->configuration_committed_index;
    members->seen_uncommitted = raft->configuration_uncommitted_index;
    members->seen_leader = leader;
    members->seen_state = raft->state;
    return changed;
}

void members_turn(struct core *core, uint64_t now_ms)
{
    const char *address = NULL;
    raft_id leader = 0;

    if (!core->raft_inited || core->node_state == NODE_REMOVED) {
        return;
    }
    raft_leader(&core->raft, &leader, &address);
    if (core->raft.state == RAFT_LEADER) {
        leader = core->raft_id; /* Also while it hands over. */
    }
    if (has_changed(core, leader, now_ms)) {
        note_removed(core);
        show(core, leader, now_ms);
        known_save(core);
    }
    membership_turn(core, now_ms);
    announce_turn(core, now_ms);
    feature_turn(core);
}

/* ---- any thread ---- */

size_t core_members(const struct core *core,
                    struct core_member ret[CORE_MEMBERS_MOST])
{
    struct members *members = core->members;

    pthread_mutex_lock(&members->lock);
    size_t n = members->n_shown;
    memcpy(ret, members->shown, n * sizeof *ret);
    pthread_mutex_unlock(&members->lock);
    return n;
}

void core_cluster_id(const struct core *core, uint8_t ret[16])
{
    pthread_mutex_lock(&core->members->lock);
    memcpy(ret, core->cluster, 16);
    pthread_mutex_unlock(&core->members->lock);
}

int core_leader(const struct core *core, struct core_member *ret_leader)
{
    struct members *members = core->members;
    int r = ERR_NOT_FOUND;

    pthread_mutex_lock(&members->lock);
    for (size_t i = 0; i < members->n_shown; i++) {
        if (members->shown[i].leads) {
            *ret_leader = members->shown[i];
            r = 0;
        }
    }
    pthread_mutex_unlock(&members->lock);
    return r;
}
