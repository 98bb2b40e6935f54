/* What must hold after each event, and at the end. The history that was agreed
 * on is what the first node applied at each index: everybody else has to agree,
 * forever. What clients were told has to be in it. */
#include <stdio.h>

#include "base/err.h"
#include "sim.h"

static struct entry_seen *seen(struct check *check, uint64_t index)
{
    if (index >= check->room) {
        size_t room = index + 256;
        check->entries =
            mem_grow(check->entries, room * sizeof *check->entries);
        memset(check->entries + check->room, 0,
               (room - check->room) * sizeof *check->entries);
        check->room = room;
    }
    return &check->entries[index];
}

void check_done(struct check *check)
{
    mem_free(check->entries);
    mem_free(check->leaders);
    mem_free(check->told);
}

/* ---- what a command should have come to ---- */

static int expected(const struct check *check, const struct op *op)
{
    if (op->kind == OP_ADD) {
        return check->rows[op->subject] ? ERR_CONFLICT : 0;
    }
    if (op->kind == OP_DELETE) {
        return check->rows[op->subject] ? 0 : ERR_NOT_FOUND;
    }
    return op->log_answer;
}

static void follow(struct check *check, const struct op *op)
{
    if (op->log_answer != 0) {
        return;
    }
    if (op->kind == OP_ADD) {
        check->rows[op->subject] = true;
    } else if (op->kind == OP_DELETE) {
        check->rows[op->subject] = false;
    } else if (op->kind == OP_PATCH) {
        check->counts[op->subject]++;
    }
}

/* The first time that anybody applies it. */
static void note_op(struct sim *sim, struct op *op, uint64_t index, int answer)
{
    if (op->log_index != 0) {
        sim_fail(sim, "P1: op %llu is applied twice, at %llu and at %llu",
                 (unsigned long long)op->number,
                 (unsigned long long)op->log_index, (unsigned long long)index);
        return;
    }
    op->log_index = index;
    op->log_answer = answer;
    if (answer != ERR_RETRY && answer != expected(&sim->check, op)) {
        sim_fail(sim, "op %llu at %llu came to %s, not to %s",
                 (unsigned long long)op->number, (unsigned long long)index,
                 err_text(answer), err_text(expected(&sim->check, op)));
    }
    if (op->state == OP_ENDED && op->outcome == ERR_NOT_READY) {
        sim_fail(sim, "P1: op %llu was refused, and is applied at %llu",
                 (unsigned long long)op->number, (unsigned long long)index);
    }
    follow(&sim->check, op);
}

/* ---- the breaker ---- */

static void note_state(struct sim *sim, unsigned i,
                       enum machine_breaker_state state)
{
    sim->stats.trips += state == MACHINE_BREAKER_HELD;
    sim->check.scopes[i].state = state;
    sim->check.scopes[i].since = sim->now;
    sim->check.scopes[i].ended = 0;
    sim->check.scopes[i].jumps = sim->jumps;
}

/* What the log makes of it, told a second time. */
static void note_breaker(struct sim *sim, const struct command_breaker *c)
{
    unsigned i = c->scope == 0 ? 0 : 1;
    enum machine_breaker_state state = sim->check.scopes[i].state;

    switch (c->what) {
    case BREAKER_TRIP:
        if (state == MACHINE_BREAKER_CLOSED) {
            note_state(sim, i, MACHINE_BREAKER_HELD);
        }
        return;
    case BREAKER_EXTEND:
        note_state(sim, i, MACHINE_BREAKER_HELD);
        return;
    case BREAKER_CLOSE:
        note_state(sim, i, MACHINE_BREAKER_CLOSED);
        return;
    default:
        if (state == MACHINE_BREAKER_HELD) {
            note_state(sim, i, MACHINE_BREAKER_PACING);
        }
    }
}

/* [P5] [BREAKER-3] A clock that jumps earns up to a stall's time, and what was
 * earned before the log says so is one at most. */
