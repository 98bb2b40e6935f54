/* Changes of the list of members: what a leader is asked for, and what it does
 * by itself. One at a time, as libraft has it.
 *
 * A wish waits in a row until its turn; then it is looked at again and again,
 * each time the change before is done, until what it wants is so:
 *
 *   JOIN      [remove the old one ─►] add as spare ─► assign stand-by ─► there
 *   REMOVE    [hand leadership over ─►] remove ─► not there
 *   TRANSFER  hand leadership over ─► another leads
 *
 * It says what is missing by looking at the configuration, not by what was
 * done: so the next leader goes on wherever this one stopped. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"
#include "raft/voters.h"

enum {
    RULE_MS = 500,
    PAUSE_MS = 300, /* after a change that failed */
    ATTEMPTS = 10,  /* to hand leadership over */
};

/* ---- one change ---- */

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
static bool may_change(const struct core *core, uint64_t now_ms)
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

static void add(struct core *core, const struct known *who)
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

static void assign(struct core *core, uint64_t raft_id, int role)
{
    struct change *change = &core->members->change;

    begin(core, raft_id);
    int r = raft_assign(&core->raft, &change->change, raft_id, role, changed);
    if (r != 0) {
        refused(core, r);
    }
}

static void remove_member(struct core *core, uint64_t raft_id)
{
    struct change *change = &core->members->change;

    begin(core, raft_id);
    int r = raft_remove(&core->raft, &change->change, raft_id, changed);
    if (r != 0) {
        refused(core, r);
    }
}

/* A promotion whose entry libraft could not submit is forgotten by it without a
 * word: nothing is under way, and it waits for ever. */
