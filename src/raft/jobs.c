#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* Copies and sums of the whole state are made by one thread, one after the
 * other: two at once would take the disk twice and the page cache from each
 * other.
 *
 *   core_state_job ─► asked ─► jobs_turn (core thread: may it be?)
 *                                 │
 *        done ◄─ after ◄─ done ◄──┴─► first… (its own thread: run) */

/* ---- the thread ---- */

static struct work *work_of(struct queue_link *link)
{
    return CONTAINER(link, struct work, link);
}

static struct work *next_work(struct jobs *jobs)
{
    struct queue_link *link = NULL;

    (void)pthread_mutex_lock(&jobs->lock);
    while (jobs->first == NULL && !jobs->over) {
        (void)pthread_cond_wait(&jobs->more, &jobs->lock);
    }
    link = jobs->first;
    if (link != NULL) {
        jobs->first = link->next;
        if (jobs->first == NULL) {
            jobs->end = &jobs->first;
        }
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    return link == NULL ? NULL : work_of(link);
}

static void *run_works(void *user)
{
    struct core *core = user;
    struct work *work = NULL;

    while ((work = next_work(&core->jobs)) != NULL) {
        work->run(work);
        work->ran = true;
        if (queue_push(&core->jobs.done, &work->link)) {
            (void)uv_async_send(&core->wake);
        }
    }
    return NULL;
}

void jobs_init(struct core *core)
{
    (void)pthread_mutex_init(&core->jobs.lock, NULL);
    (void)pthread_cond_init(&core->jobs.more, NULL);
    core->jobs.end = &core->jobs.first;
}

void jobs_push(struct core *core, struct work *work)
{
    struct jobs *jobs = &core->jobs;

    jobs->n_works++;
    work->ran = false;
    (void)pthread_mutex_lock(&jobs->lock);
    if (work->urgent) {
        work->link.next = jobs->first;
        jobs->first = &work->link;
    } else {
        work->link.next = NULL;
        *jobs->end = &work->link;
    }
    if (work->link.next == NULL) {
        jobs->end = &work->link.next;
    }
    (void)pthread_cond_signal(&jobs->more);
    (void)pthread_mutex_unlock(&jobs->lock);
    if (!jobs->started) {
        /* Not before it is needed: most runs of most programs never do. */
        jobs->started =
            pthread_create(&jobs->thread, NULL, run_works, core) == 0;
        assert(jobs->started);
    }
}

/* What has not begun will not: who waits is told so. */
static void cancel(struct core *core)
{
    struct jobs *jobs = &core->jobs;

    (void)pthread_mutex_lock(&jobs->lock);
    struct queue_link *link = jobs->first;
    jobs->first = NULL;
    jobs->end = &jobs->first;
    (void)pthread_mutex_unlock(&jobs->lock);
    while (link != NULL) {
        struct queue_link *next = link->next;
        jobs->n_works--;
        work_of(link)->after(work_of(link));
        link = next;
    }
}

/* ---- the jobs ---- */

struct state_work {
    struct work work;
    struct core *core;
    struct core_state_job *job;
    int r;
};

static void export(struct core *core, struct state_work *work)
{
    struct core_state_job *job = work->job;
    char *directory = mem_text(job->path);
    char *slash = strrchr(directory, '/');

    assert(slash != NULL);
    *slash = '\0';
    uint64_t bytes = store_usage(core->store).used_bytes;
    /* The image and the file made of it lie side by side for a moment. */
    work->r = disk_has(core, 2 * bytes)
                  ? state_file_write(core->store, core->node_id, directory,
                                     slash + 1, &job->info)
                  : ERR_FULL;
    (void)snprintf(job->info.domain, sizeof job->info.domain, "%s",
                   core->domain);
    mem_free(directory);
}

static int applied_now(struct core *core, uint64_t *ret_applied)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    int r = store_reader_new(core->store, &reader);
    if (r == 0) {
        r = store_read_begin(reader, &txn);
    }
    if (r == 0) {
        *ret_applied = store_meta(txn)->applied;
        store_read_end(txn);
    }
    store_reader_free(reader);
    return r;
}

static int digest_of_copy(struct core *core, struct state_info *info)
{
    char *image = dir_join(core->state_dir, "digest.image");
    struct store_meta meta;
    int r = ERR_FULL;

    if (disk_has(core, store_usage(core->store).used_bytes)) {
        r = store_copy(core->store, image);
    }
    if (r == 0) {
        r = store_digest_file(image, info->state, &meta);
    }
    if (r == 0) {
        info->index = meta.applied;
        info->revision = meta.revision;
    }
    (void)unlink(image);
    mem_free(image);
    return r;
}

