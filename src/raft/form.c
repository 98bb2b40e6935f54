/* How an empty directory becomes a member.
 *
 *   NEW ──(neither --cluster nor --join)──────────────┐
 *    │                                                │
 *    ├─(--cluster: every node of the list answered,   ▼
 *    │  and none belongs anywhere yet)───────────► FORMING ─► log begun with
 *    ├─(--cluster: one has decided so, and counts ────▲       the first
 *    │  this node, by its raft id, among the first)   │       members ──┐
 *    │                                                                  ▼
 *    ├─(--cluster: the cluster is there without it)─► JOIN ─────────► JOINED
 *    └─(--join)─────────────────────────────────────► JOIN ─────────────┘
 *
 * Why it is safe to begin by oneself. A directory draws its raft id once,
 * before it says anything. The first members are names, addresses and raft ids;
 * a node decides on them only when all of the list have told theirs, and its
 * cluster's id is the hash of them. So (1) any two decisions that contain the
 * same directory either are equal, or one of the other directories was emptied
 * in between; (2) a decision is written down before anything depends on it; (3)
 * who sees that another has decided never decides by itself: it takes the same
 * first members when its own raft id is one of them, and comes in as a new node
 * when not. A disk that was wiped has another raft id, so it never returns as
 * the voter it was, whose votes and acknowledgements it has forgotten.
 *
 * A node that has decided begins its log with the same bytes as the others. It
 * may do so late: nobody has heard that raft id before. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/called.h"
#include "raft/members.h"

enum {
    ASK_MS = 200,
    REFUSED_MS = 2000, /* after a no that may turn into a yes */
    SAY_MS = 30 * 1000,
    DIAL_MS = 1000,
};

static const char waits_for_nodes[] = "waits for the other nodes of --cluster";
static const char waits_for_cluster[] =
    "waits for the cluster to take this node in";
static const char nodes_disagree[] = "the nodes of --cluster do not agree";

struct form {
    struct core *core;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool over; /* under the lock */
    struct core_call call;
    bool failed;
    /* The thread's own. */
    const char *sentence; /* what this round found to wait for, */
    struct buf found;     /* of each node that is asked */
    struct buf said;      /* the last that the log was told */
    uint64_t said_ms;
    unsigned pause_ms;
};

bool form_is_member(struct core *core)
{
    pthread_mutex_lock(&core->members->lock);
    bool member = core->node_state == NODE_JOINED;
    pthread_mutex_unlock(&core->members->lock);
    return member;
}

/* ---- saying who we are ---- */

static const char *const states[] = {
    [NODE_NEW] = "empty",
    [NODE_FORMING] = "forming",
    [NODE_JOINED] = "member",
    [NODE_REMOVED] = "removed",
};

static void self(struct core *core, struct who *who)
{
    struct members *members = core->members;
    char *list = members->list.n == 0 ? NULL : list_text(&members->list);

    (void)snprintf(who->call, sizeof who->call, "who");
    (void)snprintf(who->id, sizeof who->id, "%s", core->node_id);
    (void)snprintf(who->domain, sizeof who->domain, "%s", core->domain);
    (void)snprintf(who->list, sizeof who->list, "%s", list == NULL ? "" : list);
    mem_free(list);
    who->raft_id = core->raft_id;
    pthread_mutex_lock(&members->lock);
    (void)snprintf(who->state, sizeof who->state, "%s",
                   states[core->node_state]);
    (void)snprintf(who->first, sizeof who->first, "%s",
                   core->formed == NULL ? "" : core->formed);
    memcpy(who->cluster, core->cluster, sizeof who->cluster);
    pthread_mutex_unlock(&members->lock);
}

void form_who(struct core *core, const struct who *asker, struct buf *out)
{
    struct who who = {.raft_id = 0};

    (void)asker;
    self(core, &who);
    who_write(&who, out);
}

/* ---- the thread ---- */

static bool is_over(struct form *form)
{
    pthread_mutex_lock(&form->lock);
    bool over = form->over;
    pthread_mutex_unlock(&form->lock);
    return over;
}

static void rest_a_while(struct form *form)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + form->pause_ms * UINT64_C(1000000);
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&form->lock);
    while (!form->over && pthread_cond_timedwait(&form->ends, &form->lock,
                                                 &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&form->lock);
}

static void waits(struct form *form, const char *sentence, const char *whom,
                  const char *why)
{
    if (form->found.n == 0 || sentence == nodes_disagree) {
        form->sentence = sentence; /* What does not pass by itself. */
    }
    buf_printf(&form->found, "%s%s: %s", form->found.n == 0 ? "" : "; ", whom,
               why);
}

/* At the end of a round: in the status always, in the log when it is new, and
 * now and then. */
static void say(struct form *form)
{
    uint64_t now_ms = clock_mono_ms();

    atomic_store(&form->core->status.forming, form->sentence);
    if (form->found.n > 0 &&
        (!str_equal(buf_str(&form->found), buf_str(&form->said)) ||
         now_ms - form->said_ms >= SAY_MS)) {
        log_info(LOG_CORE, form->sentence,
                 LOG_STR("for", buf_str(&form->found)));
        buf_clear(&form->said);
        buf_add_str(&form->said, buf_str(&form->found));
        form->said_ms = now_ms;
    }
    buf_clear(&form->found);
}

