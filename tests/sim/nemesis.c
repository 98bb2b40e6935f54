/* What goes wrong: the network, the disks, the clocks, the processes, and the
 * operators who change the members meanwhile. */
#include <stdio.h>

#include "sim.h"

static struct node *some(struct sim *sim)
{
    return &sim->nodes[sim_chance(sim, SIM_SLOTS)];
}

static struct node *leader(struct sim *sim)
{
    struct node *found = NULL;

    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        struct node *node = &sim->nodes[i];
        if (node_ready(node) && node_leads(node) &&
            (found == NULL ||
             node->raft.current_term > found->raft.current_term)) {
            found = node;
        }
    }
    return found;
}

/* ---- the network ---- */

static void weather(struct sim *sim)
{
    static const unsigned drops[] = {0, 0, 10, 50, 200};

    sim->drop = drops[sim_chance(sim, 5)];
    sim->duplicate = drops[sim_chance(sim, 5)];
    sim->late = drops[sim_chance(sim, 5)];
    sim_tell(sim, NULL, "weather", sim->drop, sim->late);
}

static void partition(struct sim *sim)
{
    uint64_t side = sim_chance(sim, 1U << SIM_SLOTS);
    bool one_way = sim_odds(sim, 300);

    for (unsigned a = 0; a < SIM_SLOTS; a++) {
        for (unsigned b = 0; b < SIM_SLOTS; b++) {
            bool in_a = (side >> a & 1) != 0, in_b = (side >> b & 1) != 0;
            sim->blocked[a][b] = in_a != in_b && (!one_way || in_a);
        }
    }
    sim_tell(sim, NULL, one_way ? "one-way partition" : "partition", side, 0);
}

static void isolate(struct sim *sim)
{
    struct node *node = sim_odds(sim, 500) ? leader(sim) : some(sim);

    for (unsigned i = 0; node != NULL && i < SIM_SLOTS; i++) {
        sim->blocked[node->slot][i] = true;
        sim->blocked[i][node->slot] = sim_odds(sim, 700);
    }
    sim_tell(sim, node, "isolated", 0, 0);
}

static void reconnect(struct sim *sim)
{
    memset(sim->blocked, 0, sizeof sim->blocked);
    sim_tell(sim, NULL, "connected", 0, 0);
}

/* ---- processes, disks, clocks ---- */

static void come_back(struct node *node, void *arg)
{
    struct node *back = arg;

    (void)node;
    if (back->id != 0 && !back->up) {
        node_start(back, false);
    }
}

static void crash(struct sim *sim, struct node *node)
{
    if (node == NULL || node->id == 0 || !node->up) {
        return;
    }
    node_crash(node, sim_odds(sim, 600) ? CRASH_KILL : CRASH_POWER);
    sim_after(sim, sim_between(sim, 10, 6000), NULL, 0, come_back, node, NULL);
}

static void crash_one(struct sim *sim)
{
    crash(sim, sim_odds(sim, 400) ? leader(sim) : some(sim));
}

static void crash_all(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        crash(sim, &sim->nodes[i]);
    }
}

static void stall(struct sim *sim)
{
    struct node *node = sim_odds(sim, 600) ? leader(sim) : some(sim);

    if (node != NULL && node_ready(node)) {
        node->stalled_until = sim->now + sim_between(sim, 100, 8000);
        sim_tell(sim, node, "stands still", node->stalled_until, 0);
    }
}

static void jump(struct sim *sim)
{
    struct node *node = some(sim);

    if (sim_odds(sim, 500)) {
        node->mono_ahead += sim_between(sim, 100, 20000);
        sim->jumps++;
    } else {
        node->wall_ahead += (int64_t)sim_between(sim, 0, 7200000) - 3600000;
    }
    sim_tell(sim, node, "clock jumps", node->mono_ahead, 0);
}

static void slow_disk(struct sim *sim)
{
    struct node *node = some(sim);

    node->disk.slow_until = sim->now + sim_between(sim, 500, 8000);
    sim_tell(sim, node, "slow disk", node->disk.slow_until, 0);
}

static void agent_dies(struct sim *sim)
{
    struct agent *agent = &sim->agents[sim_chance(sim, SIM_AGENTS)];

    if (agent->registered && agent->running && sim_odds(sim, 400)) {
        agent->running = false;
        sim_tell(sim, NULL, "agent dies", agent->number, 0);
    }
}

static void stall_leader(struct node *none, void *arg)
{
    struct sim *sim = arg;
    struct node *node = leader(sim);

    (void)none;
    if (node != NULL && !sim->calm) {
        node->stalled_until = sim->now + sim_between(sim, 900, 5000);
        sim_tell(sim, node, "stands still", node->stalled_until, 0);
    }
}

/* They are heard of again about when they are given up; and the leader may
 * stand still just before, to give them up long after. */
static void agents_pause(struct sim *sim)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        struct agent *agent = &sim->agents[i];
        uint64_t due = agent->told + agent->ttl_ms;
        if (agent->registered && due > sim->now && sim_odds(sim, 400)) {
            agent->next_at = due + sim_between(sim, 0, 1500) - 500;
            first = due < first ? due : first;
        }
    }
    sim_tell(sim, NULL, "agents pause", first, 0);
    if (first != UINT64_MAX && sim_odds(sim, 700)) {
        sim_after(sim, (first - sim->now) * 9 / 10, NULL, 0, stall_leader, sim,
                  NULL);
    }
}

