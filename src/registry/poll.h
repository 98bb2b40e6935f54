/* Reads that are answered when there is something newer than the client has
 * (?since=N). Private to the room.
 *
 * A list has a revision of its own, and looking at it costs next to nothing: it
 * is looked at anew whenever something came that may concern it. A search has
 * none: its revision exceeds N when what came behind N concerns it, which the
 * history knows. */
#ifndef REGISTRY_POLL_H
#define REGISTRY_POLL_H

#include "registry/room.h"

/* Whether it may be parked at all. */
bool poll_waits(const struct op_state *s);
/* Whether it is, at a revision of its own in a state at `seen`. Not one whose
 * `since` is beyond that: nobody knows what it has. */
bool poll_parks(const struct op_state *s, uint64_t revision, uint64_t seen);
/* Park a list, that stood still up to `from`. Always PARKS. */
int poll_list(struct op_state *s, uint64_t from);
/* Whether a search begins with a look that needs no worker. */
bool poll_is_quick(const struct op_state *s);
/* Whether a search below `top` has anything newer: 0 (or it cannot be known),
 * PARKS, ANSWERED (no such namespace), NEEDS_WORKER (from here on). */
int poll_search(struct op_state *s, struct str top,
                enum pattern_mode mode) MUST_USE;

#endif
