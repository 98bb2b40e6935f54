#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wake.h"
#include "rest/state.h"
#include "rest/stream.h"
#include "rest/taken.h"

/* At the end: how long for clients to send and read what they began, and for
 * operations to get their outcome. */
enum { CLIENT_WAIT_MS = 3000, STOP_WAIT_MS = 10000 };

static uint64_t busy(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- turns ---- */

void rest_loop_poke(struct rest_loop *loop)
{
    wake_ring(loop->poke);
}

static void resume_woken(struct rest_loop *loop)
{
    struct queue_link *link = queue_take(&loop->woken);

    while (link != NULL) {
        struct rest_request *request =
            CONTAINER(link, struct rest_request, link);
        link = link->next;
        assert(request->stage == REST_SUSPENDED);
        request->stage = request->woken_stage;
        rest_count(&loop->counts.suspended, (uint64_t)-1);
        if (request->group != NULL) {
            rest_group_woken(request);
            continue;
        }
        if (request->taken != NULL) {
            rest_express_woken(request);
            continue;
        }
        if (request->stage == REST_READING) {
            rest_deadlines_enter(&loop->deadlines, request->peer, REST_BODY,
                                 loop->now_ms);
        }
        MHD_resume_connection(request->connection);
    }
}

static int wait_ms(struct rest_loop *loop)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms = 0;
    uint64_t now_ms = clock_mono_ms();
    uint64_t ms = rest_deadlines_next(&loop->deadlines, now_ms);
    uint64_t streams_ms = rest_streams_next(loop, now_ms);
    uint64_t park_ms = rest_park_next(loop, now_ms);
    uint64_t judge_ms = rest_judge_next(loop, now_ms);
    uint64_t door_ms = rest_door_next(loop, now_ms);
    uint64_t guests_ms = rest_guests_next(loop);

    ms = rest_express_has_more(loop) ? 0 : ms;
    ms = judge_ms < ms ? judge_ms : ms;
    ms = park_ms < ms ? park_ms : ms;
    ms = door_ms < ms ? door_ms : ms;
    ms = guests_ms < ms ? guests_ms : ms;
    ms = streams_ms < ms ? streams_ms : ms;
    if (MHD_get_timeout(loop->daemon, &mhd_ms) == MHD_YES && mhd_ms < ms) {
        ms = mhd_ms;
    }
    if (loop->closing && ms > 100) {
        ms = 100;
    }
    return ms > 60000 ? 60000 : (int)ms;
}

/* RFC 9110 5.6.7. Written once a second, not once an answer. */
static void tell_time(struct rest_loop *loop)
{
    uint64_t wall_ms = clock_wall_ms();
    uint64_t second = wall_ms / 1000;
    time_t seconds = (time_t)second;
    struct tm utc;

    loop->now_us = clock_mono_us();
    loop->now_ms = loop->now_us / 1000;
    loop->wall_ms = wall_ms;
    if (second != loop->second && gmtime_r(&seconds, &utc) != NULL) {
        loop->second = second;
        (void)strftime(loop->date, sizeof loop->date,
                       "%a, %d %b %Y %H:%M:%S GMT", &utc);
    }
}

static void wait_for_events(struct rest_loop *loop)
{
    struct epoll_event events[3];
    uint64_t count = 0;

    int n = epoll_wait(loop->outer, events, 3, wait_ms(loop));
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == loop->poke) {
            (void)!read(loop->poke, &count, sizeof count);
        }
    }
    tell_time(loop);
}

/* An answer that the library is done with may be on its way yet. */
static void end_idle(struct rest_loop *loop, struct rest_peer *peer)
{
    if (peer->pipe != NULL && rest_pipe_part(peer->pipe)) {
        rest_deadlines_enter(&loop->deadlines, peer, REST_SEND, loop->now_ms);
    } else {
        rest_cut(loop, peer);
    }
}

static void begin_closing(struct rest_loop *loop)
{
    struct rest_peer *peer = NULL;

    loop->closing = true;
    loop->closing_ms = loop->now_ms;
    rest_streams_bye(loop);
    rest_door_shut(loop);
    rest_park_close(loop);
    while ((peer = loop->deadlines.lists[REST_IDLE].first) != NULL) {
        end_idle(loop, peer);
    }
    while ((peer = loop->deadlines.lists[REST_HEAD].first) != NULL) {
        end_idle(loop, peer);
    }
}

/* Whether the loop may end: everything is answered, or it took too long. */
static bool is_closed(const struct rest_loop *loop)
{
    if (!loop->closing) {
        return false;
    }
    uint64_t most_ms =
        busy(&loop->counts.suspended) > 0 ? STOP_WAIT_MS : CLIENT_WAIT_MS;
    bool idle = busy(&loop->counts.in_flight) == 0 && loop->park.n == 0 &&
                !rest_pipes_carry(loop);

    return idle || loop->now_ms >= loop->closing_ms + most_ms;
}

/* Any thread. */
static void poke(void *user)
{
    rest_loop_poke(user);
}

/* What the streams were told before is sent first. Nobody is told anything
 * before it is known who he is now. */
static void tell_watchers(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;

    if (streams->busy != NULL) {
        return;
    }
    if (!rest_judge_turn(loop)) {
        rest_loop_poke(loop);
        return;
    }
    streams->told = watch_table_revision(loop->watching);
    streams->more = watch_table_turn(loop->watching);
    if (streams->more) {
        rest_loop_poke(loop); /* There is more, and others have a turn first. */
    }
}

