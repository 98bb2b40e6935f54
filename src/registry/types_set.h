/* The definitions operators stored, parsed once per types revision and shared
 * by all threads: immutable, counted. Private to the room. */
#ifndef REGISTRY_TYPES_SET_H
#define REGISTRY_TYPES_SET_H

#include "model/type.h"
#include "registry/room.h"

/* The definition in force in this snapshot. Lent until the op is done or finds
 * out anew (a plain one lives in s->arena). Faults: CORRUPT. */
int types_find(struct op_state *s, struct store_txn *txn, struct str name,
               const struct type **ret_type) MUST_USE;
/* The stored ones in name order; lent as above. */
int types_stored(struct op_state *s, struct store_txn *txn,
                 const struct type **ret_types, size_t *ret_n) MUST_USE;
/* End the op's hold; fine when it has none. */
void types_release(struct op_state *s);
struct types *types_unref(struct types *types);

#endif
