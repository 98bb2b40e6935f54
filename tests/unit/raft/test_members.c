/* Who forms a cluster, who should vote, what nodes tell each other about it:
 * the parts that are functions of what they are given. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/called.h"
#include "raft/list.h"
#include "raft/members.h"
#include "raft/voters.h"

/* Same names and addresses. */
static bool same(const struct list *a, const struct list *b)
{
    bool equal = a->n == b->n;

    for (size_t i = 0; equal && i < a->n; i++) {
        equal = strcmp(a->entries[i].id, b->entries[i].id) == 0 &&
                strcmp(a->entries[i].raft, b->entries[i].raft) == 0;
    }
    return equal;
}

/* ---- lists ---- */

static void a_list_is_the_same_in_any_order(void **state)
{
    struct list one, other;
    char why[LIST_WHY];

    (void)state;
    assert_int_equal(list_parse("n2=b:2,n1=[::1]:1, n3=10.0.0.3:3", &one, why),
                     0);
    assert_int_equal(list_parse("n3=10.0.0.3:3,n2=b:2,n1=[::1]:1", &other, why),
                     0);
    assert_int_equal(one.n, 3);
    assert_true(same(&one, &other));
    char *text = list_text(&one);
    assert_string_equal(text, "n1=[::1]:1,n2=b:2,n3=10.0.0.3:3");
    mem_free(text);
    assert_string_equal(list_find(&one, "n2")->raft, "b:2");
    assert_null(list_find(&one, "n4"));
}

static void what_is_no_list_is_refused_with_the_part(void **state)
{
    static const char *const wrong[] = {
        "",
        "n1",
        "n1=",
        "=a:1",
        "n1=a",
        "n1=a:0",
        "n1=a:65536",
        "n1=a:1,",
        ",n1=a:1",
        "n1=a:1,,n2=b:1",
        "n 1=a:1",
        "n1=a:1=b:2",
        "n1=:1",
        "n1=a:1,n1=b:1",
        "n1=a:1,n2=a:1",
        "a=h:1,b=h:2,c=h:3,d=h:4,e=h:5,f=h:6,g=h:7,h=h:8,i=h:9,j=h:10",
    };
    struct list list;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char why[LIST_WHY] = "";
        if (list_parse(wrong[i], &list, why) != ERR_INVALID) {
            fail_msg("'%s' is taken", wrong[i]);
        }
        assert_true(why[0] != '\0');
    }
}

static void first_members_come_back_from_their_text(void **state)
{
    struct list list = {.n = 0}, again;
    char why[LIST_WHY];

    (void)state;
    assert_int_equal(list_parse("n1=a:1,n2=b:2", &list, why), 0);
    list.entries[0].raft_id = UINT64_MAX;
    list.entries[1].raft_id = 7;
    char *text = list_first_text(&list);
    assert_string_equal(text, "n1/18446744073709551615/a:1,n2/7/b:2");
    assert_int_equal(list_parse_first(str_of(text), &again), 0);
    assert_true(same(&list, &again));
    assert_true(again.entries[0].raft_id == UINT64_MAX);
    mem_free(text);
    assert_int_equal(list_parse_first(STR("n1/0/a:1"), &again), ERR_INVALID);
    assert_int_equal(list_parse_first(STR("n1/x/a:1"), &again), ERR_INVALID);
    assert_int_equal(list_parse_first(STR("n1/1/a:1,n2/1/b:1"), &again),
                     ERR_INVALID);
}

static void a_cluster_is_named_by_its_members_and_domain(void **state)
{
    struct list list = {.n = 0};
    uint8_t one[16], same[16], other[16];
    char why[LIST_WHY];
    char hex[CLUSTER_HEX + 1];

    (void)state;
    assert_int_equal(list_parse("n1=a:1,n2=b:2", &list, why), 0);
    list.entries[0].raft_id = 1;
    list.entries[1].raft_id = 2;
    list_cluster(&list, "roster", one);
    list_cluster(&list, "roster", same);
    assert_memory_equal(one, same, 16);
    list_cluster(&list, "roste", other);
    assert_memory_not_equal(one, other, 16);
    list.entries[1].raft_id = 3; /* A disk was wiped. */
    list_cluster(&list, "roster", other);
    assert_memory_not_equal(one, other, 16);
    cluster_hex(one, hex);
    assert_true(cluster_parse(str_of(hex), same));
    assert_memory_equal(one, same, 16);
    assert_false(cluster_parse(STR("12"), same));
    hex[3] = 'g';
    assert_false(cluster_parse(str_of(hex), same));
}

