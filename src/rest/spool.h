/* What is too large for memory: bodies that go to a file as they arrive, files
 * that are sent as an answer.
 *
 * A loop never waits for the disk: what it received is handed over to one
 * thread in pieces, and the connection stands still while a piece is written;
 * that thread also closes and removes files, for freeing a large one takes
 * time. Sending reads what was written a moment before.
 *
 *   take ─► piece full ─► suspended, the thread writes ─► woken ─► take … end
 *
 * One upload belongs to its loop, or to the thread while it is suspended. */
#ifndef REST_SPOOL_H
#define REST_SPOOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/own.h"

/* A piece of work for the thread. `run` ends it: it may be gone after. */
struct rest_task {
    struct rest_task *next;
    void (*run)(struct rest_task *task);
};

struct rest_spool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct rest_task *first, *last;
    bool stopping;
    bool running;
    pthread_t thread;
    atomic_uint uploads; /* at once, REST_UPLOADS_MOST at most */
};

#define REST_UPLOADS_MOST 8
/* Held in memory of each upload. */
#define REST_PIECE_BYTES (256 << 10)

int rest_spool_start(struct rest_spool *spool) MUST_USE;
/* Carries out what was pushed before. */
void rest_spool_stop(struct rest_spool *spool);
void rest_spool_push(struct rest_spool *spool, struct rest_task *task);

struct rest_request;
struct rest_upload; /* opaque */

/* NULL when as many as there may be are under way. */
struct rest_upload *rest_upload_new(struct rest_request *request) MUST_USE;
/* Whether the piece is full, or the body over: rest_upload_write is next. */
bool rest_upload_take(struct rest_upload *upload, struct str part) MUST_USE;
bool rest_upload_is_written(const struct rest_upload *upload);
/* The request has been suspended; it is woken when the piece is written. */
void rest_upload_write(struct rest_upload *upload);
/* What became of the last piece: 0, FULL, or a fault. */
int rest_upload_outcome(const struct rest_upload *upload) MUST_USE;
/* Lends; whole only when everything is written. */
const char *rest_upload_path(const struct rest_upload *upload);
/* Its file goes too, unless somebody has moved it away. Always NULL. */
struct rest_upload *rest_upload_free(struct rest_upload *upload);

#endif
