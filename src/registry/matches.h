/* The match patterns of all leaves, compiled once per tree revision and shared
 * by all threads: immutable, counted. A new set takes over the compiled
 * patterns that are still the same, so one change of the tree costs one
 * compilation. Private to the room. */
#ifndef REGISTRY_MATCHES_H
#define REGISTRY_MATCHES_H

#include "registry/room.h"

/* The set of the newest snapshot, to be ended with matches_unref. NEEDS_WORKER
 * when it has to be made first, or is large. */
int matches_hold(struct op_state *s, struct matches **ret_matches) MUST_USE;
struct matches *matches_unref(struct matches *matches);

uint64_t matches_tree_rev(const struct matches *matches);
/* The leaves that `hostname` fits, in s->arena; ANSWERED when the patterns cost
 * too much. One pattern that does costs itself only: it does not match. */
int matches_find(struct op_state *s, const struct matches *matches,
                 struct str hostname, uint64_t **ret_leaves,
                 size_t *ret_n) MUST_USE;

#endif
