/* Write transactions, their parts, and databases that go.
 *
 * LMDB facts this and reader.c rest on (0.9.24, mdb.c):
 *   - a handle opened in a transaction is private to it until its commit puts
 *     it into the environment's table; an abort closes it. A child's commit
 *     hands it to the parent; a child's abort closes it.
 *   - a read transaction copies the table's flags when it begins or renews and
 *     looks a database's root up, by name, in its own snapshot when it first
 *     uses the handle. An older snapshot without that name reads as empty.
 *   - mdb_drop with del closes the handle at once, even if the transaction is
 *     aborted later. So a database is emptied when told, and removed with del
 *     only at the commit of the whole, when no reader pins the handle.
 *   - mdb_dbi_close under a write transaction is harmless to it when it has not
 *     written through that handle: a commit visits dirty ones only. */
#include <assert.h>

#include "store/kv.h"

/* ---- the writer and its handles ---- */

void kv_make_room(struct store *store, struct kv_gen *gen, unsigned room,
                  uint64_t serial)
{
    MDB_dbi dbi = 0;

    while (pool_count(&gen->pool) + room > store->max_handles &&
           pool_evict(&gen->pool, serial, &dbi)) {
        mdb_dbi_close(gen->env, dbi);
    }
}

static int writer_open(struct store_txn *txn, uint64_t ns, bool make,
                       MDB_dbi *ret_dbi)
{
    struct store *store = txn->store;
    char name[KV_NS_NAME];
    MDB_dbi dbi = 0;

    kv_make_room(store, txn->gen, 1, txn->serial);
    kv_ns_name(ns, name);
    int rc = mdb_dbi_open(txn->mdb, name, make ? MDB_CREATE : 0, &dbi);
    if (rc == MDB_NOTFOUND) {
        return ERR_NOT_FOUND;
    }
    if (rc != 0) {
        return kv_fault(store, txn, rc);
    }
    pool_add(&txn->gen->pool, ns, dbi, txn->serial);
    kv_ids_add(&txn->opened, ns);
    *ret_dbi = dbi;
    return 0;
}

int kv_writer_ns(struct store_txn *txn, uint64_t ns, bool make,
                 MDB_dbi *ret_dbi)
{
    if (pool_touch(&txn->gen->pool, ns, txn->serial, ret_dbi)) {
        return 0;
    }
    return writer_open(txn, ns, make, ret_dbi);
}

/* The first `n_kept` of the handles it opened stay; LMDB has closed the rest
 * with the transaction they were opened in. */
static void forget_opened(struct store_txn *txn, size_t n_kept)
{
    while (txn->opened.n > n_kept) {
        pool_forget(&txn->gen->pool, txn->opened.p[--txn->opened.n]);
    }
}

int kv_write_begin(struct store *store, struct kv_gen *gen,
                   struct store_txn **ret_txn)
{
    struct store_txn *txn = &store->writer;

    turn_take(&store->turn);
    assert(!txn->active);
    kv_make_room(store, gen, 0, 0);
    int rc = mdb_txn_begin(gen->env, NULL, 0, &txn->mdb);
    if (rc != 0) {
        turn_give(&store->turn);
        return kv_fault(store, NULL, rc);
    }
    txn->gen = gen;
    txn->active = true;
    txn->fault = 0;
    txn->whole = NULL;
    txn->serial++;
    txn->opened.n = 0;
    kv_list_forget(txn);
    int r = kv_meta_load(txn);
    if (r != 0) {
        store_write_abort(txn);
        return r;
    }
    txn->stored = txn->meta;
    *ret_txn = txn;
    return 0;
}

int store_write_begin(struct store *store, struct store_txn **ret_txn)
{
    return kv_write_begin(store, atomic_load(&store->current), ret_txn);
}

static void write_end(struct store_txn *txn)
{
    txn->active = false;
    txn->mdb = NULL;
    turn_give(&txn->store->turn);
}

void store_write_abort(struct store_txn *txn)
{
    assert(txn->write && txn->active);
    if (txn->whole != NULL) {
        store_part_abort(txn);
    }
    mdb_txn_abort(txn->mdb);
    forget_opened(txn, 0);
    write_end(txn);
}

