/* A write as bytes: what travels through the log.
 *
 * A command says what was decided, never what has to be looked up: paths are
 * ids, types are rules already checked, times and chance are inside. Applying
 * it asks nothing but the state. It carries the tree and type revisions it was
 * resolved at; when those have moved the machine answers RETRY and whoever
 * received the request resolves it anew.
 *
 * Many commands make a pack, one Raft entry:
 *
 *   offset size  what
 *   0      1     format of the pack (1)
 *   1      3     zero
 *   4      4     number of commands
 *   8      8     leader's clock, Unix ms
 *   16     8     nonce: which pack this is
 *   24     …     commands, each: u32 length, then the command's bytes
 *   …            zero bytes up to a multiple of 8 (libraft needs it)
 *
 *   a command
 *   0      1     kind
 *   1      1     flags: 1 = has an idempotency key, 2 = depends on what its
 *                caller may
 *   2      2     zero
 *   4      8     tree revision it was resolved at (0: it resolved no path)
 *   12     8     types revision (0: it depends on no type)
 *   20     16    request id
 *   36     64    key hash, request hash (only with flag 1)
 *   …      8     access revision it was allowed at (only with flag 2)
 *   …      …     the fields of its kind, in the order of the lists below
 *
 * All numbers little-endian; str: u32 length, bytes; list: u32 count, items.
 * Lists in api/log-commands.md say the same for readers outside C. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/ulid.h"

#define COMMAND_PACK_FORMAT 1
#define COMMAND_PACK_HEADER 24
#define COMMAND_PACK_WEIGHT 262144U /* a pack closes here */
#define COMMAND_PACK_MOST 4096U     /* commands */

#define COMMAND_REQUEST_AT 20U /* where a command has its request id */
#define COMMAND_REQUEST_BYTES 16U

#define COMMAND_FILE_MOST 63U /* bytes of the name in a RESTORE */
/* A restore moves the revision to a multiple of this. */
#define COMMAND_RESTORE_STEP (UINT64_C(1) << 32)

/* Condition flags of a write (RFC 9110 13.1). */
enum {
    COND_MATCH = 1,     /* If-Match with revisions: one must be the current */
    COND_MATCH_ANY = 2, /* If-Match: * - it must exist */
    COND_NONE_ANY = 4,  /* If-None-Match: * - it must not exist */
};

/* How a ROW_PUT treats what is there. */
enum row_mode {
    ROW_ADD = 1,     /* a new row; its key must be free */
    ROW_REPLACE = 2, /* replace or create */
    ROW_PATCH = 3,   /* merge over an existing row */
};

enum maint_what { MAINT_AGENT = 1, MAINT_ROW = 2 };

enum ns_change { NS_NAME = 1, NS_PARENT = 2, NS_MATCH = 4, NS_COMMENT = 8 };

/* What becomes of a scope of the breaker: see lease/breaker.h. */
enum breaker_what {
    BREAKER_TRIP = 1,
    BREAKER_RELEASE = 2, /* by an operator: the hold ends */
    BREAKER_EXTEND = 3,  /* by an operator: it holds (again), for longer */
    BREAKER_END_HOLD = 4,
    BREAKER_CLOSE = 5,
};

#define COMMAND_BREAKER_ALL UINT64_MAX

/* Field kinds: u8, u64, str, ulid, cluster, hash and list(item). Structs and
 * codecs are made from these lists, so the three cannot disagree. `cond_revs`
 * is revisions as u64s in a str. A target is `by_key` ? `key` : `id`.
 * `key_field`: which field is the primary key, n == 0: none. */
/* clang-format off */
#define ROW_ITEM_FIELDS(F)                                                     \
    F(u8, has_id) F(ulid, id) F(str, fields) F(str, secret)
#define TXN_IF_FIELDS(F)                                                       \
    F(u64, ns) F(str, type) F(u8, by_key) F(ulid, id) F(str, key) F(u64, rev)
#define TXN_OP_FIELDS(F)                                                       \
    F(u8, op) F(u64, ns) F(str, type) F(str, key_field) F(u8, by_key)          \
    F(ulid, id) F(str, key) F(ulid, new_id) F(str, fields) F(str, secret)
