#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/sha256.h"
#include "base/write.h"
#include "state/state.h"

enum { CHUNK = 1 << 20, BEHIND = 1 << 20 };

uint64_t state_file_bytes(const struct state_info *info)
{
    return STATE_HEADER_BYTES + info->size;
}

static int say(char why[STATE_WHY], const char *sentence)
{
    (void)snprintf(why, STATE_WHY, "%s", sentence);
    return ERR_INVALID;
}

static char *join(const char *directory, const char *name, const char *end)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s%s", directory, name, end);
    return buf_text(&path);
}

/* ---- copying with a hash on the way ---- */

static void tell(const struct state_watch *watch, uint64_t done, uint64_t total)
{
    if (watch != NULL && watch->func != NULL) {
        watch->func(done, total, watch->user);
    }
}

/* What is written goes to the disk on the way. In one heap at the end, the next
 * flush of the log would wait for all of it. */
static void write_behind(int to, off_t *behind, off_t at)
{
    if (at - *behind >= BEHIND) {
        (void)sync_file_range(to, *behind, at - *behind,
                              SYNC_FILE_RANGE_WAIT_BEFORE |
                                  SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
        *behind = at;
    }
}

/* Answers: END when there are fewer bytes. */
static int copy_bytes(int from, int to, uint64_t n,
                      const struct state_watch *watch,
                      uint8_t ret_hash[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();
    char *chunk = mem_alloc(CHUNK);
    uint64_t done = 0;
    off_t behind = lseek(to, 0, SEEK_CUR);
    off_t at = behind;
    int r = 0;

    while (r == 0 && done < n) {
        size_t want = n - done < CHUNK ? (size_t)(n - done) : CHUNK;
        ssize_t got = read(from, chunk, want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            r = got == 0 ? ERR_END : err_raise(ERR_IO);
            break;
        }
        sha256_add(hash, chunk, (size_t)got);
        r = write_all(to, (struct str){chunk, (size_t)got});
        done += (uint64_t)got;
        at += got;
        write_behind(to, &behind, at);
        tell(watch, done, n);
    }
    mem_free(chunk);
    (void)sha256_end(hash, ret_hash);
    return r;
}

/* ---- writing ---- */

static int write_header(int fd, const struct state_info *info)
{
    uint8_t header[STATE_HEADER_BYTES];

    state_head_encode(info, header);
    /* The image first: a header on the disk means that all is. */
    if (fsync(fd) != 0 ||
        pwrite(fd, header, sizeof header, 0) != (ssize_t)sizeof header ||
        fsync(fd) != 0) {
        return write_fault();
    }
    return 0;
}

static int wrap(const char *image, const char *file, struct state_info *info)
{
    struct stat size = {0};
    int r = 0;

    int from = open(image, O_RDONLY | O_CLOEXEC);
    int to = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || fstat(from, &size) != 0 ||
        lseek(to, STATE_HEADER_BYTES, SEEK_SET) < 0) {
        r = write_fault();
    }
    if (r == 0) {
        info->size = (uint64_t)size.st_size;
        r = copy_bytes(from, to, info->size, NULL, info->image);
        r = r == ERR_END ? err_raise(ERR_IO) : r;
    }
    if (r == 0) {
        r = write_header(to, info);
    }
    if (from >= 0) {
        (void)close(from);
    }
    if (to >= 0) {
        (void)close(to);
    }
    return r;
}

static void take_meta(struct state_info *info, const struct store_meta *meta)
{
    memcpy(info->cluster, meta->cluster, sizeof info->cluster);
    info->index = meta->applied;
    info->revision = meta->revision;
    info->n_rows = meta->n_rows;
    info->n_ns = meta->n_ns;
    info->n_leases = meta->n_leases;
    info->feature_level = meta->feature_level;
}

int state_file_write(struct store *store, const char *node_id,
                     const char *directory, const char *name,
                     struct state_info *ret_info)
{
    char *image = join(directory, name, ".image");
    char *file = join(directory, name, "");
    struct state_info info = {0};
    struct store_meta meta = {0};

    (void)snprintf(info.node, sizeof info.node, "%s", node_id);
    (void)unlink(image);
    int r = store_copy(store, image);
    if (r == 0) {
        r = store_digest_file(image, info.state, &meta);
    }
    if (r == 0) {
        take_meta(&info, &meta);
        r = wrap(image, file, &info);
    }
    (void)unlink(image);
    if (r != 0) {
        (void)unlink(file);
    } else {
        *ret_info = info;
    }
    mem_free(image);
    mem_free(file);
    return r;
}

/* ---- reading ---- */

static int read_head(int fd, struct state_info *ret_info, char why[STATE_WHY])
{
    uint8_t header[STATE_HEADER_BYTES];
    ssize_t n = pread(fd, header, sizeof header, 0);

    if (n < 0) {
        return err_raise(ERR_IO);
    }
    if (n != (ssize_t)sizeof header) {
        return say(why, "it is shorter than the header of a state file");
    }
    return state_head_decode(header, ret_info, why);
}

static int open_file(const char *path, int *ret_fd)
{
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd >= 0) {
        return 0;
    }
    return errno == ENOENT ? ERR_NOT_FOUND : err_raise(ERR_IO);
}