static void look_for_lost(struct core *core)
{
    struct change *change = &core->members->change;
    struct raft *raft = &core->raft;

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
static uint64_t best_voter(const struct core *core, uint64_t now_ms)
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
static bool hand_over(struct core *core, uint64_t raft_id)
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

bool members_handing_over(const struct core *core)
{
    return core->members->leaving > 0;
}

static void leave_turn(struct core *core, uint64_t now_ms)
{
    struct members *members = core->members;
    uint64_t to = best_voter(core, now_ms);

    if (to == 0) {
        members->leaving = 0; /* Nobody is there to take it. */
        core->handing_over = false;
    } else if (hand_over(core, to) && --members->leaving == 0) {
        log_warn(LOG_RAFT, "nobody takes leadership over");
    }
}

/* ---- wishes ---- */

static void answer(struct core *core, struct wish *wish, uint32_t code,
                   const char *why)
{
    struct members *members = core->members;
    struct buf reply = {0};

    members->wishes = wish->next;
    if (members->wishes == NULL) {
        members->wishes_end = &members->wishes;
    }
    members->n_wishes--;
    if (!members->change.busy) {
        core->handing_over = false;
    }
    if (code == 0 && wish->kind == CORE_ASK_JOIN) {
        members_json(core, &reply);
    } else {
        buf_add_text(&reply, why);
    }
    core_answer(core, wish->asked, code, buf_str(&reply));
    buf_done(&reply);
    mem_free(wish);
}

static void answer_taken(struct core *core, struct wish *wish)
{
    char why[CORE_WHY];

    (void)snprintf(why, sizeof why,
                   "%s is a member with other data: remove it first (DELETE "
                   "/v1/cluster/nodes/%s)",
                   wish->who.id, wish->who.id);
    answer(core, wish, ERR_CONFLICT, why);
}

/* The member of that name; NULL: none. Its raft id is a name too, for one that
 * has never said another. */
static const struct raft_server *named(const struct core *core, const char *id)
{
    const struct raft_configuration *list = &core->raft.configuration;
    const struct raft_server *found = NULL;
    uint64_t number = 0;

    if (str_number(str_of(id), UINT64_MAX, &number) != 0) {
        number = 0;
    }
    pthread_mutex_lock(&core->members->lock);
    for (unsigned i = 0; i < list->n && found == NULL; i++) {
        const struct raft_server *server = &list->servers[i];
        struct known known = members_known(core, server);
        if (server->id == core->raft_id) {
            (void)snprintf(known.id, sizeof known.id, "%s", core->node_id);
        }
        if (strcmp(known.id, id) == 0 ||
            (known.id[0] == '\0' && server->id == number)) {
            found = server;
        }
    }
    pthread_mutex_unlock(&core->members->lock);
    return found;
}

/* Silence counts from the beginning of the leadership: a follower hears nobody
 * but its leader. */
static uint64_t silence(const struct core *core, uint64_t raft_id,
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

static size_t see(const struct core *core, uint64_t now_ms,
                  struct voter list[CORE_MEMBERS_MOST])
{
    const struct raft_configuration *servers = &core->raft.configuration;
    size_t n = 0;

    for (unsigned i = 0; i < servers->n && n < CORE_MEMBERS_MOST; i++) {
        uint64_t id = servers->servers[i].id;
        bool votes = servers->servers[i].role == RAFT_VOTER;
        bool self = id == core->raft_id;
        bool alive = members_is_alive(core, id, now_ms);
        list[n++] = (struct voter){
            .votes = votes,
            .leads = self,
            .alive = alive,
            .gone = !self &&
                    silence(core, id, now_ms) >= core->config.voter_timeout_ms,
            .ready = !votes && alive && members_is_caught_up(core, id) &&
                     servers->servers[i].role == RAFT_STANDBY,
        };
    }
    return n;
}

/* Why a member may not be removed now, or NULL. */
static const char *keep(const struct core *core, uint64_t raft_id,
                        uint64_t now_ms)
{
    struct voter list[CORE_MEMBERS_MOST];
    const struct raft_configuration *servers = &core->raft.configuration;
    size_t n = see(core, now_ms, list);

    for (unsigned i = 0; i < n; i++) {
        if (servers->servers[i].id == raft_id) {
            return voters_keep(list, n, i);
        }
    }
    return NULL;
}

/* ---- JOIN ---- */

/* What it says about itself does not fit, or NULL. */
static const char *misfit(const struct core *core, const struct wish *wish,
                          char why[CORE_WHY])
{
    uint64_t level = core_feature_level(core);

    if (strcmp(wish->domain, core->domain) != 0) {
        (void)snprintf(
            why, CORE_WHY,
            "the registry has the domain '%.80s', not '%.80s': start "
            "with that --domain",
            core->domain, wish->domain);
        return why;
    }
    if (level < wish->who.level_least || level > wish->who.level_most) {
        (void)snprintf(why, CORE_WHY,
                       "version %s understands feature levels %u to %u and the "
                       "cluster is at %llu (leader: version %s): use a version "
                       "that is nearer",
                       wish->who.version, wish->who.level_least,
                       wish->who.level_most, (unsigned long long)level,
                       ROSTER_VERSION);
        return why;
    }
    return NULL;
}

/* Takes the place of one of the same name, whose directory is gone. */
static void replace(struct core *core, struct wish *wish, uint64_t old,
                    uint64_t now_ms)
{
    uint64_t silent = silence(core, old, now_ms);
    const char *why = keep(core, old, now_ms);

    if (old == core->raft_id || silent < GONE_MS) {
        char told[CORE_WHY];
        (void)snprintf(told, sizeof told,
                       "another %s was heard %llu ms ago: it is replaced when "
                       "it has been silent for %d ms",
                       wish->who.id,
                       (unsigned long long)(old == core->raft_id ? 0 : silent),
                       GONE_MS);
        answer(core, wish, ERR_CONFLICT, told);
    } else if (why != NULL) {
        answer(core, wish, ERR_CONFLICT, why);
    } else {
        log_info(LOG_RAFT,
                 "a node came back without its data: the old one is "
                 "removed",
                 LOG_TXT("id", wish->who.id), LOG_U64("raft_id", old));
        remove_member(core, old);
    }
}

static void admit(struct core *core, struct wish *wish)
{
    if (core->raft.configuration.n >= CORE_MEMBERS_MOST) {
        answer(core, wish, ERR_FULL, "the cluster has as many nodes as it can");
        return;
    }
    log_info(LOG_RAFT, "a node joins", LOG_TXT("id", wish->who.id),
             LOG_TXT("raft", wish->who.raft),
             LOG_U64("raft_id", wish->who.raft_id));
    pthread_mutex_lock(&core->members->lock);
    (void)known_learn(core->members, &wish->who);
    pthread_mutex_unlock(&core->members->lock);
    /* Its voice is waited for as if it had just been heard. */
    add(core, &wish->who);
}

static void join(struct core *core, struct wish *wish, uint64_t now_ms)
{
    const struct raft_server *server = members_server(core, wish->who.raft_id);
    const struct raft_server *same = named(core, wish->who.id);
    char why[CORE_WHY];

    if (server != NULL && server->role != RAFT_SPARE) {
        answer(core, wish, 0, "");
    } else if (server != NULL) {
        assign(core, server->id, RAFT_STANDBY);
    } else if (misfit(core, wish, why) != NULL) {
        answer(core, wish, ERR_CONFLICT, why);
    } else if (same != NULL && wish->replaces) {
        replace(core, wish, same->id, now_ms);
    } else if (same != NULL) {
        answer_taken(core, wish);
    } else {
        admit(core, wish);
    }
}

/* ---- REMOVE, TRANSFER ---- */

static void remove_wished(struct core *core, struct wish *wish, uint64_t now_ms)
{
    const struct raft_server *server = named(core, wish->who.id);
    const char *why = NULL;

    if (server == NULL) {
        answer(core, wish, wish->begun ? 0 : ERR_NOT_FOUND,
               "no member has this id");
        return;
    }
    why = keep(core, server->id, now_ms);
    if (why != NULL) {
        answer(core, wish, ERR_CONFLICT, why);
    } else if (server->id == core->raft_id) {
        uint64_t to = best_voter(core, now_ms);
        if (to == 0 || wish->attempts == ATTEMPTS) {
            answer(core, wish, ERR_CONFLICT,
                   "it leads, and no other voter can take that over");
            return;
        }
        /* The next leader is asked again. */
        wish->attempts += hand_over(core, to) ? 1 : 0;
    } else {
        log_info(LOG_RAFT, "a member is removed", LOG_TXT("id", wish->who.id),
                 LOG_U64("raft_id", server->id));
        wish->begun = true;
        remove_member(core, server->id);
    }
}

static void transfer(struct core *core, struct wish *wish, uint64_t now_ms)
{
    const struct raft_server *server = NULL;
    uint64_t to = 0;

    if (wish->leaves != 0 && wish->leaves != core->raft_id) {
        answer(core, wish, 0, "");
        return;
    }
    if (wish->who.id[0] == '\0') {
        to = best_voter(core, now_ms);
    } else {
        server = named(core, wish->who.id);
        to = server == NULL ? 0 : server->id;
    }
    if (server == NULL && wish->who.id[0] != '\0') {
        answer(core, wish, ERR_NOT_FOUND, "no member has this id");
    } else if (to == core->raft_id) {
        answer(core, wish, 0, "");
    } else if (to == 0 || !members_is_voter(core, to)) {
        answer(core, wish, ERR_CONFLICT,
               to == 0 ? "there is no other voter that is alive"
                       : "it is no voter");
    } else if (!members_is_alive(core, to, now_ms) ||
               wish->attempts == ATTEMPTS) {
        answer(core, wish, ERR_CONFLICT,
               "it is not alive, or too far behind to take leadership over");
    } else if (hand_over(core, to)) {
        wish->attempts++;
        wish->begun = true;
    }
}

static void wish_turn(struct core *core, struct wish *wish, uint64_t now_ms)
{
    switch (wish->kind) {
    case CORE_ASK_JOIN:
        join(core, wish, now_ms);
        return;
    case CORE_ASK_REMOVE:
        remove_wished(core, wish, now_ms);
        return;
    default:
        transfer(core, wish, now_ms);
    }
}

void members_ask(struct core *core, struct core_asked *asked)
{
    struct members *members = core->members;
    struct wish *wish = mem_zero(sizeof *wish);
    char why[CORE_WHY] = "the leader has too many changes to make";

    wish->asked = asked;
    wish->kind = asked->kind;
    int r = members->n_wishes == WISHES_MOST
                ? ERR_FULL
                : wish_parse(asked->request, wish, why);
    *members->wishes_end = wish;
    members->wishes_end = &wish->next;
    members->n_wishes++;
    if (r != 0) {
        /* It is the last: answered out of its turn. */
        struct wish **at = &members->wishes;
        while (*at != wish) {
            at = &(*at)->next;
        }
        *at = NULL;
        members->wishes_end = at;
        members->n_wishes--;
        core_answer(core, asked, (uint32_t)r, str_of(why));
        mem_free(wish);
    }
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
        assign(core, half->id, RAFT_STANDBY);
        return;
    }
    size_t n = see(core, now_ms, list);
    enum voters_step step = voters_next(list, n, core->config.voters, &at);
    if (step == VOTERS_STAY) {
        return;
    }
    log_info(LOG_RAFT,
             step == VOTERS_PROMOTE ? "a learner becomes a voter"
                                    : "a voter becomes a learner",
             LOG_U64("raft_id", servers->servers[at].id));
    assign(core, servers->servers[at].id,
           step == VOTERS_PROMOTE ? RAFT_VOTER : RAFT_STANDBY);
}

/* Who is asked by a node that leads no more sends them to the next. */
static void give_up(struct core *core)
{
    while (core->members->wishes != NULL) {
        struct wish *wish = core->members->wishes;
        bool done = wish->kind == CORE_ASK_TRANSFER && wish->begun;
        answer(core, wish, done ? 0 : ERR_RETRY, "");
    }
    core->members->leaving = 0;
    if (!core->members->change.busy) {
        core->handing_over = false;
    }
}

void membership_turn(struct core *core, uint64_t now_ms)
{
    struct members *members = core->members;

    if (core->raft.state != RAFT_LEADER) {
        give_up(core);
        return;
    }
    look_for_lost(core);
    /* What an older leader began is known when the epoch is applied. */
    if (!core->leading || !may_change(core, now_ms)) {
        return;
    }
    if (members->leaving > 0) {
        leave_turn(core, now_ms);
    } else if (members->wishes != NULL) {
        wish_turn(core, members->wishes, now_ms);
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
