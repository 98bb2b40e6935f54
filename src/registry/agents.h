/* Walking over all leases. Private to the room. */
#ifndef REGISTRY_AGENTS_H
#define REGISTRY_AGENTS_H

#include "model/name.h"
#include "registry/room.h"

/* More agents are listed by a worker. */
#define AGENTS_QUICK 1000

/* The hostname a walk goes on behind, kept where no arena ends it. */
struct agents_at {
    bool begun;
    size_t n;
    char bytes[NAME_PATH_MAX];
};
void agents_at_set(struct agents_at *at, struct str hostname);
struct str agents_at_str(const struct agents_at *at);

#endif
