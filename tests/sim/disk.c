/* The disk of a node: libraft's log, votes and snapshot, and what is on its way
 * there. Writes are done in order; term and vote at once, as libraft's own I/O
 * does it. A snapshot that is taken does not stand in the way of the log. */
#include "sim.h"

enum op_type { APPEND, TRUNCATE, INSTALL };

struct disk_op {
    struct disk_op *next;
    enum op_type type;
    struct disk_entry *entries;
    size_t n;
    raft_index index; /* TRUNCATE */
    struct disk_image image;
    struct raft_io_append *append;
    struct raft_io_snapshot_put *put;
    bool taken; /* a snapshot of this node's own */
    unsigned trailing;
};

static struct node *node_of(struct raft_io *io)
{
    return io->impl;
}

/* ---- what is on it ---- */

static void image_done(struct disk_image *image)
{
    buf_done(&image->conf);
    buf_done(&image->state);
}

static void cut(struct disk *disk, raft_index index)
{
    while (disk->n > 0 && disk_last(disk) >= index) {
        mem_free(disk->log[--disk->n].bytes);
    }
}

static void cut_front(struct disk *disk, raft_index index)
{
    size_t gone = 0;

    while (gone < disk->n && disk->first + gone < index) {
        mem_free(disk->log[gone++].bytes);
    }
    disk->n -= gone;
    disk->first += gone;
    memmove(disk->log, disk->log + gone, disk->n * sizeof *disk->log);
}

static void add(struct disk *disk, struct disk_entry *entry)
{
    if (disk->n == disk->room) {
        disk->room = disk->room == 0 ? 64 : 2 * disk->room;
        disk->log = mem_grow(disk->log, disk->room * sizeof *disk->log);
    }
    disk->log[disk->n++] = *entry;
    entry->bytes = NULL;
}

raft_index disk_last(const struct disk *disk)
{
    return disk->first + disk->n - 1;
}

const struct disk_entry *disk_get(const struct disk *disk, raft_index index)
{
    return index >= disk->first && index <= disk_last(disk)
               ? &disk->log[index - disk->first]
               : NULL;
}

raft_index disk_settled(const struct disk *disk)
{
    raft_index last = disk_last(disk);

    for (const struct disk_op *op = disk->ops; op != NULL; op = op->next) {
        if (op->type == TRUNCATE && op->index <= last) {
            last = op->index - 1;
        } else if (op->type == INSTALL) {
            return 0;
        }
    }
    return last;
}

static void op_free(struct disk_op *op)
{
    for (size_t i = 0; i < op->n; i++) {
        mem_free(op->entries[i].bytes);
    }
    mem_free(op->entries);
    image_done(&op->image);
    mem_free(op);
}

void disk_init(struct disk *disk)
{
    *disk = (struct disk){.first = 1};
    disk->ops_end = &disk->ops;
}

void disk_done(struct disk *disk)
{
    while (disk->ops != NULL) {
        struct disk_op *op = disk->ops;
        disk->ops = op->next;
        op_free(op);
    }
    cut(disk, 0);
    mem_free(disk->log);
    image_done(&disk->image);
    disk_init(disk);
}

/* ---- what is done to it ---- */

static void store_image(struct disk *disk, struct disk_op *op)
{
    image_done(&disk->image);
    disk->image = op->image;
    op->image = (struct disk_image){0};
}

static void do_append(struct disk *disk, struct disk_op *op, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add(disk, &op->entries[i]);
    }
}

static void do_op(struct node *node, struct disk_op *op)
{
    struct disk *disk = &node->disk;

    switch (op->type) {
    case APPEND:
        do_append(disk, op, op->n);
        break;
    case TRUNCATE:
        check_truncate(node, op->index);
        cut(disk, op->index);
        break;
    case INSTALL:
        cut(disk, 0);
        disk->first = op->image.index + 1;
        store_image(disk, op);
        break;
    }
}

static void tell_done(struct disk_op *op)
{
    if (op->append != NULL) {
        op->append->cb(op->append, 0);
    }
    if (op->put != NULL) {
        op->put->cb(op->put, 0);
    }
}

static void next_done(struct node *node, void *arg)
{
    struct disk *disk = &node->disk;
    struct disk_op *op = disk->ops;

    (void)arg;
    disk->ops = op->next;
    if (disk->ops == NULL) {
        disk->ops_end = &disk->ops;
    }
    do_op(node, op);
    tell_done(op);
    op_free(op);
}

