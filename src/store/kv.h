/* The store's floor: keys and values in LMDB databases, inside transactions.
 * Private to this room; LMDB's calls are made in kv.c, env.c, txn.c and
 * reader.c, by rows.c to walk a list, and by digest.c on a file of its own.
 *
 * A fault is sticky: the first one a transaction meets is what every later call
 * on it answers, and a write transaction with one cannot commit. So code above
 * may do several steps and look at the last result only where that is clearer.
 *
 * What comes back is lent from the map or from LMDB's dirty pages: good until
 * the transaction ends or next writes. */
#ifndef STORE_KV_H
#define STORE_KV_H

#include <assert.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/pool.h"
#include "store/store.h"
#include "store/turn.h"

#define KV_FORMAT 1 /* first byte of every record */
#define KV_KEY_MAX 511
#define KV_WAY_BACK 25 /* 'r' ns:8 id:16, without the type */

enum kv_base { KV_META, KV_TREE, KV_LEASES, KV_KEYS, KV_HISTORY, KV_N_BASES };
extern const char *const kv_base_names[KV_N_BASES];

/* Ids of namespaces, growing. */
struct kv_ids {
    uint64_t *p;
    size_t n;
    size_t room;
};

struct kv_pin {
    uint64_t ns;
    MDB_dbi dbi;
    struct handle *handle;
};

/* One environment that is, or was, the state: see gen.c. */
struct kv_gen {
    MDB_env *env;
    MDB_dbi main; /* names every database */
    MDB_dbi bases[KV_N_BASES];
    struct pool pool;
    struct kv_ids drops; /* databases to remove at a commit, if empty then */
    unsigned users;      /* under the store's lock */
};

struct kv_key {
    size_t n;
    uint8_t b[KV_KEY_MAX];
};

/* The list that was changed last: lists.c. */
struct kv_list {
    uint64_t ns; /* 0: none */
    struct kv_key key;
    struct store_list now;
    uint64_t plus; /* rows that its namespace's record does not count yet, or
                      counts too many: modulo 2^64 */
    bool settled;  /* what is stored says the same */
};

struct store_txn {
    struct store *store;
    struct kv_gen *gen; /* what it reads or writes; of a reader, held */
    MDB_txn *mdb;       /* that of the part while there is one */
    bool write;
    bool active;
    int fault; /* sticky */
    struct store_meta meta;

    /* A write transaction. */
    MDB_txn *whole; /* around the part, NULL when there is none */
    struct store_meta stored;
    uint64_t serial;
    struct kv_ids opened; /* handles it opened, unknown to others yet */
    struct kv_list list;
    struct {
        struct store_meta meta;
        size_t n_opened;
    } before_part;
    struct buf scratch; /* a record on its way from one page to another */

    /* A read transaction. */
    uint64_t begin_seq; /* [POOL-2] */
    struct kv_pin *pins;
    unsigned n_pins;
};

struct store {
    char *directory;
    uint64_t limit_bytes;
    unsigned max_handles;
    unsigned max_readers;
    struct turn turn;
    struct store_txn writer;
    pthread_mutex_t lock; /* generations' users, `readers` */
    _Atomic(struct kv_gen *) current;
    struct store_reader *readers; /* all of them */
    _Atomic unsigned n_readers;
};

/* ---- keys: numbers big-endian so that byte order is number order ---- */

static inline void kv_key_start(struct kv_key *key, char kind)
{
    key->b[0] = (uint8_t)kind;
    key->n = 1;
}
static inline void kv_key_add(struct kv_key *key, const void *bytes, size_t n)
{
    assert(n <= KV_KEY_MAX - key->n);
    if (n > 0) {
        memcpy(key->b + key->n, bytes, n);
        key->n += n;
    }
}
void kv_key_u64(struct kv_key *key, uint64_t number);
static inline void kv_key_str(struct kv_key *key, struct str s)
{
    kv_key_add(key, s.p, s.n);
}
static inline void kv_key_ulid(struct kv_key *key, struct ulid id)
{
    kv_key_add(key, id.b, sizeof id.b);
}
uint64_t kv_be64(const char *bytes);