#define LEASE_ITEM_FIELDS(F) F(str, hostname) F(ulid, lease)
#define LEAF_ITEM_FIELDS(F) F(u64, ns) F(ulid, new_id)
#define HOOK_ITEM_FIELDS(F)                                                    \
    F(ulid, id) F(u64, ns) F(u64, cursor) F(u8, state) F(u64, since_ms)        \
    F(str, text)
#define ACCESS_ITEM_FIELDS(F)                                                  \
    F(u8, what) F(u8, del) F(str, name) F(u64, ends_ms) F(u64, seen_rev)       \
    F(str, record)

#define INIT_FIELDS(F) F(cluster, cluster) F(str, domain) F(u64, history_limit)
#define EPOCH_FIELDS(F) F(u64, term)
#define NS_CREATE_FIELDS(F)                                                    \
    F(u64, parent) F(u8, kind) F(str, name) F(u8, has_match) F(str, match)     \
    F(str, comment) F(ulid, first_id) F(u64, n_ids)
#define NS_CHANGE_FIELDS(F)                                                    \
    F(u64, id) F(u8, what) F(str, name) F(u64, parent) F(u8, has_match)        \
    F(str, match) F(str, comment) F(u8, cond) F(str, cond_revs)
#define NS_DELETE_FIELDS(F)                                                    \
    F(u64, id) F(u8, recursive) F(u8, cond) F(str, cond_revs)
#define RECLAIM_FIELDS(F) F(u64, limit)
#define TYPE_PUT_FIELDS(F) F(str, type) F(str, definition) F(u64, seen_rev)
#define ROW_PUT_FIELDS(F)                                                      \
    F(u8, mode) F(u64, ns) F(str, type) F(str, key_field) F(u8, by_key)        \
    F(ulid, id) F(str, key) F(ulid, new_id) F(str, fields) F(str, secret)      \
    F(u8, cond) F(str, cond_revs) F(u8, has_lease) F(ulid, lease)
#define ROW_DELETE_FIELDS(F)                                                   \
    F(u64, ns) F(str, type) F(str, key_field) F(u8, by_key) F(ulid, id)        \
    F(str, key) F(u8, cond) F(str, cond_revs)
#define ROWS_ADD_FIELDS(F)                                                     \
    F(u64, ns) F(str, type) F(str, key_field) F(u8, has_lease) F(ulid, lease)  \
    F(list_row_item, rows)
#define LIST_PUT_FIELDS(F)                                                     \
    F(u64, ns) F(str, type) F(str, key_field) F(u8, cond) F(str, cond_revs)    \
    F(ulid, first_id) F(list_row_item, rows)
#define ROW_MOVE_FIELDS(F)                                                     \
    F(u64, ns) F(str, type) F(str, key_field) F(u8, by_key) F(ulid, id)        \
    F(str, key) F(u64, to) F(u8, copy) F(ulid, new_id) F(u8, cond)             \
    F(str, cond_revs)
#define TXN_FIELDS(F) F(list_txn_if, ifs) F(list_txn_op, ops)
#define AGENT_PUT_FIELDS(F)                                                     \
    F(str, hostname) F(u64, ttl_ms) F(str, fields) F(ulid, lease)              \
    F(ulid, pool_id) F(list_leaf_item, leaves)
#define AGENT_DEL_FIELDS(F) F(str, hostname)
#define EXPIRE_FIELDS(F) F(u64, epoch) F(list_lease_item, leases)
/* The whole state becomes that of a file which every node has, or, with an
 * empty name, stays as it is and counts as restored. Alone in its pack. */
#define RESTORE_FIELDS(F)                                                      \
    F(str, file) F(hash, digest) F(u64, size) F(u64, revision)

#define FEATURE_FIELDS(F) F(u64, level)
#define HISTORY_FIELDS(F) F(u64, events) F(u64, bytes)
/* How far webhooks are; `id` zero: those from before there was this command
 * have been found. */
#define HOOKS_FIELDS(F) F(list_hook_item, hooks)
/* `scope`: a top-level namespace, 0: the whole registry; of RELEASE also _ALL:
 * whatever is held. `hold_ms` of TRIP and EXTEND: from the time of the pack on;
 * of END_HOLD and CLOSE: until when the hold was to last. `epoch`: of the leader that decided;
 * not of an operator's RELEASE or EXTEND (0). */
#define BREAKER_FIELDS(F)                                                      \
    F(u64, epoch) F(u64, scope) F(u8, what) F(u64, hold_ms) F(u64, n)          \
    F(u64, bad)
