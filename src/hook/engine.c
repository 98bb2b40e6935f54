#include "hook/engine.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>
#include <utlist.h>

void engine_init(struct engine *engine, uint64_t seen)
{
    *engine = (struct engine){.seen = seen, .due_ms = UINT64_MAX};
}

static bool has_failed(const struct engine_target *target)
{
    return target->since_ms != 0;
}

bool engine_is_doubtful(const struct engine_target *target)
{
    return has_failed(target) || target->slow;
}

static bool is_under_way(enum engine_place place)
{
    return place == ENGINE_BUSY || place == ENGINE_FLYING;
}

static void leave(struct engine *engine, struct engine_target *target)
{
    DL_DELETE(engine->in[target->place], target);
    engine->n[target->place]--;
}

static void enter(struct engine *engine, struct engine_target *target,
                  enum engine_place place)
{
    target->place = place;
    DL_APPEND(engine->in[place], target);
    engine->n[place]++;
}

static void put(struct engine *engine, struct engine_target *target,
                enum engine_place place)
{
    leave(engine, target);
    enter(engine, target, place);
}

/* What it was under way with is over. */
static void land(struct engine *engine, const struct engine_target *target)
{
    assert(is_under_way(target->place));
    if (engine_is_doubtful(target)) {
        engine->n_retries--;
    }
}

static void target_free(struct engine *engine, struct engine_target *target)
{
    leave(engine, target);
    HASH_DEL(engine->all, target);
    mem_free(target->host);
    mem_free((void *)(uintptr_t)target->path.p);
    mem_free((void *)(uintptr_t)target->types.p);
    mem_free(target);
}

void engine_done(struct engine *engine)
{
    struct engine_target *target = NULL, *next = NULL;

    HASH_ITER(hh, engine->all, target, next)
    {
        target_free(engine, target);
    }
}

struct engine_target *engine_add(struct engine *engine, struct engine_key key,
                                 const struct engine_past *past, uint64_t now)
{
    struct engine_target *target = mem_zero(sizeof *target);

    target->key = key;
    target->cursor = target->told = past->cursor;
    target->told_ms = now;
    target->state = past->state;
    bool fails = past->state == HOOK_FAILING || past->state == HOOK_DEAD;
    /* The clock of who led before may have been ahead. */
    bool known = past->since_ms > 0 && past->since_ms < now;
    target->since_ms = !fails ? 0 : known ? past->since_ms : now;
    HASH_ADD(hh, engine->all, key, sizeof target->key, target);
    enter(engine, target, ENGINE_READY);
    return target;
}

void engine_rest(struct engine *engine, struct engine_target *target)
{
    assert(target->place == ENGINE_READY);
    put(engine, target, ENGINE_IDLE);
}

void engine_back(struct engine_target *target, const struct engine_past *past)
{
    target->gone = false;
    if (past->cursor > target->cursor) {
        target->cursor = past->cursor;
    }
}

struct engine_target *engine_find(const struct engine *engine,
                                  struct engine_key key)
{
    struct engine_target *target = NULL;

    HASH_FIND(hh, engine->all, &key, sizeof key, target);
    return target;
}

bool engine_remove(struct engine *engine, struct engine_target *target)
{
    if (target->place == ENGINE_FLYING) {
        target->gone = true;
        return false;
    }
    if (target->place == ENGINE_BUSY) {
        land(engine, target);
    }
    target_free(engine, target);
    return true;
}

uint64_t engine_cursor(const struct engine *engine,
                       const struct engine_target *target)
{
    return target->place == ENGINE_IDLE && engine->seen > target->cursor
               ? engine->seen
               : target->cursor;
}

void engine_wants(struct engine *engine, struct engine_target *target,
                  uint64_t revision)
{
    if (revision <= engine_cursor(engine, target)) {
        return;
    }
    if (target->place == ENGINE_IDLE) {
        target->cursor = engine_cursor(engine, target);
        put(engine, target, ENGINE_READY);
    } else if (is_under_way(target->place)) {
        target->again = true;
    }
}

void engine_seen(struct engine *engine, uint64_t revision)
{
    if (revision > engine->seen) {
        engine->seen = revision;
    }
}

void engine_changed(struct engine *engine, struct engine_target *target)
{
    if (is_under_way(target->place)) {
        target->changed = true;
        return;
    }
    target->fresh = true;
    if (target->place == ENGINE_WAITING) {
        put(engine, target, ENGINE_READY);
    }
}

void engine_reach(struct engine_target *target, const char *host)
{
    if (target->host == NULL || strcmp(target->host, host) != 0) {
        mem_free(target->host);
        target->host = mem_text(host);
    }
}

/* ---- turns ---- */

bool engine_host_is_full(const struct engine *engine, const char *host)
{
    const struct engine_target *other = NULL;
    unsigned n = 0;

    DL_FOREACH(engine->in[ENGINE_FLYING], other)
    {
        n += other->host != NULL && strcmp(other->host, host) == 0;
    }
    return n >= ENGINE_HOST_MOST;
}

static bool may_go(const struct engine *engine,
                   const struct engine_target *target)
{
    if (engine_is_doubtful(target) && engine->n_retries >= ENGINE_RETRY_MOST) {
        return false;
    }
    return target->host == NULL || !engine_host_is_full(engine, target->host);
}