/* ---- values: numbers little-endian ---- */

static inline uint64_t kv_le64(const char *bytes)
{
    return le_get(bytes, 8);
}
static inline uint32_t kv_le32(const char *bytes)
{
    return (uint32_t)le_get(bytes, 4);
}
static inline void kv_set_le64(char *bytes, uint64_t number)
{
    le_put(bytes, number, 8);
}
static inline void kv_set_le32(char *bytes, uint32_t number)
{
    le_put(bytes, number, 4);
}
/* A value that is one number of 8 bytes. */
int kv_number(struct store_txn *txn, struct str value,
              uint64_t *ret_number) MUST_USE;

/* ---- access ---- */

/* A code of LMDB's as a fault, kept in the transaction (NULL: none to keep it
 * in) and raised at the caller's line. */
#define kv_fault(store, txn, rc) err_raise(kv_fault_of((store), (txn), (rc)))
int kv_fault_of(struct store *store, struct store_txn *txn, int rc) MUST_USE;
/* What is stored cannot be: CORRUPT, sticky. */
#define kv_corrupt(txn) err_raise(kv_corrupt_of(txn))
int kv_corrupt_of(struct store_txn *txn) MUST_USE;

static inline MDB_dbi kv_base(const struct store_txn *txn, enum kv_base base)
{
    return txn->gen->bases[base];
}
/* The database of a namespace. `make`: create it when there is none, write
 * transactions only. Answers: NOT_FOUND when it has none in this snapshot. */
int kv_ns(struct store_txn *txn, uint64_t ns, bool make,
          MDB_dbi *ret_dbi) MUST_USE;

/* Answers: NOT_FOUND. */
int kv_get(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str *ret_value) MUST_USE;
int kv_put(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str value) MUST_USE;
/* Only when the key is not there. Answers: CONFLICT (it is, with that value).
 */
int kv_add(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
           struct str value, struct str *ret_there) MUST_USE;
/* kv_put with a key greater than all in the database: fills pages densely. */
int kv_append(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
              struct str value) MUST_USE;
/* Answers: NOT_FOUND. */
int kv_del(struct store_txn *txn, MDB_dbi dbi,
           const struct kv_key *key) MUST_USE;
/* The first entry of the whole, which must be this one; *ret_next: the key that
 * is the first then. Answers: NOT_FOUND (another is), END (there is none). */
int kv_del_first(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *key,
                 struct str *ret_next) MUST_USE;
/* The first entry at `from` or behind it (behind it only: `after`) whose key
 * begins with the first `n_prefix` bytes of `from`. Answers: END. */
int kv_first(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *from,
             size_t n_prefix, bool after, struct str *ret_key,
             struct str *ret_value) MUST_USE;

/* How many keys begin as `prefix` does, counted up to `most`. */
int kv_count(struct store_txn *txn, MDB_dbi dbi, const struct kv_key *prefix,
             uint64_t most, uint64_t *ret_n) MUST_USE;

/* ---- meta.c ---- */

/* The record as it was first, and with what came later, which stands in it only
 * when it is used: releases before cannot read it then. */
enum { KV_META_FIRST = 144, KV_META_BYTES = 168, KV_META_FORMAT = 2 };
/* How many bytes it has. */
size_t kv_meta_encode(const struct store_meta *meta, char bytes[KV_META_BYTES]);
int kv_meta_load(struct store_txn *txn) MUST_USE;
/* Writes the record when it changed since the load. */
int kv_meta_save(struct store_txn *txn) MUST_USE;

/* ---- index.c, for rows.c and check.c ---- */

