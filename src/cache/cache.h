/* Lists as bytes, rendered once, shared by every reader.
 *
 * A list is known by (namespace id, type). The machine calls cache_drop for
 * each list a transaction changes BEFORE it commits, so that no reader sees an
 * old cached list after another reader saw the new rows. A fill that began
 * before the change cannot come back: it publishes with the revision of its
 * snapshot, and a list dropped at revision R takes only fills whose snapshot is
 * at R or later.
 *
 * Invariants
 *   [CACHE-1] a hit is what the list was at the newest published revision.
 *   [CACHE-2] bytes held never exceed the bound; the least recently used go.
 *   [CACHE-3] forgetting a slot never forgets its drop: the shard keeps the
 *             greatest drop revision of what it forgot.
 *
 * Any thread. Each call O(1). */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/own.h"

struct cache; /* opaque */

/* A list as bytes, immutable, counted. */
struct cache_list {
    uint64_t revision; /* the list's: its ETag */
    uint64_t count;
    struct str body; /* a JSON array */
};

struct cache *cache_new(uint64_t limit_bytes) MUST_USE;
struct cache *cache_free(struct cache *cache);

/* Lends a reference to end with cache_unref. Answers: NOT_FOUND. */
int cache_get(struct cache *cache, uint64_t ns, struct str type,
              const struct cache_list **ret_list) MUST_USE;
/* Takes the body. Publishes unless it was dropped at a revision above
 * `snapshot_revision`; either way gives the list to the caller. */
const struct cache_list *cache_put(struct cache *cache, uint64_t ns,
                                   struct str type, uint64_t snapshot_revision,
                                   uint64_t list_revision, uint64_t count,
                                   struct buf *body) MUST_USE;
const struct cache_list *cache_unref(const struct cache_list *list);
/* The list changes at `revision`: no hit from now on until a newer fill. */
void cache_drop(struct cache *cache, uint64_t ns, struct str type,
                uint64_t revision);
/* The same for all lists (a rename or move moves list revisions). */
void cache_drop_all(struct cache *cache, uint64_t revision);

/* What paths stand for, so that a cached read opens no transaction.
 * Dropped whole when the tree's meaning changes (rename, move, delete). */
struct cache_path {
    uint64_t ns;
    bool leaf;
};
int cache_path_get(struct cache *cache, struct str path,
                   struct cache_path *ret_path) MUST_USE;
void cache_path_put(struct cache *cache, struct str path,
                    struct cache_path value, uint64_t snapshot_revision);
void cache_path_drop_all(struct cache *cache, uint64_t revision);

struct cache_stats {
    uint64_t hits, misses, drops, evictions, bytes, lists;
};
struct cache_stats cache_stats(struct cache *cache);

#endif
