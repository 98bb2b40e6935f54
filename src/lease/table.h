/* The table as the files of this room know it. Private. */
#ifndef LEASE_TABLE_H
#define LEASE_TABLE_H

#include "lease/breaker.h"
#include "lease/lease.h"
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

static inline void lock(struct lease_shard *shard)
{
    (void)pthread_mutex_lock(&shard->lock);
}

static inline void unlock(struct lease_shard *shard)
{
    (void)pthread_mutex_unlock(&shard->lock);
}

static inline void lock_scopes(struct lease_table *table)
{
    (void)pthread_mutex_lock(&table->scopes.lock);
}

static inline void unlock_scopes(struct lease_table *table)
{
    (void)pthread_mutex_unlock(&table->scopes.lock);
}

/* The shard that a hostname belongs to, locked. */
struct lease_shard *table_lock_shard(struct lease_table *table,
                                     struct str hostname, uint32_t *ret_hash);
/* The same, with the lease; *ret_lease NULL when there is none. */
struct lease_shard *table_lock_lease(struct lease_table *table,
                                     struct str hostname,
                                     struct lease **ret_lease);

#endif
