/* Who is due when: a heap. Pure; one thread.
 *
 * Putting and taking out cost O(log n), the first is at hand. */
#ifndef REST_DUE_H
#define REST_DUE_H

#include <stddef.h>
#include <stdint.h>

/* Member of whoever waits; {0} is in none. */
struct rest_due {
    uint64_t at_ms;
    size_t place; /* from 1 on; 0: in none */
};

/* {0} is an empty one. */
struct rest_dues {
    struct rest_due **heap; /* [1] is the first */
    size_t n, room;
};

/* Nobody is in it any more. */
void rest_dues_done(struct rest_dues *dues);
/* One that is in none. */
void rest_dues_add(struct rest_dues *dues, struct rest_due *due,
                   uint64_t at_ms);
/* Also one that is in none. */
void rest_dues_remove(struct rest_dues *dues, struct rest_due *due);
/* The first to be due, NULL when there is none. It stays in. */
struct rest_due *rest_dues_first(const struct rest_dues *dues);

/* When one is due that waits from now on: after `wait_ms`, shortened by up to a
 * tenth. Who begins together does not end together; but those of one moment are
 * due together, so that what is done for them is done once. `chance`: any
 * number. */
uint64_t rest_due_at(uint64_t now_ms, uint64_t wait_ms, uint64_t chance);

#endif
