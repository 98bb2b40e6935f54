/* A lock that is given in the order it was asked for.
 *
 * The store's writer waits behind readers that open a handle, and they behind
 * it: with a plain mutex a stream of either could starve the other. Any thread;
 * a turn is given back by the thread that took it. */
#ifndef STORE_TURN_H
#define STORE_TURN_H

#include <pthread.h>
#include <stdint.h>

struct turn {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t next;    /* the ticket the next asker gets */
    uint64_t serving; /* the ticket whose turn it is */
};

void turn_init(struct turn *turn);
void turn_done(struct turn *turn);
void turn_take(struct turn *turn);
void turn_give(struct turn *turn);

#endif
