/* Leases, and the rows that go when they go. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

/* ---- lease records (api/store-format.md) ---- */

enum {
    LEASE_N_PLACES = 4,
    LEASE_ID = 8,
    LEASE_TTL = 24,
    LEASE_CREATED = 32,
    LEASE_HEAD = 40,
    PLACE_ORIGIN = 0,
    PLACE_NS = 8,
    PLACE_ID = 16,
    PLACE_OWNED = 32,
    PLACE_BYTES = 33,
};

static void lease_encode(const struct store_lease *lease, struct buf *record)
{
    char head[LEASE_HEAD] = {KV_FORMAT};

    assert(lease->n_places <= UINT32_MAX);
    kv_set_le32(head + LEASE_N_PLACES, (uint32_t)lease->n_places);
    memcpy(head + LEASE_ID, lease->id.b, sizeof lease->id.b);
    kv_set_le64(head + LEASE_TTL, lease->ttl_ms);
    kv_set_le64(head + LEASE_CREATED, lease->created_rev);
    buf_clear(record);
    buf_add(record, head, sizeof head);
    for (size_t i = 0; i < lease->n_places; i++) {
        const struct store_placement *place = &lease->places[i];
        char bytes[PLACE_BYTES];
        kv_set_le64(bytes + PLACE_ORIGIN, place->origin);
        kv_set_le64(bytes + PLACE_NS, place->ns);
        memcpy(bytes + PLACE_ID, place->id.b, sizeof place->id.b);
        bytes[PLACE_OWNED] = place->owned ? 1 : 0;
        buf_add(record, bytes, sizeof bytes);
    }
}

static const struct store_placement *places_decode(struct arena *arena,
                                                   const char *bytes, size_t n)
{
    struct store_placement *places = arena_alloc(arena, n * sizeof *places);

    for (size_t i = 0; i < n; i++, bytes += PLACE_BYTES) {
        places[i].origin = kv_le64(bytes + PLACE_ORIGIN);
        places[i].ns = kv_le64(bytes + PLACE_NS);
        memcpy(places[i].id.b, bytes + PLACE_ID, sizeof places[i].id.b);
        places[i].owned = bytes[PLACE_OWNED] != 0;
    }
    return places;
}

static int lease_decode(struct store_txn *txn, struct str hostname,
                        struct str record, struct arena *arena,
                        struct store_lease *ret_lease)
{
    const char *p = record.p;

    if (record.n < LEASE_HEAD || p[0] != KV_FORMAT) {
        return kv_corrupt(txn);
    }
    size_t n_places = kv_le32(p + LEASE_N_PLACES);
    if (record.n != LEASE_HEAD + n_places * PLACE_BYTES) {
        return kv_corrupt(txn);
    }
    *ret_lease = (struct store_lease){
        .ttl_ms = kv_le64(p + LEASE_TTL),
        .created_rev = kv_le64(p + LEASE_CREATED),
        .hostname = arena_str(arena, hostname),
        .places = places_decode(arena, p + LEASE_HEAD, n_places),
        .n_places = n_places,
    };
    memcpy(ret_lease->id.b, p + LEASE_ID, sizeof ret_lease->id.b);
    return 0;
}

/* ---- keys ---- */

static struct kv_key host_key(struct str hostname)
{
    struct kv_key key;

    kv_key_start(&key, 'l');
    kv_key_str(&key, hostname);
    return key;
}

/* 'i' lease: its hostname; 'b' lease: what its bindings begin with. */
static struct kv_key lease_key(char kind, struct ulid lease)
{
    struct kv_key key;

    kv_key_start(&key, kind);
    kv_key_ulid(&key, lease);
    return key;
}

static struct kv_key bind_key(struct ulid lease, uint64_t ns, struct str type,
                              struct ulid id)
{
    struct kv_key key = lease_key('b', lease);

    kv_key_u64(&key, ns);
    kv_key_ulid(&key, id);
    kv_key_str(&key, type);
    return key;
}

/* An id may be that of several rows, each of another type: who puts a row may
 * choose it. Releases that did not think of it wrote no type [LEASES-1]. */
static struct kv_key row_key(uint64_t ns, struct str type, struct ulid id)
{
    struct kv_key key;

