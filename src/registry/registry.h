/* Every operation, once: may it be, what does it mean.
 *
 * A mouth (REST now; DNS and the Redis protocol later) turns a request into a
 * struct op, runs it, and renders its answer. An operation may need to wait
 * (for the log, for a revision): registry_run then says so and the mouth calls
 * it again when `wake` has been called. Operations never block their thread on
 * the log or on another request.
 *
 *   run ──► OP_DONE            the answer is there
 *       ──► OP_WAIT            wake() will be called, then run again
 *       ──► OP_WORK            long: run again from a worker thread, or here
 *                              with `no_worker`: OP_WORK again when there is no
 *                              way without
 *       ──► OP_PARK            nothing newer than the client has: end it
 *                              (registry_op_done), keep the request, and run it
 *                              anew as `woken` when answer.watch was told of
 *                              something, as `expired` when its time is over
 *
 * Threads: an op is one thread's at a time; `wake` is called from any. Reads
 * use the reader given by the caller: one for each thread that runs ops. */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "access/access.h"
#include "access/directory.h"
#include "audit/audit.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "lease/lease.h"
#include "model/event.h"
#include "model/json.h"
#include "raft/core.h"
#include "store/store.h"
#include "watch/watch.h"

struct registry; /* opaque */

struct registry *registry_new(struct core *core, struct cache *cache,
                              struct lease_table *leases) MUST_USE;
/* Before core_run: begins to fill the lease table from the store, which goes on
 * in turns of the core loop; from then on the machine's hooks keep it. */
int registry_load(struct registry *registry) MUST_USE;
struct registry *registry_free(struct registry *registry);

/* What guards it; {0}: all may do all. Before it serves. */
struct registry_trust {
    bool access;         /* who may do what is looked at */
    bool metrics_open;   /* also to who is not known */
    struct audit *audit; /* lent; NULL: none */
    bool audit_required; /* nothing is changed that could not be told there */
    uint64_t session_ttl_ms;
    uint64_t rate_token, rate_address; /* requests in a second, 0: any */
};
void registry_set_trust(struct registry *registry,
                        const struct registry_trust *trust);

/* Takes it: users of source "ldap" are asked there. Before it serves. */
void registry_set_directory(struct registry *registry,
                            struct access_directory *directory);

/* This node's own token, which may do all: known here at once, and everywhere
 * as soon as there is a leader. Before core_run, or on the core thread.
 * Answers: INVALID (no token). */
int registry_set_own_token(struct registry *registry, const char *node,
                           struct str text) MUST_USE;

