/* Gets a state file from another node, on a thread of its own: it takes as long
 * as the net and both disks do.
 *
 *   spool/fetch-…  grows, across broken connections     ─► synced
 *   store.new/…    its image, with every sum and page checked
 *   state/…        the file, under its name             ─► synced
 *
 * In this order, so that a name in state/ means a whole file, as everywhere. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/install.h"

static const uint8_t ANY[32];
/* What is in the spool, by what it is for: two may be under way. */
static const char MISSING[] = "missing-";
static const char OFFERED[] = "offered-";

static const char *part_prefix(const struct fetch *f)
{
    return f->missing ? MISSING : OFFERED;
}

static char *part_name(const struct fetch *f)
{
    struct buf name = {0};

    buf_printf(&name, "%s%s", part_prefix(f), f->file);
    return buf_text(&name);
}

static char *part_path(const struct fetch *f)
{
    char *name = part_name(f);
    char *path = dir_join(f->core->spool_dir, name);

    mem_free(name);
    return path;
}

static int say(struct fetch *f, int r, const char *sentence)
{
    (void)snprintf(f->why, sizeof f->why, "%s", sentence);
    return r;
}

static bool fits(const uint8_t wanted[32], const uint8_t is[32])
{
    return memcmp(wanted, ANY, sizeof ANY) == 0 || memcmp(wanted, is, 32) == 0;
}

static bool is_wanted(const struct fetch *f, const struct state_info *info)
{
    return fits(f->image, info->image) && fits(f->state, info->state) &&
           (f->size == 0 || f->size == info->size) && info->index >= f->index;
}

static void pause_for(const struct fetch *f, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;

    while (!atomic_load(&f->cancelled) && clock_mono_ms() < until) {
        (void)usleep(20 * 1000);
    }
}

/* ---- the connection ---- */

static int connect_to(struct fetch *f, uint64_t raft_id)
{
    char why[CORE_WHY] = "";
    int fd = -1;

    int r = f->core->installs->dial(f->core, raft_id, &fd, why);
    if (r != 0) {
        return say(f, r, why);
    }
    (void)pthread_mutex_lock(&f->lock);
    f->fd = fd;
    (void)pthread_mutex_unlock(&f->lock);
    /* Who breaks it off sees the descriptor, or is seen here. */
    return atomic_load(&f->cancelled) ? ERR_NOT_READY : 0;
}

static void disconnect(struct fetch *f)
{
    (void)pthread_mutex_lock(&f->lock);
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    f->fd = -1;
    (void)pthread_mutex_unlock(&f->lock);
}

/* What another node says in the way of a refusal, or does. */
static int broke(struct fetch *f, int r)
{
    switch (r) {
    case ERR_NOT_FOUND:
        return say(f, r, "it does not have the file any more");
    case ERR_DISK_FULL:
        return say(f, ERR_FULL, "the disk is full");
    case ERR_SYSTEM:
        return r;
    case ERR_BUSY:
        return say(f, ERR_NOT_READY, "it sends files to others");
    default:
        return say(f, ERR_NOT_READY, "the connection broke");
    }
}

/* ---- the file ---- */

static int open_part(const struct fetch *f, uint64_t *ret_has)
{
    struct stat file;
    char *path = part_path(f);

    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    mem_free(path);
    if (fd < 0 || fstat(fd, &file) != 0) {
        int r = err_raise(errno == ENOSPC || errno == EDQUOT ? ERR_DISK_FULL
                                                             : ERR_SYSTEM);
        if (fd >= 0) {
            (void)close(fd);
        }
        return r;
    }
    *ret_has = (uint64_t)file.st_size;
    return fd;
}

static int receive(struct fetch *f, int part, uint64_t has,
                   const struct transfer_answer *answer)
{
    uint64_t image = answer->bytes - STATE_HEADER_BYTES;

    /* The file, and what is laid out beside it. */
    if (!disk_has(f->core, answer->bytes - has + image)) {
        return say(f, ERR_FULL, "there is no room for it");
    }
    if (image > f->core->config.store_limit_bytes) {
        return say(f, ERR_FULL, "it is larger than the store may be");
    }
    int r = transfer_receive(f->fd, part, answer->bytes - has,
                             &f->core->stats.received_bytes);
    if (r == 0 && fsync(part) != 0) {
        r = err_raise(ERR_DISK_FULL);
    }
    return r == 0 ? 0 : broke(f, r);
}

/* What is asked for is known from the first answer on: later ones must be of
 * the same file. */
