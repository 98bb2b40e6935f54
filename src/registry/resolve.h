/* From what a request names to what the state calls it. Private to the room. */
#ifndef REGISTRY_RESOLVE_H
#define REGISTRY_RESOLVE_H

#include "command/command.h"
#include "model/type.h"
#include "registry/condition.h"
#include "registry/room.h"

/* 0, or ANSWERED: 400 for what can be no name. `field` "" when it stood in the
 * path of the request. */
int resolve_check_path(struct op_state *s, struct str path,
                       const char *field) MUST_USE;
int resolve_check_type(struct op_state *s, struct str type,
                       struct str field) MUST_USE;
/* Of the query's `k`: 0, or ANSWERED, 400 for what the server says of a row,
 * unless it is text and `server`. */
int resolve_check_k(struct op_state *s, bool server) MUST_USE;
bool resolve_is_server(struct str k);

/* The id of a namespace, else 404. */
int resolve_path(struct op_state *s, struct store_txn *txn, struct str path,
                 struct str field, uint64_t *ret_id) MUST_USE;

/* What stands where a resource's name stands: an `_id` or a primary key. */
struct target {
    bool by_key;
    struct ulid id;
    struct str key;
};
int resolve_target(struct op_state *s, struct str text, struct str field,
                   struct target *ret_target) MUST_USE;
/* A key names nothing in a type that has none: 404. */
int resolve_check_keyed(struct op_state *s, const struct target *target,
                        const struct type *type, struct str field) MUST_USE;
/* The id in this snapshot. Answers: NOT_FOUND (no problem set). */
int resolve_row_id(struct store_txn *txn, uint64_t ns, struct str type,
                   const struct target *target, struct ulid *ret_id) MUST_USE;

/* A list and its type, for an operation on op->ns and op->type. */
struct resolved {
    uint64_t ns;
    const struct type *type;
};
/* In a snapshot of its own. */
int resolve_list(struct op_state *s, struct resolved *ret_resolved) MUST_USE;
/* The empty text for a type without a key. */
struct str resolve_key_field(const struct type *type);

/* The conditions of a write: COND_ flags, revisions as the command has them. */
int resolve_conditions(struct op_state *s, uint8_t *ret_cond,
                       struct str *ret_revs) MUST_USE;
/* `?lease=`: 0 and *ret_has, or a problem. */
int resolve_lease(struct op_state *s, uint8_t *ret_has,
                  struct ulid *ret_lease) MUST_USE;
/* Whether If-None-Match says the client has it already, in a form that this
 * request may be answered with (RFC 9110 13.1.2). `io_gzip`: whether it would
 * get the compressed form; then whether that is the one it has. NULL: there is
 * one form. */
int resolve_not_modified(struct op_state *s, uint64_t etag, bool *ret_same,
                         bool *io_gzip) MUST_USE;

#endif
