/* Nodes that become a cluster, and leave it: whole cores in one process, each
 * with its directory, its threads and its port. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "kit.h"
#include "peer/peer.h"
#include "raft/called.h"
#include "raft/list.h"

enum { NODES = 6, WAIT_MS = 60 * 1000 };

struct node {
    struct net *net;
    char id[8], dir[80], listen[32];
    const char *cluster;
    const char *join; /* the id of the node to ask */
    const char *domain;
    unsigned voters;
    uint32_t level;
    struct cache *cache;
    struct core *core; /* while it runs */
    pthread_t thread;
    bool ended;
    int refused; /* by whom it wanted to join */
    char why[CORE_WHY];
};

struct net {
    char dir[64];
    char list[256];
    struct node nodes[NODES];
};

/* ---- asking ---- */

struct question {
    struct core_ask ask;
    sem_t done;
};

static void answered(struct core_ask *ask)
{
    (void)sem_post(&CONTAINER(ask, struct question, ask)->done);
}

/* The code, or the outcome when there is no leader; `reply` may be NULL. */
static int ask(struct core *core, uint32_t kind, struct str request,
               struct buf *reply)
{
    struct question q = {
        .ask = {.kind = kind, .request = request, .done = answered}};

    assert_int_equal(sem_init(&q.done, 0, 0), 0);
    core_ask(core, &q.ask);
    while (sem_wait(&q.done) != 0) {
    }
    int r = q.ask.outcome != 0 ? q.ask.outcome : (int)q.ask.code;
    if (reply != NULL) {
        buf_clear(reply);
        buf_add_str(reply, buf_str(&q.ask.reply));
    }
    buf_done(&q.ask.reply);
    (void)sem_destroy(&q.done);
    return r;
}

/* What POST /v1/cluster/nodes does. */
static int join_by_url(void *user, const char *url, struct str request,
                       struct buf *reply, char why[CORE_WHY])
{
    struct node *node = user;

    for (size_t i = 0; i < NODES; i++) {
        struct node *asked = &node->net->nodes[i];
        if (strcmp(asked->id, url) == 0 && asked->core != NULL) {
            int r = ask(asked->core, CORE_ASK_JOIN, request, reply);
            (void)snprintf(why, CORE_WHY, "%.*s", STR_ARG(buf_str(reply)));
            node->refused = r;
            (void)snprintf(node->why, sizeof node->why, "%s", why);
            return r == ERR_NOT_READY ? -1 : r;
        }
    }
    (void)snprintf(why, CORE_WHY, "nobody there");
    return -1;
}

/* ---- nodes ---- */

static void on_lead(void *user, bool leads)
{
    (void)user, (void)leads;
}

static void on_stop(void *user)
{
    struct node *node = user;
    core_stop(node->core);
}

static void *run(void *user)
{
    struct node *node = user;
    core_run(node->core);
    return NULL;
}

static int open_core(struct node *node)
{
    struct core_config config = kit_config(node->dir, node->cache);

    config.node_id = node->id;
    config.raft_listen = node->listen;
    config.http_address = "127.0.0.1:1";
    config.cluster = node->cluster;
    config.join = node->join;
    config.domain = node->domain;
    config.voters = node->voters;
    config.voter_timeout_ms = 2000;
    config.feature_level = node->level;
    config.user = node;
    config.on_lead = on_lead;
    config.on_stop = on_stop;
    config.join_by_url = join_by_url;
    return core_open(&config, &node->core);
}

static void node_start(struct node *node)
{
    assert_null(node->core);
    assert_int_equal(open_core(node), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, run, node), 0);
}

struct stop {
    struct core_call call;
    struct core *core;
};

static void stop_call(struct core_call *call)
{
    core_stop(CONTAINER(call, struct stop, call)->core);
}

static void node_join_thread(struct node *node)
{
    (void)pthread_join(node->thread, NULL);
    node->core = core_close(node->core);
}

static void node_stop(struct node *node)
{
    struct stop stop = {{{NULL}, stop_call}, node->core};

    core_call(node->core, &stop.call);
    node_join_thread(node);
}