static int note_answer(struct fetch *f, const struct transfer_answer *answer)
{
    struct state_info info = {.index = answer->index,
                              .size = answer->bytes - STATE_HEADER_BYTES};

    memcpy(info.image, answer->image, sizeof info.image);
    memcpy(info.state, answer->state, sizeof info.state);
    if (!is_wanted(f, &info) ||
        (f->file[0] != '\0' && strcmp(f->file, answer->file) != 0)) {
        return say(f, ERR_NOT_FOUND, "its file of that name is another one");
    }
    memcpy(f->file, answer->file, sizeof f->file);
    memcpy(f->image, answer->image, sizeof f->image);
    memcpy(f->state, answer->state, sizeof f->state);
    f->size = info.size;
    return 0;
}

static int ask(struct fetch *f, const struct transfer_request *request,
               struct transfer_answer *ret_answer)
{
    int r = transfer_ask(f->fd, request, ret_answer);
    return r == 0 ? note_answer(f, ret_answer) : broke(f, r);
}

static int get_file(struct fetch *f, int part, uint64_t has)
{
    struct transfer_request request = {.kind = TRANSFER_FILE, .offset = has};
    struct transfer_answer answer;

    memcpy(request.file, f->file, sizeof request.file);
    memcpy(request.image, f->image, sizeof request.image);
    int r = ask(f, &request, &answer);
    return r == 0 ? receive(f, part, has, &answer) : r;
}

/* Without its sum it is not known that both halves are of one file. */
static bool may_go_on(const struct fetch *f, uint64_t has)
{
    return memcmp(f->image, ANY, sizeof ANY) != 0 &&
           (f->size == 0 || has <= f->size + STATE_HEADER_BYTES);
}

/* *ret_more: whether it brought anything. */
static int get_part(struct fetch *f, bool *ret_more)
{
    struct stat file;
    uint64_t has = 0;
    int r = 0;

    int part = open_part(f, &has);
    if (part < 0) {
        return broke(f, part);
    }
    if (!may_go_on(f, has)) {
        r = ftruncate(part, 0) == 0 ? 0 : err_raise(ERR_SYSTEM);
        has = 0;
    }
    if (r == 0) {
        r = get_file(f, part, has);
    }
    *ret_more = fstat(part, &file) == 0 && (uint64_t)file.st_size > has;
    (void)close(part);
    return r;
}

static int try_at(struct fetch *f, uint64_t raft_id, bool *ret_more)
{
    struct transfer_request newest = {.kind = TRANSFER_NEWEST,
                                      .index = f->index};
    struct transfer_answer answer;

    int r = connect_to(f, raft_id);
    if (r == 0 && f->file[0] == '\0') {
        r = ask(f, &newest, &answer);
    }
    if (r == 0) {
        r = get_part(f, ret_more);
    }
    disconnect(f);
    return r;
}

static void strike_out(struct fetch *f)
{
    f->n_from--;
    memmove(&f->from[f->at], &f->from[f->at + 1],
            (f->n_from - f->at) * sizeof f->from[0]);
}

/* From one after the other, as long as bytes come. */
static int get(struct fetch *f)
{
    unsigned idle = 0;
    int r = say(f, ERR_NOT_FOUND, "there is nobody to be asked");

    while (f->n_from > 0 && idle < FETCH_TRIES) {
        bool more = false;
        f->at %= f->n_from;
        r = try_at(f, f->from[f->at], &more);
        if (atomic_load(&f->cancelled)) {
            return say(f, ERR_NOT_READY, "it was broken off");
        }
        if (r == ERR_NOT_FOUND) {
            strike_out(f);
        } else if (r != ERR_NOT_READY) {
            return r;
        } else if (more) {
            idle = 0;
        } else {
            uint64_t ms = (uint64_t)FETCH_PAUSE_MS << idle++;
            f->at++;
            pause_for(f, ms < FETCH_PAUSE_MOST_MS ? ms : FETCH_PAUSE_MOST_MS);
        }
    }
    return r;
}

/* ---- what was got ---- */

static void rest(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    (void)done_bytes, (void)total_bytes;
    transfer_rest(user);
}

static int check(struct fetch *f, const char *path)
{
    char *fresh = staged_fresh(f->core, f->file);
    uint64_t since_us = clock_mono_us();
    struct state_watch watch = {rest, &since_us};

    files_remove(fresh);
    int r = staged_make_fresh(f->core, path, fresh, &watch, &f->info, f->staged,
                              f->why);
    if (r == 0 && !is_wanted(f, &f->info)) {
        r = say(f, ERR_INVALID, "it is not the one that was asked for");
    }
    if (r != 0) {
        files_remove(fresh);
    }
    mem_free(fresh);
    memcpy(f->info.file, f->file, sizeof f->info.file);
    return r;
}

