/* What the state does not know yet of the engine, and how far all are. */
#include "hook/engine.h"

static bool is_to_tell(const struct engine *engine,
                       const struct engine_target *target, bool all,
                       uint64_t now)
{
    uint64_t cursor = engine_cursor(engine, target);

    if (target->gone) {
        return false;
    }
    if (target->tell || cursor <= target->told) {
        return target->tell;
    }
    /* What somebody said yes to would be sent again by another leader. */
    return all || target->acked > target->told ||
           cursor - target->told >= ENGINE_FAR ||
           now - target->told_ms >= ENGINE_FAR_MS;
}

size_t engine_report(struct engine *engine, bool all, uint64_t now,
                     struct command_hook_item *ret_items, size_t most)
{
    struct engine_target *target = NULL, *next = NULL;
    size_t n = 0;

    HASH_ITER(hh, engine->all, target, next)
    {
        if (n == most) {
            break;
        }
        if (is_to_tell(engine, target, all, now)) {
            ret_items[n++] = (struct command_hook_item){
                .id = target->key.id,
                .ns = target->key.ns,
                .cursor = engine_cursor(engine, target),
                .state = target->tell ? (uint8_t)target->state : HOOK_SAME,
                .since_ms = target->since_ms,
                .text = target->tell ? str_of(target->text) : STR(""),
            };
        }
    }
    return n;
}

void engine_told(struct engine *engine, const struct command_hook_item *items,
                 size_t n, uint64_t now)
{
    for (size_t i = 0; i < n; i++) {
        struct engine_key key = {items[i].ns, items[i].id};
        struct engine_target *target = engine_find(engine, key);
        if (target == NULL) {
            continue;
        }
        if (items[i].cursor > target->told) {
            target->told = items[i].cursor;
        }
        target->told_ms = now;
        if (str_is(items[i].text, target->text)) {
            target->tell = false;
        }
    }
}

struct engine_counts engine_counts(const struct engine *engine,
                                   uint64_t revision)
{
    const struct engine_target *target = NULL;
    struct engine_counts counts = {.targets = HASH_COUNT(engine->all)};

    for (target = engine->all; target != NULL; target = target->hh.next) {
        uint64_t cursor = engine_cursor(engine, target);
        uint64_t behind = revision > cursor ? revision - cursor : 0;
        counts.dead += target->state == HOOK_DEAD;
        counts.failing += target->state == HOOK_FAILING;
        /* An idle one is as far as what was looked at. */
        if (target->place != ENGINE_IDLE && behind > counts.behind) {
            counts.behind = behind;
        }
    }
    return counts;
}
