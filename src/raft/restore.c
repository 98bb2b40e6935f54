/* A state file takes the place of the state, through the log:
 *
 *   staged_check_in (thread of the jobs): checked ─► state/staged-…  synced
 *                                               └► store.new/…     unpacked
 *   RESTORE in the log ─► restore_apply (core): stamped, renamed, visible
 *   snapshot behind it stored ─► the staged file goes
 *
 * What the loop does costs the same whatever the size of the state.
 *
 * Why no death in between matters. The staged file is synced before the command
 * is proposed, and stays until a snapshot at or after the entry is stored. What
 * lies in store.new/ is worth nothing after a start: an entry that is applied
 * again unpacks its file again. The marker is gone while directories are
 * renamed (dir.c), so a start in the middle of that trusts no store and makes
 * it from a state file and the log, this entry among it. A committed entry
 * whose file is not there waits for it (missing.c); on the only node there is
 * it stops the start: its state is the only one there is. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/install.h"

static bool is_named(const struct state_info *info,
                     const struct command_restore *c)
{
    return info->size == c->size &&
           memcmp(info->state, c->digest, sizeof c->digest) == 0;
}

/* Unpacks the file that an entry names, when this process has not staged it: at
 * a start. Answers: INVALID (why). */
static int unpack(struct core *core, const struct command_restore *c,
                  const char *file, const char *fresh, char why[STATE_WHY])
{
    char *path = dir_join(core->state_dir, file);
    char *image = dir_join(fresh, "data.mdb");
    struct state_info info;

    (void)snprintf(why, STATE_WHY, "it is not the one that was restored");
    files_remove(fresh);
    /* Asked before: it is tried again and again, and who fills the disk each
     * time takes the log's last room. */
    int r = core_disk(core).free_bytes > c->size ? 0 : err_raise(ERR_DISK_FULL);
    if (r == 0 && mkdir(fresh, 0700) != 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        r = state_file_unpack(path, image, NULL, &info, why);
    }
    if (r == 0 && !is_named(&info, c)) {
        r = ERR_INVALID;
    }
    if (r == 0) {
        r = staged_prepare(core, fresh);
    }
    if (r != 0) {
        files_remove(fresh);
    }
    mem_free(path);
    mem_free(image);
    return r;
}

static int move_back(struct core *core, const char *fresh)
{
    int why = errno;

    (void)rename(core->store_dir, fresh);
    if (rename(core->old_dir, core->store_dir) == 0) {
        (void)!dir_mark(core, false);
    }
    return err_raise(why == ENOSPC || why == EDQUOT ? ERR_DISK_FULL : ERR_IO);
}

/* The environments are open: they follow their files. */
static int install(struct core *core, const char *fresh)
{
    int r = dir_unmark(core);
    if (r != 0) {
        return r;
    }
    if (rename(core->store_dir, core->old_dir) != 0 ||
        rename(fresh, core->store_dir) != 0 ||
        dir_sync(core->config.data_dir) != 0) {
        return move_back(core, fresh);
    }
    files_remove(core->old_dir);
    if (dir_mark(core, false) != 0) {
        log_warn(LOG_CORE, "the store could not be marked: the next start "
                           "makes it again from snapshot and log");
    }
    return 0;
}

struct retired {
    struct work work;
    struct store_next *old;
};

static void retire_run(struct work *work)
{
    struct retired *retired = CONTAINER(work, struct retired, work);
    retired->old = store_next_close(retired->old);
}

static void retire_after(struct work *work)
{
    struct retired *retired = CONTAINER(work, struct retired, work);

    store_next_close(retired->old); /* Stopped before its turn. */
    mem_free(retired);
}

/* Unmapping a large file takes its time. */
static void retire(struct core *core, struct store_next *old)
{
    if (!core->running) {
        store_next_close(old);
        return;
    }
    struct retired *retired = mem_zero(sizeof *retired);
    retired->old = old;
    retired->work.run = retire_run;
    retired->work.after = retire_after;
    jobs_push(core, &retired->work);
}

static int replace(struct core *core, uint64_t index, struct str bytes,
                   const char *fresh, struct staged *staged,
                   struct machine_result *result)
{
    struct store_next *next = NULL;

