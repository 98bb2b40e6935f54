/* What a leader does about its members by itself, and who may go. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"
#include "raft/voters.h"

enum {
    RULE_MS = 500,
    /* Of three heartbeats one was answered. It is looked at again soon, so
     * strict is better: what is taken for alive is counted on. */
    FRESH_MS = 3 * HEARTBEAT_MS,
};

/* Silence counts from the beginning of the leadership: a follower hears nobody
 * but its leader. */
uint64_t membership_silence(const struct core *core, uint64_t raft_id,
                            uint64_t now_ms)
{
    struct heard *heard = members_heard_of(core->members, raft_id);

    if (heard->since_term != core->raft.current_term) {
        heard->since_term = core->raft.current_term;
        heard->since_ms = now_ms;
    }
    return now_ms - (heard->ms > heard->since_ms ? heard->ms : heard->since_ms);
}

/* ---- the voters as voters.h sees them ---- */

static size_t see(const struct core *core, uint64_t since_ms, uint64_t now_ms,
                  struct voter list[CORE_MEMBERS_MOST])
{
    const struct raft_configuration *servers = &core->raft.configuration;
    size_t n = 0;

    for (unsigned i = 0; i < servers->n && n < CORE_MEMBERS_MOST; i++) {
        uint64_t id = servers->servers[i].id;
        bool votes = servers->servers[i].role == RAFT_VOTER;
        bool self = id == core->raft_id;
        bool alive =
            self || members_heard_of(core->members, id)->ms >= since_ms;
        list[n++] = (struct voter){
            .votes = votes,
            .leads = self,
            .alive = alive,
            .gone = !self && membership_silence(core, id, now_ms) >=
                                 core->config.voter_timeout_ms,
            .ready = !votes && alive && members_is_caught_up(core, id) &&
                     servers->servers[i].role == RAFT_STANDBY,
        };
    }
    return n;
}

/* Why a member may not be removed now, or NULL. */
const char *membership_keep(const struct core *core, uint64_t raft_id,
                            uint64_t since_ms, uint64_t now_ms)
{
    struct voter list[CORE_MEMBERS_MOST];
    const struct raft_configuration *servers = &core->raft.configuration;
    size_t n = see(core, since_ms, now_ms, list);

    for (unsigned i = 0; i < n; i++) {
        if (servers->servers[i].id == raft_id) {
            return voters_keep(list, n, i);
        }
    }
    return NULL;
}

/* ---- by itself ---- */

/* One that came in and was forgotten half-way, by a leader that is none any
 * more. */
static const struct raft_server *half_joined(const struct core *core)
{
    const struct raft_configuration *list = &core->raft.configuration;

    for (unsigned i = 0; i < list->n; i++) {
        if (list->servers[i].role == RAFT_SPARE) {
            return &list->servers[i];
        }
    }
    return NULL;
}

static void rule(struct core *core, uint64_t now_ms)
{
    const struct raft_configuration *servers = &core->raft.configuration;
    const struct raft_server *half = half_joined(core);
    struct voter list[CORE_MEMBERS_MOST];
    size_t at = 0;

    if (half != NULL) {
        change_assign(core, half->id, RAFT_STANDBY);
        return;
    }
    size_t n = see(core, now_ms - FRESH_MS, now_ms, list);
    enum voters_step step = voters_next(list, n, core->config.voters, &at);
    if (step == VOTERS_STAY) {
        return;
    }
    log_info(LOG_RAFT,
             step == VOTERS_PROMOTE ? "a learner becomes a voter"
                                    : "a voter becomes a learner",
             LOG_U64("raft_id", servers->servers[at].id));
    change_assign(core, servers->servers[at].id,
                  step == VOTERS_PROMOTE ? RAFT_VOTER : RAFT_STANDBY);
}

void membership_turn(struct core *core, uint64_t now_ms)
{
    struct members *members = core->members;

    if (core->raft.state != RAFT_LEADER) {
        wishes_give_up(core);
        members->leaving = 0;
        core->handing_over = core->handing_over && members->change.busy;
        return;
    }
    change_look(core, now_ms);
    /* What an older leader began is known when the epoch is applied. */
    if (!core->leading || !change_may(core, now_ms)) {
        return;
    }
    if (members->leaving > 0) {
        change_leave(core, now_ms);
    } else if (members->wishes != NULL) {
        wishes_turn(core, now_ms);
    } else if (now_ms - members->ruled_ms >= RULE_MS) {
        members->ruled_ms = now_ms;
        rule(core, now_ms);
    }
}

void membership_init(struct core *core)
{
    core->members->wishes_end = &core->members->wishes;
}

void membership_done(struct core *core)
{
    struct members *members = core->members;

    while (members->wishes != NULL) {
        struct wish *wish = members->wishes;
        members->wishes = wish->next;
        mem_free(wish);
    }
    buf_done(&members->feature.bytes);
}
