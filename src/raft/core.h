/* The core loop: orders writes, keeps them, has them applied.
 *
 * One thread runs a libuv loop that owns Raft, applying, timers. Everyone else
 * hands requests in through a queue; many requests make one pack, one Raft
 * entry, one flush, one LMDB transaction; one pack is outstanding at a time and
 * all that arrives meanwhile joins the next (group commit).
 *
 * Invariants
 *   [CORE-1] a request is completed with outcome 0 only after its entry is
 *            durable and its transaction has committed.
 *   [CORE-2] outcome NOT_READY, FULL or TOO_LARGE: surely not done, now or
 *            later. UNKNOWN: may be done, once, or not at all.
 *   [CORE-3] the store is trusted after a clean stop or when only the process
 *            died (same boot id); else it is rebuilt from snapshot and log.
 *   [CORE-4] the snapshot descriptor is stored only after the state file it
 *            names is complete and synced. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/metric.h"
#include "base/queue.h"
#include "cache/cache.h"
#include "machine/machine.h"
#include "state/state.h"
#include "store/store.h"

struct core; /* opaque */

struct core_config {
    const char *data_dir;
    const char *node_id;
    const char *domain;       /* seeds a new registry; else must agree */
    const char *raft_address; /* told to other nodes */
    uint64_t history_limit;   /* seeds a new registry */
    uint64_t store_limit_bytes;
    uint64_t disk_reserve_bytes;
    uint64_t snapshot_bytes; /* log bytes between snapshots */
    struct cache *cache;
    struct machine_hooks machine_hooks;
    void *user;
    /* On the core thread. Leadership won and its first command applied (true),
     * or lost (false). */
    void (*on_lead)(void *user, bool leads);
    /* On the core thread, every CORE_TICK_MS. */
    void (*on_tick)(void *user);
    /* On the core thread, after each commit that raised the revision. */
    void (*on_revision)(void *user, uint64_t revision);
    /* On the core thread, after a RESTORE was applied and became visible: all
     * that was known from before is void. May be NULL. */
    void (*on_restored)(void *user);
    /* On the core thread: SIGTERM or SIGINT arrived (first time), SIGHUP. */
    void (*on_stop)(void *user);
    void (*on_reload)(void *user);
};

#define CORE_TICK_MS 100

struct core_request {
    struct queue_link link;
    struct str command; /* encoded; lent until done. n == 0: a fence, which is
                           done when everything before it is, and this node
                           was still the leader (a linearizable read) */
    bool shrinks;       /* may go through on a full disk */
    int outcome;        /* 0: `result` tells. Else NOT_READY, FULL, TOO_LARGE,
                           UNKNOWN */
    struct machine_result result;               /* the submitter ends it */
    void (*done)(struct core_request *request); /* on the core thread; once
                           that has left core_run, on the submitter's */
    uint64_t since_us;                          /* core's own */
};

/* Lock and load the data directory, replay, become what it was. The log line of
 * a fault has been written: the caller only leaves. Answers: INVALID (the
 * directory belongs to another id or domain, is locked, or is damaged in a way
 * that must not be repaired silently). */
int core_open(const struct core_config *config,
              struct core **ret_core) MUST_USE;
/* The core thread is the caller's until core_stop has been carried out. */
void core_run(struct core *core);
struct core *core_close(struct core *core);

/* Any thread. */
void core_submit(struct core *core, struct core_request *request);
/* Any thread: run `func` on the core thread soon. */
struct core_call {
    struct queue_link link;
    void (*func)(struct core_call *call);
};
void core_call(struct core *core, struct core_call *call);
/* Any thread: say in the status that this node is leaving; it serves on. */
void core_drain(struct core *core);
/* Core thread: stop after what is in flight is done; new
 * requests are NOT_READY. */
void core_stop(struct core *core);

