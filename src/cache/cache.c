#include "cache/cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "cache/gzip.h"
#include "cache/path.h"
#include "cache/shard.h"

enum { SHARDS = 64 };

struct cache {
    uint64_t seed; /* types are named by strangers */
    uint64_t limit_bytes;
    /* What is held and what is about to be: room is taken before it is filled,
     * so that the sum of all threads stays within the limit. [CACHE-2] */
    _Atomic uint64_t bytes;
    /* The time of use: moved by what comes in, only read by hits, so that hits
     * do not write to one place from all threads. */
    _Atomic uint64_t age;
    _Atomic uint64_t newest; /* [CACHE-4] */
    struct cache_paths *paths;
    struct cache_shard shards[SHARDS];
};

struct cache *cache_new(uint64_t limit_bytes)
{
    struct cache *cache = mem_zero(sizeof *cache);

    cache->seed = chance_u64();
    cache->limit_bytes = limit_bytes;
    cache->paths = cache_paths_new();
    for (size_t i = 0; i < SHARDS; i++) {
        cache_shard_init(&cache->shards[i]);
    }
    return cache;
}

struct cache *cache_free(struct cache *cache)
{
    if (cache == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        cache_shard_done(&cache->shards[i]);
    }
    cache_paths_free(cache->paths);
    return mem_free(cache);
}

struct cache_paths *cache_paths_of(struct cache *cache)
{
    return cache->paths;
}

/* Two steps, one for what comes in and one for hits after it: a hit is newer
 * than what came in before it. */
static uint64_t next_age(struct cache *cache)
{
    return atomic_fetch_add(&cache->age, 2) + 2;
}

static uint64_t present_age(struct cache *cache)
{
    return atomic_load_explicit(&cache->age, memory_order_relaxed) + 1;
}

static void lock(struct cache_shard *shard)
{
    (void)pthread_mutex_lock(&shard->lock);
}

static void unlock(struct cache_shard *shard)
{
    (void)pthread_mutex_unlock(&shard->lock);
}

/* Where a list is or would be. */
struct place {
    struct cache_shard *shard;
    struct cache_key key;
    unsigned hash;
};

/* False when there can be no such list: its type is too long to be one. */
static bool place_of(struct cache *cache, uint64_t ns, struct str type,
                     struct place *ret_place)
{
    struct place place = {.key.ns = ns, .key.type_n = (uint8_t)type.n};

    if (type.n > CACHE_TYPE_MAX) {
        return false;
    }
    if (type.n > 0) {
        memcpy(place.key.type, type.p, type.n);
    }
    uint64_t hash =
        XXH3_64bits_withSeed(&place.key, sizeof place.key, cache->seed);
    place.shard = &cache->shards[(hash >> 32) % SHARDS];
    place.hash = (unsigned)hash;
    *ret_place = place;
    return true;
}

static void give_back(struct cache *cache, uint64_t bytes)
{
    atomic_fetch_sub(&cache->bytes, bytes);
}

/* The shard whose oldest slot is the oldest of all; NULL when all are empty. */
static struct cache_shard *oldest_shard(struct cache *cache)
{
    struct cache_shard *oldest = NULL;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < SHARDS; i++) {
        uint64_t use = atomic_load_explicit(&cache->shards[i].oldest_use,
                                            memory_order_relaxed);
        if (use < least) {
            least = use;
            oldest = &cache->shards[i];
        }
    }
    return oldest;
}

static uint64_t size_of(const struct cache_list *list)
{
    return list == NULL ? 0 : cache_list_size(list);
}

static void evict_oldest(struct cache *cache, struct cache_shard *shard)
{
    const struct cache_list *list = NULL;
    uint64_t bytes = 0;

    lock(shard);
    /* Another thread may have come first: then there is nothing to do here, and
     * the caller looks again. */
    if (shard->oldest != NULL) {
        list = cache_shard_forget(shard, shard->oldest);
        shard->n_evictions += list != NULL;
        bytes = CACHE_SLOT_BYTES + size_of(list);
    }
    unlock(shard);
    (void)cache_unref(list);
    give_back(cache, bytes);
}

static bool take_free(struct cache *cache, uint64_t bytes)
{
    uint64_t held = atomic_load(&cache->bytes);

    do {
        if (held + bytes > cache->limit_bytes) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&cache->bytes, &held, held + bytes));
    return true;
}

/* Takes room, from the oldest where there is none. False when others hold what
 * there is and have not filled it yet. */
static bool take_room(struct cache *cache, uint64_t bytes)
{
    if (bytes > cache->limit_bytes) {
        return false;
    }
    while (!take_free(cache, bytes)) {
        struct cache_shard *shard = oldest_shard(cache);
        if (shard == NULL) {
            return false;
        }
        evict_oldest(cache, shard);
    }
    return true;
}

int cache_get(struct cache *cache, uint64_t ns, struct str type,
              const struct cache_list **ret_list)
{
    struct place at;
    if (!place_of(cache, ns, type, &at)) {
        return ERR_NOT_FOUND;
    }

    lock(at.shard);
    struct cache_slot *slot = cache_shard_find(at.shard, &at.key, at.hash);
    const struct cache_list *list = cache_shard_hit(at.shard, slot);
    if (list != NULL) {
        *ret_list = cache_list_ref(list);
        cache_shard_touch(at.shard, slot, present_age(cache));
        at.shard->n_hits++;
    } else {
        at.shard->n_misses++;
    }
    unlock(at.shard);
    return list == NULL ? ERR_NOT_FOUND : 0;
}

