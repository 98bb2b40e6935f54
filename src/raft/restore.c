#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* ---- files that a RESTORE may name ---- */

void restore_init(struct core *core)
{
    (void)pthread_mutex_init(&core->staged_lock, NULL);
}

void restore_done(struct core *core)
{
    while (core->staged != NULL) {
        struct staged *staged = core->staged;
        core->staged = staged->next;
        mem_free(staged);
    }
    (void)pthread_mutex_destroy(&core->staged_lock);
}

static struct staged *find(struct core *core, struct str file)
{
    struct staged *staged = core->staged;

    while (staged != NULL && !str_is(file, staged->file)) {
        staged = staged->next;
    }
    return staged;
}

static struct staged *add(struct core *core, struct str file)
{
    struct staged *staged = mem_zero(sizeof *staged);

    assert(file.n < sizeof staged->file);
    memcpy(staged->file, file.p, file.n);
    staged->next = core->staged;
    core->staged = staged;
    return staged;
}

/* ---- staging ---- */

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
    if (info->feature_level > MACHINE_FEATURE_LEVEL) {
        (void)snprintf(why, STATE_WHY,
                       "it is of a newer version of the program");
        return ERR_INVALID;
    }
    return info->size > core->config.store_limit_bytes ? ERR_FULL : 0;
}

static char *fresh_of(const struct core *core, const char *file)
{
    return dir_join(core->fresh_dir, file);
}

/* Checked, and ready to be served but for what the log has to say. */
static int make_fresh(const struct core *core, const char *path,
                      const char *fresh, struct state_info *info,
                      char why[STATE_WHY])
{
    char *image = dir_join(fresh, "data.mdb");
    int r = mkdir(fresh, 0700) == 0 ? 0 : err_raise(ERR_IO);

    if (r == 0) {
        r = state_file_unpack(path, image, NULL, info, why);
    }
    if (r == 0) {
        r = state_image_check(image, info, why);
    }
    if (r == 0) {
        r = fits_here(core, info, why);
    }
    mem_free(image);
    return r;
}

static int keep(struct core *core, const char *path, const char *file)
{
    char *to = dir_join(core->state_dir, file);
    int r =
        rename(path, to) == 0 ? dir_sync(core->state_dir) : err_raise(ERR_IO);

    mem_free(to);
    return r;
}

int restore_stage(struct core *core, const char *path, struct state_info *info,
                  char why[STATE_WHY])
{
    char file[64];

    int r = state_file_head(path, info, why);
    if (r != 0) {
        return r;
    }
    if (!disk_has(core, info->size)) {
        return ERR_FULL;
    }
    (void)snprintf(file, sizeof file, "staged-%016llx",
                   (unsigned long long)chance_u64());
    char *fresh = fresh_of(core, file);
    r = make_fresh(core, path, fresh, info, why);
    if (r == 0) {
        r = keep(core, path, file);
    }
    if (r == 0) {
        memcpy(info->file, file, sizeof file);
        (void)pthread_mutex_lock(&core->staged_lock);
        add(core, str_of(file))->unpacked = true;
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
    char *fresh = fresh_of(core, staged->file);

    while (*at != staged) {
        at = &(*at)->next;
    }
    *at = staged->next;
    files_forget(core, staged->file);
    files_remove(fresh);
    mem_free(fresh);
    mem_free(staged);
}

void core_state_unstage(struct core *core, const char *file)
{
    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = find(core, str_of(file));
    if (staged != NULL && staged->index == 0 && !staged->sent) {
        forget(core, staged);
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
}
