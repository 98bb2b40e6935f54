#include "rest/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"
#include "rest/stream.h"

/* Descriptors kept for everything else: the store, the log, the loops. */
#define FILES_KEPT UINT64_C(256)
#define HEADER_LEAST 4096
/* What a file of the whole state has before the state. */
#define FILE_HEADER_MOST 4096

/* As high as this process may go. */
static uint64_t raise_file_limit(void)
{
    struct rlimit limit = {0};

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

/* One connection is one descriptor, and two more while it has a pipe, of which
 * there are fewer then. */
static void limit_connections(struct rest *rest)
{
    struct rest_config *config = &rest->config;
    uint64_t files = raise_file_limit();
    uint64_t all = files > 2 * FILES_KEPT ? files - FILES_KEPT : files / 2;
    uint64_t most = config->tls == NULL ? all : all * 3 / 4;

    if (config->max_connections == 0 || config->max_connections > most) {
        config->max_connections = most;
    }
    if (config->max_watchers == 0) {
        config->max_watchers = config->max_connections * 9 / 10;
    }
    rest->max_pipes = (all - config->max_connections) / 2;
    rest->max_pipes = rest->max_pipes < config->io_threads ? config->io_threads
                                                           : rest->max_pipes;
}

static int bind_loops(struct rest *rest)
{
    int fds[REST_THREADS_MAX];

    int r = rest_bind(rest->config.address, rest->config.io_threads, fds,
                      &rest->address);
    if (r != 0) {
        return r;
    }
    rest->n_loops = rest->config.io_threads;
    for (unsigned i = 0; i < rest->n_loops; i++) {
        rest->loops[i].rest = rest;
        rest->loops[i].listener = fds[i];
        rest->loops[i].outer = rest->loops[i].poke = -1;
        rest->loops[i].sides.epoll = -1;
    }
    return 0;
}

static int start_loops(struct rest *rest)
{
    uint64_t each =
        (rest->config.max_connections + rest->n_loops - 1) / rest->n_loops;
    int fds[REST_THREADS_MAX];

    for (unsigned i = 0; i < rest->n_loops; i++) {
        fds[i] = rest->loops[i].listener;
    }
    int r = rest_listen(rest->address, fds, rest->n_loops);
    if (r != 0) {
        return r;
    }
    for (unsigned i = 0; i < rest->n_loops; i++) {
        r = rest_loop_start(&rest->loops[i], (unsigned)each,
                            (unsigned)(rest->max_pipes / rest->n_loops));
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void loop_done(struct rest_loop *loop)
{
    /* Both are left over only when the start failed. */
    if (loop->daemon != NULL) {
        MHD_stop_daemon(loop->daemon);
    }
    close_fd(loop->listener);
    loop->kept = cache_memo_free(loop->kept);
    rest_streams_close(loop);
    rest_park_done(&loop->park);
    rest_express_done(&loop->express);
    rest_pipes_done(&loop->pipes);
    loop->desk = tls_desk_free(loop->desk);
    rest_judge_done(&loop->judge);
    loop->callers = registry_callers_free(loop->callers);
    loop->watching = watch_table_free(loop->watching);
    rest_request_free_spare(loop);
    loop->reader = store_reader_free(loop->reader);
    rest_sides_close(&loop->sides);
    close_fd(loop->outer);
    close_fd(loop->poke);
}

struct rest *rest_close(struct rest *rest)
{
    if (rest == NULL) {
        return NULL;
    }
    rest_workers_stop(rest);
    for (unsigned i = 0; i < rest->n_loops; i++) {
        loop_done(&rest->loops[i]);
    }
    rest_spool_stop(&rest->spool);
    (void)pthread_cond_destroy(&rest->spool.more);
    (void)pthread_mutex_destroy(&rest->spool.lock);
    (void)pthread_cond_destroy(&rest->workers.more);
    (void)pthread_mutex_destroy(&rest->workers.lock);
    rest_origins_done(&rest->origins);
    rest->address = mem_free(rest->address);
    return mem_free(rest);
}

static void end_loops(struct rest *rest)
{
    atomic_store(&rest->stopping, true);
    for (unsigned i = 0; i < rest->n_loops; i++) {
        if (rest->loops[i].running) {
            rest_loop_poke(&rest->loops[i]);
        }
    }
    for (unsigned i = 0; i < rest->n_loops; i++) {
        rest_loop_join(&rest->loops[i]);
    }
}

/* The library has found itself in a state it does not understand: to go on
 * would be to guess. */
static void on_panic(void *user, const char *file, unsigned line,
                     const char *why)
{
    (void)user;
    log_error(LOG_HTTP, "libmicrohttpd failed", LOG_TXT("file", file),
              LOG_U64("line", line), LOG_TXT("why", why == NULL ? "" : why));
    abort();
}

int rest_open(const struct rest_config *config, struct rest **ret_rest)
{
    struct rest *rest = mem_zero(sizeof *rest);

    rest->config = *config;
    (void)pthread_mutex_init(&rest->workers.lock, NULL);
    (void)pthread_cond_init(&rest->workers.more, NULL);
    (void)pthread_mutex_init(&rest->spool.lock, NULL);
    (void)pthread_cond_init(&rest->spool.more, NULL);
    rest_origins_init(&rest->origins, config->max_connections_address);
    if (rest->config.max_header_bytes < HEADER_LEAST) {
        rest->config.max_header_bytes = HEADER_LEAST;
    }
    limit_connections(rest);
    int r = bind_loops(rest);
    if (r != 0) {
        (void)rest_close(rest);
        return r;
    }
    *ret_rest = rest;
    return 0;
}

static int start_all(struct rest *rest)
{
    int r = rest_workers_start(rest);

    if (r == 0) {
        r = rest_spool_start(&rest->spool);
    }
    return r != 0 ? r : start_loops(rest);
}

int rest_start(struct rest *rest, struct registry *registry, struct core *core,
               struct watch_hub *hub)
{
    rest->registry = registry;
    rest->core = core;
    rest->hub = hub;
    rest->max_upload_bytes =
        store_usage(core_store(core)).limit_bytes + FILE_HEADER_MOST;
    (void)snprintf(rest->node_id, sizeof rest->node_id, "%s",
                   core_node_id(core));
    MHD_set_panic_func(on_panic, NULL);
    int r = start_all(rest);
    if (r < 0) {
        log_error(LOG_HTTP, "cannot start", LOG_TXT("why", err_text(r)),
                  LOG_TXT("at", err_origin()));
    }
    if (r != 0) {
        end_loops(rest);
    }
    return r;
}

void rest_drain(struct rest *rest)
{
    atomic_store(&rest->draining, true);
}

unsigned rest_stop(struct rest *rest)
{
    atomic_store(&rest->draining, true);
    end_loops(rest);
    unsigned stuck = atomic_load(&rest->stuck);
    if (stuck > 0) {
        log_error(LOG_HTTP, "operations did not end", LOG_U64("n", stuck));
    }
    return stuck;
}

const char *rest_address(const struct rest *rest)
{
    return rest->address;
}
