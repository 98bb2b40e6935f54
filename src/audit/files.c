#include "audit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/write.h"

#define NAME_BEGIN "audit-"
#define NAME_END ".jsonl"

enum {
    NAME_DIGITS = 20,
    NAME_LENGTH = sizeof NAME_BEGIN - 1 + NAME_DIGITS + sizeof NAME_END - 1,
    READ_BYTES = 64 << 10,
    RESERVE_BYTES = 1 << 20,
    RESERVE_LEAST = 256 << 10, /* some five hundred lines on their way */
};

/* ---- reading ---- */

static bool is_name(const char *name)
{
    const char *digits = name + sizeof NAME_BEGIN - 1;

    return strlen(name) == NAME_LENGTH &&
           strncmp(name, NAME_BEGIN, sizeof NAME_BEGIN - 1) == 0 &&
           strspn(digits, "0123456789") == NAME_DIGITS &&
           strcmp(digits + NAME_DIGITS, NAME_END) == 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int audit_files_list(int dir, char ***ret_names, size_t *ret_n)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    char **names = NULL;
    size_t n = 0, room = 0;

    if (stream == NULL) {
        return write_fault();
    }
    for (const struct dirent *e = readdir(stream); e != NULL;
         e = readdir(stream)) {
        if (!is_name(e->d_name)) {
            continue;
        }
        if (n == room) {
            room = 2 * room + 16;
            names = mem_grow(names, room * sizeof *names);
        }
        names[n++] = mem_text(e->d_name);
    }
    (void)closedir(stream);
    if (n > 0) {
        qsort(names, n, sizeof *names, compare);
    }
    *ret_names = names;
    *ret_n = n;
    return 0;
}

void audit_files_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)mem_free(names[i]);
    }
    (void)mem_free(names);
}

int audit_files_read(int dir, const char *name, struct chain *chain,
                     char why[AUDIT_WHY])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *bytes = NULL;
    ssize_t n = 0;
    int r = 0;

    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : write_fault();
    }
    bytes = mem_alloc(READ_BYTES);
    do {
        n = read(fd, bytes, READ_BYTES);
        if (n < 0 && errno != EINTR) {
            r = write_fault();
        } else if (n > 0) {
            r = audit_chain_feed(chain, bytes, (size_t)n, why);
        }
    } while (r == 0 && n != 0);
    (void)mem_free(bytes);
    (void)close(fd);
    return r;
}

/* ---- writing ---- */

static int say(char why[AUDIT_WHY], const char *path, const char *what)
{
    (void)snprintf(why, AUDIT_WHY, "%s: %s", path, what);
    return ERR_INVALID;
}

/* Theirs to read who may read everything: what is too open is closed. */
static int check_dir(int dir, const char *path, char why[AUDIT_WHY])
{
    struct stat st;

    if (fstat(dir, &st) != 0) {
        return say(why, path, strerror(errno));
    }
    if (st.st_uid != geteuid()) {
        return say(why, path,
                   "belongs to another user than the one this runs as");
    }
    if ((st.st_mode & 077) != 0 && fchmod(dir, 0700) != 0) {
        return say(why, path, strerror(errno));
    }
    if (flock(dir, LOCK_EX | LOCK_NB) != 0) {
        return say(why, path,
                   errno == EWOULDBLOCK ? "another process writes there"
                                        : strerror(errno));
    }
    return 0;
}

int audit_files_open(struct files *files, const char *path, uint64_t file_bytes,
                     size_t most, char why[AUDIT_WHY])
{
    *files = (struct files){
        .dir = -1, .fd = -1, .file_bytes = file_bytes, .most = most};
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return say(why, path, strerror(errno));
    }
    files->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->dir < 0) {
        return say(why, path, strerror(errno));
    }
    return check_dir(files->dir, path, why);
}

/* What was reserved; a disk that does not take it back takes no harm. */
static void give_back(struct files *files)
{
    if (ftruncate(files->fd, (off_t)files->size) == 0) {
        files->reserved = files->size;
    }
}

void audit_files_close(struct files *files)
{
    if (files->fd >= 0) {
        give_back(files);
        (void)fsync(files->fd);
        (void)close(files->fd);
        files->fd = -1;
    }
    if (files->dir >= 0) {
        (void)close(files->dir);
        files->dir = -1;
    }
}

int audit_files_resume(struct files *files, const char *name, uint64_t size)
{
    int fd =
        openat(files->dir, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fchmod(fd, 0600) != 0) {
        int r = write_fault();
        if (fd >= 0) {
            (void)close(fd);
        }
        return r;
    }
    files->fd = fd;
    files->size = size;
    files->reserved = size;
    (void)snprintf(files->name, sizeof files->name, "%s", name);
    return 0;
}

/* Keeps as many as may be, with the one that comes next. One that cannot be
 * removed is tried again when the next is full. */
static void prune(struct files *files)
{
    char **names = NULL;
    size_t n = 0;

    if (audit_files_list(files->dir, &names, &n) != 0) {
        return;
    }
    files->n = n;
    for (size_t i = 0; i + files->most < n; i++) {
        files->n -= unlinkat(files->dir, names[i], 0) == 0;
    }
    audit_files_list_free(names, n);
}

/* The old file is on the disk before the new one has a line: or a power cut
 * could leave a hole between two files. */
static int begin_file(struct files *files, uint64_t seq)
{
    char name[FILES_NAME];

    (void)snprintf(name, sizeof name, NAME_BEGIN "%020llu" NAME_END,
                   (unsigned long long)seq);
    if (files->fd >= 0) {
        give_back(files);
        if (fsync(files->fd) != 0) {
            return write_fault();
        }
    }
    int fd =
        openat(files->dir, name,
               O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return write_fault();
    }
    if (files->fd >= 0) {
        (void)close(files->fd);
    }
    files->fd = fd;
    files->size = 0;
    files->reserved = 0;
    memcpy(files->name, name, sizeof name);
    (void)fsync(files->dir);
    prune(files);
    return 0;
}

/* A part of a line must not stay: what comes next would stand behind it. */
static bool cut_off(struct files *files)
{
    files->dirty = ftruncate(files->fd, (off_t)files->size) != 0;
    files->reserved = files->size;
    return !files->dirty;
}

static int append(struct files *files, struct str bytes)
{
    files->dirty = true;
    if (write_all(files->fd, bytes) != 0) {
        int r = write_fault();
        (void)cut_off(files);
        return r;
    }
    files->size += bytes.n;
    files->dirty = false;
    return 0;
}

int audit_files_append(struct files *files, uint64_t seq, struct str bytes)
{
    if (files->fd >= 0 && files->dirty && !cut_off(files)) {
        return write_fault();
    }
    if (files->fd < 0 || files->size >= files->file_bytes) {
        int r = begin_file(files, seq);
        if (r != 0) {
            return r;
        }
    }
    return append(files, bytes);
}

bool audit_files_reserve(struct files *files)
{
    if (files->fd < 0 || files->size + RESERVE_LEAST <= files->reserved) {
        return true;
    }
    if (fallocate(files->fd, FALLOC_FL_KEEP_SIZE, (off_t)files->size,
                  RESERVE_BYTES) == 0) {
        files->reserved = files->size + RESERVE_BYTES;
        return true;
    }
    /* Some file systems cannot: then the first line that fails tells. */
    return errno != ENOSPC && errno != EDQUOT && errno != EFBIG;
}
