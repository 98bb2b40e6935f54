/* A stream that does not know all yet: what it lacks is in the history. And
 * rounds: events as the bytes of one form. */
#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"
#include "rest/stream.h"

enum { TURN_BYTES = 64 << 10, PAUSE_MS = 20 };

/* ---- rounds ---- */

void stream_round_clear(struct stream_round *round)
{
    buf_clear(&round->bytes);
    round->n = 0;
}

void stream_round_done(struct stream_round *round)
{
    buf_done(&round->bytes);
    round->ends = mem_free(round->ends);
}

void stream_round_add(struct stream_round *round,
                      const struct rest_frame *frame, uint64_t revision,
                      struct str text)
{
    rest_frame_event(&round->bytes, frame, revision, text);
    if (round->n == round->room) {
        round->room = round->room == 0 ? 16 : 2 * round->room;
        round->ends = mem_grow(round->ends, round->room * sizeof *round->ends);
    }
    round->ends[round->n].end = round->bytes.n;
    round->ends[round->n].revision = revision;
    round->n++;
}

void stream_round_add_seen(struct stream_round *round,
                           const struct rest_frame *frame,
                           const struct access_who *who,
                           const struct event *event, uint64_t revision)
{
    struct buf part = {0};

    switch (registry_sees(who, event)) {
    case SIGHT_NONE:
        return;
    case SIGHT_WHOLE:
        stream_round_add(round, frame, revision, event->text);
        return;
    case SIGHT_PART:
        registry_event_part(who, event, &part);
        stream_round_add(round, frame, revision, buf_str(&part));
        buf_done(&part);
        return;
    }
}

size_t stream_round_skip(const struct stream *stream,
                         const struct stream_round *round)
{
    size_t skip = 0;

    for (size_t i = 0; i < round->n && round->ends[i].revision <= stream->upto;
         i++) {
        skip = round->ends[i].end;
    }
    return skip;
}

static void set_told(struct stream *stream, const struct stream_round *round,
                     size_t taken)
{
    size_t begin = 0;

    for (size_t i = 0; i < round->n && round->ends[i].end <= taken; i++) {
        begin = round->ends[i].end;
        if (round->ends[i].revision > stream->upto) {
            stream->upto = round->ends[i].revision;
        }
    }
    stream->sent = taken - begin;
}

bool stream_round_send(struct stream *stream, const struct stream_round *round,
                       size_t skip)
{
    ssize_t taken = 0;

    /* A part of the history with none of his events in it: the one that is half
     * sent is further on. */
    if (skip >= round->bytes.n) {
        return true;
    }
    size_t left = round->bytes.n - skip;
    taken = stream_send(stream, round->bytes.p + skip, left);
    if (taken < 0) {
        stream_end(stream);
        return false;
    }
    set_told(stream, round, skip + (size_t)taken);
    return ((size_t)taken == left && !stream_owes(stream)) ||
           stream_block(stream);
}

/* ---- history ---- */

struct adding {
    struct stream_round *round;
    const struct rest_frame *frame;
    const struct access_who *who;
    bool resumable; /* who has read so far has all up to there */
};

static void add_event(void *user, const struct event *event)
{
    const struct adding *adding = user;

    stream_round_add_seen(adding->round, adding->frame, adding->who, event,
                          adding->resumable ? event->revision : 0);
}

static struct adding begin_round(struct stream *stream, bool resumable)
{
    struct adding adding = {&stream->loop->streams->reading,
                            stream_group_frame(stream->group),
                            stream->judged.who, resumable};

    stream_round_clear(adding.round);
    return adding;
}

/* Others that are behind are next. */
static void go_on(struct stream *stream)
{
    if (stream->state == STREAM_READY) {
        stream_enter(stream, STREAM_READY);
    }
}

static void fail(struct stream *stream, int fault)
{
    log_error(LOG_HTTP, "a stream could not read the history",
              LOG_TXT("why", err_text(fault)), LOG_TXT("at", err_origin()));
    stream_cut(stream, "its history could not be read");
}

