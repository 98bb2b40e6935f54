/* What operations on agents share. Private to the room. */
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

/* 400 for what can be no hostname. */
int agents_check_host(struct op_state *s, struct str hostname,
                      const char *field) MUST_USE;
/* Appends "path":"id", with a comma in front unless *first; nothing when the
 * namespace has gone. */
int agents_add_placement(struct store_txn *txn, uint64_t ns, struct ulid id,
                         bool *first, struct buf *out) MUST_USE;

#endif
