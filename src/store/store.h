/* The state on disk: one LMDB environment, one named database per namespace.
 *
 * What is in it is what the log says, applied: this room decides nothing, it
 * keeps. The machine writes through it inside one transaction per pack of
 * commands; everybody reads through it in short read transactions.
 *
 *   database   key                            value
 *   meta       name                           numbers (see struct store_meta)
 *   tree       'n' id:8                       node record
 *              'c' parent:8 label             id:8
 *              'm' id:8                       match pattern (leaves with one)
 *              'd' type                       definition (JSON)
 *              'u' type                       revision of the last row put:8
 *              'x' id:8                       a deleted subtree to reclaim
 *   leases     'l' hostname                   lease record
 *              'i' lease:16                   hostname
 *              'b' lease:16 ns:8 id:16 type   -   (rows bound to a lease)
 *              'r' ns:8 id:16 type            lease:16 (the way back; without
 *                                             the type: of older releases)
 *   keys       'k' hash:32                    idempotency record
 *              'e' time:8 hash:32             -   (what ends when)
 *              'm' kind:1 name                ends_ms:8, a mark's record
 *              't' ends_ms:8 kind:1 name      -   (what is due when)
 *   history    revision:8                     event (JSON)
 *   n<id:16x>  'r' type 0 id:16               the row as it is sent
 *              's' type 0 id:16               its secret fields
 *              'k' type 0 key                 id:16
 *              'l' type                       list record
 *   index      type 0 key 0 ns:8              -   (where a primary key is)
 *              0                              how far it is built
 * Numbers in keys are big-endian so that byte order is number order. The tables
 * of record bytes are in api/store-format.md.
 *
 * Invariants
 *   [STORE-1] a row, its key entry, its list record and its event change in one
 *             transaction with meta.applied.
 *   [STORE-2] at most `max_handles` namespace handles are open, but for a write
 *             transaction that touches more namespaces and readers that pin
 *             more, while they last. LMDB's cost per transaction grows with
 *             the handles there ever were at once (0.5 us for 256, 6 us for
 *             4,000), ours does not with namespaces.
 *   [STORE-3] a handle is opened only by the holder of the turn (a FIFO lock
 *             that the writer holds for its whole transaction), closed only
 *             when no reader pins it, and used only by transactions begun
 *             after it was opened. LMDB corrupts itself otherwise.
 *   [STORE-4] nothing lent by a read outlives store_read_end; no read
 *             transaction outlives a send to a client.
 *   [STORE-5] who reads while the state is replaced sees one or the other to
 * the end of the transaction; who begins after store_replace sees the new one.
 * Nobody that reads nothing keeps the old one.
 *   [STORE-6] when meta.index is COMPLETE the index has an entry for each 'k'
 *             entry of a namespace that hangs on the root, and none without;
 *             while it is built, only the latter. It changes in the transaction
 *             of the 'k' entry.
 *
 * Threads: store_write_* and the `put/del` calls: the core thread. Reads: any
 * thread, one struct store_reader each. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/ulid.h"

#define STORE_ROOT 1 /* the id of the root namespace */
#define STORE_POOL 2

struct store;        /* opaque */
struct store_reader; /* opaque: a read transaction kept for reuse */
struct store_txn;    /* opaque: a read or a write transaction */
struct store_next;   /* opaque: a state that is not, or no more, the current */

struct store_config {
    const char *directory; /* holds data.mdb, lock.mdb */
    uint64_t limit_bytes;  /* the map: the file never grows beyond */
    unsigned max_handles;  /* [STORE-2] */
    unsigned max_readers;
};

/* How far the index of primary keys is. Without one nothing is written. */
enum store_index {
    STORE_INDEX_NONE = 0,
    STORE_INDEX_BUILDING = 1,
    STORE_INDEX_COMPLETE = 2,
};

/* Numbers of the whole registry, loaded with each transaction and written with
 * each commit. The machine changes them through store_meta(), but for the
 * counted ones: this room keeps those itself. */
