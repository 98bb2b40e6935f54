/* The overdue of a shard: a queue for each set of scopes, and whose turn it is.
 */
#include <assert.h>

#include "base/queue.h"
#include "lease/shard.h"

static void grow_queues(struct lease_shard *shard, size_t set)
{
    size_t n = shard->n_queues == 0 ? 4 : shard->n_queues;

    while (n <= set) {
        n *= 2;
    }
    shard->queues = mem_grow(shard->queues, n * sizeof(struct lease_queue *));
    memset(shard->queues + shard->n_queues, 0,
           (n - shard->n_queues) * sizeof(struct lease_queue *));
    shard->n_queues = n;
}

static struct lease_queue *queue_of(struct lease_shard *shard, uint16_t set)
{
    if (set >= shard->n_queues) {
        grow_queues(shard, set);
    }
    struct lease_queue *queue = shard->queues[set];
    if (queue == NULL) {
        queue = shard->queues[set] = mem_zero(sizeof *queue);
        lease_list_init(&queue->leases);
        lease_list_init(&queue->link);
        queue->set = set;
    }
    return queue;
}

void lease_shard_queue(struct lease_shard *shard, struct lease *lease)
{
    struct lease_queue *queue = queue_of(shard, lease->set);

    /* It may be parked from when its number was another set's. */
    bool idle = lease_list_empty(&queue->leases) &&
                !atomic_load(&lease_shard_set(shard, lease)->held);

    lease_list_append(&queue->leases, &lease->link);
    if (idle || lease_list_empty(&queue->link)) {
        lease_list_append(&shard->active, &queue->link);
    }
}

void lease_shard_unpark(struct lease_shard *shard)
{
    lease_list_splice(&shard->active, &shard->parked);
}

/* [BREAKER-4] A TTL that began before then begins then: it is unknown when the
 * lease was heard last, in a way that could be told. */
static bool is_given(struct lease_shard *shard, struct lease *lease)
{
    uint64_t floor = lease_shard_set(shard, lease)->floor;

    if (lease->since >= floor) {
        return false;
    }
    lease_shard_renew(shard, lease, lease->ttl_ms, false, floor);
    return true;
}

/* Leaves the queue in the ring where it belongs. NULL: nothing of it may end
 * now. */
static struct lease *take_due(struct lease_shard *shard,
                              struct lease_breaker *breaker,
                              struct lease_queue *queue)
{
    struct lease_set *set = &shard->scopes->sets[queue->set];

    if (atomic_load(&set->held)) {
        lease_list_append(&shard->parked, &queue->link);
        return NULL;
    }
    while (!lease_list_empty(&queue->leases)) {
        struct lease *lease = CONTAINER(queue->leases.next, struct lease, link);
        if (is_given(shard, lease)) {
            continue;
        }
        lease_list_append(&shard->active, &queue->link);
        if (!lease_breaker_pay(breaker, set)) {
            return NULL;
        }
        assert(lease_age(lease, shard->clock.tick_time) >= lease->ttl_ms);
        lease_shard_set_ending(shard, lease, true);
        return lease;
    }
    lease_list_remove(&queue->link);
    return NULL;
}

struct lease *lease_shard_next_due(struct lease_shard *shard,
                                   struct lease_breaker *breaker)
{
    const struct lease_link *waits = NULL;

    while (!lease_list_empty(&shard->active)) {
        struct lease_link *first = shard->active.next;
        if (first == waits) {
            return NULL; /* All were asked. */
        }
        struct lease_queue *queue = CONTAINER(first, struct lease_queue, link);
        struct lease *lease = take_due(shard, breaker, queue);
        if (lease != NULL) {
            return lease;
        }
        bool stays = shard->active.prev == first;
        if (stays && waits == NULL) {
            waits = first;
        }
    }
    return NULL;
}
