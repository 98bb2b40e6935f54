/* What the files of this room share. Private. */
#ifndef RAFT_INSIDE_H
#define RAFT_INSIDE_H

#include <raft.h>
#include <raft/uv.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/sha256.h"
#include "raft/core.h"

enum {
    /* An entry never reaches beyond its segment, which is allocated before: a
     * write of it finds room, and one that was cut short leaves a file of full
     * length. Libraft takes a shorter one for an input error and does not
     * start. Four segments in KiB must fit libraft's 16 bits. */
    SEGMENT_BYTES = 12 * 1024 * 1024,
    ENTRY_MOST = SEGMENT_BYTES - 1024 * 1024, /* one command alone */
    REPLAY_COMMIT = 8 * 1024 * 1024,
    /* libraft may take a segment or two of it before LMDB does. */
    BALLAST_BYTES = 24 * 1024 * 1024,
    DISK_CHECK_MS = 500,
    START_BYTES = 4 * 1024 * 1024, /* less than this is a full disk */
    STALL_RETRY_MS = 250,
    DUTY_PAUSE_MS = 250,
    RECLAIM_STEP = 500,
    TRAILING_BYTES = 8 * 1024 * 1024, /* log kept behind a snapshot */
    TRAILING_MOST = 1024,
};

/* The requests of one Raft entry. */
struct pack {
    struct queue_link *first; /* core_requests, in the order of arrival */
    struct machine_result *results;
    size_t n_commands;
    uint64_t index; /* of its entry */
    uint64_t nonce;
    bool in_flight;
    bool answered; /* libraft has called back */
    int status;    /* what it said */
    struct raft_apply apply;
};

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

/* The header of a state file and the descriptor libraft keeps of it. */
struct state_info {
    uint8_t cluster[16];
    char node[64];
    char file[64];  /* its name; in the descriptor only */
    uint64_t index; /* descriptor: of the snapshot; header: applied */
    uint64_t revision;
    uint64_t size; /* bytes of the LMDB image */
    uint8_t image[SHA256_BYTES];
    uint8_t state[SHA256_BYTES]; /* store_digest_file */
};

/* A snapshot being written: the worker's and the loop's share of it. */
struct snapshot_job {
    uv_work_t work;
    struct core *core;
    unsigned trailing;
    struct raft_io_snapshot_put *put;
    const struct raft_snapshot *snapshot;
    raft_io_snapshot_put_cb cb;
    uint64_t started_us;
    struct state_info info;
    int r;
};

struct core {
    struct core_config config;
    char *raft_dir, *store_dir, *state_dir, *marker, *ballast;
    int lock_fd;
    char node_id[64];
    char domain[256];
    uint64_t raft_id;
    struct store *store;
    struct machine *machine;

    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick;
    uv_signal_t signals[3];
    bool running;
    bool stopping;
    bool closing;
    bool stop_told;
    _Atomic bool over; /* nobody looks at the queue any more */

    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_uv_transport transport;
    int (*put_snapshot)(struct raft_io *io, unsigned trailing,
                        struct raft_io_snapshot_put *req,
                        const struct raft_snapshot *snapshot,
                        raft_io_snapshot_put_cb cb);
    int (*load_log)(struct raft_io *io, raft_term *term, raft_id *voted_for,
                    struct raft_snapshot **snapshot, raft_index *start_index,
                    struct raft_entry *entries[], size_t *n_entries);
    bool raft_inited;
    bool refusing;     /* libraft took no entry the last time */
    bool snapshotting; /* a worker writes a state file */

    struct queue queue; /* core_requests */
    struct queue calls; /* core_calls */
    struct queue_link *pending, **pending_end;
    struct pack pack;
    struct redo *redo, **redo_end;
    size_t redo_bytes;
    bool stalled; /* the loop's own; status.stalled is for others */
    uint64_t stall_tried_ms;

    struct duty init, epoch, reclaim;
    bool leading; /* the epoch of this leadership is applied */
    uint64_t disk_checked_ms;
    uint64_t left_bytes;  /* on the disk, when it was last measured */
    uint64_t used_bytes;  /* of the store, when it was last measured */
    uint64_t grown_bytes; /* let in since, as it will be stored */
    bool ballast_held;