struct store_meta {
    uint64_t applied; /* Raft index of the last entry whose effects are in */
    uint64_t revision;
    uint64_t tree_rev; /* last change that may change what a path or a
                          hostname resolves to: rename, move, delete, a
                          match set or changed, a leaf born with a match */
    uint64_t types_rev;
    uint64_t log_time_ms; /* greatest time stamp applied */
    uint64_t lease_epoch;
    uint64_t next_ns;       /* id of the next namespace */
    uint64_t n_keys;        /* counted: idempotency records held */
    uint64_t history_limit; /* events kept, unless they are fewer bytes than: */
    uint64_t history_least_bytes;
    uint64_t history_bytes; /* counted while that is not 0: of events held */
    uint64_t history_first; /* counted: revision of the oldest, 0: none */
    uint64_t history_n;     /* counted: events held */
    uint64_t n_rows;        /* counted: resources and templates */
    uint64_t n_ns;
    uint64_t n_leases; /* counted */
    uint64_t feature_level;
    uint64_t access_rev; /* last change that may take from somebody what he may
                            do, or give it to him */
    uint64_t index;      /* enum store_index */
    uint8_t cluster[16]; /* zero before the first command */
};

/* Opens or makes (the directory too). A map larger than the address space there
 * is gets smaller, with a warning. Faults: IO, CORRUPT, DISK_FULL, SYSTEM. */
int store_open(const struct store_config *config,
               struct store **ret_store) MUST_USE;
/* All transactions ended, all readers closed. */
struct store *store_close(struct store *store);
/* Force everything to the disk (LMDB runs without syncs of its own). */
int store_sync(struct store *store) MUST_USE;
/* A compacted copy of the newest commit into a new file, synced. Any thread;
 * lasts as long as the disk needs; writing goes on. */
int store_copy(struct store *store, const char *file) MUST_USE;

/* ---- another state in the place of this one ---- */

/* Opens a directory that holds another state, which nobody sees yet: not that
 * of any open store. Its databases are as large as they are: O(1). Core. Faults
 * as store_open. */
int store_next_open(struct store *store, const char *directory,
                    struct store_next **ret_next) MUST_USE;
/* Also what store_replace gave: there may be much to unmap. Any thread. */
struct store_next *store_next_close(struct store_next *next);
/* A write transaction on it, ended as any other; it counts as the one there may
 * be. Core. */
int store_next_begin(struct store_next *next,
                     struct store_txn **ret_txn) MUST_USE;
/* From now on every transaction that begins sees it; those under way go on with
 * what they see. Gives what was there before, to be closed: its files may be
 * removed at once. No write transaction is open. Core; O(readers). */
struct store_next *store_replace(struct store_next *next) MUST_USE;

struct store_usage {
    uint64_t file_bytes;
    uint64_t used_bytes;  /* pages with something in them */
    uint64_t limit_bytes; /* of the map, as large as the system let it be */
    unsigned handles;
    unsigned readers;
};
/* Walks the list of free pages: for a gauge and for admission a few times a
 * second, not per request. A delete needs new pages before it frees old ones:
 * whoever admits writes refuses growth while limit - used is below a reserve,
 * else a full map can keep even deletes out. Any thread. */
struct store_usage store_usage(struct store *store);

/* ---- transactions ---- */

/* A fault inside a transaction is sticky: every later call on it answers it, a
 * commit too (also when the part it happened in is undone). */

/* Waits its turn. One at a time, on one thread until its end. One transaction
 * may touch 4,096 namespaces beyond max_handles: more is a fault (SYSTEM).
 * Faults: IO, SYSTEM. */
int store_write_begin(struct store *store, struct store_txn **ret_txn) MUST_USE;
/* The transaction is over whatever comes back. Faults: DISK_FULL (also when the
 * map is full), IO: nothing of it happened. */
int store_write_commit(struct store_txn *txn) MUST_USE;
void store_write_abort(struct store_txn *txn);
/* A part of a write transaction that can be undone alone. Between begin and its
 * end `txn` itself serves the part (calls on it go into the part). Meta is
 * restored on abort. Not nested deeper than one. Costs some 8 us. */
int store_part_begin(struct store_txn *txn) MUST_USE;
int store_part_commit(struct store_txn *txn) MUST_USE;
void store_part_abort(struct store_txn *txn);

struct store_meta *store_meta(struct store_txn *txn);

int store_reader_new(struct store *store,
                     struct store_reader **ret_reader) MUST_USE;
struct store_reader *store_reader_free(struct store_reader *reader);
/* Begin a snapshot on this reader; ends with store_read_end. */
int store_read_begin(struct store_reader *reader,
                     struct store_txn **ret_txn) MUST_USE;
void store_read_end(struct store_txn *txn);
/* Make the database of a namespace usable in this read transaction. When its
 * handle had to be opened the snapshot is renewed and the answer is RESTART:
 * forget all that was read and begin again (the handle stays pinned until
 * store_read_end). On a write transaction it never answers RESTART.
 * At most max_handles / 2 per read transaction: beyond that FULL.
 * Every function below that takes `ns` needs this first, on read transactions;
 * those answer as for an empty namespace when it has no database yet. */
