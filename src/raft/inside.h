/* What the files of this room share. Private. */
#ifndef RAFT_INSIDE_H
#define RAFT_INSIDE_H

#include <pthread.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdatomic.h>
#include <uv.h>

#include "peer/peer.h"
#include "raft/core.h"
#include "raft/steps.h"
#include "state/state.h"

struct members;    /* members.c */
struct form;       /* form.c */
struct links;      /* link.c */
struct installs;   /* install.c */
struct connecting; /* transport.c */

/* How far this node has come on its way into a cluster; see form.c. */
enum node_state {
    NODE_NEW,     /* it has a raft id; nothing is decided */
    NODE_FORMING, /* its cluster is decided; its log may not have begun */
    NODE_JOINED,  /* its log has begun, or is given by the others */
    NODE_REMOVED, /* it was a member: nothing it says counts */
};

enum {
    /* How long a leader may be silent: the least of what libraft draws from
     * [1, 2) times this, and how often it speaks. */
    ELECTION_MS = 600,
    HEARTBEAT_MS = 100,
    /* An entry never reaches beyond its segment, which is allocated before: a
     * write of it finds room, and one that was cut short leaves a file of full
     * length. Libraft takes a shorter one for an input error and does not
     * start. Four segments in KiB must fit libraft's 16 bits. */
    SEGMENT_BYTES = 12 * 1024 * 1024,
    ENTRY_MOST = SEGMENT_BYTES - 1024 * 1024, /* one command alone */
    REPLAY_COMMIT = 8 * 1024 * 1024,
    APPLY_US = 5000,  /* of a turn; the last entry may take as long again, */
    APPLY_ROWS = 256, /* or be cut into slices of so many rows */
    REDO_MOST = 64 * 1024 * 1024, /* kept while nothing can be applied */
    /* libraft may take a segment or two of it before LMDB does. */
    BALLAST_BYTES = 24 * 1024 * 1024,
    DISK_CHECK_MS = 500,
    START_BYTES = 4 * 1024 * 1024, /* less than this is a full disk */
    STALL_RETRY_MS = 250,
    DUTY_PAUSE_MS = 250,
    RECLAIM_STEP = 500,
    COUNT_STEP = 1000,
    INDEX_STEP = 1000,
    TRAILING_BYTES = 8 * 1024 * 1024, /* log kept behind a snapshot */
    TRAILING_MOST = 1024,
};

/* The requests of one Raft entry of this leader. */
struct pack {
    struct queue_link *first; /* guests and fences; our own are in `sent` */
    size_t n_commands;
    size_t weight;  /* of all of them */
    uint64_t index; /* of its entry */
    uint64_t term;
    uint64_t nonce;
    bool alone; /* takes no other command */
    bool in_flight;
    bool answered; /* libraft has called back */
    uint64_t sent_us;
    int status; /* what it said */
    struct raft_apply apply;
};

/* An entry that is applied and holds requests of ours: they are told when it
 * is committed. */
struct told {
    struct told *next;
    uint64_t index;
    uint64_t epoch_term; /* of the EPOCH in it, 0: none */
    size_t n;
    struct machine_result *results;
    struct core_request **whose; /* NULL: nobody's here */
};

enum { SENT_BUCKETS = 4096 };

/* An entry applied since the last commit: applied again when that fails. */
struct redo {
    struct redo *next;
    uint64_t index;
    struct buf bytes;
};

/* A command this room sends by itself. */
struct duty {
    struct core_request request;
    struct buf bytes;
    struct core *core;
    uint64_t not_before_ms;
    bool busy;
};

/* Something long, for the thread of the jobs: `run` there, then `after` on the
 * core thread. `run` is left out when the core stops before its turn; `ran`
 * tells. */
struct work {
    struct queue_link link;
    void (*run)(struct work *work);
    void (*after)(struct work *work);
    bool urgent; /* goes ahead of what waits */
    bool ran;
};

