/* Token buckets, one for each caller: how much he may still send now.
 *
 * A bucket is one number, the time at which it will be full again (GCRA, ITU-T
 * I.371): taking one moves it on by what one costs, and there is one to take
 * while it lies no further ahead than a whole bucket. So a bucket that is full
 * needs no memory, and those nobody took from for long enough are forgotten.
 *
 * Memory is bounded: when all places are taken the one that was asked for
 * longest ago goes. Who is forgotten has a full bucket: many addresses at once
 * can make the limits of others looser, never tighter.
 *
 * Any thread: sharded by key. Private to the room. */
#ifndef REGISTRY_BUCKET_H
#define REGISTRY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "registry/registry.h"

struct buckets; /* opaque */

/* `most` in a bucket, full again after `full_ms`; as many buckets as that many
 * bytes of memory hold, taken now. */
struct buckets *buckets_new(uint64_t most, uint64_t full_ms,
                            size_t bytes) MUST_USE;
struct buckets *buckets_free(struct buckets *buckets);
/* One out of the key's. False: there is none, *ret_limit says when. Takes NULL
 * as buckets: true, without a limit. */
bool buckets_take(struct buckets *buckets, struct str key, uint64_t now_us,
                  struct registry_limit *ret_limit) MUST_USE;
/* One that was taken comes back. Takes NULL as buckets. */
void buckets_give(struct buckets *buckets, struct str key, uint64_t now_us);
/* The same as buckets_take without taking. */
bool buckets_have(struct buckets *buckets, struct str key, uint64_t now_us,
                  struct registry_limit *ret_limit) MUST_USE;

struct buckets_stats {
    uint64_t held;    /* buckets that are not known to be full */
    uint64_t refused; /* times there was none */
    uint64_t pushed;  /* buckets forgotten before they were full */
};
struct buckets_stats buckets_stats(struct buckets *buckets);

#endif
