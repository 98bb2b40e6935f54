/* The memory of a simulated process. libraft can only be closed in an orderly
 * way, which is what a crash is not: all it has allocated is taken from it at
 * once, with whatever callbacks it was waiting for. */
#include <stdlib.h>

#include "sim.h"

/* Keeps what follows aligned for any type. */
struct block {
    struct heap_block ring;
    size_t size;
    size_t unused;
};

static struct heap *current;

void heap_enter(struct heap *heap)
{
    current = heap;
}

static void *take(void *data, size_t size)
{
    struct block *block = mem_alloc(sizeof *block + size);

    (void)data;
    block->size = size;
    block->ring.next = current->all.next;
    block->ring.prev = &current->all;
    current->all.next->prev = &block->ring;
    current->all.next = &block->ring;
    return block + 1;
}

static void give(void *data, void *p)
{
    (void)data;
    if (p != NULL) {
        struct block *block = (struct block *)p - 1;
        block->ring.next->prev = block->ring.prev;
        block->ring.prev->next = block->ring.next;
        (void)mem_free(block);
    }
}

static void *take_zero(void *data, size_t n, size_t size)
{
    void *p = take(data, n * size);
    memset(p, 0, n * size);
    return p;
}

static void *regrow(void *data, void *old, size_t size)
{
    void *p = take(data, size);

    if (old != NULL) {
        size_t had = ((struct block *)old - 1)->size;
        memcpy(p, old, had < size ? had : size);
        give(data, old);
    }
    return p;
}

static void *take_aligned(void *data, size_t alignment, size_t size)
{
    (void)alignment;
    return take(data, size);
}

static void give_aligned(void *data, size_t alignment, void *p)
{
    (void)alignment;
    give(data, p);
}

void heap_init(struct heap *heap)
{
    static struct raft_heap methods = {
        .malloc = take,
        .free = give,
        .calloc = take_zero,
        .realloc = regrow,
        .aligned_alloc = take_aligned,
        .aligned_free = give_aligned,
    };

    heap->all.next = heap->all.prev = &heap->all;
    raft_heap_set(&methods);
}

void heap_done(struct heap *heap)
{
    while (heap->all.next != NULL && heap->all.next != &heap->all) {
        give(NULL, (struct block *)heap->all.next + 1);
    }
}