/* `what` says of which: `hostname`, or the row of ns, type and target. */
#define MAINT_FIELDS(F)                                                        \
    F(u8, what) F(u8, set) F(str, hostname) F(u64, ns) F(str, type)            \
    F(str, key_field) F(u8, by_key) F(ulid, id) F(str, key)                    \
    F(u64, duration_ms) F(str, reason) F(u8, cond) F(str, cond_revs)
#define SWEEP_FIELDS(F) F(u64, limit)
#define FLAP_FIELDS(F)                                                         \
    F(u64, epoch) F(str, hostname) F(ulid, lease) F(u64, until_ms)
/* Tokens, roles, users, groups and quotas: all of it or nothing. */
#define ACCESS_FIELDS(F) F(list_access_item, items)

/* Goes on with the counts that quotas wait for, by so many steps. */
#define TALLY_FIELDS(F) F(u64, limit)
/* Goes on with the index of primary keys, by so many steps. */
#define INDEX_FIELDS(F) F(u64, limit)

/* kind, number in the log (never reused), whether it only shrinks the state
 * (then a full disk does not refuse it). */
#define COMMAND_LIST(C)                                                        \
    C(INIT,       init,       1,  false)                                       \
    C(EPOCH,      epoch,      2,  true)                                        \
    C(NS_CREATE,  ns_create,  3,  false)                                       \
    C(NS_CHANGE,  ns_change,  4,  false)                                       \
    C(NS_DELETE,  ns_delete,  5,  true)                                        \
    C(RECLAIM,    reclaim,    6,  true)                                        \
    C(TYPE_PUT,   type_put,   7,  false)                                       \
    C(ROW_PUT,    row_put,    8,  false)                                       \
    C(ROW_DELETE, row_delete, 9,  true)                                        \
    C(ROWS_ADD,   rows_add,   10, false)                                       \
    C(LIST_PUT,   list_put,   11, false)                                       \
    C(ROW_MOVE,   row_move,   12, false)                                       \
    C(TXN,        txn,        13, false)                                       \
    C(AGENT_PUT,  agent_put,  14, false)                                       \
    C(AGENT_DEL,  agent_del,  15, true)                                        \
    C(EXPIRE,     expire,     16, true)                                        \
    C(RESTORE,    restore,    17, false)                                       \
    C(FEATURE,    feature,    18, true)                                        \
    C(HISTORY,    history,    19, true)                                        \
    C(HOOKS,      hooks,      20, false)                                       \
    C(BREAKER,    breaker,    21, true)                                        \
    C(MAINT,      maint,      22, false)                                       \
    C(SWEEP,      sweep,      23, true)                                        \
    C(FLAP,       flap,       24, true)                                        \
    C(ACCESS,     access,     25, false)                                       \
    C(TALLY,      tally,      26, true)                                        \
    C(INDEX,      index,      27, false)
/* clang-format on */

enum command_kind {
#define C(NAME, name, number, shrinks) COMMAND_##NAME = (number),
    COMMAND_LIST(C)
#undef C
};

#define COMMAND_TYPE_u8(name) uint8_t name;
#define COMMAND_TYPE_u64(name) uint64_t name;
#define COMMAND_TYPE_str(name) struct str name;
#define COMMAND_TYPE_ulid(name) struct ulid name;
#define COMMAND_TYPE_cluster(name) uint8_t name[16];
#define COMMAND_TYPE_hash(name) uint8_t name[32];
#define COMMAND_TYPE_list_row_item(name)                                       \
    struct command_row_item *name;                                             \
    size_t n_##name;
#define COMMAND_TYPE_list_txn_if(name)                                         \
    struct command_txn_if *name;                                               \
    size_t n_##name;
#define COMMAND_TYPE_list_txn_op(name)                                         \
    struct command_txn_op *name;                                               \
    size_t n_##name;
#define COMMAND_TYPE_list_lease_item(name)                                     \
    struct command_lease_item *name;                                           \
    size_t n_##name;
#define COMMAND_TYPE_list_leaf_item(name)                                      \
    struct command_leaf_item *name;                                            \
    size_t n_##name;
#define COMMAND_TYPE_list_hook_item(name)                                      \
    struct command_hook_item *name;                                            \
    size_t n_##name;
#define COMMAND_TYPE_list_access_item(name)                                    \
    struct command_access_item *name;                                          \
    size_t n_##name;
