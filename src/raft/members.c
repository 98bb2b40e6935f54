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
        /* Where it says it is goes before where it was said to be. */
        if (all.raft[0] == '\0' || (entry != NULL && !all.recent)) {
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

/* This node's own line. */
static struct known known_self(const struct core *core)
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
    const struct known *known = r == 0 ? NULL : known_find(members, raft_id);
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

/* ---- what is shown ---- */

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
    struct known known = self ? known_self(core) : members_known(core, server);
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
    feature_turn(core);
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

const char *core_raft_address(const struct core *core)
{
    return core->peer != NULL ? peer_address(core->peer)
                              : core->config.raft_listen;
}

bool core_failed(const struct core *core)
{
    return core->failed;
}
