/* What a webhook is sent: events behind its cursor, as one body. */
#ifndef HOOK_BATCH_H
#define HOOK_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "hook/found.h"
#include "store/store.h"

enum { BATCH_EVENTS = 500, BATCH_BYTES = 1 << 20, BATCH_SMALL = 1 << 16 };

struct batch {
    struct buf events; /* with commas between */
    size_t n;
    uint64_t first, last; /* revisions */
    uint64_t upto;        /* when it is delivered, all up to there is done */
    bool end;             /* and that is all there was */
    bool reset;           /* it says so and nothing else */
    struct str path;      /* the namespace's at `upto`, in the arena */
};

/* All lent. */
struct batch_ask {
    struct engine_key key;
    struct str path;   /* of its namespace, as it was at `cursor` */
    struct str types;  /* as its row says */
    uint64_t cursor;   /* from there on */
    size_t most_bytes; /* some, or one event */
};
/* n == 0: nothing there concerns it. Ends with batch_done whatever comes back.
 * Faults of the store. */
int batch_read(struct store_reader *reader, struct arena *arena,
               const struct batch_ask *ask, struct batch *ret_batch) MUST_USE;
void batch_done(struct batch *batch);
/* {"webhook":…,"ns":…,"first":…,"last":…,"events":[…]} */
void batch_write(struct buf *body, const struct batch *batch,
                 const struct found *row);
/* The path that a namespace had at `cursor`, when it has `path` at `revision`,
 * as far as the history tells. `root` is that of all. */
int batch_path(struct store_reader *reader, struct arena *arena,
               struct str root, struct str path, uint64_t revision,
               uint64_t cursor, struct str *ret_path) MUST_USE;

#endif
