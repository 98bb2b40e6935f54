/* One change of libraft's configuration, or of the leader: begun, and known to
 * be over. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"

enum {
    PAUSE_MS = 300, /* after a change that failed */
    ATTEMPTS = 10,  /* to hand leadership over */
    ROUND_MS = 60 * 1000,
};

static void ended(struct change *change, int status, const char *what)
{
    change->busy = false;
    if (status != 0) {
        change->not_before_ms = clock_mono_ms() + PAUSE_MS;
        log_info(LOG_RAFT, what, LOG_U64("raft_id", change->raft_id),
                 LOG_TXT("why", raft_strerror(status)));
    }
}

static void changed(struct raft_change *request, int status)
{
    struct change *change = CONTAINER(request, struct change, change);
    ended(change, status, "a change of the members did not come about");
}

static void transferred(struct raft_transfer *request)
{
    struct change *change = CONTAINER(request, struct change, transfer);

    change->core->handing_over = false;
    ended(change, 0, "");
}

/* libraft takes one at a time, and leaks what it refuses: look first. */
bool change_may(const struct core *core, uint64_t now_ms)
{
    const struct raft *raft = &core->raft;
    const struct change *change = &core->members->change;

    return !change->busy && now_ms >= change->not_before_ms &&
           raft->state == RAFT_LEADER &&
           raft->configuration_uncommitted_index == 0 &&
           raft->leader_state.promotee_id == 0 &&
           raft->leader_state.transferee == 0;
}

/* Refused at the door nothing has happened. Any other error comes after libraft
 * 0.22.1 has taken the entry into one of its indexes of the log, and it must
 * not be asked for anything more: as log.c has it. */
static void refused(struct core *core, int r)
{
    struct change *change = &core->members->change;

    core->raft.legacy.change = NULL; /* raft_assign sets it too early. */
    switch (r) {
    case RAFT_NOTLEADER:
    case RAFT_CANTCHANGE:
    case RAFT_NOSPACE:
    case RAFT_BADROLE:
    case RAFT_BADID:
    case RAFT_NOTFOUND:
    case RAFT_DUPLICATEID:
    case RAFT_DUPLICATEADDRESS:
        ended(change, r, "a change of the members is refused");
        return;
    default:
        log_error(LOG_RAFT, "the log cannot take an entry: stopping",
                  LOG_TXT("why", raft_errmsg(&core->raft)),
                  LOG_U64("code", (uint64_t)r));
        abort();
    }
}

static void begin(struct core *core, uint64_t raft_id)
{
    struct change *change = &core->members->change;

    change->core = core;
    change->raft_id = raft_id;
    change->busy = true;
    change->transfers = false;
}

void change_add(struct core *core, const struct known *who)
{
    struct change *change = &core->members->change;
    struct buf text = {0};

    begin(core, who->raft_id);
    known_write(who, &text);
    int r = raft_add(&core->raft, &change->change, who->raft_id,
                     buf_text(&text), changed);
    buf_done(&text);
    if (r != 0) {
        refused(core, r);
    }
}

void change_assign(struct core *core, uint64_t raft_id, int role)
{
    struct change *change = &core->members->change;

    begin(core, raft_id);
    int r = raft_assign(&core->raft, &change->change, raft_id, role, changed);
    if (r != 0) {
        refused(core, r);
    }
}

void change_remove(struct core *core, uint64_t raft_id)
{
    struct change *change = &core->members->change;

    begin(core, raft_id);
    int r = raft_remove(&core->raft, &change->change, raft_id, changed);
    if (r != 0) {
        refused(core, r);
    }
}

/* A learner that falls silent while it becomes a voter is not waited for: until
 * that is over no other change can be made, and nobody else can lead. */
static void watch_promotion(struct core *core, uint64_t now_ms)
{
    raft_id id = core->raft.leader_state.promotee_id;
    bool ends = id != 0 && (core->members->leaving > 0 ||
                            !members_is_alive(core, id, now_ms));

    raft_set_max_catch_up_round_duration(&core->raft, ends ? 0 : ROUND_MS);
}

/* A promotion whose entry libraft could not submit is forgotten by it without a
 * word: nothing is under way, and it waits for ever. */
void change_look(struct core *core, uint64_t now_ms)
{
    struct change *change = &core->members->change;
    struct raft *raft = &core->raft;

    watch_promotion(core, now_ms);
    if (change->busy && !change->transfers &&
        raft->legacy.change == &change->change &&
        change->change.catch_up_id == 0 &&
        raft->configuration_uncommitted_index == 0 &&
        raft->leader_state.promotee_id == 0) {
        raft->legacy.change = NULL;
        ended(change, RAFT_NOSPACE, "a change of the members was dropped");
    }
}

/* ---- handing leadership over ---- */

/* The voter that is alive and has most of the log; 0: there is none. */
uint64_t change_best_voter(const struct core *core, uint64_t now_ms)
{
    const struct raft_configuration *list = &core->raft.configuration;
    uint64_t best = 0;
    raft_index most = 0;

    for (unsigned i = 0; i < list->n; i++) {
        const struct raft_server *server = &list->servers[i];
        raft_index match = 0;
        if (server->role == RAFT_VOTER && server->id != core->raft_id &&
            members_is_alive(core, server->id, now_ms) &&
            raft_match_index(&core->raft, server->id, &match) == 0 &&
            (best == 0 || match > most)) {
            best = server->id;
            most = match;
        }
    }
    return best;
}

/* No entry is begun from now on, and none is under way when it goes: libraft
 * says of such that their outcome is not known. */
bool change_leader(struct core *core, uint64_t raft_id)
{
    struct change *change = &core->members->change;

    core->handing_over = true;
    if (core->pack.in_flight) {
        return false;
    }
    begin(core, raft_id);
    change->transfers = true;
    int r = raft_transfer(&core->raft, &change->transfer, raft_id, transferred);
    if (r != 0) {
        core->handing_over = false;
        ended(change, r, "leadership cannot be handed over");
    }
    return true;
}

void members_hand_over(struct core *core)
{
    core->members->leaving = ATTEMPTS;
}

void change_leave(struct core *core, uint64_t now_ms)
{
    struct members *members = core->members;
    uint64_t to = change_best_voter(core, now_ms);

    if (to == 0) {
        members->leaving = 0; /* Nobody is there to take it. */
        core->handing_over = false;
    } else if (change_leader(core, to) && --members->leaving == 0) {
        log_warn(LOG_RAFT, "nobody takes leadership over");
    }
}
