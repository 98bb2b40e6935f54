/* One number for all that is replicated, out of a copy of the file.
 *
 * Why of a copy: it needs every namespace in one snapshot, and a transaction of
 * the live environment can have only so many handles [STORE-2]. On a file that
 * nobody else has open, one handle is opened, walked and closed at a time. */
#include <assert.h>
#include <string.h>

#include "base/sha256.h"
#include "store/kv.h"

enum { CHUNK = 64 * 1024 };

/* What goes in, gathered: the hash's price per call is above that of a row. */
struct digest {
    struct sha256 *hash;
    struct buf pending;
};

static void digest_flush(struct digest *digest)
{
    sha256_add(digest->hash, digest->pending.p, digest->pending.n);
    buf_clear(&digest->pending);
}

static void digest_add(struct digest *digest, const void *bytes, size_t n)
{
    buf_add(&digest->pending, bytes, n);
    if (digest->pending.n >= CHUNK) {
        digest_flush(digest);
    }
}

/* Lengths stand before bytes, so that no two contents run into one stream. */
static void digest_add_sized(struct digest *digest, MDB_val val)
{
    char length[4];

    assert(val.mv_size < UINT32_MAX);
    kv_set_le32(length, (uint32_t)val.mv_size);
    digest_add(digest, length, sizeof length);
    digest_add(digest, val.mv_data, val.mv_size);
}

/* Behind each database: no key has this length. */
static void digest_add_end(struct digest *digest)
{
    char mark[4];

    kv_set_le32(mark, UINT32_MAX);
    digest_add(digest, mark, sizeof mark);
}

/* ---- databases ---- */

/* meta.applied is the index of the log, which may differ where the state does
 * not. */
static void add_meta(struct digest *digest, const struct store_meta *meta)
{
    struct store_meta state = *meta;
    char bytes[KV_META_BYTES];

    state.applied = 0;
    digest_add(digest, bytes, kv_meta_encode(&state, bytes));
    digest_add_end(digest);
}

/* Which of a binding's ways back have a type in their key depends on the
 * release that wrote them, and says nothing that the binding does not say. */
static MDB_val cut_way_back(MDB_val key)
{
    if (key.mv_size > KV_WAY_BACK && *(const char *)key.mv_data == 'r') {
        key.mv_size = KV_WAY_BACK;
    }
    return key;
}

static int add_entries(struct digest *digest, struct store_txn *txn,
                       MDB_dbi dbi)
{
    bool leases = dbi == kv_base(txn, KV_LEASES);
    MDB_cursor *cursor = NULL;
    MDB_val k;
    MDB_val v;

    int rc = mdb_cursor_open(txn->mdb, dbi, &cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        digest_add_sized(digest, leases ? cut_way_back(k) : k);
        digest_add_sized(digest, v);
    }
    mdb_cursor_close(cursor);
    digest_add_end(digest);
    return rc == MDB_NOTFOUND ? 0 : kv_fault(txn->store, txn, rc);
}

/* A namespace without a database is as one whose database is empty. */
static int add_namespace(struct digest *digest, struct store_txn *txn,
                         uint64_t ns)
{
    char name[KV_NS_NAME];
    MDB_dbi dbi = 0;

    kv_ns_name(ns, name);
    digest_add(digest, name, strlen(name) + 1);
    int rc = mdb_dbi_open(txn->mdb, name, 0, &dbi);
    if (rc == MDB_NOTFOUND) {
        digest_add_end(digest);
        return 0;
    }
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    int r = add_entries(digest, txn, dbi);
    mdb_dbi_close(txn->gen->env, dbi);
    return r;
}

/* By their records in the tree, which those waiting to be reclaimed have too.
 */
static int add_namespaces(struct digest *digest, struct store_txn *txn)
{
    struct kv_key from;
    struct str key;
    struct str record;
    int r = 0;

    kv_key_start(&from, 'n');
    kv_key_u64(&from, 0);
    while ((r = kv_first(txn, kv_base(txn, KV_TREE), &from, 1, true, &key,
                         &record)) == 0) {
        if (key.n != from.n) {
            return kv_corrupt(txn);
        }
        memcpy(from.b, key.p, key.n);
        r = add_namespace(digest, txn, kv_be64(key.p + 1));
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

static int add_all(struct digest *digest, struct store_txn *txn)
{
    static const enum kv_base bases[] = {KV_TREE, KV_LEASES, KV_KEYS,
                                         KV_HISTORY};

    add_meta(digest, &txn->meta);
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        int r = add_entries(digest, txn, kv_base(txn, bases[i]));
        if (r != 0) {
            return r;
        }
    }
    int r = txn->meta.index == STORE_INDEX_NONE
                ? 0
                : add_namespace(digest, txn, KV_INDEX);
    return r == 0 ? add_namespaces(digest, txn) : r;
}

/* ---- the file ---- */

static int open_env(struct store *store, const char *file,
                    struct store_txn *txn)
{
    struct kv_gen *gen = txn->gen;

    int rc = mdb_env_create(&gen->env);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(gen->env, KV_N_BASES + 2);
    }
    if (rc == 0) {
        /* As large as the file, not as the file says its map was. */
        rc = mdb_env_set_mapsize(gen->env, 1);
    }
    if (rc == 0) {
        rc = mdb_env_open(gen->env, file,
                          MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR, 0);
    }
    if (rc == 0) {
        rc = mdb_txn_begin(gen->env, NULL, MDB_RDONLY, &txn->mdb);
    }
    for (int i = 0; rc == 0 && i < KV_N_BASES; i++) {
        rc = mdb_dbi_open(txn->mdb, kv_base_names[i], 0, &gen->bases[i]);
    }
    if (rc == MDB_NOTFOUND) {
        rc = MDB_INVALID; /* an LMDB file, and not a store's */
    }
    return rc == 0 ? 0 : kv_fault(store, NULL, rc);
}

int kv_alone_open(struct kv_alone *alone, const char *file)
{
    *alone = (struct kv_alone){.store = {.directory = mem_text(file)}};
    alone->txn.store = &alone->store;
    alone->txn.gen = &alone->gen;
    alone->txn.active = true;
    int r = open_env(&alone->store, file, &alone->txn);
    return r == 0 ? kv_meta_load(&alone->txn) : r;
}

void kv_alone_close(struct kv_alone *alone)
{
    mdb_txn_abort(alone->txn.mdb);
    mdb_env_close(alone->gen.env);
    (void)mem_free(alone->store.directory);
}

int kv_digest(struct store_txn *txn, uint8_t ret[SHA256_BYTES])
{
    struct digest digest = {.hash = sha256_new()};
    uint8_t sum[SHA256_BYTES];

    int r = add_all(&digest, txn);
    digest_flush(&digest);
    digest.hash = sha256_end(digest.hash, sum);
    buf_done(&digest.pending);
    if (r == 0) {
        memcpy(ret, sum, sizeof sum);
    }
    return r;
}

int store_digest_file(const char *file, uint8_t ret_digest[SHA256_BYTES],
                      struct store_meta *ret_meta)
{
    struct kv_alone alone;

    int r = kv_alone_open(&alone, file);
    if (r == 0) {
        r = kv_digest(&alone.txn, ret_digest);
    }
    if (r == 0) {
        *ret_meta = alone.txn.meta;
    }
    kv_alone_close(&alone);
    return r;
}
