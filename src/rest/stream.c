#include "rest/stream.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

enum {
    TICK_MS = 250, /* STREAM_SLOTS of them: 12 s from progress to progress */
    BLOCKED_MS = 30000,
    LOOK_MS = 5000, /* whether one that is blocked has taken something */
    TURN_US = 2000, /* for those that are behind */
};
/* ---- lists ---- */

static struct stream **list_of(struct stream *stream)
{
    struct rest_streams *streams = stream->loop->streams;

    switch (stream->state) {
    case STREAM_READY:
        return &streams->ready;
    case STREAM_BLOCKED:
        return &streams->blocked;
    case STREAM_LIVE:
        return stream_group_live(stream->group);
    case STREAM_STATES:
        break;
    }
    return NULL;
}

static void leave_list(struct stream *stream)
{
    struct rest_streams *streams = stream->loop->streams;
    struct stream **list = list_of(stream);

    if (list == NULL) {
        return;
    }
    if (streams->cursor == stream) {
        streams->cursor = stream->next;
    }
    DL_DELETE2(*list, stream, prev, next);
    rest_count(&stream->loop->counts.streams_behind,
               stream->state == STREAM_LIVE ? 0 : (uint64_t)-1);
}

static uint64_t acked_by(const struct stream *stream)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;

    (void)getsockopt(stream->side.fd, IPPROTO_TCP, TCP_INFO, &info, &n);
    return info.tcpi_bytes_acked;
}

static void look_for(struct stream *stream, uint32_t events)
{
    if (rest_side_set(&stream->loop->sides, &stream->side, events) != 0) {
        log_warn(LOG_HTTP, "a stream's socket cannot be watched",
                 LOG_TXT("at", err_origin()));
    }
}

void stream_enter(struct stream *stream, enum stream_state state)
{
    enum stream_state old = stream->state;

    leave_list(stream);
    stream->state = state;
    DL_APPEND2(*list_of(stream), stream, prev, next);
    rest_count(&stream->loop->counts.streams_behind, state != STREAM_LIVE);
    if (state == STREAM_BLOCKED) {
        stream->since_ms = stream->looked_ms = stream->loop->now_ms;
        stream->acked = acked_by(stream);
        look_for(stream, EPOLLRDHUP | EPOLLOUT);
    } else if (old == STREAM_BLOCKED || old == STREAM_STATES) {
        look_for(stream, EPOLLRDHUP);
    }
    if (old == STREAM_LIVE && state != STREAM_LIVE) {
        stream_group_settle(stream->group);
    }
}

/* ---- its end ---- */

static void let_go(struct stream *stream)
{
    tls_seal_bye(stream->seal);
    stream->seal = tls_seal_end(stream->seal);
    (void)close(stream->side.fd);
    rest_door_give_seat(stream->loop, &stream->seat);
}

void stream_end(struct stream *stream)
{
    struct rest_loop *loop = stream->loop;
    struct rest_streams *streams = loop->streams;

    leave_list(stream);
    stream_group_leave(stream);
    DL_DELETE2(streams->slots[stream->slot], stream, slot_prev, slot_next);
    rest_side_remove(&loop->sides, &stream->side);
    rest_judge_remove(loop, &stream->judged);
    let_go(stream);
    streams->rest_bytes -= stream->rest_n;
    streams->n--;
    rest_count(&loop->counts.streams, (uint64_t)-1);
    rest_watchers_give(loop->rest);
    (void)mem_free(stream->rest);
    (void)mem_free(stream->initial);
    (void)mem_free(stream);
}

void stream_cut(struct stream *stream, const char *why)
{
    struct str ns = stream_group_spec(stream->group)->ns;

    log_debug(LOG_HTTP, "stream cut", LOG_TXT("why", why), LOG_STR("ns", ns),
              LOG_U64("revision", stream->upto));
    rest_count(&stream->loop->counts.streams_cut, 1);
    stream_end(stream);
}

/* ---- its begin ---- */

static void on_side(struct rest_side *side, uint32_t events)
{
    struct stream *stream = CONTAINER(side, struct stream, side);

    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        stream_end(stream);
    } else if (stream->state == STREAM_BLOCKED) {
        stream_enter(stream, STREAM_READY);
    }
}

static void enter_slot(struct stream *stream)
{
    struct rest_streams *streams = stream->loop->streams;

    if (streams->n++ == 0) {
        streams->slot_ms = stream->loop->now_ms + TICK_MS;
    }
    stream->slot = (uint16_t)(streams->next_slot++ % STREAM_SLOTS);
    DL_APPEND2(streams->slots[stream->slot], stream, slot_prev, slot_next);
}

struct stream *stream_new(struct rest_loop *loop, int fd,
                          const struct op_watch *watch, bool initial,
                          const struct rest_frame *frame,
                          struct access_who *who, uint64_t mark)
{
    struct stream *stream = mem_zero(sizeof *stream);

