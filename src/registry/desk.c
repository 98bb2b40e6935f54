#include "registry/desk.h"

#include <assert.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "registry/answer.h"

enum {
    /* Waiting at once; a second of work, or so. */
    WAITING_MOST = 64,
    HASHING_MOST = 4, /* threads, and 19 MiB each */
    ASKING_MOST = 8,
    NICENESS = 5, /* who serves goes first */
};

enum kind { HASH, CHECK, ASK };

/* In op->arena. */
struct desk_job {
    struct desk_job *next; /* of the op's */
    struct desk_job *behind;
    struct op_state *s;
    enum kind kind;
    struct str user, password, hash; /* what is asked */
    int answer;
    struct str made; /* HASH: the hash; ASK: groups as they came */
};

/* Jobs of one kind of slowness. Threads begin when they are needed. */
struct lane {
    struct desk *desk;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct desk_job *first, *last;
    size_t n;
    bool stopping;
    unsigned idle, n_threads, most;
    pthread_t threads[ASKING_MOST];
};

struct desk {
    struct access_directory *directory;
    struct lane hashing, asking;
    _Atomic uint64_t done[3]; /* by kind */
    _Atomic uint64_t refused; /* too many waited */
};

/* ---- the threads ---- */

static void ask(struct desk *desk, struct desk_job *job)
{
    struct buf groups = {0};

    job->answer = desk->directory == NULL
                      ? ERR_NOT_READY
                      : access_directory_ask(desk->directory, job->user,
                                             job->password, &groups);
    job->made = arena_take(job->s->op->arena, &groups);
}

static void hash(struct desk_job *job)
{
    struct buf made = {0};

    job->answer = access_password_hash(job->password, &made);
    job->made = arena_take(job->s->op->arena, &made);
}

/* The op is this thread's until it is woken. */
static void work(struct desk *desk, struct desk_job *job)
{
    switch (job->kind) {
    case HASH:
        hash(job);
        break;
    case CHECK:
        job->answer =
            access_password_is(job->password, job->hash) ? 0 : ERR_FORBIDDEN;
        break;
    case ASK:
        ask(desk, job);
        break;
    }
    atomic_fetch_add(&desk->done[job->kind], 1);
    job->s->op->wake(job->s->op);
}

static struct desk_job *pop(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    while (lane->first == NULL && !lane->stopping) {
        lane->idle++;
        (void)pthread_cond_wait(&lane->more, &lane->lock);
        lane->idle--;
    }
    struct desk_job *job = lane->first;
    if (job != NULL) {
        lane->first = job->behind;
        lane->n--;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return job;
}

static void *run(void *user)
{
    struct lane *lane = user;
    struct desk_job *job = NULL;

    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    while ((job = pop(lane)) != NULL) {
        work(lane->desk, job);
    }
    return NULL;
}

/* Under the lock. */
static void start_one(struct lane *lane)
{
    sigset_t all, old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&lane->threads[lane->n_threads], NULL, run, lane);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0) {
        lane->n_threads++;
    } else {
        log_error(LOG_ACCESS, "a thread for passwords could not be started",
                  LOG_U64("running", lane->n_threads));
    }
}

/* False: too many wait. Else the job is another thread's, and its op too. */
static bool push(struct lane *lane, struct desk_job *job)
{
    (void)pthread_mutex_lock(&lane->lock);
    if (lane->idle <= lane->n && lane->n_threads < lane->most) {
        start_one(lane);
    }
    bool fits = lane->n < WAITING_MOST && lane->n_threads > 0;
    if (fits) {
        if (lane->first == NULL) {
            lane->first = job;
        } else {
            lane->last->behind = job;
        }
        lane->last = job;
        lane->n++;
        (void)pthread_cond_signal(&lane->more);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return fits;
}

/* ---- begin and end ---- */

static void lane_init(struct lane *lane, struct desk *desk, unsigned most)
{
    lane->desk = desk;
    lane->most = most;
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->more, NULL);
}

