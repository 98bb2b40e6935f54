/* A node among others: what it decides itself, what it asks the leader, and
 * what it says when there is none. */
#include "kit.h"
#include "registry/names.h"

#define NS "web.roster"

static void put_lease(struct lease_table *table, struct str hostname,
                      struct ulid id, uint64_t ttl_ms, bool registered,
                      uint64_t mono_ms)
{
    lease_table_put(table,
                    &(struct machine_lease){.hostname = hostname,
                                            .id = id,
                                            .ttl_ms = ttl_ms,
                                            .registered = registered},
                    mono_ms);
}

/* Time is moved by the tests; it does not stand still either. */
static uint64_t ahead_ms;
uint64_t __real_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return __real_clock_mono_ms() + ahead_ms;
}

/* This node, and the one that leads. */
struct pair {
    struct kit *k, *leader;
};

static struct kit *new_node(void)
{
    struct kit *k = kit_new();

    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL,
                            "{\"parent\":\"roster\",\"name\":\"web\","
                            "\"match\":\"^web-\"}"),
                     OP_CREATED);
    return k;
}

static int set_up(void **state)
{
    struct pair *p = mem_zero(sizeof *p);
    struct core *core;

    ahead_ms = 0;
    p->leader = new_node();
    p->k = new_node();
    core = &p->k->core;
    core->leader = p->leader->registry;
    core->status.leads = false;
    core->status.follows = true;
    core->status.leader = 2;
    core->members[0].leads = false;
    core->members[1] = (struct core_member){.id = "n2",
                                            .raft_id = 2,
                                            .role = CORE_VOTER,
                                            .leads = true,
                                            .http = "10.0.0.2:7070",
                                            .raft = "10.0.0.2:7071",
                                            .version = "0.1.0",
                                            .contact_ms = UINT64_MAX};
    core->n_members = 2;
    registry_on_lead(p->k->registry, false);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    kit_free(p->k);
    kit_free(p->leader);
    (void)mem_free(p);
    return 0;
}

static enum op_code add(struct kit *k, const char *ns, const char *body)
{
    return kit_do(k, OP_LIST_ADD, ns, "service", NULL, body);
}

/* Several at once, each with its own wakes. */
struct several {
    struct kit *k;
    struct op ops[4];
    bool woken[4];
};

static void wake_one(struct op *op)
{
    *(bool *)op->user = true;
}

static void begin(struct several *all, struct kit *k, enum op_kind kind,
                  const char *const *ids, size_t n)
{
    *all = (struct several){.k = k};
    for (size_t i = 0; i < n; i++) {
        all->ops[i] = (struct op){.kind = kind,
                                  .arena = arena_new(),
                                  .id = str_of(ids == NULL ? NULL : ids[i]),
                                  .wake = wake_one,
                                  .user = &all->woken[i]};
        assert_int_equal(registry_run(k->registry, &all->ops[i], k->reader),
                         OP_WAIT);
    }
}

static enum op_code finish(struct several *all, size_t i)
{
    assert_true(all->woken[i]);
    assert_int_equal(
        registry_run(all->k->registry, &all->ops[i], all->k->reader), OP_DONE);
    enum op_code code = all->ops[i].answer.code;
    registry_op_done(all->k->registry, &all->ops[i]);
    (void)arena_free(all->ops[i].arena);
    return code;
}

/* ---- writes ---- */

