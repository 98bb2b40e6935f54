/* Ops that wait until this node has seen a revision. Private to the room. */
#ifndef REGISTRY_WAIT_H
#define REGISTRY_WAIT_H

#include "registry/room.h"

#define WAIT_REVISION_MS 2000

/* WAITS, or 0 when the revision is there already. */
int wait_revision(struct op_state *s) MUST_USE;
/* Wake those who have waited enough: the revision came, or their time is up. */
void wait_wake(struct registry *registry, uint64_t revision, uint64_t mono_ms);

#endif
