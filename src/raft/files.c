#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/install.h"

static const char NAME[] = "state-";
static const char STAGED[] = "staged-";

/* ---- writing ---- */

static int name_and_keep(struct core *core, const char *temporary,
                         struct state_info *info)
{
    (void)snprintf(info->file, sizeof info->file, "%s%016llx-%08llx", NAME,
                   (unsigned long long)info->index,
                   (unsigned long long)(chance_u64() >> 32));
    char *file = dir_join(core->state_dir, info->file);
    int r = rename(temporary, file) == 0 ? dir_sync(core->state_dir)
                                         : err_raise(ERR_IO);
    mem_free(file);
    return r;
}

int files_write(struct core *core, struct state_info *ret_info)
{
    char *file = dir_join(core->state_dir, "writing");

    int r = state_file_write(core->store, core->node_id, core->state_dir,
                             "writing", ret_info);
    if (r == 0) {
        r = name_and_keep(core, file, ret_info);
    }
    (void)unlink(file);
    mem_free(file);
    return r;
}

/* ---- looking through them ---- */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static int filter_state(const struct dirent *entry)
{
    return begins(entry->d_name, NAME) ? 1 : 0;
}

/* Newest last: the name begins with the index in hex. */
static int list_states(const struct core *core, struct dirent ***ret_names)
{
    int n = scandir(core->state_dir, ret_names, filter_state, alphasort);
    return n < 0 ? err_raise(ERR_IO) : n;
}

/* Calls `func` with each path, newest first, until it answers 0. */
static int each(const struct core *core,
                int (*func)(const char *path, const char *name, void *user),
                void *user)
{
    struct dirent **names = NULL;
    int n = list_states(core, &names);
    int r = ERR_NOT_FOUND;

    if (n < 0) {
        return n;
    }
    for (int i = n; i-- > 0;) {
        if (r != 0) {
            char *path = dir_join(core->state_dir, names[i]->d_name);
            r = func(path, names[i]->d_name, user);
            mem_free(path);
        }
        free(names[i]);
    }
    free(names);
    return r;
}

static int read_newest(const char *path, const char *name, void *user)
{
    char why[STATE_WHY];

    (void)name;
    return state_file_head(path, user, why);
}

int files_newest(const struct core *core, struct state_info *ret_info)
{
    return each(core, read_newest, ret_info) == 0 ? 0 : ERR_NOT_FOUND;
}

struct listing {
    struct core_snapshot *to;
    size_t n, most;
};

static int list_one(const char *path, const char *name, void *user)
{
    struct listing *listing = user;
    struct state_info info;
    struct stat file;
    char why[STATE_WHY];

    if (stat(path, &file) == 0 && state_file_head(path, &info, why) == 0) {
        struct core_snapshot *to = &listing->to[listing->n++];
        (void)snprintf(to->file, sizeof to->file, "%s", name);
        to->index = info.index;
        to->revision = info.revision;
        to->bytes = state_file_bytes(&info);
        to->made_ms = (uint64_t)file.st_mtim.tv_sec * 1000 +
                      (uint64_t)file.st_mtim.tv_nsec / 1000000;
    }
    return listing->n < listing->most ? ERR_NOT_FOUND : 0;
}

size_t core_snapshots(const struct core *core, struct core_snapshot *ret,
                      size_t most)
{
    struct listing listing = {ret, 0, most};

    if (most > 0) {
        (void)each(core, list_one, &listing);
    }
    return listing.n;
}

/* ---- the store from one ---- */

static void clear_store(const struct core *core)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "new.mdb"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = dir_join(core->store_dir, files[i]);
        (void)unlink(path);
        mem_free(path);
    }
}

static int rebuild_from(const char *file, const char *name, void *user)
{
    struct core *core = user;
    char *fresh = dir_join(core->store_dir, "new.mdb");
    char *data = dir_join(core->store_dir, "data.mdb");
    struct state_info info = {.index = 0};
    char why[STATE_WHY] = "";

    int r = state_file_unpack(file, fresh, NULL, &info, why);
    if (r == 0 && rename(fresh, data) != 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        r = dir_sync(core->store_dir);
    }
    if (r == 0) {
        log_info(LOG_STORE, "rebuilt from a state file", LOG_TXT("file", name),
                 LOG_U64("index", info.index));
    } else {
        log_warn(LOG_STORE, "a state file cannot be used",
                 LOG_TXT("file", name),
                 LOG_TXT("why", r > 0 ? why : err_text(r)));
    }
    mem_free(fresh);
    mem_free(data);
    return r;
}

int files_rebuild(struct core *core)
{
    clear_store(core);
    /* An older one will do when the newest is damaged and the log still has
     * what is between; the descriptor check at start sees to that. */
    (void)each(core, rebuild_from, core);
    return 0;
}

/* ---- forgetting ---- */

enum { KEEP = 2 }; /* libraft keeps two descriptors */

struct discard {
    struct work work;
    char *path;
};

static void discard_run(struct work *work)
{
    files_remove(CONTAINER(work, struct discard, work)->path);
}

static void discard_after(struct work *work)
{
    struct discard *discard = CONTAINER(work, struct discard, work);

    if (!work->ran) {
        files_remove(discard->path); /* Stopped before its turn. */
    }
    mem_free(discard->path);
    mem_free(discard);
}

void files_discard(struct core *core, char *path)
{
    struct discard *discard = mem_zero(sizeof *discard);

    discard->path = path;
    discard->work.run = discard_run;
    discard->work.after = discard_after;
    if (core->running) {
        jobs_push(core, &discard->work);
    } else {
        discard_after(&discard->work);
    }
}

void files_forget(struct core *core, const char *file)
{
    if (file[0] != '\0') {
        files_discard(core, dir_join(core->state_dir, file));
    }
}

void files_clean(struct core *core)
{
    struct dirent **names = NULL;
    int n = list_states(core, &names);
    unsigned extra = 0;

    for (int i = n; i-- > 0;) {
        if (i < n - KEEP) {
            if (extra < SERVE_EXTRA && serve_keeps(core, names[i]->d_name)) {
                extra++;
            } else {
                files_forget(core, names[i]->d_name);
            }
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

static int filter_half(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && !begins(entry->d_name, NAME) &&
           !begins(entry->d_name, STAGED);
}

void files_sweep(struct core *core)
{
    struct dirent **names = NULL;
    int n = scandir(core->state_dir, &names, filter_half, NULL);

    for (int i = 0; i < n; i++) {
        files_forget(core, names[i]->d_name);
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

void files_clear_spool(const struct core *core, const char *prefix,
                       const char *but)
{
    struct dirent **names = NULL;
    int n = scandir(core->spool_dir, &names, NULL, NULL);

    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        if (begins(name, prefix) && strcmp(name, but) != 0) {
            char *path = dir_join(core->spool_dir, name);
            (void)unlink(path);
            mem_free(path);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

static int filter_inside(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

void files_remove(const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, filter_inside, NULL);

    for (int i = 0; i < n; i++) {
        char *inside = dir_join(path, names[i]->d_name);
        files_remove(inside);
        mem_free(inside);
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    (void)remove(path);
}
