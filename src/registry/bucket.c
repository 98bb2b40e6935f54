#include "registry/bucket.h"

#include <assert.h>
#include <pthread.h>
#include <xxhash.h>

#include "base/clock.h"

#define NONE UINT32_MAX

enum { SHARDS = 16 };

struct bucket {
    XXH128_hash_t key;
    uint64_t full_ns;      /* when it is full */
    uint32_t newer, older; /* by when it was asked for */
    uint32_t next;         /* of its chain, or of the free ones */
};

struct shard {
    pthread_mutex_t lock;
    struct bucket *buckets;
    uint32_t *chains;
    uint32_t free, newest, oldest;
    struct buckets_stats stats;
};

struct buckets {
    uint64_t most;
    uint64_t one_ns;  /* what one costs */
    uint64_t full_ns; /* what all cost */
    uint32_t n;       /* places of a shard, and chains */
    uint64_t seed;    /* nobody can choose keys that share a chain */
    struct shard shards[SHARDS];
};

/* ---- a shard's places ---- */

static void shard_init(struct shard *shard, uint32_t n)
{
    (void)pthread_mutex_init(&shard->lock, NULL);
    shard->buckets = mem_zero(n * sizeof *shard->buckets);
    shard->chains = mem_alloc(n * sizeof *shard->chains);
    shard->newest = shard->oldest = NONE;
    for (uint32_t i = 0; i < n; i++) {
        shard->chains[i] = NONE;
        shard->buckets[i].next = i + 1 < n ? i + 1 : NONE;
    }
}

static uint32_t *chain_of(const struct buckets *all, struct shard *shard,
                          XXH128_hash_t key)
{
    return &shard->chains[key.high64 % all->n];
}

static void unlink_age(struct shard *shard, uint32_t at)
{
    struct bucket *bucket = &shard->buckets[at];

    *(bucket->newer == NONE ? &shard->newest
                            : &shard->buckets[bucket->newer].older) =
        bucket->older;
    *(bucket->older == NONE ? &shard->oldest
                            : &shard->buckets[bucket->older].newer) =
        bucket->newer;
}

static void link_newest(struct shard *shard, uint32_t at)
{
    struct bucket *bucket = &shard->buckets[at];

    bucket->newer = NONE;
    bucket->older = shard->newest;
    *(shard->newest == NONE ? &shard->oldest
                            : &shard->buckets[shard->newest].newer) = at;
    shard->newest = at;
}

static void forget(const struct buckets *all, struct shard *shard, uint32_t at)
{
    struct bucket *bucket = &shard->buckets[at];
    uint32_t *link = chain_of(all, shard, bucket->key);

    while (*link != at) {
        link = &shard->buckets[*link].next;
    }
    *link = bucket->next;
    unlink_age(shard, at);
    bucket->next = shard->free;
    shard->free = at;
    shard->stats.held--;
}

/* Those at the old end that are full: who comes takes two with him, so that
 * none stays for good. */
static void forget_full(const struct buckets *all, struct shard *shard,
                        uint64_t now_ns)
{
    for (int i = 0; i < 2; i++) {
        uint32_t at = shard->oldest;
        if (at == NONE || shard->buckets[at].full_ns > now_ns) {
            return;
        }
        forget(all, shard, at);
    }
}

static struct bucket *find(const struct buckets *all, struct shard *shard,
                           XXH128_hash_t key)
{
    for (uint32_t at = *chain_of(all, shard, key); at != NONE;
         at = shard->buckets[at].next) {
        if (XXH128_isEqual(shard->buckets[at].key, key)) {
            return &shard->buckets[at];
        }
    }
    return NULL;
}

static struct bucket *make(const struct buckets *all, struct shard *shard,
                           XXH128_hash_t key)
{
    if (shard->free == NONE) {
        shard->stats.pushed++;
        forget(all, shard, shard->oldest);
    }
    uint32_t at = shard->free;
    struct bucket *bucket = &shard->buckets[at];
    uint32_t *chain = chain_of(all, shard, key);

    shard->free = bucket->next;
    *bucket = (struct bucket){.key = key, .next = *chain};
    *chain = at;
    link_newest(shard, at);
    shard->stats.held++;
    return bucket;
}

/* ---- taking ---- */

static unsigned seconds_up(uint64_t ns)
{
    return (unsigned)((ns + 999999999) / 1000000000);
}