static void a_write_needs_no_leadership(void **state)
{
    struct pair *p = *state;

    assert_int_equal(add(p->k, NS, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(p->k->core.fences, 0);
}

static void make_late(void *user)
{
    struct core *core = user;
    struct command command = {
        .kind = COMMAND_NS_CREATE,
        .tree_rev = UINT64_MAX,
        .ns_create = {.parent = STORE_ROOT, .name = STR("late")},
    };

    core->at_fence = NULL;
    command.tree_rev = machine_view(core->machine).revision;
    (void)kit_apply(core, &command);
}

/* Somebody was told that it is there; this node had not applied it yet. */
static void a_refusal_is_looked_at_again_behind_a_fence(void **state)
{
    struct pair *p = *state;

    p->k->core.at_fence = make_late;
    p->k->core.user = &p->k->core;
    assert_int_equal(add(p->k, "late.roster", "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(p->k->core.fences, 1);
}

static void a_refusal_that_stands_is_answered_after_one_fence(void **state)
{
    struct pair *p = *state;
    unsigned submits = p->k->core.submits;

    assert_int_equal(add(p->k, "no.roster", "{\"name\":\"a\"}"), OP_NOT_FOUND);
    assert_int_equal(p->k->core.fences, 1);
    assert_int_equal(p->k->core.submits, submits);
    assert_true(kit_says(p->k, "no.roster"));
}

static void what_is_wrong_in_itself_needs_no_fence(void **state)
{
    struct pair *p = *state;

    assert_int_equal(kit_do(p->k, OP_AGENT_PUT, NULL, NULL, NULL, "{"),
                     OP_BAD_REQUEST);
    assert_int_equal(
        kit_do(p->k, OP_NS_CREATE, NULL, NULL, NULL, "{\"colour\":\"red\"}"),
        OP_BAD_REQUEST);
    assert_int_equal(p->k->core.fences, 0);
}

static void without_a_quorum_nothing_is_refused_by_an_old_state(void **state)
{
    struct pair *p = *state;

    p->k->core.outcome = ERR_NOT_READY;
    assert_int_equal(add(p->k, "no.roster", "{\"name\":\"a\"}"),
                     OP_UNAVAILABLE);
    assert_int_equal(p->k->op.answer.retry_after_s, 1);
}

/* The fence first: only what is surely not there is looked for by its key. */
static void
a_refused_write_with_a_key_asks_for_it_behind_the_fence(void **state)
{
    struct pair *p = *state;
    unsigned submits = p->k->core.submits;

    kit_op(p->k, OP_LIST_ADD, "no.roster", "service", NULL, "{\"name\":\"a\"}")
        ->if_.idempotency_key = STR("once");
    assert_int_equal(kit_run(p->k), OP_NOT_FOUND);
    assert_int_equal(p->k->core.fences, 1);
    assert_int_equal(p->k->core.submits - submits, 1);
}

static void a_write_sent_to_a_lost_leader_has_an_unknown_outcome(void **state)
{
    struct pair *p = *state;

    p->k->core.outcome = ERR_UNKNOWN;
    assert_int_equal(add(p->k, NS, "{\"name\":\"a\"}"), OP_OUTCOME_UNKNOWN);
    assert_true(p->k->op.answer.outcome_unknown);
}

/* ---- reads ---- */

static void max_stale_bounds_what_a_local_read_may_miss(void **state)
{
    struct pair *p = *state;

    p->k->core.status.stale_ms = 300;
    kit_op(p->k, OP_LIST_GET, NS, "service", NULL, NULL)->query.max_stale_ms =
        299;
    assert_int_equal(kit_run(p->k), OP_UNAVAILABLE);
    assert_int_equal(p->k->op.answer.retry_after_s, 1);
    kit_op(p->k, OP_LIST_GET, NS, "service", NULL, NULL)->query.max_stale_ms =
        300;
    assert_int_equal(kit_run(p->k), OP_OK);
    struct op *op = kit_op(p->k, OP_LIST_GET, NS, "service", NULL, NULL);
    op->query.max_stale_ms = 0;
    op->query.linearizable = true;
    assert_int_equal(kit_run(p->k), OP_OK); /* It is as new as can be. */
    assert_int_equal(p->k->core.fences, 1);
}

static void the_next_page_is_as_fresh_as_the_first(void **state)
{
    struct pair *p = *state;

    assert_int_equal(add(p->k, NS, "[{\"name\":\"a\"},{\"name\":\"b\"}]"),
                     OP_CREATED);
    struct op *op = kit_op(p->k, OP_LIST_GET, NS, "service", NULL, NULL);
    op->query.limit = 1;
    op->query.max_stale_ms = 2000;
    assert_int_equal(kit_run(p->k), OP_OK);
    assert_non_null(
        memmem(op->answer.next.p, op->answer.next.n, "&max_stale=2000ms", 17));
}

static void a_removed_node_says_so_to_everything(void **state)
{
    static const enum op_kind kinds[] = {OP_LIST_GET, OP_LIST_ADD, OP_HEARTBEAT,
                                         OP_SNAPSHOT_LIST, OP_CLUSTER_REMOVE};
    struct pair *p = *state;
    struct registry_check checks[REGISTRY_CHECKS];

    p->k->core.status.removed = true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        assert_int_equal(
            kit_do(p->k, kinds[i], NS, "service", "web-1", "{\"name\":\"a\"}"),
            OP_UNAVAILABLE);
        assert_true(kit_says(p->k, "removed from the cluster"));
    }
    assert_int_equal(kit_do(p->k, OP_CLUSTER_GET, NULL, NULL, NULL, NULL),
                     OP_OK);
    assert_false(registry_ready(p->k->registry, false, checks));
    assert_false(registry_ready(p->k->registry, true, checks));
}

/* ---- ready ---- */

static void a_follower_is_ready_while_it_hears_the_leader(void **state)
{
    struct pair *p = *state;
    struct registry_check checks[REGISTRY_CHECKS];
    struct core_status *status = &p->k->core.status;
    bool *const bad[] = {&status->behind, &status->installing, &status->stalled,
                         &status->draining};

    assert_true(registry_ready(p->k->registry, false, checks));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        *bad[i] = true;
        assert_false(registry_ready(p->k->registry, false, checks));
        assert_true(registry_ready(p->k->registry, true, checks));
        *bad[i] = false;
    }
    status->forming = "waits for n2";
    assert_false(registry_ready(p->k->registry, false, checks));
    status->forming = NULL;
    status->follows = false;
    assert_false(registry_ready(p->k->registry, false, checks));
    assert_true(registry_ready(p->k->registry, true, checks));
}

/* ---- /leader ---- */

static enum op_code ask_leader(struct kit *k)
{
    return kit_do(k, OP_LEADER, NULL, NULL, NULL, NULL);
}

static void a_follower_names_the_leader_and_asks_nobody(void **state)
{
    struct pair *p = *state;

    assert_int_equal(ask_leader(p->k), OP_UNAVAILABLE);
    assert_true(kit_says(p->k, "{\"leader\":false,\"id\":\"n2\",\"address\":"
                               "\"10.0.0.2:7070\",\"term\":3}"));
    assert_int_equal(p->k->core.fences, 0);
    p->k->core.status.leader = 0;
    assert_int_equal(ask_leader(p->k), OP_UNAVAILABLE);
    assert_true(kit_says(p->k, "\"id\":\"\",\"address\":\"\""));
}

static void a_leader_is_one_that_a_quorum_confirms(void **state)
{
    struct pair *p = *state;

    assert_int_equal(ask_leader(p->leader), OP_OK);
    assert_true(kit_says(p->leader, "{\"leader\":true,\"id\":\"n1\""));
    assert_int_equal(p->leader->core.fences, 1);
    p->leader->core.outcome = ERR_NOT_READY;
    assert_int_equal(ask_leader(p->leader), OP_UNAVAILABLE);
    assert_true(kit_says(p->leader, "{\"leader\":false,\"id\":\"\""));
}

/* A fence comes through on any node: it says that somebody leads. */
static void who_lost_the_lead_while_it_asked_does_not_lead(void **state)
{
    struct pair *p = *state;

    p->leader->core.holds_fences = true;
    (void)ask_leader(p->leader);
    assert_true(p->leader->waits);
    p->leader->core.status.term++; /* lost, and won again */
    kit_end_fence(&p->leader->core, 0);
    assert_int_equal(kit_run(p->leader), OP_UNAVAILABLE);
}

static void many_who_ask_at_once_share_a_fence(void **state)
{
    struct pair *p = *state;
    struct core *core = &p->leader->core;
    struct several all;

    core->holds_fences = true;
    begin(&all, p->leader, OP_LEADER, NULL, 4);
    assert_int_equal(core->fences, 1);
    kit_end_fence(core, 0);
    assert_int_equal(core->fences, 2);
    assert_int_equal(finish(&all, 0), OP_OK);
    assert_false(all.woken[1]); /* It came after the fence had gone. */
    kit_end_fence(core, 0);
    assert_int_equal(core->fences, 2);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(finish(&all, i), OP_OK);
    }
}

static void nobody_waits_for_long_to_hear_who_leads(void **state)
{
    struct pair *p = *state;
    struct core *core = &p->leader->core;
    struct several all;

    core->holds_fences = true;
    begin(&all, p->leader, OP_LEADER, NULL, 2);
    registry_on_tick(p->leader->registry);
    assert_false(all.woken[0] || all.woken[1]);
    ahead_ms += 1000;
    registry_on_tick(p->leader->registry);
    assert_int_equal(finish(&all, 0), OP_UNAVAILABLE);
    assert_int_equal(finish(&all, 1), OP_UNAVAILABLE);
    kit_end_fence(core, 0); /* for nobody any more */
    core->holds_fences = false;
    assert_int_equal(ask_leader(p->leader), OP_OK);
}

/* ---- heartbeats ---- */

static enum op_code register_host(struct kit *k, const char *hostname)
{
    char body[64];

    (void)snprintf(body, sizeof body, "{\"hostname\":\"%s\",\"ttl\":\"2s\"}",
                   hostname);
    return kit_do(k, OP_AGENT_PUT, NULL, NULL, NULL, body);
}

static enum op_code beat(struct kit *k, const char *hostname)
{
    return kit_do(k, OP_HEARTBEAT, NULL, NULL, hostname, NULL);
}

/* Even when its table serves still, and knows better. */
static void
a_node_that_does_not_lead_never_answers_from_its_own_table(void **state)
{
    struct pair *p = *state;

    assert_int_equal(register_host(p->k, "web-1"), OP_CREATED);
    registry_on_lead(p->k->registry, true);
    assert_int_equal(beat(p->k, "web-1"), OP_NOT_FOUND);
    assert_int_equal(p->k->core.n_asks, 1);
    assert_int_equal(lease_stats(p->k->leases, 0).heartbeats, 0);
    assert_int_equal(kit_do(p->k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"web-1\"]}"),
                     OP_OK);
    assert_true(kit_says(p->k, "{\"unknown\":[\"web-1\"]}"));
    assert_int_equal(lease_stats(p->k->leases, 0).heartbeats, 0);

    assert_int_equal(register_host(p->leader, "web-1"), OP_CREATED);
    assert_int_equal(beat(p->k, "web-1"), OP_NO_CONTENT);
    assert_int_equal(lease_stats(p->leader->leases, 0).heartbeats, 1);
}

static void heartbeats_that_come_meanwhile_go_together(void **state)
{
    static const char *const hosts[] = {"web-1", "web-2", "web-3", "web-4"};
    struct pair *p = *state;
    struct core *core = &p->k->core;
    struct several all;

    assert_int_equal(register_host(p->leader, "web-1"), OP_CREATED);
    assert_int_equal(register_host(p->leader, "web-3"), OP_CREATED);
    core->holds_asks = true;
    begin(&all, p->k, OP_HEARTBEAT, hosts, 4);
    assert_int_equal(core->n_asks, 1);
    assert_int_equal(core->asked.n, 6);
    kit_end_ask(core);
    assert_int_equal(finish(&all, 0), OP_NO_CONTENT);
    assert_int_equal(core->n_asks, 2);
    assert_int_equal(core->asked.n, 18);
    kit_end_ask(core);
    assert_int_equal(core->n_asks, 2);
    assert_int_equal(finish(&all, 1), OP_NOT_FOUND);
    assert_int_equal(finish(&all, 2), OP_NO_CONTENT);
    assert_int_equal(finish(&all, 3), OP_NOT_FOUND);
}

static void without_a_leader_all_heartbeats_are_told_so(void **state)
{
    static const char *const hosts[] = {"web-1", "web-2", "web-3"};
    struct pair *p = *state;
    struct several all;

    p->k->core.leader = NULL;
    p->k->core.holds_asks = true;
    begin(&all, p->k, OP_HEARTBEAT, hosts, 3);
    kit_end_ask(&p->k->core);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(finish(&all, i), OP_UNAVAILABLE);
    }
    assert_int_equal(p->k->core.n_asks, 1);
    p->k->core.holds_asks = false;
    assert_int_equal(kit_do(p->k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"a\",\"b\"]}"),
                     OP_UNAVAILABLE);
}

