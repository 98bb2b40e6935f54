/* What the files of this room share: one operation on its way. Private.
 *
 *   START ──► REVISION ──► FENCE ──► RUN ──► RESULT ──► done
 *     └─────────────────────────────►│ ▲ ▲      │
 *                           refused: │ │ └──────┤ RETRY: resolve it anew
 *                                    ▼ │        │
 *                                   PAUSE ◄─────┘
 *
 *   START     is this node ready for it? Then the first of what follows that
 *             it needs.
 *   REVISION  waits until the node has seen Roster-Min-Revision, or ?since=.
 *   FENCE     waits for a quorum (a linearizable read, or a ?since= that is
 *             beyond what this node has).
 *   RUN       the verb: a read answers, a write makes its command.
 *   PAUSE     waits behind a fence for what is in the log: the outcome of an
 *             end that was proposed, or another step after a RETRY; or what
 *             others were told before a write is refused by what this node
 *             has, which may be old.
 *   RESULT    what the log made of the command. */
#ifndef REGISTRY_ROOM_H
#define REGISTRY_ROOM_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "base/err.h"
#include "model/name.h"
#include "registry/registry.h"

/* What a function here may come to besides 0 and a fault (< 0). None of them is
 * a number of err.h, so an answer of a lower room cannot pass for one. */
enum {
    ANSWERED = 1000, /* op->answer says it all: a problem, usually */
    NEEDS_WORKER,    /* too long for this thread */
    NEEDS_FENCE,     /* run again after what is in the log */
    WAITS,           /* wake() will be called: touch nothing any more */
    PARKS,           /* op->answer.watch says what for */
};

enum stage {
    STAGE_START,
    STAGE_REVISION,
    STAGE_FENCE,
    STAGE_RUN,
    STAGE_PAUSE,
    STAGE_RESULT,
};

struct types;     /* types_set.h */
struct matches;   /* matches.h */
struct asks;      /* asks.h */
struct question;  /* asks.c */
struct gather;    /* gather.h */
struct leader;    /* cluster.h */
struct desk;      /* desk.h */
struct desk_job;  /* desk.c */
struct own;       /* own.h */
struct own_token; /* callers.c */
struct limits;    /* limit.h */
struct audited;   /* audited.h */

/* The hostname a walk goes on behind, kept where no arena ends it. */
struct agents_at {
    bool begun;
    size_t n;
    char bytes[NAME_PATH_MAX];
};

/* Work on the whole state. */
struct admin_counts {
    atomic_bool restoring;
    atomic_uint backups; /* files made or being made, until they are closed */
    atomic_uint running; /* asked of the core, not answered */
    _Atomic uint64_t jobs[4][2]; /* by enum core_state_kind: done, not done */
    _Atomic uint64_t restores;
};

struct registry {
    struct core *core;
    struct cache *cache;
    struct lease_table *leases;
    struct registry_trust trust;
    _Atomic(struct own_token *) own_token; /* NULL: none */
    _Atomic uint64_t own_tokens;           /* so many were set */
    struct limits *limits;                 /* NULL: none */
    struct audited *audited;
    uint64_t started_s; /* since 1970 */

    _Atomic uint64_t shown;     /* the newest revision in an answer */
    _Atomic uint64_t ticked_ms; /* when the core loop was last seen to run */
    /* The core thread's: */
    bool knows_leases;       /* the table holds all there are */
    struct loading *loading; /* it is being filled, else NULL */
    bool moving;             /* scopes of leases are being read anew */
    struct agents_at moved_at;

    struct asks *asks;
    struct gather *gather;
    struct leader *leader;
    struct desk *desk;
    struct own *own;
    struct admin_counts admin;

    pthread_mutex_t waiting_lock;
    struct op_state *waiting; /* for a revision */

    pthread_mutex_t shared_lock;
    struct types *types;     /* of the newest types_rev anyone asked for */
    struct matches *matches; /* of the newest tree_rev */
    pthread_mutex_t matches_building;
};

/* What a write was allowed for: the row as it was looked at (bound.c). */
struct guard {
    bool on;
    uint64_t rev; /* 0: it was not there */
    uint64_t tree_rev;
    bool retries; /* another than that is looked at anew, not refused */
};

struct op_state {
    struct op *op;
    struct registry *registry;
    struct store_reader *reader; /* of this turn */
    struct arena *arena;         /* of this try; answers go into op->arena */
    struct arena *retry;         /* what `arena` is from the second try on */
    enum stage stage;
    enum op_step said; /* last */
    bool on_worker;
    bool recalls;   /* the command only asks what the key stands for */
    bool rechecked; /* a refusal stands: it was looked at again */
    bool asked;     /* the leader, by a verb that does so once */
    bool anew;      /* who asks, and whether he may, is asked again */
    bool asked_permit;
    bool admitted;  /* to try a password */
    bool counted;   /* that try, still */
    bool binds;     /* the command binds a join token: then it goes on */
    bool submitted; /* request.result has to be ended */
    struct access_who *who;  /* who asks, as he is now. Lent by: */
    struct access_who *held; /* ours to end */
    struct guard guard;
    bool audited; /* a line says what became of it */
    unsigned tries;
    unsigned fences;
    uint64_t until_ms;
    uint64_t awaited;          /* revision */
    struct op_state *next;     /* in registry->waiting, or woken with it */
    struct question *question; /* answered; ours to end */
    struct types *types;       /* held */
    struct store_meta seen;    /* of the last snapshot */
    struct command command;
    struct buf bytes; /* the command's */
    struct core_request request;
    const struct cache_list *squeeze; /* held: its compressed body is ours to
                                         make */
    uint64_t squeeze_ns;
    struct desk_job *jobs; /* what it asked the desk */
    void *memory; /* what a verb keeps between its turns, in op->arena */
};

