/* The state of another node takes the place of this one's, once it lies here:
 *
 *   adopt_put (libraft): descriptor stored, libraft's log emptied
 *   ─► adopt_apply (libraft): the store is swapped; readers never wait
 *
 * No death in between matters:
 *   - before the descriptor is stored: the old state, its log, and a file more,
 *     which is a committed state.
 *   - while libraft stores it: `installing` in the data directory says so. The
 *     next start sees whether the descriptor is there; then the log before it
 *     is removed, which libraft may have been about to do. It does not start
 *     with a log that ends before its snapshot.
 *   - before the store is swapped: it is behind the descriptor. The next start
 *     brings it there from the file, before anything is applied.
 *   - while directories are renamed: no marker, the store is made again from
 *     the newest file (restore.c).
 * Nothing may fail any more, or libraft would wait for ever: if something does,
 * the process stops, and the next start begins anew. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/install.h"

/* ---- the mark of a descriptor that is being stored ---- */

/* Names of what libraft keeps of a snapshot begin so. */
static void mark_text(const struct raft_snapshot *snapshot, char ret[64])
{
    (void)snprintf(ret, 64, "snapshot-%llu-%llu-",
                   (unsigned long long)snapshot->term,
                   (unsigned long long)snapshot->index);
}

static char *marker_of(const struct core *core)
{
    return dir_join(core->config.data_dir, "installing");
}

static int mark(struct core *core, const struct raft_snapshot *snapshot)
{
    char text[64];
    char *marker = marker_of(core);

    mark_text(snapshot, text);
    int r = dir_write(marker, str_of(text));
    mem_free(marker);
    return r;
}

static int unmark(struct core *core)
{
    char *marker = marker_of(core);
    int r = unlink(marker) == 0 ? 0 : err_raise(ERR_IO);

    mem_free(marker);
    return r == 0 ? dir_sync(core->config.data_dir) : r;
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Both of its files have their names: libraft takes it. */
static bool is_stored(const struct core *core, const char *prefix)
{
    struct dirent **names = NULL;
    bool meta = false;
    bool data = false;
    int n = scandir(core->raft_dir, &names, NULL, NULL);

    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        if (strncmp(name, prefix, strlen(prefix)) == 0) {
            meta = meta || has_end(name, ".meta");
            data = data || !has_end(name, ".meta");
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return meta && data;
}

/* "<first>-<last>", numbers of 16 digits, or "open-<n>". */
static int filter_log(const struct dirent *entry)
{
    const char *name = entry->d_name;

    return strncmp(name, "open-", 5) == 0 ||
           (strspn(name, "0123456789") == 16 && name[16] == '-');
}

static int empty_log(struct core *core)
{
    struct dirent **names = NULL;
    int n = scandir(core->raft_dir, &names, filter_log, NULL);
    int r = n < 0 ? err_raise(ERR_IO) : 0;

    for (int i = 0; i < n; i++) {
        char *path = dir_join(core->raft_dir, names[i]->d_name);
        if (unlink(path) != 0) {
            r = err_raise(ERR_IO);
        }
        mem_free(path);
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return r == 0 ? dir_sync(core->raft_dir) : r;
}

int adopt_mend(struct core *core)
{
    char prefix[64] = "";
    char *marker = marker_of(core);
    int r = 0;

    FILE *file = fopen(marker, "re");
    mem_free(marker);
    if (file != NULL) {
        bool read = fgets(prefix, sizeof prefix, file) != NULL;
        (void)fclose(file);
        if (read && is_stored(core, prefix)) {
            log_info(LOG_RAFT, "the state of another node is installed where "
                               "the process before stopped");
            r = empty_log(core);
        }
        if (r == 0) {
            r = unmark(core);
        }
    }
    return r;
}

/* ---- from here on nothing may fail ---- */

static void stop(const char *what, const char *why)
{
    log_error(LOG_RAFT,
              "the state of another node could not be installed: stopping, "
              "the next start begins anew",
              LOG_TXT("what", what), LOG_TXT("why", why));
    abort();
}

static void stop_on_fault(const char *what, int r)
{
    if (r != 0) {
        stop(what, err_text(r));
    }
}

struct put {
    struct raft_io_snapshot_put put; /* ours, in front of the one asked */
    struct raft_io_snapshot_put *asked;
    raft_io_snapshot_put_cb cb;
    struct core *core;
    uint64_t index;
};

static void put_stored(struct raft_io_snapshot_put *ours, int status)
{
    struct put *put = CONTAINER(ours, struct put, put);
    struct core *core = put->core;
    struct raft_io_snapshot_put *asked = put->asked;
    raft_io_snapshot_put_cb cb = put->cb;

    if (status == 0) {
        /* Before libraft writes the first entry behind it. */
        stop_on_fault("unmark", unmark(core));
        core->snapshot_index = put->index;
        files_clean(core);
        staged_release(core, put->index);
    } else if (status != RAFT_CANCELED) {
        stop("the descriptor", raft_strerror(status));
    }
    mem_free(put);
    cb(asked, status);
}

int adopt_put(struct core *core, struct raft_io_snapshot_put *asked,
              const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct put *put = mem_zero(sizeof *put);

    put->core = core;
    put->asked = asked;
    put->cb = cb;
    put->index = snapshot->index;
    stop_on_fault("mark", mark(core, snapshot));
    int r = core->put_snapshot(&core->io, 0, &put->put, snapshot, put_stored);
    if (r != 0) {
        stop("the descriptor", raft_strerror(r));
    }
    return 0;
}

/* At a start, what the process before laid out is gone. */
static int lay_out(struct core *core, const struct state_info *info,
                   const char *fresh)
{
    char *image = dir_join(fresh, "data.mdb");
    char *file = dir_join(core->state_dir, info->file);
    char why[STATE_WHY] = "";
    struct state_info found = {.index = 0};
    int r = 0;

    if (access(image, F_OK) != 0) {
        r = staged_make_fresh(core, file, fresh, NULL, &found, false, why);
    }
    if (r > 0) {
        log_error(LOG_RAFT,
                  "the state that was installed is damaged: begin with an "
                  "empty directory, and join again",
                  LOG_TXT("file", file), LOG_TXT("why", why));
    }
    mem_free(image);
    mem_free(file);
    return r;
}

int adopt_apply(struct core *core, const struct state_info *info)
{
    char *fresh = staged_fresh(core, info->file);
    bool wanted = machine_view(core->machine).applied < info->index;
    enum core_step before = core_step(core, CORE_STEP_STATE);
    int r = 0;

    if (wanted) {
        /* Who waits for what is open hears of it. */
        (void)!applied_commit(core);
        r = lay_out(core, info, fresh);
    }
    if (wanted && r == 0) {
        applied_forget(core);
        r = restore_install(core, fresh);
    }
    if (r != 0 && core->running) {
        stop(info->file, err_text(r));
    }
    if (r == 0 && wanted) {
        applied_replaced(core);
        core->log_bytes = 0;
        COUNT(core, installs, 1);
        log_info(LOG_RAFT, "the state of another node is this node's now",
                 LOG_TXT("file", info->file), LOG_U64("index", info->index),
                 LOG_U64("applied", machine_view(core->machine).applied));
    }
    mem_free(fresh);
    atomic_store(&core->status.installing, false);
    (void)core_step(core, before);
    return r;
}
