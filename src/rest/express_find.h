/* One request of a connection in our hands, and its answer. Private to
 * express.c. */
#ifndef REST_EXPRESS_FIND_H
#define REST_EXPRESS_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "rest/express_run.h"
#include "rest/shared.h"
#include "rest/taken.h"

/* What was found of the next request. */
enum rest_sight {
    HIT,
    NOTHING, /* all that has come is answered */
    MORE,    /* not all was looked at */
    FENCED,  /* its answer is for behind a fence */
    WRITE,   /* it is to be run */
    PART,    /* it has not come whole */
    OTHER,   /* it is for the library */
};

struct rest_hit {
    struct rest_shared *answer; /* held */
    bool known;                 /* it was kept */
    size_t n;                   /* bytes of its request */
};

/* The one that the bytes begin with; `covered` is how many of them came before
 * the fence that is over. HIT, with an answer for the caller to unref, FENCED,
 * PART or OTHER. */
enum rest_sight rest_express_find(struct rest_taken *taken, struct str bytes,
                                  size_t covered,
                                  struct rest_hit *ret_hit) MUST_USE;

/* With something found before a fence: HIT, with the same answer for the caller
 * to unref, when that is good still and the `covered` bytes before the fence
 * are just that read. It is not looked at again. OTHER when a limit refuses it,
 * else MORE. Asked once. */
enum rest_sight rest_express_find_again(struct rest_taken *taken,
                                        size_t covered,
                                        struct rest_hit *ret_hit) MUST_USE;

/* Whether they begin a write, if anything that is not for the library. */
static inline bool rest_express_is_write(struct str bytes)
{
    return bytes.p[0] != 'G';
}
/* The one that the bytes begin with. WRITE, with a request for the caller to
 * release, PART or OTHER. */
enum rest_sight rest_express_find_write(struct rest_taken *taken,
                                        struct str bytes,
                                        struct rest_write *ret_write) MUST_USE;

#endif
