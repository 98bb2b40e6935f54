#include "cache/list.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/queue.h"

struct counted {
    _Atomic uint64_t n_refs;
    struct cache_list list;
    char *bytes;
    _Atomic enum cache_gzip gzip_stage;
    struct buf gzip; /* written before the stage is MADE, never after */
};

static struct counted *counted(const struct cache_list *list)
{
    return CONTAINER(list, struct counted, list);
}

/* What is spare in a buffer would be spare for as long as it is cached. */
static void fit(struct buf *body)
{
    if (body->room > body->n) {
        body->p = mem_grow(body->p, body->n);
        body->room = body->n;
    }
}

const struct cache_list *cache_list_new(uint64_t revision, uint64_t count,
                                        struct buf *body)
{
    struct counted *made = mem_alloc(sizeof *made);

    fit(body);
    made->bytes = body->p;
    made->list = (struct cache_list){
        .revision = revision,
        .count = count,
        .body = {made->bytes, body->n},
    };
    atomic_init(&made->n_refs, 1);
    atomic_init(&made->gzip_stage, made->list.body.n < CACHE_GZIP_LEAST
                                       ? CACHE_GZIP_NEVER
                                       : CACHE_GZIP_NONE);
    made->gzip = (struct buf){0};
    *body = (struct buf){0};
    return &made->list;
}

const struct cache_list *cache_list_ref(const struct cache_list *list)
{
    uint64_t before = atomic_fetch_add_explicit(&counted(list)->n_refs, 1,
                                                memory_order_relaxed);
    assert(before > 0);
    return list;
}

const struct cache_list *cache_unref(const struct cache_list *list)
{
    if (list == NULL) {
        return NULL;
    }
    struct counted *held = counted(list);
    /* acq_rel: whoever frees must see that all others are done reading. */
    uint64_t before =
        atomic_fetch_sub_explicit(&held->n_refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        mem_free(held->bytes);
        buf_done(&held->gzip);
        mem_free(held);
    }
    return NULL;
}

uint64_t cache_list_size(const struct cache_list *list)
{
    return sizeof(struct counted) + list->body.n + cache_list_gzip_size(list);
}

uint64_t cache_list_gzip_size(const struct cache_list *list)
{
    struct str body;

    return cache_gzip_get(list, &body) == CACHE_GZIP_MADE ? body.n : 0;
}

enum cache_gzip cache_gzip_get(const struct cache_list *list,
                               struct str *ret_body)
{
    const struct counted *held = counted(list);

    enum cache_gzip stage =
        atomic_load_explicit(&held->gzip_stage, memory_order_acquire);
    if (stage == CACHE_GZIP_MADE) {
        *ret_body = (struct str){held->gzip.p, held->gzip.n};
    }
    return stage;
}

bool cache_gzip_claim(const struct cache_list *list)
{
    enum cache_gzip none = CACHE_GZIP_NONE;

    return atomic_compare_exchange_strong(&counted(list)->gzip_stage, &none,
                                          CACHE_GZIP_CLAIMED);
}

void cache_gzip_unclaim(const struct cache_list *list)
{
    enum cache_gzip claimed = CACHE_GZIP_CLAIMED;

    bool was = atomic_compare_exchange_strong(&counted(list)->gzip_stage,
                                              &claimed, CACHE_GZIP_NONE);
    assert(was);
}

void cache_list_end_gzip(const struct cache_list *list, struct buf *body)
{
    struct counted *held = counted(list);

    assert(atomic_load(&held->gzip_stage) == CACHE_GZIP_CLAIMED);
    if (body != NULL) {
        fit(body);
        held->gzip = *body;
        *body = (struct buf){0};
    }
    atomic_store_explicit(&held->gzip_stage,
                          body != NULL ? CACHE_GZIP_MADE : CACHE_GZIP_NEVER,
                          memory_order_release);
}
