#include <assert.h>
#include <sys/eventfd.h>

#include "peer/inside.h"

/* A reply may come when its connection, or the whole peer, is gone. So a call
 * names its connection by a number, and what it is pushed to is held by the
 * calls too: the last of them ends it. */

struct replies *replies_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    struct replies *replies = mem_zero(sizeof *replies);
    atomic_init(&replies->refs, 1);
    replies->fd = fd;
    return replies;
}

struct peer_called *called_free(struct peer_called *called)
{
    buf_done(&called->reply);
    return mem_free(called);
}

static void discard(struct replies *replies)
{
    struct queue_link *link = queue_take(&replies->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        (void)called_free(CONTAINER(link, struct peer_called, link));
        link = next;
    }
}

void replies_unref(struct replies *replies)
{
    if (replies != NULL && atomic_fetch_sub(&replies->refs, 1) == 1) {
        discard(replies);
        (void)socket_close(replies->fd);
        mem_free(replies);
    }
}

struct peer_called *called_new(struct replies *replies, uint64_t number)
{
    struct peer_called *called = mem_zero(sizeof *called);

    (void)atomic_fetch_add(&replies->refs, 1);
    called->replies = replies;
    called->number = number;
    return called;
}

void peer_reply(struct peer_called *called, struct str reply)
{
    struct replies *replies = called->replies;

    assert(reply.n <= PEER_CALL_MOST);
    buf_add_le(&called->reply, reply.n, SHAKE_SIZE);
    buf_add_str(&called->reply, reply);
    /* From here on it belongs to the queue. */
    if (queue_push(&replies->queue, &called->link)) {
        event_raise(replies->fd);
    }
    replies_unref(replies);
}
