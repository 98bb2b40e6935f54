#include <fcntl.h>
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

void disk_give_ballast(struct core *core)
{
    if (core->ballast_held) {
        log_warn(LOG_CORE, "the disk is full: the ballast is given up so that "
                           "deletes and expiry go through");
        (void)unlink(core->ballast);
        core->ballast_held = false;
    }
}

/* Pages of the log's rows end up in LMDB several times over (row, key, list,
 * history, and the copies on the way to the root). */
enum { GROWTH = 4 };

bool disk_takes(struct core *core, size_t bytes)
{
    /* Measuring walks LMDB's free list: between two measurements what was
     * let in counts. */
    uint64_t grown = core->grown_bytes + bytes * GROWTH;

    if (atomic_load(&core->status.disk_low) ||
        core->used_bytes + grown > core->config.store_limit_bytes) {
        return false;
    }
    core->grown_bytes = grown;
    return true;
}

void disk_watch(struct core *core, uint64_t now_ms)
{
    if (now_ms - core->disk_checked_ms < DISK_CHECK_MS) {
        return;
    }
    core->disk_checked_ms = now_ms;
    core->used_bytes = store_usage(core->store).used_bytes;
    core->grown_bytes = 0;
    uint64_t left = free_bytes(core);
    bool was = atomic_load(&core->status.disk_low);
    /* Let go a little above the mark, so that it does not flutter. */
    uint64_t mark = core->config.disk_reserve_bytes;
    bool low = left < (was ? mark + mark / 8 : mark);
    if (low != was) {
        atomic_store(&core->status.disk_low, low);
        if (low) {
            log_warn(LOG_CORE,
                     "little space left: writes that grow the registry are "
                     "refused until there is more",
                     LOG_U64("free_bytes", left), LOG_U64("reserve", mark));
        } else {
            log_info(LOG_CORE, "space again: writes are taken",
                     LOG_U64("free_bytes", left));
        }
    }
    if (!low && !core->ballast_held && left > mark + 2 * BALLAST_BYTES) {
        hold_ballast(core);
    }
}