/* Any thread, lock-free. */
struct core_status {
    bool leads;     /* leader, first command of the term applied */
    bool caught_up; /* once since start */
    bool draining;
    bool disk_low; /* growing writes are refused */
    bool stalled;  /* a committed entry could not be applied yet */
    uint64_t term;
    uint64_t applied;
    uint64_t revision; /* published: what reads may claim to reflect */
    uint64_t lease_epoch;
    uint64_t stale_ms; /* since a quorum last answered (leader: 0) */
};
struct core_status core_status(const struct core *core);
uint64_t core_revision(const struct core *core);

struct core_stats {
    uint64_t packs, commands, pack_bytes, refused, unknown;
    uint64_t submit_to_done_us;
    uint64_t snapshots, snapshot_failures, snapshot_us;
    uint64_t log_bytes;           /* since the last snapshot was begun */
    uint64_t log_waits;           /* times writes waited for one to be stored */
    struct histogram_sum turns;   /* of the loop */
    struct histogram_sum writes;  /* of an entry: until it is on the disk (and
                                     on a quorum) */
    struct histogram_sum commits; /* of the store */
};
struct core_stats core_stats(const struct core *core);

/* ---- work on the whole state ---- */

enum core_state_kind {
    /* Make a state file of the newest commit at `path`, which is the caller's.
     */
    CORE_STATE_EXPORT,
    /* Only info.index, .revision and .state are wanted; no file is left.
     * Answered from the newest state file when it is of this index. */
    CORE_STATE_DIGEST,
    /* Check the state file at `path` against damage and this registry's domain,
     * then keep it, as info.file, so that a RESTORE can name it. Takes the file
     * over, which must lie in core_spool_dir; with any other outcome than 0 it
     * is still the caller's. */
    CORE_STATE_STAGE,
    /* A Raft snapshot now: done when its descriptor is stored. */
    CORE_STATE_SNAPSHOT,
};

#define CORE_STATE_WAITING 16

struct core_state_job {
    struct queue_link link;
    enum core_state_kind kind;
    const char *path; /* lent until done */
    int outcome; /* 0; FULL (no room), INVALID (why tells), NOT_READY (stopping,
                    or so many wait; SNAPSHOT: this node does not lead); or a
                    fault */
    char why[STATE_WHY];    /* INVALID: a sentence for a person */
    struct state_info info; /* of what was made or checked; for SNAPSHOT: of
                               the snapshot */
    uint64_t n_rows, n_ns, n_leases;          /* EXPORT, STAGE: in it */
    void (*done)(struct core_state_job *job); /* as that of a request */
};

/* Any thread. One at a time, on a thread of its own, in the order asked; a
 * SNAPSHOT goes with the next snapshot that begins. */
void core_state_job(struct core *core, struct core_state_job *job);
/* Forget, soon, a staged file whose RESTORE will not be sent; one that is on
 * its way or is needed stays. Any thread. */
void core_state_unstage(struct core *core, const char *file);

struct core_snapshot {
    char file[64];
    uint64_t index, revision, bytes;
    uint64_t made_ms; /* wall clock */
};
/* The state files descriptors name, newest first; at most `most`. Any thread.
 */
size_t core_snapshots(const struct core *core, struct core_snapshot *ret,
                      size_t most) MUST_USE;
/* For files of this room's callers (uploads and backups on their way): emptied
 * at start. */
const char *core_spool_dir(const struct core *core);
/* Free bytes above the disk reserve: what a spool may still take. Any thread.
 */
uint64_t core_disk_left(const struct core *core);

/* The disk below the data directory, as it is now. Any thread. */
struct core_disk {
    uint64_t free_bytes;
    uint64_t reserve_bytes; /* below it writes that grow are refused */
    uint64_t ballast_bytes; /* held to be given up; 0: it was */
};
struct core_disk core_disk(const struct core *core);

struct store *core_store(const struct core *core);
const char *core_node_id(const struct core *core);
const char *core_domain(const struct core *core);
#endif