static void wipe(const struct node *node)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", node->dir);
    assert_int_equal(system(command), 0);
}

static struct net *net_new(void)
{
    struct net *net = mem_zero(sizeof *net);
    size_t n = 0;

    log_start(getenv("VERBOSE") != NULL ? LOG_DEBUG : LOG_ERROR + 1, LOG_TEXT);
    (void)snprintf(net->dir, sizeof net->dir, "/tmp/roster-cluster-XXXXXX");
    assert_non_null(mkdtemp(net->dir));
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &net->nodes[i];
        *node = (struct node){.net = net, .domain = "roster", .voters = 5};
        (void)snprintf(node->id, sizeof node->id, "n%zu", i + 1);
        (void)snprintf(node->dir, sizeof node->dir, "%s/%s", net->dir,
                       node->id);
        kit_address(node->listen, sizeof node->listen);
        node->cache = cache_new(1 << 20);
        if (i < 3) {
            n +=
                (size_t)snprintf(net->list + n, sizeof net->list - n, "%s%s=%s",
                                 i == 0 ? "" : ",", node->id, node->listen);
        }
    }
    return net;
}

static void net_free(struct net *net)
{
    char command[128];

    for (size_t i = 0; i < NODES; i++) {
        if (net->nodes[i].core != NULL) {
            node_stop(&net->nodes[i]);
        }
        cache_free(net->nodes[i].cache);
    }
    (void)snprintf(command, sizeof command, "rm -rf '%s'", net->dir);
    assert_int_equal(system(command), 0);
    mem_free(net);
}

/* ---- what is to be seen ---- */

/* Waits for it: there is no other measure of how long that may take. */
#define UNTIL(condition)                                                       \
    do {                                                                       \
        uint64_t until_ = clock_mono_ms() + WAIT_MS;                           \
        while (!(condition)) {                                                 \
            if (clock_mono_ms() > until_) {                                    \
                fail_msg("%s", "did not come true: " #condition);              \
            }                                                                  \
            (void)usleep(10000);                                               \
        }                                                                      \
    } while (0)

static size_t n_of(const struct node *node, enum core_role role)
{
    struct core_member list[CORE_MEMBERS_MOST];
    size_t n = core_members(node->core, list);
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        found += list[i].role == role ? 1 : 0;
    }
    return found;
}

static bool find(const struct node *node, const char *id,
                 struct core_member *ret_member)
{
    struct core_member list[CORE_MEMBERS_MOST];
    size_t n = core_members(node->core, list);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].id, id) == 0) {
            *ret_member = list[i];
            return true;
        }
    }
    return false;
}

static bool votes(const struct node *node, const char *id)
{
    struct core_member member;
    return find(node, id, &member) && member.role == CORE_VOTER;
}

static bool is_there(const struct node *node, const char *id)
{
    struct core_member member;
    return find(node, id, &member);
}

static struct node *leader(struct net *net)
{
    for (size_t i = 0; i < NODES; i++) {
        if (net->nodes[i].core != NULL &&
            core_status(net->nodes[i].core).leads) {
            return &net->nodes[i];
        }
    }
    return NULL;
}

static bool caught_up(const struct node *node)
{
    return core_status(node->core).caught_up;
}

static bool same_cluster(const struct node *a, const struct node *b)
{
    uint8_t one[16], other[16];

    core_cluster_id(a->core, one);
    core_cluster_id(b->core, other);
    return memcmp(one, other, sizeof one) == 0;
}

static uint64_t id_of(const struct node *node, const char *id)
{
    struct core_member member;

    assert_true(find(node, id, &member));
    return member.raft_id;
}

/* A write through a node; it has to come true. */
static void write_row(struct node *node, uint64_t row)
{
    struct kit_call call;
    struct buf bytes = {0};
    int r = ERR_UNKNOWN;

    kit_row(&bytes, row, 10);
    while (r == ERR_NOT_READY || r == ERR_UNKNOWN) {
        kit_send(node->core, &call, buf_str(&bytes));
        r = kit_hear(&call);
    }
    assert_true(r == 0 || r == ERR_CONFLICT);
    buf_done(&bytes);
}

