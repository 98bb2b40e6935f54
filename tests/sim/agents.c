/* Agents that register and prove they are alive, some of which die; and what
 * the leader does for them, as src/lease/reaper.c does it. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "sim.h"

struct beat {
    unsigned agent;
    raft_id to;
    unsigned via; /* slot of the node it asked */
    bool hopped;  /* it comes from that node already */
};

void agents_init(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        struct agent *agent = &sim->agents[i];
        agent->sim = sim;
        agent->number = i;
        agent->running = true;
        agent->ttl_ms = sim_between(sim, LEASE_TTL_LEAST_MS, 5000);
        agent->next_at = sim_between(sim, 1000, 6000);
        (void)snprintf(agent->hostname, sizeof agent->hostname, "web-%u", i);
    }
}

static struct agent *agent_by(struct sim *sim, struct str hostname)
{
    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        if (str_is(hostname, sim->agents[i].hostname)) {
            return &sim->agents[i];
        }
    }
    return NULL;
}

/* Any that has a part in it, whether it is up or not. */
static struct node *some_node(struct sim *sim)
{
    unsigned first = (unsigned)sim_chance(sim, SIM_SLOTS);

    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        struct node *node = &sim->nodes[(first + i) % SIM_SLOTS];
        if (node->id != 0 && check_serves(sim, node->id)) {
            return node_ready(node) ? node : NULL;
        }
    }
    return NULL;
}

/* ---- registration ---- */

void agents_enrolled(struct op *op)
{
    struct agent *agent = &op->node->sim->agents[op->subject];
    struct sim *sim = agent->sim;

    if (agent->enrolling != op) {
        return;
    }
    agent->enrolling = NULL;
    if (op->outcome != 0 || op->answer != 0) {
        agent->next_at = sim->now + 300;
        return;
    }
    agent->registered = true;
    agent->next_at = sim->now + agent->ttl_ms / 3;
    agent->told = sim->now;
    /* The leader counts from when it has applied it, at the earliest from when
     * it was sent. [LEASE-4] */
    bool same = ulid_compare(agent->ok_lease, op->lease) == 0;
    sim->stats.refreshes += same;
    if (op->made_at > agent->ok_at || !same) {
        agent->ok_at = op->made_at;
        agent->ok_jumps = sim->jumps;
        agent->ok_lease = op->lease;
    }
}

static void enrol(struct agent *agent, struct node *node)
{
    struct sim *sim = agent->sim;
    struct op *op = op_new(sim, OP_ENROL, agent->number);
    struct command c = {.kind = COMMAND_AGENT_PUT};
    char fields[64];

    (void)snprintf(fields, sizeof fields, "\"hostname\":\"%s\"",
                   agent->hostname);
    c.agent_put.hostname = str_of(agent->hostname);
    c.agent_put.ttl_ms = agent->ttl_ms;
    c.agent_put.fields = str_of(fields);
    c.agent_put.lease = sim_id(sim);
    c.agent_put.pool_id = sim_id(sim);
    op_command(op, &c);
    op->done = agents_enrolled;
    agent->enrolling = op;
    order_submit(node, op);
    node_turn(node);
}

/* ---- heartbeats ---- */

static void promised(struct agent *agent, struct node *node)
{
    struct sim *sim = agent->sim;
    struct lease_info info;

    sim->stats.heartbeats++;
    agent->next_at = sim->now + agent->ttl_ms / 3;
    agent->told = sim->now;
    if (node->led_term < sim->check.serving_term) {
        /* It does not know yet that another leads. */
        sim->stats.deposed_oks++;
        return;
    }
    if (lease_get(node->state.leases, str_of(agent->hostname), node_mono(node),
                  &info) == 0) {
        agent->ok_at = sim->now;
        agent->ok_jumps = sim->jumps;
        agent->ok_lease = info.id;
    }
}