/* `of`: the entry of a primary key in a namespace, put there or taken away. */
int kv_index_put(struct store_txn *txn, uint64_t ns,
                 const struct kv_key *of) MUST_USE;
int kv_index_del(struct store_txn *txn, uint64_t ns,
                 const struct kv_key *of) MUST_USE;
bool kv_index_has(struct store_txn *txn, MDB_dbi dbi, uint64_t ns,
                  const struct kv_key *of);
/* False when it is none. Lends. */
bool kv_index_place(struct str value, struct store_index_place *ret_place);

/* ---- env.c, gen.c ---- */

/* Opens, and makes what is not there; held once. */
int kv_gen_open(struct store *store, const char *directory,
                struct kv_gen **ret_gen) MUST_USE;
/* Hold the current one: neither closed nor unmapped until it is let go. */
struct kv_gen *kv_gen_hold(struct store *store);
/* The last one to let go closes it. */
void kv_gen_let_go(struct store *store, struct kv_gen *gen);

/* ---- digest.c, for check.c ---- */

/* A file that nobody else has open, as a store of one read transaction: what
 * kv.c's functions need of one, no more. */
struct kv_alone {
    struct store store;
    struct kv_gen gen;
    struct store_txn txn;
};
/* Ends with kv_alone_close whatever comes back. */
int kv_alone_open(struct kv_alone *alone, const char *file) MUST_USE;
void kv_alone_close(struct kv_alone *alone);
int kv_digest(struct store_txn *txn, uint8_t ret_digest[32]) MUST_USE;

/* ---- reader.c, for gen.c ---- */

/* The current generation is another one now: readers that do nothing give the
 * old one up at once, the others when they end. Under the store's lock. */
void kv_readers_move(struct store *store);

/* ---- txn.c, for reader.c and gen.c ---- */

/* A write transaction on a generation, which may be one that nobody sees yet.
 */
int kv_write_begin(struct store *store, struct kv_gen *gen,
                   struct store_txn **ret_txn) MUST_USE;

/* [STORE-2] Close what is over the bound, as far as nobody uses it. Holder of
 * the turn; `room` handles are about to be opened; `serial` of the running
 * write transaction, 0: none. */
void kv_make_room(struct store *store, struct kv_gen *gen, unsigned room,
                  uint64_t serial);
/* kv_ns on a write transaction. */
int kv_writer_ns(struct store_txn *txn, uint64_t ns, bool make,
                 MDB_dbi *ret_dbi) MUST_USE;

/* ---- lists.c ---- */

/* A row of this list changes at this revision. */
int kv_list_changed(struct store_txn *txn, uint64_t ns, struct str type,
                    uint64_t revision) MUST_USE;
/* And it is one more, or one less. */
void kv_list_count(struct store_txn *txn, bool more);
/* What was kept aside is stored: before a record of a list or a namespace is
 * read, before a part begins, before the commit. */
int kv_list_settle(struct store_txn *txn) MUST_USE;
/* It was undone, or its namespace goes. */
void kv_list_forget(struct store_txn *txn);

/* ---- tree.c, for lists.c ---- */

/* Count rows of a namespace, `plus` modulo 2^64: changes its record and nothing
 * around it. */
int kv_tree_count(struct store_txn *txn, uint64_t ns, uint64_t plus) MUST_USE;

/* ---- names of databases ---- */

enum { KV_NS_NAME = 18 }; /* 'n', 16 digits, NUL */
/* The index has a database that there is not from the beginning: its handle is
 * one of the pool, as those of namespaces. No namespace has this id. */
#define KV_INDEX UINT64_MAX
#define KV_INDEX_NAME "index"
void kv_ns_name(uint64_t ns, char ret_name[KV_NS_NAME]);
/* False when it is not the name of a namespace's database. */
bool kv_ns_parse(struct str name, uint64_t *ret_ns) MUST_USE;

void kv_ids_add(struct kv_ids *ids, uint64_t id);

#endif
