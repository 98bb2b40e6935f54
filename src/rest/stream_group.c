/* Streams that want the same: told together. */
#include <uthash.h>
#include <utlist.h>
#include <xxhash.h>

#include "rest/state.h"
#include "rest/stream.h"

enum {
    SENDS = 512,            /* before others have a turn */
    ROUND_BYTES = 64 << 10, /* and an event */
};

struct stream_group {
    struct watch_link link;
    struct rest_loop *loop;
    struct rest_frame frame;
    struct stream *live;
    size_t n; /* members, live or not */
    /* Told by the table, not yet to the members: */
    struct watch_event **batch;
    size_t n_batch, at, room;
    bool lost; /* and what came then is for each to read */
    uint64_t lost_upto;
    bool is_busy;
    struct stream_group *busy_prev, *busy_next;
    UT_hash_handle hh;
    size_t key_n;
    char key[]; /* the spec's strings */
};

/* ---- found by what is wanted ---- */

static void add_text(struct buf *key, struct str text)
{
    buf_add_le(key, text.p == NULL ? UINT32_MAX : text.n, 4);
    buf_add_str(key, text);
}

static void make_key(struct buf *key, const struct watch_spec *spec,
                     const struct rest_frame *frame,
                     const struct access_who *who)
{
    buf_add_le(key, frame->lines, 1);
    buf_add_le(key, frame->chunked, 1);
    buf_add_le(key, (uint64_t)spec->mode, 1);
    add_text(key, spec->ns);
    add_text(key, spec->type);
    add_text(key, spec->k);
    add_text(key, spec->v);
    buf_add(key, who->view, ACCESS_VIEW_BYTES);
}

static struct str lent(const char **at, struct str text)
{
    struct str copy = {text.p == NULL ? NULL : *at + 4, text.n};

    *at += 4 + text.n;
    return copy;
}

static void on_told(struct watch_link *link, struct watch_event *event);

static struct stream_group *group_new(struct rest_loop *loop,
                                      const struct watch_spec *spec,
                                      const struct rest_frame *frame,
                                      struct str key)
{
    struct stream_group *group = mem_zero(sizeof *group + key.n);
    const char *at = group->key + 3;

    group->loop = loop;
    group->frame = *frame;
    group->key_n = key.n;
    memcpy(group->key, key.p, key.n);
    group->link.tell = on_told;
    group->link.spec = (struct watch_spec){.mode = spec->mode};
    group->link.spec.ns = lent(&at, spec->ns);
    group->link.spec.type = lent(&at, spec->type);
    group->link.spec.k = lent(&at, spec->k);
    group->link.spec.v = lent(&at, spec->v);
    return group;
}

struct stream_group *stream_group_join(struct rest_loop *loop,
                                       const struct watch_spec *spec,
                                       const struct rest_frame *frame,
                                       const struct access_who *who)
{
    struct rest_streams *streams = loop->streams;
    struct stream_group *group = NULL;
    struct buf key = {0};

    make_key(&key, spec, frame, who);
    unsigned hash = (unsigned)XXH3_64bits_withSeed(key.p, key.n, streams->seed);
    HASH_FIND_BYHASHVALUE(hh, streams->groups, key.p, key.n, hash, group);
    if (group == NULL) {
        group = group_new(loop, spec, frame, buf_str(&key));
        HASH_ADD_BYHASHVALUE(hh, streams->groups, key, group->key_n, hash,
                             group);
    }
    buf_done(&key);
    group->n++;
    return group;
}

const struct watch_spec *stream_group_spec(const struct stream_group *group)
{
    return &group->link.spec;
}

const struct rest_frame *stream_group_frame(const struct stream_group *group)
{
    return &group->frame;
}

struct stream **stream_group_live(struct stream_group *group)
{
    return &group->live;
}

/* ---- its life ---- */

void stream_group_settle(struct stream_group *group)
{
    struct rest_streams *streams = group->loop->streams;

    if (group->is_busy || group->live != NULL) {
        return;
    }
    watch_table_remove(group->loop->watching, &group->link);
    if (group->n == 0) {
        HASH_DEL(streams->groups, group);
        (void)mem_free(group->batch);
        (void)mem_free(group);
    }
}

void stream_group_leave(struct stream *stream)
{
    struct stream_group *group = stream->group;

    stream->group = NULL;
    group->n--;
    stream_group_settle(group);
}

void stream_group_change(struct stream *stream)
{
    struct stream_group *old = stream->group;
    struct stream_group *group = stream_group_join(
        old->loop, &old->link.spec, &old->frame, stream->judged.who);

    stream_group_leave(stream);
    stream->group = group;
}