static void serve(struct node *node, struct agent *agent)
{
    int r = lease_heartbeat(node->state.leases, str_of(agent->hostname),
                            node_mono(node));

    sim_tell(node->sim, node, "heartbeat", agent->number, (uint64_t)r);
    if (r == 0) {
        promised(agent, node);
    } else if (r == ERR_NOT_FOUND) {
        agent->registered = false;
        agent->next_at = agent->sim->now;
    }
}

static void beat_release(void *arg)
{
    (void)mem_free(arg);
}

static void *beat_copy(const void *arg)
{
    return mem_dup(arg, sizeof(struct beat));
}

static void beat_arrives(struct node *node, void *arg)
{
    struct beat beat = *(struct beat *)arg;
    struct agent *agent = &node->sim->agents[beat.agent];
    raft_id leader = 0;
    const char *address = NULL;

    if (beat.to != node->id || !agent->running || !agent->registered) {
        return;
    }
    if (node->serving) {
        serve(node, agent);
        return;
    }
    raft_leader(&node->raft, &leader, &address);
    if (!beat.hopped && leader != 0 && leader != node->id) {
        beat.hopped = true;
        beat.to = leader;
        net_send(node, leader, beat_arrives, mem_dup(&beat, sizeof beat),
                 beat_release, beat_copy);
    }
}

static void heartbeat(struct agent *agent, struct node *node)
{
    struct sim *sim = agent->sim;
    struct beat beat = {.agent = agent->number, .to = node->id};

    sim_after(sim, sim_between(sim, 1, 20), node, node->life, beat_arrives,
              mem_dup(&beat, sizeof beat), beat_release);
}

/* It tries again soon, anywhere, until somebody answers. */
static void live(struct agent *agent)
{
    struct sim *sim = agent->sim;
    struct node *node = some_node(sim);

    agent->next_at = sim->now + 150;
    if (node == NULL || agent->enrolling != NULL) {
        return;
    }
    if (agent->registered && sim_chance(sim, 4) != 0) {
        heartbeat(agent, node);
    } else {
        enrol(agent, node);
    }
}

void agents_turn(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        struct agent *agent = &sim->agents[i];
        if (agent->running && agent->next_at <= sim->now &&
            agent->cut_until <= sim->now) {
            live(agent);
        }
    }
}

/* [P5] Here it comes to light. */
void agents_ended(struct node *node, struct str hostname, struct ulid id)
{
    struct sim *sim = node->sim;
    struct agent *agent = agent_by(sim, hostname);

    sim->stats.expired++;
    if (agent == NULL || !agent->running ||
        ulid_compare(agent->ok_lease, id) != 0) {
        return;
    }
    /* A clock that jumps while no time passes takes up to a stall from it. */
    uint64_t stolen = (sim->jumps - agent->ok_jumps) * LEASE_STALL_MS;
    if (sim->now + stolen < agent->ok_at + agent->ttl_ms) {
        sim_fail(sim,
                 "P5: node %u removes %s at %llu though it was promised %llu "
                 "ms at %llu",
                 node->slot, agent->hostname, (unsigned long long)sim->now,
                 (unsigned long long)agent->ttl_ms,
                 (unsigned long long)agent->ok_at);
    }
}

/* ---- the reaper ---- */

static void due(struct str hostname, struct ulid id, void *user)
{
    struct node *node = user;

    (void)snprintf(node->due_names[node->n_due], sizeof node->due_names[0],
                   "%.*s", STR_ARG(hostname));
    node->due[node->n_due].lease = id;
    node->n_due++;
}

/* The table gives them in an order that depends on its own chance. */
static void sort_due(struct node *node)
{
    for (size_t i = 1; i < node->n_due; i++) {
        for (size_t j = i;
             j > 0 && strcmp(node->due_names[j - 1], node->due_names[j]) > 0;
             j--) {
            char name[sizeof node->due_names[0]];
            struct command_lease_item item = node->due[j];
            memcpy(name, node->due_names[j], sizeof name);
            memcpy(node->due_names[j], node->due_names[j - 1], sizeof name);
            memcpy(node->due_names[j - 1], name, sizeof name);
            node->due[j] = node->due[j - 1];
            node->due[j - 1] = item;
        }
    }
}