struct jobs {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct queue_link *first, **end; /* works that wait, under the lock */
    bool over;
    bool started;
    struct queue asked;           /* core_state_jobs, from any thread */
    struct queue done;            /* works whose `after` is due */
    size_t n_works;               /* given and not ended */
    size_t n_waiting;             /* core_state_jobs not done */
    struct queue_link *snapshots; /* jobs for the next one that begins */
    struct queue_link *begun;     /* jobs of the one that is being made */
};

/* A state file that a RESTORE may name or has named. */
struct staged {
    struct staged *next;
    char file[64];
    uint64_t index; /* of the entry that names it, 0: none yet */
    bool sent;      /* an entry that may name it is on its way */
    bool unpacked;  /* lies in store.new/, ready to be served */
    bool unwanted;  /* by who had it staged: goes with the loop's next turn */
    uint64_t fetched_ms; /* from another node, for a RESTORE; else 0 */
};

struct core {
    struct core_config config;
    char *raft_dir, *store_dir, *state_dir, *fresh_dir, *old_dir, *spool_dir;
    char *marker, *recover_mark, *ballast;
    int lock_fd;
    char node_id[64];
    char domain[256];
    uint64_t raft_id;
    struct store *store;
    struct machine *machine;

    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_timer_t tick;
    uv_signal_t signals[3];
    bool running;
    bool stopping;
    bool closing;
    bool ending; /* the loop has ended: nothing begins any more */
    bool stop_told;
    _Atomic bool over; /* nobody looks at the queue any more */
    _Atomic bool busy; /* a pack is out: a command can only wait for its end */

    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_uv_transport transport;
    raft_uv_accept_cb accept_stream; /* NULL: libraft does not listen */
    struct connecting *connecting;   /* transport.c */
    uint64_t heard_ms;               /* a leader of our term */
    int (*put_snapshot)(struct raft_io *io, unsigned trailing,
                        struct raft_io_snapshot_put *req,
                        const struct raft_snapshot *snapshot,
                        raft_io_snapshot_put_cb cb);
    int (*start_io)(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb recv);
    int (*send_message)(struct raft_io *io, struct raft_io_send *req,
                        const struct raft_message *message, raft_io_send_cb cb);
    raft_io_recv_cb deliver;
    int (*load_log)(struct raft_io *io, raft_term *term, raft_id *voted_for,
                    struct raft_snapshot **snapshot, raft_index *start_index,
                    struct raft_entry *entries[], size_t *n_entries);
    bool raft_inited;
    bool refusing;            /* libraft took no entry the last time */
    bool snapshotting;        /* from its beginning until it is stored */
    struct snapshot *written; /* waits for the log to be on the disk */
    bool snapshot_wanted;     /* as soon as there is room */
    bool waiting;             /* packs wait for a snapshot to be stored */
    bool wants_entry;         /* an entry, if only to have one */
    uint64_t snapshot_index;  /* of the newest that is stored */

    struct peer *peer;         /* the listener, NULL before it listens */
    struct members *members;   /* who is there */
    struct form *form;         /* while this node is none yet, else NULL */
    struct links *links;       /* to and from the other nodes */
    struct installs *installs; /* states of others on their way here */
    uint8_t cluster[16];       /* zero while it is not known */
    enum node_state node_state;
    char *formed; /* id/raft id/address of each first member, or NULL */
    bool fresh;   /* no log yet: bootstrapped with `first` */
    struct raft_configuration first; /* n == 0: joins what is there */
    bool failed;       /* it could not become a member: the process ends */
    uint64_t session;  /* first half of our request ids */
    uint64_t next_seq; /* second half */

    struct jobs jobs;
    pthread_mutex_t staged_lock;
    struct staged *staged;
    _Atomic bool unstaged; /* one of them is unwanted */

