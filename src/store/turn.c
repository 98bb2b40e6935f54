#include "store/turn.h"

#include <assert.h>

void turn_init(struct turn *turn)
{
    *turn = (struct turn){.next = 0};
    (void)pthread_mutex_init(&turn->lock, NULL);
    (void)pthread_cond_init(&turn->moved, NULL);
}

void turn_done(struct turn *turn)
{
    assert(turn->next == turn->serving);
    (void)pthread_cond_destroy(&turn->moved);
    (void)pthread_mutex_destroy(&turn->lock);
}

void turn_take(struct turn *turn)
{
    (void)pthread_mutex_lock(&turn->lock);
    uint64_t ticket = turn->next++;
    while (ticket != turn->serving) {
        (void)pthread_cond_wait(&turn->moved, &turn->lock);
    }
    (void)pthread_mutex_unlock(&turn->lock);
}

void turn_give(struct turn *turn)
{
    (void)pthread_mutex_lock(&turn->lock);
    assert(turn->serving < turn->next);
    turn->serving++;
    /* All wake: only one of them holds the ticket, and they are few. */
    (void)pthread_cond_broadcast(&turn->moved);
    (void)pthread_mutex_unlock(&turn->lock);
}
