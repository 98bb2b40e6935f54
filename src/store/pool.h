/* The open handles of namespace databases.
 *
 * Why it is guarded so: LMDB keeps open handles in one table without a lock. A
 * transaction copies that table when it begins and LMDB never looks again, so
 * a handle opened later means nothing to it, and one closed under it means
 * another database's pages. Hence:
 *
 *   [POOL-1] only the holder of the turn adds, publishes and takes out.
 *   [POOL-2] a reader may pin a handle published before its snapshot began
 *            (open_seq <= begin_seq) and no other.
 *   [POOL-3] what is pinned, or touched by the running write transaction, is
 *            not taken out.
 *
 * The lock is held for a look-up, never while LMDB works. */
#ifndef STORE_POOL_H
#define STORE_POOL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"

struct handle; /* opaque */

struct pool {
    pthread_mutex_t lock;
    struct handle *by_ns; /* hash */
    struct handle *lru;   /* list, least recently used first */
    unsigned n;
    _Atomic uint64_t seq; /* of the newest published handle */
};

void pool_init(struct pool *pool);
/* Forgets all; none pinned. */
void pool_done(struct pool *pool);
unsigned pool_count(struct pool *pool);

/* What a reader remembers before its snapshot begins [POOL-2]. */
static inline uint64_t pool_seq(struct pool *pool)
{
    return atomic_load_explicit(&pool->seq, memory_order_acquire);
}

/* Pin for a reader whose snapshot began at `begin_seq`: lends until unpinned.
 * NULL when there is no such handle. */
struct handle *pool_pin(struct pool *pool, uint64_t ns, uint64_t begin_seq,
                        MDB_dbi *ret_dbi) MUST_USE;
void pool_unpin(struct pool *pool, struct handle *handle);

/* ---- the holder of the turn only ---- */

/* For the write transaction number `serial`, which touches it by this. */
bool pool_touch(struct pool *pool, uint64_t ns, uint64_t serial,
                MDB_dbi *ret_dbi) MUST_USE;
/* Add what a write transaction opened; nobody else sees it until published. */
void pool_add(struct pool *pool, uint64_t ns, MDB_dbi dbi, uint64_t serial);
/* Its transaction committed. */
void pool_publish(struct pool *pool, uint64_t ns);
/* Its transaction was undone: LMDB has closed it already. Does nothing when it
 * is not there or was published. */
void pool_forget(struct pool *pool, uint64_t ns);
/* Take the least recently used out, for the caller to close. False when all but
 * younger ones are in use; `serial` as in pool_touch, 0: no write transaction
 * runs. */
bool pool_evict(struct pool *pool, uint64_t serial, MDB_dbi *ret_dbi) MUST_USE;
/* Take this one out, for the caller to close, touched or not. False when a
 * reader pins it. */
bool pool_take_out(struct pool *pool, uint64_t ns) MUST_USE;

#endif
