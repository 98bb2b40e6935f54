/* Needs no server, and takes nothing for granted that stands in the files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/files.h"
#include "base/err.h"

static int read_all(int dir, char **names, size_t n, struct chain *chain,
                    char why[AUDIT_WHY])
{
    char inner[AUDIT_WHY] = "";
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = audit_files_read(dir, names[i], chain, inner);
        if (r == 0) {
            r = audit_chain_end_file(chain, i + 1 == n, inner);
        }
        if (r == ERR_INVALID) {
            (void)snprintf(why, AUDIT_WHY, "%s: %.250s", names[i], inner);
        }
    }
    return r == 0 ? audit_chain_end(chain, why) : r;
}

int audit_verify(const char *dir, const struct audit_noted *noted,
                 struct audit_verdict *ret_verdict, char why[AUDIT_WHY])
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct chain chain;
    char **names = NULL;
    size_t n = 0;

    why[0] = '\0';
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                                                   : err_raise(ERR_IO);
    }
    int r = audit_files_list(fd, &names, &n);
    if (r == 0) {
        audit_chain_begin(&chain, noted);
        r = n == 0 ? ERR_NOT_FOUND : read_all(fd, names, n, &chain, why);
        if (r == 0) {
            *ret_verdict = chain.verdict;
        }
        audit_chain_done(&chain);
        audit_files_list_free(names, n);
    }
    (void)close(fd);
    return r;
}
