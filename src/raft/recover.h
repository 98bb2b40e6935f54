/* The last resort: one survivor goes on alone (offline).
 *
 * When a majority of a cluster is lost for good, the one that has the longest
 * log is made its sole voter. Nothing it holds is lost or changed. What it
 * never saw may have been acknowledged by others: so the next start counts as a
 * restore, before anybody is served. The revision moves to the next multiple of
 * 2^32 and the history begins anew: no cursor or condition from before fits.
 * And it is another cluster: the nodes it was made to go on without cannot come
 * back to it, nor it to them, but with empty directories.
 *
 * May be done again, also when it was interrupted. */
#ifndef RAFT_RECOVER_H
#define RAFT_RECOVER_H

#include "base/own.h"

#define CORE_RECOVER_WHY 256

struct core_recovered {
    char node[64];                 /* its id */
    unsigned n_before;             /* members it had */
    unsigned long long last_index; /* the end of its log */
};

/* No server runs on the directory: it is locked meanwhile. Answers: INVALID
 * (`why` says what to do). Faults: IO, DISK_FULL, SYSTEM. */
int core_recover(const char *data_dir, struct core_recovered *ret_recovered,
                 char why[CORE_RECOVER_WHY]) MUST_USE;

#endif
