/* Who belongs to the cluster, as this node sees it, and what it shows of that
 * to other threads. */
#include "raft/members.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "model/json.h"

/* ---- the configuration ---- */

const struct raft_server *members_server(const struct core *core,
                                         uint64_t raft_id)
{
    const struct raft_configuration *list = &core->raft.configuration;

    for (unsigned i = 0; core->raft_inited && i < list->n; i++) {
        if (list->servers[i].id == raft_id) {
            return &list->servers[i];
        }
    }
    return NULL;
}

bool members_is_voter(const struct core *core, uint64_t raft_id)
{
    const struct raft_server *server = members_server(core, raft_id);
    return server != NULL && server->role == RAFT_VOTER;
}

unsigned members_voters(const struct core *core)
{
    const struct raft_configuration *list = &core->raft.configuration;
    unsigned n = 0;

    for (unsigned i = 0; core->raft_inited && i < list->n; i++) {
        n += list->servers[i].role == RAFT_VOTER ? 1 : 0;
    }
    return n;
}

/* ---- who was heard ---- */

struct heard *members_heard_of(struct members *members, uint64_t raft_id)
{
    size_t at = 0;

    while (at < members->n_heard && members->heard[at].raft_id != raft_id) {
        at++;
    }
    if (at == KNOWN_MOST) {
        /* Full of those who were members once: the one heard longest ago. */
        at = 0;
        for (size_t i = 1; i < KNOWN_MOST; i++) {
            at = members->heard[i].ms < members->heard[at].ms ? i : at;
        }
        members->heard[at] = (struct heard){.raft_id = raft_id};
    } else if (at == members->n_heard) {
        members->heard[members->n_heard++] = (struct heard){.raft_id = raft_id};
    }
    return &members->heard[at];
}

void members_heard(struct core *core, uint64_t raft_id, uint64_t now_ms)
{
    members_heard_of(core->members, raft_id)->ms = now_ms;
}

bool members_is_alive(const struct core *core, uint64_t raft_id,
                      uint64_t now_ms)
{
    const struct heard *heard = members_heard_of(core->members, raft_id);

    return raft_id == core->raft_id ||
           (heard->ms != 0 && now_ms - heard->ms < ALIVE_MS);
}

bool members_is_caught_up(const struct core *core, uint64_t raft_id)
{
    raft_index match = 0;
    /* It only reads. */
    struct raft *raft = (struct raft *)&core->raft;

    return raft_state(raft) == RAFT_LEADER &&
           raft_match_index(raft, raft_id, &match) == 0 &&
           match + CAUGHT_UP >= raft_last_index(raft);
}

static int newest_first(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return *one > *other ? -1 : *one < *other;
}

uint64_t members_quorum_heard_ms(const struct core *core, uint64_t now_ms)
{
    const struct raft_configuration *list = &core->raft.configuration;
    uint64_t heard[CORE_MEMBERS_MOST];
    size_t n = 0;

    for (unsigned i = 0; i < list->n && n < CORE_MEMBERS_MOST; i++) {
        uint64_t id = list->servers[i].id;
        if (list->servers[i].role == RAFT_VOTER) {
            heard[n++] = id == core->raft_id
                             ? now_ms
                             : members_heard_of(core->members, id)->ms;
        }
    }
    if (n == 0) {
        return 0;
    }
    qsort(heard, n, sizeof heard[0], newest_first);
    return heard[n / 2];
}

/* ---- what is known ---- */

struct known members_known(const struct core *core,
                           const struct raft_server *server)
{
    struct members *members = core->members;
    struct known known;

    known_read(server->address, &known);
    known.raft_id = server->id;
    const struct known *more = known_find(members, server->id);
    const char *id = more != NULL && more->id[0] != '\0' ? more->id : known.id;
    const struct list_entry *entry = list_find(&members->list, id);
    if (entry != NULL) {
        (void)snprintf(known.raft, sizeof known.raft, "%s", entry->raft);
    }
    if (more != NULL) {
        struct known all = *more;
        /* Where this node was told to find it goes before where it says it is:
         * there may be a door of another's between them. But one that says
         * something new has gone elsewhere. */
        if (all.raft[0] == '\0' || (entry != NULL && !all.moved)) {
            memcpy(all.raft, known.raft, sizeof all.raft);
        }
        if (all.http[0] == '\0') {
            memcpy(all.http, known.http, sizeof all.http);
        }
        (void)snprintf(all.id, sizeof all.id, "%s",
                       known.id[0] != '\0' ? known.id : more->id);
        known = all;
    }
    return known;
}

struct known members_own(const struct core *core)
{
    const struct members *members = core->members;
    struct known known = {.raft_id = core->raft_id,
                          .level_least = feature_least(core),
                          .level_most = feature_most(core),
                          .recent = true};

    (void)snprintf(known.id, sizeof known.id, "%s", core->node_id);
    (void)snprintf(known.raft, sizeof known.raft, "%s", members->raft);
    (void)snprintf(known.http, sizeof known.http, "%s", members->http);
    (void)snprintf(known.version, sizeof known.version, "%s", ROSTER_VERSION);
    return known;
}