    struct queue queue;                        /* core_requests */
    struct queue calls;                        /* core_calls */
    struct queue_link *pending, **pending_end; /* not in any log */
    struct queue_link *sent[SENT_BUCKETS];     /* ours, perhaps in one */
    size_t n_sent;
    struct told *told, **told_end;
    struct queue_link *fetching; /* guests: RESTOREs whose file is not here */
    uint64_t epoch_term; /* of the newest EPOCH that is committed here */
    uint64_t usable_ms;  /* when there was last a leader to be had */
    struct pack pack;
    struct queue_link *fences;  /* ours, for the leader's next word */
    struct queue_link *asked;   /* those that it is being asked for */
    struct queue_link *awaited; /* with the index they wait for */
    struct confirm {
        struct queue_link *waiting; /* for the next round */
        struct queue_link *first;   /* of the one that is out */
        bool out;
        uint64_t seq;
        uint64_t by[CORE_MEMBERS_MOST];
        size_t n;
        /* Who made the last majority: asked first. */
        uint64_t quick[CORE_MEMBERS_MOST];
        size_t n_quick;
        uv_timer_t late; /* then all are asked */
    } confirm;
    struct duty catch_up;  /* a fence: this node has seen what there was */
    bool handing_over;     /* no more packs: another shall lead */
    struct arena *scratch; /* of one look at a command */
    struct queue asks;     /* core_asks, from any thread */
    struct queue_link *asking, **asking_end; /* not answered yet */
    uint64_t next_ask;
    struct redo *redo, **redo_end;
    size_t redo_bytes;
    bool refused; /* an entry cannot be applied: the start fails */
    bool stalled; /* the loop's own; status.stalled is for others */
    bool late;    /* `redo` is applied in turns, this one has done its part */
    struct redo *cut; /* applied in part: nothing else may be done to the
                         state; NULL: none */
    uint64_t stall_tried_ms;

    struct duty init, epoch, reclaim, count, index, recover, nudge;
    bool recovering;           /* a marker asks for a RESTORE in place */
    bool leading;              /* the epoch of this leadership is applied */
    uint64_t leading_term;     /* and which it is */
    uint64_t told_commit;      /* the others know up to there */
    uint64_t epoch_asked_term; /* what the newest EPOCH proposed says */
    uint64_t disk_checked_ms;
    uint64_t left_bytes;  /* on the disk, when it was last measured */
    uint64_t used_bytes;  /* of the store, when it was last measured */
    uint64_t grown_bytes; /* let in since, as it will be stored */
    bool ballast_held;

    uint64_t log_bytes; /* entries since the last snapshot was begun */
    uint32_t sizes[TRAILING_MOST]; /* of the newest entries, a ring */
    struct steps steps;

    struct {
        _Atomic bool leads, caught_up, draining, disk_low, stalled, follows,
            voter, removed, installing, behind;
        _Atomic uint64_t term, applied, revision, lease_epoch, log_time_ms,
            leader, heard_ms;
        _Atomic uint64_t next_end_ms;
        _Atomic(const char *) forming;
    } status;
    struct {
        _Atomic uint64_t packs, commands, pack_bytes, refused, unknown,
            submit_to_done_us, snapshots, snapshot_failures, snapshot_us,
            log_bytes, log_waits, forwarded, resent, guests, rounds, transfers,
            transfers_failed, sent_bytes, fetches, fetches_failed,
            received_bytes, installs, put_off;
        struct histogram turns, writes, commits; /* the loop alone adds */
    } stats;
};

#define COUNT(core, name, by)                                                  \
    atomic_fetch_add_explicit(&(core)->stats.name, (by), memory_order_relaxed)

/* ---- status.c: what this node says of itself ---- */
void status_turn(struct core *core);
void status_tick(struct core *core, uint64_t now_ms);
/* A leader of our term spoke. */
void status_heard(struct core *core, uint64_t now_ms);
uint64_t status_stale_ms(const struct core *core);

/* ---- core.c ---- */
/* What the loop does from here on; gives what it did: for core_step again, when
 * this is done. */
enum core_step core_step(struct core *core, enum core_step step);
/* How the store in `directory` is opened. */
struct store_config core_store_config(const struct core *core,
                                      const char *directory);
/* All that the log says is applied: reads may begin. */
void core_catch_up(struct core *core);

