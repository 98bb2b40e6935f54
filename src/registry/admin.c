#include "registry/admin.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/metric.h"
#include "registry/answer.h"

/* Copies on the disk at once: each is as large as the state, for as long as
 * its reader takes. */
enum { BACKUPS_MOST = 4, SNAPSHOTS_SHOWN = 16 };

/* ---- jobs ---- */

static void on_done(struct core_state_job *job)
{
    struct admin *admin = CONTAINER(job, struct admin, job);
    struct op_state *s = admin->s;
    struct admin_counts *counts = &s->registry->admin;

    atomic_fetch_sub(&counts->running, 1);
    atomic_fetch_add(&counts->jobs[job->kind][job->outcome != 0], 1);
    s->op->wake(s->op);
}

/* Nothing may touch `s` after core_state_job: on_done can come first. */
int admin_ask(struct op_state *s, struct admin *admin,
              enum core_state_kind kind, const char *path)
{
    admin->s = s;
    admin->job =
        (struct core_state_job){.kind = kind, .path = path, .done = on_done};
    s->memory = admin;
    atomic_fetch_add(&s->registry->admin.running, 1);
    core_state_job(s->registry->core, &admin->job);
    return WAITS;
}

int admin_refused(struct op_state *s, const struct admin *admin)
{
    switch (admin->job.outcome) {
    case ERR_FULL:
        return answer_problem(
            s, OP_NO_SPACE, STR(""),
            "the disk has no room above its reserve (--disk-reserve) for a "
            "copy of the state: nothing was done. Make room, then try again");
    case ERR_INVALID:
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "the file is refused, nothing was changed: %s",
                              admin->job.why);
    case ERR_BUSY:
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "another restore is under way: wait for its end");
    case ERR_NOT_READY:
        return answer_busy(s, "this node hears no leader, is ending, or has "
                              "too much work on the whole state waiting: "
                              "nothing was done");
    default:
        return admin->job.outcome;
    }
}

struct str admin_hex(struct op_state *s, const uint8_t digest[32])
{
    struct buf out = {0};

    for (size_t i = 0; i < 32; i++) {
        buf_printf(&out, "%02x", digest[i]);
    }
    return arena_take(s->op->arena, &out);
}

/* ---- backup ---- */

static int begin_backup(struct op_state *s)
{
    static atomic_uint number;
    struct admin_counts *counts = &s->registry->admin;
    struct admin *admin = arena_zero(s->op->arena, sizeof *admin);

    if (atomic_fetch_add(&counts->backups, 1) >= BACKUPS_MOST) {
        atomic_fetch_sub(&counts->backups, 1);
        return answer_busy(s, "as many backups as there may be are being "
                              "read: wait for one to end");
    }
    admin->counted = true;
    admin->path = arena_printf(s->op->arena, "%s/backup-%u",
                               core_spool_dir(s->registry->core),
                               atomic_fetch_add(&number, 1));
    return admin_ask(s, admin, CORE_STATE_EXPORT,
                     arena_text(s->op->arena, admin->path));
}

static int answer_file(struct op_state *s, const struct op_file *from)
{
    struct op_file *file = mem_dup(from, sizeof *from);

    file->registry = s->registry;
    s->op->answer.file = file;
    s->op->answer.code = OP_OK;
    return ANSWERED;
}

/* Its name goes at once: whatever becomes of the reader or of this process,
 * nothing stays behind. */
