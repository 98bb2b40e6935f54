/* A member that hears no leader goes round and shakes hands with everybody it
 * has ever known, and with everybody in its --cluster. Three things come of it
 * that nothing else brings:
 *
 *   - one that has moved is found again: a handshake says where it is now. A
 *     voter would be found by the votes it asks for; a learner asks for none;
 *   - one that was removed while it was away learns it, also as a learner;
 *   - why it has no leader is in its log: another cluster, another version. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"

enum {
    SILENT_MS = 2 * ELECTION_MS,
    BETWEEN_MS = 200, /* two dials */
    DIAL_MS = 1000,
    SAY_MS = 30 * 1000,
};

struct announced {
    struct peer_dialling dialling;
    struct core_call call;
    struct core *core;
};

/* Only a word that is new, and now and then an old one. */
static void say(struct core *core, const struct peer_dialling *d)
{
    struct announce *announce = &core->members->announce;
    uint64_t now_ms = clock_mono_ms();

    if (strcmp(announce->said, d->why) == 0 &&
        now_ms - announce->said_ms < SAY_MS) {
        return;
    }
    announce->said_ms = now_ms;
    (void)snprintf(announce->said, sizeof announce->said, "%s", d->why);
    log_warn(LOG_RAFT, "no leader is heard, and a node refuses this one",
             LOG_TXT("address", d->address), LOG_TXT("why", d->why));
}

static void dial_ended(struct core_call *call)
{
    struct announced *announced = CONTAINER(call, struct announced, call);
    struct peer_dialling *d = &announced->dialling;
    struct core *core = announced->core;

    core->members->announce.dialling = false;
    if (d->r == 0) {
        members_learn(core, &d->other);
        (void)close(d->fd); /* What was to be said is said. */
    } else if (d->r == PEER_REMOVED) {
        members_removed(core);
    } else if (d->r > 0 && d->r != PEER_BUSY) {
        say(core, d);
    }
    mem_free(announced);
}

static void dial_done(struct peer_dialling *dialling)
{
    struct announced *announced =
        CONTAINER(dialling, struct announced, dialling);
    core_call(announced->core, &announced->call);
}

/* The address at that place of all that are known in any way; "": none. Fewer
 * than `at` there are when false. Under the lock. */
static bool at_place(const struct core *core, size_t at, const char **ret_place)
{
    const struct members *members = core->members;
    const struct list *list = &members->list;
    size_t n_known = members->n_shown + members->n_known;

    if (at < members->n_shown) {
        const struct core_member *shown = &members->shown[at];
        *ret_place = shown->self ? "" : shown->raft;
    } else if (at < n_known) {
        const struct known *known = &members->known[at - members->n_shown];
        *ret_place =
            known_is_removed(members, known->raft_id) ? "" : known->raft;
    } else if (at < n_known + list->n) {
        const struct list_entry *entry = &list->entries[at - n_known];
        *ret_place = strcmp(entry->id, core->node_id) == 0 ? "" : entry->raft;
    } else {
        return false;
    }
    return true;
}

/* Whose turn it is; false: nobody's. */
static bool next_address(struct core *core, char ret_address[PEER_ADDRESS])
{
    struct members *members = core->members;
    const char *place = "";

    pthread_mutex_lock(&members->lock);
    if (!at_place(core, members->announce.next++, &place)) {
        members->announce.next = 0;
    }
    (void)snprintf(ret_address, PEER_ADDRESS, "%s", place);
    pthread_mutex_unlock(&members->lock);
    return ret_address[0] != '\0';
}

static void announce_to_next(struct core *core)
{
    struct announced *announced = mem_zero(sizeof *announced);
    struct peer_dialling *d = &announced->dialling;

    announced->core = core;
    announced->call.func = dial_ended;
    d->kind = PEER_RAFT;
    d->timeout_ms = DIAL_MS;
    d->done = dial_done;
    members_self(core, &d->self);
    if (next_address(core, d->address) && peer_dial(core->peer, d) == 0) {
        core->members->announce.dialling = true;
    } else {
        mem_free(announced);
    }
}

void announce_turn(struct core *core, uint64_t now_ms)
{
    struct announce *announce = &core->members->announce;

    if (core->raft.state == RAFT_LEADER || atomic_load(&core->status.follows) ||
        announce->silent_ms == 0) {
        announce->silent_ms = now_ms;
    }
    if (now_ms - announce->silent_ms >= SILENT_MS && !announce->dialling &&
        now_ms - announce->dialled_ms >= BETWEEN_MS && !core->stopping) {
        announce->dialled_ms = now_ms;
        announce_to_next(core);
    }
}