static void wake_due(struct engine *engine, uint64_t now)
{
    struct engine_target *target = NULL, *next = NULL;

    if (engine->due_ms > now) {
        return;
    }
    engine->due_ms = UINT64_MAX;
    DL_FOREACH_SAFE(engine->in[ENGINE_WAITING], target, next)
    {
        if (target->next_ms <= now) {
            put(engine, target, ENGINE_READY);
        } else if (target->next_ms < engine->due_ms) {
            engine->due_ms = target->next_ms;
        }
    }
}

struct engine_target *engine_next(struct engine *engine, uint64_t now)
{
    struct engine_target *target = NULL;

    wake_due(engine, now);
    if (engine_has_all_out(engine)) {
        return NULL;
    }
    DL_FOREACH(engine->in[ENGINE_READY], target)
    {
        if (may_go(engine, target)) {
            break;
        }
    }
    if (target != NULL) {
        put(engine, target, ENGINE_BUSY);
        target->again = false;
        engine->n_retries += engine_is_doubtful(target);
    }
    return target;
}

static void move(struct engine_target *target, uint64_t upto)
{
    if (upto > target->cursor) {
        target->cursor = upto;
    }
}

/* Idle is only who has been looked at as far as all others. */
static void settle(struct engine *engine, struct engine_target *target,
                   bool end)
{
    bool idle = end && !target->again && target->cursor >= engine->seen;
    put(engine, target, idle ? ENGINE_IDLE : ENGINE_READY);
}

void engine_passed(struct engine *engine, struct engine_target *target,
                   uint64_t upto, bool end)
{
    land(engine, target);
    move(target, upto);
    settle(engine, target, end);
}

void engine_hold(struct engine *engine, struct engine_target *target)
{
    land(engine, target);
    put(engine, target, ENGINE_READY);
}

void engine_sent(struct engine *engine, struct engine_target *target,
                 uint64_t now)
{
    assert(target->place == ENGINE_BUSY);
    target->sent_ms = now;
    put(engine, target, ENGINE_FLYING);
}

/* ---- outcomes ---- */

static void show(struct engine_target *target, enum hook_state state,
                 const char *text)
{
    target->state = state;
    (void)snprintf(target->text, sizeof target->text, "%s", text);
    target->tell = true;
}

bool engine_answered(struct engine *engine, struct engine_target *target,
                     uint64_t upto, bool reset)
{
    char text[ENGINE_TEXT];

    land(engine, target);
    if (target->gone) {
        target_free(engine, target);
        return false;
    }
    move(target, upto);
    target->acked = target->cursor;
    target->since_ms = 0;
    target->changed = target->fresh = false;
    if (reset) {
        (void)snprintf(text, sizeof text, "reset at %llu",
                       (unsigned long long)upto);
        show(target, HOOK_RESET, text);
    } else if (target->state != HOOK_OK && target->state != HOOK_RESET) {
        show(target, HOOK_OK, "ok");
    }
    put(engine, target, ENGINE_READY);
    return true;
}

void engine_took(struct engine_target *target, uint64_t ms)
{
    assert(!is_under_way(target->place));
    target->slow = ms > ENGINE_SLOW_MS;
}

static void show_failure(struct engine_target *target, enum hook_state state,
                         const char *why)
{
    char text[ENGINE_TEXT], since[sizeof "2026-11-21T12:00:00Z"];
    time_t at = (time_t)(target->since_ms / 1000);
    struct tm tm;

    (void)gmtime_r(&at, &tm);
    (void)strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)snprintf(text, sizeof text, "%s since %s: %s",
                   state == HOOK_DEAD ? "dead" : "failing", since, why);
    show(target, state, text);
}

static uint64_t pause_ms(uint64_t failing_ms, uint64_t chance)
{
    uint64_t pause = failing_ms / 8;

    if (pause < ENGINE_PAUSE_LEAST_MS) {
        pause = ENGINE_PAUSE_LEAST_MS;
    }
    if (pause > ENGINE_PAUSE_MOST_MS) {
        pause = ENGINE_PAUSE_MOST_MS;
    }
    return pause - chance % (pause / 10 + 1);
}

bool engine_failed(struct engine *engine, struct engine_target *target,
                   const char *why, uint64_t now, uint64_t chance)
{
    land(engine, target);
    if (target->gone) {
        target_free(engine, target);
        return false;
    }
    bool anew = !has_failed(target) || target->fresh;
    if (anew) {
        target->since_ms = now > 0 ? now : 1;
    }
    uint64_t failing = now > target->since_ms ? now - target->since_ms : 0;
    enum hook_state state = failing > ENGINE_DEAD_MS ? HOOK_DEAD : HOOK_FAILING;
    /* Not each time for another reason: it costs a revision. */
    if (anew || state != target->state) {
        show_failure(target, state, why);
    }
    target->fresh = target->changed;
    target->changed = false;
    target->next_ms = now + pause_ms(failing, chance);
    put(engine, target, target->fresh ? ENGINE_READY : ENGINE_WAITING);
    if (!target->fresh && target->next_ms < engine->due_ms) {
        engine->due_ms = target->next_ms;
    }
    return true;
}

uint64_t engine_due(const struct engine *engine, uint64_t now)
{
    if (engine->due_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    return engine->due_ms > now ? engine->due_ms - now : 0;
}