/* ---- dir.c: the data directory ---- */
int dir_open(struct core *core) MUST_USE;
/* Names and lock of a directory that holds a node, and who that is. Answers:
 * BUSY (a process serves it), INVALID (none is in it). */
int dir_open_existing(struct core *core) MUST_USE;
/* Whether what LMDB holds may be believed: see [CORE-3]. */
bool dir_trusts_store(const struct core *core);
int dir_mark(struct core *core, bool clean) MUST_USE;
int dir_unmark(struct core *core) MUST_USE;
void dir_close(struct core *core);
/* Write a small file whole: temporary name, sync, rename, sync of the folder.
 */
int dir_write(const char *path, struct str content) MUST_USE;
int dir_sync(const char *directory) MUST_USE;
/* A small text file whole; n == 0 when there is none. */
struct buf dir_read(const char *path) MUST_USE;
/* What stands behind a word at the start of a line; p == NULL: nothing. */
struct str dir_value(const struct buf *content, const char *word) MUST_USE;
char *dir_join(const char *directory, const char *name) MUST_USE;

/* ---- node.c: the file that says who this is ---- */
/* Reads it, or makes one. Answers: INVALID (another node's, or damaged:
 * logged).
 */
int node_open(struct core *core) MUST_USE;
/* Of a directory nobody serves. Answers: INVALID. */
int node_open_existing(struct core *core) MUST_USE;
/* Writes who this node is and how far it has come. */
int node_write(struct core *core) MUST_USE;
/* The log has begun, and must be there from now on: after raft_bootstrap,
 * before raft_start. */
int node_joined(struct core *core) MUST_USE;
/* A directory of a release that did not write its cluster down: learns it from
 * the store. Before the log is started, and `last`, after it has been replayed:
 * then it is drawn if the registry has none yet. */
int node_learn_cluster(struct core *core, bool last) MUST_USE;

/* ---- disk.c ---- */
void disk_init(struct core *core);
void disk_watch(struct core *core, uint64_t now_ms);
bool disk_takes(struct core *core, size_t bytes);
/* Room for so many bytes above the reserve, asked of the disk. Any thread. */
bool disk_has(const struct core *core, uint64_t bytes) MUST_USE;
/* Room for a state file? */
bool disk_has_room(const struct core *core) MUST_USE;
/* A write found no room: give the ballast, refuse growth at once. */
void disk_ran_out(struct core *core);

/* ---- order.c: requests on their way into a log ---- */
static inline struct core_request *request_of(struct queue_link *link)
{
    return CONTAINER(link, struct core_request, link);
}
void order_init(struct core *core);
void order_drain(struct core *core);
/* Commit what was applied, complete who waited, send what waits. */
void order_turn(struct core *core, uint64_t now_ms);
/* Gives up who has waited long enough for a leader. */
void order_tick(struct core *core, uint64_t now_ms);
/* Nothing is under way; while stalled: nobody waits for what is. */
bool order_idle(const struct core *core);
void order_done(struct core *core);
void order_refuse_all(struct core *core);
/* After the loop's end, any thread: what came behind it is told no. */
void order_refuse_late(struct core *core);
void order_complete(struct core *core, struct core_request *request,
                    int outcome);
/* Into the list of what waits; in front of it: what was there before. */
void order_wait(struct core *core, struct core_request *request);
void order_wait_first(struct core *core, struct core_request *request);
/* The next one that waits and is a command of ours that may go to another
 * node; NULL: none. */
struct core_request *order_take(struct core *core);
/* Whether there is a leader that takes what we have. */
bool order_has_leader(const struct core *core);

/* ---- sent.c: requests that may be in a log ---- */
void sent_init(struct core *core);
/* It is on its way in that term, over that link (0: our own log): under a new
 * number. */
void sent_add(struct core *core, struct core_request *request, uint64_t term,
              uint64_t link);
/* The leader at the other end of this link did not take that attempt. NULL:
 * nobody waits for it. */
struct core_request *sent_take_refused(struct core *core, uint64_t seq,
                                       uint64_t link);
