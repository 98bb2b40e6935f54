#include "registry/wait.h"

int wait_revision(struct op_state *s)
{
    struct registry *registry = s->registry;
    int r;

    /* Looked at under the lock: a revision that comes now finds the op in the
     * list, one that came before is seen here. */
    (void)pthread_mutex_lock(&registry->waiting_lock);
    if (core_revision(registry->core) >= s->awaited) {
        r = 0;
    } else {
        s->next = registry->waiting;
        registry->waiting = s;
        r = WAITS;
    }
    (void)pthread_mutex_unlock(&registry->waiting_lock);
    return r;
}

static struct op_state *take_due(struct registry *registry, uint64_t revision,
                                 uint64_t mono_ms)
{
    struct op_state *due = NULL;
    struct op_state **at = &registry->waiting;

    while (*at != NULL) {
        struct op_state *s = *at;
        if (s->awaited > revision && s->until_ms > mono_ms) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->next = due;
        due = s;
    }
    return due;
}

void wait_wake(struct registry *registry, uint64_t revision, uint64_t mono_ms)
{
    (void)pthread_mutex_lock(&registry->waiting_lock);
    struct op_state *due = take_due(registry, revision, mono_ms);
    (void)pthread_mutex_unlock(&registry->waiting_lock);

    while (due != NULL) {
        struct op_state *next = due->next; /* Once woken it may be gone. */
        due->op->wake(due->op);
        due = next;
    }
}
