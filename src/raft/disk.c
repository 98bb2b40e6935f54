#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "raft/inside.h"

static uint64_t free_bytes(const struct core *core)
{
    struct statvfs fs;

    if (statvfs(core->config.data_dir, &fs) != 0) {
        return UINT64_MAX;
    }
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void hold_ballast(struct core *core)
{
    int fd = open(core->ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    core->ballast_held = posix_fallocate(fd, 0, BALLAST_BYTES) == 0;
    if (!core->ballast_held) {
        (void)unlink(core->ballast);
    }
    (void)close(fd);
}

/* What a command takes on the disk: its entry in the log, and in LMDB its row,
 * key, list record and event, each with the pages on the way to a root. */
enum { GROWTH = 8 };

static void measure(struct core *core)
{
    core->used_bytes = store_usage(core->store).used_bytes;
    core->left_bytes = free_bytes(core);
    core->grown_bytes = 0;
}

/* Without the ballast there has to be room for it too: deletes may need it
 * again. */
static uint64_t mark_of(const struct core *core)
{
    return core->config.disk_reserve_bytes +
           (core->ballast_held ? 0 : BALLAST_BYTES);
}

static void set_low(struct core *core, bool low)
{
    if (low == atomic_load(&core->status.disk_low)) {
        return;
    }
    atomic_store(&core->status.disk_low, low);
    if (low) {
        log_warn(LOG_CORE,
                 "little space left: writes that grow the registry are "
                 "refused until there is more",
                 LOG_U64("free_bytes", core->left_bytes),
                 LOG_U64("needed", mark_of(core)));
    } else {
        log_info(LOG_CORE, "space again: writes are taken",
                 LOG_U64("free_bytes", core->left_bytes));
    }
}

static bool fits(const struct core *core, uint64_t grown)
{
    return core->left_bytes >= core->config.disk_reserve_bytes + grown;
}

bool disk_takes(struct core *core, size_t bytes)
{
    uint64_t grows = (uint64_t)bytes * GROWTH;

    /* Between two measurements what was let in counts. */
    if (atomic_load(&core->status.disk_low) ||
        core->used_bytes + core->grown_bytes + grows >
            core->config.store_limit_bytes) {
        return false;
    }
    /* The disk is asked before anybody is refused on a guess. */
    if (!fits(core, core->grown_bytes + grows)) {
        measure(core);
    }
    if (!fits(core, core->grown_bytes + grows)) {
        /* Near the mark the next one is refused too, however small. */
        set_low(core, core->left_bytes < mark_of(core) + mark_of(core) / 8);
        return false;
    }
    core->grown_bytes += grows;
    return true;
}

uint64_t core_disk_left(const struct core *core)
{
    uint64_t left = free_bytes(core);
    uint64_t reserve = core->config.disk_reserve_bytes;

    return left > reserve ? left - reserve : 0;
}

bool disk_has(const struct core *core, uint64_t bytes)
{
    return core_disk_left(core) >= bytes;
}

struct core_disk core_disk(const struct core *core)
{
    struct stat ballast = {0};

    (void)stat(core->ballast, &ballast);
    return (struct core_disk){
        .free_bytes = free_bytes(core),
        .reserve_bytes = core->config.disk_reserve_bytes,
        .ballast_bytes = (uint64_t)ballast.st_blocks * 512,
    };
}

bool disk_has_room(const struct core *core)
{
    /* The image and the file made of it lie side by side for a moment. */
    return core->left_bytes / 2 >
           core->used_bytes + core->config.disk_reserve_bytes / 2;
}

void disk_ran_out(struct core *core)
{
    core->left_bytes = 0;
    atomic_store(&core->status.disk_low, true);
    if (core->ballast_held) {
        log_warn(LOG_CORE, "the disk is full: the ballast is given up so that "
                           "deletes and expiry go through");
        (void)unlink(core->ballast);
        core->ballast_held = false;
    }
}

/* What the process before left. On a disk that is full already, starting itself
 * needs some of it: a marker, a segment of the log. */
void disk_init(struct core *core)
{
    struct stat file;

    core->left_bytes = free_bytes(core);
    core->ballast_held = stat(core->ballast, &file) == 0 &&
                         file.st_blocks * 512 >= (off_t)BALLAST_BYTES;
    if (core->left_bytes < START_BYTES) {
        disk_ran_out(core);
    }
}

void disk_watch(struct core *core, uint64_t now_ms)
{
    if (now_ms - core->disk_checked_ms < DISK_CHECK_MS) {
        return;
    }
    core->disk_checked_ms = now_ms;
    measure(core);
    /* Let go a little above the mark, so that it does not flutter. */
    uint64_t mark = mark_of(core);
    bool was = atomic_load(&core->status.disk_low);
    set_low(core, core->left_bytes < (was ? mark + mark / 8 : mark));
    if (!atomic_load(&core->status.disk_low) && !core->ballast_held) {
        hold_ballast(core);
    }
}