static uint64_t latency(struct node *node)
{
    struct sim *sim = node->sim;

    if (sim->now < node->disk.slow_until) {
        return sim_between(sim, 20, 400);
    }
    return sim_between(sim, 0, 4);
}

static void queue(struct node *node, struct disk_op *op, uint64_t least_ms)
{
    struct disk *disk = &node->disk;
    struct sim *sim = node->sim;

    if (disk->busy_until < sim->now) {
        disk->busy_until = sim->now;
    }
    disk->busy_until += latency(node) + least_ms;
    *disk->ops_end = op;
    disk->ops_end = &op->next;
    sim_after(sim, disk->busy_until - sim->now, node, node->life, next_done,
              NULL, NULL);
}

/* What had not been told as done may be there, up to some point. */
void disk_crash(struct node *node)
{
    struct disk *disk = &node->disk;
    struct sim *sim = node->sim;

    while (disk->ops != NULL) {
        struct disk_op *op = disk->ops;
        if (sim_odds(sim, 400)) {
            if (op->type == APPEND) {
                do_append(disk, op, sim_chance(sim, op->n + 1));
            }
            break;
        }
        disk->ops = op->next;
        do_op(node, op);
        op_free(op);
    }
    while (disk->ops != NULL) {
        struct disk_op *op = disk->ops;
        disk->ops = op->next;
        op_free(op);
    }
    disk->ops_end = &disk->ops;
    disk->busy_until = 0;
    if (sim->config.broken == BREAK_SYNC && disk->n > 3 && sim_odds(sim, 500)) {
        cut(disk, disk_last(disk) - sim_chance(sim, 3));
    }
    if (sim->config.broken == BREAK_VOTE) {
        disk->vote = 0;
    }
}

/* ---- raft_io ---- */

/* One batch holds the bytes of all. */
static void load_entries(const struct disk *disk, struct raft_entry **ret,
                         size_t *ret_n)
{
    size_t bytes = 0;

    *ret_n = disk->n;
    *ret = NULL;
    if (disk->n == 0) {
        return;
    }
    for (size_t i = 0; i < disk->n; i++) {
        bytes += disk->log[i].n;
    }
    char *batch = raft_malloc(bytes);
    *ret = raft_calloc(disk->n, sizeof **ret);
    char *at = batch;
    for (size_t i = 0; i < disk->n; i++) {
        const struct disk_entry *e = &disk->log[i];
        memcpy(at, e->bytes, e->n);
        (*ret)[i].term = e->term;
        (*ret)[i].type = (enum raft_entry_type)e->type;
        (*ret)[i].buf = (struct raft_buffer){at, e->n};
        (*ret)[i].batch = batch;
        at += e->n;
    }
}

static struct raft_snapshot *load_image(const struct disk_image *image)
{
    if (image->state.n == 0) {
        return NULL;
    }
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    struct raft_buffer conf = {image->conf.p, image->conf.n};
    snapshot->index = image->index;
    snapshot->term = image->term;
    snapshot->configuration_index = image->conf_index;
    raft_configuration_init(&snapshot->configuration);
    (void)raft_configuration_decode(&conf, &snapshot->configuration);
    snapshot->bufs = raft_calloc(1, sizeof *snapshot->bufs);
    snapshot->n_bufs = 1;
    snapshot->bufs[0].len = image->state.n;
    snapshot->bufs[0].base = raft_malloc(image->state.n);
    memcpy(snapshot->bufs[0].base, image->state.p, image->state.n);
    return snapshot;
}

static int load(struct raft_io *io, raft_term *term, raft_id *vote,
                struct raft_snapshot **snapshot, raft_index *start_index,
                struct raft_entry *entries[], size_t *n_entries)
{
    struct disk *disk = &node_of(io)->disk;

    if (disk->image.state.n > 0 && disk_last(disk) < disk->image.index) {
        return RAFT_CORRUPT; /* As libraft's own I/O has it. */
    }
    *term = disk->term;
    *vote = disk->vote;
    *start_index = disk->first;
    *snapshot = load_image(&disk->image);
    load_entries(disk, entries, n_entries);
    return 0;
}

static int bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    struct disk *disk = &node_of(io)->disk;
    struct raft_buffer bytes;

    if (disk->term != 0 || disk->n > 0) {
        return RAFT_CANTBOOTSTRAP;
    }
    if (raft_configuration_encode(conf, &bytes) != 0) {
        return RAFT_INVALID;
    }
    struct disk_entry entry = {1, RAFT_CHANGE, mem_dup(bytes.base, bytes.len),
                               bytes.len};
    raft_free(bytes.base);
    disk->term = 1;
    add(disk, &entry);
    return 0;
}

