/* Work on the whole state: a job of the core, and what an operation makes of
 * it. Private to the room.
 *
 *   run: asked ─► WAITS ─► (the core's thread for it) ─► run: job.outcome */
#ifndef REGISTRY_ADMIN_H
#define REGISTRY_ADMIN_H

#include "registry/room.h"

/* In s->memory from the first turn on. */
struct admin {
    struct core_state_job job;
    struct op_state *s;
    struct str path; /* of a file that this op made and nobody took; "" */
    bool counted;    /* as a backup */
    bool holds;      /* the right to restore */
};

/* Always WAITS: the op may be another thread's already. */
int admin_ask(struct op_state *s, struct admin *admin,
              enum core_state_kind kind, const char *path);
/* A job that did not succeed, as a problem or fault. */
int admin_refused(struct op_state *s, const struct admin *admin);
/* Hexadecimal, in the op's arena. */
struct str admin_hex(struct op_state *s, const uint8_t digest[32]);
void admin_metrics(struct registry *registry, struct buf *out);

#endif