static void note_ended(struct sim *sim, uint64_t n, uint64_t index)
{
    for (unsigned i = 0; i < 2; i++) {
        if (sim->check.scopes[i].state == MACHINE_BREAKER_HELD) {
            sim_fail(sim, "P5: %llu leases end at %llu while they are held",
                     (unsigned long long)n, (unsigned long long)index);
        }
        if (sim->check.scopes[i].state != MACHINE_BREAKER_PACING) {
            continue;
        }
        uint64_t ms = sim->now - sim->check.scopes[i].since +
                      (sim->jumps - sim->check.scopes[i].jumps) * 500;
        sim->check.scopes[i].ended += n;
        sim->stats.paced += n;
        if (sim->check.scopes[i].ended > ms * SIM_RATE / 1000 + 2) {
            sim_fail(sim, "%llu leases ended within %llu ms of pacing",
                     (unsigned long long)sim->check.scopes[i].ended,
                     (unsigned long long)ms);
        }
    }
}

static void note_leases(struct sim *sim, struct str bytes, uint64_t index,
                        const struct machine_result *result)
{
    struct arena *arena = arena_new();
    struct command command;

    if (result->answer == 0 && command_decode(arena, bytes, &command) == 0) {
        if (command.kind == COMMAND_BREAKER) {
            note_breaker(sim, &command.breaker);
        } else if (command.kind == COMMAND_EXPIRE && result->n > 0) {
            note_ended(sim, result->n, index);
        }
    }
    (void)arena_free(arena);
}

static void note_ops(struct sim *sim, uint64_t index, struct str bytes,
                     const struct machine_result *results)
{
    struct command_pack pack;
    struct str command;

    if (command_pack_open(bytes, &pack) != 0) {
        return;
    }
    for (size_t i = 0; command_pack_next(&pack, &command) == 0; i++) {
        uint64_t number = le_get(command.p + 28, 8);
        if (number > 0 && number <= sim->n_ops) {
            note_op(sim, sim->ops[number - 1], index, results[i].answer);
            note_leases(sim, command, index, &results[i]);
        }
    }
}

static uint64_t hash_results(const struct machine_result *results, size_t n)
{
    uint64_t hash = 1;

    for (size_t i = 0; i < n; i++) {
        uint64_t numbers[] = {(uint64_t)results[i].answer,
                              results[i].revision,
                              results[i].created,
                              results[i].changed,
                              results[i].n,
                              results[i].ns,
                              results[i].index};
        hash = sim_hash(hash, numbers, sizeof numbers);
        hash = sim_hash(hash, results[i].id.b, sizeof results[i].id.b);
        hash = sim_hash(hash, results[i].row.p, results[i].row.n);
        hash = sim_hash(hash, results[i].detail.p, results[i].detail.n);
    }
    return hash;
}

void check_applied(struct node *node, uint64_t index, struct str bytes,
                   struct machine_result *results, size_t n)
{
    struct sim *sim = node->sim;
    struct check *check = &sim->check;
    struct entry_seen *entry = seen(check, index);
    uint64_t hash = sim_hash(1, bytes.p, bytes.n);
    uint64_t result = hash_results(results, n);

    if (entry->bytes == 0) {
        entry->bytes = hash;
        entry->result = result;
        if (index < check->applied) {
            sim_fail(sim, "P2: node %u applies %llu, which others left out",
                     node->slot, (unsigned long long)index);
        }
        check->applied = index;
        note_ops(sim, index, bytes, results);
        sim_tell(sim, node, "applies first", index, result);
    } else if (entry->bytes != hash) {
        sim_fail(sim, "P2: node %u applies another entry at %llu", node->slot,
                 (unsigned long long)index);
    } else if (entry->result != result) {
        sim_fail(sim, "P2: on node %u entry %llu came to something else",
                 node->slot, (unsigned long long)index);
    }
}

void check_digest(struct node *node, uint64_t index)
{
    struct entry_seen *entry = seen(&node->sim->check, index);
    uint8_t digest[32];

    if (state_applied(node) != index) {
        return;
    }
    state_digest(node, digest);
    node->sim->stats.digests++;
    if (!entry->has_digest) {
        entry->has_digest = true;
        memcpy(entry->digest, digest, sizeof digest);
    } else if (memcmp(entry->digest, digest, sizeof digest) != 0) {
        sim_fail(node->sim, "P2: the state of node %u at %llu is another",
                 node->slot, (unsigned long long)index);
    }
}

/* ---- libraft ---- */

