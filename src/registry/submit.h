/* A command on its way through the log, and what came back. Private. */
#ifndef REGISTRY_SUBMIT_H
#define REGISTRY_SUBMIT_H

#include "registry/room.h"

/* So often is a command resolved anew when what it was resolved on has changed
 * meanwhile. */
#define SUBMIT_TRIES 50

/* Send s->command. WAITS: the op may be another thread's already; ANSWERED when
 * not all nodes know such a command. */
int submit_command(struct op_state *s);
/* Ask only what the op's idempotency key stands for: the op itself cannot be
 * resolved any more (its namespace was renamed, its row has gone), but it may
 * have been carried out before. Always WAITS. */
int submit_recall(struct op_state *s);
/* Send a fence. Always WAITS. */
int submit_fence(struct op_state *s);

/* The request's outcome as a problem; 0 when it came through. */
int submit_outcome(struct op_state *s) MUST_USE;
/* The result's answer (not 0, not RETRY) as a problem. Always ANSWERED. */
int submit_refused(struct op_state *s, const struct machine_result *result);
/* The next try's memory: what earlier tries left is forgotten. */
void submit_again(struct op_state *s);

#endif
