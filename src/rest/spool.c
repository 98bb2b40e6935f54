#include "rest/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/write.h"
#include "rest/state.h"

/* ---- the thread ---- */

static struct rest_task *pop(struct rest_spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    while (spool->first == NULL && !spool->stopping) {
        pthread_cond_wait(&spool->more, &spool->lock);
    }
    struct rest_task *task = spool->first;
    if (task != NULL) {
        spool->first = task->next;
    }
    pthread_mutex_unlock(&spool->lock);
    return task;
}

static void *run(void *user)
{
    struct rest_task *task = NULL;

    while ((task = pop(user)) != NULL) {
        task->run(task);
    }
    return NULL;
}

int rest_spool_start(struct rest_spool *spool)
{
    sigset_t all;
    sigset_t old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&spool->thread, NULL, run, spool);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    spool->running = r == 0;
    return r == 0 ? 0 : err_raise(ERR_SYSTEM);
}

void rest_spool_stop(struct rest_spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    spool->stopping = true;
    pthread_cond_signal(&spool->more);
    pthread_mutex_unlock(&spool->lock);
    if (spool->running) {
        (void)pthread_join(spool->thread, NULL);
        spool->running = false;
    }
}

void rest_spool_push(struct rest_spool *spool, struct rest_task *task)
{
    pthread_mutex_lock(&spool->lock);
    task->next = NULL;
    if (spool->first == NULL) {
        spool->first = task;
    } else {
        spool->last->next = task;
    }
    spool->last = task;
    pthread_cond_signal(&spool->more);
    pthread_mutex_unlock(&spool->lock);
}

/* ---- an upload ---- */

struct rest_upload {
    struct rest_task task;
    struct rest_request *request;
    struct rest *rest;
    struct buf piece;
    char *path;
    int fd;
    int outcome;
};

struct rest_upload *rest_upload_new(struct rest_request *request)
{
    static atomic_uint number;
    struct rest *rest = request->loop->rest;
    struct buf path = {0};

    if (atomic_fetch_add(&rest->spool.uploads, 1) >= REST_UPLOADS_MOST) {
        atomic_fetch_sub(&rest->spool.uploads, 1);
        return NULL;
    }
    struct rest_upload *upload = mem_zero(sizeof *upload);
    buf_printf(&path, "%s/upload-%u", core_spool_dir(rest->core),
               atomic_fetch_add(&number, 1));
    upload->request = request;
    upload->rest = rest;
    upload->path = mem_text(buf_text(&path));
    upload->fd = -1;
    buf_done(&path);
    return upload;
}

bool rest_upload_take(struct rest_upload *upload, struct str part)
{
    if (upload->piece.room == 0) {
        buf_reserve(&upload->piece, REST_PIECE_BYTES + (64 << 10));
    }
    buf_add_str(&upload->piece, part);
    return upload->piece.n >= REST_PIECE_BYTES;
}

bool rest_upload_is_written(const struct rest_upload *upload)
{
    return upload->piece.n == 0;
}

static int write_piece(struct rest_upload *upload)
{
    if (upload->piece.n > core_disk_left(upload->rest->core)) {
        return ERR_FULL;
    }
    if (upload->fd < 0) {
        upload->fd =
            open(upload->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    int r = upload->fd < 0 ? err_raise(ERR_IO)
                           : write_all(upload->fd, buf_str(&upload->piece));
    return r == ERR_DISK_FULL ? ERR_FULL : r;
}

static void run_write(struct rest_task *task)
{
    struct rest_upload *upload = CONTAINER(task, struct rest_upload, task);

    upload->outcome = write_piece(upload);
    if (upload->outcome < 0) {
        log_error(LOG_HTTP, "a body could not be written to a file",
                  LOG_TXT("path", upload->path),
                  LOG_TXT("why", err_text(upload->outcome)),
                  LOG_TXT("at", err_origin()));
    }
    buf_clear(&upload->piece);
    rest_request_wake(&upload->request->op);
}

void rest_upload_write(struct rest_upload *upload)
{
    upload->task.run = run_write;
    rest_spool_push(&upload->rest->spool, &upload->task);
}

int rest_upload_outcome(const struct rest_upload *upload)
{
    return upload->outcome;
}

const char *rest_upload_path(const struct rest_upload *upload)
{
    return upload->path;
}

static void run_free(struct rest_task *task)
{
    struct rest_upload *upload = CONTAINER(task, struct rest_upload, task);

    if (upload->fd >= 0) {
        (void)unlink(upload->path);
        (void)close(upload->fd);
    }
    atomic_fetch_sub(&upload->rest->spool.uploads, 1);
    upload->path = mem_free(upload->path);
    (void)mem_free(upload);
}

struct rest_upload *rest_upload_free(struct rest_upload *upload)
{
    if (upload != NULL) {
        buf_done(&upload->piece);
        upload->task.run = run_free;
        rest_spool_push(&upload->rest->spool, &upload->task);
    }
    return NULL;
}
