/* Rows and their keys, in the database of their namespace. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

/* ---- keys ---- */

/* Keys are made in place: they have room for the longest there can be, and to
 * hand one over would be to copy all of it.
 *
 * 'r' type 0, 's' type 0, 'k' type 0: what a list's entries begin with. */
static void list_prefix(struct kv_key *key, char kind, struct str type)
{
    kv_key_start(key, kind);
    kv_key_str(key, type);
    kv_key_add(key, "", 1);
}

static void row_key(struct kv_key *key, char kind, struct str type,
                    struct ulid id)
{
    list_prefix(key, kind, type);
    kv_key_ulid(key, id);
}

static void primary_key(struct kv_key *key, struct str type, struct str name)
{
    list_prefix(key, 'k', type);
    kv_key_str(key, name);
}

static struct ulid ulid_at(const char *bytes)
{
    struct ulid id;

    memcpy(id.b, bytes, sizeof id.b);
    return id;
}

static int gone_is_fine(int r)
{
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- reading ---- */

int store_row_get(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str *ret_row, struct str *ret_secret)
{
    struct kv_key key;
    MDB_dbi dbi = 0;

    int r = kv_ns(txn, ns, false, &dbi);
    if (r == 0) {
        row_key(&key, 'r', type, id);
        r = kv_get(txn, dbi, &key, ret_row);
    }
    if (r != 0 || ret_secret == NULL) {
        return r;
    }
    *ret_secret = STR_NONE;
    row_key(&key, 's', type, id);
    return gone_is_fine(kv_get(txn, dbi, &key, ret_secret));
}

static int holder_of(struct store_txn *txn, struct str value,
                     struct ulid *ret_id)
{
    if (value.n != sizeof ret_id->b) {
        return kv_corrupt(txn);
    }
    *ret_id = ulid_at(value.p);
    return 0;
}

/* Whose a primary key is. Answers: NOT_FOUND. */
static int key_holder(struct store_txn *txn, MDB_dbi dbi,
                      const struct kv_key *key, struct ulid *ret_id)
{
    struct str value;

    int r = kv_get(txn, dbi, key, &value);
    return r == 0 ? holder_of(txn, value, ret_id) : r;
}

int store_row_find(struct store_txn *txn, uint64_t ns, struct str type,
                   struct str key, struct ulid *ret_id)
{
    struct kv_key entry;
    MDB_dbi dbi = 0;

    primary_key(&entry, type, key);
    int r = kv_ns(txn, ns, false, &dbi);
    return r == 0 ? key_holder(txn, dbi, &entry, ret_id) : r;
}

int store_row_next(struct store_txn *txn, uint64_t ns, struct str type,
                   const struct ulid *after, struct ulid *ret_id,
                   struct str *ret_row)
{
    struct kv_key from;
    struct str key;
    MDB_dbi dbi = 0;

    list_prefix(&from, 'r', type);
    size_t n_prefix = from.n;
    if (after != NULL) {
        kv_key_ulid(&from, *after);
    }
    int r = kv_ns(txn, ns, false, &dbi);
    if (r == 0) {
        r = kv_first(txn, dbi, &from, n_prefix, after != NULL, &key, ret_row);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? ERR_END : r;
    }
    if (key.n != n_prefix + sizeof ret_id->b) {
        return kv_corrupt(txn);
    }
    *ret_id = ulid_at(key.p + n_prefix);
    return 0;
}

/* ---- joining ---- */

struct join {
    MDB_cursor *cursor;
    struct kv_key from;
    size_t n_prefix;
    MDB_val k;
    MDB_val v;
};

/* Whether the cursor stands on a row of the list: rc of the move to there. */
static bool on_row(const struct join *join, int rc)
{
    return rc == 0 && join->k.mv_size == join->n_prefix + sizeof(struct ulid) &&
           memcmp(join->k.mv_data, join->from.b, join->n_prefix) == 0;
}

static int join_start(struct join *join, bool after)
{
    join->k = (MDB_val){join->from.n, join->from.b};
    int rc = mdb_cursor_get(join->cursor, &join->k, &join->v, MDB_SET_RANGE);
    if (rc == 0 && after && join->k.mv_size == join->from.n &&
        memcmp(join->k.mv_data, join->from.b, join->from.n) == 0) {
        rc = mdb_cursor_get(join->cursor, &join->k, &join->v, MDB_NEXT);
    }
    return rc;
}

static void join_row(const struct join *join, bool first, struct buf *out)
{
    size_t n = join->v.mv_size;

    buf_reserve(out, n + 1);
    if (!first) {
        out->p[out->n++] = ',';
    }
    memcpy(out->p + out->n, join->v.mv_data, n);
    out->n += n;
}

static int join_all(struct store_txn *txn, struct join *join, bool after,
                    uint64_t limit, struct buf *out, uint64_t *ret_n,
                    struct ulid *ret_last, bool *ret_more)
{
    uint64_t n = 0;
    int rc = join_start(join, after);

    while (on_row(join, rc) && (limit == 0 || n < limit)) {
        join_row(join, n == 0, out);
        *ret_last = ulid_at((const char *)join->k.mv_data + join->n_prefix);
        n++;
        rc = mdb_cursor_get(join->cursor, &join->k, &join->v, MDB_NEXT);
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return kv_fault(txn->store, txn, rc);
    }
    *ret_n = n;
    *ret_more = on_row(join, rc);
    return 0;
}

int store_rows_join(struct store_txn *txn, uint64_t ns, struct str type,
                    const struct ulid *after, uint64_t limit, struct buf *out,
                    uint64_t *ret_n, struct ulid *ret_last, bool *ret_more)
{
    struct join join;
    MDB_dbi dbi = 0;

    list_prefix(&join.from, 'r', type);
    int r = kv_ns(txn, ns, false, &dbi);
    if (r == ERR_NOT_FOUND) {
        *ret_n = 0;
        *ret_more = false;
        return 0;
    }
    if (r != 0) {
        return r;
    }
    join.n_prefix = join.from.n;
    if (after != NULL) {
        kv_key_ulid(&join.from, *after);
    }
    int rc = mdb_cursor_open(txn->mdb, dbi, &join.cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    r = join_all(txn, &join, after != NULL, limit, out, ret_n, ret_last,
                 ret_more);
    mdb_cursor_close(join.cursor);
    return r;
}

/* ---- writing ---- */

/* One row about to change. All keys are made before anything is written: what
 * the caller hands in may be lent from the very page that changes. */
struct change {
    uint64_t ns;
    struct ulid id;
    MDB_dbi dbi;
    struct kv_key row;
    struct kv_key secret;
    struct kv_key key; /* n 0: none */
    struct kv_key old_key;
};

static void optional_key(struct kv_key *key, struct str type, struct str name)
{
    key->n = 0;
    if (name.p != NULL) {
        primary_key(key, type, name);
    }
}

static void begin_change(struct change *change, uint64_t ns, struct str type,
                         struct ulid id, struct str key, struct str old_key)
{
    change->ns = ns;
    change->id = id;
    row_key(&change->row, 'r', type, id);
    row_key(&change->secret, 's', type, id);
    optional_key(&change->key, type, key);
    optional_key(&change->old_key, type, old_key);
}

static bool is_id(struct ulid a, struct ulid b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

/* Take the old key entry away when it is this row's still: another may have
 * taken the key over in the same operation. */
static int drop_key(struct store_txn *txn, const struct change *change)
{
    struct ulid holder = {{0}};

    int r = key_holder(txn, change->dbi, &change->old_key, &holder);
    if (r != 0) {
        return gone_is_fine(r);
    }
    if (!is_id(holder, change->id)) {
        return 0;
    }
    r = kv_del(txn, change->dbi, &change->old_key);
    return r == 0 ? kv_index_del(txn, change->ns, &change->old_key) : r;
}

static int put_key(struct store_txn *txn, const struct change *change)
{
    struct str there;
    struct ulid holder = change->id;

    int r = kv_add(
        txn, change->dbi, &change->key,
        (struct str){(const char *)change->id.b, sizeof change->id.b}, &there);
    if (r == ERR_CONFLICT) {
        r = holder_of(txn, there, &holder);
        assert(r < 0 || is_id(holder, change->id));
        return r;
    }
    return r == 0 ? kv_index_put(txn, change->ns, &change->key) : r;
}

static int move_key(struct store_txn *txn, const struct change *change)
{
    const struct kv_key *key = &change->key;
    const struct kv_key *old = &change->old_key;
    int r = 0;

    if (old->n > 0 &&
        (old->n != key->n || memcmp(old->b, key->b, old->n) != 0)) {
        r = drop_key(txn, change);
    }
    if (r == 0 && key->n > 0) {
        r = put_key(txn, change);
    }
    return r;
}

static int put_secret(struct store_txn *txn, const struct change *change,
                      struct str secret)
{
    return secret.n > 0
               ? kv_put(txn, change->dbi, &change->secret, secret)
               : gone_is_fine(kv_del(txn, change->dbi, &change->secret));
}

/* *ret_added: there was none of this id. */
static int put_row(struct store_txn *txn, const struct change *change,
                   struct str row, struct str secret, bool *ret_added)
{
    struct buf *copy = &txn->scratch;
    struct str old;

    /* As with the keys: the bytes may be lent. */
    buf_clear(copy);
    buf_add_str(copy, row);
    buf_add_str(copy, secret);
    row.p = copy->p;
    secret.p = copy->p + row.n;
    int r = kv_add(txn, change->dbi, &change->row, row, &old);
    *ret_added = r == 0;
    if (r == ERR_CONFLICT) {
        r = kv_put(txn, change->dbi, &change->row, row);
    }
    return r == 0 && (secret.n > 0 || !*ret_added)
               ? put_secret(txn, change, secret)
               : r;
}

int store_row_put(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str row, struct str secret,
                  struct str key, struct str old_key, uint64_t revision)
{
    struct change change;
    bool added = false;

    assert(row.n > 0);
    begin_change(&change, ns, type, id, key, old_key);
    int r = kv_list_changed(txn, ns, type, revision);
    if (r == 0) {
        r = kv_ns(txn, ns, true, &change.dbi);
    }
    if (r == 0) {
        r = put_row(txn, &change, row, secret, &added);
    }
    if (r == 0) {
        r = move_key(txn, &change);
    }
    if (r == 0 && added) {
        kv_list_count(txn, true);
    }
    return r;
}

int store_row_del(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str old_key, uint64_t revision)
{
    struct change change;

    begin_change(&change, ns, type, id, STR_NONE, old_key);
    int r = kv_ns(txn, ns, false, &change.dbi);
    if (r == 0) {
        r = kv_del(txn, change.dbi, &change.row);
    }
    if (r == 0) {
        r = put_secret(txn, &change, STR_NONE);
    }
    if (r == 0) {
        r = move_key(txn, &change);
    }
    if (r == 0) {
        r = kv_list_changed(txn, ns, type, revision);
    }
    if (r == 0) {
        kv_list_count(txn, false);
    }
    return r;
}

int store_row_unkey(struct store_txn *txn, uint64_t ns, struct str type,
                    struct str key)
{
    struct kv_key entry;
    MDB_dbi dbi = 0;

    primary_key(&entry, type, key);
    int r = kv_ns(txn, ns, false, &dbi);
    if (r == 0) {
        r = kv_del(txn, dbi, &entry);
    }
    if (r == 0) {
        r = kv_index_del(txn, ns, &entry);
    }
    return gone_is_fine(r);
}
