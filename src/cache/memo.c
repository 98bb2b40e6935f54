#include "cache/memo.h"

#include <xxhash.h>

#include "base/clock.h"

enum { SLOTS = 4096 };

struct slot {
    void *value; /* NULL: nothing is here */
    struct str key;
    uint64_t hash;
    uint64_t revision;
    uint64_t bytes;
    uint64_t asked; /* hash of the key that last found nothing here */
};

struct cache_memo {
    struct cache *cache;
    cache_memo_end_func *end;
    uint64_t seed; /* keys come from strangers */
    uint64_t limit_bytes, bytes;
    size_t hand; /* the next to make room */
    struct slot slots[SLOTS];
};

struct cache_memo *cache_memo_new(struct cache *cache, uint64_t limit_bytes,
                                  cache_memo_end_func *end)
{
    struct cache_memo *memo = mem_zero(sizeof *memo);

    memo->cache = cache;
    memo->limit_bytes = limit_bytes;
    memo->end = end;
    memo->seed = chance_u64();
    return memo;
}

static void forget(struct cache_memo *memo, struct slot *slot)
{
    if (slot->value == NULL) {
        return;
    }
    memo->end(slot->value);
    memo->bytes -= slot->bytes;
    (void)mem_free((void *)(uintptr_t)slot->key.p);
    *slot = (struct slot){.asked = slot->asked};
}

struct cache_memo *cache_memo_free(struct cache_memo *memo)
{
    if (memo == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        forget(memo, &memo->slots[i]);
    }
    return mem_free(memo);
}

static struct slot *slot_of(struct cache_memo *memo, struct str key,
                            uint64_t *ret_hash)
{
    *ret_hash = XXH3_64bits_withSeed(key.p, key.n, memo->seed);
    return &memo->slots[*ret_hash % SLOTS];
}

static bool is_of(const struct slot *slot, struct str key, uint64_t hash)
{
    return slot->value != NULL && slot->hash == hash &&
           str_equal(slot->key, key);
}

void *cache_memo_find(struct cache_memo *memo, struct str key)
{
    uint64_t hash = 0;
    struct slot *slot = slot_of(memo, key, &hash);

    if (!is_of(slot, key, hash) ||
        slot->revision != cache_newest(memo->cache)) { /* [CACHE-4] */
        return NULL;
    }
    slot->asked = hash;
    return slot->value;
}

bool cache_memo_wants(struct cache_memo *memo, struct str key)
{
    uint64_t hash = 0;
    struct slot *slot = slot_of(memo, key, &hash);

    bool wanted = slot->asked == hash || is_of(slot, key, hash);
    slot->asked = hash;
    return wanted;
}

bool cache_memo_keep(struct cache_memo *memo, struct str key, uint64_t revision,
                     uint64_t bytes, void *value)
{
    uint64_t hash = 0;
    struct slot *slot = slot_of(memo, key, &hash);

    bytes += key.n;
    if (bytes > memo->limit_bytes || revision != cache_newest(memo->cache)) {
        return false;
    }
    forget(memo, slot);
    while (memo->bytes + bytes > memo->limit_bytes) {
        forget(memo, &memo->slots[memo->hand++ % SLOTS]);
    }
    *slot = (struct slot){
        .value = value,
        .key = {mem_dup(key.p, key.n), key.n},
        .hash = hash,
        .revision = revision,
        .bytes = bytes,
        .asked = hash,
    };
    memo->bytes += bytes;
    return true;
}
