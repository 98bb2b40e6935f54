/* What a node has applied: a machine on an LMDB store in memory (tmpfs), and
 * its lease table. A crash of the process leaves the store as it is: LMDB's
 * pages are the kernel's. A power cut leaves nothing of it. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "machine/leased.h"
#include "sim.h"

#define MAP_BYTES (UINT64_C(32) << 20)

static void must(struct node *node, int r, const char *what)
{
    if (r != 0) {
        sim_fail(node->sim, "node %u: %s: %s at %s", node->slot, what,
                 err_text(r), err_origin());
        (void)fprintf(stderr, "%s\n", node->sim->why);
        abort();
    }
}

static void place(const struct node *node, unsigned generation, char ret[96])
{
    (void)snprintf(ret, 96, "%.60s/n%u.%u", node->sim->config.dir, node->slot,
                   generation);
}

static void remove_dir(const char *dir)
{
    char file[128];

    (void)snprintf(file, sizeof file, "%s/data.mdb", dir);
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/lock.mdb", dir);
    (void)unlink(file);
    (void)rmdir(dir);
}

/* ---- what the machine tells ---- */

static void lease_put(void *user, const struct machine_lease *lease)
{
    struct node *node = user;

    lease_table_put(node->state.leases, lease, node_mono(node));
}

static void lease_del(void *user, struct str hostname, struct ulid id)
{
    struct node *node = user;

    lease_table_del(node->state.leases, hostname, id);
    agents_ended(node, hostname, id);
}

static void breaker(void *user, const struct machine_breaker *told)
{
    struct node *node = user;

    if (node->sim->config.broken != BREAK_BREAKER &&
        (node->sim->config.broken != BREAK_PACE ||
         told->state != MACHINE_BREAKER_PACING)) {
        lease_table_breaker(node->state.leases, told, node_mono(node));
    }
}

static void load_breaker(struct node *node, struct store_txn *txn)
{
    struct machine_breaker told = {.scope = 0};
    const uint64_t *after = NULL;
    uint64_t scope = 0;

    while (machine_breaker_next(txn, after, &told) == 0) {
        breaker(node, &told);
        scope = told.scope;
        after = &scope;
    }
}

static void load_leases(struct node *node)
{
    struct arena *arena = arena_new();
    struct store_txn *txn = NULL;
    struct store_lease lease;
    struct str after = STR_NONE;

    lease_table_clear(node->state.leases);
    must(node, store_read_begin(node->state.reader, &txn), "read");
    while (store_lease_next(txn, after, arena, &lease) == 0) {
        struct machine_lease told;
        must(node, machine_lease_read(txn, &lease, arena, &told), "lease");
        lease_table_put(node->state.leases, &told, node_mono(node));
        after = lease.hostname;
    }
    load_breaker(node, txn);
    store_read_end(txn);
    arena_free(arena);
}

/* ---- its life ---- */

static void begin(struct node *node)
{
    struct state *s = &node->state;
    struct machine_hooks hooks = {.lease_user = node,
                                  .lease_put = lease_put,
                                  .lease_del = lease_del,
                                  .changed_user = node,
                                  .changed = watchers_changed,
                                  .breaker = breaker};

    s->cache = cache_new(1 << 20);
    s->machine = machine_new(s->store, s->cache, &hooks);
    s->leases = lease_table_new();
    lease_table_configure(
        s->leases,
        &(struct lease_breaker_config){
            .percent = 45, .min = 4, .hold_ms = SIM_HOLD_MS, .rate = SIM_RATE});
    must(node, machine_load(s->machine), "load");
    watchers_open(node);
    load_leases(node);
}

static void end(struct node *node)
{
    struct state *s = &node->state;

    s->machine = machine_free(s->machine);
    watchers_close(node);
    s->leases = lease_table_free(s->leases);
    s->cache = cache_free(s->cache);
}

void state_open(struct node *node)
{
    struct state *s = &node->state;

    place(node, ++s->generation, s->dir);
    struct store_config config = {s->dir, MAP_BYTES, 16, 4};
    must(node, store_open(&config, &s->store), "open");
    must(node, store_reader_new(s->store, &s->reader), "reader");
    begin(node);
}

void state_close(struct node *node)
{
    struct state *s = &node->state;

    if (s->store == NULL) {
        return;
    }
    end(node);
    s->reader = store_reader_free(s->reader);
    s->store = store_close(s->store);
    remove_dir(s->dir);
}

void state_restart(struct node *node)
{
    end(node);
    begin(node);
}

void state_wipe(struct node *node)
{
    state_close(node);
    state_open(node);
}

