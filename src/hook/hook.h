/* Webhooks: whoever asked for it in a row of the type `webhook` is told what
 * happens below its namespace, by the leader.
 *
 *   history ──► scan: whom does it concern ──► engine: whose turn is it
 *   marks, rows ──────────► batch: a body ──► sender: POST
 *   HOOKS in the log ◄── cursors, states ◄──── answers
 *
 * A thread of its own, which sleeps on a node that does not lead: names are
 * resolved, keys exchanged and slow receivers waited for beside the core loop,
 * and no heartbeat of Raft waits for any of it.
 *
 * A cursor is moved in memory when a receiver says yes, and in the replicated
 * state every few seconds. A new leader begins at the latter, so what was told
 * since is told once more; never less. [HOOK-1]
 *
 * Threads: hook_on_*, hook_drain: core. hook_metrics: any. */
#ifndef HOOK_HOOK_H
#define HOOK_HOOK_H

#include <stdbool.h>

#include "base/mem.h"
#include "hook/allow.h"
#include "raft/core.h"

struct hook; /* opaque */

/* `allow` is lent. Faults: SYSTEM. */
int hook_new(struct core *core, const struct allow *allow,
             struct hook **ret_hook) MUST_USE;
/* After core_run has ended. */
struct hook *hook_free(struct hook *hook);

void hook_on_lead(struct hook *hook, bool leads);
/* Cheap: after each commit. */
void hook_on_revision(struct hook *hook);
void hook_on_restored(struct hook *hook);
/* This node leaves: nothing more is sent, what is known goes into the log, and
 * then leadership is handed over (core_hand_over). */
void hook_drain(struct hook *hook);

/* Prometheus text. */
void hook_metrics(struct hook *hook, struct buf *out);

#endif
