/* The last events, by revision. */
#include <assert.h>

#include "store/kv.h"

/* A limit that was lowered is reached over the next events, not in one go. */
#define TRIM_AT_ONCE 64

static struct kv_key revision_key(uint64_t revision)
{
    struct kv_key key = {.n = 0};

    kv_key_u64(&key, revision);
    return key;
}

static MDB_dbi history(const struct store_txn *txn)
{
    return kv_base(txn, KV_HISTORY);
}

/* The first event, or the first behind `from`. Answers: END. */
static int first(struct store_txn *txn, uint64_t from, bool after,
                 uint64_t *ret_revision, struct str *ret_event)
{
    struct kv_key start = revision_key(from);
    struct str key;

    int r = kv_first(txn, history(txn), &start, 0, after, &key, ret_event);
    if (r == 0 && key.n != 8) {
        r = kv_corrupt(txn);
    }
    if (r == 0) {
        *ret_revision = kv_be64(key.p);
    }
    return r;
}

static void count_bytes(struct store_meta *meta, size_t n, bool more)
{
    if (meta->history_least_bytes > 0) {
        meta->history_bytes += more ? n : 0 - n;
    }
}

/* Answers: END (it is needed). */
static int spare_bytes(struct store_txn *txn)
{
    struct store_meta *meta = &txn->meta;
    uint64_t revision = 0;
    struct str event;

    if (meta->history_least_bytes == 0) {
        return 0;
    }
    int r = first(txn, meta->history_first, false, &revision, &event);
    if (r != 0) {
        return r == ERR_END ? kv_corrupt(txn) : r;
    }
    if (meta->history_bytes - event.n < meta->history_least_bytes) {
        return ERR_END;
    }
    count_bytes(meta, event.n, false);
    return 0;
}

/* Answers: END (it is needed). */
static int drop_oldest(struct store_txn *txn)
{
    struct store_meta *meta = &txn->meta;
    struct kv_key key = revision_key(meta->history_first);
    struct str next;

    int r = meta->history_n <= meta->history_limit ? ERR_END : spare_bytes(txn);
    if (r != 0) {
        return r;
    }
    r = kv_del_first(txn, history(txn), &key, &next);
    if (r == ERR_NOT_FOUND || (r == 0 && next.n != 8)) {
        return kv_corrupt(txn);
    }
    if (r < 0) {
        return r;
    }
    meta->history_n--;
    meta->history_first = r == ERR_END ? 0 : kv_be64(next.p);
    return 0;
}

int store_event_put(struct store_txn *txn, uint64_t revision, struct str event)
{
    struct store_meta *meta = &txn->meta;
    struct kv_key key = revision_key(revision);

    assert(revision > 0);
    int r = kv_append(txn, history(txn), &key, event);
    if (r == 0) {
        meta->history_n++;
        count_bytes(meta, event.n, true);
        if (meta->history_first == 0) {
            meta->history_first = revision;
        }
    }
    for (int i = 0; r == 0 && i < TRIM_AT_ONCE; i++) {
        r = drop_oldest(txn);
    }
    return r == ERR_END ? 0 : r;
}

int store_history_keep(struct store_txn *txn, uint64_t events,
                       uint64_t least_bytes)
{
    struct store_meta *meta = &txn->meta;
    bool counted = meta->history_least_bytes > 0;
    uint64_t revision = 0;
    struct str event;
    int r = 0;

    meta->history_limit = events;
    meta->history_least_bytes = least_bytes;
    if (counted && least_bytes > 0) {
        return 0;
    }
    meta->history_bytes = 0;
    while (least_bytes > 0 && r == 0) {
        r = first(txn, revision, true, &revision, &event);
        meta->history_bytes += r == 0 ? event.n : 0;
    }
    return r == ERR_END ? 0 : r;
}

int store_history_clear(struct store_txn *txn)
{
    assert(txn->write);
    if (txn->fault != 0) {
        return txn->fault;
    }
    int rc = mdb_drop(txn->mdb, history(txn), 0);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    txn->meta.history_first = txn->meta.history_n = 0;
    txn->meta.history_bytes = 0;
    return 0;
}

int store_event_next(struct store_txn *txn, uint64_t after,
                     uint64_t *ret_revision, struct str *ret_event)
{
    return first(txn, after, true, ret_revision, ret_event);
}
