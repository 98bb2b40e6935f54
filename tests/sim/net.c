/* The network: what is sent is lost, late, doubled or overtaken as the weather
 * has it. */
#include <assert.h>

#include "sim.h"

/* ---- fate ---- */

static uint64_t delay(struct sim *sim, unsigned from, unsigned to)
{
    uint64_t ms = sim_between(sim, 1, 5);

    if (!sim->calm && sim_odds(sim, sim->late)) {
        ms += sim_between(sim, 20, 1500);
    }
    uint64_t at = sim->now + ms;
    if (sim->in_order) {
        if (at < sim->arrives[from][to]) {
            at = sim->arrives[from][to];
        }
        sim->arrives[from][to] = at;
    }
    return at - sim->now;
}

void net_send(struct node *from, raft_id to, event_func *deliver, void *arg,
              void (*release)(void *), void *(*copy)(const void *))
{
    struct sim *sim = from->sim;
    struct node *node = node_by_id(sim, to);

    if (node == NULL || sim->blocked[from->slot][node->slot] ||
        (!sim->calm && sim_odds(sim, sim->drop))) {
        release(arg);
        return;
    }
    if (!sim->calm && sim_odds(sim, sim->duplicate)) {
        sim_after(sim, delay(sim, from->slot, node->slot), node, 0, deliver,
                  copy(arg), release);
    }
    sim_after(sim, delay(sim, from->slot, node->slot), node, 0, deliver, arg,
              release);
}

/* ---- libraft's messages ---- */

/* Between two processes: its memory is nobody's. */
struct letter {
    raft_id from, to;
    char address[24];
    struct raft_message message;
    struct disk_entry *entries;
    size_t n;
    struct buf conf, data;
};

static void letter_free(void *arg)
{
    struct letter *letter = arg;

    for (size_t i = 0; i < letter->n; i++) {
        mem_free(letter->entries[i].bytes);
    }
    mem_free(letter->entries);
    buf_done(&letter->conf);
    buf_done(&letter->data);
    mem_free(letter);
}

static void *letter_copy(const void *arg)
{
    const struct letter *from = arg;
    struct letter *letter = mem_dup(from, sizeof *from);

    letter->entries = mem_zero((from->n + 1) * sizeof *letter->entries);
    for (size_t i = 0; i < from->n; i++) {
        letter->entries[i] = from->entries[i];
        letter->entries[i].bytes =
            mem_dup(from->entries[i].bytes, from->entries[i].n);
    }
    letter->conf = letter->data = (struct buf){0};
    buf_add_str(&letter->conf, buf_str(&from->conf));
    buf_add_str(&letter->data, buf_str(&from->data));
    return letter;
}

/* As it comes from a wire: the entries in one batch. */
static void open_entries(const struct letter *letter,
                         struct raft_append_entries *args)
{
    size_t bytes = 0;

    args->entries = NULL;
    if (letter->n == 0) {
        return;
    }
    for (size_t i = 0; i < letter->n; i++) {
        bytes += letter->entries[i].n;
    }
    char *at = raft_malloc(bytes);
    void *batch = at;
    args->entries = raft_calloc(letter->n, sizeof *args->entries);
    for (size_t i = 0; i < letter->n; i++) {
        const struct disk_entry *e = &letter->entries[i];
        memcpy(at, e->bytes, e->n);
        args->entries[i].term = e->term;
        args->entries[i].type = (enum raft_entry_type)e->type;
        args->entries[i].buf = (struct raft_buffer){at, e->n};
        args->entries[i].batch = batch;
        at += e->n;
    }
}

static void open_snapshot(const struct letter *letter,
                          struct raft_install_snapshot *args)
{
    struct raft_buffer conf = {letter->conf.p, letter->conf.n};

    raft_configuration_init(&args->conf);
    (void)raft_configuration_decode(&conf, &args->conf);
    args->data.len = letter->data.n;
    args->data.base = raft_malloc(letter->data.n);
    memcpy(args->data.base, letter->data.p, letter->data.n);
}

/* Entries that a snapshot took the place of: libraft forgets to skip them. When
 * they begin with the first of all it appends them behind its last; else it
 * refuses, and the leader asks further and further back. A snapshot holds only
 * what is committed, so the leader has the same up to there. */
static void skip_known(const struct raft *raft,
                       struct raft_append_entries *args)
{
    raft_index known = raft->trail.snapshot.index;
    size_t skip = args->n_entries;

    if (args->prev_log_index >= raft->trail.offset ||
        args->prev_log_index >= known || args->term < raft->current_term) {
        return;
    }
    if (known - args->prev_log_index < skip) {
        skip = (size_t)(known - args->prev_log_index);
    }
    args->n_entries -= (unsigned)skip;
    if (args->n_entries > 0) {
        assert(args->entries != NULL);
        memmove(args->entries, args->entries + skip,
                args->n_entries * sizeof *args->entries);
    } else if (args->entries != NULL) {
        raft_free(args->entries[0].batch);
        raft_free(args->entries);
        args->entries = NULL;
    }
    args->prev_log_index = known;
    args->prev_log_term = raft->trail.snapshot.term;
}

/* An older message that says of a newer commit would move libraft's commit
 * index back to the last entry that it carries. */
static void keep_commit(const struct raft *raft,
                        struct raft_append_entries *args)
{
    if (args->prev_log_index + args->n_entries < raft->commit_index &&
        args->leader_commit > raft->commit_index) {
        args->leader_commit = raft->commit_index;
    }
}

