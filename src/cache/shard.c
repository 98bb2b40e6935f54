#include "cache/shard.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

void cache_shard_init(struct cache_shard *shard)
{
    *shard = (struct cache_shard){0};
    (void)pthread_mutex_init(&shard->lock, NULL);
    atomic_init(&shard->oldest_use, UINT64_MAX);
}

void cache_shard_done(struct cache_shard *shard)
{
    while (shard->oldest != NULL) {
        (void)cache_unref(cache_shard_forget(shard, shard->oldest));
    }
    (void)pthread_mutex_destroy(&shard->lock);
}

static void note_oldest(struct cache_shard *shard)
{
    uint64_t use = shard->oldest == NULL ? UINT64_MAX : shard->oldest->used;
    atomic_store_explicit(&shard->oldest_use, use, memory_order_relaxed);
}

struct cache_slot *cache_shard_find(struct cache_shard *shard,
                                    const struct cache_key *key, unsigned hash)
{
    struct cache_slot *slot = NULL;
    HASH_FIND_BYHASHVALUE(hh, shard->slots, key, sizeof *key, hash, slot);
    return slot;
}

struct cache_slot *cache_shard_add(struct cache_shard *shard,
                                   const struct cache_key *key, unsigned hash,
                                   uint64_t used)
{
    struct cache_slot *slot = mem_zero(sizeof *slot);

    slot->key = *key;
    slot->used = used;
    slot->dropped = shard->forgotten; /* [CACHE-3] */
    HASH_ADD_BYHASHVALUE(hh, shard->slots, key, sizeof *key, hash, slot);
    DL_APPEND(shard->oldest, slot);
    note_oldest(shard);
    return slot;
}

void cache_shard_touch(struct cache_shard *shard, struct cache_slot *slot,
                       uint64_t used)
{
    assert(used >= slot->used);
    slot->used = used;
    if (slot->next != NULL) {
        DL_DELETE(shard->oldest, slot);
        DL_APPEND(shard->oldest, slot);
    }
    note_oldest(shard);
}

const struct cache_list *cache_shard_swap(struct cache_shard *shard,
                                          struct cache_slot *slot,
                                          const struct cache_list *list,
                                          uint64_t snapshot)
{
    const struct cache_list *old = slot->list;

    slot->list = list;
    slot->snapshot = snapshot;
    shard->gzip_bytes -= old == NULL ? 0 : cache_list_gzip_size(old);
    shard->n_lists += list != NULL;
    shard->n_lists -= old != NULL;
    return old;
}

void cache_shard_add_gzip(struct cache_shard *shard, struct cache_slot *slot,
                          struct buf *body)
{
    shard->n_gzips++;
    shard->gzip_bytes += body->n;
    cache_list_end_gzip(slot->list, body);
}

const struct cache_list *cache_shard_forget(struct cache_shard *shard,
                                            struct cache_slot *slot)
{
    const struct cache_list *list = cache_shard_swap(shard, slot, NULL, 0);

    if (slot->dropped > shard->forgotten) {
        shard->forgotten = slot->dropped; /* [CACHE-3] */
    }
    HASH_DELETE(hh, shard->slots, slot);
    DL_DELETE(shard->oldest, slot);
    mem_free(slot);
    note_oldest(shard);
    return list;
}

uint64_t cache_shard_floor(const struct cache_shard *shard,
                           const struct cache_slot *slot)
{
    uint64_t own = slot == NULL ? shard->forgotten : slot->dropped;
    return own > shard->dropped ? own : shard->dropped;
}

const struct cache_list *cache_shard_hit(const struct cache_shard *shard,
                                         const struct cache_slot *slot)
{
    if (slot == NULL || slot->list == NULL) {
        return NULL;
    }
    assert(slot->snapshot >= slot->dropped); /* [CACHE-1] */
    return slot->snapshot >= shard->dropped ? slot->list : NULL;
}