static uint64_t rows(const struct node *node)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    assert_int_equal(store_reader_new(core_store(node->core), &reader), 0);
    assert_int_equal(store_read_begin(reader, &txn), 0);
    uint64_t n = store_meta(txn)->n_rows;
    store_read_end(txn);
    store_reader_free(reader);
    return n;
}

static int remove_id(struct node *through, const char *id)
{
    char text[64];

    (void)snprintf(text, sizeof text, "{\"id\":\"%s\"}", id);
    return ask(through->core, CORE_ASK_REMOVE, str_of(text), NULL);
}

static int transfer_to(struct node *through, const char *id)
{
    char text[64];

    (void)snprintf(text, sizeof text, "{\"id\":\"%s\"}", id);
    return ask(through->core, CORE_ASK_TRANSFER, str_of(text), NULL);
}

/* Three that form one. */
static void form_three(struct net *net)
{
    for (size_t i = 0; i < 3; i++) {
        net->nodes[i].cluster = net->list;
        node_start(&net->nodes[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        UNTIL(caught_up(&net->nodes[i]));
    }
}

/* One alone, and others that join it. */
static void grow(struct net *net, size_t n)
{
    node_start(&net->nodes[0]);
    UNTIL(caught_up(&net->nodes[0]));
    for (size_t i = 1; i < n; i++) {
        net->nodes[i].join = "n1";
        node_start(&net->nodes[i]);
        UNTIL(caught_up(&net->nodes[i]));
    }
}

/* ---- forming ---- */

static void three_of_one_list_form_a_cluster(void **state)
{
    struct net *net = net_new();

    (void)state;
    form_three(net);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(n_of(&net->nodes[i], CORE_VOTER), 3);
        assert_true(same_cluster(&net->nodes[0], &net->nodes[i]));
        assert_null(core_status(net->nodes[i].core).forming);
        write_row(&net->nodes[i], i);
    }
    for (size_t i = 0; i < 3; i++) {
        UNTIL(rows(&net->nodes[i]) == 3);
    }
    net_free(net);
}

static void one_that_is_missing_is_waited_for(void **state)
{
    struct net *net = net_new();

    (void)state;
    net->nodes[0].cluster = net->nodes[1].cluster = net->nodes[2].cluster =
        net->list;
    node_start(&net->nodes[0]);
    node_start(&net->nodes[1]);
    UNTIL(core_status(net->nodes[1].core).forming != NULL);
    (void)usleep(500000);
    assert_non_null(core_status(net->nodes[0].core).forming);
    assert_int_equal(n_of(&net->nodes[0], CORE_VOTER), 0);
    node_stop(&net->nodes[0]); /* It comes back with the id it told. */
    node_start(&net->nodes[2]);
    node_start(&net->nodes[0]);
    for (size_t i = 0; i < 3; i++) {
        UNTIL(caught_up(&net->nodes[i]));
    }
    net_free(net);
}

/* Answers WHO in a node's place, as that would while it waits. */
struct stand_in {
    struct node *node;
    uint64_t raft_id;
};

static void stand_in_self(void *user, struct peer_id *ret_self)
{
    struct stand_in *in = user;

    ret_self->level_least = 1;
    ret_self->level_most = 2;
    (void)snprintf(ret_self->name, sizeof ret_self->name, "%s", in->node->id);
}

static enum peer_verdict stand_in_judge(void *user, enum peer_kind kind,
                                        const struct peer_id *from,
                                        uint64_t expects, char why[PEER_WHY])
{
    (void)user, (void)from, (void)expects, (void)why;
    return kind == PEER_CALL ? PEER_OK : PEER_BUSY;
}

static void stand_in_accepted(void *user, enum peer_kind kind,
                              const struct peer_id *from, int fd)
{
    (void)user, (void)kind, (void)from;
    (void)close(fd);
}

static void stand_in_called(void *user, struct peer_called *called,
                            const struct peer_id *from, struct str request)
{
    struct stand_in *in = user;
    struct who who = {.call = "who", .state = "empty", .raft_id = in->raft_id};
    struct buf reply = {0};

    (void)from, (void)request;
    (void)snprintf(who.id, sizeof who.id, "%s", in->node->id);
    (void)snprintf(who.list, sizeof who.list, "%s", in->node->net->list);
    (void)snprintf(who.domain, sizeof who.domain, "roster");
    who_write(&who, &reply);
    peer_reply(called, buf_str(&reply));
    buf_done(&reply);
}

static uint64_t written_id(const struct node *node)
{
    char path[128], line[1024];
    unsigned long long id = 0;

    (void)snprintf(path, sizeof path, "%s/node", node->dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "raft ", 5) == 0) {
            id = strtoull(line + 5, NULL, 10);
        }
    }
    (void)fclose(file);
    assert_true(id != 0);
    return id;
}

