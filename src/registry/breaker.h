/* The breaker, as it is asked and told. Private to the room. */
#ifndef REGISTRY_BREAKER_H
#define REGISTRY_BREAKER_H

#include "registry/room.h"

/* What the leader says of it, see breaker.c. Answers: BUSY (it serves not). */
int breaker_write(struct registry *registry, struct buf *reply) MUST_USE;
void breaker_metrics(struct registry *registry, struct buf *out);

#endif
