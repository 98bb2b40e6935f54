/* Going on where a process has ended, whichever way it did. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/inside.h"
#include "audit/line.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/* Behind what is torn, and with its sum. */
static int add_resume(struct audit *audit, uint64_t bytes,
                      const uint8_t digest[SHA256_BYTES])
{
    char hex[AUDIT_HASH], detail[160];
    struct buf text = {0};

    audit_chain_hex(digest, hex);
    (void)snprintf(detail, sizeof detail, "torn %llu %s",
                   (unsigned long long)bytes, hex);
    log_warn(
        LOG_AUDIT, "the audit ends with something torn: it goes on behind that",
        LOG_STR("file", str_of(audit->files.name)), LOG_U64("bytes", bytes));
    audit_line_add(&text,
                   &(struct audit_line){.op = STR(CHAIN_RESUME),
                                        .outcome = STR("ok"),
                                        .detail = str_of(detail)},
                   str_of(audit->node), clock_wall_ms());
    buf_clear(&audit->batch);
    audit_chain_add(&audit->head, buf_str(&text), &audit->batch);
    buf_done(&text);
    return audit_files_append(&audit->files, audit->head.seq,
                              buf_str(&audit->batch));
}

/* What stands behind `good` bytes of the newest file. */
static int resume_torn(struct audit *audit, uint64_t good, uint64_t size)
{
    struct files *files = &audit->files;
    struct sha256 *hash = sha256_new();
    uint8_t digest[SHA256_BYTES];
    char bytes[4096];
    ssize_t n = 1;
    int fd = openat(files->dir, files->name, O_RDONLY | O_CLOEXEC);

    for (uint64_t at = good; fd >= 0 && n > 0; at += (uint64_t)n) {
        n = pread(fd, bytes, sizeof bytes, (off_t)at);
        sha256_add(hash, bytes, n > 0 ? (size_t)n : 0);
    }
    (void)sha256_end(hash, digest);
    if (fd < 0 || n < 0) {
        n = -1;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return n < 0 ? err_raise(ERR_IO) : add_resume(audit, size - good, digest);
}

/* How far the chain of one file reaches: what does not fit is behind that. */
static int read_end(struct audit *audit, const char *name, uint64_t *ret_good,
                    uint64_t *ret_size, bool *ret_any)
{
    struct chain chain;
    char why[AUDIT_WHY];

    audit_chain_begin(&chain, NULL);
    int r = audit_files_read(audit->files.dir, name, &chain, why);
    if (r >= 0) {
        int fd = openat(audit->files.dir, name, O_RDONLY | O_CLOEXEC);
        off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
        if (fd >= 0) {
            (void)close(fd);
        }
        r = end < 0 ? err_raise(ERR_IO) : 0;
        *ret_size = (uint64_t)end;
    }
    *ret_good = chain.good;
    *ret_any = chain.verdict.lines > 0;
    if (r == 0 && *ret_any) {
        audit->head = chain.head;
        audit->head.hash[AUDIT_HASH - 1] = '\0';
    }
    audit_chain_done(&chain);
    return r;
}

/* The end of a line comes behind what is torn: it may be all that was missing.
 * None of this goes into a new file, however full this one is. */
static int mend(struct audit *audit, const char *name)
{
    uint64_t file_bytes = audit->files.file_bytes;
    uint64_t good = 0, size = 0;
    bool any = false;

    audit->files.file_bytes = UINT64_MAX;
    int r = audit_files_append(&audit->files, 0, STR("\n"));
    if (r == 0) {
        r = read_end(audit, name, &good, &size, &any);
    }
    if (r == 0 && good < size) {
        r = resume_torn(audit, good, size);
    }
    audit->files.file_bytes = file_bytes;
    return r;
}

/* The newest file has the end of the chain, unless it has no line yet. */
static int go_on(struct audit *audit, char **names, size_t n)
{
    uint64_t good = 0, size = 0, ignored = 0;
    bool any = false;

    audit->files.n = n;
    if (n == 0) {
        return 0;
    }
    int r = read_end(audit, names[n - 1], &good, &size, &any);
    for (size_t i = n - 1; r == 0 && !any && i > 0; i--) {
        r = read_end(audit, names[i - 1], &ignored, &ignored, &any);
    }
    if (r == 0) {
        r = audit_files_resume(&audit->files, names[n - 1], size);
    }
    return r == 0 && good < size ? mend(audit, names[n - 1]) : r;
}

int audit_resume(struct audit *audit)
{
    char **names = NULL;
    size_t n = 0;

    audit->head = audit_chain_none();
    int r = audit_files_list(audit->files.dir, &names, &n);
    if (r == 0) {
        r = go_on(audit, names, n);
        audit_files_list_free(names, n);
    }
    return r;
}
