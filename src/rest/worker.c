/* Long operations: a search through everything, a list that fills the cache.
 * They run here so that no other connection of their loop waits for them. */
#include <signal.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

enum { QUEUE_MOST = 64 };

static struct rest_request *pop(struct rest_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->stopping) {
        pthread_cond_wait(&workers->more, &workers->lock);
    }
    struct rest_request *request = workers->first;
    if (request != NULL) {
        workers->first = request->next;
        workers->n--;
    }
    pthread_mutex_unlock(&workers->lock);
    return request;
}

/* [REST-1] When it waits it is no longer ours: it may have been woken and run
 * on its loop before registry_run is back here. */
static void run_one(struct rest_request *request, struct store_reader *reader)
{
    struct registry *registry = request->loop->rest->registry;

    enum op_step step = registry_run(registry, &request->op, reader);
    if (step != OP_WAIT) {
        request->finished = step == OP_DONE;
        request->parks = step == OP_PARK;
        rest_request_wake(&request->op);
    }
}

struct worker {
    struct rest_workers *workers;
    struct store_reader *reader;
};

static void *run(void *user)
{
    struct worker worker = *(struct worker *)user;
    struct rest_request *request = NULL;

    (void)mem_free(user);
    while ((request = pop(worker.workers)) != NULL) {
        run_one(request, worker.reader);
    }
    return NULL;
}

static int start_one(struct rest_workers *workers, unsigned i)
{
    struct worker *worker = mem_alloc(sizeof *worker);
    sigset_t all;
    sigset_t old;

    *worker = (struct worker){workers, workers->readers[i]};
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&workers->threads[i], NULL, run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        (void)mem_free(worker);
        return err_raise(ERR_SYSTEM);
    }
    workers->n_threads++;
    return 0;
}

int rest_workers_start(struct rest *rest)
{
    struct rest_workers *workers = &rest->workers;

    for (unsigned i = 0; i < REST_WORKERS; i++) {
        int r = store_reader_new(core_store(rest->core), &workers->readers[i]);
        if (r == 0) {
            r = start_one(workers, i);
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

bool rest_workers_push(struct rest *rest, struct rest_request *request)
{
    struct rest_workers *workers = &rest->workers;
    bool fits = false;

    pthread_mutex_lock(&workers->lock);
    fits = workers->n < QUEUE_MOST;
    if (fits) {
        request->next = NULL;
        if (workers->first == NULL) {
            workers->first = request;
        } else {
            workers->last->next = request;
        }
        workers->last = request;
        workers->n++;
        pthread_cond_signal(&workers->more);
    }
    pthread_mutex_unlock(&workers->lock);
    return fits;
}

void rest_workers_stop(struct rest *rest)
{
    struct rest_workers *workers = &rest->workers;

    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->more);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->n_threads; i++) {
        (void)pthread_join(workers->threads[i], NULL);
    }
    for (unsigned i = 0; i < REST_WORKERS; i++) {
        workers->readers[i] = store_reader_free(workers->readers[i]);
    }
}
