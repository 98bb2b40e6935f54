/* Lists as they are read. Private to the room. */
#ifndef REGISTRY_LISTS_H
#define REGISTRY_LISTS_H

#include "registry/room.h"

/* A list of more rows is rendered by a worker. */
#define LISTS_QUICK_ROWS 2000
#define LISTS_LIMIT_MOST 100000
/* A page ends early when it has become so large: limit x 256 KiB is no bound.
 */
#define LISTS_PAGE_BYTES (UINT64_C(32) << 20)

/* Names of "a,b": 0, or ANSWERED with 400. *ret_n 0 when not given. */
int lists_fields(struct op_state *s, struct str **ret_names,
                 size_t *ret_n) MUST_USE;
/* `limit` of the query, checked; `most` rows at most. */
int lists_limit(struct op_state *s, uint64_t most) MUST_USE;
/* The whole list of op->ns and op->type: lent out of the cache, or rendered
 * into it. Sets answer.list, body, etag, code. */
int lists_whole(struct op_state *s) MUST_USE;

#endif