/* ---- --join ---- */

static int learn(struct core *core, const struct joined *joined)
{
    struct members *members = core->members;

    pthread_mutex_lock(&members->lock);
    for (size_t i = 0; i < joined->n_members; i++) {
        if (joined->members[i].raft_id != core->raft_id) {
            (void)known_learn(members, &joined->members[i]);
        }
    }
    pthread_mutex_unlock(&members->lock);
    return known_write_file(core);
}

static int take_answer(struct form *form, struct str reply, const char *whom)
{
    struct joined joined;

    if (joined_parse(reply, &joined) != 0) {
        waits(form, waits_for_cluster, whom,
              "what answers there is no roster node");
        return ERR_NOT_READY;
    }
    if (joined.code != 0) {
        form->pause_ms =
            joined.code == ERR_NOT_READY || joined.code == ERR_RETRY
                ? ASK_MS
                : REFUSED_MS;
        waits(form, waits_for_cluster, whom, joined.why);
        return ERR_NOT_READY;
    }
    /* Before it is one of them: who is there has to find it, or be found, also
     * when it dies now and comes back elsewhere. */
    int r = learn(form->core, &joined);
    return r != 0 ? r : begin_as(form->core, NODE_JOINED, joined.cluster, NULL);
}

/* Answers: NOT_READY, INVALID (the cluster does not want it). */
static int join_by_url(struct form *form)
{
    const struct core_config *config = &form->core->config;
    struct buf request = {0}, reply = {0};
    char why[CORE_WHY] = "";

    join_write(form->core, false, &request);
    int r = config->join_by_url(config->user, config->join, buf_str(&request),
                                &reply, why);
    if (r == 0) {
        r = take_answer(form, buf_str(&reply), config->join);
    } else if (r < 0) {
        waits(form, waits_for_cluster, config->join, why);
        r = ERR_NOT_READY;
    } else {
        log_error(LOG_CORE, "the cluster does not take this node in",
                  LOG_TXT("asked", config->join), LOG_TXT("why", why));
        r = ERR_INVALID;
    }
    buf_done(&request);
    buf_done(&reply);
    return r;
}

/* ---- --cluster ---- */

/* Answers: NOT_READY, with `why`. */
static int call(struct core *core, const char *address, struct str request,
                struct buf *reply, char why[CORE_WHY])
{
    struct peer_id id, other;

    members_self(core, &id);
    const struct peer_dial dial = {.kind = PEER_CALL,
                                   .address = address,
                                   .tls = core->config.tls,
                                   .self = &id,
                                   .timeout_ms = DIAL_MS};
    return peer_call(&dial, request, &other, reply, why) == 0 ? 0
                                                              : ERR_NOT_READY;
}

static int ask_who(struct core *core, const struct list_entry *entry,
                   struct who *ret_who, char why[CORE_WHY])
{
    struct buf request = {0}, reply = {0};
    struct who own = {.raft_id = 0};

    self(core, &own);
    who_write(&own, &request);
    int r = call(core, entry->raft, buf_str(&request), &reply, why);
    if (r == 0 && who_parse(buf_str(&reply), ret_who) != 0) {
        (void)snprintf(why, CORE_WHY, "what answers there is no roster node");
        r = ERR_NOT_READY;
    }
    buf_done(&request);
    buf_done(&reply);
    return r;
}

static int join_through(struct form *form, const struct list_entry *entry)
{
    struct buf request = {0}, reply = {0};
    char why[CORE_WHY];

    join_write(form->core, true, &request);
    int r = call(form->core, entry->raft, buf_str(&request), &reply, why);
    if (r == 0) {
        r = take_answer(form, buf_str(&reply), entry->id);
    } else {
        waits(form, waits_for_cluster, entry->id, why);
    }
    buf_done(&request);
    buf_done(&reply);
    return r;
}

/* Another has decided. Answers: NOT_FOUND (this directory is none of its first
 * members). */
static int adopt(struct core *core, const struct who *who)
{
    const struct list_entry *own = NULL;
    uint8_t cluster[16];
    struct list first;

    if (who->first[0] == '\0' ||
        list_parse_first(str_of(who->first), &first) != 0) {
        return ERR_NOT_FOUND;
    }
    own = list_find(&first, core->node_id);
    list_cluster(&first, core->domain, cluster);
    if (own == NULL || own->raft_id != core->raft_id ||
        memcmp(cluster, who->cluster, sizeof cluster) != 0) {
        return ERR_NOT_FOUND;
    }
    return begin_first(core, &first);
}

/* One of the list belongs to a cluster. Answers: NOT_READY (through another one
 * perhaps: it may be cut off, or none any more). */
