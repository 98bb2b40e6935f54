/* Which of some names was probably meant by a wrong one.
 *
 *     struct near near = near_to(wrong);
 *     near_try(&near, "tree");
 *     near_try(&near, "types");
 *     if (near.name != NULL) ... "did you mean %s?" */
#ifndef BASE_NEAR_H
#define BASE_NEAR_H

#include "base/mem.h"

struct near {
    const char *name; /* lent; NULL while nothing is near */
    struct str wrong;
    size_t distance;
};

struct near near_to(struct str wrong) MUST_USE;
/* `name` must live as long as the answer is used. The first of equals wins. */
void near_try(struct near *near, const char *name);

#endif
