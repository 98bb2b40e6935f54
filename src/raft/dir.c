#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/write.h"
#include "raft/inside.h"

/* data-dir/
 *   lock         held while a process serves the directory
 *   node         who this is: see node.c
 *   peers        where the other members were last: see known.c
 *   store.state  whether the store may be trusted: format, boot id, clean
 *   store/       LMDB
 *   raft/        libraft's log, votes and snapshot descriptors
 *   state/       state files, which the descriptors name, or a RESTORE
 *   store.new/   a state that is about to take the store's place
 *   store.old/   the store it took the place of, for a moment
 *   spool/       files of other rooms on their way; nothing stays
 *   recover      the next start counts as a restore
 *   ballast      space to give up on a full disk */

enum { SMALL_MOST = 256 * 1024 };

char *dir_join(const char *directory, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", directory, name);
    return buf_text(&path);
}

int dir_sync(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_raise(ERR_IO);
    }
    int r = fsync(fd) == 0 ? 0 : err_raise(ERR_IO);
    (void)close(fd);
    return r;
}

static int write_synced(int fd, struct str content)
{
    int r = write_all(fd, content);

    return r != 0 || fsync(fd) == 0 ? r : err_raise(ERR_IO);
}

int dir_write(const char *path, struct str content)
{
    struct buf temporary = {0};
    struct buf folder = {0};

    buf_printf(&temporary, "%s.new", path);
    buf_add(&folder, path, (size_t)(strrchr(path, '/') - path));
    int fd = open(buf_text(&temporary),
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = fd < 0 ? err_raise(ERR_IO) : write_synced(fd, content);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (r == 0 && rename(buf_text(&temporary), path) != 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        r = dir_sync(buf_text(&folder));
    }
    buf_done(&temporary);
    buf_done(&folder);
    return r;
}

struct buf dir_read(const char *path)
{
    struct buf content = {0};
    char bytes[4096];
    ssize_t n;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return content;
    }
    while (content.n < SMALL_MOST && (n = read(fd, bytes, sizeof bytes)) > 0) {
        buf_add(&content, bytes, (size_t)n);
    }
    (void)close(fd);
    (void)buf_text(&content);
    return content;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : err_raise(ERR_IO);
}

/* A new data directory must not be gone after a power cut. */
static int make_top(const char *path)
{
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? 0 : err_raise(ERR_IO);
    }
    char *above = dir_join(path, "..");
    int r = dir_sync(above);
    mem_free(above);
    return r;
}

/* Answers: BUSY. */
static int lock(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "lock");

    core->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    mem_free(path);
    if (core->lock_fd < 0) {
        return err_raise(ERR_IO);
    }
    return flock(core->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : ERR_BUSY;
}

struct str dir_value(const struct buf *content, const char *word)
{
    struct str rest = buf_str(content);
    size_t n = strlen(word);

    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t line = end == NULL ? rest.n : (size_t)(end - rest.p);
        if (line > n && memcmp(rest.p, word, n) == 0 && rest.p[n] == ' ') {
            return (struct str){rest.p + n + 1, line - n - 1};
        }
        line += end == NULL ? 0 : 1;
        rest = (struct str){rest.p + line, rest.n - line};
    }
    return STR_NONE;
}

static struct str boot_id(struct buf *content)
{
    *content = dir_read("/proc/sys/kernel/random/boot_id");
    struct str id = buf_str(content);
    while (id.n > 0 && id.p[id.n - 1] == '\n') {
        id.n--;
    }
    return id;
}

bool dir_trusts_store(const struct core *core)
{
    struct buf marker = dir_read(core->marker);
    struct buf boot_file = {0};
    struct str boot = boot_id(&boot_file);
    bool known = str_is(dir_value(&marker, "format"), "1");
    bool clean = str_is(dir_value(&marker, "clean"), "1");
    bool same = boot.n > 0 && str_equal(dir_value(&marker, "boot"), boot);

    buf_done(&marker);
    buf_done(&boot_file);
    return known && (clean || same);
}

int dir_mark(struct core *core, bool clean)
{
    struct buf content = {0};
    struct buf boot_file = {0};
    struct str boot = boot_id(&boot_file);

    buf_printf(&content, "format 1\nboot %.*s\nclean %d\n",
               boot.n == 0 ? 4 : (int)boot.n, boot.n == 0 ? "none" : boot.p,
               clean ? 1 : 0);
    int r = dir_write(core->marker, buf_str(&content));
    buf_done(&content);
    buf_done(&boot_file);
    return r;
}

int dir_unmark(struct core *core)
{
    if (unlink(core->marker) != 0 && errno != ENOENT) {
        return err_raise(ERR_IO);
    }
    return dir_sync(core->config.data_dir);
}

/* What is on its way does not survive a process. */
static int make_folders(struct core *core)
{
    const char *folders[] = {core->raft_dir, core->store_dir, core->state_dir,
                             core->fresh_dir, core->spool_dir};
    int r = 0;

    files_remove(core->old_dir);
    files_remove(core->fresh_dir);
    files_remove(core->spool_dir);
    for (size_t i = 0; r == 0 && i < sizeof folders / sizeof folders[0]; i++) {
        r = make_folder(folders[i]);
    }
    return r;
}

static void name_all(struct core *core)
{
    const char *top = core->config.data_dir;

    core->raft_dir = dir_join(top, "raft");
    core->store_dir = dir_join(top, "store");
    core->state_dir = dir_join(top, "state");
    core->fresh_dir = dir_join(top, "store.new");
    core->old_dir = dir_join(top, "store.old");
    core->spool_dir = dir_join(top, "spool");
    core->marker = dir_join(top, "store.state");
    core->recover_mark = dir_join(top, "recover");
    core->ballast = dir_join(top, "ballast");
}

int dir_open(struct core *core)
{
    const char *top = core->config.data_dir;

    name_all(core);
    int r = make_top(top);
    if (r == 0) {
        r = lock(core);
    }
    if (r == ERR_BUSY) {
        log_error(LOG_CORE, "another process serves this data directory",
                  LOG_TXT("directory", top));
        return ERR_INVALID;
    }
    if (r == 0) {
        r = make_folders(core);
    }
    if (r < 0) {
        log_error(LOG_CORE, "cannot use the data directory",
                  LOG_TXT("directory", top), LOG_TXT("why", strerror(errno)));
    }
    core->recovering = access(core->recover_mark, F_OK) == 0;
    return r != 0 ? r : node_open(core);
}

int dir_open_existing(struct core *core)
{
    name_all(core);
    int r = node_open_existing(core);
    return r != 0 ? r : lock(core);
}

void dir_close(struct core *core)
{
    if (core->lock_fd >= 0) {
        (void)close(core->lock_fd);
    }
    core->raft_dir = mem_free(core->raft_dir);
    core->store_dir = mem_free(core->store_dir);
    core->state_dir = mem_free(core->state_dir);
    core->fresh_dir = mem_free(core->fresh_dir);
    core->old_dir = mem_free(core->old_dir);
    core->spool_dir = mem_free(core->spool_dir);
    core->marker = mem_free(core->marker);
    core->recover_mark = mem_free(core->recover_mark);
    core->ballast = mem_free(core->ballast);
    core->formed = mem_free(core->formed);
}