int store_use(struct store_txn *txn, uint64_t ns) MUST_USE;

/* ---- the tree ---- */

enum store_kind { STORE_LEAF = 1, STORE_BRANCH = 2 };

struct store_node {
    uint64_t id;
    uint64_t parent; /* 0 on the root */
    enum store_kind kind;
    uint64_t created_rev;
    uint64_t path_rev;    /* last rename or move of this node; else created */
    uint64_t changed_rev; /* last change of the record itself: its ETag */
    uint64_t n_children;
    uint64_t n_rows;    /* resources (or templates) of all types in it */
    struct str name;    /* the label; on the root the whole domain. Lent */
    struct str match;   /* p == NULL: none. Lent */
    struct str comment; /* Lent */
};

/* Lent strings are good until the transaction ends or next writes.
 * Answers: NOT_FOUND. */
int store_node_get(struct store_txn *txn, uint64_t id,
                   struct store_node *ret_node) MUST_USE;
/* By id, from `after` (exclusive), deleted ones that are not reclaimed too.
 * Answers: END. */
int store_node_next(struct store_txn *txn, uint64_t after,
                    struct store_node *ret_node) MUST_USE;
/* Writes the record, the parent's entry (whose label is free or this node's)
 * and the match entry. To rename or move: store_node_unlink first, then put.
 * Never changes the parent's n_children. Its strings may be lent ones. */
int store_node_put(struct store_txn *txn,
                   const struct store_node *node) MUST_USE;
/* Takes the name entry out of the parent; the record stays. */
int store_node_unlink(struct store_txn *txn,
                      const struct store_node *node) MUST_USE;
/* Forgets record and match entry, and its database (store_ns_drop). */
int store_node_del(struct store_txn *txn, uint64_t id) MUST_USE;
int store_node_child(struct store_txn *txn, uint64_t parent, struct str label,
                     uint64_t *ret_id) MUST_USE;
/* Children in label order, from `after` (exclusive; p == NULL: the first).
 * Answers: END. ret_label is lent. */
int store_node_next_child(struct store_txn *txn, uint64_t parent,
                          struct str after, struct str *ret_label,
                          uint64_t *ret_id) MUST_USE;
/* The id a path stands for. Answers: NOT_FOUND. */
int store_path_resolve(struct store_txn *txn, struct str path,
                       uint64_t *ret_id) MUST_USE;
/* Appends the path of a node. Answers: NOT_FOUND when it or an ancestor hangs
 * under nothing (deleted, not reclaimed yet). */
int store_path_of(struct store_txn *txn, uint64_t id,
                  struct buf *path) MUST_USE;
/* Greatest path_rev of the node and its ancestors, and its own created_rev:
 * what every list revision in it is at least.
 * Answers: NOT_FOUND as above. */
int store_path_rev(struct store_txn *txn, uint64_t id,
                   uint64_t *ret_revision) MUST_USE;
/* The child of the root that a node is or is below; of the root itself the
 * root. Answers: NOT_FOUND as above. */
int store_path_top(struct store_txn *txn, uint64_t id,
                   uint64_t *ret_top) MUST_USE;
/* Whether `id` is `ancestor` or below it, reachable from the root or not; false
 * when there is no such node. */
int store_path_below(struct store_txn *txn, uint64_t id, uint64_t ancestor,
                     bool *ret_below) MUST_USE;
/* Leaves with a match pattern, by id from `after` (exclusive). Answers: END. */
int store_match_next(struct store_txn *txn, uint64_t after, uint64_t *ret_id,
                     struct str *ret_match) MUST_USE;

/* Deleted subtrees waiting to be reclaimed ('x'). Answers: END. */
int store_trash_put(struct store_txn *txn, uint64_t id) MUST_USE;
int store_trash_del(struct store_txn *txn, uint64_t id) MUST_USE;
int store_trash_first(struct store_txn *txn, uint64_t *ret_id) MUST_USE;
/* The first one with an id > after. Answers: END. */
int store_trash_next(struct store_txn *txn, uint64_t after,
                     uint64_t *ret_id) MUST_USE;
/* What is waiting hangs below another one from now on, by its record alone.
 * Answers: NOT_FOUND. */
int store_trash_hang(struct store_txn *txn, uint64_t id,
                     uint64_t parent) MUST_USE;

