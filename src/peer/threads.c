#include <stdio.h>

#include "base/err.h"
#include "peer/inside.h"

/*   FREE ─► AT_WORK ─► ENDED ─► FREE
 *    peer_dial     (done)   joined, by the next peer_dial or the end
 *
 * Not detached: [PEER-3] needs them to be gone, not only to be nearly so. */
enum stage { FREE, AT_WORK, ENDED };

struct dialler {
    enum stage stage;
    pthread_t thread;
    struct threads *threads;
    struct peer_dialling *dialling;
};

struct threads {
    pthread_mutex_t lock;
    struct tls *tls;
    int stop_fd;
    bool over;
    struct dialler diallers[PEER_DIALS_MOST];
};

struct threads *threads_new(int stop_fd, struct tls *tls)
{
    struct threads *threads = mem_zero(sizeof *threads);

    (void)pthread_mutex_init(&threads->lock, NULL);
    threads->stop_fd = stop_fd;
    threads->tls = tls;
    for (size_t i = 0; i < PEER_DIALS_MOST; i++) {
        threads->diallers[i].threads = threads;
    }
    return threads;
}

static void dial(struct peer_dialling *dialling, const struct threads *threads)
{
    const struct peer_dial what = {.kind = dialling->kind,
                                   .address = dialling->address,
                                   .tls = threads->tls,
                                   .self = &dialling->self,
                                   .expects = dialling->expects,
                                   .timeout_ms = dialling->timeout_ms};

    dialling->fd = -1;
    dialling->r =
        dial_connect(&what, threads->stop_fd, &dialling->other, &dialling->fd,
                     &dialling->refused, dialling->why);
    dialling->done(dialling);
}

static void *run(void *user)
{
    struct dialler *dialler = user;
    struct threads *threads = dialler->threads;

    dial(dialler->dialling, threads);
    (void)pthread_mutex_lock(&threads->lock);
    dialler->stage = ENDED;
    (void)pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* Under the lock: one that has ended needs it no more. */
static struct dialler *find(struct threads *threads)
{
    for (size_t i = 0; i < PEER_DIALS_MOST && !threads->over; i++) {
        struct dialler *dialler = &threads->diallers[i];
        if (dialler->stage == ENDED) {
            (void)pthread_join(dialler->thread, NULL);
            dialler->stage = FREE;
        }
        if (dialler->stage == FREE) {
            return dialler;
        }
    }
    return NULL;
}

int threads_dial(struct threads *threads, struct peer_dialling *dialling)
{
    int r = ERR_BUSY;

    (void)pthread_mutex_lock(&threads->lock);
    struct dialler *dialler = find(threads);
    if (dialler != NULL) {
        dialler->dialling = dialling;
        r = thread_start(&dialler->thread, run, dialler);
        dialler->stage = r == 0 ? AT_WORK : FREE;
    }
    (void)pthread_mutex_unlock(&threads->lock);
    return r;
}

struct threads *threads_free(struct threads *threads)
{
    if (threads == NULL) {
        return NULL;
    }
    (void)pthread_mutex_lock(&threads->lock);
    threads->over = true;
    (void)pthread_mutex_unlock(&threads->lock);
    /* From here on no dialler leaves FREE, and who has left it stays joinable.
     */
    for (size_t i = 0; i < PEER_DIALS_MOST; i++) {
        (void)pthread_mutex_lock(&threads->lock);
        bool started = threads->diallers[i].stage != FREE;
        (void)pthread_mutex_unlock(&threads->lock);
        if (started) {
            (void)pthread_join(threads->diallers[i].thread, NULL);
        }
    }
    (void)pthread_mutex_destroy(&threads->lock);
    return mem_free(threads);
}
