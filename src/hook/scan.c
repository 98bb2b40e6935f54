/* Who has to be told something: one pass over the history for everybody who is
 * up to date, however many they are. */
#include <utlist.h>

#include "base/err.h"
#include "hook/inside.h"
#include "watch/watch.h"

enum { SCAN_BYTES = 1 << 22 };

void scan_remove(struct hook *hook, struct engine_target *target)
{
    watched_remove(&hook->watched, target);
    (void)engine_remove(&hook->engine, target);
}

void scan_forget(struct hook *hook)
{
    engine_done(&hook->engine);
    watched_done(&hook->watched);
    hook->watched = (struct watched){.paths = NULL};
    engine_init(&hook->engine, 0);
    hook->look = (struct look){.on = false};
    hook->loaded = false;
    hook->put = 0;
}

/* ---- what the state knows ---- */

static struct engine_past past_of(const struct webhook_mark *mark)
{
    return (struct engine_past){mark->cursor, mark->state, mark->since_ms};
}

struct loading {
    struct hook *hook;
    bool rests;    /* who is up to date waits for what comes */
    uint64_t seen; /* the least cursor of those */
};

/* Those that were up to date a moment ago are looked after by the scan, which
 * begins at the last of them. The others read for themselves. */
static void on_mark(void *user, const struct webhook_mark *mark,
                    struct str path, uint64_t path_rev)
{
    struct loading *loading = user;
    struct hook *hook = loading->hook;
    const struct engine_past past = past_of(mark);
    bool fails = mark->state == HOOK_FAILING || mark->state == HOOK_DEAD;

    const struct engine_key key = {mark->ns, mark->id};
    struct engine_target *target = engine_find(&hook->engine, key);
    if (path.n == 0 || target != NULL) {
        return;
    }
    target = engine_add(&hook->engine, key, &past, hook_now(hook));
    if (!loading->rests || fails || path_rev > mark->cursor) {
        return;
    }
    watched_set(&hook->watched, target, path);
    engine_rest(&hook->engine, target);
    if (mark->cursor < loading->seen) {
        loading->seen = mark->cursor;
    }
}

int scan_load(struct hook *hook)
{
    struct loading loading = {hook, true, UINT64_MAX};
    uint64_t revision = 0;
    bool looks = false;

    scan_forget(hook);
    int r = found_all(hook->reader, on_mark, &loading, &revision, &looks);
    if (r != 0) {
        return r;
    }
    engine_seen(&hook->engine,
                loading.seen < revision ? loading.seen : revision);
    hook->look = (struct look){.on = looks, .ns = 1};
    hook->loaded = true;
    return 0;
}

int scan_load_more(struct hook *hook)
{
    struct loading loading = {.hook = hook};
    uint64_t revision = 0;
    bool looks = false;

    return found_all(hook->reader, on_mark, &loading, &revision, &looks);
}

/* ---- what happens ---- */

static void on_event(void *user, const struct event *event)
{
    struct hook *hook = user;

    watched_tell(&hook->watched, &hook->engine, event);
    if (!str_is(event->type, WEBHOOK_TYPE) || str_is(event->cause, "webhook")) {
        return;
    }
    struct met *met = arena_zero(hook->met_arena, sizeof *met);
    met->key.ns = event->ns_id;
    if (ulid_parse(event->id, &met->key.id) != 0) {
        return;
    }
    LL_PREPEND(hook->met, met);
    /* It may want others from here on, so it looks for itself. */
    struct engine_target *target = engine_find(&hook->engine, met->key);
    if (target != NULL) {
        engine_wants(&hook->engine, target, event->revision);
    }
}

/* As the row is now, which may be later than what was met: then that will be
 * met too. */
static int look_again(struct hook *hook, struct engine_key key)
{
    struct found row;

    int r = found_read(hook->reader, key, hook->arena, &row);
    struct engine_target *target = engine_find(&hook->engine, key);
    if (r == ERR_NOT_FOUND && target != NULL) {
        scan_remove(hook, target);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    const struct engine_past past = past_of(&row.mark);
    if (target == NULL) {
        target = engine_add(&hook->engine, key, &past, hook_now(hook));
    } else {
        if (past.cursor > engine_cursor(&hook->engine, target)) {
            watched_remove(&hook->watched, target); /* made anew since */
        }
        engine_back(target, &past);
    }
    engine_changed(&hook->engine, target);
    return 0;
}

static void forget_met(struct hook *hook)
{
    hook->met = NULL;
    arena_reset(hook->met_arena);
}

static int look_at_met(struct hook *hook)
{
    int r = 0;

    for (const struct met *met = hook->met; r == 0 && met != NULL;
         met = met->next) {
        r = look_again(hook, met->key);
        arena_reset(hook->arena);
    }
    forget_met(hook);
    return r;
}

/* What came between cannot be known: each finds out for itself, and rows may
 * have come that no event tells of any more. */
static int tear(struct hook *hook, uint64_t upto)
{
    struct engine_target *target = NULL, *next = NULL;

    HASH_ITER(hh, hook->engine.all, target, next)
    {
        engine_wants(&hook->engine, target, UINT64_MAX);
    }
    engine_seen(&hook->engine, upto);
    forget_met(hook);
    return scan_load_more(hook);
}

/* While there is none, nothing has to be read: only whether one has come. */
static int scan_for_one(struct hook *hook, bool *ret_none)
{
    uint64_t put = 0, revision = 0;

    *ret_none = false;
    if (hook->engine.all != NULL) {
        return 0;
    }
    int r = found_put(hook->reader, &put, &revision);
    if (r == 0 && put == hook->put) {
        engine_seen(&hook->engine, revision);
        *ret_none = true;
    }
    hook->put = put;
    return r;
}

int scan(struct hook *hook, bool *ret_more)
{
    const struct watch_spec all = {.ns = str_of(core_domain(hook->core))};
    struct watch_reading read;
    bool none = false;

    *ret_more = false;
    int r = scan_for_one(hook, &none);
    if (r != 0 || none) {
        return r;
    }
    r = watch_read(hook->reader, &all, hook->engine.seen, SCAN_BYTES, on_event,
                   hook, &read);
    if (r == ERR_NOT_FOUND) {
        return tear(hook, read.upto);
    }
    if (r != 0) {
        return r;
    }
    hook->report.dirty = hook->report.dirty || read.upto > hook->engine.seen;
    engine_seen(&hook->engine, read.upto);
    *ret_more = !read.end;
    return look_at_met(hook);
}