/* Its request id into the bytes of its command, when it has been added. */
void sent_write_id(const struct core *core, const struct core_request *request,
                   char *command);
/* An entry is about to be applied: places for the results of its commands, NULL
 * when none of them is ours. */
struct machine_result *sent_expect(struct core *core, uint64_t index,
                                   struct str bytes);
/* The same places again, with what is in them. */
struct machine_result *sent_results(struct core *core, uint64_t index);
/* Tells those whose entry is committed, and finds those who cannot be in any
 * log any more: they wait again. */
void sent_tell(struct core *core);
/* Those that went over an older link than this one to a leader of this term,
 * and were not seen, never came there. */
void sent_lost(struct core *core, uint64_t term, uint64_t link);
/* Those of the entry that libraft did not take wait again (0), or fail. */
void sent_refused(struct core *core, uint64_t term, int outcome);
/* The state was replaced: what became of them cannot be known. */
void sent_forget(struct core *core);
/* The same for those only that no entry applied here holds. */
void sent_passed(struct core *core);
/* Unknown, after they waited for too long. */
void sent_tick(struct core *core, uint64_t now_ms); /* while nobody leads */
void sent_done(struct core *core);

/* ---- confirm.c: that this node still leads ---- */
void confirm_init(struct core *core);
/* A fence, done when a majority has said so after this call. */
void confirm_add(struct core *core, struct core_request *fence);
/* Whether it came with all the confirmation that it needs. */
bool confirm_is_made(const struct core *core, const struct core_request *fence);
void confirm_turn(struct core *core);
/* Ask again, and all; the next round goes to all, too. */
void confirm_tick(struct core *core);
void confirm_heard(struct core *core, uint64_t raft_id, uint64_t term,
                   uint64_t seq);
/* This node leads no more. */
void confirm_lose(struct core *core);

/* ---- questions.c: questions to whoever leads ---- */
void questions_init(struct core *core);
void questions_turn(struct core *core);
void questions_tick(struct core *core, uint64_t now_ms);
/* The leader said this; a link is gone, or the leader another. */
void questions_reply(struct core *core, uint64_t seq, uint32_t code,
                     struct str reply);
void questions_again(struct core *core);
void questions_refuse_all(struct core *core);
/* As order_refuse_late. */
void questions_refuse_late(struct core *core);
/* On the leader: one came over a link. */
void questions_take(struct core *core, uint64_t link, uint64_t seq,
                    uint32_t kind, struct str request);

/* ---- applied.c: entries, and the transactions they are applied in ---- */
void applied_init(struct core *core);
int applied_add(struct core *core, uint64_t index, struct str bytes) MUST_USE;
/* What is in the log is not all applied: nothing may be completed that is not
 * committed in the store. */
bool applied_waits(const struct core *core);
/* As much waits to be applied as may. */
bool applied_is_full(const struct core *core);
/* Commits what is open. */
int applied_commit(struct core *core) MUST_USE;
/* Of what waits: while stalled all since the last commit, again, after a while;
 * else what is left, as much as a turn may take. */
void applied_go_on(struct core *core, uint64_t now_ms);
/* Another state takes the place of this one and all that waits: what was not
 * committed is dropped (applied_forget), then the new state shown. */
void applied_forget(struct core *core);
/* What is open is dropped; who goes on applies it again. */
void applied_abort(struct core *core);
void applied_replaced(struct core *core);
void applied_done(struct core *core);

/* ---- log.c: libraft ---- */
int log_open(struct core *core) MUST_USE;
void log_close(struct core *core);
bool log_leads(struct core *core);
/* Gives the bytes to libraft. Answers: NOT_READY, FULL. */
int log_submit(struct core *core, const struct buf *bytes) MUST_USE;
void log_entry_applied(struct core *core, size_t bytes);
/* On the leader: the others shall apply what is committed. */
void log_tell_commit(struct core *core);