    uint64_t log_bytes; /* entries since the last snapshot was begun */
    uint32_t sizes[TRAILING_MOST]; /* of the newest entries, a ring */
    uint64_t turn_began_us;

    struct {
        _Atomic bool leads, caught_up, draining, disk_low, stalled;
        _Atomic uint64_t term, applied, revision, lease_epoch;
    } status;
    struct {
        _Atomic uint64_t packs, commands, pack_bytes, refused, unknown, commits,
            commit_us, submit_to_done_us, snapshots, snapshot_failures,
            snapshot_us, log_bytes, loop_max_us;
    } stats;
};

#define COUNT(core, name, by)                                                  \
    atomic_fetch_add_explicit(&(core)->stats.name, (by), memory_order_relaxed)

/* ---- dir.c: the data directory ---- */
int dir_open(struct core *core) MUST_USE;
/* Whether what LMDB holds may be believed: see [CORE-3]. */
bool dir_trusts_store(const struct core *core);
int dir_mark(struct core *core, bool clean) MUST_USE;
int dir_unmark(struct core *core) MUST_USE;
void dir_close(struct core *core);
/* Write a small file whole: temporary name, sync, rename, sync of the folder.
 */
int dir_write(const char *path, struct str content) MUST_USE;
int dir_sync(const char *directory) MUST_USE;
char *dir_join(const char *directory, const char *name) MUST_USE;

/* ---- disk.c ---- */
void disk_init(struct core *core);
void disk_watch(struct core *core, uint64_t now_ms);
bool disk_takes(struct core *core, size_t bytes);
/* Room for a state file? */
bool disk_has_room(const struct core *core) MUST_USE;
/* A write found no room: give the ballast, refuse growth at once. */
void disk_ran_out(struct core *core);

/* ---- order.c: requests, packs, entries ---- */
void order_init(struct core *core);
void order_drain(struct core *core);
/* Commit what was applied, complete who waited, send the next pack. */
void order_turn(struct core *core, uint64_t now_ms);
int order_apply(struct core *core, uint64_t index, struct str bytes) MUST_USE;
int order_commit(struct core *core) MUST_USE;
/* Nothing is under way; while stalled: nobody waits for what is. */
bool order_idle(const struct core *core);
void order_done(struct core *core);
void order_refuse_all(struct core *core);
/* After the loop's end, any thread: what came behind it is told no. */
void order_refuse_late(struct core *core);

/* ---- log.c: libraft ---- */
int log_open(struct core *core) MUST_USE;
void log_close(struct core *core);
bool log_leads(struct core *core);
/* Gives the bytes to libraft. Answers: NOT_READY, FULL. */
int log_submit(struct core *core, const struct buf *bytes) MUST_USE;
void log_entry_applied(struct core *core, size_t bytes);

/* ---- duties.c: what a leader does unasked ---- */
void duties_init(struct core *core);
void duties_turn(struct core *core);
/* This leadership counts no more; a new epoch begins the next. */
void duties_lose(struct core *core);
void duties_done(struct core *core);

/* ---- state.c: state files ---- */
/* Makes a state file of the newest commit; fills ret_info. Any thread. */
int state_write(struct core *core, struct state_info *ret_info) MUST_USE;
/* Puts the newest whole state file in the store's place (or nothing when there
 * is none). */
int state_restore(struct core *core) MUST_USE;
/* Forget state files but the newest two and those left half-written. */
void state_clean(struct core *core);
/* One that no descriptor will name; "" is none. */
void state_forget(struct core *core, const char *file);
#define STATE_DESCRIPTOR_BYTES 288
void state_describe(const struct state_info *info,
                    uint8_t ret_bytes[STATE_DESCRIPTOR_BYTES]);
/* Answers: INVALID. */
int state_read_descriptor(const void *bytes, size_t n,
                          struct state_info *ret_info) MUST_USE;

/* ---- snapshot.c ---- */
void snapshot_init(struct core *core);

/* ---- transport.c ---- */
void transport_init(struct raft_uv_transport *transport);

#endif
