#include "lease/lease.h"

#include <assert.h>
#include <pthread.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "lease/shard.h"

enum { SHARDS = 64 };

struct lease_table {
    uint64_t seed; /* hostnames are chosen by strangers */
    /* The core's own. */
    bool serving;
    struct lease_clock clock;
    size_t turn; /* the shard the next tick begins with */
    struct lease_shard shards[SHARDS];
};

struct lease_table *lease_table_new(void)
{
    struct lease_table *table = mem_zero(sizeof *table);

    table->seed = chance_u64();
    for (size_t i = 0; i < SHARDS; i++) {
        lease_shard_init(&table->shards[i]);
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

void lease_table_serve(struct lease_table *table, uint64_t mono_ms)
{
    lease_clock_restart(&table->clock, mono_ms);
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
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        lease_shard_clear(shard);
        unlock(shard);
    }
}

void lease_table_put(struct lease_table *table,
                     const struct machine_lease *told, uint64_t mono_ms)
{
    uint32_t hash = 0;
    struct lease_shard *shard = lock_shard_of(table, told->hostname, &hash);
    struct lease *lease = lease_shard_find(shard, told->hostname, hash);
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
        lease_shard_renew(shard, lease, told->ttl_ms, told->registered,
                          lease_shard_now(shard, mono_ms));
    }
    unlock(shard);
}

void lease_table_del(struct lease_table *table, struct str hostname,
                     struct ulid id)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = lock_lease(table, hostname, &lease);

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        shard->n_expired += lease->ending;
        lease_shard_remove(shard, lease);
    }
    unlock(shard);
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

static struct lease_info info_of(const struct lease *lease, bool serving,
                                 uint64_t now)
{
    bool heard = lease->heard && serving;

    return (struct lease_info){
        .id = lease->id,
        .ttl_ms = lease->ttl_ms,
        .serving = serving,
        .state =
            serving && lease_is_late(lease, now) ? LEASE_SUSPECT : LEASE_ALIVE,
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
        *ret_info =
            info_of(lease, shard->serving, lease_shard_now(shard, mono_ms));
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

static size_t tick_shard(struct lease_shard *shard,
                         const struct lease_clock *clock, size_t limit,
                         struct buf *found)
{
    size_t n = 0;

    lock(shard);
    shard->clock = *clock;
    lease_shard_advance(shard);
    while (n < limit) {
        struct lease *lease = lease_shard_next_due(shard);
        if (lease == NULL) {
            break;
        }
        note_due(found, lease);
        n++;
    }
    unlock(shard);
    return n;
}

size_t lease_tick(struct lease_table *table, uint64_t mono_ms, size_t limit,
                  lease_due_func *due, void *user)
{
    struct buf found = {0};
    size_t n = 0;

    if (!table->serving) {
        return 0;
    }
    lease_clock_tick(&table->clock, mono_ms);
    size_t first = table->turn;
    for (size_t i = 0; i < SHARDS; i++) {
        size_t at = (first + i) % SHARDS;
        size_t left = limit - n;
        n += tick_shard(&table->shards[at], &table->clock, left, &found);
        if (left > 0 && n == limit) {
            /* Next time begin behind the last one served, so that leases that
             * are spared again and again cannot starve the others. */
            table->turn = (at + 1) % SHARDS;
        }
    }
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
        due = shard->serving && lease->ending &&
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

struct lease_stats lease_stats(struct lease_table *table, uint64_t mono_ms)
{
    struct lease_stats stats = {0};

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
