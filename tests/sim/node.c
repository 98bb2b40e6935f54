/* One process: libraft, what it applies to, and the duties of a leader. */
#include <stdio.h>

#include "base/err.h"
#include "sim.h"

/* ---- clocks ---- */

uint64_t node_mono(const struct node *node)
{
    return 1000000 + node->sim->now + node->mono_ahead;
}

uint64_t node_wall(const struct node *node)
{
    return (uint64_t)(INT64_C(1700000000000) + (int64_t)node->sim->now +
                      node->wall_ahead);
}

/* ---- raft_io: what is neither disk nor network ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static void ticks(struct node *node, void *arg)
{
    sim_after(node->sim, HEARTBEAT_MS, node, node->life, ticks, arg, NULL);
    node->tick(&node->io);
    agents_tick(node);
}

static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick,
                    raft_io_recv_cb recv)
{
    struct node *node = io->impl;

    node->tick = tick;
    node->recv = recv;
    sim_after(node->sim, sim_between(node->sim, 1, ms), node, node->life, ticks,
              NULL, NULL);
    return 0;
}

static raft_time io_time(struct raft_io *io)
{
    return node_mono(io->impl);
}

static int io_random(struct raft_io *io, int min, int max)
{
    struct node *node = io->impl;

    return min + (int)sim_chance(node->sim, (uint64_t)(max - min));
}

/* ---- raft_fsm ---- */

static void commit(struct node *node)
{
    int r = machine_commit(node->state.machine);
    if (r != 0) {
        sim_fail(node->sim, "node %u cannot commit: %s", node->slot,
                 err_text(r));
    }
}

/* The number that a request id carries; 0: it was no client of ours. */
static uint64_t number_of(struct str command)
{
    return le_get(command.p + 28, 8);
}

static void tell_waiting(struct node *node, uint64_t index, struct str bytes,
                         const struct machine_result *results)
{
    struct command_pack pack;
    struct str command;

    if (command_pack_open(bytes, &pack) != 0) {
        return;
    }
    for (size_t i = 0; command_pack_next(&pack, &command) == 0; i++) {
        order_saw(node, number_of(command), index, &results[i]);
        if (command_is(command, COMMAND_EPOCH)) {
            order_saw_epoch(node, le_get(command.p + 36, 8));
        }
    }
}

static void apply_entry(struct node *node, uint64_t index, struct str bytes)
{
    struct machine_result results[64] = {0};
    struct command_pack pack = {0};

    if (command_pack_open(bytes, &pack) != 0 || pack.n > 64) {
        sim_fail(node->sim, "node %u: entry %llu is no pack", node->slot,
                 (unsigned long long)index);
        return;
    }
    bool known = index <= state_applied(node);
    int r = ERR_BUSY;
    /* One node cuts here, another there. */
    while (r == ERR_BUSY) {
        machine_slice(node->state.machine, (index + node->slot) % 4);
        r = machine_apply(node->state.machine, index, bytes, results);
    }
    if (r != 0) {
        sim_fail(node->sim, "node %u cannot apply %llu: %s at %s", node->slot,
                 (unsigned long long)index, err_text(r), err_origin());
        return;
    }
    if (!known) {
        if (node->sim->config.broken == BREAK_DIRTY && node->slot == 1) {
            results[0].revision += index % 50 == 0;
        }
        check_applied(node, index, bytes, results, pack.n);
        tell_waiting(node, index, bytes, results);
        if (index % node->sim->check.digest_every == 0) {
            commit(node);
            check_digest(node, index);
        }
    }
    for (size_t i = 0; i < pack.n; i++) {
        machine_result_done(&results[i]);
    }
}