/* ---- types ---- */

/* The stored definition (JSON). Lends. Answers: NOT_FOUND. */
int store_type_get(struct store_txn *txn, struct str type,
                   struct str *ret_json) MUST_USE;
int store_type_put(struct store_txn *txn, struct str type,
                   struct str json) MUST_USE;
/* Stored definitions in name order. Answers: END. */
int store_type_next(struct store_txn *txn, struct str after,
                    struct str *ret_type, struct str *ret_json) MUST_USE;
/* Revision of the last row put of a type anywhere, 0 when never. */
int store_type_put_rev(struct store_txn *txn, struct str type,
                       uint64_t *ret_revision) MUST_USE;
int store_type_set_put_rev(struct store_txn *txn, struct str type,
                           uint64_t revision) MUST_USE;

/* ---- rows ---- */

struct store_list {
    uint64_t count;
    uint64_t revision; /* of its last change; 0 when it never had one */
};

/* {0, 0} when the list was never used. */
int store_list_get(struct store_txn *txn, uint64_t ns, struct str type,
                   struct store_list *ret_list) MUST_USE;
/* Types with a list record in a namespace, in name order. Answers: END. */
int store_list_next(struct store_txn *txn, uint64_t ns, struct str after,
                    struct str *ret_type, struct store_list *ret_list) MUST_USE;
/* The row as sent; secret->p NULL when it has none. Lends both; ret_secret may
 * be NULL. Answers: NOT_FOUND. */
int store_row_get(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str *ret_row,
                  struct str *ret_secret) MUST_USE;
/* The id that holds a primary key. Answers: NOT_FOUND. */
int store_row_find(struct store_txn *txn, uint64_t ns, struct str type,
                   struct str key, struct ulid *ret_id) MUST_USE;
/* Rows in `_id` order, from `after` (exclusive; NULL: the first). Lends.
 * Answers: END. O(log n) each. */
int store_row_next(struct store_txn *txn, uint64_t ns, struct str type,
                   const struct ulid *after, struct ulid *ret_id,
                   struct str *ret_row) MUST_USE;
/* Append rows of a list to `out`, commas between, from `after` (exclusive), at
 * most `limit` rows (0: all); *ret_n how many, *ret_last the last one's id,
 * *ret_more whether there are more. One cursor: the quick way to a list. */
int store_rows_join(struct store_txn *txn, uint64_t ns, struct str type,
                    const struct ulid *after, uint64_t limit, struct buf *out,
                    uint64_t *ret_n, struct ulid *ret_last,
                    bool *ret_more) MUST_USE;
/* Put a row (new or over the old one of this id), keep count and revision of
 * its list (meta.n_rows and the node's n_rows too). `key`: its primary key,
 * `old_key`: the one it had; p == NULL for none. The caller has made sure that
 * `key` is free. `secret`.n == 0: none. Its strings may be lent ones. The old
 * key is given up only while it is this row's. Faults: CORRUPT when the
 * namespace has no record; a later call may be the one that says so, or the
 * commit. */
int store_row_put(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str row, struct str secret,
                  struct str key, struct str old_key,
                  uint64_t revision) MUST_USE;
/* Answers: NOT_FOUND. */
int store_row_del(struct store_txn *txn, uint64_t ns, struct str type,
                  struct ulid id, struct str old_key,
                  uint64_t revision) MUST_USE;
/* Take the key entry away alone (keys may be swapped inside one operation). */
int store_row_unkey(struct store_txn *txn, uint64_t ns, struct str type,
                    struct str key) MUST_USE;
/* Remove the database of a namespace whose rows are all gone. It is empty from
 * here on; its name goes at the commit, or at a later one while a reader holds
 * it. */
int store_ns_drop(struct store_txn *txn, uint64_t ns) MUST_USE;

/* The ids of rows in a namespace whose primary key begins so, in the order of
 * the keys. Answers: FULL (there are more than `most`). O(those). */
int store_keys_find(struct store_txn *txn, uint64_t ns, struct str type,
                    struct str prefix, size_t most, struct ulid *ret_ids,
                    size_t *ret_n) MUST_USE;
/* Take at most `limit` keys of a namespace whose rows are all gone out of it
 * and the index. Answers: END (none is left). */
int store_keys_drop(struct store_txn *txn, uint64_t ns, uint64_t limit,
                    uint64_t *ret_n) MUST_USE;

/* ---- the index: where a primary key is [STORE-6] ---- */