/* ---- load.c: what is in the log when the process starts ---- */
/* Steps in front of raft_io's load. */
void load_init(struct core *core);
/* What that gave. */
void load_free(struct raft_snapshot *snapshot, struct raft_entry *entries,
               size_t n);

/* ---- duties.c: what a leader does unasked ---- */
void duties_init(struct core *core);
void duties_turn(struct core *core);
/* This leadership counts no more; a new epoch begins the next. */
void duties_lose(struct core *core);
void duties_done(struct core *core);

/* ---- files.c: the state files of this node ---- */
/* Makes one of the newest commit; fills ret_info. Any thread. */
int files_write(struct core *core, struct state_info *ret_info) MUST_USE;
/* Puts the newest whole one in the store's place (or nothing when there is
 * none). */
int files_rebuild(struct core *core) MUST_USE;
/* Forget all but the newest two, and what is being sent. */
void files_clean(struct core *core);
/* Forget what a process that died left half-written. */
void files_sweep(struct core *core);
/* One that no descriptor will name; "" is none. */
void files_forget(struct core *core, const char *file);
/* The newest one's header. Answers: NOT_FOUND. */
int files_newest(const struct core *core, struct state_info *ret_info) MUST_USE;
/* What begins so in the spool, but for one of that name. Any thread. */
void files_clear_spool(const struct core *core, const char *prefix,
                       const char *but);
/* Removes a file, or a directory with the files in it. */
void files_remove(const char *path);
/* The same, by the thread of the jobs while the loop runs: what is as large as
 * the state takes its time to go. Core thread; takes the path. */
void files_discard(struct core *core, char *path);

/* ---- snapshot.c ---- */
void snapshot_init(struct core *core);
/* One that is written is stored as soon as it may be. */
void snapshot_turn(struct core *core);
/* A snapshot begins: who waits for one gets this one. */
void snapshot_starts(struct core *core);
/* One that was begun came to nothing. */
void snapshot_fail(struct core *core, int outcome);

/* ---- jobs.c: work on the whole state, on a thread of its own ---- */
void jobs_init(struct core *core);
/* Core thread. */
void jobs_push(struct core *core, struct work *work);
/* Ends what is done, begins what was asked. */
void jobs_turn(struct core *core);
bool jobs_idle(const struct core *core);
void jobs_complete(struct core *core, struct core_state_job *job, int outcome);
/* After the loop's end, any thread: what came behind it is told no. */
void jobs_refuse_late(struct core *core);
void jobs_done(struct core *core);

/* ---- staged.c: files that a RESTORE may name ---- */
void staged_init(struct core *core);
/* Checks the file at `path` and keeps it under a name, info->file, ready to be
 * served. Not the core thread. Answers: INVALID (why), FULL. */
int staged_check_in(struct core *core, const char *path,
                    struct state_info *info, char why[STATE_WHY]) MUST_USE;
/* The log, as it was loaded, holds an entry that names this file. */
void staged_note(struct core *core, uint64_t index, struct str file);
/* Files that the log does not name are gone. */
void staged_sweep(struct core *core);
/* Those that are unwanted go. */
void staged_turn(struct core *core);
/* A RESTORE is on its way, or has come to something. */
void staged_sent(struct core *core, struct str command, bool sent);
/* A snapshot at `index` is stored: files named up to there are not needed. */
void staged_release(struct core *core, uint64_t index);
/* Under the lock. */
struct staged *staged_find(struct core *core, struct str file);
struct staged *staged_add(struct core *core, struct str file);
/* Where its image lies, a directory as a store's. */
char *staged_fresh(const struct core *core, const char *file) MUST_USE;
/* The raft id of the node it was staged at, 0: not told. */
uint64_t staged_origin(struct str file) MUST_USE;
/* The image of the state file at `path` into the directory `fresh`, which is
 * made: with every check there is, domain and size among them. For a RESTORE
 * (staged) its history is cleared. Any thread. Answers: INVALID (why), FULL. */
int staged_make_fresh(const struct core *core, const char *path,
                      const char *fresh, const struct state_watch *watch,
                      struct state_info *info, bool staged,
                      char why[STATE_WHY]) MUST_USE;