/* Whether the list went in, with *ret_old, to be ended, in whose place. *room
 * (taken, for a slot) is used when the list needed a slot of its own. */
static bool publish(struct cache *cache, const struct place *at,
                    const struct cache_list *list, uint64_t snapshot,
                    bool *room, const struct cache_list **ret_old)
{
    struct cache_shard *shard = at->shard;
    struct cache_slot *slot = cache_shard_find(shard, &at->key, at->hash);

    if (snapshot < cache_shard_floor(shard, slot) ||
        (slot != NULL && snapshot < slot->snapshot)) {
        return false;
    }
    if (slot == NULL) {
        slot = cache_shard_add(shard, &at->key, at->hash, next_age(cache));
        *room = false;
    } else {
        cache_shard_touch(shard, slot, next_age(cache));
    }
    *ret_old = cache_shard_swap(shard, slot, cache_list_ref(list), snapshot);
    return true;
}

const struct cache_list *cache_put(struct cache *cache, uint64_t ns,
                                   struct str type, uint64_t snapshot_revision,
                                   uint64_t list_revision, uint64_t count,
                                   struct buf *body)
{
    const struct cache_list *list = cache_list_new(list_revision, count, body);
    uint64_t bytes = CACHE_SLOT_BYTES + cache_list_size(list);
    struct place at;

    /* One list must not push out all others. */
    if (list->body.n > cache->limit_bytes / 8 ||
        !place_of(cache, ns, type, &at) || !take_room(cache, bytes)) {
        return list;
    }
    const struct cache_list *old = NULL;
    bool room = true;
    lock(at.shard);
    bool kept = publish(cache, &at, list, snapshot_revision, &room, &old);
    unlock(at.shard);
    give_back(cache, (room ? CACHE_SLOT_BYTES : 0) +
                         (kept ? size_of(old) : size_of(list)));
    (void)cache_unref(old);
    return list;
}

/* Remembers the drop in a slot if there is one or room for one, else in the
 * shard. Gives the list that is dropped, or NULL. */
static const struct cache_list *
drop(struct cache *cache, const struct place *at, bool *room, uint64_t revision)
{
    struct cache_shard *shard = at->shard;
    struct cache_slot *slot = cache_shard_find(shard, &at->key, at->hash);

    shard->n_drops++;
    if (slot == NULL && *room) {
        slot = cache_shard_add(shard, &at->key, at->hash, next_age(cache));
        *room = false;
    }
    uint64_t *dropped = slot == NULL ? &shard->forgotten : &slot->dropped;
    if (revision > *dropped) {
        *dropped = revision;
    }
    return slot == NULL ? NULL : cache_shard_swap(shard, slot, NULL, 0);
}

void cache_drop(struct cache *cache, uint64_t ns, struct str type,
                uint64_t revision)
{
    struct place at;
    if (!place_of(cache, ns, type, &at)) {
        return;
    }

    bool room = take_room(cache, CACHE_SLOT_BYTES);
    lock(at.shard);
    const struct cache_list *list = drop(cache, &at, &room, revision);
    unlock(at.shard);
    give_back(cache, (room ? CACHE_SLOT_BYTES : 0) + size_of(list));
    (void)cache_unref(list);
}

/* Only raises what counts as old: the bytes go when they are the oldest or are
 * filled anew. */
void cache_drop_all(struct cache *cache, uint64_t revision)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct cache_shard *shard = &cache->shards[i];
        lock(shard);
        if (revision > shard->dropped) {
            shard->dropped = revision;
        }
        unlock(shard);
    }
}

void cache_changing(struct cache *cache, uint64_t revision)
{
    uint64_t newest = atomic_load(&cache->newest);

    while (newest < revision &&
           !atomic_compare_exchange_weak(&cache->newest, &newest, revision)) {
    }
}

uint64_t cache_newest(struct cache *cache)
{
    return atomic_load(&cache->newest);
}

/* Whether the body went in: only into a list that is in its slot, for whose
 * room the cache accounts. */
static bool attach(const struct place *at, const struct cache_list *list,
                   struct buf *body)
{
    lock(at->shard);
    struct cache_slot *slot = cache_shard_find(at->shard, &at->key, at->hash);
    bool kept = slot != NULL && slot->list == list;
    if (kept) {
        cache_shard_add_gzip(at->shard, slot, body);
    }
    unlock(at->shard);
    return kept;
}

void cache_gzip_make(struct cache *cache, uint64_t ns, struct str type,
                     const struct cache_list *list)
{
    struct buf body = {0};
    struct place at;
    bool made = false;

    if (place_of(cache, ns, type, &at) && gzip_make(list->body, &body)) {
        uint64_t bytes = body.n;
        if (take_room(cache, bytes)) {
            made = attach(&at, list, &body);
            give_back(cache, made ? 0 : bytes);
        }
    }
    if (!made) {
        cache_list_end_gzip(list, NULL);
    }
    buf_done(&body);
}

struct cache_stats cache_stats(struct cache *cache)
{
    struct cache_stats stats = {.bytes = atomic_load(&cache->bytes),
                                .limit_bytes = cache->limit_bytes};

    for (size_t i = 0; i < SHARDS; i++) {
        struct cache_shard *shard = &cache->shards[i];
        lock(shard);
        stats.hits += shard->n_hits;
        stats.misses += shard->n_misses;
        stats.drops += shard->n_drops;
        stats.evictions += shard->n_evictions;
        stats.lists += shard->n_lists;
        stats.gzips += shard->n_gzips;
        stats.gzip_bytes += shard->gzip_bytes;
        unlock(shard);
    }
    return stats;
}
