/* [STORE-6] Which namespaces have a row with a primary key: for each entry of a
 * key in a namespace one in a database of its own, by type and text. Written
 * beside those (rows.c); what there was before it began is put in step by step.
 */
#include <string.h>

#include "store/kv.h"

enum { PLACE_UNTIL = 1, PLACE_NS = 9, PLACE_KEY = 17 };

/* type 0 key 0 ns:8 out of 'k' type 0 key. The text may have zero bytes in
 * it: how long the whole is says where it ends. */
static void entry_key(struct kv_key *ret_key, const struct kv_key *of,
                      uint64_t ns)
{
    ret_key->n = 0;
    kv_key_add(ret_key, of->b + 1, of->n - 1);
    kv_key_add(ret_key, "", 1);
    kv_key_u64(ret_key, ns);
}

/* ---- beside the keys ---- */

int kv_index_put(struct store_txn *txn, uint64_t ns, const struct kv_key *of)
{
    struct kv_key key;
    MDB_dbi dbi = 0;

    if (txn->meta.index == STORE_INDEX_NONE) {
        return 0;
    }
    entry_key(&key, of, ns);
    int r = kv_ns(txn, KV_INDEX, true, &dbi);
    return r == 0 ? kv_put(txn, dbi, &key, STR("")) : r;
}

int kv_index_del(struct store_txn *txn, uint64_t ns, const struct kv_key *of)
{
    struct kv_key key;
    MDB_dbi dbi = 0;

    if (txn->meta.index == STORE_INDEX_NONE) {
        return 0;
    }
    entry_key(&key, of, ns);
    int r = kv_ns(txn, KV_INDEX, false, &dbi);
    if (r == 0) {
        r = kv_del(txn, dbi, &key);
    }
    return r == ERR_NOT_FOUND ? 0 : r; /* One from before may not be in it. */
}

bool kv_index_has(struct store_txn *txn, MDB_dbi dbi, uint64_t ns,
                  const struct kv_key *of)
{
    struct kv_key key;
    struct str value;

    entry_key(&key, of, ns);
    return kv_get(txn, dbi, &key, &value) == 0;
}

/* ---- looking ---- */

static int find(struct store_txn *txn, MDB_dbi dbi, struct str type,
                struct str text, bool prefix, size_t most, uint64_t *ret_ns,
                size_t *ret_n)
{
    struct kv_key from = {.n = 0};
    struct str key, value;
    int r;

    kv_key_str(&from, type);
    kv_key_add(&from, "", 1);
    kv_key_str(&from, text);
    if (!prefix) {
        kv_key_add(&from, "", 1);
    }
    size_t n_prefix = from.n;
    size_t n_least = n_prefix + (prefix ? 1 : 0) + 8;
    for (size_t seen = 0;
         (r = kv_first(txn, dbi, &from, n_prefix, seen > 0, &key, &value)) == 0;
         seen++) {
        if (seen == most) {
            return ERR_FULL;
        }
        /* Else a shorter text, when that looked for ends in zero bytes as the
         * id begins with, or a longer one. */
        if (key.n == n_least || (prefix && key.n > n_least)) {
            ret_ns[(*ret_n)++] = kv_be64(key.p + key.n - 8);
        }
        from.n = key.n;
        memcpy(from.b, key.p, key.n);
    }
    return r == ERR_END ? 0 : r;
}