/* The network between many of them and the servers. */
static void outage(struct sim *sim)
{
    uint64_t until = sim->now + sim_between(sim, 1000, 12000);
    unsigned n = 0;

    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        if (sim_odds(sim, 800)) {
            sim->agents[i].cut_until = until + sim_chance(sim, 1500);
            n++;
        }
    }
    sim_tell(sim, NULL, "outage", n, until);
}

/* Who releases, or extends, through any node. */
static void operate(struct sim *sim)
{
    struct node *node = some(sim);
    struct command c = {.kind = COMMAND_BREAKER};

    if (!node_ready(node) || node->id == 0 ||
        machine_view(node->state.machine).feature_level <
            MACHINE_FEATURE_CHANGES) {
        return;
    }
    struct op *op = op_new(sim, OP_OTHER, 0);
    c.breaker.scope = sim_odds(sim, 500) ? 0 : STORE_POOL;
    c.breaker.what = sim_odds(sim, 500) ? BREAKER_RELEASE : BREAKER_EXTEND;
    c.breaker.hold_ms = sim_between(sim, 1000, SIM_HOLD_MS);
    op_command(op, &c);
    order_submit(node, op);
    node_turn(node);
}

/* ---- members ---- */

static void transferred(struct raft_transfer *req)
{
    struct node *node = req->data;
    node->transferring = false;
}

static void transfer(struct sim *sim)
{
    struct node *node = leader(sim);

    if (node == NULL || node->transferring || node->changing) {
        return;
    }
    heap_enter(&node->heap);
    node->transfer.data = node;
    if (raft_transfer(&node->raft, &node->transfer, 0, transferred) == 0) {
        node->transferring = true;
        sim->stats.transfers++;
        sim_tell(sim, node, "transfers", 0, 0);
    }
    node_turn(node);
}

static void changed(struct raft_change *req, int status)
{
    struct node *node = req->data;

    node->changing = false;
    node->sim->stats.changes += status == 0;
    sim_tell(node->sim, node, "members changed", (uint64_t)status, 0);
}

static struct node *free_slot(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        if (sim->nodes[i].id == 0) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

static void name_node(struct node *node)
{
    node->id = ++node->sim->lives;
    (void)snprintf(node->address, sizeof node->address, "n%u.%llu", node->slot,
                   node->id);
}

static int add(struct node *by)
{
    struct node *node = free_slot(by->sim);

    if (node == NULL) {
        return -1;
    }
    name_node(node);
    node->joined_at = by->sim->now;
    state_open(node);
    node_start(node, false);
    heap_enter(&by->heap);
    return raft_add(&by->raft, &by->change, node->id, node->address, changed);
}

static int change_one(struct node *by)
{
    struct sim *sim = by->sim;
    const struct raft_configuration *conf = &by->raft.configuration;
    const struct raft_server *server = &conf->servers[sim_chance(sim, conf->n)];
    unsigned voters = 0;

    for (unsigned i = 0; i < conf->n; i++) {
        voters += conf->servers[i].role == RAFT_VOTER;
    }
    if (server->role != RAFT_VOTER && sim_odds(sim, 800)) {
        return raft_assign(
            &by->raft, &by->change, server->id,
            server->role == RAFT_SPARE ? RAFT_STANDBY : RAFT_VOTER, changed);
    }
    if (server->id == by->id || (server->role == RAFT_VOTER && voters <= 3)) {
        return -1;
    }
    return raft_remove(&by->raft, &by->change, server->id, changed);
}

static void members(struct sim *sim)
{
    struct node *node = leader(sim);

    if (node == NULL || node->changing || node->transferring ||
        node->raft.legacy.change != NULL || !node->serving ||
        node->raft.configuration_uncommitted_index != 0 ||
        raft_transferee(&node->raft) != 0) {
        return;
    }
    heap_enter(&node->heap);
    node->change.data = node;
    int r = sim_odds(sim, 400) ? add(node) : change_one(node);
    if (r == 0) {
        node->changing = true;
        sim_tell(sim, node, "changes members", node->raft.configuration.n, 0);
    }
    node_turn(node);
}

/* An operator who sees that it is no member any more. */
static void tidy(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        struct node *node = &sim->nodes[i];
        if (node->id != 0 && !check_is_member(sim, node->id) &&
            sim->now > node->joined_at + 15000) {
            node_forget(node);
        }
    }
}

/* ---- all of it ---- */

void nemesis_init(struct sim *sim)
{
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        name_node(&sim->nodes[i]);
        state_open(&sim->nodes[i]);
    }
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        node_start(&sim->nodes[i], true);
    }
    weather(sim);
}

void nemesis_step(struct sim *sim)
{
    static const struct {
        unsigned odds; /* of 1000 */
        void (*act)(struct sim *sim);
    } acts[] = {
        {20, weather},   {20, partition},  {15, isolate},      {60, reconnect},
        {30, crash_one}, {3, crash_all},   {20, stall},        {15, jump},
        {10, slow_disk}, {15, agent_dies}, {40, agents_pause}, {15, transfer},
        {40, members},   {5, tidy},        {12, outage},       {20, operate},
    };
    uint64_t which = sim_chance(sim, 1000);

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (which < acts[i].odds) {
            acts[i].act(sim);
            return;
        }
        which -= acts[i].odds;
    }
}

void nemesis_heal(struct sim *sim)
{
    reconnect(sim);
    sim->calm = true;
    sim->in_order = true; /* An agent may wait for an op longer than its TTL. */
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        struct node *node = &sim->nodes[i];
        node->disk.slow_until = 0;
        if (node->stalled_until > sim->now) {
            node->stalled_until = sim->now;
        }
        if (node->id != 0 && !node->up) {
            node_start(node, false);
        }
    }
    sim_tell(sim, NULL, "healed", 0, 0);
}
