/* Whole lists as the cache has them. Private to the room. */
#ifndef REGISTRY_CACHED_H
#define REGISTRY_CACHED_H

#include "registry/room.h"

/* A body of more bytes is compressed by a worker, not on the loop of others: a
 * tenth of a millisecond. */
#define CACHED_QUICK_GZIP (16 << 10)

/* The list of op->ns and op->type, without a transaction. Also NOT_FOUND. */
int cached_answer(struct op_state *s) MUST_USE;
/* Answers with a list that was read in the last snapshot, and offers it to the
 * cache. Takes the body. Also NEEDS_WORKER. */
int cached_put(struct op_state *s, struct cache_path path, uint64_t revision,
               uint64_t count, struct buf *body) MUST_USE;
/* Gives back what is claimed and was not made. */
void cached_end(struct op_state *s);

#endif
