/* What nodes ask each other before they belong together: texts in JSON over a
 * connection of its own (PEER_CALL), and the same texts as questions to the
 * leader. api/peer-protocol.md.
 *
 * WHO is answered from what this node is now. JOIN goes on to the leader, from
 * any member. */
#include "raft/called.h"

#include <stdio.h>

#include "base/err.h"
#include "model/json.h"
#include "raft/members.h"

/* ---- being called ---- */

struct passed {
    struct core_ask ask;
    struct peer_called *called;
    struct buf request;
};

static void reply_no(struct peer_called *called, uint32_t code, struct str why)
{
    struct buf reply = {0};

    buf_printf(&reply, "{\"code\":%u,\"detail\":", code);
    json_add_string(&reply, why);
    buf_add_char(&reply, '}');
    peer_reply(called, buf_str(&reply));
    buf_done(&reply);
}

static void passed_back(struct core_ask *ask)
{
    struct passed *passed = CONTAINER(ask, struct passed, ask);

    if (ask->outcome != 0) {
        reply_no(passed->called, ERR_NOT_READY, STR("there is no leader"));
    } else if (ask->code != 0) {
        reply_no(passed->called, ask->code, buf_str(&ask->reply));
    } else {
        peer_reply(passed->called, buf_str(&ask->reply));
    }
    buf_done(&ask->reply);
    buf_done(&passed->request);
    mem_free(passed);
}

static void pass_on(struct core *core, struct peer_called *called,
                    struct str request)
{
    struct passed *passed = mem_zero(sizeof *passed);

    buf_add_str(&passed->request, request);
    passed->called = called;
    passed->ask.kind = CORE_ASK_JOIN;
    passed->ask.request = buf_str(&passed->request);
    passed->ask.done = passed_back;
    core_ask(core, &passed->ask);
}

void members_called(struct core *core, struct peer_called *called,
                    const struct peer_id *from, struct str request)
{
    struct buf reply = {0};
    struct who who;

    (void)from;
    if (who_parse(request, &who) != 0) {
        reply_no(called, ERR_INVALID, STR("this is no call"));
    } else if (strcmp(who.call, "join") != 0) {
        form_who(core, &who, &reply);
        peer_reply(called, buf_str(&reply));
    } else if (!form_is_member(core)) {
        reply_no(called, ERR_NOT_READY, STR("this node is none yet"));
    } else {
        pass_on(core, called, request);
    }
    buf_done(&reply);
}

/* ---- letting in ---- */

static enum peer_verdict judge_levels(const struct core *core,
                                      const struct peer_id *from,
                                      char why[CORE_WHY])
{
    uint64_t level = core_feature_level(core);

    if (level == 0 ? from->level_most < feature_least(core) ||
                         from->level_least > feature_most(core)
                   : level < from->level_least || level > from->level_most) {
        (void)snprintf(
            why, CORE_WHY,
            "version %s understands feature levels %u to %u, this "
            "cluster is at %llu (version %s)",
            from->version, from->level_least, from->level_most,
            (unsigned long long)(level == 0 ? feature_most(core) : level),
            ROSTER_VERSION);
        return PEER_VERSION;
    }
    return PEER_OK;
}

/* Under the lock. A member may be unknown to one that is behind, and a leader
 * among them: only who leads says that somebody is none. */
static enum peer_verdict judge_member(const struct core *core,
                                      const struct peer_id *from,
                                      uint64_t expects, char why[CORE_WHY])
{
    const struct members *members = core->members;
    bool known = false, leads = false;

    if (memcmp(from->cluster, core->cluster, sizeof core->cluster) != 0) {
        char ours[CLUSTER_HEX + 1], theirs[CLUSTER_HEX + 1];
        cluster_hex(core->cluster, ours);
        cluster_hex(from->cluster, theirs);
        (void)snprintf(why, CORE_WHY,
                       "%s is of the cluster %s, this node is of %s",
                       from->name, theirs, ours);
        return PEER_WRONG_CLUSTER;
    }
    if (expects != 0 && expects != core->raft_id) {
        (void)snprintf(why, CORE_WHY, "this is %s, and not the node expected",
                       core->node_id);
        return PEER_WRONG_NODE;
    }
    if (known_is_removed(members, from->raft_id)) {
        (void)snprintf(why, CORE_WHY, "%s was removed from the cluster",
                       from->name);
        return PEER_REMOVED;
    }
    for (size_t i = 0; i < members->n_shown; i++) {
        known = known || members->shown[i].raft_id == from->raft_id;
        leads = leads || (members->shown[i].leads && members->shown[i].self);
    }
    if (leads && !known) {
        (void)snprintf(why, CORE_WHY, "%s is no member of the cluster",
                       from->name);
        return PEER_NOT_MEMBER;
    }
    return PEER_OK;
}

enum peer_verdict members_judge(struct core *core, enum peer_kind kind,
                                const struct peer_id *from, uint64_t expects,
                                char why[CORE_WHY])
{
    struct members *members = core->members;

    enum peer_verdict verdict = judge_levels(core, from, why);
    if (verdict != PEER_OK || kind == PEER_CALL) {
        return verdict;
    }
    if (atomic_load(&core->status.removed)) {
        (void)snprintf(why, CORE_WHY, "this node was removed from the cluster");
        return PEER_BUSY;
    }
    if (!form_is_member(core)) {
        (void)snprintf(why, CORE_WHY, "this node is none yet");
        return PEER_BUSY;
    }
    pthread_mutex_lock(&members->lock);
    verdict = judge_member(core, from, expects, why);
    pthread_mutex_unlock(&members->lock);
    return verdict;
}
