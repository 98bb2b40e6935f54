/* The environment: opening, closing, copying, measuring. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/kv.h"

/* Namespaces one write transaction may touch beyond what the pool keeps open:
 * a pack has at most 4,096 commands. Sizes a table of 57 bytes per handle in
 * each transaction object, no work. */
#define WRITER_SPARE 4096
#define BASES_SPARE 16
/* LMDB's own readers beside ours: a handle being opened, copies, usage. */
#define READERS_SPARE 16
#define LEAST_MAP ((uint64_t)1 << 20)

/* ---- opening ---- */

static int env_make(const struct store *store, const char *directory,
                    uint64_t map_bytes, MDB_env **ret_env)
{
    MDB_env *env = NULL;

    int rc = mdb_env_create(&env);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_env_set_mapsize(env, map_bytes);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(env, 2 * store->max_handles + WRITER_SPARE +
                                         BASES_SPARE);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(env, store->max_readers + READERS_SPARE);
    }
    if (rc == 0) {
        rc = mdb_env_open(env, directory, MDB_NOSYNC | MDB_NOTLS, 0600);
    }
    if (rc != 0) {
        mdb_env_close(env);
        return rc;
    }
    *ret_env = env;
    return 0;
}

/* The map takes address space, which a container or ulimit -v may ration: then
 * a smaller one is better than none. */
static int env_open(struct store *store, const char *directory,
                    struct kv_gen *gen)
{
    uint64_t bytes = store->limit_bytes;
    int rc = env_make(store, directory, bytes, &gen->env);

    while (rc == ENOMEM && bytes / 2 >= LEAST_MAP) {
        bytes /= 2;
        rc = env_make(store, directory, bytes, &gen->env);
    }
    if (rc != 0) {
        return kv_fault(store, NULL, rc);
    }
    if (bytes != store->limit_bytes) {
        log_warn(LOG_STORE, "no address space for the whole map, made smaller",
                 LOG_U64("wanted_bytes", store->limit_bytes),
                 LOG_U64("bytes", bytes));
    }
    return 0;
}

static int open_bases(struct store_txn *txn)
{
    struct kv_gen *gen = txn->gen;

    int rc = mdb_dbi_open(txn->mdb, NULL, 0, &gen->main);
    for (int i = 0; rc == 0 && i < KV_N_BASES; i++) {
        rc = mdb_dbi_open(txn->mdb, kv_base_names[i], MDB_CREATE,
                          &gen->bases[i]);
    }
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

/* store_write_begin without meta, which needs the bases. */
static int make_bases(struct store *store, struct kv_gen *gen)
{
    struct store_txn txn = {.store = store, .gen = gen, .write = true};

    int rc = mdb_txn_begin(gen->env, NULL, 0, &txn.mdb);
    if (rc != 0) {
        return kv_fault(store, NULL, rc);
    }
    int r = open_bases(&txn);
    if (r != 0) {
        mdb_txn_abort(txn.mdb);
        return r;
    }
    rc = mdb_txn_commit(txn.mdb);
    return rc == 0 ? 0 : kv_fault(store, NULL, rc);
}

/* A namespace without a record: its database was dropped while a reader pinned
 * it, and the process ended before it could be removed. */
static int orphans_of(struct store_txn *txn, struct kv_ids *orphans)
{
    struct store_node node;
    MDB_cursor *cursor = NULL;
    MDB_val k;
    MDB_val v;
    uint64_t ns = 0;
    int r = 0;

    int rc = mdb_cursor_open(txn->mdb, txn->gen->main, &cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    while (rc == 0 && r >= 0) {
        if (kv_ns_parse((struct str){k.mv_data, k.mv_size}, &ns)) {
            r = store_node_get(txn, ns, &node);
            if (r == ERR_NOT_FOUND) {
                kv_ids_add(orphans, ns);
            }
        }
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return kv_fault(txn->store, txn, rc);
    }
    return r < 0 ? r : 0;
}

static int sweep(struct store *store)
{
    struct kv_ids orphans = {.n = 0};
    struct store_txn *txn = NULL;

    int r = store_write_begin(store, &txn);
    if (r != 0) {
        return r;
    }
    r = orphans_of(txn, &orphans);
    /* Those beyond what handles we have wait for another start. */
    for (size_t i = 0; r == 0 && i < orphans.n && i < store->max_handles; i++) {
        r = store_ns_drop(txn, orphans.p[i]);
    }
    (void)mem_free(orphans.p);
    if (r != 0) {
        store_write_abort(txn);
        return r;
    }
    return store_write_commit(txn);
}

static int open_files(struct store *store, const char *directory,
                      struct kv_gen *gen)
{
    int n_dead = 0;

    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return kv_fault(store, NULL, errno);
    }
    int r = env_open(store, directory, gen);
    if (r != 0) {
        return r;
    }
    /* Snapshots of a process that was killed would keep pages forever. */
    int rc = mdb_reader_check(gen->env, &n_dead);
    return rc == 0 ? make_bases(store, gen) : kv_fault(store, NULL, rc);
}

int kv_gen_open(struct store *store, const char *directory,
                struct kv_gen **ret_gen)
{
    struct kv_gen *gen = mem_zero(sizeof *gen);

    gen->users = 1;
    pool_init(&gen->pool);
    int r = open_files(store, directory, gen);
    if (r != 0) {
        kv_gen_let_go(store, gen);
        return r;
    }
    *ret_gen = gen;
    return 0;
}

int store_open(const struct store_config *config, struct store **ret_store)
{
    struct store *store = mem_zero(sizeof *store);
    struct kv_gen *gen = NULL;

    assert(config->max_handles >= 2);
    store->directory = mem_text(config->directory);
    store->limit_bytes = config->limit_bytes;
    store->max_handles = config->max_handles;
    store->max_readers = config->max_readers;
    store->writer.store = store;
    store->writer.write = true;
    turn_init(&store->turn);
    (void)pthread_mutex_init(&store->lock, NULL);
    int r = kv_gen_open(store, store->directory, &gen);
    if (r == 0) {
        atomic_store(&store->current, gen);
        r = sweep(store);
    }
    if (r != 0) {
        (void)store_close(store);
        return r;
    }
    *ret_store = store;
    return 0;
}

struct store *store_close(struct store *store)
{
    if (store == NULL) {
        return NULL;
    }
    struct kv_gen *gen = atomic_load(&store->current);
    assert(!store->writer.active && atomic_load(&store->n_readers) == 0);
    if (gen != NULL) {
        assert(gen->users == 1);
        kv_gen_let_go(store, gen);
    }
    turn_done(&store->turn);
    (void)pthread_mutex_destroy(&store->lock);
    buf_done(&store->writer.scratch);
    (void)mem_free(store->writer.opened.p);
    (void)mem_free(store->directory);
    return mem_free(store);
}

/* ---- copying ---- */

int store_sync(struct store *store)
{
    struct kv_gen *gen = kv_gen_hold(store);
    int rc = mdb_env_sync(gen->env, 1);

    kv_gen_let_go(store, gen);
    return rc == 0 ? 0 : kv_fault(store, NULL, rc);
}

static int copy_into(const struct store *store, MDB_env *env, int fd)
{
    int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);
    if (rc == MDB_INCOMPATIBLE) {
        /* Compacting counts pages and gives up when some are neither used nor
         * free. A copy page by page has the same content. */
        log_warn(LOG_STORE, "pages are lost in the file, copying it whole",
                 LOG_TXT("directory", store->directory));
        if (lseek(fd, 0, SEEK_SET) != 0 || ftruncate(fd, 0) != 0) {
            return errno;
        }
        rc = mdb_env_copyfd2(env, fd, 0);
    }
    if (rc == 0 && fsync(fd) != 0) {
        rc = errno;
    }
    return rc;
}