int state_file_head(const char *path, struct state_info *ret_info,
                    char why[STATE_WHY])
{
    int fd = -1;

    int r = open_file(path, &fd);
    if (r == 0) {
        r = read_head(fd, ret_info, why);
        (void)close(fd);
    }
    return r;
}

static int check_size(int fd, const struct state_info *info,
                      char why[STATE_WHY])
{
    struct stat file;

    if (fstat(fd, &file) != 0) {
        return err_raise(ERR_IO);
    }
    uint64_t has = (uint64_t)file.st_size - STATE_HEADER_BYTES;
    if (has == info->size) {
        return 0;
    }
    (void)snprintf(
        why, STATE_WHY, "it has %llu bytes where its header says %llu: it %s",
        (unsigned long long)has, (unsigned long long)info->size,
        has < info->size ? "was cut short" : "goes on behind its end");
    return ERR_INVALID;
}

static int unpack(int from, int to, const struct state_watch *watch,
                  struct state_info *ret_info, char why[STATE_WHY])
{
    uint8_t hash[SHA256_BYTES];
    struct state_info info = {.size = 0};

    int r = read_head(from, &info, why);
    if (r == 0) {
        r = check_size(from, &info, why);
    }
    if (r == 0 && lseek(from, STATE_HEADER_BYTES, SEEK_SET) < 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        r = copy_bytes(from, to, info.size, watch, hash);
    }
    if (r == ERR_END) {
        return say(why, "it became shorter while it was read");
    }
    if (r == 0 && memcmp(hash, info.image, sizeof hash) != 0) {
        return say(why, "the sum of its content does not hold: it is damaged");
    }
    if (r == 0) {
        *ret_info = info;
    }
    return r;
}

int state_file_unpack(const char *path, const char *to,
                      const struct state_watch *watch,
                      struct state_info *ret_info, char why[STATE_WHY])
{
    int in = -1;

    int r = open_file(path, &in);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? say(why, "there is no such file") : r;
    }
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) {
        r = write_fault();
    } else {
        r = unpack(in, out, watch, ret_info, why);
        if (r == 0 && fsync(out) != 0) {
            r = write_fault();
        }
        (void)close(out);
    }
    (void)close(in);
    return r;
}

/* ---- checking ---- */

int state_image_check(const char *image, struct state_info *info,
                      char why[STATE_WHY])
{
    struct store_found found;

    int r = store_check_file(image, &found);
    if (r == ERR_CORRUPT) {
        (void)snprintf(why, STATE_WHY, "its content is not a registry: %s",
                       found.why);
        return ERR_INVALID;
    }
    if (r != 0) {
        return r;
    }
    if (memcmp(found.digest, info->state, sizeof found.digest) != 0 ||
        memcmp(found.meta.cluster, info->cluster, sizeof info->cluster) != 0 ||
        found.meta.applied != info->index ||
        found.meta.revision != info->revision) {
        return say(why, "its header tells of another state than its content");
    }
    take_meta(info, &found.meta);
    memcpy(info->domain, found.domain, sizeof info->domain);
    return 0;
}

/* A file without a name, gone when it is closed. */
static int open_scratch(const char *beside)
{
    char *directory = mem_text(beside);
    char *slash = strrchr(directory, '/');
    const char *other = getenv("TMPDIR");

    if (slash != NULL) {
        slash[slash == directory ? 1 : 0] = '\0';
    }
    int fd = open(slash == NULL ? "." : directory,
                  O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        fd = open(other == NULL ? "/tmp" : other,
                  O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    mem_free(directory);
    return fd;
}

int state_file_check(const char *path, const struct state_watch *watch,
                     struct state_info *ret_info, char why[STATE_WHY])
{
    char image[64];
    int in = -1;

    int r = open_file(path, &in);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? say(why, "there is no such file") : r;
    }
    int out = open_scratch(path);
    if (out < 0) {
        r = write_fault();
    } else {
        (void)snprintf(image, sizeof image, "/proc/self/fd/%d", out);
        r = unpack(in, out, watch, ret_info, why);
        if (r == 0) {
            r = state_image_check(image, ret_info, why);
        }
        (void)close(out);
    }
    (void)close(in);
    return r;
}
