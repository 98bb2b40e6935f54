#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* libraft asks for a snapshot on the loop and stores what it is given. What it
 * is given is a descriptor; the state itself is written by a worker between
 * the asking and the storing, which is why the storing function of raft_io is
 * stepped in front of. [CORE-4] */

static void write_state(uv_work_t *work)
{
    struct snapshot_job *job = work->data;
    job->r = state_write(job->core, &job->info);
}

static void fail(struct snapshot_job *job)
{
    log_warn(LOG_RAFT, "a snapshot could not be written; the log stays whole",
             LOG_TXT("why", err_text(job->r)), LOG_TXT("at", err_origin()));
    COUNT(job->core, snapshot_failures, 1);
    state_forget(job->core, job->info.file);
    job->cb(job->put, RAFT_IOERR);
}

static void state_written(uv_work_t *work, int status)
{
    struct snapshot_job *job = work->data;
    struct core *core = job->core;
    uint64_t index = job->snapshot->index;

    core->snapshotting = false;
    if (status != 0 || job->r != 0) {
        fail(job);
        mem_free(job);
        return;
    }
    job->info.index = index;
    state_describe(&job->info, job->snapshot->bufs[0].base);
    int r = core->put_snapshot(&core->io, job->trailing, job->put,
                               job->snapshot, job->cb);
    if (r != 0) {
        fail(job);
    } else {
        uint64_t took = clock_mono_us() - job->started_us;
        COUNT(core, snapshots, 1);
        COUNT(core, snapshot_us, took);
        state_clean(core);
        log_info(LOG_RAFT, "snapshot", LOG_TXT("file", job->info.file),
                 LOG_U64("index", index), LOG_U64("bytes", job->info.size),
                 LOG_U64("ms", took / 1000));
    }
    mem_free(job);
}

static int put(struct raft_io *io, unsigned trailing,
               struct raft_io_snapshot_put *req,
               const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct core *core = CONTAINER(io, struct core, io);
    struct snapshot_job *job = mem_zero(sizeof *job);

    job->core = core;
    job->trailing = trailing;
    job->put = req;
    job->snapshot = snapshot;
    job->cb = cb;
    job->work.data = job;
    job->started_us = clock_mono_us();
    if (uv_queue_work(&core->loop, &job->work, write_state, state_written) !=
        0) {
        mem_free(job);
        return RAFT_IOERR;
    }
    core->snapshotting = true;
    return 0;
}

void snapshot_init(struct core *core)
{
    core->put_snapshot = core->io.snapshot_put;
    core->io.snapshot_put = put;
}
