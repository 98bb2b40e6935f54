/* What one thread has answered, by what was asked, for as long as the registry
 * does not change at all.
 *
 *   revision = cache_newest            is it the one the answer was read at?
 *
 * An answer that was read at revision R holds everything up to R. It is given
 * again only while cache_newest is R, that is, while no later commit has begun:
 * so nobody has seen anything newer here [CACHE-4]. One comparison, no
 * lock, and nothing to look up of what the answer was made from.
 *
 * The values are the caller's: what else they depend on, the caller checks.
 * Bounded: direct mapped, and what is beyond the bytes goes. Making a value to
 * be kept costs more than it saves when nobody asks again: a key is wanted from
 * the second time on, and what is in its place goes only when it was not found
 * in between. One thread. */
#ifndef CACHE_MEMO_H
#define CACHE_MEMO_H

#include "cache/cache.h"

struct cache_memo; /* opaque */
typedef void cache_memo_end_func(void *value);

/* The cache is lent; `end` frees a value. */
struct cache_memo *cache_memo_new(struct cache *cache, uint64_t limit_bytes,
                                  cache_memo_end_func *end) MUST_USE;
struct cache_memo *cache_memo_free(struct cache_memo *memo);

/* Lends until the next call; NULL when there is none. */
void *cache_memo_find(struct cache_memo *memo, struct str key);
/* After a find without success: whether a value is worth keeping. */
bool cache_memo_wants(struct cache_memo *memo, struct str key);
/* Takes the value, which costs so many bytes, in the place of what is there.
 * `revision`: of the snapshot it was read from, or, of a cached list, the
 * newest one shown before it was got. False, and nothing is taken, when it is
 * old already or too big. */
bool cache_memo_keep(struct cache_memo *memo, struct str key, uint64_t revision,
                     uint64_t bytes, void *value) MUST_USE;

#endif
