#include "raft/aio.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct context {
    aio_context_t id; /* 0: the place is free */
    unsigned size;
    long in_flight; /* submitted and not taken out */
    bool kept;      /* nobody's now */
};

static struct {
    pthread_mutex_t lock;
    struct context contexts[AIO_MOST];
    struct aio_counts counts;
    bool forks_watched;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the C library's ---- */

typedef long syscall_func(long number, ...);

static long call(long number, const long args[6])
{
    static _Atomic(syscall_func *) known;
    syscall_func *next = atomic_load_explicit(&known, memory_order_relaxed);

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
        if (next == NULL) {
            abort();
        }
        atomic_store_explicit(&known, next, memory_order_relaxed);
    }
    return next(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* ---- contexts ---- */

/* A child has none of its parent's. */
static void forget(void)
{
    all.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (unsigned i = 0; i < AIO_MOST; i++) {
        all.contexts[i] = (struct context){0};
    }
}

/* By number; 0 finds a free place. NULL: it is not known. Under the lock. */
static struct context *find(aio_context_t id)
{
    for (unsigned i = 0; i < AIO_MOST; i++) {
        if (all.contexts[i].id == id) {
            return &all.contexts[i];
        }
    }
    return NULL;
}

static bool take_kept(unsigned size, aio_context_t *ret_id)
{
    bool found = false;

    pthread_mutex_lock(&all.lock);
    for (unsigned i = 0; i < AIO_MOST && !found; i++) {
        struct context *context = &all.contexts[i];
        if (context->kept && context->size == size) {
            context->kept = false;
            *ret_id = context->id;
            all.counts.reused++;
            found = true;
        }
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

static void note(aio_context_t id, unsigned size)
{
    pthread_mutex_lock(&all.lock);
    if (!all.forks_watched) {
        all.forks_watched = pthread_atfork(NULL, NULL, forget) == 0;
    }
    struct context *context = all.forks_watched ? find(0) : NULL;
    if (context != NULL) {
        *context = (struct context){.id = id, .size = size};
    }
    all.counts.made++;
    pthread_mutex_unlock(&all.lock);
}

static void add_in_flight(aio_context_t id, long n)
{
    pthread_mutex_lock(&all.lock);
    struct context *context = find(id);
    if (context != NULL) {
        context->in_flight += n;
    }
    pthread_mutex_unlock(&all.lock);
}

/* [AIO-1] The place of one that goes is free before its number can be given to
 * another. */
static bool keep(aio_context_t id)
{
    pthread_mutex_lock(&all.lock);
    struct context *context = find(id);
    bool idle = context != NULL && context->in_flight == 0 && !context->kept;
    if (idle) {
        context->kept = true;
    } else if (context != NULL) {
        *context = (struct context){0};
    }
    all.counts.destroyed += !idle;
    pthread_mutex_unlock(&all.lock);
    return idle;
}

/* ---- the four calls ---- */

static long set_up(const long args[6])
{
    aio_context_t *ret_id = (aio_context_t *)args[1];

    if (*ret_id == 0 && take_kept((unsigned)args[0], ret_id)) {
        return 0;
    }
    long r = call(SYS_io_setup, args);
    if (r == 0) {
        note(*ret_id, (unsigned)args[0]);
    }
    return r;
}

/* Counted before it begins: never too few. */
static long submit(const long args[6])
{
    aio_context_t id = (aio_context_t)args[0];

    add_in_flight(id, args[1]);
    long r = call(SYS_io_submit, args);
    add_in_flight(id, r < 0 ? -args[1] : r - args[1]);
    return r;
}

static long take_out(const long args[6])
{
    long r = call(SYS_io_getevents, args);

    if (r > 0) {
        add_in_flight((aio_context_t)args[0], -r);
    }
    return r;
}

static long destroy(const long args[6])
{
    return keep((aio_context_t)args[0]) ? 0 : call(SYS_io_destroy, args);
}

/* Arguments that were not given are read, too, and passed on to a kernel that
 * does not look at them: so does every C library. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((no_sanitize("address"))) long syscall(long number, ...)
{
    long args[6];
    va_list given;

    va_start(given, number);
    for (unsigned i = 0; i < 6; i++) {
        args[i] = va_arg(given, long);
    }
    va_end(given);
    switch (number) {
    case SYS_io_setup:
        return set_up(args);
    case SYS_io_submit:
        return submit(args);
    case SYS_io_getevents:
        return take_out(args);
    case SYS_io_destroy:
        return destroy(args);
    default:
        return call(number, args);
    }
}

struct aio_counts aio_counts(void)
{
    pthread_mutex_lock(&all.lock);
    struct aio_counts counts = all.counts;
    pthread_mutex_unlock(&all.lock);
    return counts;
}
