/* A field per mount point: "ext4 /dev/vda1 size=107374182400". Usage is no
 * inventory. Sizes are of block devices, as the kernel keeps them: no file
 * system is asked, so that none that hangs (NFS) can hang the answer. Left out
 * are the kernel's own file systems, and further mounts of what is mounted
 * already, which containers make by the hundred. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/collect.h"
#include "agent/lines.h"
#include "agent/read.h"
#include "base/err.h"

enum { MOUNTS_MAX = 10000, SECTOR = 512 };

struct mounts {
    struct arena *arena;
    struct mount *items;
    size_t n;
};

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* proc(5): blank, tab, newline, backslash and # as \ooo. */
static struct str decode(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p + i;
        if (at[0] == '\\' && i + 3 < text.n && is_octal(at[1]) &&
            is_octal(at[2]) && is_octal(at[3])) {
            out[n++] =
                (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            i += 3;
        } else {
            out[n++] = at[0];
        }
    }
    return (struct str){out, n};
}

/* id, parent, device, root, point, options, optional fields, "-", type,
 * source, super options */
int mount_parse(struct arena *arena, struct str line, struct mount *ret_mount)
{
    struct mount mount = {0};

    line_skip(&line, 2);
    mount.device = line_word(&line);
    mount.root = line_word(&line);
    mount.point = line_word(&line);
    struct str word = line_word(&line);
    while (word.p != NULL && !str_is(word, "-")) {
        word = line_word(&line);
    }
    mount.type = line_word(&line);
    mount.source = line_word(&line);
    if (mount.source.p == NULL) {
        return ERR_INVALID;
    }
    ret_mount->device = arena_str(arena, mount.device);
    ret_mount->root = decode(arena, mount.root);
    ret_mount->point = decode(arena, mount.point);
    ret_mount->type = decode(arena, mount.type);
    ret_mount->source = decode(arena, mount.source);
    return 0;
}

static bool is_inventory(const struct mount *mount)
{
    static const char *const kernels[] = {
        "autofs",     "binfmt_misc", "bpf",         "cgroup",   "cgroup2",
        "configfs",   "debugfs",     "devpts",      "devtmpfs", "efivarfs",
        "fusectl",    "hugetlbfs",   "mqueue",      "nsfs",     "proc",
        "pstore",     "ramfs",       "resctrl",     "rootfs",   "rpc_pipefs",
        "securityfs", "selinuxfs",   "smackfs",     "sysfs",    "tmpfs",
        "tracefs",    "fuse.lxcfs",  "fuse.portal", NULL};

    for (const char *const *name = kernels; *name != NULL; name++) {
        if (str_is(mount->type, *name)) {
            return false;
        }
    }
    /* A layered one is a container's, unless it is what we run on. */
    return !str_is(mount->type, "overlay") || str_is(mount->point, "/");
}

static void keep(void *user, struct str line)
{
    struct mounts *mounts = user;
    struct mount mount = {0};

    if (mounts->n < MOUNTS_MAX &&
        mount_parse(mounts->arena, line, &mount) == 0 && is_inventory(&mount)) {
        mounts->items[mounts->n++] = mount;
    }
}

/* By device; the whole before parts of it, then the shortest path. */
static int compare(const void *a, const void *b)
{
    const struct mount *left = a;
    const struct mount *right = b;
    int r = str_compare(left->device, right->device);

    if (r == 0 && left->root.n != right->root.n) {
        return left->root.n < right->root.n ? -1 : 1;
    }
    r = r != 0 ? r : str_compare(left->root, right->root);
    if (r == 0 && left->point.n != right->point.n) {
        return left->point.n < right->point.n ? -1 : 1;
    }
    return r != 0 ? r : str_compare(left->point, right->point);
}

/* btrfs: one device, and parts of it (subvolumes) mounted on purpose. */
static bool is_again(const struct mount *last, const struct mount *mount)
{
    return last != NULL && str_equal(last->device, mount->device) &&
           (!str_is(mount->type, "btrfs") ||
            str_equal(last->root, mount->root));
}

static bool add_device_size(const char *root, const char *device,
                            struct buf *out)
{
    struct buf path = {0};
    struct buf text = {0};
    uint64_t sectors = 0;

    buf_printf(&path, "/sys/dev/block/%s/size", device);
    bool known = read_small(root, buf_text(&path), &text) == 0 &&
                 str_number(read_trim(buf_str(&text)), UINT64_MAX / SECTOR,
                            &sectors) == 0;
    if (known) {
        buf_add_text(out, " size=");
        buf_add_u64(out, sectors * SECTOR);
    }
    buf_done(&path);
    buf_done(&text);
    return known;
}

/* btrfs shows a device number of its own: that of its first device is asked
 * for by name. Only below /dev: anything else may hang. */
static void add_size(const char *root, const struct mount *mount,
                     struct arena *arena, struct buf *out)
{
    struct stat status;

    if (add_device_size(root, arena_text(arena, mount->device), out) ||
        mount->source.n < 5 || memcmp(mount->source.p, "/dev/", 5) != 0 ||
        stat(arena_text(arena, mount->source), &status) != 0 ||
        !S_ISBLK(status.st_mode)) {
        return;
    }
    struct str number = arena_printf(arena, "%u:%u", major(status.st_rdev),
                                     minor(status.st_rdev));
    (void)add_device_size(root, arena_text(arena, number), out);
}

static void add(const char *root, const struct mounts *mounts,
                struct sheet *sheet)
{
    const struct mount *last = NULL;
    struct buf text = {0};

    for (size_t i = 0; i < mounts->n; i++) {
        const struct mount *mount = &mounts->items[i];
        if (!is_again(last, mount)) {
            buf_clear(&text);
            buf_add_str(&text, mount->type);
            buf_add_char(&text, ' ');
            buf_add_str(&text, mount->source);
            add_size(root, mount, mounts->arena, &text);
            sheet_add(sheet, 0, mount->point, buf_str(&text));
        }
        last = mount;
    }
    buf_done(&text);
}

int collect_filesystems(const char *root, struct sheet *sheet)
{
    struct mounts mounts = {.arena = arena_new()};

    mounts.items = mem_alloc(MOUNTS_MAX * sizeof *mounts.items);
    int r = lines_of_file(root, "/proc/self/mountinfo", keep, &mounts);
    if (r == 0) {
        qsort(mounts.items, mounts.n, sizeof *mounts.items, compare);
        add(root, &mounts, sheet);
    } else {
        sheet_note(sheet, "unavailable", "there is no /proc/self/mountinfo");
    }
    (void)mem_free(mounts.items);
    mounts.arena = arena_free(mounts.arena);
    return r;
}
