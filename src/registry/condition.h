/* If-Match and If-None-Match (RFC 9110 13.1): revisions as entity tags.
 *
 *   "123"  "123-gz"     both name revision 123 (one per encoding)
 *   W/"123"             weak: never good for If-Match
 *   "abc"               somebody else's tag: valid, matches nothing
 *   *                   whatever there is */
#ifndef REGISTRY_CONDITION_H
#define REGISTRY_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct condition {
    bool any;
    uint64_t *revs; /* in the arena */
    bool *gzips;    /* of each: whether it is a compressed form's tag */
    size_t n;
};

/* `weak_counts`: weak comparison, for If-None-Match. Answers: INVALID. */
int condition_parse(struct arena *arena, struct str header, bool weak_counts,
                    struct condition *ret_condition) MUST_USE;
/* The tag of that form. */
bool condition_has(const struct condition *condition, uint64_t revision,
                   bool gzip);

#endif