static void leader_of(struct node *node)
{
    struct check *check = &node->sim->check;
    raft_term term = node->raft.current_term;

    if (!node_leads(node)) {
        return;
    }
    for (size_t i = check->n_leaders; i > 0; i--) {
        if (check->leaders[i - 1].term == term) {
            if (check->leaders[i - 1].leader != node->id) {
                sim_fail(node->sim, "two leaders in term %llu: %llu and %llu",
                         term, check->leaders[i - 1].leader, node->id);
            }
            return;
        }
    }
    if (check->n_leaders == check->leaders_room) {
        check->leaders_room += 64;
        check->leaders = mem_grow(check->leaders,
                                  check->leaders_room * sizeof *check->leaders);
    }
    check->leaders[check->n_leaders].term = term;
    check->leaders[check->n_leaders++].leader = node->id;
}

/* What is committed is the same on every disk, and never another. */
static void committed(struct node *node)
{
    struct check *check = &node->sim->check;
    const struct disk *disk = &node->disk;
    raft_index last = node->raft.commit_index;
    raft_index settled = disk_settled(disk);

    if (node->checked + 1 < disk->first) {
        node->checked = disk->first - 1;
    }
    if (last > settled) {
        last = settled;
    }
    for (raft_index i = node->checked + 1; i <= last; i++) {
        const struct disk_entry *e = disk_get(disk, i);
        uint64_t hash =
            sim_hash(sim_hash(1, e->bytes, e->n), &e->term, sizeof e->term);
        struct entry_seen *entry = seen(check, i);
        if (entry->log == 0) {
            entry->log = hash;
            entry->is_change = e->type == RAFT_CHANGE;
        } else if (entry->log != hash) {
            sim_fail(node->sim, "committed entry %llu is another on node %u", i,
                     node->slot);
        }
        node->checked = i;
    }
}

void check_truncate(struct node *node, raft_index index)
{
    if (index <= node->checked && node->up && index >= node->disk.first &&
        index <= disk_last(&node->disk)) {
        sim_fail(node->sim, "node %u takes away committed entry %llu",
                 node->slot, index);
    }
}

void check_snapshot(struct node *node, const struct disk_image *image)
{
    for (raft_index i = image->conf_index + 1; i <= image->index; i++) {
        if (seen(&node->sim->check, i)->is_change) {
            sim_fail(node->sim,
                     "node %u stores a snapshot at %llu with the members of "
                     "%llu, but they changed at %llu",
                     node->slot, image->index, image->conf_index, i);
        }
    }
}

static void configuration(struct node *node)
{
    struct check *check = &node->sim->check;
    const struct raft *raft = &node->raft;
    const struct raft_configuration *conf = &raft->configuration_committed;

    if (raft->configuration_committed_index <= check->conf_index ||
        conf->n == 0) {
        return;
    }
    check->conf_index = raft->configuration_committed_index;
    check->n_members = conf->n;
    sim_tell(node->sim, node, "members", check->conf_index, conf->n);
    for (unsigned i = 0; i < conf->n; i++) {
        check->members[i].id = conf->servers[i].id;
        check->members[i].role = conf->servers[i].role;
    }
}

bool check_is_member(const struct sim *sim, raft_id id)
{
    for (size_t i = 0; i < sim->check.n_members; i++) {
        if (sim->check.members[i].id == id) {
            return true;
        }
    }
    return false;
}

/* One that has no part in the log cannot answer. */
bool check_serves(const struct sim *sim, raft_id id)
{
    for (size_t i = 0; i < sim->check.n_members; i++) {
        if (sim->check.members[i].id == id) {
            return sim->check.members[i].role != RAFT_SPARE;
        }
    }
    return false;
}

void check_node(struct node *node)
{
    uint64_t revision = machine_view(node->state.machine).revision;

    if (revision < node->revision) {
        sim_fail(node->sim, "P4: on node %u the revision goes back from %llu",
                 node->slot, (unsigned long long)node->revision);
    }
    node->revision = revision;
    if (node->raft.commit_index < node->commit) {
        sim_fail(node->sim, "the commit index of node %u goes back from %llu",
                 node->slot, (unsigned long long)node->commit);
    }
    node->commit = node->raft.commit_index;
    if (node->raft.state == RAFT_UNAVAILABLE) {
        sim_fail(node->sim, "libraft of node %u has given up: %s", node->slot,
                 raft_errmsg(&node->raft));
    }
    leader_of(node);
    committed(node);
    configuration(node);
}

