/* The paths of a cache: what cache_path_* keep. A bounded map in parts; a part
 * that is full is emptied: paths come back at the price of one lookup each. */
#ifndef CACHE_PATH_H
#define CACHE_PATH_H

#include "cache/cache.h"

#define CACHE_PATHS_MOST 65536

struct cache_paths; /* opaque */

struct cache_paths *cache_paths_new(void) MUST_USE;
struct cache_paths *cache_paths_free(struct cache_paths *paths);
/* Those of a cache. Lends. */
struct cache_paths *cache_paths_of(struct cache *cache);

#endif