    int r = store_next_open(core->store, fresh, &next);
    if (r != 0) {
        return r;
    }
    r = machine_restore(core->machine, index, bytes, next, result);
    if (r == 0) {
        staged->unpacked = false; /* It is stamped: good for this or nothing. */
        r = install(core, fresh);
    }
    if (r != 0) {
        store_next_close(next);
        return r;
    }
    retire(core, machine_restored(core->machine, next));
    return 0;
}

int restore_install(struct core *core, const char *fresh)
{
    struct store_next *next = NULL;

    int r = store_next_open(core->store, fresh, &next);
    if (r != 0) {
        return r;
    }
    r = machine_install(core->machine, next);
    if (r == 0) {
        r = install(core, fresh);
    }
    if (r != 0) {
        store_next_close(next);
        return r;
    }
    retire(core, machine_restored(core->machine, next));
    return 0;
}

static struct staged *staged_of(struct core *core, struct str file)
{
    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = staged_find(core, file);
    if (staged == NULL) {
        staged = staged_add(core, file);
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
    return staged;
}

/* A name, not a path. */
static bool is_name(struct str file)
{
    return file.n <= COMMAND_FILE_MOST && memchr(file.p, '/', file.n) == NULL &&
           memchr(file.p, '\0', file.n) == NULL;
}

/* A later state is this node's: what the entry did is known, for it was to
 * replace; what is between the two was applied nowhere here. */
static void pass_by(struct core *core, const struct command_restore *restore,
                    struct machine_result *result)
{
    if (result != NULL) {
        result->revision = restore->revision;
    }
    sent_passed(core);
}

/* The file from another node, or a later state, which is then this one's, and
 * `result` is told. Answers: NOT_READY, INVALID. */
static int fetch(struct core *core, uint64_t index,
                 const struct command_restore *restore, const char *why,
                 struct machine_result *result)
{
    struct state_info newer;

    int r = missing_get(core, index, restore, &newer);
    if (r == ERR_NOT_FOUND) {
        log_error(LOG_CORE,
                  "the state that was restored cannot be restored again: put "
                  "its file back, or begin with a backup in a new directory",
                  LOG_STR("file", restore->file), LOG_TXT("why", why));
        return ERR_INVALID;
    }
    if (r == 0 && newer.file[0] != '\0') {
        char *fresh = staged_fresh(core, newer.file);
        r = restore_install(core, fresh);
        mem_free(fresh);
        if (r == 0) {
            pass_by(core, restore, result);
        }
    }
    return r;
}

/* 0: it lies in `fresh`, or the state has gone beyond it. */
static int prepare(struct core *core, uint64_t index,
                   const struct command_restore *restore, struct staged *staged,
                   const char *fresh, struct machine_result *result)
{
    char why[STATE_WHY] = "";
    int r = ERR_INVALID;

    if (!staged->unpacked && !missing_is_sought(core, restore->file)) {
        r = unpack(core, restore, staged->file, fresh, why);
        staged->unpacked = r == 0;
    }
    if (staged->unpacked || r < 0) {
        return staged->unpacked ? 0 : r;
    }
    return fetch(core, index, restore, why, result);
}

/* What it leaves to be done, however the state came to be it. */
static void settle(struct core *core, uint64_t index, struct staged *staged)
{
    (void)pthread_mutex_lock(&core->staged_lock);
    staged->index = index;
    (void)pthread_mutex_unlock(&core->staged_lock);
    core->snapshot_wanted = true;
    log_info(LOG_CORE, "restored", LOG_TXT("file", staged->file),
             LOG_U64("index", index),
             LOG_U64("revision", machine_view(core->machine).revision));
}

int restore_apply(struct core *core, uint64_t index, struct str bytes,
                  const struct command_restore *restore,
                  struct machine_result *results)
{
    if (index <= machine_view(core->machine).applied) {
        return 0;
    }
    if (!machine_replaces(core->machine, bytes)) {
        return machine_apply(core->machine, index, bytes, results);
    }
    if (!is_name(restore->file)) {
        return err_raise(ERR_CORRUPT);
    }
    struct staged *staged = staged_of(core, restore->file);
    char *fresh = staged_fresh(core, staged->file);
    int r = prepare(core, index, restore, staged, fresh, results);
    if (r == 0 && index > machine_view(core->machine).applied) {
        r = replace(core, index, bytes, fresh, staged, results);
    }
    if (r == 0) {
        settle(core, index, staged);
    }
    mem_free(fresh);
    return r;
}
