#include "cache/path.h"

#include <pthread.h>
#include <stdlib.h>

/* uthash would end the process politely; ours stops like mem.h does. */
#define uthash_fatal(text) abort()
#include <uthash.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"

enum { PARTS = 64 };

struct path {
    UT_hash_handle hh;
    uint64_t snapshot; /* what it says was so at this revision */
    struct cache_path value;
    char text[];
};

struct part {
    pthread_mutex_t lock;
    struct path *paths;
    uint64_t dropped; /* what is older says nothing any more */
};

struct cache_paths {
    uint64_t seed; /* paths come from strangers */
    struct part parts[PARTS];
};

struct cache_paths *cache_paths_new(void)
{
    struct cache_paths *paths = mem_zero(sizeof *paths);

    paths->seed = chance_u64();
    for (size_t i = 0; i < PARTS; i++) {
        (void)pthread_mutex_init(&paths->parts[i].lock, NULL);
    }
    return paths;
}

static void clear(struct part *part)
{
    struct path *path = NULL;
    struct path *next = NULL;

    HASH_ITER(hh, part->paths, path, next)
    {
        HASH_DELETE(hh, part->paths, path);
        mem_free(path);
    }
}

struct cache_paths *cache_paths_free(struct cache_paths *paths)
{
    if (paths == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < PARTS; i++) {
        clear(&paths->parts[i]);
        (void)pthread_mutex_destroy(&paths->parts[i].lock);
    }
    return mem_free(paths);
}

static struct part *lock_part_of(struct cache *cache, struct str path,
                                 unsigned *ret_hash)
{
    struct cache_paths *paths = cache_paths_of(cache);
    uint64_t hash = XXH3_64bits_withSeed(path.p, path.n, paths->seed);
    struct part *part = &paths->parts[(hash >> 32) % PARTS];

    (void)pthread_mutex_lock(&part->lock);
    *ret_hash = (unsigned)hash;
    return part;
}

static void unlock(struct part *part)
{
    (void)pthread_mutex_unlock(&part->lock);
}

static struct path *find(struct part *part, struct str text, unsigned hash)
{
    struct path *path = NULL;
    HASH_FIND_BYHASHVALUE(hh, part->paths, text.p, text.n, hash, path);
    return path;
}

static struct path *add(struct part *part, struct str text, unsigned hash)
{
    if (HASH_COUNT(part->paths) >= CACHE_PATHS_MOST / PARTS) {
        clear(part);
    }
    struct path *path = mem_zero(sizeof *path + text.n);
    memcpy(path->text, text.p, text.n);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, part->paths, path->text, text.n, hash,
                                path);
    return path;
}

int cache_path_get(struct cache *cache, struct str path,
                   struct cache_path *ret_path)
{
    unsigned hash = 0;
    struct part *part = lock_part_of(cache, path, &hash);
    struct path *found = find(part, path, hash);
    int r = ERR_NOT_FOUND;

    if (found != NULL && found->snapshot >= part->dropped) {
        *ret_path = found->value;
        r = 0;
    }
    unlock(part);
    return r;
}

void cache_path_put(struct cache *cache, struct str path,
                    struct cache_path value, uint64_t snapshot_revision)
{
    if (path.n == 0) {
        return; /* names nothing */
    }
    unsigned hash = 0;
    struct part *part = lock_part_of(cache, path, &hash);

    if (snapshot_revision >= part->dropped) {
        struct path *known = find(part, path, hash);
        if (known == NULL) {
            known = add(part, path, hash);
        }
        if (snapshot_revision >= known->snapshot) {
            known->snapshot = snapshot_revision;
            known->value = value;
        }
    }
    unlock(part);
}

/* Only raises what counts as old: freeing 65,536 paths here would hold up the
 * machine, which calls this before it commits. */
void cache_path_drop_all(struct cache *cache, uint64_t revision)
{
    struct cache_paths *paths = cache_paths_of(cache);

    for (size_t i = 0; i < PARTS; i++) {
        struct part *part = &paths->parts[i];
        (void)pthread_mutex_lock(&part->lock);
        if (revision > part->dropped) {
            part->dropped = revision;
        }
        unlock(part);
    }
}
