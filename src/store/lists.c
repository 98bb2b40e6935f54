/* List records (api/store-format.md): how many rows a list has, and when it
 * changed last.
 *
 * A pack of writes changes the same list again and again, and with it the
 * record of its namespace. So what becomes of the one that was changed last is
 * kept aside in the transaction, and written when another one is, when somebody
 * is about to read either record, and before the commit. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

enum { LIST_COUNT = 8, LIST_REVISION = 16, LIST_BYTES = 24 };

static void list_key(struct kv_key *key, struct str type)
{
    kv_key_start(key, 'l');
    kv_key_str(key, type);
}

static int decode(struct store_txn *txn, struct str record,
                  struct store_list *ret_list)
{
    if (record.n != LIST_BYTES || record.p[0] != KV_FORMAT) {
        return kv_corrupt(txn);
    }
    ret_list->count = kv_le64(record.p + LIST_COUNT);
    ret_list->revision = kv_le64(record.p + LIST_REVISION);
    return 0;
}

/* {0, 0} when there is none. */
static int read_list(struct store_txn *txn, uint64_t ns,
                     const struct kv_key *key, struct store_list *ret_list)
{
    struct str record;
    MDB_dbi dbi = 0;

    int r = kv_ns(txn, ns, false, &dbi);
    if (r == 0) {
        r = kv_get(txn, dbi, key, &record);
    }
    if (r == ERR_NOT_FOUND) {
        *ret_list = (struct store_list){0, 0};
        return 0;
    }
    return r == 0 ? decode(txn, record, ret_list) : r;
}

/* ---- reading ---- */

int store_list_get(struct store_txn *txn, uint64_t ns, struct str type,
                   struct store_list *ret_list)
{
    struct kv_key key;

    list_key(&key, type);
    int r = kv_list_settle(txn);
    return r == 0 ? read_list(txn, ns, &key, ret_list) : r;
}

int store_list_next(struct store_txn *txn, uint64_t ns, struct str after,
                    struct str *ret_type, struct store_list *ret_list)
{
    struct kv_key from;
    struct str key;
    struct str record;
    MDB_dbi dbi = 0;

    list_key(&from, after);
    int r = kv_list_settle(txn);
    if (r == 0) {
        r = kv_ns(txn, ns, false, &dbi);
    }
    if (r == 0) {
        r = kv_first(txn, dbi, &from, 1, after.p != NULL, &key, &record);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? ERR_END : r;
    }
    *ret_type = (struct str){key.p + 1, key.n - 1};
    return decode(txn, record, ret_list);
}

/* ---- the one that changes ---- */

static bool is_of(const struct kv_list *list, uint64_t ns, struct str type)
{
    return list->ns == ns && list->key.n == 1 + type.n &&
           memcmp(list->key.b + 1, type.p, type.n) == 0;
}

int kv_list_changed(struct store_txn *txn, uint64_t ns, struct str type,
                    uint64_t revision)
{
    struct kv_list *list = &txn->list;
    int r = 0;

    if (!is_of(list, ns, type)) {
        r = kv_list_settle(txn);
        list_key(&list->key, type);
        if (r == 0) {
            r = read_list(txn, ns, &list->key, &list->now);
        }
        list->ns = r == 0 ? ns : 0;
    }
    list->now.revision = revision;
    list->settled = false;
    return r;
}

void kv_list_count(struct store_txn *txn, bool more)
{
    struct kv_list *list = &txn->list;

    assert(more || (list->now.count > 0 && txn->meta.n_rows > 0));
    list->now.count += more ? 1 : UINT64_MAX;
    list->plus += more ? 1 : UINT64_MAX;
    txn->meta.n_rows += more ? 1 : UINT64_MAX;
}

int kv_list_settle(struct store_txn *txn)
{
    struct kv_list *list = &txn->list;
    char record[LIST_BYTES] = {KV_FORMAT};
    MDB_dbi dbi = 0;

    if (list->ns == 0 || list->settled) {
        return 0;
    }
    kv_set_le64(record + LIST_COUNT, list->now.count);
    kv_set_le64(record + LIST_REVISION, list->now.revision);
    int r = kv_ns(txn, list->ns, true, &dbi);
    if (r == 0) {
        r = kv_put(txn, dbi, &list->key, (struct str){record, sizeof record});
    }
    if (r == 0 && list->plus != 0) {
        r = kv_tree_count(txn, list->ns, list->plus);
    }
    list->plus = 0;
    list->settled = true;
    return r;
}

void kv_list_forget(struct store_txn *txn)
{
    txn->list.ns = 0;
    txn->list.plus = 0;
}
