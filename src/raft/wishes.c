/* Changes of the list of members that a leader is asked for, one at a time, as
 * libraft has it.
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

enum { ATTEMPTS = 10 }; /* to hand leadership over */

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

static void answer_none(struct core *core, struct wish *wish, uint32_t code)
{
    char why[CORE_WHY];

    (void)snprintf(why, sizeof why,
                   "no node has the id '%s': GET /v1/cluster lists them",
                   wish->who.id);
    answer(core, wish, code, why);
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

/* The others are heard anew before it is said that they are not there. */
static void answer_kept(struct core *core, struct wish *wish, const char *why,
                        uint64_t now_ms)
{
    if (members_voters(core) <= 1 || now_ms - wish->since_ms >= ALIVE_MS) {
        answer(core, wish, ERR_CONFLICT, why);
    }
}

/* Takes the place of one of the same name, whose directory is gone. */
static void replace(struct core *core, struct wish *wish, uint64_t old,
                    uint64_t now_ms)
{
    uint64_t silent = membership_silence(core, old, now_ms);
    uint64_t most = core->config.voter_timeout_ms;
    const char *why = membership_keep(core, old, wish->since_ms, now_ms);

    most = most < GONE_MS ? most : GONE_MS;
    if (old == core->raft_id || silent < most) {
        char told[CORE_WHY];
        (void)snprintf(told, sizeof told,
                       "another %s was heard %llu ms ago: it is replaced when "
                       "it has been silent for %llu ms",
                       wish->who.id,
                       (unsigned long long)(old == core->raft_id ? 0 : silent),
                       (unsigned long long)most);
        answer(core, wish, ERR_CONFLICT, told);
    } else if (why != NULL) {
        answer_kept(core, wish, why, now_ms);
    } else {
        log_info(LOG_RAFT,
                 "a node came back without its data: the old one is "
                 "removed",
                 LOG_TXT("id", wish->who.id), LOG_U64("raft_id", old));
        change_remove(core, old);
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
    change_add(core, &wish->who);
}

static bool was_removed(const struct core *core, uint64_t raft_id)
{
    pthread_mutex_lock(&core->members->lock);
    bool removed = known_is_removed(core->members, raft_id);
    pthread_mutex_unlock(&core->members->lock);
    return removed;
}

static void join(struct core *core, struct wish *wish, uint64_t now_ms)
{
    const struct raft_server *server = members_server(core, wish->who.raft_id);
    const struct raft_server *same = named(core, wish->who.id);
    char why[CORE_WHY];

    if (server != NULL) {
        /* It may ask again from another place. */
        pthread_mutex_lock(&core->members->lock);
        (void)known_learn(core->members, &wish->who);
        pthread_mutex_unlock(&core->members->lock);
    }
    if (server != NULL && server->role != RAFT_SPARE) {
        answer(core, wish, 0, "");
    } else if (server != NULL) {
        change_assign(core, server->id, RAFT_STANDBY);
    } else if (was_removed(core, wish->who.raft_id)) {
        answer(core, wish, ERR_CONFLICT,
               "it was removed from the cluster: start it with an empty "
               "--data-dir");
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
        answer_none(core, wish, wish->begun ? 0 : ERR_NOT_FOUND);
        return;
    }
    why = membership_keep(core, server->id, wish->since_ms, now_ms);
    if (why != NULL) {
        answer_kept(core, wish, why, now_ms);
    } else if (server->id == core->raft_id) {
        uint64_t to = change_best_voter(core, now_ms);
        if (to == 0 || wish->attempts == ATTEMPTS) {
            answer(core, wish, ERR_CONFLICT,
                   "it leads, and no other voter can take that over");
            return;
        }
        /* The next leader is asked again. */
        wish->attempts += change_leader(core, to) ? 1 : 0;
    } else {
        log_info(LOG_RAFT, "a member is removed", LOG_TXT("id", wish->who.id),
                 LOG_U64("raft_id", server->id));
        wish->begun = true;
        change_remove(core, server->id);
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
        to = change_best_voter(core, now_ms);
    } else {
        server = named(core, wish->who.id);
        to = server == NULL ? 0 : server->id;
    }
    if (server == NULL && wish->who.id[0] != '\0') {
        answer_none(core, wish, ERR_NOT_FOUND);
    } else if (to == core->raft_id) {
        answer(core, wish, 0, "");
    } else if (to == 0 || !members_is_voter(core, to)) {
        answer(core, wish, ERR_CONFLICT,
               to == 0 ? "there is no other voter that is alive"
                       : "it is a learner: only a voter can lead");
    } else if (!members_is_alive(core, to, now_ms) ||
               wish->attempts == ATTEMPTS) {
        answer(core, wish, ERR_CONFLICT,
               "it is not alive, or too far behind to take leadership over");
    } else if (change_leader(core, to)) {
        wish->attempts++;
        wish->begun = true;
    }
}

static void look_at(struct core *core, struct wish *wish, uint64_t now_ms)
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
                ? ERR_NOT_READY
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

/* Who is asked by a node that leads no more sends them to the next. */
void wishes_give_up(struct core *core)
{
    while (core->members->wishes != NULL) {
        struct wish *wish = core->members->wishes;
        bool done = wish->kind == CORE_ASK_TRANSFER && wish->begun;
        answer(core, wish, done ? 0 : ERR_RETRY, "");
    }
}

void wishes_turn(struct core *core, uint64_t now_ms)
{
    struct wish *wish = core->members->wishes;

    if (wish != NULL) {
        wish->since_ms = wish->since_ms == 0 ? now_ms : wish->since_ms;
        look_at(core, wish, now_ms);
    }
}
