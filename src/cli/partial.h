/* A file that appears under its name only when it is whole and on the disk.
 * Until then it lies beside it under a name that nobody takes for it, and goes
 * when the program fails or is interrupted. One at a time. */
#ifndef CLI_PARTIAL_H
#define CLI_PARTIAL_H

#include <stdbool.h>

#include "base/own.h"

struct partial {
    char *name;
    char *path;
    int fd;
};

/* These tell what is wrong themselves; false: it failed. */
bool partial_open(struct partial *partial, const char *path) MUST_USE;
/* On the disk, still under the other name. */
bool partial_sync(struct partial *partial) MUST_USE;
bool partial_keep(struct partial *partial) MUST_USE;
/* What was not kept is removed. */
void partial_done(struct partial *partial);

#endif