/* A verb of the table in registry.c. `run` of a write fills s->command.
 * `finish` turns a result with answer 0 into the op's answer; it may be the
 * replay of an older one: then it knows the op and the result, not the command,
 * and result->row is empty. */
typedef int run_func(struct op_state *s);
typedef int finish_func(struct op_state *s, struct machine_result *result);
/* `end` undoes what an op has begun and not finished; memory is not its care.
 */
typedef void end_func(struct op_state *s);

/* ---- verbs.c ---- */
/* BEAT: a heartbeat. LOCAL: about this node, whoever leads. CARE: for the
 * leader, whatever this node has. VIEW: can be had of any node. */
enum verb_class { READ, WRITE, BEAT, LOCAL, CARE, VIEW };

struct verb {
    const char *name;
    enum verb_class class;
    bool conditional; /* a write that looks at If-Match, If-None-Match */
    bool keyless;     /* takes no Idempotency-Key */
    bool secret;      /* what it has in memory is overwritten after it */
    run_func *run;
    finish_func *finish; /* WRITE */
    end_func *end;       /* may be NULL */
};
extern const struct verb verbs[OP_KINDS];

/* ---- leading.c ---- */
/* Core thread: reads on, for a few milliseconds, what moved. */
void leading_tick(struct registry *registry);

/* ---- loading.c ---- */
typedef int leases_func(struct registry *registry, struct store_txn *txn,
                        struct arena *arena);
/* Calls it in a snapshot of its own. Core thread. */
int leases_read(struct registry *registry, leases_func *func) MUST_USE;
/* The registry goes: what is under way comes to nothing. */
void loading_end(struct registry *registry);

/* ---- snapshot.c ---- */
typedef int snapshot_func(struct op_state *s, struct store_txn *txn,
                          void *user);
/* Calls `func` in a read transaction, anew each time it answers RESTART: it
 * must forget what it read. Sets s->seen and answer.revision. */
int snapshot_run(struct op_state *s, snapshot_func *func, void *user) MUST_USE;
/* For those who need several snapshots. */
int snapshot_begin(struct op_state *s, struct store_txn **ret_txn) MUST_USE;
/* An answer shows a revision; the newest shown or published. A snapshot sees a
 * commit a moment before it is published, and what is answered without a
 * snapshot must not seem older than what was answered with one. */
void snapshot_show(struct registry *registry, uint64_t revision);
uint64_t snapshot_newest(struct registry *registry);

/* ---- the verbs ---- */
run_func tree_get, tree_node_get, tree_create, tree_change, tree_delete;
finish_func tree_finish_create, tree_finish_change, tree_finish_delete;
run_func types_list, types_get, types_put;
finish_func types_finish_put;
run_func list_get, list_add, list_put;
finish_func list_finish_add, list_finish_put;
run_func row_op_get, row_op_put, row_op_patch, row_op_delete, row_op_move;
finish_func row_finish, row_finish_delete;
run_func search_run;
run_func watch_run;
run_func txn_run;
finish_func txn_finish;
run_func agent_put, agent_list, agent_get, agent_delete;
finish_func agent_finish_put, agent_finish_delete, agent_finish_maintain;
run_func maintenance_agent_set, maintenance_agent_end;
run_func maintenance_row_set, maintenance_row_end;
end_func live_end;
run_func heartbeat_one, heartbeat_many;
end_func heartbeat_end;
run_func audit_get;
run_func breaker_get, breaker_set;
finish_func breaker_finish_set;
run_func leader_get;
run_func permit_metrics;
run_func cluster_get, cluster_join, cluster_remove, cluster_transfer;
run_func admin_backup, admin_digest, admin_snapshot, admin_snapshots;
run_func history_get, history_put;
finish_func history_finish;
run_func restore_run;
finish_func restore_finish;
end_func admin_end, restore_end;
run_func token_list, token_create, token_get, token_delete;
finish_func token_finish_create;
run_func quota_list, quota_get, quota_put, quota_delete;
run_func role_list, role_get, role_put, role_delete;
run_func session_create, user_password;
run_func user_list, user_get, user_put, user_delete;
run_func group_list, group_get, group_put, group_delete;
run_func member_put, member_delete;
finish_func grants_finish_put, grants_finish_delete, quota_finish_put;
run_func whoami_get;

#endif