static void lane_done(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    assert(lane->first == NULL);
    lane->stopping = true;
    (void)pthread_cond_broadcast(&lane->more);
    (void)pthread_mutex_unlock(&lane->lock);
    for (unsigned i = 0; i < lane->n_threads; i++) {
        (void)pthread_join(lane->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&lane->more);
    (void)pthread_mutex_destroy(&lane->lock);
}

/* A quarter of the processors: the others serve. */
static unsigned hashing_most(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 4;

    return n < 1 ? 1 : n > HASHING_MOST ? HASHING_MOST : (unsigned)n;
}

struct desk *desk_new(void)
{
    struct desk *desk = mem_zero(sizeof *desk);

    lane_init(&desk->hashing, desk, hashing_most());
    lane_init(&desk->asking, desk, ASKING_MOST);
    return desk;
}

struct desk *desk_free(struct desk *desk)
{
    if (desk == NULL) {
        return NULL;
    }
    lane_done(&desk->hashing);
    lane_done(&desk->asking);
    desk->directory = access_directory_free(desk->directory);
    return mem_free(desk);
}

void desk_set_directory(struct desk *desk, struct access_directory *directory)
{
    desk->directory = access_directory_free(desk->directory);
    desk->directory = directory;
}

bool desk_has_directory(const struct desk *desk)
{
    return desk->directory != NULL;
}

/* ---- asking ---- */

/* What the op asked before. */
static struct desk_job *find(struct op_state *s, const struct desk_job *like)
{
    for (struct desk_job *job = s->jobs; job != NULL; job = job->next) {
        if (job->kind == like->kind && str_equal(job->user, like->user) &&
            str_equal(job->password, like->password) &&
            str_equal(job->hash, like->hash)) {
            return job;
        }
    }
    return NULL;
}

/* What is asked has to outlast this try, whose memory is forgotten. */
static struct desk_job *keep(struct op_state *s, const struct desk_job *like)
{
    struct arena *arena = s->op->arena;
    struct desk_job *job = arena_zero(arena, sizeof *job);

    *job = *like;
    job->s = s;
    job->user = arena_str(arena, like->user);
    job->password = arena_str(arena, like->password);
    job->hash = arena_str(arena, like->hash);
    return job;
}

/* 0 with the answered job. Nothing may touch `s` after push. */
static int answer(struct op_state *s, const struct desk_job *like,
                  struct desk_job **ret_job)
{
    struct desk *desk = s->registry->desk;
    struct lane *lane = like->kind == ASK ? &desk->asking : &desk->hashing;

    *ret_job = find(s, like);
    if (*ret_job != NULL) {
        return 0;
    }
    struct desk_job *job = keep(s, like);
    job->next = s->jobs;
    s->jobs = job;
    if (push(lane, job)) {
        return WAITS;
    }
    s->jobs = job->next;
    atomic_fetch_add(&desk->refused, 1);
    return answer_busy(s, "too many are signing in at once");
}

int desk_hash(struct op_state *s, struct str password, struct str *ret_hash)
{
    struct desk_job like = {.kind = HASH, .password = password};
    struct desk_job *job = NULL;

    int r = answer(s, &like, &job);
    if (r == 0) {
        assert(job->answer <= 0); /* it fits */
        *ret_hash = job->made;
        r = job->answer;
    }
    return r;
}

int desk_check(struct op_state *s, struct str password, struct str hash,
               bool *ret_is)
{
    struct desk_job like = {.kind = CHECK, .password = password, .hash = hash};
    struct desk_job *job = NULL;

    int r = answer(s, &like, &job);
    if (r == 0) {
        *ret_is = job->answer == 0;
    }
    return r;
}

/* Each name comes behind its length. */
static struct access_names names_of(struct arena *arena, struct str made)
{
    struct str *items = arena_alloc(arena, (made.n / 2 + 1) * sizeof *items);
    struct access_names names = {items, 0};

    for (size_t at = 0; at < made.n;) {
        size_t n = (unsigned char)made.p[at];
        items[names.n++] = (struct str){made.p + at + 1, n};
        at += 1 + n;
    }
    return names;
}

int desk_ask(struct op_state *s, struct str user, struct str password,
             int *ret_answer, struct access_names *ret_groups)
{
    struct desk_job like = {.kind = ASK, .user = user, .password = password};
    struct desk_job *job = NULL;

    int r = answer(s, &like, &job);
    if (r == 0) {
        *ret_answer = job->answer;
        *ret_groups = names_of(s->op->arena, job->made);
    }
    return r;
}

/* ---- metrics ---- */

static uint64_t waiting(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    uint64_t n = lane->n;
    (void)pthread_mutex_unlock(&lane->lock);
    return n;
}

void desk_metrics(struct desk *desk, struct buf *out)
{
    static const char *const names[] = {
        [HASH] = "made", [CHECK] = "compared", [ASK] = "asked"};

    metric_head(out, "roster_passwords_total", "counter",
                "Passwords hashed (made), compared with a hash (compared), "
                "and asked of the directory (asked).");
    for (int i = HASH; i <= ASK; i++) {
        metric_labelled(out, "roster_passwords_total", "how", names[i],
                        desk->done[i]);
    }
    metric_counter(out, "roster_passwords_refused_total",
                   "Passwords not looked at because too many waited.",
                   desk->refused);
    metric_gauge(out, "roster_passwords_waiting",
                 "Passwords that wait for being looked at.",
                 waiting(&desk->hashing) + waiting(&desk->asking));
}
