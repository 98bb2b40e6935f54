#include <assert.h>
#include <pthread.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "lease/table.h"

struct lease_table *lease_table_new(void)
{
    struct lease_table *table = mem_zero(sizeof *table);

    table->seed = chance_u64();
    lease_scopes_init(&table->scopes);
    table->breaker.scopes = &table->scopes;
    for (size_t i = 0; i < SHARDS; i++) {
        lease_shard_init(&table->shards[i], &table->scopes);
    }
    return table;
}

struct lease_table *lease_table_free(struct lease_table *table)
{
    if (table == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        lease_shard_done(&table->shards[i]);
    }
    lease_scopes_done(&table->scopes);
    return mem_free(table);
}

/* The upper bits choose the shard, the lower ones the bucket in it. */
struct lease_shard *table_lock_shard(struct lease_table *table,
                                     struct str hostname, uint32_t *ret_hash)
{
    uint64_t hash = XXH3_64bits_withSeed(hostname.p, hostname.n, table->seed);
    struct lease_shard *shard = &table->shards[(hash >> 32) % SHARDS];

    lock(shard);
    *ret_hash = (uint32_t)hash;
    return shard;
}

/* The lease of that hostname and its shard, locked; *ret_lease NULL when there
 * is none. */
struct lease_shard *table_lock_lease(struct lease_table *table,
                                     struct str hostname,
                                     struct lease **ret_lease)
{
    uint32_t hash = 0;
    struct lease_shard *shard = table_lock_shard(table, hostname, &hash);

    *ret_lease = lease_shard_find(shard, hostname, hash);
    return shard;
}

/* The counts of a term begin while nobody can change them. [SCOPE-2] */
void lease_table_serve(struct lease_table *table, uint64_t mono_ms,
                       uint64_t log_ms)
{
    lease_table_halt(table);
    lease_clock_restart(&table->clock, mono_ms);
    lock_scopes(table);
    lease_breaker_begin(&table->breaker, table->clock.tick_time, log_ms);
    unlock_scopes(table);
    table->serving = true;
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        lease_shard_serve(shard, &table->clock);
        unlock(shard);
    }
}

void lease_table_halt(struct lease_table *table)
{
    table->serving = false;
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        shard->serving = false;
        unlock(shard);
    }
}

bool lease_table_serves(struct lease_table *table)
{
    struct lease_shard *shard = &table->shards[0];

    lock(shard);
    bool serves = shard->serving;
    unlock(shard);
    return serves;
}

bool lease_table_clear_some(struct lease_table *table, size_t *io_shard,
                            size_t *ret_n)
{
    struct lease_shard *shard = &table->shards[*io_shard];
    bool last = ++*io_shard == SHARDS;

    lock_scopes(table);
    lock(shard);
    *ret_n = shard->n;
    lease_shard_clear(shard);
    unlock(shard);
    if (last) {
        lease_breaker_clear(&table->breaker);
    }
    unlock_scopes(table);
    return !last;
}

void lease_table_clear(struct lease_table *table)
{
    size_t shard = 0, n = 0;

    while (lease_table_clear_some(table, &shard, &n)) {
    }
}

void lease_table_put(struct lease_table *table,
                     const struct machine_lease *told, uint64_t mono_ms)
{
    uint32_t hash = 0;
    lock_scopes(table);
    struct lease_set *set =
        lease_scopes_set(&table->scopes, told->scopes, told->n_scopes);
    struct lease_shard *shard = table_lock_shard(table, told->hostname, &hash);
    struct lease *lease = lease_shard_find(shard, told->hostname, hash);
    uint64_t now = lease_shard_now(shard, mono_ms);
    bool begins = told->registered;

    if (lease == NULL) {
        lease = lease_shard_add(shard, told->hostname, hash);
        lease->id = told->id;
        begins = true;
    } else if (ulid_compare(lease->id, told->id) != 0) {
        /* The end that was proposed names the old id: it will find nothing. The
         * end of the same id stays awaited: see lease_still_due. [LEASE-3] */
        lease_shard_set_ending(shard, lease, false);
        lease->id = told->id;
        begins = true;
    }
    if (begins) {
        lease_shard_renew(shard, lease, told->ttl_ms, told->registered, now);
    }
    lease_shard_assign(shard, lease, set, told->spared, now);
    unlock(shard);
    unlock_scopes(table);
}

void lease_table_del(struct lease_table *table, struct str hostname,
                     struct ulid id)
{
    struct lease *lease = NULL;
    lock_scopes(table);
    struct lease_shard *shard = table_lock_lease(table, hostname, &lease);

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        shard->n_expired += lease->ending;
        if (lease->ending) {
            lease_breaker_gone(&table->breaker, lease_shard_set(shard, lease));
        }
        lease_shard_remove(shard, lease);
    }
    unlock(shard);
    unlock_scopes(table);
}

int lease_heartbeat(struct lease_table *table, struct str hostname,
                    uint64_t mono_ms)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = table_lock_lease(table, hostname, &lease);
    int r = 0;

    if (!shard->serving) {
        r = ERR_NOT_READY;
    } else if (lease == NULL) {
        r = ERR_NOT_FOUND;
    } else if (lease->ending) {
        r = ERR_BUSY;
    } else {
        lease_shard_hear(shard, lease, lease_shard_now(shard, mono_ms));
    }
    unlock(shard);
    return r;
}

static enum lease_state state_of(const struct lease_shard *shard,
                                 const struct lease *lease, uint64_t now)
{
    if (!shard->serving || !lease_is_late(lease, now)) {
        return LEASE_ALIVE;
    }
    return !lease->spared && atomic_load(&lease_shard_set(shard, lease)->held)
               ? LEASE_HELD
               : LEASE_SUSPECT;
}

static struct lease_info info_of(const struct lease_shard *shard,
                                 const struct lease *lease, uint64_t now)
{
    bool heard = lease->heard && shard->serving;

    return (struct lease_info){
        .id = lease->id,
        .ttl_ms = lease->ttl_ms,
        .serving = shard->serving,
        .state = state_of(shard, lease, now),
        .heard = heard,
        .last_heartbeat_ms = heard ? lease_age(lease, now) : 0,
    };
}

int lease_get(struct lease_table *table, struct str hostname, uint64_t mono_ms,
              struct lease_info *ret_info)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = table_lock_lease(table, hostname, &lease);
    int r = ERR_NOT_FOUND;

    if (lease != NULL) {
        *ret_info = info_of(shard, lease, lease_shard_now(shard, mono_ms));
        r = 0;
    }
    unlock(shard);
    return r;
}

static uint64_t count_stopped(struct lease_table *table)
{
    uint64_t n = 0;

    if (!lease_table_serves(table)) {
        return 0;
    }
    lock_scopes(table);
    n = lease_scopes_stopped(&table->scopes);
    unlock_scopes(table);
    return n;
}

struct lease_stats lease_stats(struct lease_table *table, uint64_t mono_ms)
{
    struct lease_stats stats = {.stopped = count_stopped(table)};

    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        stats.held += shard->n;
        stats.suspect += shard->serving ? shard->n_suspect : 0;
        stats.ending += shard->serving ? shard->n_ending : 0;
        stats.heartbeats += shard->n_heartbeats;
        stats.expired += shard->n_expired;
        stats.lost_ms = shard->clock.lost_ms;
        if (shard->serving) {
            stats.lost_ms += lease_clock_overrun(&shard->clock, mono_ms);
        }
        unlock(shard);
    }
    return stats;
}
