#include "hook/batch.h"

#include "base/err.h"
#include "hook/watched.h"
#include "watch/watch.h"

/* At once, of the history: other webhooks have their turns too. */
enum { READ_BYTES = 1 << 20, READ_TIMES = 8 };

struct reading {
    struct arena *arena;
    struct batch *batch;
    const struct batch_ask *ask;
    bool full;
};

static void take(struct reading *reading, const struct event *event)
{
    struct batch *batch = reading->batch;

    if (batch->n == 0) {
        batch->first = event->revision;
    } else {
        buf_add_char(&batch->events, ',');
    }
    buf_add_str(&batch->events, event->text);
    batch->last = event->revision;
    batch->n++;
}

static bool has_room(const struct reading *reading, const struct event *event)
{
    const struct batch *batch = reading->batch;
    return batch->n == 0 ||
           (batch->n < BATCH_EVENTS &&
            batch->events.n + event->text.n < reading->ask->most_bytes);
}

/* From here on it may want others: its row has to be read again. */
static bool is_own_row(const struct engine_key *key, const struct event *event)
{
    struct ulid id;

    return event->ns_id == key->ns && str_is(event->type, WEBHOOK_TYPE) &&
           ulid_parse(event->id, &id) == 0 && ulid_compare(id, key->id) == 0;
}

static void stop_at(struct reading *reading, uint64_t revision)
{
    reading->full = true;
    reading->batch->upto = revision;
}

static void on_event(void *user, const struct event *event)
{
    struct reading *reading = user;
    struct batch *batch = reading->batch;
    struct str moved;

    if (reading->full) {
        return;
    }
    if (watched_wants(batch->path, reading->ask->types, event)) {
        if (!has_room(reading, event)) {
            stop_at(reading, batch->last);
            return;
        }
        take(reading, event);
    }
    /* What comes now stands under another path. */
    if (watched_moves(reading->arena, batch->path, event, &moved)) {
        batch->path = moved;
        stop_at(reading, event->revision);
    } else if (is_own_row(&reading->ask->key, event)) {
        stop_at(reading, event->revision);
    }
}

static void read_reset(struct batch *batch, uint64_t revision)
{
    buf_clear(&batch->events);
    buf_add_text(&batch->events, "{\"op\":\"reset\",\"revision\":");
    buf_add_u64(&batch->events, revision);
    buf_add_char(&batch->events, '}');
    batch->n = 1;
    batch->first = batch->last = batch->upto = revision;
    batch->reset = true;
    batch->end = false;
}

int batch_read(struct store_reader *reader, struct arena *arena,
               const struct batch_ask *ask, struct batch *ret_batch)
{
    struct batch *batch = ret_batch;
    struct reading reading = {arena, batch, ask, false};

    *batch = (struct batch){.path = arena_str(arena, ask->path),
                            .upto = ask->cursor};
    for (int i = 0; i < READ_TIMES && !reading.full && !batch->end; i++) {
        struct watch_spec spec = {.ns = batch->path};
        struct watch_reading read;
        int r = watch_read(reader, &spec, batch->upto, READ_BYTES, on_event,
                           &reading, &read);
        if (r == ERR_NOT_FOUND) {
            /* What is left of the events before it is not all there was. */
            read_reset(batch, read.upto);
            return 0;
        }
        if (r != 0) {
            return r;
        }
        if (!reading.full) {
            batch->upto = read.upto;
            batch->end = read.end;
        }
    }
    return 0;
}

void batch_done(struct batch *batch)
{
    buf_done(&batch->events);
}

void batch_write(struct buf *body, const struct batch *batch,
                 const struct found *row)
{
    buf_reserve(body, batch->events.n + row->name.n + row->path.n + 128);
    buf_printf(body, "{\"webhook\":\"%.*s\",\"ns\":\"%.*s\",\"first\":",
               STR_ARG(row->name), STR_ARG(row->path));
    buf_add_u64(body, batch->first);
    buf_add_text(body, ",\"last\":");
    buf_add_u64(body, batch->last);
    buf_add_text(body, ",\"events\":[");
    buf_add_str(body, buf_str(&batch->events));
    buf_add_text(body, "]}");
}

/* ---- where a namespace was ---- */

struct move {
    struct str from, to;
    struct move *before;
};

struct moves {
    struct arena *arena;
    uint64_t revision;
    struct move *last;
};

static void on_move(void *user, const struct event *event)
{
    struct moves *moves = user;

    if (event->op != EVENT_NS_PUT || event->old.n == 0 ||
        event->revision > moves->revision) {
        return;
    }
    struct move *move = arena_zero(moves->arena, sizeof *move);
    move->from = arena_str(moves->arena, event->old);
    move->to = arena_str(moves->arena, event->ns);
    move->before = moves->last;
    moves->last = move;
}

int batch_path(struct store_reader *reader, struct arena *arena,
               struct str root, struct str path, uint64_t revision,
               uint64_t cursor, struct str *ret_path)
{
    struct moves moves = {.arena = arena, .revision = revision};
    const struct watch_spec spec = {.ns = root};
    struct watch_reading read = {.upto = cursor};
    int r = 0;

    while (r == 0 && !read.end && read.upto < revision) {
        r = watch_read(reader, &spec, read.upto, READ_BYTES, on_move, &moves,
                       &read);
    }
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    *ret_path = arena_str(arena, path);
    /* Fallen out of history: it will begin anew, where it is now. */
    for (struct move *m = r == 0 ? moves.last : NULL; m != NULL;
         m = m->before) {
        const struct event event = {
            .op = EVENT_NS_PUT, .ns = m->to, .old = m->from};
        (void)watched_came(arena, *ret_path, &event, ret_path);
    }
    return 0;
}
