/* A cache_list and how many hold it. */
#ifndef CACHE_LIST_H
#define CACHE_LIST_H

#include "cache/cache.h"

/* Takes the body; held once. */
const struct cache_list *cache_list_new(uint64_t revision, uint64_t count,
                                        struct buf *body) MUST_USE;
/* Once more; ends with cache_unref. */
const struct cache_list *cache_list_ref(const struct cache_list *list);
/* Bytes it keeps in memory. Fixed for one that is in no slot. */
uint64_t cache_list_size(const struct cache_list *list);
/* How much of that is its compressed body. */
uint64_t cache_list_gzip_size(const struct cache_list *list);
/* By who claimed it: takes the body, or says that there will be none (NULL). */
void cache_list_end_gzip(const struct cache_list *list, struct buf *body);

#endif