/* BREAK_ORDER: one entry waits for the next. */
static bool held_back(struct node *node, uint64_t index, struct str bytes)
{
    struct sim *sim = node->sim;

    if (sim->config.broken == BREAK_SKIP && node->slot == 1 &&
        sim_odds(sim, 5)) {
        return true;
    }
    if (sim->config.broken != BREAK_ORDER || node->slot != 1 ||
        index <= state_applied(node)) {
        return false;
    }
    if (node->held.n == 0 && sim_odds(sim, 20)) {
        buf_add_str(&node->held, bytes);
        node->held_index = index;
        return true;
    }
    if (node->held.n > 0) {
        apply_entry(node, node->held_index, bytes);
        apply_entry(node, index, buf_str(&node->held));
        buf_clear(&node->held);
        return true;
    }
    return false;
}

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf,
                 void **result)
{
    struct node *node = fsm->data;
    uint64_t index = raft_last_applied(&node->raft) + 1;
    struct str bytes = {buf->base, buf->len};

    *result = NULL;
    if (!held_back(node, index, bytes)) {
        apply_entry(node, index, bytes);
    }
    return 0;
}

/* A word in its place: the state is copied when the snapshot is written. */
static int snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[],
                    unsigned *n_bufs)
{
    struct node *node = fsm->data;
    const struct raft *raft = &node->raft;

    /* libraft stores the members that it knows to be committed, and those may
     * be older than the snapshot: while a change is told to it that was
     * applied, or when another one, not committed, took the place of that. */
    if (raft->configuration_uncommitted_index != 0 &&
        node->sim->config.broken != BREAK_MEMBERS) {
        return RAFT_BUSY;
    }
    commit(node);
    *n_bufs = 1;
    *bufs = raft_calloc(1, sizeof **bufs);
    (*bufs)[0].len = 8;
    (*bufs)[0].base = raft_calloc(1, 8);
    return 0;
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct node *node = fsm->data;
    struct sim *sim = node->sim;

    commit(node);
    uint64_t before = state_applied(node);
    /* What the store has it keeps: it may be ahead of libraft's log. */
    if (before < node->disk.image.index) {
        sim->stats.installs++;
        state_replace(node, (struct str){buf->base, buf->len});
        sim_tell(sim, node, "state replaced", before, state_applied(node));
        order_replaced(node);
    }
    raft_free(buf->base);
    return 0;
}

static void trace(struct raft_tracer *tracer, int type, const void *info)
{
    const struct raft_tracer_info *line = info;
    struct node *node = tracer->impl;

    if (type == RAFT_TRACER_DIAGNOSTIC && node->sim->config.verbose &&
        strncmp(line->diagnostic.message, "> timeout as f", 14) != 0) {
        (void)fprintf(stderr, "%8llu n%u   raft: %s\n",
                      (unsigned long long)node->sim->now, node->slot,
                      line->diagnostic.message);
    }
}

/* ---- start and end ---- */

static void init_raft(struct node *node)
{
    struct raft *raft = &node->raft;

    memset(&node->io, 0, sizeof node->io);
    node->io.version = 2;
    node->io.capacity = 60000;
    node->io.impl = node;
    node->io.init = io_init;
    node->io.start = io_start;
    node->io.time = io_time;
    node->io.random = io_random;
    node->io.send = net_send_raft;
    disk_methods(&node->io);
    node->fsm = (struct raft_fsm){.version = 3,
                                  .data = node,
                                  .apply = apply,
                                  .snapshot = snapshot,
                                  .restore = restore};
    memset(raft, 0, sizeof *raft);
    if (raft_init(raft, &node->io, &node->fsm, node->id, node->address) != 0) {
        sim_fail(node->sim, "raft_init: %s", raft_errmsg(raft));
        return;
    }
    node->tracer = (struct raft_tracer){node, 2, trace};
    raft->tracer = &node->tracer;
    raft_set_election_timeout(raft, ELECTION_MS);
    raft_set_heartbeat_timeout(raft, HEARTBEAT_MS);
    raft_set_install_snapshot_timeout(raft, 2000);
    raft_set_pre_vote(raft, true);
    raft_set_capacity_threshold(raft, 0);
    raft_set_snapshot_threshold(raft, node->sim->threshold);
    raft_set_snapshot_trailing(raft, node->sim->trailing);
    raft_set_max_catch_up_rounds(raft, 20);
    raft_set_max_catch_up_round_duration(raft, 2000);
}