bool stream_begin_anew(struct stream *stream)
{
    rest_count(&stream->loop->counts.stream_resets, 1);
    stream->fresh = true;
    return stream_note(stream, "reset");
}

/* Half of an event is on its way, and it is not there any more. */
static void lose_history(struct stream *stream, uint64_t revision)
{
    if (stream->sent > 0) {
        stream_cut(stream, "it was too slow for the history");
        return;
    }
    stream->upto = revision;
    if (stream_begin_anew(stream)) {
        go_on(stream);
    }
}

static void know_all(struct stream *stream)
{
    if (stream->fresh) {
        stream->fresh = false;
        if (!stream_note(stream, "progress") || stream->state != STREAM_READY) {
            return;
        }
    }
    if (!stream_group_go_live(stream)) {
        go_on(stream);
    }
}

static void read_history(struct stream *stream)
{
    struct adding adding = begin_round(stream, true);
    struct watch_reading reading;

    int r = watch_read(stream->loop->reader, stream_group_spec(stream->group),
                       stream->upto, TURN_BYTES, add_event, &adding, &reading);
    if (r == ERR_NOT_FOUND) {
        lose_history(stream, reading.upto);
        return;
    }
    if (r != 0) {
        fail(stream, r);
        return;
    }
    if (!rest_judge_stands(stream->loop, &stream->judged)) {
        go_on(stream);
        return;
    }
    if (!stream_round_send(stream, adding.round, stream->sent) ||
        stream->state != STREAM_READY) {
        return;
    }
    stream->upto = reading.upto;
    if (reading.end) {
        know_all(stream);
    } else {
        go_on(stream);
    }
}

/* ---- what is there ---- */

static void end_initial(struct stream *stream)
{
    stream->upto = stream->initial->revision;
    stream->initial = mem_free(stream->initial);
}

static void read_initial(struct stream *stream)
{
    struct adding adding = begin_round(stream, false);
    struct watch_initial before = *stream->initial;
    struct rest_loop *loop = stream->loop;
    bool end = false;

    int r = watch_initial_read(loop->reader, stream_group_spec(stream->group),
                               stream->initial, TURN_BYTES, add_event, &adding,
                               &end);
    if (r == ERR_FULL) {
        loop->streams->pause_ms = loop->now_ms + PAUSE_MS;
        go_on(stream);
        return;
    }
    if (r < 0) {
        fail(stream, r);
        return;
    }
    if (!rest_judge_stands(loop, &stream->judged)) {
        *stream->initial = before;
        go_on(stream);
        return;
    }
    /* NOT_FOUND: the history will say the same, and that he begins anew. */
    if (end || r != 0) {
        end_initial(stream);
    }
    struct str bytes = buf_str(&adding.round->bytes);
    if (stream_put(stream, bytes.p, bytes.n)) {
        go_on(stream);
    }
}

/* ---- a turn ---- */

/* False: it has ended, or is blocked. */
static bool send_rest(struct stream *stream)
{
    struct rest_streams *streams = stream->loop->streams;
    size_t left = stream->rest_n - stream->rest_at;
    const char *bytes = stream->rest == NULL ? "" : stream->rest;
    ssize_t taken = stream_send(stream, bytes + stream->rest_at, left);

    if (taken < 0) {
        stream_end(stream);
        return false;
    }
    stream->rest_at += (size_t)taken;
    if ((size_t)taken == left) {
        streams->rest_bytes -= stream->rest_n;
        stream->rest = mem_free(stream->rest);
        stream->rest_n = stream->rest_at = 0;
    }
    if (stream_owes(stream)) {
        stream_enter(stream, STREAM_BLOCKED);
        return false;
    }
    return true;
}

void stream_catch_up(struct stream *stream)
{
    enum rest_verdict verdict = rest_judge_one(stream->loop, &stream->judged);

    if (verdict == REST_LATER) {
        go_on(stream);
    }
    if (verdict != REST_STANDS || (stream_owes(stream) && !send_rest(stream))) {
        return;
    }
    if (stream->initial != NULL) {
        read_initial(stream);
    } else {
        read_history(stream);
    }
}
