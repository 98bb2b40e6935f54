#include "lease/lease.h"

#include <assert.h>
#include <pthread.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "lease/breaker.h"
#include "lease/shard.h"

enum { SHARDS = 64 };

struct lease_table {
    uint64_t seed; /* hostnames are chosen by strangers */
    /* The core's own. */
    bool serving;
    struct lease_clock clock;
    size_t turn; /* the shard the next tick begins with */
    bool moved;  /* namespaces did: scopes are to be read anew */
    struct lease_breaker breaker;
    struct lease_scopes scopes;
    struct lease_shard shards[SHARDS];
};

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

static void lock(struct lease_shard *shard)
{
    (void)pthread_mutex_lock(&shard->lock);
}

static void unlock(struct lease_shard *shard)
{
    (void)pthread_mutex_unlock(&shard->lock);
}

static void lock_scopes(struct lease_table *table)
{
    (void)pthread_mutex_lock(&table->scopes.lock);
}

static void unlock_scopes(struct lease_table *table)
{
    (void)pthread_mutex_unlock(&table->scopes.lock);
}

/* The upper bits choose the shard, the lower ones the bucket in it. */
static struct lease_shard *lock_shard_of(struct lease_table *table,
                                         struct str hostname,
                                         uint32_t *ret_hash)
{
    uint64_t hash = XXH3_64bits_withSeed(hostname.p, hostname.n, table->seed);
    struct lease_shard *shard = &table->shards[(hash >> 32) % SHARDS];

    lock(shard);
    *ret_hash = (uint32_t)hash;
    return shard;
}

/* The lease of that hostname and its shard, locked; *ret_lease NULL when there
 * is none. */
static struct lease_shard *lock_lease(struct lease_table *table,
                                      struct str hostname,
                                      struct lease **ret_lease)
{
    uint32_t hash = 0;
    struct lease_shard *shard = lock_shard_of(table, hostname, &hash);

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

void lease_table_clear(struct lease_table *table)
{
    lock_scopes(table);
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        lease_shard_clear(shard);
        unlock(shard);
    }
    lease_breaker_clear(&table->breaker);
    unlock_scopes(table);
}

void lease_table_put(struct lease_table *table,
                     const struct machine_lease *told, uint64_t mono_ms)
{
    uint32_t hash = 0;
    lock_scopes(table);
    struct lease_set *set =
        lease_scopes_set(&table->scopes, told->scopes, told->n_scopes);
    struct lease_shard *shard = lock_shard_of(table, told->hostname, &hash);
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
    struct lease_shard *shard = lock_lease(table, hostname, &lease);

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        shard->n_expired += lease->ending;
        lease_shard_remove(shard, lease);
    }
    unlock(shard);
    unlock_scopes(table);
}

int lease_heartbeat(struct lease_table *table, struct str hostname,
                    uint64_t mono_ms)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = lock_lease(table, hostname, &lease);
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
    struct lease_shard *shard = lock_lease(table, hostname, &lease);
    int r = ERR_NOT_FOUND;

    if (lease != NULL) {
        *ret_info = info_of(shard, lease, lease_shard_now(shard, mono_ms));
        r = 0;
    }
    unlock(shard);
    return r;
}

/* Due leases are copied out of the shard, so that `due` runs without its lock
 * and may use the table:  id (16)  length of hostname (1)  hostname */
static void note_due(struct buf *found, const struct lease *lease)
{
    buf_add(found, &lease->id, sizeof lease->id);
    buf_add(found, &lease->hostname_n, 1);
    buf_add(found, lease->hostname, lease->hostname_n);
}

static void tell_due(const struct buf *found, lease_due_func *due, void *user)
{
    size_t at = 0;

    while (at < found->n) {
        struct ulid id;
        memcpy(&id, found->p + at, sizeof id);
        at += sizeof id;
        size_t n = (uint8_t)found->p[at++];
        due((struct str){found->p + at, n}, id, user);
        at += n;
    }
}

static void advance(struct lease_table *table)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        shard->clock = table->clock;
        lease_shard_advance(shard);
        unlock(shard);
    }
}

static void unpark(struct lease_table *table)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        lease_shard_unpark(shard);
        unlock(shard);
    }
}

static size_t collect_shard(struct lease_table *table,
                            struct lease_shard *shard, size_t limit,
                            struct buf *found)
{
    size_t n = 0;

