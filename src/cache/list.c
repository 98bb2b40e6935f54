#include "cache/list.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/queue.h"

struct counted {
    _Atomic uint64_t n_refs;
    struct cache_list list;
    char *bytes;
};

static struct counted *counted(const struct cache_list *list)
{
    return CONTAINER(list, struct counted, list);
}

const struct cache_list *cache_list_new(uint64_t revision, uint64_t count,
                                        struct buf *body)
{
    struct counted *made = mem_alloc(sizeof *made);

    /* What is spare in a buffer would be spare for as long as it is cached. */
    made->bytes = body->room > body->n ? mem_grow(body->p, body->n) : body->p;
    made->list = (struct cache_list){
        .revision = revision,
        .count = count,
        .body = {made->bytes, body->n},
    };
    atomic_init(&made->n_refs, 1);
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
        mem_free(held);
    }
    return NULL;
}

uint64_t cache_list_size(const struct cache_list *list)
{
    return sizeof(struct counted) + list->body.n;
}
