/* A RESTORE whose file is not on this node: it was handed in at another one.
 *
 * Applying waits for it, with all that comes behind, as for a full disk; reads
 * go on. Asked are the node that has it staged, as its name tells, and then the
 * others. A node gives the file up only when a snapshot behind the entry is
 * stored: so when who has it cannot be reached, somebody has a state file that
 * is further, and that one becomes the state. Both are tried in turn. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/install.h"

/* What was fetched for a leader, and then not proposed. */
enum { UNUSED_MS = 10 * 60 * 1000 };

/* `first` is asked first, also by a node that has not been told yet who else
 * there is. */
size_t installs_others(const struct core *core, uint64_t first,
                       uint64_t ret[CORE_MEMBERS_MOST])
{
    size_t n = core->installs->others(core, ret);
    size_t at = 0;

    while (at < n && ret[at] != first) {
        at++;
    }
    if (first == 0 || first == core->raft_id ||
        (at == n && n == CORE_MEMBERS_MOST)) {
        return n;
    }
    if (at == n) {
        ret[n++] = first;
    }
    ret[at] = ret[0];
    ret[0] = first;
    return n;
}

static void begin(struct core *core, const struct command_restore *restore,
                  uint64_t index)
{
    struct installs *in = core->installs;
    struct fetch *fetch = mem_zero(sizeof *fetch);
    uint64_t first = staged_origin(restore->file);

    fetch->missing = true;
    if (in->seek_newer && index != 0) {
        fetch->index = index;
        first = atomic_load(&core->status.leader);
    } else {
        fetch->staged = true;
        memcpy(fetch->file, restore->file.p, restore->file.n);
        fetch->size = restore->size;
        memcpy(fetch->state, restore->digest, sizeof fetch->state);
    }
    fetch->n_from = installs_others(core, first, fetch->from);
    in->missing = fetch;
    fetch_start(core, fetch);
    log_info(LOG_CORE,
             in->seek_newer ? "no node gives the file of a restore: a newer "
                              "state is asked for"
                            : "the file of a restore is not here: it is "
                              "fetched from another node",
             LOG_STR("file", restore->file));
}

static void note_staged(struct core *core, const char *file)
{
    (void)pthread_mutex_lock(&core->staged_lock);
    struct staged *staged = staged_find(core, str_of(file));
    if (staged == NULL) {
        staged = staged_add(core, str_of(file));
    }
    staged->unpacked = true;
    staged->fetched_ms = clock_mono_ms();
    (void)pthread_mutex_unlock(&core->staged_lock);
}

/* One that is over: what it came to. */
static int collect(struct core *core, struct state_info *ret_newer)
{
    struct installs *in = core->installs;
    struct fetch *fetch = in->missing;
    int r = fetch->r;

    if (r == 0) {
        log_info(LOG_CORE, "the state of a restore is here",
                 LOG_TXT("file", fetch->info.file),
                 LOG_U64("bytes", state_file_bytes(&fetch->info)),
                 LOG_U64("ms", fetch->took_ms));
        if (fetch->staged) {
            note_staged(core, fetch->info.file);
        } else {
            *ret_newer = fetch->info;
        }
    } else {
        COUNT(core, fetches_failed, 1);
        log_warn(LOG_CORE, "the state of a restore could not be fetched",
                 LOG_TXT("file", fetch->file), LOG_TXT("why", fetch->why));
        in->seek_newer = fetch->staged && r != ERR_FULL;
        in->missing_not_before_ms =
            clock_mono_ms() + fetch_pause(in->n_missed++);
    }
    in->missing = fetch_end(fetch);
    return r == ERR_FULL || r == ERR_INVALID || r == 0 ? r : ERR_NOT_FOUND;
}

/* Another one is wanted now. */
static bool turn_to(struct installs *in, struct str file)
{
    if (str_is(file, in->missing_file)) {
        return true;
    }
    if (in->missing != NULL) {
        fetch_cancel(in->missing);
        return false;
    }
    in->seek_newer = false;
    in->missing_not_before_ms = in->n_missed = 0;
    (void)snprintf(in->missing_file, sizeof in->missing_file, "%.*s",
                   STR_ARG(file));
    return true;
}