static void bootstrap(struct node *node)
{
    struct sim *sim = node->sim;
    struct raft_configuration conf;

    raft_configuration_init(&conf);
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        (void)raft_configuration_add(&conf, sim->nodes[i].id,
                                     sim->nodes[i].address, RAFT_VOTER);
    }
    if (raft_bootstrap(&node->raft, &conf) != 0) {
        sim_fail(sim, "node %u cannot be bootstrapped", node->slot);
    }
    raft_configuration_close(&conf);
}

void node_start(struct node *node, bool first)
{
    struct sim *sim = node->sim;

    heap_init(&node->heap);
    heap_enter(&node->heap);
    node->up = true;
    node->life = ++sim->lives;
    node->stalled_until = 0;
    node->checked = node->commit = 0;
    order_init(node);
    sim_tell(sim, node, "starts", node->id, state_applied(node));
    init_raft(node);
    if (first) {
        bootstrap(node);
    }
    node->revision = machine_view(node->state.machine).revision;
    int r = raft_start(&node->raft);
    if (r != 0) {
        sim_fail(sim, "node %u does not start: %s", node->slot,
                 raft_errmsg(&node->raft));
        return;
    }
    node_turn(node);
}

static void die(struct node *node)
{
    node->up = false;
    node->stalled_until = 0;
    node->led_term = 0;
    node->serving = false;
    node->epoch = 0;
    node->changing = node->transferring = false;
    node->expiry = NULL;
    node->telling = NULL;
    buf_done(&node->held);
    order_done(node);
    heap_done(&node->heap);
}

void node_crash(struct node *node, enum crash how)
{
    sim_tell(node->sim, node,
             how == CRASH_KILL ? "is killed" : "loses its power", node->id,
             disk_last(&node->disk));
    node->sim->stats.crashes++;
    die(node);
    disk_crash(node);
    if (how == CRASH_KILL) {
        state_restart(node);
    } else {
        state_wipe(node);
    }
}

void node_forget(struct node *node)
{
    sim_tell(node->sim, node, "is taken away", node->id, 0);
    if (node->up) {
        die(node);
    }
    disk_done(&node->disk);
    state_close(node);
    node->id = 0;
}

/* ---- what it is ---- */

bool node_ready(const struct node *node)
{
    return node->id != 0 && node->up && node->stalled_until <= node->sim->now;
}

bool node_leads(const struct node *node)
{
    return node->up && node->raft.state == RAFT_LEADER;
}

struct node *node_by_id(struct sim *sim, raft_id id)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        if (sim->nodes[i].id == id && id != 0) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

static void leadership(struct node *node)
{
    raft_term term = node_leads(node) ? node->raft.current_term : 0;

    if (term == node->led_term) {
        return;
    }
    if (node->led_term != 0) {
        sim_tell(node->sim, node, "leads no more", node->led_term, 0);
        lease_table_halt(node->state.leases);
        node->serving = false;
        node->epoch = 0;
    }
    node->led_term = term;
    if (term != 0) {
        sim_tell(node->sim, node, "leads", term, raft_last_index(&node->raft));
        node->sim->stats.elections++;
        order_lead(node);
    }
}

/* libraft leaves this to its own raft_io: what it has completed waits in a ring
 * (next, previous). Only three requests of a node can be in it. */
static void fire_completed(struct node *node)
{
    void **ring = node->raft.legacy.requests;

    while (ring[0] != ring) {
        void **head = ring[0];
        ring[0] = head[0];
        ((void **)head[0])[1] = ring;
        if (head == node->order.apply.queue) {
            node->order.apply.cb(&node->order.apply, node->order.apply.status,
                                 node->order.apply.result);
        } else if (head == node->change.queue) {
            node->change.cb(&node->change, node->change.status);
        } else if (head == node->transfer.queue) {
            node->transfer.cb(&node->transfer);
        }
    }
}

/* As one turn of the core loop: commit, complete who waits, send the next. */
void node_turn(struct node *node)
{
    heap_enter(&node->heap);
    commit(node);
    fire_completed(node);
    check_node(node);
    leadership(node);
    order_turn(node);
    check_node(node);
    watchers_turn(node);
}