/* Libraft knows of one change of the members that is not committed: when
 * another one comes in the message that commits the first, it forgets that the
 * first was committed. A snapshot, or a rollback, would bring back the members
 * before both. So what is committed is told before. */
static void commit_first(struct node *node, const struct raft_message *message)
{
    struct raft_message before = *message;

    if (message->append_entries.entries == NULL ||
        message->append_entries.entries[0].type != RAFT_CHANGE ||
        node->sim->config.broken == BREAK_MEMBERS) {
        return;
    }
    before.append_entries.entries = NULL;
    before.append_entries.n_entries = 0;
    keep_commit(&node->raft, &before.append_entries);
    node->recv(&node->io, &before);
}

/* Libraft answers a snapshot of an earlier term with success and a last index
 * that it has not set. Who sent it and leads again takes that for a match, and
 * commits what nobody else has. */
static bool is_stale(const struct node *node,
                     const struct raft_message *message)
{
    return message->type == RAFT_INSTALL_SNAPSHOT &&
           message->install_snapshot.term < node->raft.current_term &&
           node->sim->config.broken != BREAK_STALE;
}

/* Libraft asks of every answer to a vote whether it was to an election or to
 * the trial before it; where a candidate notes that, a follower has a byte of
 * the address of its leader's name. In most memories the byte is not 0, and the
 * answer comes to nothing; else the follower takes over the term. */
static bool is_late_vote(const struct node *node,
                         const struct raft_message *message)
{
    const struct raft *raft = &node->raft;

    return message->type == RAFT_REQUEST_VOTE_RESULT &&
           raft->state == RAFT_FOLLOWER &&
           raft->follower_state.current_leader.address != NULL;
}

static void deliver(struct node *node, void *arg)
{
    struct letter *letter = arg;
    struct raft_message message = letter->message;

    if (node->id != letter->to || is_stale(node, &message) ||
        is_late_vote(node, &message)) {
        return; /* Another may live there by now. */
    }
    if (message.type == RAFT_INSTALL_SNAPSHOT &&
        node->raft.legacy.snapshot_taking) {
        /* libraft 0.22.1 would use what it has just forgotten. */
        sim_after(node->sim, 5, node, node->life, deliver, letter_copy(letter),
                  letter_free);
        return;
    }
    message.server_id = letter->from;
    message.server_address = letter->address;
    if (message.type == RAFT_APPEND_ENTRIES) {
        open_entries(letter, &message.append_entries);
        skip_known(&node->raft, &message.append_entries);
        commit_first(node, &message);
        keep_commit(&node->raft, &message.append_entries);
    } else if (message.type == RAFT_INSTALL_SNAPSHOT) {
        sim_tell(node->sim, node, "is sent a snapshot",
                 message.install_snapshot.last_index, letter->from);
        open_snapshot(letter, &message.install_snapshot);
    }
    node->recv(&node->io, &message);
}

static void post(struct node *node, const struct raft_message *message,
                 const struct raft_entry *entries, size_t n)
{
    struct letter *letter = mem_zero(sizeof *letter);
    const struct raft_install_snapshot *install = &message->install_snapshot;
    struct raft_buffer conf;

    letter->message = *message;
    letter->from = node->id;
    letter->to = message->server_id;
    memcpy(letter->address, node->address, sizeof letter->address);
    letter->entries = mem_zero((n + 1) * sizeof *letter->entries);
    letter->n = n;
    for (size_t i = 0; i < n; i++) {
        letter->entries[i] = (struct disk_entry){
            entries[i].term, (int)entries[i].type,
            mem_dup(entries[i].buf.base, entries[i].buf.len),
            entries[i].buf.len};
    }
    if (message->type == RAFT_INSTALL_SNAPSHOT) {
        (void)raft_configuration_encode(&install->conf, &conf);
        buf_add(&letter->conf, conf.base, conf.len);
        raft_free(conf.base);
        buf_add(&letter->data, install->data.base, install->data.len);
        /* libraft may send a newer snapshot than it meant to, with the term of
         * the older one. */
        letter->message.install_snapshot.last_term = node->disk.image.term;
    }
    net_send(node, message->server_id, deliver, letter, letter_free,
             letter_copy);
}

/* A follower of libraft 0.22.1 notes a wrong index for a configuration that is
 * not the first entry of its message: each begins a message of its own. */
static void post_entries(struct node *node, const struct raft_message *message)
{
    const struct raft_append_entries *all = &message->append_entries;
    struct raft_message part = *message;
    unsigned begin = 0;

    do {
        unsigned end = begin + (all->n_entries > 0);
        while (end < all->n_entries && all->entries[end].type != RAFT_CHANGE) {
            end++;
        }
        part.append_entries.prev_log_index = all->prev_log_index + begin;
        part.append_entries.prev_log_term =
            begin == 0 ? all->prev_log_term : all->entries[begin - 1].term;
        part.append_entries.n_entries = end - begin;
        post(node, &part, begin == end ? NULL : all->entries + begin,
             end - begin);
        begin = end;
    } while (begin < all->n_entries);
}

static void sent(struct node *node, void *arg)
{
    struct raft_io_send *req = arg;

    (void)node;
    req->cb(req, 0);
}

int net_send_raft(struct raft_io *io, struct raft_io_send *req,
                  const struct raft_message *message, raft_io_send_cb cb)
{
    struct node *node = io->impl;

    req->cb = cb;
    if (message->type == RAFT_APPEND_ENTRIES) {
        post_entries(node, message);
    } else {
        post(node, message, NULL, 0);
    }
    sim_after(node->sim, sim_chance(node->sim, 3), node, node->life, sent, req,
              NULL);
    return 0;
}
