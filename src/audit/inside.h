/* What the sources of this room share. Private. */
#ifndef AUDIT_INSIDE_H
#define AUDIT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "audit/files.h"

struct item; /* audit.c */

struct audit {
    char *node;
    pthread_mutex_t lock;
    pthread_cond_t written; /* a batch is over */
    pthread_cond_t wanted;  /* the keeper is */
    bool writing;
    bool stopping;
    struct item *first, *last;
    unsigned posts; /* of these: owned */
    pthread_t keeper;
    bool keeps;

    /* Whose `writing` is: */
    struct files files;
    struct chain_head head;
    struct buf batch;
    uint64_t lost;      /* lines since the last that was written */
    uint64_t logged_ms; /* the last complaint */

    _Atomic bool ready;
    _Atomic uint64_t n_written, n_failed, n_sync_failed;
};

/* Takes the chain up that is in the files. While nobody else knows the audit.
 * Faults: IO, DISK_FULL. */
int audit_resume(struct audit *audit) MUST_USE;

#endif