/* ---- who should vote ----
 *
 * A letter per member: L leads; v votes and lives; s votes and is silent; g
 * votes and is gone; r a learner that is ready; l one that is not. */

static size_t members_of(const char *text, struct voter *list)
{
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        char c = text[n];
        list[n] = (struct voter){
            .votes = c == 'L' || c == 'v' || c == 's' || c == 'g',
            .leads = c == 'L',
            .alive = c == 'L' || c == 'v' || c == 'r',
            .gone = c == 'g',
            .ready = c == 'r',
        };
    }
    return n;
}

struct rule {
    const char *members;
    size_t most;
    enum voters_step step;
    size_t at;
};

static void check_rules(const struct rule *rules, size_t n_rules)
{
    for (size_t i = 0; i < n_rules; i++) {
        struct voter list[16];
        size_t at = 0;
        size_t n = members_of(rules[i].members, list);
        enum voters_step step = voters_next(list, n, rules[i].most, &at);
        if (step != rules[i].step ||
            (step != VOTERS_STAY && at != rules[i].at)) {
            fail_msg("%s of at most %zu: step %d at %zu", rules[i].members,
                     rules[i].most, (int)step, at);
        }
    }
}

#define CHECK_RULES(rules) check_rules(rules, sizeof rules / sizeof rules[0])

static void voters_grow_two_at_a_time(void **state)
{
    static const struct rule rules[] = {
        {"L", 5, VOTERS_STAY, 0},         {"Lr", 5, VOTERS_STAY, 0},
        {"Lrl", 5, VOTERS_STAY, 0},       {"Lrr", 5, VOTERS_PROMOTE, 1},
        {"Lvr", 5, VOTERS_PROMOTE, 2},    {"Lvv", 5, VOTERS_STAY, 0},
        {"Lvvr", 5, VOTERS_STAY, 0},      {"Lvvlrr", 5, VOTERS_PROMOTE, 4},
        {"Lvvlvr", 5, VOTERS_PROMOTE, 5}, {"Lvvvvrr", 5, VOTERS_STAY, 0},
        {"Lvvrr", 3, VOTERS_STAY, 0},     {"Lrr", 1, VOTERS_STAY, 0},
        {"Lv", 5, VOTERS_STAY, 0},        {"Lvl", 5, VOTERS_STAY, 0},
    };

    (void)state;
    CHECK_RULES(rules);
}

static void a_voter_that_is_gone_is_replaced(void **state)
{
    static const struct rule rules[] = {
        {"Lvg", 5, VOTERS_STAY, 0},     /* nobody is there to replace it */
        {"Lvgl", 5, VOTERS_STAY, 0},    /* not ready */
        {"Lvsr", 5, VOTERS_STAY, 0},    /* not silent for long */
        {"Lvgr", 3, VOTERS_PROMOTE, 3}, /* first one more, then one less */
        {"Lvgv", 3, VOTERS_DEMOTE, 2},    {"Lvgv", 5, VOTERS_DEMOTE, 2},
        {"Lvggvr", 5, VOTERS_PROMOTE, 5}, {"Lvggvv", 5, VOTERS_DEMOTE, 3},
        {"Lvggv", 5, VOTERS_STAY, 0},     {"Lvvv", 3, VOTERS_DEMOTE, 3},
        {"Lvsv", 3, VOTERS_DEMOTE, 2}, /* it came back to life in between */
        {"vvvL", 3, VOTERS_DEMOTE, 2}, /* not the leader */
    };

    (void)state;
    CHECK_RULES(rules);
}

static void nothing_is_changed_below_a_majority(void **state)
{
    static const struct rule rules[] = {
        {"Lgg", 3, VOTERS_STAY, 0},   {"Lggr", 3, VOTERS_STAY, 0},
        {"Lggrr", 5, VOTERS_STAY, 0}, {"Lg", 3, VOTERS_STAY, 0},
        {"Lssvr", 5, VOTERS_STAY, 0}, {"Lsrr", 5, VOTERS_STAY, 0},
        {"Lgggv", 5, VOTERS_STAY, 0},
    };

    (void)state;
    CHECK_RULES(rules);
}

/* From any beginning, with everybody who is silent gone for good, the steps
 * come to an end, never below a majority of the voters. */
