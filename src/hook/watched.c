#include "hook/watched.h"

#include <utlist.h>

#include "watch/watch.h"

static void set_str(struct str *at, struct str text)
{
    mem_free((void *)(uintptr_t)at->p);
    *at =
        text.n == 0 ? STR_NONE : (struct str){mem_dup(text.p, text.n), text.n};
}

static struct watched_path *find(const struct watched *watched, struct str path)
{
    struct watched_path *found = NULL;

    HASH_FIND(hh, watched->paths, path.p, path.n, found);
    return found;
}

void watched_remove(struct watched *watched, struct engine_target *target)
{
    struct watched_path *at =
        target->path.n == 0 ? NULL : find(watched, target->path);

    if (at == NULL) {
        return;
    }
    LL_DELETE2(at->targets, target, path_next);
    set_str(&target->path, STR_NONE);
    if (at->targets == NULL) {
        HASH_DEL(watched->paths, at);
        set_str(&at->path, STR_NONE);
        mem_free(at);
    }
}

void watched_set(struct watched *watched, struct engine_target *target,
                 struct str path)
{
    if (str_equal(target->path, path)) {
        return;
    }
    watched_remove(watched, target);
    struct watched_path *at = find(watched, path);
    if (at == NULL) {
        at = mem_zero(sizeof *at);
        set_str(&at->path, path);
        HASH_ADD_KEYPTR(hh, watched->paths, at->path.p, at->path.n, at);
    }
    set_str(&target->path, path);
    LL_PREPEND2(at->targets, target, path_next);
}

void watched_done(struct watched *watched)
{
    struct watched_path *at = NULL, *next = NULL;

    HASH_ITER(hh, watched->paths, at, next)
    {
        HASH_DEL(watched->paths, at);
        set_str(&at->path, STR_NONE);
        mem_free(at);
    }
}

void watched_types(struct engine_target *target, struct str types)
{
    set_str(&target->types, types);
}

static bool names_type(struct str types, struct str type)
{
    while (types.n > 0) {
        const char *comma = memchr(types.p, ',', types.n);
        size_t n = comma == NULL ? types.n : (size_t)(comma - types.p);
        size_t used = comma == NULL ? n : n + 1;
        if (str_equal(str_trim((struct str){types.p, n}), type)) {
            return true;
        }
        types = (struct str){types.p + used, types.n - used};
    }
    return false;
}

/* Rows that go or move with a namespace have no events of their own. */
static bool moves_rows(const struct event *event)
{
    return event->op == EVENT_NS_DELETE ||
           (event->op == EVENT_NS_PUT && event->old.n > 0);
}

/* What this room's own writing brought forth concerns nobody, or it would bring
 * forth more. */
static bool is_own(const struct event *event)
{
    return str_is(event->cause, "webhook");
}

/* Changes of who may what are told to who may read them; a receiver has no
 * rights of its own. */
static bool is_of_access(const struct event *event)
{
    return str_is(event->name, "access");
}

static bool fits_types(struct str types, const struct event *event)
{
    return types.n == 0 || moves_rows(event) ||
           (event->type.n > 0 && names_type(types, event->type));
}

bool watched_wants(struct str path, struct str types, const struct event *event)
{
    const struct watch_spec spec = {.ns = path};
    return !is_own(event) && !is_of_access(event) && fits_types(types, event) &&
           watch_wants(&spec, event);
}

static void tell_wide(struct engine *engine, const struct event *event)
{
    struct engine_target *target = NULL, *next = NULL;

    DL_FOREACH_SAFE(engine->in[ENGINE_IDLE], target, next)
    {
        if (watched_wants(target->path, target->types, event)) {
            engine_wants(engine, target, event->revision);
        }
    }
    for (int place = ENGINE_BUSY; place <= ENGINE_FLYING; place++) {
        DL_FOREACH_SAFE(engine->in[place], target, next)
        {
            engine_wants(engine, target, event->revision);
        }
    }
}

static void tell_path(const struct watched *watched, struct engine *engine,
                      struct str path, const struct event *event)
{
    const struct watched_path *at = find(watched, path);
    struct engine_target *target = at == NULL ? NULL : at->targets;

    for (; target != NULL; target = target->path_next) {
        if (fits_types(target->types, event)) {
            engine_wants(engine, target, event->revision);
        }
    }
}

void watched_tell(const struct watched *watched, struct engine *engine,
                  const struct event *event)
{
    struct str path = event->ns;

    if (is_own(event)) {
        return;
    }
    if (moves_rows(event) || event->op == EVENT_RESTORE) {
        tell_wide(engine, event);
        return;
    }
    while (path.n > 0) {
        tell_path(watched, engine, path, event);
        const char *dot = memchr(path.p, '.', path.n);
        size_t n = dot == NULL ? path.n : (size_t)(dot - path.p) + 1;
        path = (struct str){path.p + n, path.n - n};
    }
}

/* ---- moves ---- */

static bool is_below(struct str path, struct str top)
{
    return path.n >= top.n &&
           memcmp(path.p + path.n - top.n, top.p, top.n) == 0 &&
           (path.n == top.n || path.p[path.n - top.n - 1] == '.');
}

static bool rebase(struct arena *arena, struct str path, struct str from,
                   struct str to, struct str *ret_path)
{
    if (!is_below(path, from)) {
        return false;
    }
    *ret_path = arena_printf(arena, "%.*s%.*s", (int)(path.n - from.n), path.p,
                             STR_ARG(to));
    return true;
}

bool watched_moves(struct arena *arena, struct str path,
                   const struct event *event, struct str *ret_path)
{
    return event->op == EVENT_NS_PUT && event->old.n > 0 &&
           rebase(arena, path, event->old, event->ns, ret_path);
}

bool watched_came(struct arena *arena, struct str path,
                  const struct event *event, struct str *ret_path)
{
    return event->op == EVENT_NS_PUT && event->old.n > 0 &&
           rebase(arena, path, event->ns, event->old, ret_path);
}
