/* A registry from its beginning to its end, and what it is told of while it
 * lives. */
#include <assert.h>

#include "access/access_token.h"
#include "base/clock.h"
#include "registry/asks.h"
#include "registry/audited.h"
#include "registry/callers.h"
#include "registry/cluster.h"
#include "registry/desk.h"
#include "registry/gather.h"
#include "registry/limit.h"
#include "registry/matches.h"
#include "registry/own.h"
#include "registry/registry.h"
#include "registry/types_set.h"
#include "registry/wait.h"

struct registry *registry_new(struct core *core, struct cache *cache,
                              struct lease_table *leases)
{
    struct registry *registry = mem_zero(sizeof *registry);

    registry->core = core;
    registry->cache = cache;
    registry->leases = leases;
    registry->started_s = clock_wall_ms() / 1000;
    registry->ticked_ms = clock_mono_ms();
    registry->asks = asks_new(core);
    registry->gather = gather_new(core);
    registry->leader = leader_new(core);
    registry->desk = desk_new();
    registry->own = own_new(core);
    registry->audited = audited_new();
    (void)pthread_mutex_init(&registry->waiting_lock, NULL);
    (void)pthread_mutex_init(&registry->shared_lock, NULL);
    (void)pthread_mutex_init(&registry->matches_building, NULL);
    return registry;
}

struct registry *registry_free(struct registry *registry)
{
    if (registry == NULL) {
        return NULL;
    }
    assert(registry->waiting == NULL);
    loading_end(registry);
    registry->desk = desk_free(registry->desk);
    registry->asks = asks_free(registry->asks);
    registry->gather = gather_free(registry->gather);
    registry->leader = leader_free(registry->leader);
    registry->own = own_free(registry->own);
    registry->limits = limits_free(registry->limits);
    registry->audited = audited_free(registry->audited);
    (void)types_unref(registry->types);
    (void)matches_unref(registry->matches);
    callers_end_own(registry);
    (void)pthread_mutex_destroy(&registry->waiting_lock);
    (void)pthread_mutex_destroy(&registry->shared_lock);
    (void)pthread_mutex_destroy(&registry->matches_building);
    return mem_free(registry);
}

void registry_set_directory(struct registry *registry,
                            struct access_directory *directory)
{
    desk_set_directory(registry->desk, directory);
}

int registry_set_own_token(struct registry *registry, const char *node,
                           struct str text)
{
    uint8_t hash[SHA256_BYTES];

    int r = own_set(registry->own, node, text);
    if (r == 0) {
        access_token_hash(text, hash);
        callers_set_own(registry, str_of(node), hash);
    }
    return r;
}

uint64_t registry_revision(struct registry *registry)
{
    return snapshot_newest(registry);
}

void registry_on_revision(struct registry *registry, uint64_t revision)
{
    wait_wake(registry, revision, clock_mono_ms());
}

void registry_on_tick(struct registry *registry)
{
    uint64_t now = clock_mono_ms();

    atomic_store(&registry->ticked_ms, now);
    wait_wake(registry, core_revision(registry->core), now);
    asks_tick(registry->asks, now);
    leading_tick(registry);
    leader_tick(registry->leader, now);
    own_tick(registry->own, now);
}