    kv_key_start(&key, 'r');
    kv_key_u64(&key, ns);
    kv_key_ulid(&key, id);
    kv_key_str(&key, type);
    return key;
}

static struct str ulid_str(const struct ulid *id)
{
    return (struct str){(const char *)id->b, sizeof id->b};
}

static MDB_dbi leases(const struct store_txn *txn)
{
    return kv_base(txn, KV_LEASES);
}

/* ---- leases ---- */

int store_lease_get(struct store_txn *txn, struct str hostname,
                    struct arena *arena, struct store_lease *ret_lease)
{
    struct kv_key key;
    struct str record;

    if (hostname.n >= KV_KEY_MAX) {
        return ERR_NOT_FOUND; /* In a file that somebody else wrote. */
    }
    key = host_key(hostname);
    int r = kv_get(txn, leases(txn), &key, &record);
    return r == 0 ? lease_decode(txn, hostname, record, arena, ret_lease) : r;
}

int store_lease_find(struct store_txn *txn, struct ulid id, struct arena *arena,
                     struct store_lease *ret_lease)
{
    struct kv_key key = lease_key('i', id);
    struct str hostname;

    int r = kv_get(txn, leases(txn), &key, &hostname);
    if (r != 0) {
        return r;
    }
    r = store_lease_get(txn, hostname, arena, ret_lease);
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

/* A host's older lease would still be found by its id. */
static int drop_other_id(struct store_txn *txn, struct str old,
                         struct ulid new_id)
{
    struct ulid id;

    if (old.n < LEASE_HEAD) {
        return kv_corrupt(txn);
    }
    memcpy(id.b, old.p + LEASE_ID, sizeof id.b);
    if (memcmp(id.b, new_id.b, sizeof id.b) == 0) {
        return 0;
    }
    struct kv_key entry = lease_key('i', id);
    int r = kv_del(txn, leases(txn), &entry);
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

int store_lease_put(struct store_txn *txn, const struct store_lease *lease)
{
    struct kv_key key = host_key(lease->hostname);
    struct kv_key entry = lease_key('i', lease->id);
    struct str old;

    int r = kv_get(txn, leases(txn), &key, &old);
    if (r == ERR_NOT_FOUND) {
        txn->meta.n_leases++;
        r = 0;
    } else if (r == 0) {
        r = drop_other_id(txn, old, lease->id);
    }
    if (r == 0) {
        r = kv_put(txn, leases(txn), &entry, lease->hostname);
    }
    if (r == 0) {
        lease_encode(lease, &txn->scratch);
        r = kv_put(txn, leases(txn), &key, buf_str(&txn->scratch));
    }
    return r;
}

int store_lease_del(struct store_txn *txn, const struct store_lease *lease)
{
    struct kv_key key = host_key(lease->hostname);
    struct kv_key entry = lease_key('i', lease->id);

    int r = kv_del(txn, leases(txn), &key);
    if (r != 0) {
        return r;
    }
    r = kv_del(txn, leases(txn), &entry);
    if (r == ERR_NOT_FOUND || txn->meta.n_leases == 0) {
        return kv_corrupt(txn);
    }
    txn->meta.n_leases--;
    return r;
}

int store_lease_next(struct store_txn *txn, struct str after,
                     struct arena *arena, struct store_lease *ret_lease)
{
    struct kv_key from = host_key(after);
    struct str key;
    struct str record;

    int r =
        kv_first(txn, leases(txn), &from, 1, after.p != NULL, &key, &record);
    if (r != 0) {
        return r;
    }
    return lease_decode(txn, (struct str){key.p + 1, key.n - 1}, record, arena,
                        ret_lease);
}

/* ---- bindings ----
 *
 * [LEASES-1] A way back without a type is read as one with the type of its
 *            binding. It is the only one of its namespace and id: before
 *            another is written beside it, it gets its type. So the ways back
 *            of two stores that differ in nothing else, cut to the short key,
 *            are the same entries in the same order, as the digest sees them.
 */

static int way_back(struct store_txn *txn, const struct kv_key *key,
                    struct ulid *ret_lease)
{
    struct str value;