#define COMMAND_MEMBER(kind, name) COMMAND_TYPE_##kind(name)

struct command_row_item {
    ROW_ITEM_FIELDS(COMMAND_MEMBER)
};
/* rev 0: it must not exist. */
struct command_txn_if {
    TXN_IF_FIELDS(COMMAND_MEMBER)
};
/* op: enum row_mode, or TXN_DELETE. A ROW_REPLACE without target (by_key 0,
 * id zero) creates `new_id`. */
enum { TXN_DELETE = 9 };
struct command_txn_op {
    TXN_OP_FIELDS(COMMAND_MEMBER)
};
struct command_lease_item {
    LEASE_ITEM_FIELDS(COMMAND_MEMBER)
};
struct command_leaf_item {
    LEAF_ITEM_FIELDS(COMMAND_MEMBER)
};
/* How a webhook is. HOOK_SAME: as it was, only the cursor moves; HOOK_FOUND: a
 * row from before there were marks. `since_ms`: it has been failing, 0: it is
 * not. `text`: what the row shows as its `_status`. */
enum hook_state {
    HOOK_SAME = 0,
    HOOK_OK = 1,
    HOOK_FAILING = 2,
    HOOK_DEAD = 3,
    HOOK_RESET = 4,
    HOOK_FOUND = 9,
};
struct command_hook_item {
    HOOK_ITEM_FIELDS(COMMAND_MEMBER)
};
/* `what`: enum access_what. `record`: as in model/access_record.h, its revision
 * is written while it is applied; of one that goes nothing. `seen_rev`: the
 * revision of the record it was made from; 0: there must be none; _ANY:
 * whatever is there. `ends_ms`: of a token, 0: never. */
#define COMMAND_ACCESS_ANY UINT64_MAX
struct command_access_item {
    ACCESS_ITEM_FIELDS(COMMAND_MEMBER)
};

#define C(NAME, name, number, shrinks)                                         \
    struct command_##name {                                                    \
        NAME##_FIELDS(COMMAND_MEMBER)                                          \
    };
COMMAND_LIST(C)
#undef C

struct command {
    enum command_kind kind;
    bool has_key;
    bool has_access;     /* is void when access_rev has moved */
    uint64_t access_rev; /* only with has_access */
    uint64_t tree_rev;
    uint64_t types_rev;
    uint8_t request[16];
    uint8_t key_hash[32];
    uint8_t request_hash[32];
    union {
#define C(NAME, name, number, shrinks) struct command_##name name;
        COMMAND_LIST(C)
#undef C
    };
};

/* Appends the command's bytes (without the length in front). */
void command_encode(struct buf *out, const struct command *command);
/* Strings are lent from `bytes`, lists are in `arena`. Every byte must be used.
 * Answers: INVALID (damaged, or from a version that is newer). */
int command_decode(struct arena *arena, struct str bytes,
                   struct command *ret_command) MUST_USE;
/* Whether these are the bytes of a command of this kind. */
bool command_is(struct str bytes, enum command_kind kind);
/* Whether it can only make the state smaller. */
bool command_shrinks(enum command_kind kind);
const char *command_name(enum command_kind kind);
/* How long it takes to apply, as far as its bytes tell: in bytes of rows, of
 * which there are some 20 in a microsecond. What is in one pack is applied in
 * one step, and nobody else has a turn meanwhile. Of no bytes (a fence): 0. */
size_t command_weight(struct str bytes);

struct command_pack {
    uint32_t n;
    uint64_t time_ms;
    uint64_t nonce;
    struct str rest; /* what command_pack_next has not given yet */
};
/* A pack in the making: begin, add…, end (which pads). */
void command_pack_begin(struct buf *out, uint64_t time_ms, uint64_t nonce);
void command_pack_add(struct buf *out, struct str command);
void command_pack_end(struct buf *out);
/* Answers: INVALID. */
int command_pack_open(struct str bytes, struct command_pack *ret_pack) MUST_USE;
/* When a pack is one RESTORE and nothing else: that command, its name lent from
 * `bytes`. */
bool command_pack_restores(struct str bytes,
                           struct command_restore *ret_restore) MUST_USE;
bool command_pack_restoring(struct str bytes,
                            struct command *ret_command) MUST_USE;
/* The next command's bytes, lent. Answers: END, INVALID. */
int command_pack_next(struct command_pack *pack,
                      struct str *ret_command) MUST_USE;

#endif