enum op_kind {
    OP_NS_TREE,   /* depth, flat */
    OP_NS_CREATE, /* body */
    OP_NS_GET,    /* ns */
    OP_NS_CHANGE, /* ns, body, conditions */
    OP_NS_DELETE, /* ns, recursive, conditions */
    OP_TYPE_LIST,
    OP_TYPE_GET,     /* type */
    OP_TYPE_PUT,     /* type, body */
    OP_LIST_GET,     /* ns, type, limit, after, fields, if-none-match */
    OP_LIST_ADD,     /* ns, type, body (object or array), lease */
    OP_LIST_PUT,     /* ns, type, body, conditions */
    OP_ROW_GET,      /* ns, type, id, fields, if-none-match */
    OP_ROW_PUT,      /* ns, type, id, body, conditions, lease */
    OP_ROW_PATCH,    /* ns, type, id, body, conditions */
    OP_ROW_DELETE,   /* ns, type, id, conditions */
    OP_ROW_MOVE,     /* ns, type, id, body, conditions */
    OP_ROW_COPY,     /* ns, type, id, body */
    OP_ROW_MAINT,    /* ns, type, id, body, conditions */
    OP_ROW_BACK,     /* ns, type, id, conditions: that is over */
    OP_SEARCH,       /* ns, type, k, v, mode, limit, after */
    OP_TXN,          /* body */
    OP_AGENT_PUT,    /* body */
    OP_AGENT_LIST,   /* limit, after (a hostname) */
    OP_AGENT_GET,    /* id (the hostname) */
    OP_AGENT_DELETE, /* id */
    OP_AGENT_MAINT,  /* id, body */
    OP_AGENT_BACK,   /* id: that is over */
    OP_HEARTBEAT,    /* id */
    OP_HEARTBEATS,   /* body */
    OP_BREAKER_GET,
    OP_BREAKER_SET, /* body */
    OP_LEADER,      /* 503 has the same body as 200 */
    OP_CLUSTER_GET,
    OP_CLUSTER_JOIN,     /* body */
    OP_CLUSTER_REMOVE,   /* id */
    OP_CLUSTER_TRANSFER, /* body, or none */
    OP_BACKUP,           /* head */
    OP_RESTORE,          /* file */
    OP_SNAPSHOT,
    OP_SNAPSHOT_LIST,
    OP_DIGEST,
    OP_HISTORY_GET,
    OP_HISTORY_PUT,    /* body */
    OP_WATCH,          /* ns, type, k, v, mode, since, initial */
    OP_TOKEN_LIST,     /* limit, after (an id) */
    OP_TOKEN_CREATE,   /* body */
    OP_TOKEN_GET,      /* id */
    OP_TOKEN_DELETE,   /* id */
    OP_ROLE_LIST,      /* limit, after (a name) */
    OP_ROLE_GET,       /* id (the name) */
    OP_ROLE_PUT,       /* id, body, conditions */
    OP_ROLE_DELETE,    /* id, conditions */
    OP_USER_LIST,      /* limit, after (a name) */
    OP_USER_GET,       /* id (the name) */
    OP_USER_PUT,       /* id, body, conditions */
    OP_USER_DELETE,    /* id, conditions */
    OP_USER_PASSWORD,  /* id, body */
    OP_GROUP_LIST,     /* limit, after (a name) */
    OP_GROUP_GET,      /* id (the name) */
    OP_GROUP_PUT,      /* id, body, conditions */
    OP_GROUP_DELETE,   /* id, conditions */
    OP_MEMBER_PUT,     /* id (the group), type (the user) */
    OP_MEMBER_DELETE,  /* id (the group), type (the user) */
    OP_SESSION_LIST,   /* limit, after (an id) */
    OP_SESSION_CREATE, /* body */
    OP_SESSION_DELETE, /* id */
    OP_WHOAMI,         /* verb, type, ns */
    OP_QUOTA_LIST,     /* limit, after (a path) */
    OP_QUOTA_GET,      /* ns */
    OP_QUOTA_PUT,      /* ns, body, conditions */
    OP_QUOTA_DELETE,   /* ns, conditions */
    OP_AUDIT_GET,
    OP_METRICS, /* only whether he may: no body */
    OP_KINDS,   /* none */
};

/* Answers a mouth has to know; each mouth has one table from these to its
 * dialect, checked for completeness. */
enum op_code {
    OP_OK,
    OP_CREATED,
    OP_NO_CONTENT,
    OP_NOT_MODIFIED,
    OP_BAD_REQUEST,     /* 400 */
    OP_UNAUTHORIZED,    /* 401: who are you? */
    OP_FORBIDDEN,       /* 403 */
    OP_NOT_FOUND,       /* 404 */
    OP_CONFLICT,        /* 409 */
    OP_PRECONDITION,    /* 412 */
    OP_TOO_LARGE,       /* 413 */
    OP_UNPROCESSABLE,   /* 422: idempotency key reused */
    OP_TOO_MANY,        /* 429: retry_after_s */
    OP_UNAVAILABLE,     /* 503: surely not done; retry_after_s */
    OP_OUTCOME_UNKNOWN, /* 504 */
    OP_NO_SPACE,        /* 507 */
    OP_QUOTA,           /* 507, of another type: beyond a quota */
    OP_INTERNAL,        /* 500 */
    OP_CODES,
};

enum op_step { OP_DONE, OP_WAIT, OP_WORK, OP_PARK };

struct op_query {
    uint64_t limit;    /* 0: not given */
    struct str after;  /* p == NULL: not given; so for all below */
    struct str fields; /* "a,b" */
    struct str type, k, v, mode, ns, verb;
    struct str lease;
    uint64_t depth;        /* UINT64_MAX: not given */
    uint64_t max_stale_ms; /* UINT64_MAX: not given */
    uint64_t since;        /* only with has_since */
    bool has_since;
    bool initial;
    bool flat;
    bool recursive;
    bool linearizable;
};

struct op_conditions {
    struct str if_match; /* as the header says; p == NULL: not given */
    struct str if_none_match;
    struct str idempotency_key;
    uint64_t min_revision; /* 0: not given */
};

/* A file as an answer. */
struct op_file {
    int fd; /* of a file without a name; -1: only the headers are wanted */
    uint64_t size;
    struct str name;   /* to save it under */
    struct str digest; /* of the state in it, hexadecimal; "" when fd is -1 */
    struct registry *registry;
};
/* Any thread; what the file takes on the disk is free after it. `name` and
 * `digest` are the op's. Always NULL. */
