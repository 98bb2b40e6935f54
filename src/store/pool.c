#include "store/pool.h"

#include <assert.h>
#include <stddef.h>

/* uthash's own takes any bytes; ids are numbers one apart. */
#define HASH_FUNCTION(key, n, hash)                                            \
    ((hash) = (unsigned)(*(const uint64_t *)(key)*0x9e3779b97f4a7c15u >> 32))
#include <uthash.h>
#include <utlist.h>

#include "base/mem.h"

#define UNPUBLISHED UINT64_MAX

struct handle {
    uint64_t ns;
    MDB_dbi dbi;
    unsigned pins;
    uint64_t open_seq; /* or UNPUBLISHED */
    uint64_t touched;  /* the last write transaction that used it */
    struct handle *prev, *next;
    UT_hash_handle hh;
};

void pool_init(struct pool *pool)
{
    *pool = (struct pool){.by_ns = NULL};
    (void)pthread_mutex_init(&pool->lock, NULL);
}

static struct handle *find(struct pool *pool, uint64_t ns)
{
    struct handle *handle = NULL;
    HASH_FIND(hh, pool->by_ns, &ns, sizeof ns, handle);
    return handle;
}

static void use(struct pool *pool, struct handle *handle)
{
    DL_DELETE(pool->lru, handle);
    DL_APPEND(pool->lru, handle);
}

static void take_out(struct pool *pool, struct handle *handle)
{
    assert(handle->pins == 0 && pool->by_ns != NULL);
    HASH_DEL(pool->by_ns, handle);
    DL_DELETE(pool->lru, handle);
    pool->n--;
    (void)mem_free(handle);
}

void pool_done(struct pool *pool)
{
    while (pool->lru != NULL) {
        take_out(pool, pool->lru);
    }
    (void)pthread_mutex_destroy(&pool->lock);
}

unsigned pool_count(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    unsigned n = pool->n;
    (void)pthread_mutex_unlock(&pool->lock);
    return n;
}

struct handle *pool_pin(struct pool *pool, uint64_t ns, uint64_t begin_seq,
                        MDB_dbi *ret_dbi)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct handle *handle = find(pool, ns);
    if (handle != NULL && handle->open_seq <= begin_seq) {
        handle->pins++;
        use(pool, handle);
        *ret_dbi = handle->dbi;
    } else {
        handle = NULL;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return handle;
}

void pool_unpin(struct pool *pool, struct handle *handle)
{
    (void)pthread_mutex_lock(&pool->lock);
    assert(handle->pins > 0);
    handle->pins--;
    (void)pthread_mutex_unlock(&pool->lock);
}

bool pool_touch(struct pool *pool, uint64_t ns, uint64_t serial,
                MDB_dbi *ret_dbi)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct handle *handle = find(pool, ns);
    if (handle != NULL) {
        handle->touched = serial;
        use(pool, handle);
        *ret_dbi = handle->dbi;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return handle != NULL;
}

void pool_add(struct pool *pool, uint64_t ns, MDB_dbi dbi, uint64_t serial)
{
    struct handle *handle = mem_zero(sizeof *handle);

    handle->ns = ns;
    handle->dbi = dbi;
    handle->open_seq = UNPUBLISHED;
    handle->touched = serial;
    (void)pthread_mutex_lock(&pool->lock);
    assert(find(pool, ns) == NULL);
    HASH_ADD(hh, pool->by_ns, ns, sizeof handle->ns, handle);
    DL_APPEND(pool->lru, handle);
    pool->n++;
    (void)pthread_mutex_unlock(&pool->lock);
}

void pool_publish(struct pool *pool, uint64_t ns)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct handle *handle = find(pool, ns);
    if (handle != NULL && handle->open_seq == UNPUBLISHED) {
        uint64_t seq = pool->seq + 1;
        handle->open_seq = seq;
        atomic_store_explicit(&pool->seq, seq, memory_order_release);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}

void pool_forget(struct pool *pool, uint64_t ns)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct handle *handle = find(pool, ns);
    if (handle != NULL && handle->open_seq == UNPUBLISHED) {
        take_out(pool, handle);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}

bool pool_evict(struct pool *pool, uint64_t serial, MDB_dbi *ret_dbi)
{
    struct handle *handle = NULL;
    bool found = false;

    (void)pthread_mutex_lock(&pool->lock);
    DL_FOREACH(pool->lru, handle)
    {
        if (serial != 0 && handle->touched == serial) {
            /* Behind it are younger ones. To look on would make a transaction
             * over many namespaces take the square of them. */
            break;
        }
        if (handle->pins == 0) {
            assert(handle->open_seq != UNPUBLISHED);
            *ret_dbi = handle->dbi;
            take_out(pool, handle);
            found = true;
            break;
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return found;
}

bool pool_take_out(struct pool *pool, uint64_t ns)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct handle *handle = find(pool, ns);
    bool free_of_pins = handle != NULL && handle->pins == 0;
    if (free_of_pins) {
        take_out(pool, handle);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return free_of_pins;
}