static void spare(struct str hostname, struct ulid id, void *user)
{
    lease_spare(user, hostname, id);
}

static void note(struct str hostname, struct ulid id, void *user)
{
    (void)hostname;
    (void)id;
    (void)user;
}

static void spare_all(void *user)
{
    struct kit *leader = user;
    struct lease_info info;

    assert_int_equal(lease_get(leader->leases, STR("web-1"), 0, &info), 0);
    spare(STR("web-1"), info.id, leader->leases);
}

/* The leader has proposed its end: behind a fence it is known here too. */
static void an_ending_lease_is_asked_for_again_behind_a_fence(void **state)
{
    struct pair *p = *state;
    uint64_t now = clock_mono_ms();

    assert_int_equal(register_host(p->leader, "web-1"), OP_CREATED);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t end = now + 3000; now < end; now += LEASE_TICK_MS) {
            (void)lease_tick(p->leader->leases, now, 10, note, NULL);
        }
        p->k->core.at_fence = spare_all;
        p->k->core.user = p->leader;
        p->k->core.fences = 0;
        assert_int_equal(i == 0
                             ? (int)beat(p->k, "web-1")
                             : (int)kit_do(p->k, OP_HEARTBEATS, NULL, NULL,
                                           NULL, "{\"hostnames\":[\"web-1\"]}"),
                         i == 0 ? OP_NO_CONTENT : OP_OK);
        assert_int_equal(p->k->core.fences, 1);
        p->k->core.at_fence = NULL;
    }
    assert_true(kit_says(p->k, "{\"unknown\":[]}"));
}

