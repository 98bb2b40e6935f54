/* Whether those who wait are still who they were, and may see what they might.
 *
 * When somebody's access changes, each loop looks at its watchers again, some
 * hundreds a turn; until that is done nobody of the loop is told anything. So
 * what comes behind the change is judged by what holds behind it.
 *
 * Invariants
 *   [JUDGE-1] what was taken from the hub or the store is sent only when the
 *             registry's access mark, looked at afterwards, is the one at which
 *             whoever gets it was looked up: the mark moves before a change can
 *             be seen, so nothing that came behind it is among it.
 *
 * One thread: the loop's. Private to the room. */
#ifndef REST_JUDGE_H
#define REST_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "access/access.h"
#include "rest/due.h"
#include "rest/ring.h"

struct rest_loop;
struct rest_judged;

/* He may see something else now, or is nobody any more: `who` is who he is. May
 * end this one, and no other. */
typedef void rest_judged_func(struct rest_judged *judged);

/* Member of whoever waits. {.func} is one that is in no loop. */
struct rest_judged {
    struct rest_ring ring; /* all of a loop */
    struct rest_due due;   /* when his time is over */
    struct access_who *who;
    uint64_t mark; /* of access, when he was looked up */
    rest_judged_func *func;
};

/* One of a loop. */
struct rest_judge {
    struct rest_ring all;
    struct rest_ring end; /* behind the last of this round; in none: no round */
    struct rest_dues dues;
    uint64_t mark;  /* everybody was looked up at */
    uint64_t round; /* and is being looked up at */
};

enum rest_verdict {
    REST_STANDS, /* nothing has changed */
    REST_OTHER,  /* `func` was told; it may be gone */
    REST_LATER,  /* what has changed cannot be read yet */
};

/* Nobody is in it; `mark`: the registry's. */
void rest_judge_init(struct rest_judge *judge, uint64_t mark);
/* Nobody is in it any more. */
void rest_judge_done(struct rest_judge *judge);
/* Who was looked up at that mark. When it is not the registry's, he is looked
 * up anew before anybody is told anything. */
void rest_judge_add(struct rest_loop *loop, struct rest_judged *judged,
                    struct access_who *who, uint64_t mark);
/* Also one that is not in. */
void rest_judge_remove(struct rest_loop *loop, struct rest_judged *judged);
/* Looks at some more of those whose access may have changed, and at whose time
 * is over. Only when nobody is in the middle of being told something. True:
 * that was all. */
bool rest_judge_turn(struct rest_loop *loop);
/* Whether everybody is who he was. */
bool rest_judge_is_done(const struct rest_loop *loop);
/* Whether this one is who he was. */
bool rest_judge_stands(const struct rest_loop *loop,
                       const struct rest_judged *judged);
/* Looks at one now. */
enum rest_verdict rest_judge_one(struct rest_loop *loop,
                                 struct rest_judged *judged);
/* Milliseconds until a turn is due; UINT64_MAX: none. */
uint64_t rest_judge_next(const struct rest_loop *loop, uint64_t now_ms);

#endif
