/* The core loop: orders writes, keeps them, has them applied.
 *
 * One thread runs a libuv loop that owns Raft, applying, timers. Everyone else
 * hands requests in through a queue, on any node of the cluster: on the leader
 * many requests make one pack, one Raft entry, one flush, one LMDB transaction;
 * one pack is outstanding at a time and all that arrives meanwhile joins the
 * next (group commit). On another node they go to the leader, to join its pack.
 * A request is answered by what its own node made of it when it applied it.
 *
 * Invariants
 *   [CORE-1] a request is completed with outcome 0 only after its entry is
 *            durable on a quorum and its transaction has committed here.
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

#define CORE_WHY 256

struct tls;
struct core;       /* opaque */
struct core_asked; /* below */

struct core_config {
    const char *data_dir;
    const char *node_id;
    const char *domain;       /* seeds a new registry; else must agree */
    const char *raft_listen;  /* HOST:PORT; port 0 takes a free one */
    const char *raft_address; /* told to other nodes; NULL: the one above */
    const char *http_address; /* told to other nodes */
    const char *join;    /* URL of a node of the cluster to join, or NULL */
    const char *cluster; /* n1=HOST:PORT,… that form one, or NULL */
    unsigned voters;     /* at most so many, odd */
    uint64_t voter_timeout_ms; /* a silent voter is replaced after it */
    uint32_t feature_level;    /* 0: MACHINE_FEATURE_LEVEL */
    uint64_t history_limit;    /* seeds a new registry */
    uint64_t store_limit_bytes;
    uint64_t disk_reserve_bytes;
    uint64_t snapshot_bytes; /* log bytes between snapshots */
    uint64_t apply_us;       /* of a turn, at most; 0: as long as is good */
    uint64_t apply_rows;     /* of a slice of what is long; 0: as is good */
    struct tls *tls;         /* between nodes; NULL: plain */
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
    /* On the thread that forms, and it may take its time: send `request` to
     * the nodes' collection of the cluster at `url`. With another answer than
     * 0, `why` tells; < 0: ask again. */
    int (*join_by_url)(void *user, const char *url, struct str request,
                       struct buf *reply, char why[CORE_WHY]);
    /* On the core thread of the leader: somebody asks, see core_ask. */
    void (*on_ask)(void *user, struct core_asked *asked);
    /* On the core thread: SIGTERM or SIGINT arrived (first time), SIGHUP. */
    void (*on_stop)(void *user);
    void (*on_reload)(void *user);
};

#define CORE_TICK_MS 100

/* How long a request waits for a leader before it is given up. */
#define CORE_HOLD_MS 5000