static void a_leader_that_does_not_serve_yet_is_waited_for(void **state)
{
    struct pair *p = *state;

    registry_on_lead(p->leader->registry, false);
    assert_int_equal(beat(p->k, "web-1"), OP_UNAVAILABLE);
    assert_int_equal(kit_do(p->k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"web-1\"]}"),
                     OP_UNAVAILABLE);
    assert_true(p->k->core.fences > 2);
}

static void more_than_one_question_can_carry_goes_in_several(void **state)
{
    enum { N = 10000, LONG = 200 };
    struct pair *p = *state;
    struct buf body = {0};

    assert_int_equal(register_host(p->leader, "web-1"), OP_CREATED);
    buf_add_text(&body, "{\"hostnames\":[\"web-1\",\"\"");
    for (unsigned i = 2; i < N; i++) {
        buf_printf(&body, ",\"h%0*u\"", LONG, i);
    }
    buf_add_text(&body, "]}");
    assert_int_equal(
        kit_do(p->k, OP_HEARTBEATS, NULL, NULL, NULL, buf_text(&body)), OP_OK);
    assert_int_equal(p->k->core.n_asks, 3);
    assert_true(kit_says(p->k, "{\"unknown\":[\"\",\"h0"));
    size_t n = 0;
    for (size_t i = 0; i < p->k->op.answer.body.n; i++) {
        n += p->k->op.answer.body.p[i] == 'h';
    }
    assert_int_equal(n, N - 2);
    buf_done(&body);
}

