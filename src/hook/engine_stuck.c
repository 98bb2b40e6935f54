/* Who is in the way of others. */
#include <utlist.h>

#include "hook/engine.h"

bool engine_has_all_out(const struct engine *engine)
{
    return engine->n[ENGINE_BUSY] + engine->n[ENGINE_FLYING] >=
           ENGINE_FLYING_MOST;
}

bool engine_is_full(const struct engine *engine)
{
    return engine_has_all_out(engine) && engine->n[ENGINE_READY] > 0;
}

static bool waits_in_vain(const struct engine *engine)
{
    const struct engine_target *target = NULL;

    DL_FOREACH(engine->in[ENGINE_READY], target)
    {
        if (!engine_is_doubtful(target) &&
            (target->host == NULL ||
             !engine_host_is_full(engine, target->host))) {
            return true;
        }
    }
    return false;
}

/* The doubtful have their half, and all the time there is. */
struct engine_target *engine_stuck(const struct engine *engine, uint64_t now)
{
    struct engine_target *target = NULL;

    if (!engine_is_full(engine) || !waits_in_vain(engine)) {
        return NULL;
    }
    DL_FOREACH(engine->in[ENGINE_FLYING], target)
    {
        if (!engine_is_doubtful(target) &&
            now - target->sent_ms > ENGINE_SLOW_MS) {
            return target;
        }
    }
    return NULL;
}