/* The others have seen it, decided, and begun; it died before it did the same.
 */
static void who_comes_late_begins_the_same_log(void **state)
{
    struct net *net = net_new();
    struct node *late = &net->nodes[2];
    struct stand_in in = {.node = late};
    struct peer *peer = NULL;

    (void)state;
    late->cluster = net->nodes[0].cluster = net->nodes[1].cluster = net->list;
    node_start(late);
    UNTIL(core_status(late->core).forming != NULL);
    node_stop(late);
    in.raft_id = written_id(late);
    const struct peer_config config = {.listen = late->listen,
                                       .user = &in,
                                       .self = stand_in_self,
                                       .judge = stand_in_judge,
                                       .accepted = stand_in_accepted,
                                       .called = stand_in_called};
    assert_int_equal(peer_start(&config, &peer), 0);
    node_start(&net->nodes[0]);
    node_start(&net->nodes[1]);
    UNTIL(caught_up(&net->nodes[0]));
    write_row(&net->nodes[0], 1);
    peer = peer_stop(peer);
    node_start(late);
    UNTIL(caught_up(late));
    UNTIL(rows(late) == 1);
    assert_true(id_of(&net->nodes[0], "n3") == in.raft_id);
    assert_int_equal(n_of(late, CORE_VOTER), 3);
    net_free(net);
}

