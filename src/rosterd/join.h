/* A node that is none yet asks a cluster over HTTP to be taken in. */
#ifndef ROSTERD_JOIN_H
#define ROSTERD_JOIN_H

#include "raft/core.h"

/* Files; each may be NULL. */
struct join_as {
    const char *ca, *cert, *key; /* for https */
    const char *token_file;      /* a token in its first line */
};

/* What core_config.join_by_url wants. Blocking, any thread, until `wake_fd` is
 * readable. Answers: INVALID (`why` says what the cluster has against it).
 * Faults: IO: ask again. */
int join_by_url(const char *url, const struct join_as *as, int wake_fd,
                struct str request, struct buf *reply,
                char why[CORE_WHY]) MUST_USE;

#endif