struct core_request {
    struct queue_link link;
    struct str command; /* encoded; lent until done; its request id is set by
                           the core. n == 0: a fence, which is done when all
                           that anybody was told is done at the time of the
                           call is applied here (a linearizable read) */
    bool shrinks;       /* may go through on a full disk */
    int outcome;        /* 0: `result` tells. Else NOT_READY, FULL, TOO_LARGE,
                           UNKNOWN */
    struct machine_result result;               /* the submitter ends it */
    void (*done)(struct core_request *request); /* on the core thread; once
                           that has left core_run, on the submitter's */
    uint64_t asked_us; /* by the monotonic clock, when it was wanted; 0: just
                          now. For want of a leader it waits from then on */
    bool local; /* for this node's own leadership: goes to no other, and only
                   once */
    /* Core thread, of a local one, or NULL: called right before it is put first
     * into a pack. All that is ordered before it is applied here then. It may
     * make `command` anew, no longer than it was; false: there is nothing to
     * do any more (NOT_READY). */
    bool (*prepare)(struct core_request *request);
    /* The core's own: */
    bool guest; /* came over a link */
    uint64_t since_us;
    uint64_t seq;     /* of its request id */
    uint64_t term;    /* it was sent in, 0: it was not */
    uint64_t link_id; /* it was sent over, 0: none */
    uint64_t raft_id; /* of a guest: its node */
    uint64_t index;   /* of its entry, as it was applied here; 0: it was not. Of
                         a fence: what has to be applied before it is done */
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
/* Any thread: let another node lead, when this one does and there is one. Soon;
 * it serves on. */
void core_hand_over(struct core *core);
/* Core thread: stop after what is in flight is done; new
 * requests are NOT_READY. */
void core_stop(struct core *core);

/* ---- asking whoever leads ---- */

enum core_ask_kind {
    CORE_ASK_JOIN = 1,
    CORE_ASK_REMOVE,
    CORE_ASK_TRANSFER,
    CORE_ASK_FIRST = 16, /* of the rooms above; they go to on_ask */
};

/* A question, answered by the leader's core thread. Asked again when the leader
 * goes: only what may be done twice. */
struct core_ask {
    struct queue_link link;
    uint32_t kind;
    struct str request; /* lent until done; at most CORE_ASK_MOST */
    int outcome;        /* 0: `code` and `reply` tell. NOT_READY: there was no
                           leader for CORE_HOLD_MS */
    uint32_t code;      /* 0, or an answer of err.h */
    struct buf reply;   /* the asker ends it */
    void (*done)(struct core_ask *ask);    /* as that of a request */
    uint64_t since_ms, not_before_ms, seq; /* the core's own */
    bool sent;
};
#define CORE_ASK_MOST (1U << 20)
/* Any thread. */
void core_ask(struct core *core, struct core_ask *ask);

/* A question that arrived. */
struct core_asked {
    uint32_t kind;
    struct str request;    /* lent for the call of on_ask */
    uint64_t link_id, seq; /* the core's own; 0: asked here */
};
/* Core thread; once for each, now or later, whoever leads by then. Takes
 * `asked`. */
void core_answer(struct core *core, struct core_asked *asked, uint32_t code,
                 struct str reply);

/* ---- who is there ---- */

#define CORE_MEMBERS_MOST 32
#define CORE_ADDRESS 128

enum core_role { CORE_LEARNER, CORE_VOTER };

struct core_member {
    char id[64]; /* "": not known */
    uint64_t raft_id;
    enum core_role role;
    bool leads, self;
    char raft[CORE_ADDRESS], http[CORE_ADDRESS], version[32];
    bool live; /* what follows is known: on the leader, and of oneself */
    uint64_t applied;
    uint64_t contact_ms; /* since it was last heard; UINT64_MAX: never */
    uint64_t feature_level;
    const char *state; /* "probe", "pipeline", "snapshot"; "self", "unknown" */
};
/* Any thread. */
size_t core_members(const struct core *core,
                    struct core_member ret[CORE_MEMBERS_MOST]) MUST_USE;
/* All zero while it is not known. */
void core_cluster_id(const struct core *core, uint8_t ret[16]);
/* Whom this node follows, or itself. Any thread. Answers: NOT_FOUND. */
int core_leader(const struct core *core,
                struct core_member *ret_leader) MUST_USE;
/* HOST:PORT where other nodes are listened to. */
const char *core_raft_address(const struct core *core);
/* After core_run: it left because the cluster did not take this node in. */
bool core_failed(const struct core *core);
/* What may be proposed: the replicated feature level. Any thread. */
uint64_t core_feature_level(const struct core *core);

/* Any thread, lock-free. */
struct core_status {
    bool leads;          /* leader, first command of the term applied */
    bool follows;        /* the leader was heard within the election timeout */
    bool voter;          /* by the newest configuration */
    bool removed;        /* from the cluster: nothing it says counts */
    bool installing;     /* another node's state is on its way here */
    bool behind;         /* far behind what the leader told */
    uint64_t leader;     /* its raft id, 0: none known. Changes with it */
    const char *forming; /* what the start waits for, a sentence; NULL: not */
    bool caught_up;      /* once since start */
    bool draining;
    bool disk_low; /* growing writes are refused */
    bool stalled;  /* a committed entry could not be applied yet */
    uint64_t term;
    uint64_t applied;
    uint64_t revision; /* published: what reads may claim to reflect */
    uint64_t lease_epoch;
    uint64_t log_time_ms; /* greatest time stamp of an entry applied */
    uint64_t next_end_ms; /* of a mark, UINT64_MAX: none: see machine.h */
    /* Since the leader was heard, rounded up to 100 ms; on the leader since a
     * quorum last answered, 0 within an election timeout. */
    uint64_t stale_ms;
};
struct core_status core_status(const struct core *core);
/* Of these, what every read looks at. */
uint64_t core_stale_ms(const struct core *core);
uint64_t core_leader_raft_id(const struct core *core);
uint64_t core_revision(const struct core *core);
/* Whenever this is what it was, everybody may what he might (see store.h). It
 * moves before the change can be read, or told. Any thread, lock-free. */
uint64_t core_access_rev(const struct core *core);

/* What the core loop does in a turn; `max_us` and `sum_us` are of one kind of
 * step within a turn, `n_long` are turns of more than 20 ms of which it took
 * most. */
enum core_step {
    CORE_STEP_LOG,    /* libraft and its disk, sockets, timers of others */
    CORE_STEP_APPLY,  /* entries of the log */
    CORE_STEP_COMMIT, /* of the store, and who is told of it */
    CORE_STEP_ORDER,  /* requests: taken, put into packs, answered */
    CORE_STEP_TICK,   /* ten times a second: leases that are due, the disk */
    CORE_STEP_LEASES, /* the lease table changes hands, or is made anew */
    CORE_STEP_STATE,  /* snapshots, jobs, the state of another node */
    CORE_STEP_PEERS,  /* other nodes: links, members, questions */
    CORE_STEP_CALLS,  /* core_call: leases that are read, by and by */
    CORE_STEPS,
};
const char *core_step_name(enum core_step step);
struct core_step_stats {
    uint64_t sum_us, max_us, n_long;
};

struct core_stats {
    uint64_t packs, commands, pack_bytes, refused, unknown;
    uint64_t submit_to_done_us;
    uint64_t snapshots, snapshot_failures, snapshot_us;
    uint64_t log_bytes; /* since the last snapshot was begun, as they count */
    uint64_t log_waits; /* times writes waited for one to be stored */
    uint64_t forwarded; /* commands that went to another node's log */
    uint64_t resent;    /* and again, because a leader was lost */
    uint64_t guests;    /* commands of other nodes taken here */
    uint64_t rounds;    /* of confirming that this node leads */
    /* State files sent to other nodes, and fetched from them. */
    uint64_t transfers, transfers_failed, sent_bytes;
    uint64_t fetches, fetches_failed, received_bytes;
    uint64_t installs;  /* of another node's state in the place of this one */
    uint64_t aio_waits; /* for the end of a context of the kernel's I/O */
    uint64_t put_off;   /* turns in which not all was applied */
    struct histogram_sum turns; /* of the loop, without its sleep */
    struct core_step_stats steps[CORE_STEPS];
    /* Processor time of turns; good to a millisecond. */
    uint64_t turn_cpu_max_us, turns_cpu_long;
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
                    or so many wait; SNAPSHOT: there is no leader); or a
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