/* What takes as long as the state is large, or the history long, done before
 * the loop has to do with it. */
int staged_prepare(const struct core *core, const char *fresh) MUST_USE;
void staged_done(struct core *core);

/* ---- restore.c: another state in the place of this one ---- */
/* Applies a RESTORE, with nothing open. Answers: INVALID: the file it names is
 * not there or damaged; the reason has been logged. */
int restore_apply(struct core *core, uint64_t index, struct str bytes,
                  const struct command_restore *restore,
                  struct machine_result *results) MUST_USE;

/* The state in the directory `fresh` takes the store's place as it is. Faults:
 * the old one is there. */
int restore_install(struct core *core, const char *fresh) MUST_USE;

/* ---- transport.c: connections for libraft ---- */
void transport_init(struct core *core);
/* A descriptor that shook hands; takes it. */
void transport_arrive(struct core *core, const struct peer_id *from, int fd);

/* ---- members.c: libraft's configuration, and what is known beyond it ----
 * Core thread, but what says otherwise. */
void members_init(struct core *core);
void members_done(struct core *core);
/* The cluster says that this node was removed from it. */
void members_removed(struct core *core);
/* What a leader does about its members; tells others what changed. */
void members_turn(struct core *core, uint64_t now_ms);
/* Where a member listens; any thread. Answers: NOT_FOUND. */
int members_address(const struct core *core, uint64_t raft_id,
                    char ret_address[CORE_ADDRESS]) MUST_USE;
/* This node, as it tells the others; any thread. */
void members_self(const struct core *core, struct peer_id *ret_self);
/* What somebody told about itself in a handshake; any thread. */
void members_learn(struct core *core, const struct peer_id *id);
/* Peer thread, for struct peer_config. */
enum peer_verdict members_judge(struct core *core, enum peer_kind kind,
                                const struct peer_id *from, uint64_t expects,
                                char why[PEER_WHY]);
void members_called(struct core *core, struct peer_called *called,
                    const struct peer_id *from, struct str request);
/* By the newest configuration. */
bool members_is_voter(const struct core *core, uint64_t raft_id);
unsigned members_voters(const struct core *core);
/* A message of it came. */
void members_heard(struct core *core, uint64_t raft_id, uint64_t now_ms);
/* When a majority of the voters had been heard last, this node among them. */
uint64_t members_quorum_heard_ms(const struct core *core, uint64_t now_ms);
/* JOIN, REMOVE, TRANSFER, on the leader; answers them when they are done. */
void members_ask(struct core *core, struct core_asked *asked);
/* Frames of a link: this node's state for the leader, and the leader's list
 * for the others. Reading answers INVALID. */
void members_status_write(const struct core *core, struct buf *out);
int members_status_read(struct core *core, uint64_t raft_id,
                        struct str bytes) MUST_USE;
void members_table_write(const struct core *core, struct buf *out);
int members_table_read(struct core *core, struct str bytes) MUST_USE;
/* Changes with what members_table_write would write. */
uint64_t members_table_version(const struct core *core);
/* Hand leadership over to whoever is best, if this node has it: the first
 * step of leaving. Begins; log_leads tells when it is done. */
void members_hand_over(struct core *core);

/* Leadership is being handed over. */
/* Where this node listens, as bound; after peer_start. */
void members_listen(struct core *core, const char *bound);
/* Core thread: which cluster this node belongs to. */
void members_set_cluster(struct core *core, const uint8_t cluster[16]);

/* ---- form.c: a node that is none yet ---- */
/* A new directory, with --join or --cluster: asks the others, on a thread of
 * its own; then core_begin is called. */
bool form_is_needed(const struct core *core);
int form_start(struct core *core) MUST_USE;
/* It shall come to nothing: returns at once. */
void form_end(struct core *core);
void form_stop(struct core *core);
/* Else: what its log begins with, before it is opened. */
int form_settle(struct core *core) MUST_USE;