static int recover(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    return RAFT_IOERR;
}

static int set_term(struct raft_io *io, raft_term term)
{
    struct disk *disk = &node_of(io)->disk;

    disk->term = term;
    disk->vote = 0;
    return 0;
}

static int set_vote(struct raft_io *io, raft_id id)
{
    node_of(io)->disk.vote = id;
    return 0;
}

static int append(struct raft_io *io, struct raft_io_append *req,
                  const struct raft_entry entries[], unsigned n,
                  raft_io_append_cb cb)
{
    struct disk_op *op = mem_zero(sizeof *op);

    req->cb = cb;
    op->type = APPEND;
    op->append = req;
    op->n = n;
    op->entries = mem_zero(n * sizeof *op->entries);
    for (unsigned i = 0; i < n; i++) {
        op->entries[i] = (struct disk_entry){
            entries[i].term, (int)entries[i].type,
            mem_dup(entries[i].buf.base, entries[i].buf.len),
            entries[i].buf.len};
    }
    queue(node_of(io), op, 0);
    return 0;
}

static int truncate_log(struct raft_io *io, raft_index index)
{
    struct disk_op *op = mem_zero(sizeof *op);

    op->type = TRUNCATE;
    op->index = index;
    queue(node_of(io), op, 0);
    return 0;
}

static void taken_release(void *arg)
{
    op_free(arg);
}

/* The state is copied when the write ends: it may hold more than the snapshot's
 * index says, as the state files of the product do. */
static void taken(struct node *node, void *arg)
{
    struct disk_op *op = arg;
    struct disk *disk = &node->disk;

    /* A leader commits what a quorum has, though its own disk is slow. A
     * snapshot beyond the end of the log on the disk makes libraft's start fail
     * after a crash. */
    if (node->raft.last_stored < op->image.index &&
        node->sim->config.broken != BREAK_AHEAD) {
        struct disk_op *again = mem_dup(op, sizeof *op);
        *op = (struct disk_op){0};
        sim_after(node->sim, 5, node, node->life, taken, again, taken_release);
        return;
    }
    check_snapshot(node, &op->image);
    state_image(node, &op->image.state);
    if (op->image.index > disk->image.index) {
        store_image(disk, op);
        if (disk->image.index > op->trailing) {
            cut_front(disk, disk->image.index - op->trailing);
        }
    }
    node->sim->stats.snapshots++;
    sim_tell(node->sim, node, "snapshot taken", disk->image.index, disk->n);
    tell_done(op);
}

static int snapshot_put(struct raft_io *io, unsigned trailing,
                        struct raft_io_snapshot_put *req,
                        const struct raft_snapshot *snapshot,
                        raft_io_snapshot_put_cb cb)
{
    struct node *node = node_of(io);
    struct disk_op *op = mem_zero(sizeof *op);
    struct raft_buffer conf;

    req->cb = cb;
    op->type = INSTALL;
    op->put = req;
    op->trailing = trailing;
    op->image.index = snapshot->index;
    op->image.term = snapshot->term;
    op->image.conf_index = snapshot->configuration_index;
    if (raft_configuration_encode(&snapshot->configuration, &conf) != 0) {
        return RAFT_INVALID;
    }
    buf_add(&op->image.conf, conf.base, conf.len);
    raft_free(conf.base);
    uint64_t takes_ms = sim_between(node->sim, 1, 150);
    if (trailing > 0) {
        sim_after(node->sim, takes_ms, node, node->life, taken, op,
                  taken_release);
        return 0;
    }
    buf_add(&op->image.state, snapshot->bufs[0].base, snapshot->bufs[0].len);
    queue(node, op, takes_ms);
    return 0;
}

static void got(struct node *node, void *arg)
{
    struct raft_io_snapshot_get *req = arg;
    req->cb(req, load_image(&node->disk.image), 0);
}

static int snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req,
                        raft_io_snapshot_get_cb cb)
{
    struct node *node = node_of(io);

    req->cb = cb;
    sim_after(node->sim, sim_between(node->sim, 1, 100), node, node->life, got,
              req, NULL);
    return 0;
}

void disk_methods(struct raft_io *io)
{
    io->load = load;
    io->bootstrap = bootstrap;
    io->recover = recover;
    io->set_term = set_term;
    io->set_vote = set_vote;
    io->append = append;
    io->truncate = truncate_log;
    io->snapshot_put = snapshot_put;
    io->snapshot_get = snapshot_get;
}
