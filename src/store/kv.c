#include "store/kv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

const char *const kv_base_names[KV_N_BASES] = {"meta", "tree", "leases", "keys",
                                               "history"};

/* ---- keys and numbers ---- */

void kv_key_u64(struct kv_key *key, uint64_t number)
{
    uint8_t bytes[8];

    for (int i = 7; i >= 0; i--) {
        bytes[i] = (uint8_t)number;
        number >>= 8;
    }
    kv_key_add(key, bytes, sizeof bytes);
}

uint64_t kv_be64(const char *bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++) {
        number = number << 8 | (uint8_t)bytes[i];
    }
    return number;
}

int kv_number(struct store_txn *txn, struct str value, uint64_t *ret_number)
{
    if (value.n != 8) {
        return kv_corrupt(txn);
    }
    *ret_number = kv_le64(value.p);
    return 0;
}

/* ---- names ---- */

void kv_ns_name(uint64_t ns, char ret_name[KV_NS_NAME])
{
    if (ns == KV_INDEX) {
        (void)snprintf(ret_name, KV_NS_NAME, KV_INDEX_NAME);
        return;
    }
    (void)snprintf(ret_name, KV_NS_NAME, "n%016llx", (unsigned long long)ns);
}

bool kv_ns_parse(struct str name, uint64_t *ret_ns)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t ns = 0;

    if (name.n != KV_NS_NAME - 1 || name.p[0] != 'n') {
        return false;
    }
    for (size_t i = 1; i < name.n; i++) {
        const char *digit = strchr(digits, name.p[i]);
        if (name.p[i] == '\0' || digit == NULL) {
            return false;
        }
        ns = ns << 4 | (uint64_t)(digit - digits);
    }
    *ret_ns = ns;
    return true;
}

void kv_ids_add(struct kv_ids *ids, uint64_t id)
{
    if (ids->n == ids->room) {
        ids->room = ids->room == 0 ? 16 : ids->room * 2;
        ids->p = mem_grow(ids->p, ids->room * sizeof *ids->p);
    }
    ids->p[ids->n++] = id;
}

/* ---- faults ---- */

/* LMDB says EIO when the disk took only a part of a page: that is how a full
 * one looks too. */
#define NEARLY_FULL ((uint64_t)1 << 20)

static bool disk_is_full(const struct store *store)
{
    struct statvfs disk;

    return statvfs(store->directory, &disk) == 0 &&
           disk.f_bavail * disk.f_frsize < NEARLY_FULL;
}

static int translate(struct store *store, int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return ERR_DISK_FULL;
    case EIO:
        return disk_is_full(store) ? ERR_DISK_FULL : ERR_IO;
    case MDB_PANIC:
        return ERR_IO;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return ERR_CORRUPT;
    default:
        return ERR_SYSTEM;
    }
}

int kv_fault_of(struct store *store, struct store_txn *txn, int rc)
{
    assert(rc != 0);
    int fault = translate(store, rc);
    if (txn != NULL && txn->fault == 0) {
        txn->fault = fault;
    }
    return fault;
}

int kv_corrupt_of(struct store_txn *txn)
{
    if (txn->fault == 0) {
        txn->fault = ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

/* ---- access ---- */

static MDB_val val_of_key(const struct kv_key *key)
{
    return (MDB_val){key->n, (void *)key->b};
}

static struct str str_of_val(MDB_val val)
{
    return (struct str){val.mv_data, val.mv_size};
}

int kv_get(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str *ret_value)
{
    if (txn->fault != 0) {
        return txn->fault;
    }
    MDB_val k = val_of_key(key);
    MDB_val v;
    int rc = mdb_get(txn->mdb, dbi, &k, &v);
    if (rc == MDB_NOTFOUND) {
        return ERR_NOT_FOUND;
    }
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    *ret_value = str_of_val(v);
    return 0;
}

int kv_add(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str value, struct str *ret_there)
{
    assert(txn->write);
    if (txn->fault != 0) {
        return txn->fault;
    }
    MDB_val k = val_of_key(key);
    MDB_val v = {value.n, (void *)value.p};
    int rc = mdb_put(txn->mdb, dbi, &k, &v, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST) {
        *ret_there = str_of_val(v);
        return ERR_CONFLICT;
    }
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

static int put(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
               struct str value, unsigned flags)
{
    assert(txn->write);
    if (txn->fault != 0) {
        return txn->fault;
    }
    MDB_val k = val_of_key(key);
    MDB_val v = {value.n, (void *)(value.n == 0 ? "" : value.p)};
    int rc = mdb_put(txn->mdb, dbi, &k, &v, flags);
    assert(rc != MDB_KEYEXIST); /* kv_append: out of order */
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

int kv_put(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str value)
{
    return put(txn, dbi, key, value, 0);
}

int kv_append(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
              struct str value)
{
    return put(txn, dbi, key, value, MDB_APPEND);
}

int kv_del(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key)
{
    assert(txn->write);
    if (txn->fault != 0) {
        return txn->fault;
    }
    MDB_val k = val_of_key(key);
    int rc = mdb_del(txn->mdb, dbi, &k, NULL);
    if (rc == MDB_NOTFOUND) {
        return ERR_NOT_FOUND;
    }
    return rc == 0 ? 0 : kv_fault(txn->store, txn, rc);
}

static bool same(MDB_val found, const struct kv_key *key)
{
    return found.mv_size == key->n &&
           memcmp(found.mv_data, key->b, key->n) == 0;
}

int kv_del_first(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
                 struct str *ret_next)
{
    MDB_cursor *cursor = NULL;
    MDB_val k;
    MDB_val v;

    assert(txn->write);
    if (txn->fault != 0) {
        return txn->fault;
    }
    int rc = mdb_cursor_open(txn->mdb, dbi, &cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    bool found = rc == 0 && same(k, key);
    if (found) {
        rc = mdb_cursor_del(cursor, 0);
    }
    if (found && rc == 0) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return kv_fault(txn->store, txn, rc);
    }
    if (!found || rc == MDB_NOTFOUND) {
        return found ? ERR_END : ERR_NOT_FOUND;
    }
    *ret_next = str_of_val(k);
    return 0;
}

int kv_first(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *from,
             size_t n_prefix, bool after, struct str *ret_key,
             struct str *ret_value)
{
    MDB_cursor *cursor = NULL;
    MDB_val k = val_of_key(from);
    MDB_val v;

    if (txn->fault != 0) {
        return txn->fault;
    }
    int rc = mdb_cursor_open(txn->mdb, dbi, &cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc == 0 && after && same(k, from)) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) {
        return ERR_END;
    }
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    if (k.mv_size < n_prefix || memcmp(k.mv_data, from->b, n_prefix) != 0) {
        return ERR_END;
    }
    *ret_key = str_of_val(k);
    *ret_value = str_of_val(v);
    return 0;
}

int kv_count(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *prefix,
             uint64_t most, uint64_t *ret_n)
{
    MDB_cursor *cursor = NULL;
    MDB_val k = val_of_key(prefix);
    MDB_val v;
    uint64_t n = 0;

    if (txn->fault != 0) {
        return txn->fault;
    }
    int rc = mdb_cursor_open(txn->mdb, dbi, &cursor);
    if (rc != 0) {
        return kv_fault(txn->store, txn, rc);
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && n < most && k.mv_size >= prefix->n &&
           memcmp(k.mv_data, prefix->b, prefix->n) == 0) {
        n++;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return kv_fault(txn->store, txn, rc);
    }
    *ret_n = n;
    return 0;
}
