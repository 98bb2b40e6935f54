/* Files that a RESTORE may name, or has named: see restore.c. */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "raft/inside.h"
#include "raft/members.h"

static const char STAGED[] = "staged-";

/* ---- files that a RESTORE may name ---- */

void staged_init(struct core *core)
{
    (void)pthread_mutex_init(&core->staged_lock, NULL);
}

void staged_done(struct core *core)
{
    while (core->staged != NULL) {
        struct staged *staged = core->staged;
        core->staged = staged->next;
        mem_free(staged);
    }
    (void)pthread_mutex_destroy(&core->staged_lock);
}

struct staged *staged_find(struct core *core, struct str file)
{
    struct staged *staged = core->staged;

    while (staged != NULL && !str_is(file, staged->file)) {
        staged = staged->next;
    }
    return staged;
}

struct staged *staged_add(struct core *core, struct str file)
{
    struct staged *staged = mem_zero(sizeof *staged);

    assert(file.n < sizeof staged->file);
    memcpy(staged->file, file.p, file.n);
    staged->next = core->staged;
    core->staged = staged;
    return staged;
}

/* ---- staging ---- */

static int fits_level(const struct state_info *info, uint64_t most,
                      char why[STATE_WHY])
{
    if (info->feature_level <= most) {
        return 0;
    }
    (void)snprintf(why, STATE_WHY,
                   "it is of feature level %llu and this registry of %llu: "
                   "bring every node to the version that made it",
                   (unsigned long long)info->feature_level,
                   (unsigned long long)most);
    return ERR_INVALID;
}

/* The level is that of the program: a node that is behind the log has not seen
 * yet how far the cluster's was raised, and gets a state that is further. */
static int fits_here(const struct core *core, const struct state_info *info,
                     char why[STATE_WHY])
{
    if (strcmp(info->domain, core->domain) != 0) {
        (void)snprintf(why, STATE_WHY,
                       "it is of a registry with the domain %.80s, and this "
                       "one has %.80s",
                       info->domain, core->domain);
        return ERR_INVALID;
    }
    if (fits_level(info, feature_most(core), why) != 0) {
        return ERR_INVALID;
    }
    return info->size > core->config.store_limit_bytes ? ERR_FULL : 0;
}

uint64_t staged_origin(struct str file)
{
    size_t n = sizeof STAGED - 1;
    char digits[17] = "";

    if (file.n <= n + 16 || file.p[n + 16] != '-') {
        return 0;
    }
    memcpy(digits, file.p + n, 16);
    return strtoull(digits, NULL, 16);
}

char *staged_fresh(const struct core *core, const char *file)
{
    return dir_join(core->fresh_dir, file);
}

/* What takes as long as the state is large, or the history long: done before
 * the loop has to do with it. */
int staged_prepare(const struct core *core, const char *fresh)
{
    struct store_config config = core_store_config(core, fresh);
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    int r = store_open(&config, &store);
    if (r != 0) {
        return r;
    }
    r = store_write_begin(store, &txn);
    if (r == 0) {
        r = store_history_clear(txn);
        if (r == 0) {
            r = store_write_commit(txn);
        } else {
            store_write_abort(txn);
        }
    }
    store_close(store);
    return r == 0 ? dir_sync(fresh) : r; /* The file has its name there. */
}

int staged_make_fresh(const struct core *core, const char *path,
                      const char *fresh, const struct state_watch *watch,
                      struct state_info *info, bool staged, char why[STATE_WHY])
{
    char *image = dir_join(fresh, "data.mdb");
    int r = mkdir(fresh, 0700) == 0 ? 0 : err_raise(ERR_IO);

    if (r == 0) {
        r = state_file_unpack(path, image, watch, info, why);
    }
    if (r == 0) {
        r = state_image_check(image, info, why);
    }
    if (r == 0) {
        r = fits_here(core, info, why);
    }
    if (r == 0) {
        r = staged ? staged_prepare(core, fresh) : dir_sync(fresh);
    }
    mem_free(image);
    return r;
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd >= 0 && fsync(fd) == 0 ? 0 : err_raise(ERR_IO);