int store_index_find(struct store_txn *txn, struct str type, struct str text,
                     bool prefix, size_t most, uint64_t *ret_ns, size_t *ret_n)
{
    MDB_dbi dbi = 0;

    *ret_n = 0;
    int r = store_use(txn, KV_INDEX);
    if (r == 0) {
        r = kv_ns(txn, KV_INDEX, false, &dbi);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    return find(txn, dbi, type, text, prefix, most, ret_ns, ret_n);
}

int store_keys_find(struct store_txn *txn, uint64_t ns, struct str type,
                    struct str prefix, size_t most, struct ulid *ret_ids,
                    size_t *ret_n)
{
    struct kv_key from;
    struct str key, value;
    MDB_dbi dbi = 0;

    kv_key_start(&from, 'k');
    kv_key_str(&from, type);
    kv_key_add(&from, "", 1);
    kv_key_str(&from, prefix);
    size_t n_prefix = from.n;
    *ret_n = 0;
    int r = kv_ns(txn, ns, false, &dbi);
    while (r == 0) {
        r = kv_first(txn, dbi, &from, n_prefix, *ret_n > 0, &key, &value);
        if (r != 0) {
            break;
        }
        if (value.n != sizeof ret_ids->b) {
            return kv_corrupt(txn);
        }
        if (*ret_n == most) {
            return ERR_FULL;
        }
        memcpy(ret_ids[(*ret_n)++].b, value.p, value.n);
        from.n = key.n;
        memcpy(from.b, key.p, key.n);
    }
    return r == ERR_END || r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- building ---- */

/* Before all entries: no type begins so. */
static void place_key(struct kv_key *ret_key)
{
    kv_key_start(ret_key, '\0');
}

int store_index_set_place(struct store_txn *txn,
                          const struct store_index_place *place)
{
    char head[PLACE_KEY] = {KV_FORMAT};
    struct kv_key key;
    MDB_dbi dbi = 0;

    int r = kv_ns(txn, KV_INDEX, true, &dbi);
    if (r != 0) {
        return r;
    }
    place_key(&key);
    kv_set_le64(head + PLACE_UNTIL, place->until);
    kv_set_le64(head + PLACE_NS, place->ns);
    buf_clear(&txn->scratch);
    buf_add(&txn->scratch, head, sizeof head);
    buf_add_str(&txn->scratch, place->key);
    return kv_put(txn, dbi, &key, buf_str(&txn->scratch));
}

int store_index_begin(struct store_txn *txn)
{
    const struct store_index_place place = {
        .until = txn->meta.next_ns, .ns = STORE_ROOT, .key = STR("")};

    txn->meta.index = STORE_INDEX_BUILDING;
    return store_index_set_place(txn, &place);
}

bool kv_index_place(struct str value, struct store_index_place *ret)
{
    if (value.n < PLACE_KEY || value.p[0] != KV_FORMAT ||
        value.n - PLACE_KEY >= KV_KEY_MAX) {
        return false;
    }
    ret->until = kv_le64(value.p + PLACE_UNTIL);
    ret->ns = kv_le64(value.p + PLACE_NS);
    ret->key = (struct str){value.p + PLACE_KEY, value.n - PLACE_KEY};
    return true;
}

int store_index_place(struct store_txn *txn,
                      struct store_index_place *ret_place)
{
    struct kv_key key;
    struct str value;
    MDB_dbi dbi = 0;

    place_key(&key);
    int r = kv_ns(txn, KV_INDEX, false, &dbi);
    if (r == 0) {
        r = kv_get(txn, dbi, &key, &value);
    }
    if (r == ERR_NOT_FOUND || (r == 0 && !kv_index_place(value, ret_place))) {
        return kv_corrupt(txn);
    }
    return r;
}

int store_index_end(struct store_txn *txn)
{
    struct kv_key key;
    MDB_dbi dbi = 0;

    place_key(&key);
    txn->meta.index = STORE_INDEX_COMPLETE;
    int r = kv_ns(txn, KV_INDEX, false, &dbi);
    if (r == 0) {
        r = kv_del(txn, dbi, &key);
    }
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

/* The key in a namespace behind `at`, which it takes the place of.
 * Answers: END. */
static int next_key(struct store_txn *txn, MDB_dbi dbi, struct kv_key *at)
{
    struct str key, value;

    int r = kv_first(txn, dbi, at, 1, true, &key, &value);
    if (r == 0) {
        at->n = key.n;
        memcpy(at->b, key.p, key.n);
    }
    return r;
}

int store_index_add(struct store_txn *txn, uint64_t ns, struct str after,
                    uint64_t limit, uint64_t *ret_n, struct buf *ret_last)
{
    struct kv_key at;
    MDB_dbi dbi = 0;

    kv_key_start(&at, 'k');
    kv_key_str(&at, after);
    int r = kv_ns(txn, ns, false, &dbi);
    for (*ret_n = 0; r == 0 && *ret_n < limit; (*ret_n)++) {
        r = next_key(txn, dbi, &at);
        if (r != 0) {
            break;
        }
        r = kv_index_put(txn, ns, &at);
    }
    buf_clear(ret_last);
    buf_add(ret_last, at.b + 1, at.n - 1);
    return r == ERR_NOT_FOUND ? ERR_END : r;
}

int store_keys_drop(struct store_txn *txn, uint64_t ns, uint64_t limit,
                    uint64_t *ret_n)
{
    struct kv_key at;
    MDB_dbi dbi = 0;

    kv_key_start(&at, 'k');
    int r = kv_ns(txn, ns, false, &dbi);
    for (*ret_n = 0; r == 0 && *ret_n < limit; (*ret_n)++) {
        r = next_key(txn, dbi, &at);
        if (r != 0) {
            break;
        }
        r = kv_del(txn, dbi, &at);
        if (r == 0) {
            r = kv_index_del(txn, ns, &at);
        }
    }
    return r == ERR_NOT_FOUND ? ERR_END : r;
}
