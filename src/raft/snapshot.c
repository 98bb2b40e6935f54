#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* libraft asks for a snapshot on the loop and stores what it is given. What it
 * is given is a descriptor; the state itself is written by the thread of the
 * jobs between the asking and the storing, which is why the storing function of
 * raft_io is stepped in front of. [CORE-4] What is installed comes the same
 * way, with its file already here (adopt.c). */

struct snapshot {
    struct work work;
    struct core *core;
    unsigned trailing;
    struct raft_io_snapshot_put put; /* ours, in front of the one asked */
    struct raft_io_snapshot_put *asked;
    const struct raft_snapshot *snapshot;
    raft_io_snapshot_put_cb cb;
    uint64_t started_us;
    struct state_info info;
    int r;
};

/* ---- who waits for one ---- */

void snapshot_starts(struct core *core)
{
    core->snapshot_wanted = core->wants_entry = false;
    core->jobs.begun = core->jobs.snapshots;
    core->jobs.snapshots = NULL;
}

static void tell(struct core *core, struct queue_link **list, int outcome,
                 const struct state_info *info)
{
    while (*list != NULL) {
        struct core_state_job *job =
            CONTAINER(*list, struct core_state_job, link);
        *list = job->link.next;
        if (info != NULL) {
            job->info = *info;
        }
        jobs_complete(core, job, outcome);
    }
}

void snapshot_fail(struct core *core, int outcome)
{
    tell(core, &core->jobs.begun, outcome, NULL);
    if (core->stopping) {
        tell(core, &core->jobs.snapshots, outcome, NULL);
    }
}

/* ---- making one ---- */

static void write_state(struct work *work)
{
    struct snapshot *s = CONTAINER(work, struct snapshot, work);
    s->r = files_write(s->core, &s->info);
}

static void end(struct snapshot *s, int status)
{
    struct core *core = s->core;
    struct raft_io_snapshot_put *asked = s->asked;
    raft_io_snapshot_put_cb cb = s->cb;
    struct state_info info = s->info;
    uint64_t took = clock_mono_us() - s->started_us;

    core->snapshotting = false;
    if (status != 0) {
        log_warn(
            LOG_RAFT, "a snapshot could not be written; the log stays whole",
            LOG_TXT("why", s->r == 0 ? raft_strerror(status) : err_text(s->r)));
        COUNT(core, snapshot_failures, 1);
        files_forget(core, info.file);
        snapshot_fail(core, s->r < 0 ? s->r : ERR_NOT_READY);
    } else {
        COUNT(core, snapshots, 1);
        COUNT(core, snapshot_us, took);
        core->snapshot_index = info.index;
        files_clean(core);
        staged_release(core, info.index);
        log_info(LOG_RAFT, "snapshot", LOG_TXT("file", info.file),
                 LOG_U64("index", info.index), LOG_U64("bytes", info.size),
                 LOG_U64("ms", took / 1000));
        tell(core, &core->jobs.begun, 0, &info);
    }
    mem_free(s);
    cb(asked, status);
}

static void stored(struct raft_io_snapshot_put *put, int status)
{
    end(CONTAINER(put, struct snapshot, put), status);
}

static void store_descriptor(struct snapshot *s)
{
    struct core *core = s->core;

    /* The descriptor's: the file may be of a later one. */
    s->info.index = s->snapshot->index;
    state_describe(&s->info, s->snapshot->bufs[0].base);
    int r = core->put_snapshot(&core->io, s->trailing, &s->put, s->snapshot,
                               stored);
    if (r != 0) {
        end(s, r);
    }
}

/* A majority may have what this node's own disk has not yet: libraft applies
 * it, and could take a snapshot of it. A log that ends before its snapshot is
 * damage at the next start, so it is stored when the log has come that far. */
void snapshot_turn(struct core *core)
{
    struct snapshot *s = core->written;

    if (s != NULL && core->stopping) {
        core->written = NULL;
        end(s, RAFT_IOERR);
    } else if (s != NULL && core->raft.last_stored >= s->snapshot->index) {
        core->written = NULL;
        store_descriptor(s);
    }
}

static void state_written(struct work *work)
{
    struct snapshot *s = CONTAINER(work, struct snapshot, work);

    if (!work->ran || s->r != 0) {
        end(s, RAFT_IOERR);
        return;
    }
    s->core->written = s;
    snapshot_turn(s->core);
}

static int put(struct raft_io *io, unsigned trailing,
               struct raft_io_snapshot_put *req,
               const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct core *core = CONTAINER(io, struct core, io);

    /* Ours have entries behind them: log.c sees to that. */
    if (trailing == 0) {
        return adopt_put(core, req, snapshot, cb);
    }
    struct snapshot *s = mem_zero(sizeof *s);
    s->core = core;
    s->trailing = trailing;
    s->asked = req;
    s->snapshot = snapshot;
    s->cb = cb;
    s->started_us = clock_mono_us();
    s->work.run = write_state;
    s->work.after = state_written;
    s->work.urgent = true; /* Writes may have to wait for it. */
    core->snapshotting = true;
    jobs_push(core, &s->work);
    return 0;
}

void snapshot_init(struct core *core)
{
    core->put_snapshot = core->io.snapshot_put;
    core->io.snapshot_put = put;
}