/* Answers: NOT_READY, and what a fetch came to. */
static int get(struct core *core, const struct command_restore *restore,
               uint64_t index, struct state_info *ret_newer)
{
    struct installs *in = core->installs;

    if (in->missing != NULL && fetch_is_over(in->missing)) {
        int r = collect(core, ret_newer);
        if (str_is(restore->file, in->missing_file)) {
            return r;
        }
    }
    if (turn_to(in, restore->file) && in->missing == NULL &&
        clock_mono_ms() >= in->missing_not_before_ms) {
        begin(core, restore, index);
    }
    return ERR_NOT_READY;
}

int missing_get(struct core *core, uint64_t index,
                const struct command_restore *restore,
                struct state_info *ret_newer)
{
    uint64_t others[CORE_MEMBERS_MOST];
    char file[TRANSFER_NAME];

    *ret_newer = (struct state_info){.index = 0};
    (void)snprintf(file, sizeof file, "%.*s", STR_ARG(restore->file));
    if (core->installs == NULL || !transfer_is_name(file) ||
        installs_others(core, 0, others) == 0) {
        return ERR_NOT_FOUND;
    }
    /* Whatever it was: it is tried until it is here. */
    return get(core, restore, index, ret_newer) == 0 ? 0 : ERR_NOT_READY;
}

bool missing_is_sought(const struct core *core, struct str file)
{
    const struct installs *in = core->installs;
    return in != NULL && str_is(file, in->missing_file) &&
           (in->missing != NULL || in->missing_not_before_ms > 0);
}

/* ---- for who proposes ---- */

bool fetch_has(struct core *core, const struct command_restore *restore)
{
    if (restore->file.n == 0) {
        return true;
    }
    (void)pthread_mutex_lock(&core->staged_lock);
    const struct staged *staged = staged_find(core, restore->file);
    bool known = staged != NULL;
    bool has = known && staged->unpacked;
    (void)pthread_mutex_unlock(&core->staged_lock);
    if (known && !has) {
        char *path = dir_join(core->state_dir, staged->file);
        has = access(path, F_OK) == 0; /* Since before this start. */
        mem_free(path);
    }
    return has;
}

int fetch_begin(struct core *core, const struct command_restore *restore)
{
    uint64_t others[CORE_MEMBERS_MOST];
    char file[TRANSFER_NAME];
    struct state_info newer;

    (void)snprintf(file, sizeof file, "%.*s", STR_ARG(restore->file));
    if (core->installs == NULL || !transfer_is_name(file) ||
        installs_others(core, 0, others) == 0) {
        return ERR_NOT_FOUND;
    }
    if (core->stalled) {
        return ERR_NOT_READY; /* One that is applied goes first. */
    }
    int r = get(core, restore, 0, &newer);
    if (r != 0 && r != ERR_NOT_READY) {
        core->installs->missing_file[0] = '\0'; /* Asked again: tried again. */
    }
    return r;
}

void missing_turn(struct core *core, uint64_t now_ms)
{
    struct installs *in = core->installs;
    struct state_info newer;

    if (in->missing != NULL && fetch_is_over(in->missing) &&
        in->missing->r == 0 && in->missing->staged) {
        (void)collect(core, &newer); /* Even if nobody asks any more. */
    }
    if (now_ms - in->looked_ms < FETCH_AGAIN_MS) {
        return;
    }
    in->looked_ms = now_ms;
    (void)pthread_mutex_lock(&core->staged_lock);
    for (struct staged *s = core->staged; s != NULL; s = s->next) {
        if (s->fetched_ms != 0 && s->index == 0 && !s->sent &&
            now_ms - s->fetched_ms > UNUSED_MS) {
            s->unwanted = true;
            atomic_store(&core->unstaged, true);
        }
    }
    (void)pthread_mutex_unlock(&core->staged_lock);
}