/* The core loop stood still: others may have chosen another leader. */
static void a_leader_that_stood_still_asks_before_it_answers(void **state)
{
    struct pair *p = *state;
    struct kit *leader = p->leader;

    assert_int_equal(register_host(leader, "web-1"), OP_CREATED);
    registry_on_tick(leader->registry);
    assert_int_equal(beat(leader, "web-1"), OP_NO_CONTENT);
    assert_int_equal(leader->core.fences, 0);
    ahead_ms += 5000;
    assert_int_equal(beat(leader, "web-1"), OP_NO_CONTENT);
    assert_int_equal(leader->core.fences, 1);
    leader->core.outcome = ERR_NOT_READY;
    assert_int_equal(beat(leader, "web-1"), OP_UNAVAILABLE);
}

/* ---- agents ---- */

static void what_is_alive_is_told_by_the_leader(void **state)
{
    struct pair *p = *state;

    assert_int_equal(register_host(p->leader, "web-1"), OP_CREATED);
    assert_int_equal(register_host(p->k, "web-1"), OP_CREATED);
    assert_int_equal(register_host(p->k, "web-2"), OP_CREATED);
    assert_int_equal(kit_do(p->k, OP_AGENT_GET, NULL, NULL, "web-1", NULL),
                     OP_OK);
    assert_true(kit_says(p->k, "{\"hostname\":\"web-1\",\"state\":\"alive\","
                               "\"last_heartbeat_ms\":"));
    assert_int_equal(kit_do(p->k, OP_AGENT_LIST, NULL, NULL, NULL, NULL),
                     OP_OK);
    assert_true(kit_says(p->k, "[{\"hostname\":\"web-1\",\"state\":\"alive\""));
    assert_true(kit_says(p->k, "{\"hostname\":\"web-2\",\"state\":null,"
                               "\"last_heartbeat_ms\":null,\"ttl_ms\":2000,"));
    assert_int_equal(p->k->core.n_asks, 2);
    assert_true(p->k->op.answer.revision > 0);
    assert_int_equal(kit_do(p->k, OP_AGENT_GET, NULL, NULL, "web-3", NULL),
                     OP_NOT_FOUND);
}

