#include <stdio.h>
#include <stdlib.h>

#include "cli/ask.h"
#include "cli/sending.h"

enum { JOBS_MOST = 2 };

void sending_count(struct worker *worker, struct sent more)
{
    struct sender *sender = worker->sender;

    (void)pthread_mutex_lock(&sender->lock);
    sender->sent.rows += more.rows;
    sender->sent.changed += more.changed;
    sender->sent.spaces += more.spaces;
    sender->sent.masked += more.masked;
    (void)pthread_mutex_unlock(&sender->lock);
}

void sending_fail(struct worker *worker, const struct line *line,
                  const char *detail)
{
    struct sender *sender = worker->sender;

    (void)pthread_mutex_lock(&sender->lock);
    atomic_store(&sender->failed, true);
    ask_say("line %llu: not stored", (unsigned long long)line->number);
    enum cli_exit status = CLI_REFUSED;
    if (detail != NULL) {
        ask_say("%s", detail);
    } else {
        status = ask_tell(roster_error(worker->roster));
    }
    sender->status = status > sender->status ? status : sender->status;
    (void)pthread_mutex_unlock(&sender->lock);
}

static struct job *job_new(size_t room)
{
    struct job *job = mem_alloc(sizeof *job + room * sizeof job->lines[0]);

    *job = (struct job){.n = 0};
    return job;
}

static struct job *job_free(struct job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        line_done(&job->lines[i]);
    }
    return mem_free(job);
}

static void run_job(struct worker *worker, struct job *job)
{
    if (atomic_load(&worker->sender->failed)) {
        return;
    }
    if (job->lines[0].op == LINE_NS_PUT) {
        store_space(worker, &job->lines[0]);
    } else {
        store_rows(worker, job);
    }
}

static void *run_worker(void *user)
{
    struct worker *worker = user;
    struct sender *sender = worker->sender;

    (void)pthread_mutex_lock(&sender->lock);
    for (;;) {
        while (worker->first == NULL && !sender->ending) {
            (void)pthread_cond_wait(&worker->more, &sender->lock);
        }
        struct job *job = worker->first;
        if (job == NULL) {
            break;
        }
        worker->first = job->next;
        (void)pthread_mutex_unlock(&sender->lock);
        run_job(worker, job);
        job = job_free(job);
        (void)pthread_mutex_lock(&sender->lock);
        worker->n_jobs--;
        (void)pthread_cond_signal(&sender->less);
    }
    (void)pthread_mutex_unlock(&sender->lock);
    return NULL;
}

struct sender *sender_start(struct cli *cli, const struct known_types *types)
{
    struct sender *sender = mem_zero(sizeof *sender);

    sender->cli = cli;
    sender->types = types;
    sender->base = cli->seen;
    (void)pthread_mutex_init(&sender->lock, NULL);
    (void)pthread_cond_init(&sender->less, NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &sender->workers[i];
        worker->sender = sender;
        worker->roster = ask_connect(cli);
        worker->known = known_rows_new();
        (void)pthread_cond_init(&worker->more, NULL);
        /* A server that is being restarted is no reason to give up. */
        roster_set_patience(worker->roster, SENDER_PATIENCE_MS);
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
            abort();
        }
    }
    return sender;
}

static void hand_over(struct worker *worker, struct job *job)
{
    struct sender *sender = worker->sender;

    (void)pthread_mutex_lock(&sender->lock);
    while (worker->n_jobs >= JOBS_MOST) {
        (void)pthread_cond_wait(&sender->less, &sender->lock);
    }
    if (worker->first == NULL) {
        worker->first = job;
    } else {
        worker->last->next = job;
    }
    worker->last = job;
    worker->n_jobs++;
    (void)pthread_cond_signal(&worker->more);
    (void)pthread_mutex_unlock(&sender->lock);
}

static void add_to(struct job *job, struct line *line)
{
    job->bytes += line->bytes;
    job->lines[job->n++] = *line;
    *line = (struct line){.op = LINE_NONE};
}

static void flush(struct worker *worker)
{
    if (worker->open != NULL) {
        hand_over(worker, worker->open);
        worker->open = NULL;
    }
}

/* FNV-1a: whoever fills one connection with chosen names slows himself. */
static struct worker *worker_of(struct sender *sender, const char *ns)
{
    uint32_t hash = 2166136261U;

    for (; *ns != '\0'; ns++) {
        hash = (hash ^ (unsigned char)*ns) * 16777619U;
    }
    return &sender->workers[hash % WORKERS];
}

bool sender_line(struct sender *sender, struct line *line)
{
    struct worker *worker = worker_of(sender, line->ns);

    if (line->op == LINE_NS_PUT) {
        /* It overtakes rows of other namespaces that are still collected, and
         * stands before all rows behind it. */
        struct job *job = job_new(1);
        add_to(job, line);
        hand_over(worker, job);
        return !atomic_load(&sender->failed);
    }
    if (worker->open == NULL) {
        worker->open = job_new(JOB_LINES);
    }
    add_to(worker->open, line);
    if (worker->open->n == JOB_LINES || worker->open->bytes >= JOB_BYTES) {
        flush(worker);
    }
    return !atomic_load(&sender->failed);
}

static void wait_for_all(struct sender *sender)
{
    for (size_t i = 0; i < WORKERS; i++) {
        flush(&sender->workers[i]);
    }
    (void)pthread_mutex_lock(&sender->lock);
    for (size_t i = 0; i < WORKERS; i++) {
        while (sender->workers[i].n_jobs > 0) {
            (void)pthread_cond_wait(&sender->less, &sender->lock);
        }
    }
    (void)pthread_mutex_unlock(&sender->lock);
}

bool sender_wait(struct sender *sender)
{
    wait_for_all(sender);
    return !atomic_load(&sender->failed);
}

enum cli_exit sender_stop(struct sender *sender, struct sent *ret_sent)
{
    wait_for_all(sender);
    (void)pthread_mutex_lock(&sender->lock);
    sender->ending = true;
    for (size_t i = 0; i < WORKERS; i++) {
        (void)pthread_cond_signal(&sender->workers[i].more);
    }
    (void)pthread_mutex_unlock(&sender->lock);
    for (size_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &sender->workers[i];
        (void)pthread_join(worker->thread, NULL);
        worker->roster = roster_free(worker->roster);
        worker->known = known_rows_free(worker->known);
        (void)pthread_cond_destroy(&worker->more);
    }
    (void)pthread_cond_destroy(&sender->less);
    (void)pthread_mutex_destroy(&sender->lock);
    enum cli_exit status = sender->status;
    *ret_sent = sender->sent;
    (void)mem_free(sender);
    return status;
}