/* ---- what clients were told ---- */

/* Any acknowledged row, on any node that has applied that far. */
void check_random_row(struct node *node)
{
    struct sim *sim = node->sim;
    char key[16];

    if (sim->n_ops == 0 || !node_ready(node) ||
        !machine_view(node->state.machine).initialized) {
        return;
    }
    const struct op *op = sim->ops[sim_chance(sim, sim->n_ops)];
    if (op->kind != OP_ADD || op->state != OP_ENDED || op->outcome != 0 ||
        op->answer != 0 || !sim->check.rows[op->subject] ||
        op->index > state_applied(node)) {
        return;
    }
    (void)snprintf(key, sizeof key, "k%u", op->subject);
    if (!state_has_row(node, "row", key, NULL)) {
        sim_fail(sim, "P1: %s was acknowledged at %llu and is not on node %u",
                 key, (unsigned long long)op->index, node->slot);
    }
}

static void check_op(struct sim *sim, const struct op *op)
{
    if (op->state != OP_ENDED || op->outcome != 0) {
        return;
    }
    if (op->log_index == 0) {
        sim_fail(sim, "P1: op %llu was acknowledged and is lost",
                 (unsigned long long)op->number);
    } else if (op->log_index != op->index || op->log_answer != op->answer) {
        sim_fail(sim, "P1: op %llu was told %s at %llu, it was %s at %llu",
                 (unsigned long long)op->number, err_text(op->answer),
                 (unsigned long long)op->index, err_text(op->log_answer),
                 (unsigned long long)op->log_index);
    }
}

static void check_rows(struct node *node)
{
    struct sim *sim = node->sim;
    uint64_t n = 0;
    char key[16];

    for (unsigned i = 0; i < SIM_ROWS; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        n += sim->check.rows[i];
        if (sim->check.rows[i] && !state_has_row(node, "row", key, NULL)) {
            sim_fail(sim, "P1: %s is not on node %u", key, node->slot);
        }
    }
    if (state_rows(node, "row") != n) {
        sim_fail(sim, "P1: node %u has %llu rows, not %llu", node->slot,
                 (unsigned long long)state_rows(node, "row"),
                 (unsigned long long)n);
    }
}

static void check_counts(struct node *node)
{
    struct sim *sim = node->sim;

    for (unsigned i = 0; i < SIM_COUNTERS; i++) {
        struct buf row = {0};
        char key[16], value[32];
        (void)snprintf(key, sizeof key, "c%u", i);
        (void)snprintf(value, sizeof value, "\"v\":\"%llu\"",
                       (unsigned long long)sim->check.counts[i]);
        bool has = state_has_row(node, "counter", key, &row);
        if (has != (sim->check.counts[i] > 0) ||
            (has && memmem(row.p, row.n, value, strlen(value)) == NULL)) {
            sim_fail(sim, "P1: counter %u of node %u is not %llu", i,
                     node->slot, (unsigned long long)sim->check.counts[i]);
        }
        buf_done(&row);
    }
}

static void check_leases(struct node *node)
{
    struct sim *sim = node->sim;

    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        struct agent *agent = &sim->agents[i];
        bool has = state_has_lease(node, agent->hostname);
        bool kept = has && state_is_spared(node, agent->hostname);
        if (has != agent->running && !kept) {
            sim_fail(sim, "P5: %s %s on node %u", agent->hostname,
                     has ? "is dead and still there" : "is alive and not there",
                     node->slot);
        }
    }
}

void check_end(struct sim *sim)
{
    for (size_t i = 0; i < sim->n_ops; i++) {
        check_op(sim, sim->ops[i]);
    }
    for (unsigned i = 0; i < SIM_SLOTS && !sim->failed; i++) {
        struct node *node = &sim->nodes[i];
        if (node->id == 0 || !check_serves(sim, node->id)) {
            continue;
        }
        if (state_applied(node) != sim->check.applied) {
            sim_fail(sim, "node %u has applied %llu of %llu: it did not heal",
                     node->slot, (unsigned long long)state_applied(node),
                     (unsigned long long)sim->check.applied);
            return;
        }
        check_rows(node);
        check_counts(node);
        check_leases(node);
        check_digest(node, sim->check.applied);
        watchers_end(sim, node);
    }
}