/* The first one enters the table. The others: what the table has told to the
 * group is known to him; what it tells next and he knows, he is not sent. */
bool stream_group_go_live(struct stream *stream)
{
    struct stream_group *group = stream->group;
    struct watch_table *table = group->loop->watching;
    uint64_t now = watch_hub_revision(group->loop->rest->hub);
    uint64_t upto = stream->upto < now ? stream->upto : now;

    if (group->link.subject == NULL) {
        if (watch_table_add(table, &group->link, upto) != 0) {
            return false;
        }
    } else if (stream->upto < watch_table_revision(table)) {
        return false;
    }
    stream_enter(stream, STREAM_LIVE);
    return true;
}

/* ---- what the table tells ---- */

static void be_busy(struct stream_group *group)
{
    struct rest_streams *streams = group->loop->streams;

    if (!group->is_busy) {
        group->is_busy = true;
        DL_APPEND2(streams->busy, group, busy_prev, busy_next);
    }
}

static void lose(struct stream_group *group)
{
    group->lost = true;
    group->lost_upto = group->n_batch > 0
                           ? group->batch[group->n_batch - 1]->event.revision
                           : group->loop->streams->told;
}

/* What came before a state was replaced is of no use to who comes behind it:
 * each finds out in the history that it has to begin anew. */
static void on_told(struct watch_link *link, struct watch_event *event)
{
    struct stream_group *group = CONTAINER(link, struct stream_group, link);

    be_busy(group);
    if (group->lost) {
        return;
    }
    if (event == NULL || event->event.op == EVENT_RESTORE) {
        lose(group);
        return;
    }
    if (group->n_batch == group->room) {
        group->room = group->room == 0 ? 4 : 2 * group->room;
        group->batch =
            mem_grow(group->batch, group->room * sizeof(struct watch_event *));
    }
    watch_event_ref(event);
    group->batch[group->n_batch++] = event;
}

/* ---- telling the members ---- */

/* All who are live see the same, and stand [JUDGE-1]. */
static void make_round(struct stream_group *group, struct stream_round *round)
{
    const struct access_who *who = group->live->judged.who;

    while (group->at < group->n_batch && round->bytes.n < ROUND_BYTES) {
        struct watch_event *event = group->batch[group->at];
        stream_round_add_seen(round, &group->frame, who, &event->event,
                              event->event.revision);
        group->batch[group->at++] = watch_event_unref(event);
    }
}

static void drop_rest(struct stream_group *group)
{
    while (group->at < group->n_batch) {
        struct watch_event *event = group->batch[group->at];
        group->batch[group->at++] = watch_event_unref(event);
    }
}

/* Somebody's access has changed, perhaps before some of it: each reads it by
 * himself, as who he is by then. */
static void drop_batch(struct stream_group *group)
{
    drop_rest(group);
    group->lost = true;
    group->lost_upto = group->loop->streams->told;
}

static void all_read_on(struct stream_group *group)
{
    while (group->live != NULL) {
        struct stream *stream = group->live;
        if (stream->upto < group->lost_upto) {
            stream->upto = group->lost_upto;
        }
        stream_enter(stream, STREAM_READY);
    }
    group->lost = false;
}

static void end_busy(struct stream_group *group)
{
    struct rest_streams *streams = group->loop->streams;

    drop_rest(group);
    group->n_batch = group->at = 0;
    if (group->lost) {
        all_read_on(group);
    }
    DL_DELETE2(streams->busy, group, busy_prev, busy_next);
    group->is_busy = false;
    stream_group_settle(group);
}

static void tell_members(struct rest_streams *streams, unsigned *left)
{
    while (streams->cursor != NULL && *left > 0) {
        struct stream *stream = streams->cursor;
        streams->cursor = stream->next;
        *left -= 1;
        (void)stream_round_send(stream, &streams->round,
                                stream_round_skip(stream, &streams->round));
    }
    if (streams->cursor == NULL) {
        stream_round_clear(&streams->round);
    }
}

bool stream_groups_tell(struct rest_loop *loop)
{
    struct rest_streams *streams = loop->streams;
    unsigned left = SENDS;

    while (streams->busy != NULL && left > 0) {
        struct stream_group *group = streams->busy;
        if (streams->cursor == NULL) {
            stream_round_clear(&streams->round);
            if (!rest_judge_is_done(loop)) {
                drop_batch(group);
            } else if (group->live != NULL) {
                make_round(group, &streams->round);
            }
            streams->cursor = streams->round.n > 0 ? group->live : NULL;
        }
        if (streams->cursor == NULL) {
            end_busy(group);
        } else {
            tell_members(streams, &left);
        }
    }
    return streams->busy != NULL;
}