static int open_backup(struct op_state *s, struct admin *admin)
{
    const struct state_info *info = &admin->job.info;
    const char *domain = core_domain(s->registry->core);
    struct op_file file = {.fd = -1};
    struct stat stat;

    file.fd = open(admin->job.path, O_RDONLY | O_CLOEXEC);
    if (file.fd < 0 || fstat(file.fd, &stat) != 0) {
        (void)(file.fd < 0 ? 0 : close(file.fd));
        return err_raise(ERR_IO);
    }
    (void)unlink(admin->job.path);
    admin->path = STR("");
    admin->counted = false; /* the file's from here on */
    (void)posix_fadvise(file.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    file.size = (uint64_t)stat.st_size;
    file.digest = admin_hex(s, info->state);
    file.name = arena_printf(s->op->arena, "roster-%s-%llu.backup", domain,
                             (unsigned long long)info->revision);
    s->op->answer.revision = info->revision;
    return answer_file(s, &file);
}

int admin_backup(struct op_state *s)
{
    struct admin *admin = s->memory;

    if (s->op->head) {
        return answer_file(s, &(struct op_file){.fd = -1});
    }
    if (admin == NULL) {
        return begin_backup(s);
    }
    if (admin->job.outcome != 0) {
        return admin_refused(s, admin);
    }
    /* Without a worker on this thread: better one slow open than a copy of
     * everything made for nothing. */
    return s->on_worker || s->op->no_worker ? open_backup(s, admin)
                                            : NEEDS_WORKER;
}

void admin_end(struct op_state *s)
{
    struct admin *admin = s->memory;

    if (admin != NULL && admin->path.n > 0) {
        (void)unlink(admin->job.path);
    }
    if (admin != NULL && admin->counted) {
        atomic_fetch_sub(&s->registry->admin.backups, 1);
    }
}

struct op_file *registry_file_close(struct op_file *file)
{
    if (file != NULL && file->fd >= 0) {
        (void)close(file->fd);
        atomic_fetch_sub(&file->registry->admin.backups, 1);
    }
    return mem_free(file);
}

/* ---- digest, snapshots ---- */

static int ask_alone(struct op_state *s, enum core_state_kind kind)
{
    return admin_ask(s, arena_zero(s->op->arena, sizeof(struct admin)), kind,
                     NULL);
}

int admin_digest(struct op_state *s)
{
    const struct admin *admin = s->memory;
    struct buf out = {0};

    if (admin == NULL) {
        return ask_alone(s, CORE_STATE_DIGEST);
    }
    if (admin->job.outcome != 0) {
        return admin_refused(s, admin);
    }
    const struct state_info *info = &admin->job.info;
    buf_printf(&out, "{\"revision\":%llu,\"index\":%llu,\"digest\":\"%.*s\"}",
               (unsigned long long)info->revision,
               (unsigned long long)info->index,
               STR_ARG(admin_hex(s, info->state)));
    s->op->answer.revision = info->revision;
    return answer_ok(s, &out);
}

static void add_snapshot(struct buf *out, const char *file, uint64_t index,
                         uint64_t revision, uint64_t bytes)
{
    buf_printf(out,
               "{\"file\":\"%s\",\"index\":%llu,\"revision\":%llu,"
               "\"bytes\":%llu",
               file, (unsigned long long)index, (unsigned long long)revision,
               (unsigned long long)bytes);
}

int admin_snapshot(struct op_state *s)
{
    const struct admin *admin = s->memory;
    struct buf out = {0};

    if (admin == NULL) {
        return ask_alone(s, CORE_STATE_SNAPSHOT);
    }
    if (admin->job.outcome != 0) {
        return admin_refused(s, admin);
    }
    const struct state_info *info = &admin->job.info;
    add_snapshot(&out, info->file, info->index, info->revision,
                 state_file_bytes(info));
    buf_add_char(&out, '}');
    return answer_ok(s, &out);
}

int admin_snapshots(struct op_state *s)
{
    struct core_snapshot found[SNAPSHOTS_SHOWN];
    struct buf out = {0};

    size_t n = core_snapshots(s->registry->core, found, SNAPSHOTS_SHOWN);
    buf_add_char(&out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_add_text(&out, i > 0 ? "," : "");
        add_snapshot(&out, found[i].file, found[i].index, found[i].revision,
                     found[i].bytes);
        buf_printf(&out, ",\"made_ms\":%llu}",
                   (unsigned long long)found[i].made_ms);
    }
    buf_add_char(&out, ']');
    return answer_ok(s, &out);
}

/* ---- metrics ---- */

static void add_jobs(const struct admin_counts *counts, bool failed,
                     const char *name, struct buf *out)
{
    static const char *const kinds[] = {
        [CORE_STATE_EXPORT] = "backup",
        [CORE_STATE_DIGEST] = "digest",
        [CORE_STATE_STAGE] = "restore",
        [CORE_STATE_SNAPSHOT] = "snapshot",
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        metric_labelled(out, name, "kind", kinds[i],
                        atomic_load(&counts->jobs[i][failed]));
    }
}

static void add_newest(struct registry *registry, struct buf *out)
{
    struct core_snapshot newest = {0};

    if (core_snapshots(registry->core, &newest, 1) == 0) {
        return;
    }
    metric_gauge(out, "roster_snapshot_index",
                 "Entry of the log that the newest snapshot reaches to.",
                 newest.index);
    metric_gauge(out, "roster_snapshot_bytes", "Size of the newest snapshot.",
                 newest.bytes);
    metric_gauge(out, "roster_snapshot_timestamp_seconds",
                 "When the newest snapshot was made, in seconds since 1970.",
                 newest.made_ms / 1000);
}

void admin_metrics(struct registry *registry, struct buf *out)
{
    const struct admin_counts *counts = &registry->admin;

    metric_head(out, "roster_admin_jobs_done_total", "counter",
                "Work on the whole state that was asked for and done; of a "
                "restore: its file was checked and taken.");
    add_jobs(counts, false, "roster_admin_jobs_done_total", out);
    metric_head(out, "roster_admin_jobs_failed_total", "counter",
                "Work on the whole state that was refused or failed.");
    add_jobs(counts, true, "roster_admin_jobs_failed_total", out);
    metric_gauge(out, "roster_admin_jobs", "Such work under way or waiting.",
                 atomic_load(&counts->running));
    metric_gauge(out, "roster_backups_open",
                 "Backups being made or read: files on the disk.",
                 atomic_load(&counts->backups));
    metric_counter(out, "roster_restores_total",
                   "Restores that replaced the state.",
                   atomic_load(&counts->restores));
    add_newest(registry, out);
}