static void what_is_alive_is_null_when_nobody_tells(void **state)
{
    struct pair *p = *state;

    assert_int_equal(register_host(p->k, "web-1"), OP_CREATED);
    p->k->core.holds_asks = true;
    (void)kit_do(p->k, OP_AGENT_GET, NULL, NULL, "web-1", NULL);
    assert_true(p->k->waits);
    ahead_ms += 1000;
    registry_on_tick(p->k->registry);
    assert_false(p->k->waits);
    assert_int_equal(kit_run(p->k), OP_OK);
    assert_true(kit_says(p->k, "\"state\":null,\"last_heartbeat_ms\":null"));
    kit_end_ask(&p->k->core); /* The answer comes too late for anybody. */
    p->k->core.status.leader = 0;
    assert_int_equal(kit_do(p->k, OP_AGENT_LIST, NULL, NULL, NULL, NULL),
                     OP_OK);
    assert_true(kit_says(p->k, "\"state\":null,\"last_heartbeat_ms\":null"));
    assert_int_equal(p->k->core.n_asks, 1);
}

/* ---- the cluster ---- */

static void the_view_of_the_cluster_is_the_leader_s(void **state)
{
    struct pair *p = *state;

    p->leader->core.members[0].applied = 77;
    p->leader->core.members[0].version[0] = 'v';
    assert_int_equal(kit_do(p->k, OP_CLUSTER_GET, NULL, NULL, NULL, NULL),
                     OP_OK);
    assert_true(kit_says(p->k, "{\"cluster\":\"abababababababababababababababab"
                               "\",\"term\":3,\"leader\":\"n1\",\"nodes\":["
                               "{\"id\":\"n1\",\"role\":\"leader\","));
    assert_true(kit_says(p->k, "\"applied\":77,\"last_contact_ms\":0,"
                               "\"version\":\"v\""));
}

static void without_a_leader_the_view_is_what_is_known_here(void **state)
{
    struct pair *p = *state;

    p->k->core.holds_asks = true;
    (void)kit_do(p->k, OP_CLUSTER_GET, NULL, NULL, NULL, NULL);
    assert_true(p->k->waits);
    ahead_ms += 1000;
    registry_on_tick(p->k->registry);
    assert_int_equal(kit_run(p->k), OP_OK);
    assert_true(kit_says(p->k, "\"leader\":\"n2\",\"nodes\":[{\"id\":\"n1\","
                               "\"role\":\"voter\","));
    assert_true(kit_says(p->k, "{\"id\":\"n2\",\"role\":\"leader\",\"http\":"
                               "\"10.0.0.2:7070\",\"raft\":\"10.0.0.2:7071\","
                               "\"applied\":null,\"last_contact_ms\":null,"
                               "\"version\":\"0.1.0\","));
    kit_end_ask(&p->k->core);
}

