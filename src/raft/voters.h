/* Who should vote: rules, as functions of what a leader sees.
 *
 * The number of voters is kept odd, at most `most`: an even one needs a voter
 * more for its majority and survives no more of them. Nothing is done that
 * would leave fewer than a majority of the voters alive, counted after the
 * change, since it is the new list that has to agree to it.
 *
 *   odd, a voter gone, a learner ready      promote it, then demote the gone
 *   odd, two more fit, two learners ready   promote both, one after the other
 *   even, below `most`, a learner ready     promote it (a change half done)
 *   even, above `most`                      demote: the gone, the silent, the
 * last even, a voter gone, no learner ready    demote it even otherwise leave
 * it: an operator removed one, and two copies are more than one */
#ifndef RAFT_VOTERS_H
#define RAFT_VOTERS_H

#include <stdbool.h>
#include <stddef.h>

struct voter {
    bool votes;
    bool leads;
    bool alive; /* heard a moment ago; the leader always is */
    bool gone;  /* silent for longer than an operator wants to wait */
    bool ready; /* a learner that is alive and has caught up */
};

enum voters_step { VOTERS_STAY, VOTERS_PROMOTE, VOTERS_DEMOTE };

/* *ret_at is set unless it is STAY. */
enum voters_step voters_next(const struct voter *list, size_t n, size_t most,
                             size_t *ret_at);

/* NULL when the member at `at` may be removed, else why not. */
const char *voters_keep(const struct voter *list, size_t n, size_t at);

#endif