static void nodes_with_other_lists_or_domains_do_not_form(void **state)
{
    struct net *net = net_new();
    char other[300];

    (void)state;
    (void)snprintf(other, sizeof other, "%s,n4=%s", net->list,
                   net->nodes[3].listen);
    net->nodes[0].cluster = net->nodes[1].cluster = net->list;
    net->nodes[2].cluster = other;
    for (size_t i = 0; i < 3; i++) {
        node_start(&net->nodes[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        UNTIL(strstr(core_status(net->nodes[i].core).forming, "agree") != NULL);
    }
    node_stop(&net->nodes[2]);
    net->nodes[2].cluster = net->list;
    net->nodes[2].domain = "another";
    node_start(&net->nodes[2]);
    UNTIL(strstr(core_status(net->nodes[2].core).forming, "agree") != NULL);
    assert_int_equal(n_of(&net->nodes[0], CORE_VOTER), 0);
    node_stop(&net->nodes[2]);
    net->nodes[2].domain = "roster";
    node_start(&net->nodes[2]);
    for (size_t i = 0; i < 3; i++) {
        UNTIL(caught_up(&net->nodes[i]));
    }
    net_free(net);
}

static void a_wiped_disk_comes_back_as_a_new_node(void **state)
{
    struct net *net = net_new();

    (void)state;
    form_three(net);
    write_row(&net->nodes[0], 1);
    uint64_t before = id_of(&net->nodes[0], "n3");
    node_stop(&net->nodes[2]);
    wipe(&net->nodes[2]);
    node_start(&net->nodes[2]);
    UNTIL(caught_up(&net->nodes[2]));
    UNTIL(votes(&net->nodes[0], "n3"));
    assert_true(id_of(&net->nodes[0], "n3") != before);
    assert_int_equal(n_of(&net->nodes[0], CORE_VOTER), 3);
    UNTIL(rows(&net->nodes[2]) == 1);
    net_free(net);
}

/* ---- joining ---- */

static void learners_become_voters_two_at_a_time(void **state)
{
    struct net *net = net_new();

    (void)state;
    net->nodes[0].voters = 3;
    grow(net, 2);
    write_row(&net->nodes[1], 1);
    (void)usleep(1500000);
    assert_int_equal(n_of(&net->nodes[0], CORE_VOTER), 1);
    net->nodes[2].join = "n2"; /* Any of them. */
    node_start(&net->nodes[2]);
    UNTIL(n_of(&net->nodes[0], CORE_VOTER) == 3);
    net->nodes[3].join = "n1";
    node_start(&net->nodes[3]);
    UNTIL(caught_up(&net->nodes[3]));
    UNTIL(rows(&net->nodes[3]) == 1);
    write_row(&net->nodes[3], 2);
    (void)usleep(1500000);
    assert_int_equal(n_of(&net->nodes[0], CORE_VOTER), 3);
    assert_int_equal(n_of(&net->nodes[0], CORE_LEARNER), 1);
    net_free(net);
}

static void a_cluster_grows_from_one_to_five(void **state)
{
    struct net *net = net_new();

    (void)state;
    grow(net, 5);
    UNTIL(n_of(&net->nodes[0], CORE_VOTER) == 5);
    for (size_t i = 0; i < 5; i++) {
        write_row(&net->nodes[i], i);
    }
    for (size_t i = 0; i < 5; i++) {
        UNTIL(rows(&net->nodes[i]) == 5);
    }
    net_free(net);
}

static void joining_twice_is_joining_once(void **state)
{
    struct net *net = net_new();
    struct buf request = {0}, one = {0}, two = {0};

    (void)state;
    grow(net, 1);
    buf_add_text(&request,
                 "{\"id\":\"n9\",\"raft\":\"127.0.0.1:9\",\"raft_id\":\"99\","
                 "\"domain\":\"roster\",\"levels\":[1,3]}");
    assert_int_equal(
        ask(net->nodes[0].core, CORE_ASK_JOIN, buf_str(&request), &one), 0);
    assert_int_equal(
        ask(net->nodes[0].core, CORE_ASK_JOIN, buf_str(&request), &two), 0);
    assert_string_equal(buf_text(&one), buf_text(&two));
    UNTIL(is_there(&net->nodes[0], "n9"));
    assert_int_equal(n_of(&net->nodes[0], CORE_LEARNER), 1);
    /* Removed, it is not let in again under the same raft id. */
    assert_int_equal(remove_id(&net->nodes[0], "n9"), 0);
    assert_int_equal(
        ask(net->nodes[0].core, CORE_ASK_JOIN, buf_str(&request), &two),
        ERR_CONFLICT);
    buf_done(&request);
    buf_done(&one);
    buf_done(&two);
    net_free(net);
}

static void a_node_that_does_not_fit_is_refused_and_ends(void **state)
{
    struct net *net = net_new();
    struct node *wrong = &net->nodes[2];

    (void)state;
    grow(net, 2);
    wrong->join = "n1";
    wrong->domain = "another";
    node_start(wrong);
    (void)pthread_join(wrong->thread, NULL);
    assert_true(core_failed(wrong->core));
    wrong->core = core_close(wrong->core);
    assert_non_null(strstr(wrong->why, "domain"));
    wrong->domain = "roster";
    wrong->level = 9; /* levels 7 to 9 */
    node_start(wrong);
    (void)pthread_join(wrong->thread, NULL);
    assert_true(core_failed(wrong->core));
    wrong->core = core_close(wrong->core);
    assert_non_null(strstr(wrong->why, "level"));
    wrong->level = 0;
    (void)snprintf(wrong->id, sizeof wrong->id, "n2");
    wipe(wrong);
    node_start(wrong);
    (void)pthread_join(wrong->thread, NULL);
    assert_true(core_failed(wrong->core));
    wrong->core = core_close(wrong->core);
    assert_non_null(strstr(wrong->why, "remove it first"));
    net_free(net);
}

/* ---- leaving ---- */

static void a_member_is_removed_and_knows_it(void **state)
{
    struct net *net = net_new();

    (void)state;
    grow(net, 4);
    UNTIL(n_of(&net->nodes[0], CORE_VOTER) == 3);
    /* One that runs, */
    const char *learner = "n4";
    for (size_t i = 1; i < 4; i++) {
        learner = votes(&net->nodes[0], net->nodes[i].id) ? learner
                                                          : net->nodes[i].id;
    }
    struct node *gone = &net->nodes[learner[1] - '1'];
    assert_int_equal(remove_id(&net->nodes[1], learner), 0);
    UNTIL(!is_there(&net->nodes[0], learner));
    UNTIL(core_status(gone->core).removed);
    node_stop(gone);
    node_start(gone); /* It still knows. */
    assert_true(core_status(gone->core).removed);
    /* and one that is away. */
    struct node *away = &net->nodes[gone == &net->nodes[1] ? 2 : 1];
    node_stop(away);
    UNTIL(remove_id(&net->nodes[0], away->id) == 0);
    node_start(away);
    UNTIL(core_status(away->core).removed);
    assert_int_equal(remove_id(&net->nodes[0], "n77"), ERR_NOT_FOUND);
    net_free(net);
}

static void a_leader_that_is_removed_hands_over_first(void **state)
{
    struct net *net = net_new();

    (void)state;
    form_three(net);
    UNTIL(leader(net) != NULL);
    struct node *old = leader(net);
    struct node *other = &net->nodes[old == &net->nodes[0] ? 1 : 0];
    assert_int_equal(remove_id(old, old->id), 0);
    UNTIL(core_status(old->core).removed);
    UNTIL(leader(net) != NULL && leader(net) != old);
    UNTIL(!is_there(other, old->id));
    write_row(other, 1);
    net_free(net);
}

static void who_is_needed_is_not_removed(void **state)
{
    struct net *net = net_new();

    (void)state;
    grow(net, 1);
    assert_int_equal(remove_id(&net->nodes[0], "n1"), ERR_CONFLICT);
    net_free(net);

    net = net_new();
    form_three(net);
    UNTIL(leader(net) != NULL);
    struct node *first = leader(net);
    struct node *dead = &net->nodes[first == &net->nodes[0] ? 1 : 0];
    struct node *alive = dead;
    for (size_t i = 0; i < 3; i++) {
        if (&net->nodes[i] != first && &net->nodes[i] != dead) {
            alive = &net->nodes[i];
        }
    }
    node_stop(dead);
    UNTIL(leader(net) != NULL);
    assert_int_equal(remove_id(first, alive->id), ERR_CONFLICT);
    assert_int_equal(remove_id(first, dead->id), 0);
    write_row(alive, 1);
    net_free(net);
}

static void a_voter_that_stays_away_is_replaced(void **state)
{
    struct net *net = net_new();

    (void)state;
    for (size_t i = 0; i < NODES; i++) {
        net->nodes[i].voters = 3;
    }
    form_three(net);
    net->nodes[3].join = "n1";
    node_start(&net->nodes[3]);
    UNTIL(caught_up(&net->nodes[3]));
    UNTIL(leader(net) != NULL);
    struct node *dead = leader(net);
    node_stop(dead);
    UNTIL(leader(net) != NULL && votes(leader(net), "n4") &&
          !votes(leader(net), dead->id));
    assert_int_equal(n_of(leader(net), CORE_VOTER), 3);
    node_start(dead); /* It serves on as a learner. */
    UNTIL(caught_up(dead));
    write_row(dead, 1);
    net_free(net);
}

static void leadership_goes_where_it_is_sent(void **state)
{
    struct net *net = net_new();

    (void)state;
    form_three(net);
    for (size_t round = 0; round < 6; round++) {
        struct node *to = &net->nodes[round % 3];
        int r = transfer_to(&net->nodes[(round + 1) % 3], to->id);
        while (r == ERR_NOT_READY || r == ERR_CONFLICT) {
            (void)usleep(100000); /* Not heard yet since it began to lead. */
            r = transfer_to(&net->nodes[(round + 1) % 3], to->id);
        }
        assert_int_equal(r, 0);
        UNTIL(leader(net) == to);
        write_row(&net->nodes[(round + 2) % 3], round);
    }
    assert_int_equal(transfer_to(&net->nodes[0], "n9"), ERR_NOT_FOUND);
    struct node *old = leader(net);
    core_hand_over(old->core);
    UNTIL(leader(net) != NULL && leader(net) != old);
    net_free(net);
}

/* ---- addresses, versions ---- */

static void a_node_is_found_at_another_address(void **state)
{
    struct net *net = net_new();

    (void)state;
    grow(net, 3);
    UNTIL(n_of(&net->nodes[0], CORE_VOTER) == 3);
    for (size_t i = 0; i < 3; i++) {
        struct node *node = &net->nodes[i];
        node_stop(node);
        kit_address(node->listen, sizeof node->listen);
        node_start(node);
        UNTIL(caught_up(node));
        write_row(node, i);
    }
    for (size_t i = 0; i < 3; i++) {
        struct core_member member;
        struct node *node = &net->nodes[i];
        UNTIL(find(&net->nodes[(i + 1) % 3], node->id, &member) &&
              strcmp(member.raft, node->listen) == 0);
        UNTIL(rows(node) == 3);
    }
    net_free(net);
}

static void the_lowest_version_says_what_may_be_proposed(void **state)
{
    struct net *net = net_new();

    (void)state;
    net->nodes[1].level = 1;
    grow(net, 1);
    UNTIL(core_feature_level(net->nodes[0].core) == MACHINE_FEATURE_LEVEL);
    net_free(net);

    net = net_new();
    net->nodes[1].level = 1;
    form_three(net);
    (void)usleep(1500000);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(core_feature_level(net->nodes[i].core), 1);
    }
    node_stop(&net->nodes[1]);
    (void)usleep(1500000); /* It may come back as it was. */
    assert_int_equal(core_feature_level(net->nodes[0].core), 1);
    net->nodes[1].level = 2;
    node_start(&net->nodes[1]);
    for (size_t i = 0; i < 3; i++) {
        UNTIL(core_feature_level(net->nodes[i].core) == 2);
    }
    /* There is no way down. */
    node_stop(&net->nodes[1]);
    net->nodes[1].level = 1;
    assert_int_equal(open_core(&net->nodes[1]), ERR_INVALID);
    net_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_of_one_list_form_a_cluster),
        cmocka_unit_test(one_that_is_missing_is_waited_for),
        cmocka_unit_test(who_comes_late_begins_the_same_log),
        cmocka_unit_test(nodes_with_other_lists_or_domains_do_not_form),
        cmocka_unit_test(a_wiped_disk_comes_back_as_a_new_node),
        cmocka_unit_test(learners_become_voters_two_at_a_time),
        cmocka_unit_test(a_cluster_grows_from_one_to_five),
        cmocka_unit_test(joining_twice_is_joining_once),
        cmocka_unit_test(a_node_that_does_not_fit_is_refused_and_ends),
        cmocka_unit_test(a_member_is_removed_and_knows_it),
        cmocka_unit_test(a_leader_that_is_removed_hands_over_first),
        cmocka_unit_test(who_is_needed_is_not_removed),
        cmocka_unit_test(a_voter_that_stays_away_is_replaced),
        cmocka_unit_test(leadership_goes_where_it_is_sent),
        cmocka_unit_test(a_node_is_found_at_another_address),
        cmocka_unit_test(the_lowest_version_says_what_may_be_proposed),
    };
    const char *only = getenv("ONLY");

    (void)signal(SIGPIPE, SIG_IGN);
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