/* `ahead_ns`: until it is full. */
static bool judge(const struct buckets *all, uint64_t ahead_ns, bool takes,
                  struct registry_limit *ret_limit)
{
    uint64_t room =
        all->full_ns - (ahead_ns < all->full_ns ? ahead_ns : all->full_ns);
    bool has = room >= all->one_ns;

    assert(all->one_ns > 0);
    if (takes && has) {
        ahead_ns += all->one_ns;
        room -= all->one_ns;
    }
    *ret_limit = (struct registry_limit){
        .limited = true,
        .most = all->most,
        .left = room / all->one_ns,
        .reset_s = seconds_up(ahead_ns),
        .retry_after_s = has ? 0 : seconds_up(all->one_ns - room),
    };
    return has;
}

static bool ask(struct buckets *all, struct str key, uint64_t now_us,
                bool takes, struct registry_limit *ret_limit)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.p, key.n, all->seed);
    struct shard *shard = &all->shards[hash.low64 % SHARDS];
    uint64_t now_ns = now_us * 1000;

    (void)pthread_mutex_lock(&shard->lock);
    struct bucket *bucket = find(all, shard, hash);
    uint64_t ahead = bucket == NULL || bucket->full_ns <= now_ns
                         ? 0
                         : bucket->full_ns - now_ns;
    bool has = judge(all, ahead, takes, ret_limit);
    shard->stats.refused += !has;
    if (takes && has) {
        if (bucket == NULL) {
            bucket = make(all, shard, hash);
        }
        bucket->full_ns = now_ns + ahead + all->one_ns;
    }
    if (bucket != NULL) {
        uint32_t at = (uint32_t)(bucket - shard->buckets);
        unlink_age(shard, at);
        link_newest(shard, at);
    }
    forget_full(all, shard, now_ns);
    (void)pthread_mutex_unlock(&shard->lock);
    return has;
}

bool buckets_take(struct buckets *buckets, struct str key, uint64_t now_us,
                  struct registry_limit *ret_limit)
{
    *ret_limit = (struct registry_limit){.limited = false};
    return buckets == NULL || ask(buckets, key, now_us, true, ret_limit);
}

bool buckets_have(struct buckets *buckets, struct str key, uint64_t now_us,
                  struct registry_limit *ret_limit)
{
    *ret_limit = (struct registry_limit){.limited = false};
    return buckets == NULL || ask(buckets, key, now_us, false, ret_limit);
}

void buckets_give(struct buckets *buckets, struct str key, uint64_t now_us)
{
    if (buckets == NULL) {
        return;
    }
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.p, key.n, buckets->seed);
    struct shard *shard = &buckets->shards[hash.low64 % SHARDS];
    (void)pthread_mutex_lock(&shard->lock);
    struct bucket *bucket = find(buckets, shard, hash);
    if (bucket != NULL && bucket->full_ns > now_us * 1000) {
        bucket->full_ns -= buckets->one_ns; /* before now: it is full */
    }
    (void)pthread_mutex_unlock(&shard->lock);
}

/* ---- all of them ---- */

struct buckets *buckets_new(uint64_t most, uint64_t full_ms, size_t bytes)
{
    struct buckets *all = mem_zero(sizeof *all);

    assert(most > 0 && full_ms * 1000000 >= most);
    size_t one = sizeof(struct bucket) + sizeof(uint32_t);

    all->most = most;
    all->one_ns = full_ms * 1000000 / most;
    all->full_ns = all->one_ns * most;
    all->n = (uint32_t)(bytes / SHARDS / one);
    all->n = all->n == 0 ? 1 : all->n;
    all->seed = chance_u64();
    for (size_t i = 0; i < SHARDS; i++) {
        shard_init(&all->shards[i], all->n);
    }
    return all;
}

struct buckets *buckets_free(struct buckets *buckets)
{
    if (buckets == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_destroy(&buckets->shards[i].lock);
        (void)mem_free(buckets->shards[i].buckets);
        (void)mem_free(buckets->shards[i].chains);
    }
    return mem_free(buckets);
}

struct buckets_stats buckets_stats(struct buckets *buckets)
{
    struct buckets_stats all = {0};

    for (size_t i = 0; buckets != NULL && i < SHARDS; i++) {
        struct shard *shard = &buckets->shards[i];
        (void)pthread_mutex_lock(&shard->lock);
        all.held += shard->stats.held;
        all.refused += shard->stats.refused;
        all.pushed += shard->stats.pushed;
        (void)pthread_mutex_unlock(&shard->lock);
    }
    return all;
}