struct op_file *registry_file_close(struct op_file *file);

/* Where to go on from, and with what. In the op's arena. */
struct op_watch {
    struct watch_spec spec;
    bool exact;    /* rows below spec.ns do not matter, those in it do */
    uint64_t from; /* all up to there is known to the client */
    bool reset;    /* tell him first that what came before `from` is lost */
};

struct op_answer {
    enum op_code code;
    struct op_watch *watch; /* OP_PARK, and OP_OK of OP_WATCH; else NULL */
    struct str body; /* JSON; n == 0: none. In the op's arena, or lent from
                        `list`, which the mouth ends with cache_unref after
                        the last byte was sent. One that comes with an error is
                        sent instead of a problem */
    const struct cache_list *list;
    bool varies;          /* whether it is compressed depends on op.gzip */
    bool gzip;            /* and it is (304: as the client has it) */
    bool passing;         /* and soon will be: keep this answer for nobody */
    struct op_file *file; /* instead of a body; NULL: none. The mouth's to end
                             with registry_file_close */
    uint64_t revision;    /* Roster-Revision */
    uint64_t etag;        /* 0: none */
    struct str location;  /* "" : none */
    struct str next;      /* query for Link rel=next, without '?' */
    unsigned retry_after_s;
    /* Errors (code >= OP_BAD_REQUEST): */
    struct str detail; /* names the thing and says what to do */
    struct str field;
    struct str ns;
    uint64_t at_revision; /* problem's `revision`, 0: none */
    struct str extra;     /* further members, ",\"condition\":0"; "" */
    bool outcome_unknown;
    bool replayed; /* an Idempotency-Key gave this answer again */
};

/* Whether an op has to send one, or came before one of its mouth's
 * (registry_fence) that is over. */
enum op_fence { OP_FENCE_DUE, OP_FENCE_HOLDS, OP_FENCE_LOST };

struct op_state; /* the registry's own memory of a running op */

struct op {
    /* Set by the mouth, zeroed otherwise. */
    enum op_kind kind;
    struct arena *arena;
    struct access_who *who;  /* who asks, from registry_identify. Counted: ended
                                with the op by the mouth */
    struct str from;         /* his address */
    struct str request;      /* its trace id, for the audit; 32 hexadecimal
                                digits, or empty */
    struct str method, path; /* for the idempotency record's request hash */
    struct str ns, type, id;
    struct op_query query;
    struct op_conditions if_;
    struct str body;  /* raw */
    const char *file; /* the body as a file in core_spool_dir, which the op may
                         take away; NULL: none. Lent */
    bool head;        /* only the answer's headers are wanted */
    bool gzip;        /* a body of a whole list may be compressed */
    enum op_fence fence; /* of a linearizable read */
    bool no_worker; /* OP_WORK cannot be had now: do without, if that can be */
    bool woken;     /* something of what it was parked for has changed */
    bool expired;   /* answer with what there is: OP_PARK no more */
    void (*wake)(struct op *op);
    void *user;
    /* Set by the registry. */
    struct op_answer answer;
    struct op_state *state;
};

enum op_step registry_run(struct registry *registry, struct op *op,
                          struct store_reader *reader) MUST_USE;
/* ---- who asks ---- */

/* Who came lately; one for each thread that identifies. */
struct registry_callers; /* opaque */
struct registry_callers *
registry_callers_new(struct registry *registry) MUST_USE;
struct registry_callers *
registry_callers_free(struct registry_callers *callers);
/* Who that is, now. Always gives *ret_who, for the caller to unref: anonymous
 * when nothing is shown, and when what is shown is nobody's (NOT_FOUND: the
 * operation answers that, if it needs anybody). Faults of the store. */
int registry_identify(struct registry_callers *callers,
                      struct store_reader *reader,
                      const struct access_shown *shown,
                      struct access_who **ret_who) MUST_USE;
/* Whether he is still who he was and may what he might: a number compared. Any
 * thread. */
bool registry_who_stands(const struct registry *registry,
                         const struct access_who *who);

/* The same, but for what moves no mark: that his time is over, that a join
 * token is bound. */
bool registry_who_is_newest(const struct registry *registry,
                            const struct access_who *who);
/* Whether callers are looked at: else all may do all. */
bool registry_is_guarded(const struct registry *registry);
/* Another number whenever somebody may do something else than before, or the
 * state is another one. It moves before that can be seen. Any thread. */
