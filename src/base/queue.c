#include "base/queue.h"

#include <stddef.h>

bool queue_push(struct queue *queue, struct queue_link *link)
{
    struct queue_link *head =
        atomic_load_explicit(&queue->head, memory_order_relaxed);
    do {
        link->next = head;
    } while (!atomic_compare_exchange_weak_explicit(
        &queue->head, &head, link, memory_order_release, memory_order_relaxed));
    return head == NULL;
}

struct queue_link *queue_take(struct queue *queue)
{
    struct queue_link *newest =
        atomic_exchange_explicit(&queue->head, NULL, memory_order_acquire);
    struct queue_link *oldest = NULL;
    while (newest != NULL) {
        struct queue_link *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
