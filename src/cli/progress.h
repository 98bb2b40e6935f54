/* How far long work has come: one line on stderr that is written over, only
 * when stderr is a terminal and --quiet was not given; otherwise nothing. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

enum progress_unit { PROGRESS_BYTES, PROGRESS_ROWS };

struct progress {
    const char *what; /* lent: "receiving" */
    enum progress_unit unit;
    bool shown;   /* there is somebody to see it */
    bool written; /* a line stands there */
    uint64_t began_ms;
    uint64_t next_ms; /* when it is written again */
};

void progress_begin(struct progress *progress, const struct cli *cli,
                    const char *what, enum progress_unit unit);
/* `total` 0: not known. Cheap when called often. */
void progress_set(struct progress *progress, uint64_t done, uint64_t total);
/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