static int follow(struct form *form, const struct list_entry *entry,
                  const struct who *who)
{
    char why[CORE_WHY];

    int r = adopt(form->core, who);
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    if (strcmp(who->state, "member") == 0) {
        return join_through(form, entry);
    }
    (void)snprintf(why, sizeof why, "its state is '%s'", who->state);
    waits(form, waits_for_cluster, entry->id, why);
    return ERR_NOT_READY;
}

/* One of the list is as new as this one. Answers: NOT_READY (it is at odds with
 * us). */
static int weigh(struct form *form, const struct list_entry *entry,
                 const struct who *who)
{
    struct core *core = form->core;
    char *list = list_text(&core->members->list);
    int r = 0;

    if (strcmp(who->id, entry->id) != 0) {
        waits(form, nodes_disagree, entry->id, "another node answers there");
        r = ERR_NOT_READY;
    } else if (strcmp(who->list, list) != 0) {
        char why[2 * WHO_TEXT];
        (void)snprintf(why, sizeof why,
                       "it was started with --cluster %s and this one with %s",
                       who->list, list);
        waits(form, nodes_disagree, entry->id, why);
        r = ERR_NOT_READY;
    } else if (strcmp(who->domain, core->domain) != 0) {
        waits(form, nodes_disagree, entry->id,
              "it was started with another --domain");
        r = ERR_NOT_READY;
    }
    mem_free(list);
    return r;
}

/* Answers: NOT_READY. */
static int form_by_list(struct form *form)
{
    struct core *core = form->core;
    struct list first = core->members->list;
    bool all = true;

    for (size_t i = 0; i < first.n && !is_over(form); i++) {
        struct list_entry *entry = &first.entries[i];
        char why[CORE_WHY] = "";
        struct who who;
        if (strcmp(entry->id, core->node_id) == 0) {
            entry->raft_id = core->raft_id;
            continue;
        }
        int r = ask_who(core, entry, &who, why);
        if (r != 0) {
            waits(form, waits_for_nodes, entry->id, why);
            all = false;
            continue;
        }
        if (!cluster_is_none(who.cluster)) {
            r = follow(form, entry, &who);
            if (r != ERR_NOT_READY) {
                return r;
            }
        } else {
            r = weigh(form, entry, &who);
        }
        all = all && r == 0 && who.raft_id != 0;
        entry->raft_id = who.raft_id;
    }
    return all && !is_over(form) ? begin_first(core, &first) : ERR_NOT_READY;
}

static void *run(void *user)
{
    struct form *form = user;
    struct core *core = form->core;
    int r = ERR_NOT_READY;

    while (!is_over(form)) {
        form->pause_ms = ASK_MS;
        r = core->config.join != NULL ? join_by_url(form) : form_by_list(form);
        if (r == 0 || r == ERR_INVALID) {
            form->failed = r != 0;
            core_call(core, &form->call);
            break;
        }
        if (!is_over(form)) {
            say(form);
            rest_a_while(form);
        }
    }
    return NULL;
}

/* ---- the end ---- */

static void formed(struct core_call *call)
{
    struct form *form = CONTAINER(call, struct form, call);
    struct core *core = form->core;
    int r = form->failed ? ERR_INVALID : begin_with(core);

    form_stop(core);
    if (r == 0) {
        r = core_begin(core);
    }
    if (r != 0) {
        core->failed = true;
        core->stop_told = true;
        core->config.on_stop(core->config.user);
        return;
    }
    atomic_store(&core->status.forming, NULL);
    char hex[CLUSTER_HEX + 1];
    cluster_hex(core->cluster, hex);
    log_info(LOG_CORE,
             core->formed != NULL ? "the cluster is formed"
                                  : "the cluster has taken this node in",
             LOG_TXT("cluster", hex));
}

/* ---- the door ---- */

bool form_is_needed(const struct core *core)
{
    return core->node_state == NODE_NEW &&
           (core->config.join != NULL || core->config.cluster != NULL);
}

int form_start(struct core *core)
{
    struct form *form = mem_zero(sizeof *form);
    pthread_condattr_t attributes;

    form->core = core;
    form->call.func = formed;
    (void)pthread_mutex_init(&form->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&form->ends, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    atomic_store(&core->status.forming, core->config.join != NULL
                                            ? waits_for_cluster
                                            : waits_for_nodes);
    form->sentence = atomic_load(&core->status.forming);
    if (pthread_create(&form->thread, NULL, run, form) != 0) {
        mem_free(form);
        return err_raise(ERR_SYSTEM);
    }
    core->form = form;
    return 0;
}

void form_end(struct core *core)
{
    struct form *form = core->form;

    if (form != NULL) {
        pthread_mutex_lock(&form->lock);
        form->over = true;
        (void)pthread_cond_signal(&form->ends);
        pthread_mutex_unlock(&form->lock);
    }
}

void form_stop(struct core *core)
{
    struct form *form = core->form;

    if (form == NULL) {
        return;
    }
    form_end(core);
    (void)pthread_join(form->thread, NULL);
    (void)pthread_mutex_destroy(&form->lock);
    (void)pthread_cond_destroy(&form->ends);
    buf_done(&form->found);
    buf_done(&form->said);
    core->form = mem_free(form);
}
