/* The numbers of the whole registry: one record. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

/* A byte that releases without an index skip: so they find the feature level,
 * and say what they are. */
enum { META_INDEX = 1 };

#define META_NUMBERS(X)                                                        \
    X(applied)                                                                 \
    X(revision)                                                                \
    X(tree_rev)                                                                \
    X(types_rev)                                                               \
    X(log_time_ms)                                                             \
    X(lease_epoch)                                                             \
    X(next_ns)                                                                 \
    X(n_keys)                                                                  \
    X(history_limit)                                                           \
    X(history_first)                                                           \
    X(history_n)                                                               \
    X(n_rows)                                                                  \
    X(n_ns)                                                                    \
    X(n_leases)                                                                \
    X(feature_level)

static bool is_first_form(const struct store_meta *meta)
{
    return meta->history_least_bytes == 0 && meta->access_rev == 0;
}

size_t kv_meta_encode(const struct store_meta *meta, char bytes[KV_META_BYTES])
{
    size_t at = 8;

    memset(bytes, 0, 8);
    bytes[0] = is_first_form(meta) ? KV_FORMAT : KV_META_FORMAT;
    bytes[META_INDEX] = (char)meta->index;
#define X(name)                                                                \
    kv_set_le64(bytes + at, meta->name);                                       \
    at += 8;
    META_NUMBERS(X)
#undef X
    memcpy(bytes + at, meta->cluster, sizeof meta->cluster);
    assert(at + sizeof meta->cluster == KV_META_FIRST);
    if (is_first_form(meta)) {
        return KV_META_FIRST;
    }
    kv_set_le64(bytes + KV_META_FIRST, meta->history_least_bytes);
    kv_set_le64(bytes + KV_META_FIRST + 8, meta->history_bytes);
    kv_set_le64(bytes + KV_META_FIRST + 16, meta->access_rev);
    return KV_META_BYTES;
}

static struct store_meta meta_decode(const char *bytes)
{
    struct store_meta meta = {.index = (uint8_t)bytes[META_INDEX]};
    size_t at = 8;

#define X(name)                                                                \
    meta.name = kv_le64(bytes + at);                                           \
    at += 8;
    META_NUMBERS(X)
#undef X
    memcpy(meta.cluster, bytes + at, sizeof meta.cluster);
    if (bytes[0] == KV_META_FORMAT) {
        meta.history_least_bytes = kv_le64(bytes + KV_META_FIRST);
        meta.history_bytes = kv_le64(bytes + KV_META_FIRST + 8);
        meta.access_rev = kv_le64(bytes + KV_META_FIRST + 16);
    }
    return meta;
}

static bool meta_equal(const struct store_meta *a, const struct store_meta *b)
{
    char a_bytes[KV_META_BYTES];
    char b_bytes[KV_META_BYTES];

    size_t n = kv_meta_encode(a, a_bytes);
    return kv_meta_encode(b, b_bytes) == n && memcmp(a_bytes, b_bytes, n) == 0;
}

static void meta_key(struct kv_key *key)
{
    kv_key_start(key, 's');
    kv_key_add(key, "tate", 4);
}

static bool is_record(struct str value)
{
    return (value.n == KV_META_FIRST && value.p[0] == KV_FORMAT) ||
           (value.n == KV_META_BYTES && value.p[0] == KV_META_FORMAT &&
            (kv_le64(value.p + KV_META_FIRST) > 0 ||
             kv_le64(value.p + KV_META_FIRST + 16) > 0));
}

int kv_meta_load(struct store_txn *txn)
{
    struct kv_key key;
    struct str value;

    meta_key(&key);
    int r = kv_get(txn, kv_base(txn, KV_META), &key, &value);
    if (r == ERR_NOT_FOUND) {
        txn->meta = (struct store_meta){.applied = 0};
        return 0;
    }
    if (r != 0) {
        return r;
    }
    if (!is_record(value)) {
        return kv_corrupt(txn);
    }
    txn->meta = meta_decode(value.p);
    return 0;
}

int kv_meta_save(struct store_txn *txn)
{
    char bytes[KV_META_BYTES];
    struct kv_key key;

    if (meta_equal(&txn->meta, &txn->stored)) {
        return 0;
    }
    size_t n = kv_meta_encode(&txn->meta, bytes);
    meta_key(&key);
    return kv_put(txn, kv_base(txn, KV_META), &key, (struct str){bytes, n});
}

struct store_meta *store_meta(struct store_txn *txn)
{
    return &txn->meta;
}
