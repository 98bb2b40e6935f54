#include "client/follow.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

void follow_init(struct follow *follow, const struct roster_watch *watch)
{
    *follow = (struct follow){.watch = watch, .server = ""};
    switch (watch->start) {
    case ROSTER_FROM_NOW:
        follow->state = FOLLOW_NOWHERE;
        break;
    case ROSTER_FROM_SINCE:
        follow->state = FOLLOW_GOING;
        follow->revision = watch->since;
        break;
    case ROSTER_FROM_INITIAL:
        follow->state = FOLLOW_LISTING;
        break;
    }
}

void follow_done(struct follow *follow)
{
    buf_done(&follow->line);
}

char *follow_query(const struct follow *follow)
{
    const struct roster_watch *watch = follow->watch;
    char since[24];

    (void)snprintf(since, sizeof since, "%" PRIu64, follow->revision);
    return roster_query("ns", watch->ns, "type", watch->type, "k", watch->k,
                        "v", watch->v, "mode", watch->mode, "since",
                        follow->state == FOLLOW_GOING ? since : NULL, "initial",
                        follow->state == FOLLOW_LISTING ? "true" : NULL, NULL);
}

void follow_begin(struct follow *follow, const char *server)
{
    follow->server = server;
    follow->end = FOLLOW_NOT_ENDED;
    follow->connected = false;
    follow->moved = false;
    buf_clear(&follow->line);
}

static int tell(struct follow *follow, struct roster_watch_event *event)
{
    event->server = follow->server;
    event->json = event->json == NULL ? "" : event->json;
    event->why = event->why == NULL ? "" : event->why;
    if (follow->watch->tell(event, follow->watch->user) != 0) {
        follow->end = FOLLOW_STOPPED;
        return -1;
    }
    return 0;
}

int follow_lost(struct follow *follow, const char *why)
{
    struct roster_watch_event event = {.kind = ROSTER_WATCH_LOST, .why = why};

    return tell(follow, &event);
}

static int tell_connected(struct follow *follow)
{
    struct roster_watch_event event = {.kind = ROSTER_WATCH_CONNECTED};

    follow->connected = true;
    if (tell(follow, &event) != 0) {
        return -1;
    }
    if (follow->state == FOLLOW_LISTING && follow->has_told_rows) {
        follow->has_told_rows = false;
        event = (struct roster_watch_event){.kind = ROSTER_WATCH_AGAIN};
        return tell(follow, &event);
    }
    return 0;
}

/* ---- lines ---- */

static enum roster_watch_kind kind_of(const char *op)
{
    static const struct {
        const char *op;
        enum roster_watch_kind kind;
    } kinds[] = {{"progress", ROSTER_WATCH_PROGRESS},
                 {"reset", ROSTER_WATCH_RESET},
                 {"bye", ROSTER_WATCH_BYE}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(op, kinds[i].op) == 0) {
            return kinds[i].kind;
        }
    }
    return ROSTER_WATCH_CHANGE;
}

/* Parsed whole: what is handed on is known to be JSON. */
static bool read_line(const struct buf *line, struct roster_watch_event *event)
{
    json_t *json = json_loadb(line->p, line->n, JSON_ALLOW_NUL, NULL);
    const char *op = json_string_value(json_object_get(json, "op"));
    const json_t *revision = json_object_get(json, "revision");
    bool good = op != NULL && json_is_integer(revision) &&
                json_integer_value(revision) >= 0;

    if (good) {
        event->kind = kind_of(op);
        event->revision = (uint64_t)json_integer_value(revision);
    }
    json_decref(json);
    return good;
}

static void go_on_from(struct follow *follow, uint64_t revision)
{
    follow->moved = follow->moved || follow->state != FOLLOW_GOING ||
                    revision != follow->revision;
    follow->state = FOLLOW_GOING;
    follow->revision = revision;
}

/* What is known moves before tell(): an event that ends the watch was told. */
static int on_event(struct follow *follow, struct roster_watch_event *event)
{
    bool known = follow->state == FOLLOW_GOING;

    switch (event->kind) {
    case ROSTER_WATCH_CHANGE:
        if (known && event->revision <= follow->revision) {
            return 0;
        }
        if (follow->state == FOLLOW_LISTING) {
            follow->has_told_rows = true;
        } else {
            go_on_from(follow, event->revision);
        }
        break;
    case ROSTER_WATCH_PROGRESS:
        if (known && event->revision < follow->revision) {
            return 0;
        }
        go_on_from(follow, event->revision);
        break;
    case ROSTER_WATCH_RESET: /* may lead back */
        go_on_from(follow, event->revision);
        break;
    default:
        break;
    }
    if (tell(follow, event) != 0) {
        return -1;
    }
    follow->end = event->kind == ROSTER_WATCH_BYE ? FOLLOW_BYE : follow->end;
    return follow->end == FOLLOW_NOT_ENDED ? 0 : -1;
}

static int on_line(struct follow *follow)
{
    struct roster_watch_event event = {.json = buf_text(&follow->line),
                                       .json_size = follow->line.n};

    if (!read_line(&follow->line, &event)) {
        follow->end = FOLLOW_GARBAGE;
        return -1;
    }
    int r = on_event(follow, &event);
    buf_clear(&follow->line);
    return r;
}

/* What cannot become an event is not waited for: a page of another program on
 * that port has no end of line, perhaps. */
static int add_to_line(struct follow *follow, const char *bytes, size_t n)
{
    bool begins = follow->line.n == 0 && n > 0;

    if (n > FOLLOW_LINE_MOST - follow->line.n) {
        follow->end = FOLLOW_TOO_LONG;
        return -1;
    }
    buf_add(&follow->line, bytes, n);
    if (begins && bytes[0] != '{') {
        follow->end = FOLLOW_GARBAGE;
        return -1;
    }
    return 0;
}

int follow_take(const void *bytes, size_t n, void *user)
{
    struct follow *follow = user;
    const char *at = bytes, *end = at + n;

    if (!follow->connected && n > 0 && tell_connected(follow) != 0) {
        return -1;
    }
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        if (add_to_line(follow, at, (size_t)(stop - at)) != 0) {
            return -1;
        }
        if (newline == NULL) {
            return 0;
        }
        at = newline + 1;
        if (follow->line.n > 0 && on_line(follow) != 0) {
            return -1;
        }
    }
    return 0;
}