uint64_t registry_access_mark(const struct registry *registry);
/* The same caller as he is now, as registry_identify gives him: anonymous when
 * he is nobody any more. */
int registry_identify_again(struct registry_callers *callers,
                            struct store_reader *reader,
                            const struct access_who *who,
                            struct access_who **ret_who) MUST_USE;

/* Whether an operation is worth its body: false when who asks (op->who) would
 * be refused whatever is in it, so it may be run without. No look at the state.
 */
bool registry_may_begin(const struct registry *registry, const struct op *op);

/* What was told to be done, by any node, before it was sent is here when it is
 * over and `holds`: whatever is read here then is linearizable. One at a time
 * of the same. */
struct registry_fence {
    void (*over)(struct registry_fence *fence); /* core thread */
    uint64_t asked_us; /* by the monotonic clock, when it was wanted first */
    bool holds;        /* else there was no leader that a quorum follows */
    struct core_request request; /* the registry's */
};
void registry_fence(struct registry *registry, struct registry_fence *fence);

/* What he may see of an event. PART: a namespace came from where he sees
 * nothing, or went there; registry_event_part says it without that. Any thread,
 * no look at the state. */
enum registry_sight { SIGHT_NONE, SIGHT_PART, SIGHT_WHOLE };
enum registry_sight registry_sees(const struct access_who *who,
                                  const struct event *event);
/* Appends the text of that event for him: it has gone (ns-delete), or it came
 * from itself (`old` is its path: read anew what is below). */
void registry_event_part(const struct access_who *who,
                         const struct event *event, struct buf *out);

/* What a request costs of a limit. */
struct registry_limit {
    bool limited; /* the rest is set */
    uint64_t most, left;
    unsigned reset_s;       /* until there is as much as may be */
    unsigned retry_after_s; /* refused: until there is one */
};
/* False: too many came of this token, from this address (of IPv6: its /64), or
 * too many from there that nobody was known by. Any thread. */
bool registry_admit(struct registry *registry, const struct access_who *who,
                    struct str address,
                    struct registry_limit *ret_limit) MUST_USE;

/* The same for a try to sign in, besides: of an address and of a user's name,
 * whether there is such a user or not. Counts each until it was right. */
bool registry_admit_signin(struct registry *registry, struct str address,
                           struct str user,
                           struct registry_limit *ret_limit) MUST_USE;

/* It was: then it does not count, however many sit behind one address. */
void registry_signed_in(struct registry *registry, struct str address,
                        struct str user);

/* What this node, leading, has done by itself, for the audit: an operation's
 * name, what it was about, and the namespace it concerns (0: none). Any thread;
 * waits for nobody. */
void registry_own_act(struct registry *registry, const char *op,
                      struct str about, uint64_t ns_id, uint64_t revision);

/* Called by the mouth when it gives an op up or is done with it (also after
 * OP_DONE). Not while OP_WAIT: a waiting op has to be woken first. */
void registry_op_done(struct registry *registry, struct op *op);

/* Ops that wait for a revision (Roster-Min-Revision) are woken from here: the
 * server calls it on each commit and each tick. Core thread. */
void registry_on_revision(struct registry *registry, uint64_t revision);
void registry_on_tick(struct registry *registry);
/* Core thread: leadership, see core.h. O(1): the lease table begins to serve,
 * when it is filled, or ends. */
void registry_on_lead(struct registry *registry, bool leads);
/* Core thread: another node asks this one, which leads. */
void registry_on_ask(struct registry *registry, struct core_asked *asked);
/* Core thread: the state is another one, see core.h. */
void registry_on_restored(struct registry *registry);
/* The machine's hooks, which keep the lease table as the log says. */
struct machine_hooks registry_machine_hooks(struct lease_table *leases);

/* Lends. For the answers that a mouth keeps (cache/memo.h). */
struct cache *registry_cache(struct registry *registry);

/* The newest revision an answer of this node can have shown: what an answer
 * without an operation says. */
uint64_t registry_revision(struct registry *registry);

/* One line a check: name, whether it holds, why not. Ends with name NULL. */
struct registry_check {
    const char *name;
    bool ok;
    const char *why;
};
/* For /readyz; with stale_ok only what local reads need. */
#define REGISTRY_CHECKS 12
bool registry_ready(struct registry *registry, bool stale_ok,
                    struct registry_check ret_checks[REGISTRY_CHECKS]);
/* Appends this room's and the lower ones' metrics (Prometheus text). */
void registry_metrics(struct registry *registry, struct buf *out);

#endif
