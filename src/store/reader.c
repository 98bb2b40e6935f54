/* Read transactions, and how each comes to the handle of a namespace's database
 * (what LMDB allows is told in txn.c). */
#include <assert.h>
#include <sched.h>
#include <string.h>
#include <utlist.h>

#include "base/queue.h"
#include "store/kv.h"

/* Whose a reader is. Its owner takes it for each read; whoever replaces the
 * state takes those that are idle, to end what they hold of the old one. */
enum { IDLE, READING, TAKEN };

struct store_reader {
    struct store_txn txn; /* .gen == NULL: holds nothing */
    _Atomic int state;
    struct store_reader *prev, *next; /* under the store's lock */
};

static unsigned max_pins(const struct store *store)
{
    return store->max_handles / 2;
}

/* ---- which generation ---- */

/* LMDB's transaction objects have a table of all handles there may be: made
 * once for each generation, then reset and renewed. */
static int hold_current(struct store_txn *txn)
{
    struct kv_gen *gen = kv_gen_hold(txn->store);

    int rc = mdb_txn_begin(gen->env, NULL, MDB_RDONLY, &txn->mdb);
    if (rc != 0) {
        kv_gen_let_go(txn->store, gen);
        return kv_fault(txn->store, NULL, rc);
    }
    mdb_txn_reset(txn->mdb);
    txn->gen = gen;
    return 0;
}

static struct kv_gen *end_mdb(struct store_txn *txn)
{
    struct kv_gen *gen = txn->gen;

    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    txn->gen = NULL;
    return gen;
}

static void give_up(struct store_txn *txn)
{
    if (txn->gen != NULL) {
        kv_gen_let_go(txn->store, end_mdb(txn));
    }
}

static bool is_current(struct store_txn *txn, const struct kv_gen *gen)
{
    return gen == atomic_load(&txn->store->current);
}

static bool take(struct store_reader *reader, int as)
{
    int idle = IDLE;
    return atomic_compare_exchange_strong(&reader->state, &idle, as);
}

void kv_readers_move(struct store *store)
{
    for (struct store_reader *reader = store->readers; reader != NULL;
         reader = reader->next) {
        if (!take(reader, TAKEN)) {
            continue; /* It reads, and sees to it when it ends. */
        }
        if (reader->txn.gen != NULL &&
            !is_current(&reader->txn, reader->txn.gen)) {
            /* Never the last one: who replaces holds it too. */
            end_mdb(&reader->txn)->users--;
        }
        atomic_store(&reader->state, IDLE);
    }
}

/* Idle first, then the look at what is current; who replaces does it the other
 * way round. So one of the two sees the other, and no idle reader keeps a file
 * that is gone. */
static void leave(struct store_reader *reader)
{
    const struct kv_gen *held = reader->txn.gen;

    atomic_store(&reader->state, IDLE);
    if (!is_current(&reader->txn, held) && take(reader, TAKEN)) {
        if (!is_current(&reader->txn, reader->txn.gen)) {
            give_up(&reader->txn);
        }
        atomic_store(&reader->state, IDLE);
    }
}

/* ---- readers ---- */

static void enlist(struct store_reader *reader)
{
    struct store *store = reader->txn.store;

    (void)pthread_mutex_lock(&store->lock);
    DL_APPEND(store->readers, reader);
    (void)pthread_mutex_unlock(&store->lock);
    (void)atomic_fetch_add(&store->n_readers, 1);
}

int store_reader_new(struct store *store, struct store_reader **ret_reader)
{
    struct store_reader *reader = mem_zero(sizeof *reader);

    reader->txn.store = store;
    reader->txn.pins = mem_zero(max_pins(store) * sizeof *reader->txn.pins);
    atomic_store(&reader->state, READING);
    /* Known before it holds anything: a replacement finds it or it finds the
     * replacement. */
    enlist(reader);
    int r = hold_current(&reader->txn);
    leave(reader);
    if (r != 0) {
        (void)store_reader_free(reader);
        return r;
    }
    *ret_reader = reader;
    return 0;
}

struct store_reader *store_reader_free(struct store_reader *reader)
{
    if (reader != NULL) {
        struct store *store = reader->txn.store;
        assert(!reader->txn.active);
        (void)pthread_mutex_lock(&store->lock);
        DL_DELETE(store->readers, reader);
        (void)pthread_mutex_unlock(&store->lock);
        give_up(&reader->txn);
        (void)atomic_fetch_sub(&store->n_readers, 1);
        (void)mem_free(reader->txn.pins);
    }
    return mem_free(reader);
}

/* A new snapshot on a reset transaction. The sequence is read first: a handle
 * published between the two is then taken for one we do not know, never the
 * other way round. */
static int renew(struct store_txn *txn)
{
    txn->begin_seq = pool_seq(&txn->gen->pool);
    int rc = mdb_txn_renew(txn->mdb);
    return rc == 0 ? kv_meta_load(txn) : kv_fault(txn->store, txn, rc);
}

