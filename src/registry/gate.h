/* Whether an op may begin at all. Private to the room. */
#ifndef REGISTRY_GATE_H
#define REGISTRY_GATE_H

#include "registry/room.h"

/* Each is 0, or ANSWERED with a problem. This node, whether he may, and what
 * its headers ask for: */
int gate_check(struct op_state *s) MUST_USE;
/* A local read: max_stale. */
int gate_fresh(struct op_state *s) MUST_USE;

#endif
