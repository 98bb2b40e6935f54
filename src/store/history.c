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

static int drop_oldest(struct store_txn *txn)
{
    struct store_meta *meta = &txn->meta;
    struct kv_key key = revision_key(meta->history_first);
    struct str event;

    int r = kv_del(txn, history(txn), &key);
    if (r == ERR_NOT_FOUND) {
        return kv_corrupt(txn);
    }
    if (r == 0) {
        meta->history_n--;
        r = first(txn, meta->history_first, true, &meta->history_first, &event);
    }
    if (r == ERR_END) {
        meta->history_first = 0;
        r = 0;
    }
    return r;
}

int store_event_put(struct store_txn *txn, uint64_t revision, struct str event)
{
    struct store_meta *meta = &txn->meta;
    struct kv_key key = revision_key(revision);

    assert(revision > 0);
    int r = kv_append(txn, history(txn), &key, event);
    if (r == 0) {
        meta->history_n++;
        if (meta->history_first == 0) {
            meta->history_first = revision;
        }
    }
    for (int i = 0; r == 0 && i < TRIM_AT_ONCE; i++) {
        if (meta->history_n <= meta->history_limit) {
            break;
        }
        r = drop_oldest(txn);
    }
    return r;
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
    return 0;
}

int store_event_next(struct store_txn *txn, uint64_t after,
                     uint64_t *ret_revision, struct str *ret_event)
{
    return first(txn, after, true, ret_revision, ret_event);
}