int store_read_begin(struct store_reader *reader, struct store_txn **ret_txn)
{
    struct store_txn *txn = &reader->txn;
    int r = 0;

    assert(!txn->active);
    while (!take(reader, READING)) {
        (void)sched_yield(); /* For a moment: the state is being replaced. */
    }
    txn->fault = 0;
    if (!is_current(txn, txn->gen)) {
        give_up(txn);
        r = hold_current(txn);
    }
    if (r != 0) {
        atomic_store(&reader->state, IDLE);
        return r;
    }
    txn->active = true;
    r = renew(txn);
    if (r != 0) {
        store_read_end(txn);
        return r;
    }
    *ret_txn = txn;
    return 0;
}

void store_read_end(struct store_txn *txn)
{
    assert(!txn->write && txn->active);
    mdb_txn_reset(txn->mdb);
    while (txn->n_pins > 0) {
        pool_unpin(&txn->gen->pool, txn->pins[--txn->n_pins].handle);
    }
    txn->active = false;
    leave(CONTAINER(txn, struct store_reader, txn));
}

static bool pinned(const struct store_txn *txn, uint64_t ns, MDB_dbi *ret_dbi)
{
    /* Newest first: what was just made usable is what is read next. */
    for (unsigned i = txn->n_pins; i-- > 0;) {
        if (txn->pins[i].ns == ns) {
            *ret_dbi = txn->pins[i].dbi;
            return true;
        }
    }
    return false;
}

#define ANY_PUBLISHED (UINT64_MAX - 1)

static bool pin(struct store_txn *txn, uint64_t ns, uint64_t begin_seq)
{
    struct kv_pin pin = {.ns = ns};

    pin.handle = pool_pin(&txn->gen->pool, ns, begin_seq, &pin.dbi);
    if (pin.handle == NULL) {
        return false;
    }
    txn->pins[txn->n_pins++] = pin;
    return true;
}

/* Whether a namespace has a database in this very snapshot: a named database is
 * an entry of the main one. */
static int exists(struct store_txn *txn, uint64_t ns)
{
    char name[KV_NS_NAME];

    kv_ns_name(ns, name);
    MDB_val k = {strlen(name), name};
    MDB_val v;
    int rc = mdb_get(txn->mdb, txn->gen->main, &k, &v);
    if (rc == MDB_NOTFOUND) {
        return ERR_NOT_FOUND;
    }
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

/* Open a handle for everybody, in a read transaction of its own. Holder of the
 * turn, so that no write transaction runs. Answers: NOT_FOUND, FULL. */
static int open_published(struct store *store, struct kv_gen *gen, uint64_t ns)
{
    char name[KV_NS_NAME];
    MDB_txn *own = NULL;
    MDB_dbi dbi = 0;

    kv_make_room(store, gen, 1, 0);
    if (pool_count(&gen->pool) >= 2 * store->max_handles) {
        return ERR_FULL;
    }
    int rc = mdb_txn_begin(gen->env, NULL, MDB_RDONLY, &own);
    if (rc != 0) {
        return kv_fault(store, NULL, rc);
    }
    kv_ns_name(ns, name);
    rc = mdb_dbi_open(own, name, 0, &dbi);
    if (rc != 0) {
        mdb_txn_abort(own);
        return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : kv_fault(store, NULL, rc);
    }
    /* Not an abort: only a commit keeps the handle. */
    rc = mdb_txn_commit(own);
    if (rc != 0) {
        return kv_fault(store, NULL, rc);
    }
    pool_add(&gen->pool, ns, dbi, 0);
    pool_publish(&gen->pool, ns);
    return 0;
}

static int open_and_restart(struct store_txn *txn, uint64_t ns)
{
    struct store *store = txn->store;
    int r = 0;

    /* Waiting with a snapshot in hand would keep the writer ahead of us from
     * reusing pages. */
    mdb_txn_reset(txn->mdb);
    turn_take(&store->turn);
    if (!pin(txn, ns, ANY_PUBLISHED)) {
        r = open_published(store, txn->gen, ns);
        if (r == 0 && !pin(txn, ns, ANY_PUBLISHED)) {
            assert(false); /* it was just published, and we have the turn */
        }
    }
    turn_give(&store->turn);
    if (r < 0) {
        txn->fault = r;
        return r;
    }
    int fault = renew(txn);
    if (fault != 0) {
        return fault;
    }
    return r == ERR_FULL ? ERR_FULL : ERR_RESTART;
}

int store_use(struct store_txn *txn, uint64_t ns)
{
    MDB_dbi dbi = 0;

    assert(txn->active);
    if (txn->fault != 0) {
        return txn->fault;
    }
    if (txn->write) {
        int r = kv_ns(txn, ns, false, &dbi);
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    if (pinned(txn, ns, &dbi)) {
        return 0;
    }
    if (txn->n_pins < max_pins(txn->store) && pin(txn, ns, txn->begin_seq)) {
        return 0;
    }
    int r = exists(txn, ns);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    if (txn->n_pins == max_pins(txn->store)) {
        return ERR_FULL;
    }
    return open_and_restart(txn, ns);
}

int kv_ns(struct store_txn *txn, uint64_t ns, bool make, MDB_dbi *ret_dbi)
{
    assert(txn->active && (txn->write || !make));
    if (txn->fault != 0) {
        return txn->fault;
    }
    if (txn->write) {
        return kv_writer_ns(txn, ns, make, ret_dbi);
    }
    if (pinned(txn, ns, ret_dbi)) {
        return 0;
    }
    int r = exists(txn, ns);
    assert(r != 0); /* store_use was forgotten */
    return r;
}
