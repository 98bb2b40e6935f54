/* What operations on resources share. Private to the room. */
#ifndef REGISTRY_ROWS_H
#define REGISTRY_ROWS_H

#include "registry/resolve.h"
#include "registry/room.h"

/* The three names in the path of one resource: 400 for what can be none. */
int rows_check_names(struct op_state *s, struct target *ret_target) MUST_USE;

/* The row that a replayed answer was about, in op->arena; `revision` is what is
 * said of one that has gone. */
int rows_recall(struct op_state *s, struct str ns, struct ulid id,
                uint64_t revision, struct str *ret_row,
                uint64_t *ret_etag) MUST_USE;

#endif
