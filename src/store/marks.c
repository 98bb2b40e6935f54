/* Marks: small records that may end by themselves. They lie beside the
 * idempotency keys: the kinds of their entries are others. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

static struct kv_key mark_key(char kind, struct str name)
{
    struct kv_key key;

    kv_key_start(&key, 'm');
    kv_key_add(&key, &kind, 1);
    kv_key_str(&key, name);
    return key;
}

static struct kv_key end_key(uint64_t ends_ms, char kind, struct str name)
{
    struct kv_key key;

    kv_key_start(&key, 't');
    kv_key_u64(&key, ends_ms);
    kv_key_add(&key, &kind, 1);
    kv_key_str(&key, name);
    return key;
}

static MDB_dbi marks(const struct store_txn *txn)
{
    return kv_base(txn, KV_KEYS);
}

static int decode(struct store_txn *txn, struct str value,
                  uint64_t *ret_ends_ms, struct str *ret_record)
{
    if (value.n < 8) {
        return kv_corrupt(txn);
    }
    *ret_ends_ms = kv_le64(value.p);
    *ret_record = (struct str){value.p + 8, value.n - 8};
    return 0;
}

int store_mark_get(struct store_txn *txn, char kind, struct str name,
                   uint64_t *ret_ends_ms, struct str *ret_record)
{
    struct kv_key key;
    struct str value;

    if (name.n > STORE_MARK_NAME_MOST) {
        return ERR_NOT_FOUND;
    }
    key = mark_key(kind, name);
    int r = kv_get(txn, marks(txn), &key, &value);
    return r == 0 ? decode(txn, value, ret_ends_ms, ret_record) : r;
}

/* An old end would take the new record for due. Answers: NOT_FOUND. */
static int drop_end(struct store_txn *txn, char kind, struct str name)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = store_mark_get(txn, kind, name, &ends_ms, &record);
    if (r != 0 || ends_ms == 0) {
        return r;
    }
    struct kv_key end = end_key(ends_ms, kind, name);
    r = kv_del(txn, marks(txn), &end);
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

int store_mark_put(struct store_txn *txn, char kind, struct str name,
                   uint64_t ends_ms, struct str record)
{
    char bytes[8];

    assert(name.n > 0 && name.n <= STORE_MARK_NAME_MOST);
    assert(record.n <= STORE_MARK_MOST);
    /* Before anything is written: name and record may be lent ones. */
    struct kv_key key = mark_key(kind, name);
    struct kv_key end = end_key(ends_ms, kind, name);
    kv_set_le64(bytes, ends_ms);
    buf_clear(&txn->scratch);
    buf_add(&txn->scratch, bytes, sizeof bytes);
    buf_add_str(&txn->scratch, record);
    int r =
        drop_end(txn, kind, (struct str){(const char *)key.b + 2, key.n - 2});
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    r = kv_put(txn, marks(txn), &key, buf_str(&txn->scratch));
    if (r == 0 && ends_ms > 0) {
        r = kv_put(txn, marks(txn), &end, STR(""));
    }
    return r;
}

int store_mark_del(struct store_txn *txn, char kind, struct str name)
{
    if (name.n > STORE_MARK_NAME_MOST) {
        return ERR_NOT_FOUND;
    }
    struct kv_key key = mark_key(kind, name);
    int r =
        drop_end(txn, kind, (struct str){(const char *)key.b + 2, key.n - 2});
    return r == 0 ? kv_del(txn, marks(txn), &key) : r;
}

int store_mark_next(struct store_txn *txn, char kind, struct str after,
                    struct str *ret_name, uint64_t *ret_ends_ms,
                    struct str *ret_record)
{
    struct kv_key from = mark_key(kind, after);
    struct str key;
    struct str value;

    int r = kv_first(txn, marks(txn), &from, 2, after.p != NULL, &key, &value);
    if (r == 0) {
        r = decode(txn, value, ret_ends_ms, ret_record);
    }
    if (r == 0) {
        *ret_name = (struct str){key.p + 2, key.n - 2};
    }
    return r;
}

int store_mark_due(struct store_txn *txn, uint64_t now_ms, char *ret_kind,
                   struct str *ret_name, uint64_t *ret_ends_ms)
{
    struct kv_key from;
    struct str key;
    struct str value;

    kv_key_start(&from, 't');
    int r = kv_first(txn, marks(txn), &from, 1, false, &key, &value);
    if (r != 0) {
        return r;
    }
    if (key.n < 1 + 8 + 2) {
        return kv_corrupt(txn);
    }
    uint64_t ends_ms = kv_be64(key.p + 1);
    if (ends_ms > now_ms) {
        return ERR_END;
    }
    *ret_kind = key.p[9];
    *ret_name = (struct str){key.p + 10, key.n - 10};
    *ret_ends_ms = ends_ms;
    return 0;
}

int store_mark_count(struct store_txn *txn, char kind, uint64_t *ret_n)
{
    struct kv_key prefix = mark_key(kind, STR(""));

    return kv_count(txn, marks(txn), &prefix, UINT64_MAX, ret_n);
}