/* ---- removing databases ---- */

int store_ns_drop(struct store_txn *txn, uint64_t ns)
{
    MDB_dbi dbi = 0;

    assert(txn->write);
    int r = kv_ns(txn, ns, false, &dbi);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    int rc = mdb_drop(txn->mdb, dbi, 0);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    if (txn->list.ns == ns) {
        kv_list_forget(txn);
    }
    kv_ids_add(&txn->gen->drops, ns);
    return 0;
}

/* Remove an emptied database. Answers: BUSY when a reader pins its handle. */
static int remove_database(struct store_txn *txn, uint64_t ns)
{
    MDB_stat stat;
    MDB_dbi dbi = 0;

    int r = kv_ns(txn, ns, false, &dbi);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    int rc = mdb_stat(txn->mdb, dbi, &stat);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    if (stat.ms_entries > 0) {
        return 0; /* The drop was undone: what is there stays. */
    }
    if (!pool_take_out(&txn->gen->pool, ns)) {
        return ERR_BUSY;
    }
    rc = mdb_drop(txn->mdb, dbi, 1);
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

/* What readers still pin waits for the next commit; a restart finds what is
 * left (store_open). */
static int remove_dropped(struct store_txn *txn)
{
    struct kv_ids *drops = &txn->gen->drops;
    size_t n_kept = 0;

    for (size_t i = 0; i < drops->n; i++) {
        int r = remove_database(txn, drops->p[i]);
        if (r < 0) {
            return r;
        }
        if (r == ERR_BUSY) {
            drops->p[n_kept++] = drops->p[i];
        }
    }
    drops->n = n_kept;
    return 0;
}

int store_write_commit(struct store_txn *txn)
{
    struct store *store = txn->store;

    assert(txn->write && txn->active && txn->whole == NULL);
    int r = txn->fault;
    if (r == 0) {
        r = kv_list_settle(txn);
    }
    if (r == 0) {
        r = kv_meta_save(txn);
    }
    if (r == 0) {
        r = remove_dropped(txn);
    }
    if (r != 0) {
        store_write_abort(txn);
        return r;
    }
    int rc = mdb_txn_commit(txn->mdb);
    if (rc != 0) {
        r = kv_fault(store, txn, rc);
        forget_opened(txn, 0);
    }
    for (size_t i = 0; i < txn->opened.n; i++) {
        pool_publish(&txn->gen->pool, txn->opened.p[i]);
    }
    write_end(txn);
    return r;
}

/* ---- parts ---- */

int store_part_begin(struct store_txn *txn)
{
    MDB_txn *part = NULL;

    assert(txn->write && txn->active && txn->whole == NULL);
    if (txn->fault != 0) {
        return txn->fault;
    }
    int r = kv_list_settle(txn);
    if (r != 0) {
        return r;
    }
    int rc = mdb_txn_begin(txn->gen->env, txn->mdb, 0, &part);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    txn->whole = txn->mdb;
    txn->mdb = part;
    txn->before_part.meta = txn->meta;
    txn->before_part.n_opened = txn->opened.n;
    return 0;
}

static void part_end(struct store_txn *txn)
{
    txn->mdb = txn->whole;
    txn->whole = NULL;
}

static void part_undo(struct store_txn *txn)
{
    forget_opened(txn, txn->before_part.n_opened);
    kv_list_forget(txn);
    txn->meta = txn->before_part.meta;
    part_end(txn);
}

int store_part_commit(struct store_txn *txn)
{
    assert(txn->whole != NULL);
    if (txn->fault != 0) {
        store_part_abort(txn);
        return txn->fault;
    }
    int rc = mdb_txn_commit(txn->mdb);
    if (rc != 0) {
        part_undo(txn);
        return kv_fault(txn->store, txn, rc);
    }
    part_end(txn);
    return 0;
}

void store_part_abort(struct store_txn *txn)
{
    assert(txn->whole != NULL);
    mdb_txn_abort(txn->mdb);
    part_undo(txn);
}
