/* What other nodes ask of this one while it leads. On the core thread: each
 * question is bounded, and so is what it costs. */
#include "base/clock.h"
#include "registry/agents.h"
#include "registry/asks.h"
#include "registry/breaker.h"
#include "registry/cluster.h"
#include "registry/names.h"

typedef void name_func(struct registry *registry, struct str name,
                       struct buf *reply);

static void hear(struct registry *registry, struct str name, struct buf *reply)
{
    int r = lease_heartbeat(registry->leases, name, clock_mono_ms());

    buf_add_le(reply,
               r == 0               ? NAMES_OK
               : r == ERR_NOT_FOUND ? NAMES_UNKNOWN
                                    : NAMES_ENDING,
               1);
}

static void look(struct registry *registry, struct str name, struct buf *reply)
{
    live_look(registry->leases, name, reply);
}

/* Answers: INVALID, BUSY (ask again behind a fence). */
static int each_name(struct registry *registry, struct str names,
                     name_func *func, struct buf *reply)
{
    struct str name;
    size_t n = 0;
    int r = 0;

    if (!lease_table_serves(registry->leases)) {
        return ERR_BUSY;
    }
    while ((r = names_next(&names, &name)) == 0) {
        if (n++ == NAMES_MOST) {
            return ERR_INVALID;
        }
        func(registry, name, reply);
    }
    return r == ERR_END ? 0 : r;
}

static int answer(struct registry *registry, const struct core_asked *asked,
                  struct buf *reply)
{
    switch (asked->kind) {
    case ASK_CLUSTER:
        cluster_write(registry->core, reply);
        return 0;
    case ASK_BEATS:
        return each_name(registry, asked->request, hear, reply);
    case ASK_LIVE:
        return each_name(registry, asked->request, look, reply);
    case ASK_BREAKER:
        return breaker_write(registry, reply);
    default:
        return ERR_INVALID; /* a newer version's */
    }
}

void registry_on_ask(struct registry *registry, struct core_asked *asked)
{
    struct buf reply = {0};
    int r = answer(registry, asked, &reply);

    if (r != 0) {
        buf_clear(&reply);
    }
    core_answer(registry->core, asked, (uint32_t)r, buf_str(&reply));
    buf_done(&reply);
}
