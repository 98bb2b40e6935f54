/* What operations on one resource lend to those on many. Private. */
#ifndef REGISTRY_ROWS_H
#define REGISTRY_ROWS_H

#include "registry/room.h"

/* The row that a replayed answer was about, in op->arena; `revision` is what is
 * said of one that has gone. */
int rows_recall(struct op_state *s, struct str ns, struct ulid id,
                uint64_t revision, struct str *ret_row,
                uint64_t *ret_etag) MUST_USE;

#endif
