/* What operations on agents share. Private to the room. */
#ifndef REGISTRY_AGENTS_H
#define REGISTRY_AGENTS_H

#include "model/name.h"
#include "registry/room.h"

/* More agents are listed by a worker. */
#define AGENTS_QUICK 1000

void agents_at_set(struct agents_at *at, struct str hostname);
struct str agents_at_str(const struct agents_at *at);

/* 400 for what can be no hostname. */
int agents_check_host(struct op_state *s, struct str hostname,
                      const char *field) MUST_USE;
/* Appends "path":"id", with a comma in front unless *first; nothing when the
 * namespace has gone. */
int agents_add_placement(struct store_txn *txn, uint64_t ns, struct ulid id,
                         bool *first, struct buf *out) MUST_USE;

/* ---- live.c: what only the leader's lease table knows ---- */

/* A body without it, and where it goes. In s->memory, ends with live_end. */
struct live {
    struct str text;
    struct buf marks;
    struct buf known; /* NAMES_LIVE_BYTES for each mark, as far as told */
    size_t n_asked;
};
/* What is known of a hostname goes to the end of `text`, which ends with that
 * name as JSON. */
void live_mark(struct live *live, const struct buf *text, struct str hostname);
/* Find it out and answer. */
int live_answer(struct op_state *s, struct live *live);
/* Appends what is known of a lease: NAMES_LIVE_BYTES. */
void live_look(struct lease_table *leases, struct str hostname,
               struct buf *out);

#endif