static void a_change_of_the_cluster_is_the_leader_s_to_judge(void **state)
{
    static const struct {
        uint32_t code;
        enum op_code says;
    } rows[] = {
        {ERR_CONFLICT, OP_CONFLICT},     {ERR_FORBIDDEN, OP_CONFLICT},
        {ERR_NOT_FOUND, OP_NOT_FOUND},   {ERR_INVALID, OP_BAD_REQUEST},
        {ERR_NOT_READY, OP_UNAVAILABLE},
    };
    struct pair *p = *state;
    struct core *core = &p->k->core;

    core->says = "because";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        core->code = rows[i].code;
        assert_int_equal(
            kit_do(p->k, OP_CLUSTER_REMOVE, NULL, NULL, "n3", NULL),
            rows[i].says);
        assert_true(kit_says(p->k, "because"));
        assert_true(str_is(buf_str(&core->asked), "{\"id\":\"n3\"}"));
        assert_int_equal(kit_do(p->k, OP_CLUSTER_JOIN, NULL, NULL, NULL, "{}"),
                         rows[i].says);
    }
    core->code = 0;
    core->says = "{\"id\":\"n3\"}";
    assert_int_equal(
        kit_do(p->k, OP_CLUSTER_JOIN, NULL, NULL, NULL, "{\"id\":\"n3\"}"),
        OP_CREATED);
    assert_true(kit_says(p->k, "{\"id\":\"n3\"}"));
    assert_true(str_is(buf_str(&core->asked), "{\"id\":\"n3\"}"));
    assert_int_equal(kit_do(p->k, OP_CLUSTER_REMOVE, NULL, NULL, "n3", NULL),
                     OP_NO_CONTENT);
    core->says = "n2";
    assert_int_equal(
        kit_do(p->k, OP_CLUSTER_TRANSFER, NULL, NULL, NULL, "{\"to\":\"n2\"}"),
        OP_OK);
    assert_true(kit_says(p->k, "{\"leader\":\"n2\"}"));
    assert_true(str_is(buf_str(&core->asked), "{\"id\":\"n2\"}"));
    assert_int_equal(kit_do(p->k, OP_CLUSTER_TRANSFER, NULL, NULL, NULL, NULL),
                     OP_OK);
    assert_true(str_is(buf_str(&core->asked), "{\"from\":\"2\"}"));
    core->says = NULL;
    core->leader = NULL;
    assert_int_equal(kit_do(p->k, OP_CLUSTER_REMOVE, NULL, NULL, "n3", NULL),
                     OP_UNAVAILABLE);
}

static void what_is_no_description_of_a_node_is_asked_of_nobody(void **state)
{
    struct pair *p = *state;

    assert_int_equal(kit_do(p->k, OP_CLUSTER_JOIN, NULL, NULL, NULL, ""),
                     OP_BAD_REQUEST);
    assert_int_equal(kit_do(p->k, OP_CLUSTER_JOIN, NULL, NULL, NULL, "{"),
                     OP_BAD_REQUEST);
    assert_int_equal(
        kit_do(p->k, OP_CLUSTER_TRANSFER, NULL, NULL, NULL, "{\"to\":3}"),
        OP_BAD_REQUEST);
    assert_int_equal(p->k->core.n_asks, 0);
}

static uint32_t code_for(struct kit *leader, uint32_t kind, struct str request)
{
    struct core_ask ask = {.kind = kind, .request = request};
    struct kit_asked asked = {.asked = {.kind = kind, .request = request},
                              .ask = &ask};

    registry_on_ask(leader->registry, &asked.asked);
    buf_done(&ask.reply);
    return ask.code;
}

static void a_question_nobody_understands_is_refused(void **state)
{
    struct pair *p = *state;
    struct buf names = {0};

    assert_int_equal(code_for(p->leader, 99, STR("")), ERR_INVALID);
    assert_int_equal(code_for(p->leader, CORE_ASK_FIRST + 1, STR("\5we")),
                     ERR_INVALID);
    assert_int_equal(code_for(p->leader, CORE_ASK_FIRST + 1, STR("\0")),
                     ERR_INVALID);
    for (unsigned i = 0; i <= NAMES_MOST; i++) {
        names_add(&names, STR("a"));
    }
    assert_int_equal(code_for(p->leader, CORE_ASK_FIRST + 1, buf_str(&names)),
                     ERR_INVALID);
    names.n -= 2;
    assert_int_equal(code_for(p->leader, CORE_ASK_FIRST + 1, buf_str(&names)),
                     0);
    buf_done(&names);
}

