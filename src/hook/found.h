/* What the store knows of webhooks. One reader each; any thread. */
#ifndef HOOK_FOUND_H
#define HOOK_FOUND_H

#include "base/mem.h"
#include "hook/engine.h"
#include "machine/webhook.h"
#include "store/store.h"

/* All in the arena. */
struct found {
    struct webhook_mark mark;
    struct str path;
    uint64_t path_rev; /* it has had that path since then */
    struct str name;   /* still escaped; n == 0: none */
    const char *url;   /* "": none */
    struct str types;
    struct str secret; /* n == 0: none */
};
/* Answers: NOT_FOUND (also when its namespace is deleted). Faults of the
 * store. */
int found_read(struct store_reader *reader, struct engine_key key,
               struct arena *arena, struct found *ret_found) MUST_USE;

/* Each mark, with the path of its namespace, in one snapshot. `path` n == 0: it
 * is deleted. */
typedef void found_func(void *user, const struct webhook_mark *mark,
                        struct str path, uint64_t path_rev);
/* *ret_revision: of the snapshot; *ret_look: rows without a mark have to be
 * looked for. O(marks). */
int found_all(struct store_reader *reader, found_func *func, void *user,
              uint64_t *ret_revision, bool *ret_look) MUST_USE;

/* The last put of a webhook anywhere, and the revision of the snapshot. */
int found_put(struct store_reader *reader, uint64_t *ret_put,
              uint64_t *ret_revision) MUST_USE;

/* The webhooks in a namespace behind `after` (NULL: from the first), at most
 * `most`. Answers: END (there is no namespace with this id or a greater one).
 */
int found_in(struct store_reader *reader, uint64_t ns, const struct ulid *after,
             struct command_hook_item *ret_items, size_t most,
             size_t *ret_n) MUST_USE;

#endif
