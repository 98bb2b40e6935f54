/* Generations: the state can be replaced while it is read.
 *
 * Each is an LMDB environment of its own with its own open handles, counted by
 * those who use it: the store (the current one), each reader that has a
 * transaction object in it, copies. The last one to let go closes it, on its
 * own thread; its files may be gone by then, which the system does not mind.
 *
 *      next (opened, stamped)            old (held by who replaced)
 *           └────── store_replace ──► current ───────┘
 *
 * LMDB forbids to open one file twice in a process: a directory that is opened
 * as the next one must be no other's. */
#include <assert.h>

#include "store/kv.h"

struct store_next {
    struct store *store;
    struct kv_gen *gen;
};

struct kv_gen *kv_gen_hold(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    struct kv_gen *gen = atomic_load(&store->current);
    gen->users++;
    (void)pthread_mutex_unlock(&store->lock);
    return gen;
}

void kv_gen_let_go(struct store *store, struct kv_gen *gen)
{
    (void)pthread_mutex_lock(&store->lock);
    bool last = --gen->users == 0;
    (void)pthread_mutex_unlock(&store->lock);
    if (last) {
        pool_done(&gen->pool);
        mdb_env_close(gen->env);
        (void)mem_free(gen->drops.p);
        (void)mem_free(gen);
    }
}

int store_next_open(struct store *store, const char *directory,
                    struct store_next **ret_next)
{
    struct kv_gen *gen = NULL;

    int r = kv_gen_open(store, directory, &gen);
    if (r != 0) {
        return r;
    }
    *ret_next = mem_alloc(sizeof **ret_next);
    **ret_next = (struct store_next){store, gen};
    return 0;
}

struct store_next *store_next_close(struct store_next *next)
{
    if (next != NULL) {
        kv_gen_let_go(next->store, next->gen);
    }
    return mem_free(next);
}

int store_next_begin(struct store_next *next, struct store_txn **ret_txn)
{
    return kv_write_begin(next->store, next->gen, ret_txn);
}

struct store_next *store_replace(struct store_next *next)
{
    struct store *store = next->store;
    struct kv_gen *old = NULL;

    /* No reader opens a handle meanwhile, no writer is under way. */
    turn_take(&store->turn);
    (void)pthread_mutex_lock(&store->lock);
    old = atomic_load(&store->current);
    atomic_store(&store->current, next->gen);
    kv_readers_move(store);
    (void)pthread_mutex_unlock(&store->lock);
    turn_give(&store->turn);
    next->gen = old;
    return next;
}