    if (fd >= 0) {
        (void)close(fd);
    }
    return r;
}

static int keep(struct core *core, const char *path, const char *file)
{
    char *to = dir_join(core->state_dir, file);
    int r = sync_file(path);

    if (r == 0 && rename(path, to) != 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        r = dir_sync(core->state_dir);
    }
    mem_free(to);
    return r;
}

int staged_check_in(struct core *core, const char *path,
                    struct state_info *info, char why[STATE_WHY])
{
    char file[64];

    int r = state_file_head(path, info, why);
    if (r != 0) {
        return r;
    }
    if (!disk_has(core, info->size)) {
        return ERR_FULL;
    }
    /* Who does not have it asks the node first that the name tells. */
    (void)snprintf(file, sizeof file, "%s%016llx-%08llx", STAGED,
                   (unsigned long long)core->raft_id,
                   (unsigned long long)(chance_u64() >> 32));
    char *fresh = staged_fresh(core, file);
    r = staged_make_fresh(core, path, fresh, NULL, info, true, why);
    if (r == 0) {
        r = fits_level(info, core_feature_level(core), why);
    }
    if (r == 0) {
        r = keep(core, path, file);
    }
    if (r == 0) {
        memcpy(info->file, file, sizeof file);
        (void)pthread_mutex_lock(&core->staged_lock);
        staged_add(core, str_of(file))->unpacked = true;
        (void)pthread_mutex_unlock(&core->staged_lock);
    } else {
        files_remove(fresh);
    }
    mem_free(fresh);
    return r;
}

static void forget(struct core *core, struct staged *staged)
{
    struct staged **at = &core->staged;
    char *fresh = staged_fresh(core, staged->file);

    while (*at != staged) {
        at = &(*at)->next;
    }
    *at = staged->next;
    files_forget(core, staged->file);
    files_discard(core, fresh);
    mem_free(staged);
}

void core_state_unstage(struct core *core, const char *file)
{
    bool unwanted = false;

    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = staged_find(core, str_of(file));
    if (staged != NULL && staged->index == 0 && !staged->sent) {
        staged->unwanted = unwanted = true;
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
    if (unwanted && !atomic_load(&core->over)) {
        atomic_store(&core->unstaged, true);
        (void)uv_async_send(&core->wake);
    }
}

void staged_turn(struct core *core)
{
    if (!atomic_exchange(&core->unstaged, false)) {
        return;
    }
    (void)pthread_mutex_lock(&core->staged_lock);
    for (struct staged *staged = core->staged; staged != NULL;) {
        struct staged *next = staged->next;
        if (staged->unwanted) {
            forget(core, staged);
        }
        staged = next;
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
}

void staged_sent(struct core *core, struct str command, bool sent)
{
    struct command decoded;

    if (command_decode(NULL, command, &decoded) != 0) {
        return;
    }
    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = staged_find(core, decoded.restore.file);
    if (staged != NULL) {
        staged->sent = sent;
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
}

void staged_note(struct core *core, uint64_t index, struct str file)
{
    if (file.n == 0 || file.n >= sizeof core->staged->file) {
        return;
    }
    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = staged_find(core, file);
    if (staged == NULL) {
        staged = staged_add(core, file);
    }
    staged->index = index; /* The last one that names it. */
    core->snapshot_wanted = true;
    (void)pthread_mutex_unlock(&core->staged_lock);
}

static int filter_staged(const struct dirent *entry)
{
    return strncmp(entry->d_name, STAGED, sizeof STAGED - 1) == 0;
}

void staged_sweep(struct core *core)
{
    struct dirent **names = NULL;
    int n = scandir(core->state_dir, &names, filter_staged, NULL);

    for (int i = 0; i < n; i++) {
        if (staged_find(core, str_of(names[i]->d_name)) == NULL) {
            files_forget(core, names[i]->d_name);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

void staged_release(struct core *core, uint64_t index)
{
    (void)pthread_mutex_lock(&core->staged_lock);
    for (struct staged *staged = core->staged; staged != NULL;) {
        struct staged *next = staged->next;
        if (staged->index != 0 && staged->index <= index) {
            forget(core, staged);
        }
        staged = next;
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
}