static void digest(struct core *core, struct state_work *work)
{
    struct state_info *info = &work->job->info;
    uint64_t applied = 0;

    work->r = applied_now(core, &applied);
    if (work->r == 0 &&
        (files_newest(core, info) != 0 || info->index != applied)) {
        work->r = digest_of_copy(core, info);
    }
}

static void run_job(struct work *self)
{
    struct state_work *work = CONTAINER(self, struct state_work, work);
    struct core_state_job *job = work->job;

    switch (job->kind) {
    case CORE_STATE_EXPORT:
        export(work->core, work);
        break;
    case CORE_STATE_DIGEST:
        digest(work->core, work);
        break;
    case CORE_STATE_STAGE:
        work->r = staged_check_in(work->core, job->path, &job->info, job->why);
        break;
    case CORE_STATE_SNAPSHOT:
        assert(!"made by libraft");
        break;
    }
}

void jobs_complete(struct core *core, struct core_state_job *job, int outcome)
{
    core->jobs.n_waiting--;
    job->outcome = outcome == ERR_DISK_FULL ? ERR_FULL : outcome;
    job->n_rows = job->info.n_rows;
    job->n_ns = job->info.n_ns;
    job->n_leases = job->info.n_leases;
    job->done(job);
}

static void job_ran(struct work *self)
{
    struct state_work *work = CONTAINER(self, struct state_work, work);

    bool ran = self->ran;

    if (ran && work->r < 0) {
        log_warn(LOG_CORE, "work on the whole state failed",
                 LOG_TXT("why", err_text(work->r)),
                 LOG_TXT("path", work->job->path));
    }
    jobs_complete(work->core, work->job, ran ? work->r : ERR_NOT_READY);
    mem_free(work);
}

static void begin_snapshot(struct core *core, struct core_state_job *job)
{
    if (!order_has_leader(core)) {
        jobs_complete(core, job, ERR_NOT_READY);
    } else if (!disk_has_room(core)) {
        jobs_complete(core, job, ERR_FULL);
    } else {
        job->link.next = core->jobs.snapshots;
        core->jobs.snapshots = &job->link;
        core->snapshot_wanted = true;
    }
}

static void begin(struct core *core, struct core_state_job *job)
{
    job->info = (struct state_info){.index = 0};
    job->why[0] = '\0';
    core->jobs.n_waiting++;
    if (core->stopping || core->jobs.n_waiting > CORE_STATE_WAITING) {
        jobs_complete(core, job, ERR_NOT_READY);
    } else if (job->kind == CORE_STATE_SNAPSHOT) {
        begin_snapshot(core, job);
    } else {
        struct state_work *work = mem_zero(sizeof *work);
        work->work.run = run_job;
        work->work.after = job_ran;
        work->core = core;
        work->job = job;
        jobs_push(core, &work->work);
    }
}

void jobs_turn(struct core *core)
{
    struct queue_link *link = queue_take(&core->jobs.done);

    while (link != NULL) {
        struct queue_link *next = link->next;
        core->jobs.n_works--;
        work_of(link)->after(work_of(link));
        link = next;
    }
    link = queue_take(&core->jobs.asked);
    while (link != NULL) {
        struct queue_link *next = link->next;
        begin(core, CONTAINER(link, struct core_state_job, link));
        link = next;
    }
    if (core->stopping) {
        cancel(core);
        if (!core->snapshotting) {
            snapshot_fail(core, ERR_NOT_READY);
        }
    }
}

bool jobs_idle(const struct core *core)
{
    return core->jobs.n_works == 0;
}

/* ---- from any thread ---- */

void jobs_refuse_late(struct core *core)
{
    atomic_thread_fence(memory_order_seq_cst);
    struct queue_link *link = queue_take(&core->jobs.asked);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_state_job *job =
            CONTAINER(link, struct core_state_job, link);
        job->outcome = ERR_NOT_READY;
        job->done(job);
        link = next;
    }
}

void core_state_job(struct core *core, struct core_state_job *job)
{
    bool first = queue_push(&core->jobs.asked, &job->link);
    /* As in core_submit. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&core->over)) {
        jobs_refuse_late(core); /* The job may be gone. */
    } else if (first) {
        (void)uv_async_send(&core->wake);
    }
}

void jobs_done(struct core *core)
{
    struct jobs *jobs = &core->jobs;

    if (jobs->started) {
        (void)pthread_mutex_lock(&jobs->lock);
        jobs->over = true;
        (void)pthread_cond_signal(&jobs->more);
        (void)pthread_mutex_unlock(&jobs->lock);
        (void)pthread_join(jobs->thread, NULL);
    }
    assert(jobs->n_works == 0);
    (void)pthread_cond_destroy(&jobs->more);
    (void)pthread_mutex_destroy(&jobs->lock);
}
