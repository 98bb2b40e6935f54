/* What the files of this room share. Private. */
#ifndef ACCESS_INSIDE_H
#define ACCESS_INSIDE_H

#include "access/access.h"
#include "base/sha256.h"

/* One verb or several on one target, in a namespace and below. */
struct may {
    struct str ns; /* "": the root */
    struct str target;
    uint8_t verbs;
};

struct mays {
    struct may *items;
    size_t n, room;
};

/* It may what `own` gives and, where it is limited, `limit` too. Sorted, each
 * pair of target and namespace once. */
struct access_rules {
    struct mays own, limit;
    bool limited;
    uint8_t hash[SHA256_BYTES]; /* of the token it came from */
};

/* ---- rules.c ---- */

/* Whether the namespace is `above` or below it, by whole labels. */
bool access_is_at(struct str ns, struct str above) MUST_USE;
/* Adds what the rules give in the subtree `ns`. Texts are lent. */
void access_gather(struct arena *arena, struct mays *mays,
                   const struct access_rule *rules, size_t n, struct str ns,
                   struct str domain);
/* One order for one content. */
void access_settle(struct mays *mays);

/* ---- roles.c ---- */
/* In order of names; p == NULL: the first. Static; NULL: no more. */
const struct access_role *access_builtin_after(struct str after);

/* ---- stored.c ---- */
/* Calls for each group the user is a member of; what is in `group` is good for
 * the call. Stops at the first that is not 0. */
typedef int access_group_func(void *context, struct arena *arena,
                              const struct access_group *group);
int access_groups_each(struct store_txn *txn, struct arena *arena,
                       struct str user, access_group_func *func,
                       void *context) MUST_USE;

/* ---- who.c ---- */
/* Gives *ret_who, with copies of all. */
struct access_who *access_pack(const struct access_made *made,
                               const struct access_rules *rules,
                               uint64_t access_rev) MUST_USE;

#endif