    lock(shard);
    while (n < limit) {
        struct lease *lease = lease_shard_next_due(shard, &table->breaker);
        if (lease == NULL) {
            break;
        }
        note_due(found, lease);
        n++;
    }
    unlock(shard);
    return n;
}

static size_t collect(struct lease_table *table, size_t limit,
                      struct buf *found)
{
    size_t first = table->turn;
    size_t n = 0;

    for (size_t i = 0; i < SHARDS && n < limit; i++) {
        size_t at = (first + i) % SHARDS;
        n += collect_shard(table, &table->shards[at], limit - n, found);
        if (n == limit) {
            /* Next time begin behind the last one served, so that leases that
             * are spared again and again cannot starve the others. */
            table->turn = (at + 1) % SHARDS;
        }
    }
    return n;
}

/* Before anybody is collected. Heartbeats may lie unread while a process stood
 * still: nothing is concluded from silence in the tick that finds out. */
static void decide(struct lease_table *table, bool stood_still)
{
    lock_scopes(table);
    bool freed = lease_breaker_tick(&table->breaker, table->clock.tick_time,
                                    !stood_still);
    unlock_scopes(table);
    if (freed) {
        unpark(table);
    }
}

size_t lease_tick(struct lease_table *table, uint64_t mono_ms, size_t limit,
                  lease_due_func *due, void *user)
{
    struct buf found = {0};

    if (!table->serving) {
        return 0;
    }
    bool stood_still = lease_clock_overrun(&table->clock, mono_ms) > 0;
    lease_clock_tick(&table->clock, mono_ms);
    advance(table);
    decide(table, stood_still);
    size_t n = collect(table, limit, &found);
    tell_due(&found, due, user);
    buf_done(&found);
    return n;
}

bool lease_still_due(struct lease_table *table, struct str hostname,
                     struct ulid id)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = lock_lease(table, hostname, &lease);
    bool due = false;

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        due = shard->serving && lease->ending && !lease->spared &&
              !atomic_load(&lease_shard_set(shard, lease)->held) &&
              lease_age(lease, shard->clock.tick_time) >= lease->ttl_ms;
        lease_shard_set_ending(shard, lease, due);
    }
    unlock(shard);
    return due;
}

void lease_spare(struct lease_table *table, struct str hostname, struct ulid id)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = lock_lease(table, hostname, &lease);

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        lease_shard_set_ending(shard, lease, false);
    }
    unlock(shard);
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

/* ---- the breaker ---- */

void lease_table_configure(struct lease_table *table,
                           const struct lease_breaker_config *config)
{
    table->breaker.config = *config;
}

void lease_table_config(const struct lease_table *table,
                        struct lease_breaker_config *ret_config)
{
    *ret_config = table->breaker.config;
}

void lease_table_breaker(struct lease_table *table,
                         const struct machine_breaker *told, uint64_t mono_ms)
{
    uint64_t now = lease_clock_now(&table->clock, mono_ms);

    lock_scopes(table);
    bool freed =
        lease_breaker_adopt(&table->breaker, told, table->serving, now);
    unlock_scopes(table);
    if (freed) {
        unpark(table);
    }
}

int lease_table_change(struct lease_table *table,
                       struct lease_breaker_change *ret_change)
{
    return lease_breaker_change(&table->breaker, table->clock.tick_time,
                                ret_change);
}

void lease_table_scopes(struct lease_table *table, struct buf *out)
{
    struct lease_scope *scope = NULL;

    lock_scopes(table);
    while ((scope = lease_scopes_next(&table->scopes, scope)) != NULL) {
        const struct lease_scope_info info = {
            .scope = scope->id,
            .state = scope->state,
            .since_ms = scope->since_ms,
            .until_ms = scope->until_ms,
            .n = scope->counts.n,
            .suspect = scope->counts.suspect,
        };
        buf_add(out, &info, sizeof info);
    }
    unlock_scopes(table);
}

uint64_t lease_table_trips(struct lease_table *table)
{
    return atomic_load(&table->breaker.trips);
}

void lease_table_moved(struct lease_table *table)
{
    table->moved = true;
}

bool lease_table_take_moved(struct lease_table *table)
{
    bool moved = table->moved;

    table->moved = false;
    return moved;
}
