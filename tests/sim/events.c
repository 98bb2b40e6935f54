/* The queue of what will happen, and the loop over it. Two things at the same
 * time happen in the order in which they were planned. */
#include "sim.h"

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct events *events, struct happening event)
{
    if (events->n == events->room) {
        events->room = events->room == 0 ? 256 : events->room * 2;
        events->heap =
            mem_grow(events->heap, events->room * sizeof *events->heap);
    }
    size_t i = events->n++;
    while (i > 0 && before(&event, &events->heap[(i - 1) / 2])) {
        events->heap[i] = events->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    events->heap[i] = event;
}

static struct happening pop(struct events *events)
{
    struct happening first = events->heap[0];
    struct happening last = events->heap[--events->n];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= events->n) {
            break;
        }
        if (child + 1 < events->n &&
            before(&events->heap[child + 1], &events->heap[child])) {
            child++;
        }
        if (!before(&events->heap[child], &last)) {
            break;
        }
        events->heap[i] = events->heap[child];
        i = child;
    }
    if (events->n > 0) {
        events->heap[i] = last;
    }
    return first;
}

void sim_free(void *p)
{
    (void)mem_free(p);
}

void sim_after(struct sim *sim, uint64_t delay_ms, struct node *node,
               uint64_t life, event_func *run, void *arg,
               void (*release)(void *))
{
    push(&sim->events, (struct happening){.at = sim->now + delay_ms,
                                          .seq = sim->events.seq++,
                                          .sim = sim,
                                          .node = node,
                                          .life = life,
                                          .run = run,
                                          .arg = arg,
                                          .release = release});
}

static void happen(struct sim *sim, const struct happening *event)
{
    struct node *node = event->node;

    if (node == NULL ||
        (node->up && (event->life == 0 || event->life == node->life))) {
        sim->stats.events++;
        if (node != NULL) {
            heap_enter(&node->heap);
        }
        event->run(node, event->arg);
        if (node != NULL && node->up) {
            node_turn(node);
        }
    }
    if (event->release != NULL) {
        event->release(event->arg);
    }
}

void sim_run(struct sim *sim, uint64_t until)
{
    while (!sim->failed && sim->events.n > 0 &&
           sim->events.heap[0].at <= until) {
        struct happening event = pop(&sim->events);
        sim->now = event.at;
        /* A process that stands still does it when it goes on, in order. */
        if (event.node != NULL && event.node->stalled_until > sim->now) {
            event.at = event.node->stalled_until;
            push(&sim->events, event);
            continue;
        }
        happen(sim, &event);
    }
    if (!sim->failed && sim->now < until) {
        sim->now = until;
    }
}