    stream->loop = loop;
    stream->side = (struct rest_side){.fd = fd, .func = on_side};
    stream->group = stream_group_join(loop, &watch->spec, frame, who);
    stream->judged.func = stream_other;
    rest_judge_add(loop, &stream->judged, who, mark);
    stream->state = STREAM_STATES;
    stream->upto = watch->from;
    stream->fresh = true;
    stream->initial = initial ? mem_zero(sizeof *stream->initial) : NULL;
    rest_count(&loop->counts.streams, 1);
    enter_slot(stream);
    stream_enter(stream, STREAM_READY);
    return stream;
}

/* ---- turns ---- */

static void catch_up_all(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;
    uint64_t until_us = clock_mono_us() + TURN_US;

    while (streams->ready != NULL && streams->pause_ms <= loop->now_ms) {
        stream_catch_up(streams->ready);
        if (clock_mono_us() >= until_us) {
            return;
        }
    }
}

static void cut_blocked(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;
    struct stream *stream;

    while ((stream = streams->blocked) != NULL &&
           stream->looked_ms + LOOK_MS <= loop->now_ms) {
        uint64_t since_ms = stream->since_ms;
        uint64_t acked = stream->acked;
        stream_enter(stream, STREAM_BLOCKED);
        if (stream->acked != acked) {
            continue;
        }
        stream->since_ms = since_ms;
        if (since_ms + BLOCKED_MS <= loop->now_ms) {
            stream_cut(stream, "it takes nothing");
        }
    }
}

static void tell_progress(struct rest_loop *loop, struct stream *first)
{
    uint64_t told = watch_table_revision(loop->watching);
    struct stream *stream = NULL, *next = NULL;

    DL_FOREACH_SAFE2(first, stream, next, slot_next)
    {
        if (stream->state == STREAM_LIVE) {
            stream->upto = stream->upto < told ? told : stream->upto;
            (void)stream_note(stream, "progress");
        }
    }
}

/* Only between two batches: else it would say more than was sent. */
static void tick(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;

    while (streams->n > 0 && streams->busy == NULL && !streams->more &&
           streams->slot_ms <= loop->now_ms) {
        tell_progress(loop, streams->slots[streams->slot]);
        streams->slot = (streams->slot + 1) % STREAM_SLOTS;
        streams->slot_ms += TICK_MS;
    }
}

bool rest_streams_turn(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;
    bool was_busy = streams->busy != NULL;

    if (was_busy) {
        (void)stream_groups_tell(loop);
    }
    catch_up_all(loop);
    cut_blocked(loop);
    tick(loop);
    return was_busy ||
           (streams->ready != NULL && streams->pause_ms <= loop->now_ms);
}

static uint64_t until(uint64_t when_ms, uint64_t now_ms)
{
    return when_ms > now_ms ? when_ms - now_ms : 0;
}

uint64_t rest_streams_next(const struct rest_loop *loop, uint64_t now_ms)
{
    const struct rest_streams *streams = loop->streams;
    uint64_t next_ms = UINT64_MAX;

    if (streams->n == 0) {
        return UINT64_MAX;
    }
    for (unsigned i = 0; i < STREAM_SLOTS && next_ms == UINT64_MAX; i++) {
        if (streams->slots[(streams->slot + i) % STREAM_SLOTS] != NULL) {
            next_ms = until(streams->slot_ms + (uint64_t)i * TICK_MS, now_ms);
        }
    }
    if (streams->blocked != NULL) {
        uint64_t ms = until(streams->blocked->looked_ms + LOOK_MS, now_ms);
        next_ms = ms < next_ms ? ms : next_ms;
    }
    if (streams->ready != NULL) {
        uint64_t ms = until(streams->pause_ms, now_ms);
        next_ms = ms < next_ms ? ms : next_ms;
    }
    return next_ms;
}

/* ---- the loop's end ---- */

void rest_streams_bye(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;
    uint64_t told = watch_table_revision(loop->watching);

    while (stream_groups_tell(loop)) {
    }
    for (unsigned i = 0; i < STREAM_SLOTS; i++) {
        while (streams->slots[i] != NULL) {
            stream_bye(streams->slots[i], told, NULL);
        }
    }
}

int rest_streams_open(struct rest_loop *loop)
{
    struct rest_streams *streams = mem_zero(sizeof *streams);
    int ends[2];

    loop->streams = streams;
    streams->seed = chance_u64();
    streams->ended = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   ends) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    (void)close(ends[1]);
    streams->ended = ends[0];
    return 0;
}

void rest_streams_close(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;

    if (streams == NULL) {
        return;
    }
    stream_round_done(&streams->round);
    stream_round_done(&streams->reading);
    if (streams->ended >= 0) {
        (void)close(streams->ended);
    }
    loop->streams = mem_free(streams);
}
