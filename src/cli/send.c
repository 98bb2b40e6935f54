#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* "do[3].resource.port must be …" speaks of a request that nobody wrote. */
static char *without_place(const char *text)
{
    struct buf out = {0};

    while (*text != '\0') {
        int n = 0;
        if (sscanf(text, "do[%*u]%n", &n) == 0 && n > 0) {
            text += n + (text[n] == '.' ? 1 : 0);
            text += strncmp(text, "resource.", 9) == 0 ? 9 : 0;
        } else {
            buf_add_char(&out, *text++);
        }
    }
    return buf_text(&out);
}

static enum cli_exit tell(const struct roster_error *error)
{
    struct roster_error here = *error;

    here.detail = without_place(error->detail);
    here.field = without_place(error->field);
    enum cli_exit status = ask_tell(&here);
    (void)mem_free(here.detail);
    (void)mem_free(here.field);
    return status;
}

void sending_fail(struct worker *worker, const struct line *line,
                  const char *detail)
{
    struct sender *sender = worker->sender;

    (void)pthread_mutex_lock(&sender->lock);
    ask_say("%s, line %llu: not stored", sender->name,
            (unsigned long long)line->number);
    enum cli_exit status = CLI_REFUSED;
    if (detail != NULL) {
        ask_say("%s", detail);
    } else {
        status = tell(roster_error(worker->roster));
    }
    sender->status = status > sender->status ? status : sender->status;
    /* Without a server it is no use to go on. */
    uint64_t limit = status == CLI_UNREACHABLE ? 0 : line->number;
    if (limit < atomic_load(&sender->limit)) {
        atomic_store(&sender->limit, limit);
    }
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

static bool has_failed(struct sender *sender)
{
    return atomic_load(&sender->limit) != UINT64_MAX;
}

static void run_job(struct worker *worker, struct job *job)
{
    uint64_t limit = atomic_load(&worker->sender->limit);

    while (job->n > 0 && job->lines[job->n - 1].number >= limit) {
        line_done(&job->lines[--job->n]);
    }
    if (job->n == 0) {
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
        bool is_space = job->is_space;
        (void)job_free(job);
        (void)pthread_mutex_lock(&sender->lock);
        worker->n_jobs--;
        sender->n_spaces -= is_space ? 1 : 0;
        (void)pthread_cond_signal(&sender->less);
    }
    (void)pthread_mutex_unlock(&sender->lock);
    return NULL;
}

struct sender *sender_start(struct cli *cli, const char *name,
                            const struct known_types *types)
{
    struct sender *sender = mem_zero(sizeof *sender);

    sender->cli = cli;
    sender->types = types;
    sender->name = name;
    sender->base = cli->seen;
    atomic_init(&sender->limit, UINT64_MAX);
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
    /* Rows wait for all namespaces: one made when a branch above has its rows
     * already would start with a copy of them. */
    while (worker->n_jobs >= JOBS_MOST ||
           (!job->is_space && sender->n_spaces > 0)) {
        (void)pthread_cond_wait(&sender->less, &sender->lock);
    }
    sender->n_spaces += job->is_space ? 1 : 0;
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
        job->is_space = true;
        add_to(job, line);
        hand_over(worker, job);
        return !has_failed(sender);
    }
    if (worker->open == NULL) {
        worker->open = job_new(JOB_LINES);
    }
    add_to(worker->open, line);
    if (worker->open->n == JOB_LINES || worker->open->bytes >= JOB_BYTES) {
        flush(worker);
    }
    return !has_failed(sender);
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
    return !has_failed(sender);
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