void members_self(const struct core *core, struct peer_id *ret_self)
{
    struct members *members = core->members;
    struct peer_id self = {.level_least = feature_least(core),
                           .level_most = feature_most(core)};

    pthread_mutex_lock(&members->lock);
    memcpy(self.cluster, core->cluster, sizeof self.cluster);
    self.raft_id = cluster_is_none(self.cluster) ? 0 : core->raft_id;
    (void)snprintf(self.name, sizeof self.name, "%s", core->node_id);
    (void)snprintf(self.raft, sizeof self.raft, "%s", members->raft);
    (void)snprintf(self.http, sizeof self.http, "%s", members->http);
    pthread_mutex_unlock(&members->lock);
    (void)snprintf(self.version, sizeof self.version, "%s", ROSTER_VERSION);
    *ret_self = self;
}

void members_learn(struct core *core, const struct peer_id *id)
{
    struct members *members = core->members;
    struct known known = {.raft_id = id->raft_id,
                          .level_least = id->level_least,
                          .level_most = id->level_most,
                          .recent = true};

    if (id->raft_id == 0) {
        return;
    }
    (void)snprintf(known.id, sizeof known.id, "%s", id->name);
    (void)snprintf(known.raft, sizeof known.raft, "%s", id->raft);
    (void)snprintf(known.http, sizeof known.http, "%s", id->http);
    (void)snprintf(known.version, sizeof known.version, "%s", id->version);
    pthread_mutex_lock(&members->lock);
    if (memcmp(id->cluster, core->cluster, sizeof core->cluster) == 0) {
        (void)known_learn(members, &known);
    }
    pthread_mutex_unlock(&members->lock);
}

int members_address(const struct core *core, uint64_t raft_id,
                    char ret_address[CORE_ADDRESS])
{
    struct members *members = core->members;
    int r = ERR_NOT_FOUND;

    pthread_mutex_lock(&members->lock);
    for (size_t i = 0; i < members->n_shown; i++) {
        if (members->shown[i].raft_id == raft_id &&
            members->shown[i].raft[0] != '\0') {
            (void)snprintf(ret_address, CORE_ADDRESS, "%s",
                           members->shown[i].raft);
            r = 0;
        }
    }
    /* libraft goes on asking for one that was removed. */
    const struct known *known = r == 0 || known_is_removed(members, raft_id)
                                    ? NULL
                                    : known_find(members, raft_id);
    if (known != NULL && known->raft[0] != '\0') {
        (void)snprintf(ret_address, CORE_ADDRESS, "%s", known->raft);
        r = 0;
    }
    pthread_mutex_unlock(&members->lock);
    return r;
}

void members_set_cluster(struct core *core, const uint8_t cluster[16])
{
    pthread_mutex_lock(&core->members->lock);
    memcpy(core->cluster, cluster, sizeof core->cluster);
    pthread_mutex_unlock(&core->members->lock);
}

/* ---- beginning and end ---- */

/* Where others reach this node: what was given, with the port that was really
 * taken when a free one was asked for. */
static void tell_raft(struct core *core, const char *bound)
{
    struct members *members = core->members;
    const struct list_entry *own = list_find(&members->list, core->node_id);
    const char *told = own != NULL ? own->raft : core->config.raft_address;

    if (told == NULL) {
        told = bound;
    }
    pthread_mutex_lock(&members->lock);
    size_t n = strlen(told);
    const char *port = strrchr(bound, ':');
    if (n > 2 && strcmp(told + n - 2, ":0") == 0 && port != NULL) {
        (void)snprintf(members->raft, sizeof members->raft, "%.*s%s",
                       (int)(n - 2), told, port);
    } else {
        (void)snprintf(members->raft, sizeof members->raft, "%s", told);
    }
    members->version++;
    pthread_mutex_unlock(&members->lock);
}

void members_listen(struct core *core, const char *bound)
{
    tell_raft(core, bound);
}

void members_init(struct core *core)
{
    struct members *members = mem_zero(sizeof *members);
    char why[LIST_WHY];

    (void)pthread_mutex_init(&members->lock, NULL);
    core->members = members;
    if (core->config.cluster != NULL &&
        list_parse(core->config.cluster, &members->list, why) != 0) {
        log_error(LOG_CORE, "--cluster is not usable", LOG_TXT("it", why));
    }
    (void)snprintf(
        members->http, sizeof members->http, "%s",
        core->config.http_address == NULL ? "" : core->config.http_address);
    tell_raft(core, core->config.raft_listen == NULL
                        ? "127.0.0.1:0"
                        : core->config.raft_listen);
    known_load(core);
    membership_init(core);
}

void members_done(struct core *core)
{
    if (core->members == NULL) {
        return;
    }
    membership_done(core);
    (void)pthread_mutex_destroy(&core->members->lock);
    core->members = mem_free(core->members);
}

const char *core_raft_address(const struct core *core)
{
    return core->peer != NULL ? peer_address(core->peer)
                              : core->config.raft_listen;
}

bool core_failed(const struct core *core)
{
    return core->failed;
}
