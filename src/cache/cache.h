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
 *   [CACHE-4] cache_changing is told before a commit can be seen: who finds the
 *             number that an answer was read at finds nothing newer anywhere.
 *
 * Any thread. Each call O(1), but cache_gzip_make. */
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

/* A transaction that brings the registry to `revision` is about to commit.
 * Called before each one, and with what there is at the start. [CACHE-4] */
void cache_changing(struct cache *cache, uint64_t revision);
/* The greatest number that was told. */
uint64_t cache_newest(struct cache *cache);

/* A list's body compressed, made once for all who take it so, when the first of
 * them asks. Whoever claims it makes it, or gives the claim back. It is part of
 * the list and of the bound; a list that is kept no more gets none. */
#define CACHE_GZIP_LEAST 1024 /* bytes: a smaller body fits into one packet */
enum cache_gzip {
    CACHE_GZIP_NONE,
    CACHE_GZIP_CLAIMED,
    CACHE_GZIP_MADE,
    CACHE_GZIP_NEVER, /* too small, hardly smaller, or no room for it */
};
/* Lends *ret_body, when it is made, as long as the list. */
enum cache_gzip cache_gzip_get(const struct cache_list *list,
                               struct str *ret_body);
/* False when it is not NONE (any more). */
bool cache_gzip_claim(const struct cache_list *list) MUST_USE;
void cache_gzip_unclaim(const struct cache_list *list);
/* O(body): 6 us per KiB. */
void cache_gzip_make(struct cache *cache, uint64_t ns, struct str type,
                     const struct cache_list *list);

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
    uint64_t hits, misses, drops, evictions, bytes, limit_bytes, lists;
    uint64_t gzips;      /* bodies compressed, ever */
    uint64_t gzip_bytes; /* part of `bytes` */
};
struct cache_stats cache_stats(struct cache *cache);

#endif
