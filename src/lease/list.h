/* An intrusive ring of links: a lease always stands in exactly one, so leaving
 * one needs no search and no knowledge of which. All O(1), under the lock of
 * the shard that owns the leases. */
#ifndef LEASE_LIST_H
#define LEASE_LIST_H

#include <stdbool.h>

struct lease_link {
    struct lease_link *prev, *next;
};

static inline void lease_list_init(struct lease_link *list)
{
    list->prev = list->next = list;
}

static inline bool lease_list_empty(const struct lease_link *list)
{
    return list->next == list;
}

/* The link stands alone afterwards. */
static inline void lease_list_remove(struct lease_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    lease_list_init(link);
}

/* Leaves the list it stands in. */
static inline void lease_list_append(struct lease_link *list,
                                     struct lease_link *link)
{
    lease_list_remove(link);
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

/* All of `from` goes behind all of `list`. */
static inline void lease_list_splice(struct lease_link *list,
                                     struct lease_link *from)
{
    if (lease_list_empty(from)) {
        return;
    }
    from->next->prev = list->prev;
    list->prev->next = from->next;
    from->prev->next = list;
    list->prev = from->prev;
    lease_list_init(from);
}

#endif