static void steps_end_and_keep_a_majority(void **state)
{
    static const char kinds[] = "vgrl";

    (void)state;
    for (unsigned long code = 0; code < 4096; code++) {
        char text[8] = "L";
        unsigned long rest = code;
        struct voter list[16];
        size_t at = 0;
        for (size_t i = 1; i < 7; i++, rest /= 4) {
            text[i] = kinds[rest % 4];
        }
        size_t n = members_of(text, list);
        enum voters_step step = VOTERS_STAY;
        unsigned steps = 0;
        while ((step = voters_next(list, n, 5, &at)) != VOTERS_STAY) {
            size_t voters = 0, alive = 0;
            assert_true(steps++ < 16);
            assert_true(step == VOTERS_PROMOTE ? !list[at].votes
                                               : list[at].votes);
            assert_false(list[at].leads);
            list[at].votes = step == VOTERS_PROMOTE;
            list[at].ready = step == VOTERS_DEMOTE && list[at].alive;
            for (size_t i = 0; i < n; i++) {
                voters += list[i].votes;
                alive += list[i].votes && list[i].alive;
            }
            assert_true(alive > voters / 2);
        }
    }
}

static void who_is_needed_is_kept(void **state)
{
    static const struct {
        const char *members;
        size_t at;
        bool may;
    } cases[] = {
        {"L", 0, false},     {"Lr", 0, false},   {"Lr", 1, true},
        {"Lv", 1, true},     {"Lv", 0, true},    {"Lg", 1, true},
        {"Lvv", 1, true},    {"Lvg", 1, false},  {"Lvg", 2, true},
        {"Lvg", 0, false},   {"Lgg", 1, false},  {"Lggl", 3, true},
        {"Lvvgg", 1, false}, {"Lvvgg", 3, true}, {"Lvvv", 1, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct voter list[16];
        size_t n = members_of(cases[i].members, list);
        bool may = voters_keep(list, n, cases[i].at) == NULL;
        if (may != cases[i].may) {
            fail_msg("%s without %zu: %d", cases[i].members, cases[i].at, may);
        }
    }
}

/* ---- what is known ---- */

static void a_members_text_is_read_in_all_its_forms(void **state)
{
    struct known known;
    struct buf out = {0};

    (void)state;
    known_read("10.0.0.1:7071", &known); /* a first release's */
    assert_string_equal(known.id, "");
    assert_string_equal(known.raft, "10.0.0.1:7071");
    known_read("n1 10.0.0.1:7071", &known);
    assert_string_equal(known.id, "n1");
    assert_string_equal(known.raft, "10.0.0.1:7071");
    assert_string_equal(known.http, "");
    known_read("n1 10.0.0.1:7071 10.0.0.1:7070", &known);
    assert_string_equal(known.http, "10.0.0.1:7070");
    known_write(&known, &out);
    assert_string_equal(buf_text(&out), "n1 10.0.0.1:7071 10.0.0.1:7070");
    buf_done(&out);
}

static void what_is_known_is_bounded(void **state)
{
    struct members *members = mem_zero(sizeof *members);

    (void)state;
    members->shown[0].raft_id = 1;
    members->n_shown = 1;
    for (uint64_t id = 1; id <= UINT64_C(3) * KNOWN_MOST; id++) {
        struct known known = {.raft_id = id, .raft = "a:1"};
        assert_true(known_learn(members, &known));
        assert_false(known_learn(members, &known));
        known_remove(members, 1000 + id);
    }
    assert_int_equal(members->n_known, KNOWN_MOST);
    assert_non_null(known_find(members, 1)); /* The member stays. */
    for (uint64_t id = 0; id < UINT64_C(2) * REMOVED_MOST; id++) {
        known_remove(members, 5000 + id);
    }
    assert_int_equal(members->n_removed, REMOVED_MOST);
    assert_true(known_is_removed(members, 5000 + 2 * REMOVED_MOST - 1));
    assert_false(known_is_removed(members, 1001));
    mem_free(members);
}

static void blanks_never_get_into_the_file(void **state)
{
    struct members *members = mem_zero(sizeof *members);
    struct known known = {
        .raft_id = 5, .id = "n 5\nremoved 7", .raft = "a:1", .version = "1 2"};
    struct buf out = {0};

    (void)state;
    (void)known_learn(members, &known);
    known_encode(members, &out);
    assert_string_equal(buf_text(&out), "format 1\nmember 5 - a:1 - -\n");
    buf_done(&out);
    mem_free(members);
}

/* ---- files and frames of a core that does nothing else ---- */

struct kit {
    char dir[64];
    struct core core;
};

static struct kit *kit_new(void)
{
    struct kit *kit = mem_zero(sizeof *kit);

    log_start(LOG_ERROR + 1, LOG_TEXT);
    (void)snprintf(kit->dir, sizeof kit->dir, "/tmp/roster-members-XXXXXX");
    assert_non_null(mkdtemp(kit->dir));
    kit->core.config.data_dir = kit->dir;
    kit->core.config.node_id = "n1";
    kit->core.config.raft_listen = "127.0.0.1:7071";
    kit->core.raft_dir = dir_join(kit->dir, "raft");
    members_init(&kit->core);
    return kit;
}

static void kit_free(struct kit *kit)
{
    char command[128];

    members_done(&kit->core);
    mem_free(kit->core.raft_dir);
    mem_free(kit->core.formed);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", kit->dir);
    assert_int_equal(system(command), 0);
    mem_free(kit);
}

static void kit_write(const struct kit *kit, const char *name, const char *text)
{
    char *path = dir_join(kit->dir, name);
    assert_int_equal(dir_write(path, str_of(text)), 0);
    mem_free(path);
}

static int reopen(struct kit *kit)
{
    kit->core.formed = mem_free(kit->core.formed);
    memset(kit->core.cluster, 0, sizeof kit->core.cluster);
    kit->core.raft_id = 0;
    kit->core.fresh = false;
    kit->core.node_state = NODE_REMOVED;
    return node_open(&kit->core);
}

/* Under load a promotion waits for the learner's last entries. One that died in
 * that moment kept every other change, and leadership where it was, for ten
 * minutes. */
static void a_learner_that_falls_silent_is_not_waited_for(void **state)
{
    struct kit *kit = kit_new();
    struct core *core = &kit->core;
    const unsigned *most_ms = &core->raft.max_catch_up_round_duration;
    uint64_t now_ms = 100000;

    (void)state;
    members_heard(core, 7, now_ms);
    change_look(core, now_ms);
    assert_true(*most_ms > 0); /* Nothing is under way. */
    core->raft.leader_state.promotee_id = 7;
    change_look(core, now_ms + ALIVE_MS - 1);
    assert_true(*most_ms > 0);
    change_look(core, now_ms + ALIVE_MS);
    assert_int_equal(*most_ms, 0);
    members_heard(core, 7, now_ms + ALIVE_MS);
    change_look(core, now_ms + ALIVE_MS);
    assert_true(*most_ms > 0);
    core->members->leaving = 1; /* Nor when this node has to go. */
    change_look(core, now_ms + ALIVE_MS);
    assert_int_equal(*most_ms, 0);
    kit_free(kit);
}

static void a_new_directory_draws_its_raft_id_once(void **state)
{
    struct kit *kit = kit_new();

    (void)state;
    assert_int_equal(node_open(&kit->core), 0);
    assert_int_equal(kit->core.node_state, NODE_NEW);
    uint64_t id = kit->core.raft_id;
    assert_true(id != 0);
    assert_int_equal(reopen(kit), 0);
    assert_int_equal(kit->core.node_state, NODE_NEW);
    assert_true(kit->core.raft_id == id);
    kit_free(kit);
}

static void a_node_file_keeps_what_was_decided(void **state)
{
    struct kit *kit = kit_new();
    struct list list;
    char why[LIST_WHY];

    (void)state;
    assert_int_equal(node_open(&kit->core), 0);
    assert_int_equal(list_parse("n1=a:1,n2=b:2", &list, why), 0);
    list.entries[0].raft_id = kit->core.raft_id;
    list.entries[1].raft_id = 2;
    assert_int_equal(begin_first(&kit->core, &list), 0);
    uint8_t cluster[16];
    memcpy(cluster, kit->core.cluster, sizeof cluster);
    assert_int_equal(reopen(kit), 0);
    assert_int_equal(kit->core.node_state, NODE_FORMING);
    assert_memory_equal(kit->core.cluster, cluster, sizeof cluster);
    assert_int_equal(begin_with(&kit->core), 0);
    assert_int_equal(kit->core.first.n, 2);
    assert_string_equal(kit->core.first.servers[1].address, "n2 b:2");
    raft_configuration_close(&kit->core.first);
    assert_int_equal(node_joined(&kit->core), 0);
    assert_int_equal(reopen(kit), 0);
    assert_int_equal(kit->core.node_state, NODE_JOINED);
    assert_false(kit->core.fresh);
    assert_memory_equal(kit->core.cluster, cluster, sizeof cluster);
    kit_free(kit);
}

static void a_log_that_was_not_begun_is_begun_anew(void **state)
{
    struct kit *kit = kit_new();

    (void)state;
    kit_write(kit, "node",
              "format 1\nid n1\nraft 5\nstate forming\ncluster "
              "00112233445566778899aabbccddeeff\nfirst n1/5/a:1\n");
    assert_int_equal(mkdir(kit->core.raft_dir, 0700), 0);
    char *half = dir_join(kit->core.raft_dir, "metadata1");
    assert_int_equal(dir_write(half, STR("half")), 0);
    assert_int_equal(node_open(&kit->core), 0);
    assert_int_not_equal(access(half, F_OK), 0);
    assert_int_equal(access(kit->core.raft_dir, F_OK), 0);
    /* The log of one that has joined is what it has promised. */
    assert_int_equal(node_joined(&kit->core), 0);
    assert_int_equal(dir_write(half, STR("whole")), 0);
    assert_int_equal(reopen(kit), 0);
    assert_int_equal(access(half, F_OK), 0);
    mem_free(half);
    kit_free(kit);
}

static void a_first_releases_node_file_is_understood(void **state)
{
    struct kit *kit = kit_new();

    (void)state;
    kit_write(kit, "node", "format 1\nid n1\nraft 77\n");
    assert_int_equal(node_open(&kit->core), 0);
    assert_int_equal(kit->core.node_state, NODE_JOINED);
    assert_true(kit->core.fresh);
    assert_true(kit->core.raft_id == 77);
    assert_true(cluster_is_none(kit->core.cluster));
    kit_free(kit);
}

static void a_damaged_node_file_is_refused(void **state)
{
    static const char *const wrong[] = {
        "format 2\nid n1\nraft 77\n",
        "format 1\nid n2\nraft 77\n",
        "format 1\nid n1\nraft 0\n",
        "format 1\nid n1\n",
        "format 1\nid n1\nraft 7\nstate nothing\n",
        "format 1\nid n1\nraft 7\nstate joined\n",
        "format 1\nid n1\nraft 7\nstate joined\ncluster 12\n",
    };
    struct kit *kit = kit_new();

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kit_write(kit, "node", wrong[i]);
        if (reopen(kit) != ERR_INVALID) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
    kit_free(kit);
}

static void a_removed_node_stays_removed(void **state)
{
    struct kit *kit = kit_new();

    (void)state;
    kit_write(kit, "node",
              "format 1\nid n1\nraft 5\nstate joined\ncluster "
              "00112233445566778899aabbccddeeff\n");
    assert_int_equal(node_open(&kit->core), 0);
    members_removed(&kit->core);
    assert_true(atomic_load(&kit->core.status.removed));
    atomic_store(&kit->core.status.removed, false);
    assert_int_equal(reopen(kit), 0);
    assert_int_equal(kit->core.node_state, NODE_REMOVED);
    assert_true(atomic_load(&kit->core.status.removed));
    kit_free(kit);
}

static void peers_come_back_from_their_file(void **state)
{
    struct kit *kit = kit_new();
    char address[CORE_ADDRESS];

    (void)state;
    kit_write(kit, "peers",
              "format 1\nmember 7 n7 h:7071 - 1.0\nremoved 8\nnonsense\n");
    members_done(&kit->core);
    members_init(&kit->core);
    assert_int_equal(members_address(&kit->core, 7, address), 0);
    assert_string_equal(address, "h:7071");
    assert_int_equal(members_address(&kit->core, 9, address), ERR_NOT_FOUND);
    assert_true(known_is_removed(kit->core.members, 8));
    kit_free(kit);
}

static void a_table_goes_from_the_leader_to_the_others(void **state)
{
    struct kit *kit = kit_new(), *other = kit_new();
    struct members *members = kit->core.members;
    struct buf out = {0};
    char address[CORE_ADDRESS];

    (void)state;
    kit->core.raft_id = 1;
    other->core.raft_id = 2;
    members->n_shown = 2;
    members->shown[0] = (struct core_member){
        .raft_id = 1, .self = true, .id = "n1", .raft = "a:1", .http = "a:2"};
    members->shown[1] = (struct core_member){
        .raft_id = 3, .id = "n3", .raft = "c:1", .http = "c:2"};
    known_remove(members, 99);
    members_table_write(&kit->core, &out);
    assert_int_equal(members_table_read(&other->core, buf_str(&out)), 0);
    assert_int_equal(members_address(&other->core, 3, address), 0);
    assert_string_equal(address, "c:1");
    assert_true(known_find(other->core.members, 1)->recent);
    assert_false(known_find(other->core.members, 3)->recent);
    assert_true(known_is_removed(other->core.members, 99));
    for (size_t n = 0; n < out.n; n++) {
        struct str cut = {out.p, n};
        assert_int_equal(members_table_read(&other->core, cut), ERR_INVALID);
    }
    buf_done(&out);
    kit_free(kit);
    kit_free(other);
}

static void a_status_is_read_whole_or_not_at_all(void **state)
{
    struct kit *kit = kit_new();
    struct buf out = {0};

    (void)state;
    buf_add_le(&out, 1234, 8);
    buf_add_le(&out, 1, 4);
    buf_add_le(&out, 2, 4);
    buf_add(&out, "\2n5\3a:1\0\0031.0", 12);
    assert_int_equal(members_status_read(&kit->core, 5, buf_str(&out)), 0);
    assert_true(members_heard_of(kit->core.members, 5)->applied == 1234);
    assert_string_equal(known_find(kit->core.members, 5)->version, "1.0");
    for (size_t n = 0; n < out.n; n++) {
        struct str cut = {out.p, n};
        assert_int_equal(members_status_read(&kit->core, 5, cut), ERR_INVALID);
    }
    buf_add_text(&out, "of a later version");
    assert_int_equal(members_status_read(&kit->core, 5, buf_str(&out)), 0);
    buf_done(&out);
    kit_free(kit);
}

/* ---- texts of calls ---- */

static void a_wish_to_join_is_read(void **state)
{
    struct wish wish = {.kind = CORE_ASK_JOIN};
    char why[CORE_WHY];

    (void)state;
    assert_int_equal(
        wish_parse(STR("{\"id\":\"n2\",\"raft\":\"h:1\",\"http\":\"h:2\","
                       "\"raft_id\":\"18446744073709551615\",\"domain\":"
                       "\"roster\",\"version\":\"1\",\"levels\":[1,2],"
                       "\"replace\":true,\"more\":{}}"),
                   &wish, why),
        0);
    assert_string_equal(wish.who.id, "n2");
    assert_true(wish.who.raft_id == UINT64_MAX);
    assert_int_equal(wish.who.level_least, 1);
    assert_int_equal(wish.who.level_most, 2);
    assert_true(wish.replaces);
}

static void what_is_no_wish_to_join_is_refused_with_a_reason(void **state)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"id\":\"n2\"}",
        "{\"id\":\"n2\",\"raft_id\":\"1\"}",
        "{\"id\":\"n2\",\"raft_id\":1,\"raft\":\"h:1\",\"levels\":[1,2]}",
        "{\"id\":\"n 2\",\"raft_id\":\"1\",\"raft\":\"h:1\",\"levels\":[1,2]}",
        "{\"id\":\"n2\",\"raft_id\":\"0\",\"raft\":\"h:1\",\"levels\":[1,2]}",
        "{\"id\":\"n2\",\"raft_id\":\"1\",\"raft\":\"h\",\"levels\":[1,2]}",
        "{\"id\":\"n2\",\"raft_id\":\"1\",\"raft\":\"h:1\",\"levels\":[2,1]}",
        "{\"id\":\"n2\",\"raft_id\":\"1\",\"raft\":\"h:1\",\"levels\":[2]}",
        "{\"id\":\"n2\",\"raft_id\":\"1\",\"raft\":\"h:1\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct wish wish = {.kind = CORE_ASK_JOIN};
        char why[CORE_WHY] = "";
        if (wish_parse(str_of(wrong[i]), &wish, why) != ERR_INVALID ||
            why[0] == '\0') {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

static void a_reason_names_the_field(void **state)
{
    static const struct {
        const char *text, *names;
    } wrong[] = {
        {"[]", "object"},
        {"{\"id\":1}", "id"},
        {"{\"id\":\"n2\",\"raft\":\"h 1\"}", "raft"},
        {"{\"id\":\"n2\",\"raft_id\":1}", "raft_id"},
        {"{\"id\":\"n2\",\"levels\":[2,1]}", "levels"},
        {"{\"id\":\"n2\",\"replace\":1}", "replace"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct wish wish = {.kind = CORE_ASK_JOIN};
        char why[CORE_WHY] = "";
        assert_int_equal(wish_parse(str_of(wrong[i].text), &wish, why),
                         ERR_INVALID);
        assert_non_null(strstr(why, wrong[i].names));
    }
}

static void who_somebody_is_comes_back_from_its_text(void **state)
{
    struct who who = {.call = "who",
                      .state = "empty",
                      .id = "n1",
                      .raft_id = UINT64_MAX - 1,
                      .list = "n1=a:1",
                      .domain = "roster",
                      .cluster = {1, 2, 3}};
    struct who again;
    struct buf out = {0};

    (void)state;
    who_write(&who, &out);
    assert_int_equal(who_parse(buf_str(&out), &again), 0);
    assert_memory_equal(&who, &again, sizeof who);
    buf_done(&out);
}

static void what_came_of_joining_is_read(void **state)
{
    struct joined joined;

    (void)state;
    assert_int_equal(
        joined_parse(STR("{\"cluster\":\"00112233445566778899aabbccddeeff\","
                         "\"members\":[]}"),
                     &joined),
        0);
    assert_int_equal(joined.code, 0);
    assert_int_equal(joined.cluster[1], 0x11);
    assert_int_equal(
        joined_parse(STR("{\"code\":2,\"detail\":\"taken\"}"), &joined), 0);
    assert_int_equal(joined.code, ERR_CONFLICT);
    assert_string_equal(joined.why, "taken");
    assert_int_equal(
        joined_parse(STR("{\"cluster\":\"00112233445566778899aabbccddeeff\","
                         "\"members\":[{\"id\":\"n1\",\"raft_id\":\"7\","
                         "\"raft\":\"a:1\",\"http\":\"a:2\"}]}"),
                     &joined),
        0);
    assert_int_equal(joined.n_members, 1);
    assert_true(joined.members[0].raft_id == 7);
    assert_string_equal(joined.members[0].raft, "a:1");
    assert_int_equal(
        joined_parse(STR("{\"cluster\":\"00112233445566778899aabbccddeeff\","
                         "\"members\":[{\"id\":\"n1\"}]}"),
                     &joined),
        ERR_INVALID);
    assert_int_equal(joined_parse(STR("{}"), &joined), ERR_INVALID);
    assert_int_equal(joined_parse(STR("nothing"), &joined), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_the_same_in_any_order),
        cmocka_unit_test(what_is_no_list_is_refused_with_the_part),
        cmocka_unit_test(first_members_come_back_from_their_text),
        cmocka_unit_test(a_cluster_is_named_by_its_members_and_domain),
        cmocka_unit_test(voters_grow_two_at_a_time),
        cmocka_unit_test(a_voter_that_is_gone_is_replaced),
        cmocka_unit_test(nothing_is_changed_below_a_majority),
        cmocka_unit_test(steps_end_and_keep_a_majority),
        cmocka_unit_test(who_is_needed_is_kept),
        cmocka_unit_test(a_members_text_is_read_in_all_its_forms),
        cmocka_unit_test(what_is_known_is_bounded),
        cmocka_unit_test(blanks_never_get_into_the_file),
        cmocka_unit_test(a_learner_that_falls_silent_is_not_waited_for),
        cmocka_unit_test(a_new_directory_draws_its_raft_id_once),
        cmocka_unit_test(a_node_file_keeps_what_was_decided),
        cmocka_unit_test(a_log_that_was_not_begun_is_begun_anew),
        cmocka_unit_test(a_first_releases_node_file_is_understood),
        cmocka_unit_test(a_damaged_node_file_is_refused),
        cmocka_unit_test(a_removed_node_stays_removed),
        cmocka_unit_test(peers_come_back_from_their_file),
        cmocka_unit_test(a_table_goes_from_the_leader_to_the_others),
        cmocka_unit_test(a_status_is_read_whole_or_not_at_all),
        cmocka_unit_test(a_wish_to_join_is_read),
        cmocka_unit_test(what_is_no_wish_to_join_is_refused_with_a_reason),
        cmocka_unit_test(a_reason_names_the_field),
        cmocka_unit_test(who_somebody_is_comes_back_from_its_text),
        cmocka_unit_test(what_came_of_joining_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
