/* Short ways to write lists, rules and somebody. Include first. */
#ifndef ACCESS_KIT_H
#define ACCESS_KIT_H

#include "../store/store_test.h"
#include "access/access.h"

#define NAMES(...)                                                             \
    ((struct access_names){.items = (const struct str[]){__VA_ARGS__},         \
                           .n = sizeof((const struct str[]){__VA_ARGS__}) /    \
                                sizeof(struct str)})
#define NO_NAMES ((struct access_names){NULL, 0})

#define WHO CLEANUP(access_unrefp) struct access_who
#define ARENA CLEANUP(arena_freep) struct arena

static inline void access_unrefp(struct access_who **who)
{
    *who = access_unref(*who);
}

/* Somebody with these grants; `txn` as in access_make. */
static inline struct access_who *granted(struct store_txn *txn,
                                         struct access_names grants)
{
    const struct access_made made = {.kind = ACCESS_TOKEN, .grants = grants};
    struct access_who *who = NULL;

    assert_int_equal(access_make(txn, &made, &who), 0);
    return who;
}

/* Somebody who may do this on that in there, and nothing else. */
static inline struct access_who *allowed(unsigned verbs, struct str target,
                                         struct str ns)
{
    const struct access_rule rule = {(uint8_t)verbs, ns, NAMES(target)};
    const struct access_made made = {
        .kind = ACCESS_TOKEN, .rules = &rule, .n_rules = 1};
    struct access_who *who = NULL;

    assert_int_equal(access_make(NULL, &made, &who), 0);
    return who;
}

#endif
