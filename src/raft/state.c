#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* A state file: this header, zero bytes up to 4096, then the LMDB image (a
 * compacted copy). The descriptor is the same table with its own magic, without
 * the sum, as long as STATE_DESCRIPTOR_BYTES. Numbers are little-endian; see
 * api/state-file.md.
 *
 *   offset size  what
 *   0      8     magic
 *   8      4     format (1)
 *   12     4     offset of the image (4096)
 *   16     16    cluster
 *   32     64    node id, zero-padded
 *   96     8     index
 *   104    8     revision
 *   112    8     size of the image
 *   120    32    SHA-256 of the image
 *   152    32    digest of the state
 *   184    64    file name, zero-padded (descriptor only)
 *   248    8     zero
 *   256    32    SHA-256 of the 256 bytes before (descriptor: too) */
static const char FILE_MAGIC[] = "ROSTERST";
static const char DESCRIPTOR_MAGIC[] = "ROSTERSD";
enum { HEADER_BYTES = 4096, SUMMED = 256, FORMAT = 1, CHUNK = 1 << 20 };
_Static_assert(SUMMED + SHA256_BYTES == STATE_DESCRIPTOR_BYTES, "the table");

static void sum(const uint8_t *bytes, uint8_t ret_sum[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();
    sha256_add(hash, bytes, SUMMED);
    (void)sha256_end(hash, ret_sum);
}

static void encode(const struct state_info *info, const char *magic,
                   uint8_t out[STATE_DESCRIPTOR_BYTES])
{
    memset(out, 0, STATE_DESCRIPTOR_BYTES);
    memcpy(out, magic, 8);
    le_put(out + 8, FORMAT, 4);
    le_put(out + 12, HEADER_BYTES, 4);
    memcpy(out + 16, info->cluster, sizeof info->cluster);
    memcpy(out + 32, info->node, sizeof info->node);
    le_put(out + 96, info->index, 8);
    le_put(out + 104, info->revision, 8);
    le_put(out + 112, info->size, 8);
    memcpy(out + 120, info->image, SHA256_BYTES);
    memcpy(out + 152, info->state, SHA256_BYTES);
    memcpy(out + 184, info->file, sizeof info->file);
    sum(out, out + SUMMED);
}

static int decode(const uint8_t *in, const char *magic,
                  struct state_info *ret_info)
{
    uint8_t expected[SHA256_BYTES];
    struct state_info info = {0};

    sum(in, expected);
    if (memcmp(in, magic, 8) != 0 || le_get(in + 8, 4) != FORMAT ||
        memcmp(in + SUMMED, expected, SHA256_BYTES) != 0 || in[95] != 0 ||
        in[247] != 0) {
        return ERR_INVALID;
    }
    memcpy(info.cluster, in + 16, sizeof info.cluster);
    memcpy(info.node, in + 32, sizeof info.node);
    info.index = le_get(in + 96, 8);
    info.revision = le_get(in + 104, 8);
    info.size = le_get(in + 112, 8);
    memcpy(info.image, in + 120, SHA256_BYTES);
    memcpy(info.state, in + 152, SHA256_BYTES);
    memcpy(info.file, in + 184, sizeof info.file);
    *ret_info = info;
    return 0;
}

void state_describe(const struct state_info *info,
                    uint8_t ret_bytes[STATE_DESCRIPTOR_BYTES])
{
    encode(info, DESCRIPTOR_MAGIC, ret_bytes);
}

int state_read_descriptor(const void *bytes, size_t n,
                          struct state_info *ret_info)
{
    return n != STATE_DESCRIPTOR_BYTES
               ? ERR_INVALID
               : decode(bytes, DESCRIPTOR_MAGIC, ret_info);
}

/* ---- copying with a hash on the way ---- */

static int copy_bytes(int from, int to, uint64_t n,
                      uint8_t ret_hash[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();
    char *chunk = mem_alloc(CHUNK);
    int r = 0;

    while (r == 0 && n > 0) {
        ssize_t got = read(from, chunk, n < CHUNK ? (size_t)n : CHUNK);
        if (got <= 0) {
            r = got == 0 ? ERR_INVALID : err_raise(ERR_IO);
            break;
        }
        sha256_add(hash, chunk, (size_t)got);
        n -= (uint64_t)got;
        for (ssize_t at = 0; r == 0 && to >= 0 && at < got;) {
            ssize_t put = write(to, chunk + at, (size_t)(got - at));
            if (put < 0) {
                r = err_raise(errno == ENOSPC ? ERR_DISK_FULL : ERR_IO);
            }
            at += put;
        }
    }
    mem_free(chunk);
    (void)sha256_end(hash, ret_hash);
    return r;
}

/* ---- writing ---- */

static int write_header(int fd, const struct state_info *info)
{
    uint8_t header[HEADER_BYTES] = {0};

    encode(info, FILE_MAGIC, header);
    if (pwrite(fd, header, sizeof header, 0) != (ssize_t)sizeof header ||
        fsync(fd) != 0) {
        return err_raise(errno == ENOSPC ? ERR_DISK_FULL : ERR_IO);
    }
    return 0;
}

/* The header goes in last: a file cut short by a crash has none. */
static int wrap(const char *image, const char *file, struct state_info *info)
{
    struct stat size = {0};
    int r = 0;

    int from = open(image, O_RDONLY | O_CLOEXEC);
    int to = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || fstat(from, &size) != 0 ||
        lseek(to, HEADER_BYTES, SEEK_SET) < 0) {
        r = err_raise(ERR_IO);
    }
    if (r == 0) {
        info->size = (uint64_t)size.st_size;
        r = copy_bytes(from, to, info->size, info->image);
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

static int name_and_keep(struct core *core, const char *temporary,
                         struct state_info *info)
{
    (void)snprintf(info->file, sizeof info->file, "state-%016llx-%08llx",
                   (unsigned long long)info->index,
                   (unsigned long long)(chance_u64() >> 32));
    char *file = dir_join(core->state_dir, info->file);
    int r = rename(temporary, file) == 0 ? dir_sync(core->state_dir)
                                         : err_raise(ERR_IO);
    mem_free(file);
    return r;
}

int state_write(struct core *core, struct state_info *ret_info)
{
    char *image = dir_join(core->state_dir, "writing.image");
    char *file = dir_join(core->state_dir, "writing.state");
    struct state_info info = {0};
    struct store_meta meta = {0};

    (void)unlink(image);
    memcpy(info.node, core->node_id, sizeof info.node);
    int r = store_copy(core->store, image);
    if (r == 0) {
        r = store_digest_file(image, info.state, &meta);
    }
    if (r == 0) {
        memcpy(info.cluster, meta.cluster, sizeof info.cluster);
        info.index = meta.applied;
        info.revision = meta.revision;
        r = wrap(image, file, &info);
    }
    if (r == 0) {
        r = name_and_keep(core, file, &info);
    }
    (void)unlink(image);
    (void)unlink(file);
    mem_free(image);
    mem_free(file);
    if (r == 0) {
        *ret_info = info;
    }
    return r;
}

/* ---- reading ---- */

static bool is_state_file(const struct dirent *entry)
{
    return strncmp(entry->d_name, "state-", 6) == 0;
}

static int filter_state(const struct dirent *entry)
{
    return is_state_file(entry) ? 1 : 0;
}

/* Newest last: the name begins with the index in hex. */
static int list_states(const struct core *core, struct dirent ***ret_names)
{
    int n = scandir(core->state_dir, ret_names, filter_state, alphasort);
    return n < 0 ? err_raise(ERR_IO) : n;
}

static int unpack(const char *file, const char *to_path,
                  struct state_info *ret_info)
{
    uint8_t header[HEADER_BYTES];
    uint8_t hash[SHA256_BYTES];
    int to = -1, r = 0;

    int from = open(file, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return err_raise(ERR_IO);
    }
    if (read(from, header, sizeof header) != (ssize_t)sizeof header ||
        decode(header, FILE_MAGIC, ret_info) != 0) {
        r = ERR_INVALID;
    }
    if (r == 0) {
        to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        r = to < 0 ? err_raise(ERR_IO)
                   : copy_bytes(from, to, ret_info->size, hash);
    }
    if (r == 0 && memcmp(hash, ret_info->image, sizeof hash) != 0) {
        r = ERR_INVALID;
    }
    if (r == 0 && fsync(to) != 0) {
        r = err_raise(ERR_IO);
    }
    (void)close(from);
    if (to >= 0) {
        (void)close(to);
    }
    return r;
}

static void clear_store(const struct core *core)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "new.mdb"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = dir_join(core->store_dir, files[i]);
        (void)unlink(path);
        mem_free(path);
    }
}

static int restore_from(struct core *core, const char *name)
{
    char *file = dir_join(core->state_dir, name);
    char *fresh = dir_join(core->store_dir, "new.mdb");
    char *data = dir_join(core->store_dir, "data.mdb");
    struct state_info info;

    int r = unpack(file, fresh, &info);
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
                 LOG_TXT("file", name), LOG_TXT("why", err_text(r)));
    }
    mem_free(file);
    mem_free(fresh);
    mem_free(data);
    return r;
}

int state_restore(struct core *core)
{
    struct dirent **names = NULL;
    int r = ERR_NOT_FOUND;

    clear_store(core);
    int n = list_states(core, &names);
    if (n < 0) {
        return n;
    }
    /* An older one will do when the newest is damaged and the log still has
     * what is between; the descriptor check at start sees to that. */
    for (int i = n; i-- > 0;) {
        if (r != 0) {
            r = restore_from(core, names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
    return 0;
}

enum { KEEP = 2 }; /* libraft keeps two descriptors */

void state_forget(struct core *core, const char *file)
{
    if (file[0] != '\0') {
        char *path = dir_join(core->state_dir, file);
        (void)unlink(path);
        mem_free(path);
    }
}

void state_clean(struct core *core)
{
    struct dirent **names = NULL;
    int n = list_states(core, &names);

    for (int i = 0; i < n; i++) {
        if (i < n - KEEP) {
            char *path = dir_join(core->state_dir, names[i]->d_name);
            (void)unlink(path);
            mem_free(path);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}