static void send_streams(struct rest_loop *loop)
{
    if (rest_streams_turn(loop)) {
        rest_loop_poke(loop);
    }
}

static void turn(struct rest_loop *loop)
{
    wait_for_events(loop);
    rest_sides_turn(&loop->sides);
    rest_express_turn(loop);
    tell_watchers(loop);
    resume_woken(loop);
    rest_park_turn(loop);
    rest_door_turn(loop);
    rest_guests_turn(loop);
    (void)MHD_run(loop->daemon);
    send_streams(loop);
    rest_cut_due(loop);
    if (!loop->closing && atomic_load(&loop->rest->stopping)) {
        begin_closing(loop);
    }
}

static void *run(void *user)
{
    struct rest_loop *loop = user;

    /* Nobody cancels this thread. glibc's recv and sendmsg make it asynchronous
     * for each call and undo that, four locked instructions a request: what is
     * so already is left as it is. */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    while (!is_closed(loop)) {
        turn(loop);
    }
    /* [REST-2] A suspended connection cannot be ended: its operation still
     * points into the request. */
    uint64_t suspended = busy(&loop->counts.suspended);
    if (suspended > 0) {
        atomic_fetch_add(&loop->rest->stuck, (unsigned)suspended);
        return NULL;
    }
    rest_park_abandon(loop);
    rest_taken_abandon(loop);
    rest_guests_abandon(loop);
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    rest_pipes_abandon(loop);
    return NULL;
}

/* ---- start and end ---- */

/* Paths and queries are decoded in uri.c, after splitting. */
static size_t leave_escaped(void *user, struct MHD_Connection *connection,
                            char *text)
{
    (void)user;
    (void)connection;
    return strlen(text);
}

/* The door accepts, and counts; TLS ends there, too. */
static struct MHD_Daemon *start_daemon(struct rest_loop *loop)
{
    const struct rest_config *config = &loop->rest->config;

    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
            MHD_USE_SUPPRESS_DATE_NO_CLOCK,
        0, NULL, NULL, rest_request_handle, loop, MHD_OPTION_URI_LOG_CALLBACK,
        rest_request_begin, loop, MHD_OPTION_NOTIFY_COMPLETED, rest_request_end,
        loop, MHD_OPTION_NOTIFY_CONNECTION, rest_connection_notify, loop,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_CONNECTION_LIMIT, UINT_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)config->max_header_bytes,
        MHD_OPTION_END);
}

static int watch(int outer, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event);
}

static int open_events(struct rest_loop *loop)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    loop->outer = epoll_create1(EPOLL_CLOEXEC);
    loop->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int r = rest_sides_open(&loop->sides);
    return r != 0 || loop->outer < 0 || loop->poke < 0 || info == NULL ||
                   watch(loop->outer, info->epoll_fd) != 0 ||
                   watch(loop->outer, loop->poke) != 0 ||
                   watch(loop->outer, loop->sides.epoll) != 0
               ? err_raise(ERR_SYSTEM)
               : 0;
}

/* Signals are the core loop's business: none may interrupt this thread. */
static int start_thread(struct rest_loop *loop)
{
    sigset_t all;
    sigset_t old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&loop->thread, NULL, run, loop);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    loop->running = r == 0;
    return r == 0 ? 0 : err_raise(ERR_SYSTEM);
}

int rest_loop_start(struct rest_loop *loop, unsigned max_connections,
                    unsigned max_pipes)
{
    const struct rest_config *config = &loop->rest->config;

    tell_time(loop);
    rest_park_init(&loop->park);
    rest_ring_init(&loop->taken);
    rest_express_init(&loop->express);
    rest_who_begin(loop);
    chance_fill(loop->traces, sizeof loop->traces);
    loop->kept = rest_kept_new(registry_cache(loop->rest->registry));
    loop->watching = watch_table_new(loop->rest->hub, poke, loop);
    loop->max_connections = max_connections;
    rest_guests_init(&loop->guests);
    rest_pipes_init(&loop->pipes, config->tls != NULL, max_pipes);
    loop->desk = config->tls != NULL ? tls_desk_new() : NULL;
    int r = rest_streams_open(loop);
    if (r != 0) {
        return r;
    }
    loop->deadlines.lists[REST_IDLE].span_ms = config->idle_timeout_ms;
    loop->deadlines.lists[REST_HEAD].span_ms = config->head_timeout_ms;
    loop->deadlines.lists[REST_BODY].span_ms = config->request_timeout_ms;
    loop->deadlines.lists[REST_SEND].span_ms =
        config->idle_timeout_ms / REST_SEND_LOOKS;
    r = store_reader_new(core_store(loop->rest->core), &loop->reader);
    if (r != 0) {
        return r;
    }
    loop->daemon = start_daemon(loop);
    if (loop->daemon == NULL) {
        return err_raise(ERR_SYSTEM);
    }
    r = open_events(loop);
    if (r == 0) {
        r = rest_door_open(loop);
    }
    return r != 0 ? r : start_thread(loop);
}

void rest_loop_join(struct rest_loop *loop)
{
    if (loop->running) {
        (void)pthread_join(loop->thread, NULL);
        loop->running = false;
    }
}
