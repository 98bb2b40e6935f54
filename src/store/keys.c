/* Idempotency keys: what was answered, until when it is remembered. */
#include <string.h>

#include "store/kv.h"

enum { HASH_BYTES = 32, KEY_ENDS = 8, KEY_HEAD = 16 };

static struct kv_key record_key(const uint8_t hash[HASH_BYTES])
{
    struct kv_key key;

    kv_key_start(&key, 'k');
    kv_key_add(&key, hash, HASH_BYTES);
    return key;
}

static struct kv_key end_key(uint64_t ends_ms, const uint8_t hash[HASH_BYTES])
{
    struct kv_key key;

    kv_key_start(&key, 'e');
    kv_key_u64(&key, ends_ms);
    kv_key_add(&key, hash, HASH_BYTES);
    return key;
}

static MDB_dbi keys(const struct store_txn *txn)
{
    return kv_base(txn, KV_KEYS);
}

/* Answers: NOT_FOUND. */
static int get(struct store_txn *txn, const uint8_t hash[HASH_BYTES],
               uint64_t *ret_ends_ms, struct str *ret_record)
{
    struct kv_key key = record_key(hash);
    struct str value;

    int r = kv_get(txn, keys(txn), &key, &value);
    if (r != 0) {
        return r;
    }
    if (value.n < KEY_HEAD || value.p[0] != KV_FORMAT) {
        return kv_corrupt(txn);
    }
    *ret_ends_ms = kv_le64(value.p + KEY_ENDS);
    *ret_record = (struct str){value.p + KEY_HEAD, value.n - KEY_HEAD};
    return 0;
}

int store_key_get(struct store_txn *txn, const uint8_t hash[32],
                  struct str *ret_record)
{
    uint64_t ends_ms = 0;

    return get(txn, hash, &ends_ms, ret_record);
}

/* An old end would forget the new record too early. */
static int drop_old_end(struct store_txn *txn, const uint8_t hash[HASH_BYTES])
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = get(txn, hash, &ends_ms, &record);
    if (r == ERR_NOT_FOUND) {
        txn->meta.n_keys++;
        return 0;
    }
    if (r != 0) {
        return r;
    }
    struct kv_key key = end_key(ends_ms, hash);
    r = kv_del(txn, keys(txn), &key);
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

int store_key_put(struct store_txn *txn, const uint8_t hash[32],
                  uint64_t ends_ms, struct str record)
{
    struct kv_key key = record_key(hash);
    struct kv_key end = end_key(ends_ms, hash);
    char head[KEY_HEAD] = {KV_FORMAT};

    int r = drop_old_end(txn, hash);
    if (r != 0) {
        return r;
    }
    kv_set_le64(head + KEY_ENDS, ends_ms);
    buf_clear(&txn->scratch);
    buf_add(&txn->scratch, head, sizeof head);
    buf_add_str(&txn->scratch, record);
    r = kv_put(txn, keys(txn), &key, buf_str(&txn->scratch));
    return r == 0 ? kv_put(txn, keys(txn), &end, STR("")) : r;
}

static int forget(struct store_txn *txn, const struct kv_key *end)
{
    struct kv_key key = record_key(end->b + 9);

    int r = kv_del(txn, keys(txn), end);
    if (r == 0) {
        r = kv_del(txn, keys(txn), &key);
    }
    if (r == ERR_NOT_FOUND || txn->meta.n_keys == 0) {
        return kv_corrupt(txn);
    }
    txn->meta.n_keys--;
    return r;
}

int store_key_expire(struct store_txn *txn, uint64_t now_ms, unsigned limit)
{
    struct kv_key from;
    struct str key;
    struct str value;

    kv_key_start(&from, 'e');
    for (unsigned n = 0; n < limit; n++) {
        int r = kv_first(txn, keys(txn), &from, 1, false, &key, &value);
        if (r == ERR_END) {
            return 0;
        }
        if (r == 0 && key.n != 1 + 8 + HASH_BYTES) {
            r = kv_corrupt(txn);
        }
        if (r != 0) {
            return r;
        }
        if (kv_be64(key.p + 1) > now_ms) {
            return 0;
        }
        /* A copy: the bytes are LMDB's and go with the entry. */
        struct kv_key end = {.n = 0};
        kv_key_str(&end, key);
        r = forget(txn, &end);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}