static void peers_have_metrics(void **state)
{
    struct pair *p = *state;
    struct buf out = {0};

    p->k->core.members[1].live = true;
    p->k->core.members[1].applied = 1;
    p->k->core.members[1].contact_ms = 1250;
    p->k->core.members[1].state = "pipeline";
    registry_metrics(p->k->registry, &out);
    const char *text = buf_text(&out);
    assert_non_null(strstr(text, "roster_cluster_voters 2\n"));
    assert_non_null(strstr(text, "roster_peer_applied_index{peer=\"n2\"} 1\n"));
    assert_non_null(
        strstr(text, "roster_peer_last_contact_seconds{peer=\"n2\"} 1.250\n"));
    assert_non_null(strstr(text, "roster_peer_state{peer=\"n2\",role=\"leader\""
                                 ",state=\"pipeline\"} 1\n"));
    buf_done(&out);
}

/* ---- taking over ---- */

static void a_new_leader_knows_what_it_applied_as_a_follower(void **state)
{
    struct pair *p = *state;

    assert_int_equal(register_host(p->k, "web-1"), OP_CREATED);
    assert_int_equal(register_host(p->k, "web-2"), OP_CREATED);
    assert_int_equal(kit_do(p->k, OP_AGENT_DELETE, NULL, NULL, "web-2", NULL),
                     OP_NO_CONTENT);
    p->k->core.status.leads = true;
    p->k->core.status.leader = 1;
    registry_on_lead(p->k->registry, true);
    assert_int_equal(beat(p->k, "web-1"), OP_NO_CONTENT);
    assert_int_equal(beat(p->k, "web-2"), OP_NOT_FOUND);
    assert_int_equal(p->k->core.n_asks, 0);
}

static void a_state_that_came_from_elsewhere_brings_its_leases(void **state)
{
    struct pair *p = *state;

    assert_int_equal(register_host(p->k, "web-1"), OP_CREATED);
    lease_table_clear(p->k->leases);
    put_lease(p->k->leases, STR("old"), (struct ulid){{1}}, 2000, false, 0);
    registry_on_restored(p->k->registry);
    assert_false(lease_table_serves(p->k->leases));
    p->k->core.status.leads = true;
    registry_on_lead(p->k->registry, true);
    assert_int_equal(beat(p->k, "web-1"), OP_NO_CONTENT);
    assert_int_equal(beat(p->k, "old"), OP_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_write_needs_no_leadership),
        TEST(a_refusal_is_looked_at_again_behind_a_fence),
        TEST(a_refusal_that_stands_is_answered_after_one_fence),
        TEST(what_is_wrong_in_itself_needs_no_fence),
        TEST(without_a_quorum_nothing_is_refused_by_an_old_state),
        TEST(a_refused_write_with_a_key_asks_for_it_behind_the_fence),
        TEST(a_write_sent_to_a_lost_leader_has_an_unknown_outcome),
        TEST(max_stale_bounds_what_a_local_read_may_miss),
        TEST(the_next_page_is_as_fresh_as_the_first),
        TEST(a_removed_node_says_so_to_everything),
        TEST(a_follower_is_ready_while_it_hears_the_leader),
        TEST(a_follower_names_the_leader_and_asks_nobody),
        TEST(a_leader_is_one_that_a_quorum_confirms),
        TEST(who_lost_the_lead_while_it_asked_does_not_lead),
        TEST(many_who_ask_at_once_share_a_fence),
        TEST(nobody_waits_for_long_to_hear_who_leads),
        TEST(a_node_that_does_not_lead_never_answers_from_its_own_table),
        TEST(heartbeats_that_come_meanwhile_go_together),
        TEST(without_a_leader_all_heartbeats_are_told_so),
        TEST(an_ending_lease_is_asked_for_again_behind_a_fence),
        TEST(a_leader_that_does_not_serve_yet_is_waited_for),
        TEST(more_than_one_question_can_carry_goes_in_several),
        TEST(a_leader_that_stood_still_asks_before_it_answers),
        TEST(what_is_alive_is_told_by_the_leader),
        TEST(what_is_alive_is_null_when_nobody_tells),
        TEST(the_view_of_the_cluster_is_the_leader_s),
        TEST(without_a_leader_the_view_is_what_is_known_here),
        TEST(a_change_of_the_cluster_is_the_leader_s_to_judge),
        TEST(what_is_no_description_of_a_node_is_asked_of_nobody),
        TEST(a_question_nobody_understands_is_refused),
        TEST(peers_have_metrics),
        TEST(a_new_leader_knows_what_it_applied_as_a_follower),
        TEST(a_state_that_came_from_elsewhere_brings_its_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
