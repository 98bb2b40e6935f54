/* One part of a cache: its slots, found by key and in the order of their use.
 * Knows nothing of the bound: who adds and removes keeps the account.
 *
 * A slot is a list, or what is left of one: the revision it was dropped at.
 *
 * Everything under `lock`, which the caller holds, but `oldest_use`. */
#ifndef CACHE_SHARD_H
#define CACHE_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* uthash would end the process politely; ours stops like mem.h does. */
#define uthash_fatal(text) abort()
#include <uthash.h>

#include "cache/list.h"

#define CACHE_TYPE_MAX 63 /* as model/name.h: longer ones do not exist */

/* Filled with zero bytes behind the type: compared and hashed as bytes. */
struct cache_key {
    uint64_t ns;
    uint8_t type_n;
    char type[CACHE_TYPE_MAX];
};

struct cache_slot {
    UT_hash_handle hh;
    struct cache_slot *prev, *next; /* by use, oldest first */
    struct cache_key key;
    uint64_t used;
    uint64_t dropped;              /* takes no fill from before this revision */
    uint64_t snapshot;             /* the revision `list` was read at */
    const struct cache_list *list; /* or NULL */
};

/* What a slot costs without its list: itself, its place in the hash table, and
 * what malloc adds. */
#define CACHE_SLOT_BYTES (sizeof(struct cache_slot) + 48)

struct cache_shard {
    pthread_mutex_t lock;
    struct cache_slot *slots;
    struct cache_slot *oldest;
    uint64_t dropped;   /* all lists: what is older is no hit */
    uint64_t forgotten; /* greatest drop of the slots forgotten [CACHE-3] */
    uint64_t n_lists;
    uint64_t n_hits, n_misses, n_drops, n_evictions, n_gzips;
    uint64_t gzip_bytes; /* of the lists in its slots */
    /* `used` of `oldest`, UINT64_MAX without one; for those who look for the
     * shard to evict from, without its lock. */
    _Atomic uint64_t oldest_use;
};

void cache_shard_init(struct cache_shard *shard);
void cache_shard_done(struct cache_shard *shard);

struct cache_slot *cache_shard_find(struct cache_shard *shard,
                                    const struct cache_key *key, unsigned hash);
/* `used` never goes back within a shard. */
struct cache_slot *cache_shard_add(struct cache_shard *shard,
                                   const struct cache_key *key, unsigned hash,
                                   uint64_t used);
void cache_shard_touch(struct cache_shard *shard, struct cache_slot *slot,
                       uint64_t used);
/* Puts another list (or NULL) into the slot and gives the one that was there,
 * so that the caller ends it after unlocking: freeing megabytes takes time. */
const struct cache_list *cache_shard_swap(struct cache_shard *shard,
                                          struct cache_slot *slot,
                                          const struct cache_list *list,
                                          uint64_t snapshot) MUST_USE;
/* The slot's list gets its compressed body. */
void cache_shard_add_gzip(struct cache_shard *shard, struct cache_slot *slot,
                          struct buf *body);
/* Removes the slot and remembers its drop. Gives its list, or NULL. */
const struct cache_list *cache_shard_forget(struct cache_shard *shard,
                                            struct cache_slot *slot) MUST_USE;

/* The revision a fill must at least have been read at; slot may be NULL. */
uint64_t cache_shard_floor(const struct cache_shard *shard,
                           const struct cache_slot *slot);
/* What a reader may have: NULL when there is nothing, or only old. */
const struct cache_list *cache_shard_hit(const struct cache_shard *shard,
                                         const struct cache_slot *slot);

#endif
