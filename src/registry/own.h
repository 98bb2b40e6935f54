/* This node's own token, in the state: so any node takes it (this one knows it
 * by itself, see callers.h). What the state has instead, an older one of this
 * node, or nothing after a restore, is put right as soon as there is a leader.
 * Private to the room. */
#ifndef REGISTRY_OWN_H
#define REGISTRY_OWN_H

#include "registry/room.h"

struct own *own_new(struct core *core) MUST_USE;
/* After core_run. */
struct own *own_free(struct own *own);
/* From now on it is this one. Core thread, or before it runs. Answers: INVALID
 * (no token). */
int own_set(struct own *own, const char *node, struct str text) MUST_USE;
/* Core thread. */
void own_tick(struct own *own, uint64_t mono_ms);

#endif
