/* Which webhook an event concerns.
 *
 * Webhooks are found by the path that they watch: each path above an event is
 * looked up, so an event costs what its path is deep and who wants it. Only
 * what moves or removes namespaces, which is rare, looks at all.
 *
 * A webhook's path is the one that its namespace had at its cursor: what came
 * before a rename stands in the history under the old one. */
#ifndef HOOK_WATCHED_H
#define HOOK_WATCHED_H

#include <stdbool.h>
#include <uthash.h>

#include "base/mem.h"
#include "hook/engine.h"
#include "model/event.h"

struct watched_path {
    struct str path;
    struct engine_target *targets;
    UT_hash_handle hh;
};

struct watched {
    struct watched_path *paths;
};

/* Copied. Not before it is in the engine; taken out before it leaves that. */
void watched_set(struct watched *watched, struct engine_target *target,
                 struct str path);
void watched_remove(struct watched *watched, struct engine_target *target);
void watched_done(struct watched *watched);

/* "a,b"; empty: all. Copied. */
void watched_types(struct engine_target *target, struct str types);

/* Whether it is one for a webhook with this path and these types. */
bool watched_wants(struct str path, struct str types,
                   const struct event *event);
/* Tells the engine whom it concerns. */
void watched_tell(const struct watched *watched, struct engine *engine,
                  const struct event *event);

/* Where a namespace is after an event, when it was at `path`: in *ret_path, and
 * true when it moved. */
bool watched_moves(struct arena *arena, struct str path,
                   const struct event *event, struct str *ret_path);
/* Where it was before the event. */
bool watched_came(struct arena *arena, struct str path,
                  const struct event *event, struct str *ret_path);

#endif