/* Those that are gone are not in the table any more; the others live on. */
static void decided(struct op *op)
{
    struct node *node = op->node;

    if (node->expiry != op) {
        return; /* Of a process that is no more. */
    }
    for (size_t i = 0; i < node->n_due; i++) {
        lease_spare(node->state.leases, str_of(node->due_names[i]),
                    node->due[i].lease);
    }
    node->expiry = NULL;
}

static void write_expiry(struct node *node, struct op *op)
{
    struct command c = {.kind = COMMAND_EXPIRE};

    for (size_t i = 0; i < node->n_due; i++) {
        node->due[i].hostname = str_of(node->due_names[i]);
    }
    c.expire.epoch = node->expiry_epoch;
    c.expire.leases = node->due;
    c.expire.n_leases = node->n_due;
    buf_clear(&op->bytes);
    op_command(op, &c);
}

bool agents_expire(struct node *node, struct op *op)
{
    size_t n = 0;

    if (node->sim->config.broken == BREAK_REFRESH) {
        return true;
    }
    if (op != node->expiry) {
        return op->node != node; /* Another's is of an earlier epoch. */
    }
    for (size_t i = 0; i < node->n_due; i++) {
        if (!lease_still_due(node->state.leases, str_of(node->due_names[i]),
                             node->due[i].lease)) {
            continue;
        }
        if (n < i) {
            memcpy(node->due_names[n], node->due_names[i],
                   sizeof node->due_names[0]);
        }
        node->due[n++].lease = node->due[i].lease;
    }
    node->sim->stats.spared += node->n_due - n;
    node->n_due = n;
    write_expiry(node, op);
    return n > 0;
}

static void propose(struct node *node)
{
    struct op *op = op_new(node->sim, OP_EXPIRE, 0);

    node->expiry_epoch = node->epoch;
    write_expiry(node, op);
    op->ends_at = node->sim->now + 20000;
    op->done = decided;
    node->expiry = op;
    order_submit(node, op);
    sim_tell(node->sim, node, "expires", node->n_due, node->epoch);
}

static void told(struct op *op)
{
    if (op->node->telling == op) {
        op->node->telling = NULL;
    }
}

static void tell_breaker(struct node *node)
{
    struct command c = {.kind = COMMAND_BREAKER};
    struct lease_breaker_change change;

    if (node->telling != NULL ||
        machine_view(node->state.machine).feature_level <
            MACHINE_FEATURE_CHANGES ||
        lease_table_change(node->state.leases, &change) != 0) {
        return;
    }
    struct op *op = op_new(node->sim, OP_BREAKER, 0);
    c.breaker = (struct command_breaker){.epoch = node->epoch,
                                         .scope = change.scope,
                                         .what = (uint8_t)change.what,
                                         .hold_ms = change.hold_ms,
                                         .n = change.n,
                                         .bad = change.bad};
    op_command(op, &c);
    op->ends_at = node->sim->now + 20000;
    op->done = told;
    node->telling = op;
    order_submit(node, op);
    sim_tell(node->sim, node, "breaker", change.scope, change.what);
}

void agents_tick(struct node *node)
{
    if (!node->serving || !node_leads(node) || node->sim->over) {
        return;
    }
    if (node->epoch == 0) {
        node->epoch = machine_view(node->state.machine).lease_epoch;
    }
    if (node->expiry == NULL) {
        node->n_due = 0;
    }
    (void)lease_tick(node->state.leases, node_mono(node),
                     node->expiry == NULL ? SIM_AGENTS * 2 : 0, due, node);
    if (node->expiry == NULL && node->n_due > 0) {
        sort_due(node);
        propose(node);
    }
    tell_breaker(node);
}