static void write_file(struct node *node, const char *dir, struct str bytes)
{
    char file[128];

    (void)snprintf(file, sizeof file, "%s/data.mdb", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        must(node, ERR_IO, dir);
    }
    FILE *f = fopen(file, "w");
    if (f == NULL || fwrite(bytes.p, 1, bytes.n, f) != bytes.n ||
        fclose(f) != 0) {
        must(node, ERR_IO, file);
    }
}

void state_replace(struct node *node, struct str image)
{
    struct state *s = &node->state;
    struct store_next *next = NULL;
    char before[96];

    memcpy(before, s->dir, sizeof before);
    place(node, ++s->generation, s->dir);
    write_file(node, s->dir, image);
    must(node, machine_commit(s->machine), "commit");
    must(node, store_next_open(s->store, s->dir, &next), "next");
    must(node, machine_install(s->machine, next), "install");
    store_next_close(machine_restored(s->machine, next));
    remove_dir(before);
    watchers_replaced(node);
    load_leases(node);
}

/* ---- looking at it ---- */

static void read_file(struct node *node, const char *file, struct buf *out)
{
    char bytes[16384];
    size_t n;

    FILE *f = fopen(file, "r");
    if (f == NULL) {
        must(node, ERR_IO, file);
        return;
    }
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) {
        buf_add(out, bytes, n);
    }
    (void)fclose(f);
}

static void copy_to(struct node *node, char ret_file[128])
{
    (void)snprintf(ret_file, 128, "%s.copy", node->state.dir);
    (void)unlink(ret_file);
    must(node, machine_commit(node->state.machine), "commit");
    must(node, store_copy(node->state.store, ret_file), "copy");
}

void state_image(struct node *node, struct buf *out)
{
    char file[128];

    copy_to(node, file);
    buf_clear(out);
    read_file(node, file, out);
    (void)unlink(file);
}

void state_digest(struct node *node, uint8_t ret_digest[32])
{
    char file[128];
    struct store_meta meta;

    copy_to(node, file);
    must(node, store_digest_file(file, ret_digest, &meta), "digest");
    (void)unlink(file);
}

uint64_t state_applied(const struct node *node)
{
    return machine_view(node->state.machine).applied;
}

struct store_meta state_meta(struct node *node)
{
    struct store_txn *txn = NULL;

    must(node, store_read_begin(node->state.reader, &txn), "read");
    struct store_meta meta = *store_meta(txn);
    store_read_end(txn);
    return meta;
}

static struct store_txn *read_pool(struct node *node)
{
    struct store_txn *txn = NULL;
    int r;

    must(node, store_read_begin(node->state.reader, &txn), "read");
    while ((r = store_use(txn, STORE_POOL)) == ERR_RESTART) {
    }
    must(node, r, "use");
    return txn;
}

bool state_has_row(struct node *node, const char *type, const char *key,
                   struct buf *row)
{
    struct store_txn *txn = read_pool(node);
    struct ulid id;
    struct str bytes;

    int r = store_row_find(txn, STORE_POOL, str_of(type), str_of(key), &id);
    if (r == 0 && row != NULL) {
        must(node,
             store_row_get(txn, STORE_POOL, str_of(type), id, &bytes, NULL),
             "row");
        buf_add_str(row, bytes);
    }
    store_read_end(txn);
    return r == 0;
}

uint64_t state_rows(struct node *node, const char *type)
{
    struct store_txn *txn = read_pool(node);
    struct store_list list;

    must(node, store_list_get(txn, STORE_POOL, str_of(type), &list), "list");
    store_read_end(txn);
    return list.count;
}

bool state_reaches(struct node *node, uint64_t ns)
{
    struct store_txn *txn = NULL;
    struct buf path = {0};

    must(node, store_read_begin(node->state.reader, &txn), "read");
    int r = store_path_of(txn, ns, &path);
    store_read_end(txn);
    buf_done(&path);
    return r == 0;
}

bool state_machine_id(struct node *node, const char *hostname,
                      struct ulid *ret_id)
{
    struct store_txn *txn = read_pool(node);

    int r = store_row_find(txn, STORE_POOL, STR("machine"), str_of(hostname),
                           ret_id);
    store_read_end(txn);
    return r == 0;
}

bool state_is_spared(struct node *node, const char *hostname)
{
    struct store_txn *txn = NULL;
    bool spared = false;

    must(node, store_read_begin(node->state.reader, &txn), "read");
    must(node, machine_lease_spared(txn, str_of(hostname), &spared), "read");
    store_read_end(txn);
    return spared;
}

bool state_has_lease(struct node *node, const char *hostname)
{
    struct arena *arena = arena_new();
    struct store_txn *txn = NULL;
    struct store_lease lease;

    must(node, store_read_begin(node->state.reader, &txn), "read");
    int r = store_lease_get(txn, str_of(hostname), arena, &lease);
    store_read_end(txn);
    arena_free(arena);
    return r == 0;
}
