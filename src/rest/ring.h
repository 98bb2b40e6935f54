/* A list with a head that whoever is in it leaves by himself, without knowing
 * which list it is. */
#ifndef REST_RING_H
#define REST_RING_H

#include <stdbool.h>
#include <stddef.h>

/* Head or member. A head begins with rest_ring_init, a member is {0} while it
 * is in none. */
struct rest_ring {
    struct rest_ring *prev, *next;
};

static inline void rest_ring_init(struct rest_ring *head)
{
    head->prev = head->next = head;
}

static inline bool rest_ring_is_empty(const struct rest_ring *head)
{
    return head->next == head;
}

/* Also one that is in none. */
static inline void rest_ring_remove(struct rest_ring *member)
{
    if (member->next != NULL) {
        member->prev->next = member->next;
        member->next->prev = member->prev;
        member->prev = member->next = NULL;
    }
}

/* At the end. One that is in none. */
static inline void rest_ring_add(struct rest_ring *head,
                                 struct rest_ring *member)
{
    member->prev = head->prev;
    member->next = head;
    head->prev->next = member;
    head->prev = member;
}

/* All of `from` go behind those of `to`. O(1). */
static inline void rest_ring_move(struct rest_ring *to, struct rest_ring *from)
{
    if (!rest_ring_is_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        rest_ring_init(from);
    }
}

#endif