    int r = kv_get(txn, leases(txn), key, &value);
    if (r != 0) {
        return r;
    }
    if (value.n != sizeof ret_lease->b) {
        return kv_corrupt(txn);
    }
    memcpy(ret_lease->b, value.p, sizeof ret_lease->b);
    return 0;
}

/* The way back of a row, as it is stored, and where it leads. */
static int find_back(struct store_txn *txn, uint64_t ns, struct str type,
                     struct ulid id, struct kv_key *ret_back,
                     struct ulid *ret_lease)
{
    struct str nothing;

    *ret_back = row_key(ns, type, id);
    int r = way_back(txn, ret_back, ret_lease);
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    *ret_back = row_key(ns, STR(""), id);
    r = way_back(txn, ret_back, ret_lease);
    if (r != 0) {
        return r;
    }
    struct kv_key binding = bind_key(*ret_lease, ns, type, id);
    return kv_get(txn, leases(txn), &binding, &nothing);
}

/* A way back that has no type gets it. [LEASES-1] */
static int complete_back(struct store_txn *txn, uint64_t ns, struct ulid id)
{
    struct kv_key old = row_key(ns, STR(""), id);
    struct str key;
    struct str value;
    struct ulid lease;

    int r = way_back(txn, &old, &lease);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    struct kv_key from = bind_key(lease, ns, STR(""), id);
    r = kv_first(txn, leases(txn), &from, from.n, true, &key, &value);
    if (r != 0) {
        return r == ERR_END ? kv_corrupt(txn) : r;
    }
    struct kv_key back = old;
    kv_key_str(&back, (struct str){key.p + from.n, key.n - from.n});
    r = kv_del(txn, leases(txn), &old);
    return r == 0 ? kv_put(txn, leases(txn), &back, ulid_str(&lease)) : r;
}

int store_bind(struct store_txn *txn, struct ulid lease, uint64_t ns,
               struct str type, struct ulid id)
{
    struct kv_key binding = bind_key(lease, ns, type, id);
    struct kv_key back = row_key(ns, type, id);

    int r = store_unbind(txn, ns, type, id);
    if (r < 0) {
        return r;
    }
    r = complete_back(txn, ns, id);
    if (r == 0) {
        r = kv_put(txn, leases(txn), &binding, STR(""));
    }
    if (r == 0) {
        r = kv_put(txn, leases(txn), &back, ulid_str(&lease));
    }
    return r;
}

int store_unbind(struct store_txn *txn, uint64_t ns, struct str type,
                 struct ulid id)
{
    struct kv_key back;
    struct ulid lease;

    int r = find_back(txn, ns, type, id, &back, &lease);
    if (r != 0) {
        return r;
    }
    struct kv_key binding = bind_key(lease, ns, type, id);
    r = kv_del(txn, leases(txn), &binding);
    if (r == 0) {
        r = kv_del(txn, leases(txn), &back);
    }
    return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
}

int store_bound_to(struct store_txn *txn, uint64_t ns, struct str type,
                   struct ulid id, struct ulid *ret_lease)
{
    struct kv_key back;

    return find_back(txn, ns, type, id, &back, ret_lease);
}

int store_bound_first(struct store_txn *txn, struct ulid lease,
                      uint64_t *ret_ns, struct str *ret_type,
                      struct ulid *ret_id)
{
    struct kv_key from = lease_key('b', lease);
    size_t at = from.n;
    struct str key;
    struct str value;

    int r = kv_first(txn, leases(txn), &from, at, false, &key, &value);
    if (r != 0) {
        return r;
    }
    if (key.n < at + 8 + sizeof ret_id->b) {
        return kv_corrupt(txn);
    }
    *ret_ns = kv_be64(key.p + at);
    at += 8;
    memcpy(ret_id->b, key.p + at, sizeof ret_id->b);
    at += sizeof ret_id->b;
    *ret_type = (struct str){key.p + at, key.n - at};
    return 0;
}

int store_bound_count(struct store_txn *txn, struct ulid lease, uint64_t most,
                      uint64_t *ret_n)
{
    struct kv_key prefix = lease_key('b', lease);

    return kv_count(txn, leases(txn), &prefix, most, ret_n);
}