static int sync_directory_of(const char *file)
{
    char *path = mem_text(file);
    char *slash = strrchr(path, '/');
    const char *directory = ".";

    if (slash != NULL) {
        slash[slash == path ? 1 : 0] = '\0';
        directory = path;
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)mem_free(path);
    return rc;
}

static int copy_to(struct store *store, const char *partial, const char *file)
{
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    struct kv_gen *gen = kv_gen_hold(store);
    int rc = copy_into(store, gen->env, fd);
    kv_gen_let_go(store, gen);
    if (close(fd) != 0 && rc == 0) {
        rc = errno;
    }
    if (rc == 0 && rename(partial, file) != 0) {
        rc = errno;
    }
    if (rc != 0) {
        (void)unlink(partial);
        return rc;
    }
    return sync_directory_of(file);
}

int store_copy(struct store *store, const char *file)
{
    struct buf partial = {0};

    buf_printf(&partial, "%s.partial", file);
    int rc = copy_to(store, buf_text(&partial), file);
    buf_done(&partial);
    return rc == 0 ? 0 : kv_fault(store, NULL, rc);
}

/* ---- measuring ---- */

/* Pages on LMDB's list of free ones: a database (the first of each environment)
 * of lists, each beginning with its length. */
static uint64_t free_pages(MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val k;
    MDB_val v;
    uint64_t n = 0;

    if (mdb_cursor_open(txn, 0, &cursor) != 0) {
        return 0;
    }
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
        size_t length = 0;
        memcpy(&length, v.mv_data, sizeof length);
        n += length;
    }
    mdb_cursor_close(cursor);
    return n;
}

static uint64_t used_bytes(const struct kv_gen *gen)
{
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn = NULL;
    uint64_t n_free = 0;

    (void)mdb_env_info(gen->env, &info);
    (void)mdb_env_stat(gen->env, &stat);
    if (mdb_txn_begin(gen->env, NULL, MDB_RDONLY, &txn) == 0) {
        n_free = free_pages(txn);
        mdb_txn_abort(txn);
    }
    uint64_t n_pages = info.me_last_pgno + 1;
    return (n_pages > n_free ? n_pages - n_free : 0) * stat.ms_psize;
}

struct store_usage store_usage(struct store *store)
{
    struct kv_gen *gen = kv_gen_hold(store);
    struct store_usage usage = {.used_bytes = used_bytes(gen)};
    MDB_envinfo info;
    struct stat file;
    int fd = -1;

    (void)mdb_env_info(gen->env, &info);
    usage.limit_bytes = info.me_mapsize;
    if (mdb_env_get_fd(gen->env, &fd) == 0 && fstat(fd, &file) == 0) {
        usage.file_bytes = (uint64_t)file.st_size;
    }
    usage.handles = pool_count(&gen->pool);
    usage.readers = atomic_load(&store->n_readers);
    kv_gen_let_go(store, gen);
    return usage;
}