/* A start before this one may have been ended between the file and the rest. */
static bool is_here(struct fetch *f, const char *path)
{
    struct state_info info;
    char why[STATE_WHY];

    return f->file[0] != '\0' && state_file_head(path, &info, why) == 0 &&
           is_wanted(f, &info) && disk_has(f->core, info.size);
}

static int take_in(struct fetch *f, const char *part)
{
    char *path = dir_join(f->core->state_dir, f->file);
    int r = check(f, part);

    if (r == 0 &&
        (rename(part, path) != 0 || dir_sync(f->core->state_dir) != 0)) {
        r = err_raise(ERR_IO);
    }
    if (r == ERR_INVALID) {
        (void)unlink(part); /* From the beginning, the next time. */
    }
    mem_free(path);
    return r;
}

static int get_and_check(struct fetch *f)
{
    /* Of others than the one that is wanted now. */
    char *name = part_name(f);
    files_clear_spool(f->core, part_prefix(f), name);
    mem_free(name);

    int r = get(f);
    if (r == 0) {
        char *part = part_path(f);
        r = take_in(f, part);
        mem_free(part);
    }
    return r;
}

static int do_fetch(struct fetch *f)
{
    char *path = dir_join(f->core->state_dir, f->file);

    int r = is_here(f, path) ? check(f, path) : ERR_NOT_FOUND;
    mem_free(path);
    return r == ERR_NOT_FOUND || r == ERR_INVALID ? get_and_check(f) : r;
}

/* One that nobody has any more; a newer one does as well. */
static int do_fetch_or_newer(struct fetch *f)
{
    uint64_t from[CORE_MEMBERS_MOST];
    size_t n_from = f->n_from;

    memcpy(from, f->from, sizeof from);
    int r = do_fetch(f);
    if (r == ERR_NOT_FOUND && !f->missing && !atomic_load(&f->cancelled)) {
        f->file[0] = '\0';
        memset(f->image, 0, sizeof f->image);
        memset(f->state, 0, sizeof f->state);
        f->size = f->at = 0;
        f->n_from = n_from;
        memcpy(f->from, from, sizeof from);
        r = do_fetch(f);
    }
    return r;
}

static void *run(void *user)
{
    struct fetch *f = user;
    uint64_t began_ms = clock_mono_ms();

    (void)setpriority(PRIO_PROCESS, 0, FETCH_NICENESS);
    f->r = do_fetch_or_newer(f);
    if (f->r < 0) {
        (void)snprintf(f->why, sizeof f->why, "%s, at %s", err_text(f->r),
                       err_origin());
    }
    f->took_ms = clock_mono_ms() - began_ms;
    atomic_store(&f->over, true);
    (void)uv_async_send(&f->core->wake);
    return NULL;
}

/* ---- core thread ---- */

void fetch_start(struct core *core, struct fetch *fetch)
{
    fetch->core = core;
    fetch->fd = -1;
    (void)pthread_mutex_init(&fetch->lock, NULL);
    COUNT(core, fetches, 1);
    if (pthread_create(&fetch->thread, NULL, run, fetch) != 0) {
        log_error(LOG_CORE, "no thread could be started: stopping");
        abort();
    }
}

uint64_t fetch_pause(unsigned n_before)
{
    uint64_t ms = (uint64_t)FETCH_AGAIN_MS << (n_before < 4 ? n_before : 4);
    return ms < FETCH_AGAIN_MOST_MS ? ms : FETCH_AGAIN_MOST_MS;
}

bool fetch_is_over(const struct fetch *fetch)
{
    return atomic_load(&fetch->over);
}

void fetch_cancel(struct fetch *fetch)
{
    atomic_store(&fetch->cancelled, true);
    (void)pthread_mutex_lock(&fetch->lock);
    if (fetch->fd >= 0) {
        (void)shutdown(fetch->fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&fetch->lock);
}

struct fetch *fetch_end(struct fetch *fetch)
{
    if (fetch == NULL) {
        return NULL;
    }
    fetch_cancel(fetch);
    (void)pthread_join(fetch->thread, NULL);
    (void)pthread_mutex_destroy(&fetch->lock);
    return mem_free(fetch);
}
