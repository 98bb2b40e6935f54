/* Inside of the sending half of import: a line on its way (send.c) and what is
 * asked of the registry for it (store.c, space.c). */
#ifndef CLI_SENDING_H
#define CLI_SENDING_H

#include <pthread.h>
#include <stdatomic.h>

#include "cli/send.h"

enum { JOB_LINES = 1000, JOB_BYTES = 1 << 20 };

/* Rows of a few namespaces, or one namespace. */
struct job {
    struct job *next;
    size_t n;
    size_t bytes;
    bool is_space;
    struct line lines[];
};

struct worker {
    struct sender *sender;
    struct roster *roster;
    struct known_rows *known;
    pthread_t thread;
    pthread_cond_t more; /* a job has come, or the end */
    struct job *first, *last;
    size_t n_jobs; /* waiting or under way */
    struct job *open;
};

enum { WORKERS = 6 };

struct sender {
    struct cli *cli;
    const char *name;
    const struct known_types *types;
    uint64_t base; /* revision before the first line */
    pthread_mutex_t lock;
    pthread_cond_t less; /* a job is done */
    struct worker workers[WORKERS];
    struct sent sent;
    size_t n_spaces; /* ns-puts waiting or under way */
    bool ending;
    /* Lines from this one on are not stored any more: the first that failed.
     * What stands before it still is. UINT64_MAX: none. */
    _Atomic uint64_t limit;
    enum cli_exit status;
};

/* Stores what the job holds; faults are told by sending_fail. */
void store_rows(struct worker *worker, struct job *job);
void store_space(struct worker *worker, const struct line *line);
/* The last request of this worker was for this line, and did not go well.
 * `detail` NULL: as the server said. */
void sending_fail(struct worker *worker, const struct line *line,
                  const char *detail);
void sending_count(struct worker *worker, struct sent more);

#endif