/* Namespaces, deleted ones too, with a row of this type whose key is `text`, or
 * begins so (then a namespace may be there several times). Good when meta.index
 * is COMPLETE. Answers: FULL (there are more than `most`), and those of
 * store_use. O(those). */
int store_index_find(struct store_txn *txn, struct str type, struct str text,
                     bool prefix, size_t most, uint64_t *ret_ns,
                     size_t *ret_n) MUST_USE;

/* From store_index_begin on it is written; what there was before is put in by
 * and by, in any order. */
struct store_index_place {
    uint64_t until; /* namespaces from here on were born later */
    uint64_t ns;    /* all of lower ids are in it, and of this one all: */
    struct str key; /* up to here, as store_index_add said. Lent */
};
/* Again: from the beginning, over what is in it. */
int store_index_begin(struct store_txn *txn) MUST_USE;
int store_index_place(struct store_txn *txn,
                      struct store_index_place *ret_place) MUST_USE;
int store_index_set_place(struct store_txn *txn,
                          const struct store_index_place *place) MUST_USE;
/* At most `limit` keys of a namespace behind `after`; ret_last: where it came
 * to. Answers: END (that was all). */
int store_index_add(struct store_txn *txn, uint64_t ns, struct str after,
                    uint64_t limit, uint64_t *ret_n,
                    struct buf *ret_last) MUST_USE;
int store_index_end(struct store_txn *txn) MUST_USE;

/* ---- leases ---- */

struct store_placement {
    uint64_t origin; /* the leaf it was made for */
    uint64_t ns;     /* the leaf it is in now */
    struct ulid id;
    bool owned; /* made by the registration: goes with the lease */
};

#define STORE_TTL_MOST_MS 86400000 /* a lease's */

struct store_lease {
    struct ulid id;
    uint64_t ttl_ms;
    uint64_t created_rev;
    struct str hostname;                  /* Lent */
    const struct store_placement *places; /* Lent; unaligned never: copied */
    size_t n_places;
};

/* `arena` takes the copies of hostname and placements. Answers: NOT_FOUND. */
int store_lease_get(struct store_txn *txn, struct str hostname,
                    struct arena *arena,
                    struct store_lease *ret_lease) MUST_USE;
int store_lease_find(struct store_txn *txn, struct ulid id, struct arena *arena,
                     struct store_lease *ret_lease) MUST_USE;
int store_lease_put(struct store_txn *txn,
                    const struct store_lease *lease) MUST_USE;
/* Answers: NOT_FOUND. */
int store_lease_del(struct store_txn *txn,
                    const struct store_lease *lease) MUST_USE;
/* In hostname order from `after` (exclusive; p == NULL first). Answers: END. */
int store_lease_next(struct store_txn *txn, struct str after,
                     struct arena *arena,
                     struct store_lease *ret_lease) MUST_USE;

/* A row that goes when the lease goes. */
int store_bind(struct store_txn *txn, struct ulid lease, uint64_t ns,
               struct str type, struct ulid id) MUST_USE;
/* Forget the binding of a row. Answers: NOT_FOUND when it had none. */
int store_unbind(struct store_txn *txn, uint64_t ns, struct str type,
                 struct ulid id) MUST_USE;
/* The lease a row is bound to. Answers: NOT_FOUND. */
int store_bound_to(struct store_txn *txn, uint64_t ns, struct str type,
                   struct ulid id, struct ulid *ret_lease) MUST_USE;
/* The first row bound to a lease. Lends ret_type. Answers: END. */
int store_bound_first(struct store_txn *txn, struct ulid lease,
                      uint64_t *ret_ns, struct str *ret_type,
                      struct ulid *ret_id) MUST_USE;

/* How many rows are bound to a lease, counted up to `most`. O(that). */
int store_bound_count(struct store_txn *txn, struct ulid lease, uint64_t most,
                      uint64_t *ret_n) MUST_USE;

/* ---- idempotency keys ---- */

/* The record is the machine's bytes. Lends. Answers: NOT_FOUND. */
int store_key_get(struct store_txn *txn, const uint8_t hash[32],
                  struct str *ret_record) MUST_USE;
int store_key_put(struct store_txn *txn, const uint8_t hash[32],
                  uint64_t ends_ms, struct str record) MUST_USE;
/* Forget those that ended by `now_ms`, at most `limit`. */
int store_key_expire(struct store_txn *txn, uint64_t now_ms,
                     unsigned limit) MUST_USE;

/* ---- history ---- */