/* ---- core.c ---- */
/* Opens the log, when it is known which cluster's. */
int core_begin(struct core *core) MUST_USE;

/* ---- feature.c ---- */
/* Answers: INVALID (the registry needs another version: logged). */
int feature_check(const struct core *core) MUST_USE;
void feature_turn(struct core *core);
/* Whether the level has to be raised before this node leads: it is being done.
 */
bool feature_comes_first(struct core *core);

/* ---- link.c: frames to and from the other nodes' loops ---- */
void links_init(struct core *core);
void links_turn(struct core *core, uint64_t now_ms);
void links_tick(struct core *core, uint64_t now_ms);
void links_done(struct core *core);
/* A descriptor that shook hands; takes it. */
void links_arrive(struct core *core, const struct peer_id *from, int fd);
/* Whether there is a link to a leader that leads, in our term. */
bool links_usable(const struct core *core);
/* What waits goes to the leader. */
void links_forward(struct core *core);
bool links_have(const struct core *core, uint64_t raft_id);
/* These nodes shall say whether this one leads; n == 0: all. */
void links_confirm(struct core *core, uint64_t term, uint64_t seq,
                   const uint64_t *raft_ids, size_t n);
/* This node leads in this term, and takes commands. */
void links_lead(struct core *core);
/* A question for the leader. */
void links_ask(struct core *core, const struct core_ask *ask);
void links_reply(struct core *core, uint64_t id, uint64_t seq, uint32_t code,
                 struct str reply);

/* ---- frame.c: what a link's frames mean ---- */
struct link;
/* Answers: INVALID (the link is to be ended). */
int frame_read(struct core *core, struct link *link, uint8_t type,
               struct str bytes) MUST_USE;

/* ---- adopt.c: a state of another node in the place of this one ---- */
/* Before libraft loads its log: ends what a death left half installed. */
int adopt_mend(struct core *core) MUST_USE;
/* libraft stores the descriptor of an installed one (trailing == 0). */
int adopt_put(struct core *core, struct raft_io_snapshot_put *asked,
              const struct raft_snapshot *snapshot,
              raft_io_snapshot_put_cb cb) MUST_USE;
/* fsm->restore: brings the store to that state, when it is not beyond it. A
 * failure stops the process; at a start it is the answer (logged). */
int adopt_apply(struct core *core, const struct state_info *info) MUST_USE;

/* ---- install.c, missing.c, serve.c: states on their way between nodes ---- */
void install_init(struct core *core);
/* A snapshot is offered: true when it is kept back (and its memory taken)
 * until its file is here; then log_deliver passes it on. */
bool install_holds(struct core *core, struct raft_message *message);
/* Each turn of the loop: passes on what is ready, while libraft can take it. */
void install_turn(struct core *core, uint64_t now_ms);
/* When no peer thread runs any more. */
void install_done(struct core *core);
/* Peer thread: somebody asks for files. */
void serve_accepted(struct core *core, const struct peer_id *from, int fd);
/* A state file, or one that was staged, is being sent, or was a while ago. */
bool serve_keeps(struct core *core, const char *file);
/* Another node is getting a state: it will need the log behind it. */
bool serve_needs_log(struct core *core);
/* Whether the file that a RESTORE names is here: it may be proposed. */
bool fetch_has(struct core *core, const struct command_restore *restore);
/* It is not: get it from another node. Called now and then until fetch_has.
 * 0: it has come. Answers: NOT_READY (it is under way), and when it cannot be
 * had: NOT_FOUND, INVALID, FULL. */
int fetch_begin(struct core *core,
                const struct command_restore *restore) MUST_USE;

/* ---- guard.c: what libraft gets wrong about messages ---- */
void guard_sent(const struct core *core, struct raft_message *message);
void guard_received(struct core *core, struct raft_message *message);
/* It is not for libraft; nothing in it has to be freed. */
bool guard_drops(const struct core *core, const struct raft_message *message);

/* ---- log.c, for those who keep messages back ---- */
void log_deliver(struct core *core, struct raft_message *message);

#endif