/* Append the event of a revision (greater than all before); keeps
 * meta.history_*, drops the oldest beyond both limits (at most 64: a limit that
 * was lowered is reached over the next events). */
int store_event_put(struct store_txn *txn, uint64_t revision,
                    struct str event) MUST_USE;
/* How long it is kept. O(events), when bytes have to be counted. */
int store_history_keep(struct store_txn *txn, uint64_t events,
                       uint64_t least_bytes) MUST_USE;
/* Forget all events. O(events). */
int store_history_clear(struct store_txn *txn) MUST_USE;
/* The first event with a revision > after. Lends. Answers: END. */
int store_event_next(struct store_txn *txn, uint64_t after,
                     uint64_t *ret_revision, struct str *ret_event) MUST_USE;

/* ---- marks: small records that may end by themselves ---- */

/* A mark is a kind (a letter) and a name of at least a byte; its record is the
 * machine's bytes, the first of them their format. Marks have no database of
 * their own: a release that knows none refuses a state file with a database
 * that it does not know, and may get one from us while a cluster is upgraded.
 */
enum store_mark {
    STORE_MARK_BREAKER = 'b',     /* scope ns:8 */
    STORE_MARK_FLAPPING = 'f',    /* hostname */
    STORE_MARK_GOINGS = 'g',      /* hostname: when it went */
    STORE_MARK_WEBHOOK = 'h',     /* ns:8 id:16 of its row */
    STORE_MARK_MAINTENANCE = 'm', /* hostname */
    STORE_MARK_ROW = 'r',         /* ns:8 id:16 type: maintenance of a row */
    STORE_MARK_TOKEN = 'T',       /* id:16; see model/access_record.h */
    STORE_MARK_ROLE = 'R',        /* name */
    STORE_MARK_USER = 'U',        /* name */
    STORE_MARK_GROUP = 'G',       /* name */
    STORE_MARK_HOST = 'H',        /* hostname */
    STORE_MARK_QUOTA = 'Q',       /* ns:8; see model/access_quota.h */
};
#define STORE_MARK_NAME_MOST 400
#define STORE_MARK_MOST 4096 /* bytes of a record */
/* `ends_ms`: log time when it is due, 0: never. */
int store_mark_put(struct store_txn *txn, char kind, struct str name,
                   uint64_t ends_ms, struct str record) MUST_USE;
/* Lends. Answers: NOT_FOUND. */
int store_mark_get(struct store_txn *txn, char kind, struct str name,
                   uint64_t *ret_ends_ms, struct str *ret_record) MUST_USE;
/* Answers: NOT_FOUND. */
int store_mark_del(struct store_txn *txn, char kind, struct str name) MUST_USE;
/* Marks of a kind by name, from `after` (exclusive; p == NULL: the first).
 * Lends. Answers: END. */
int store_mark_next(struct store_txn *txn, char kind, struct str after,
                    struct str *ret_name, uint64_t *ret_ends_ms,
                    struct str *ret_record) MUST_USE;
/* The first that is due by `now_ms`; *ret_ends_ms: when. Lends. Answers: END.
 */
int store_mark_due(struct store_txn *txn, uint64_t now_ms, char *ret_kind,
                   struct str *ret_name, uint64_t *ret_ends_ms) MUST_USE;
/* How many there are of a kind. O(that). */
int store_mark_count(struct store_txn *txn, char kind,
                     uint64_t *ret_n) MUST_USE;

/* ---- digest ---- */

/* SHA-256 over every key and value that is replicated (not meta.applied, which
 * is the index), in key order per database, databases in a fixed order and
 * namespaces by id: equal state, equal digest, whatever the pages look like.
 * Of a file that store_copy made: one snapshot of everything, which a
 * transaction of the live store cannot be [STORE-2]. Any thread; lasts as long
 * as reading the file. Faults: CORRUPT, IO, SYSTEM. */
int store_digest_file(const char *file, uint8_t ret_digest[32],
                      struct store_meta *ret_meta) MUST_USE;

/* What a file that somebody else wrote holds. */
struct store_found {
    uint8_t digest[32]; /* store_digest_file */
    struct store_meta meta;
    char domain[256];
    char why[160]; /* CORRUPT: what is wrong, a clause for a person */
};
/* Trusts nothing: each page, then each record and each count, then the digest.
 * What it accepts can be opened and served. Any thread; lasts as long as
 * reading the file twice. Faults: CORRUPT (found.why), IO, SYSTEM. */
int store_check_file(const char *file, struct store_found *ret_found) MUST_USE;

#endif
