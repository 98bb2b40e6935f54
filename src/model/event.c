#include "model/event.h"

#include <assert.h>

#include "model/row.h"

/* ---- writing ---- */

void event_write_head(struct buf *buf, const struct event_head *head)
{
    buf_add_text(buf, "{\"revision\":");
    buf_add_u64(buf, head->revision);
    buf_add_text(buf, ",\"op\":\"");
    buf_add_text(buf, head->op);
    buf_add_text(buf, "\",\"ns\":\"");
    buf_add_str(buf, head->ns);
    buf_add_text(buf, "\",\"ns_id\":");
    buf_add_u64(buf, head->ns_id);
    buf_add_text(buf, ",\"cause\":\"");
    buf_add_text(buf, head->cause);
    buf_add_char(buf, '"');
}

static void add_was(struct buf *buf, bool *first, struct str key,
                    struct str value)
{
    buf_add_text(buf, *first ? ",\"was\":{\"" : ",\"");
    buf_add_str(buf, key);
    buf_add_text(buf, "\":");
    if (value.p == NULL) {
        buf_add_text(buf, "null");
    } else {
        buf_add_char(buf, '"');
        buf_add_str(buf, value);
        buf_add_char(buf, '"');
    }
    *first = false;
}

struct walk {
    struct str fields, key, value;
    size_t at;
    bool more;
};

static void next(struct walk *walk)
{
    walk->more = row_next(walk->fields, &walk->at, &walk->key, &walk->value);
}

/* Both are sorted by key. */
static void write_was(struct buf *buf, struct str fields, struct str old_fields)
{
    struct walk new = {.fields = fields}, old = {.fields = old_fields};
    bool first = true;

    next(&new);
    next(&old);
    while (new.more || old.more) {
        int order = !new.more   ? 1
                    : !old.more ? -1
                                : str_compare(new.key, old.key);
        if (order < 0) {
            add_was(buf, &first, new.key, STR_NONE);
        } else if (order > 0 || !str_equal(new.value, old.value)) {
            add_was(buf, &first, old.key, old.value);
        }
        if (order <= 0) {
            next(&new);
        }
        if (order >= 0) {
            next(&old);
        }
    }
    buf_add_text(buf, first ? "" : "}");
}

void event_write_row(struct buf *buf, const struct event_head *head,
                     struct str type, struct ulid id, struct str row,
                     struct str old_fields)
{
    char text[ULID_TEXT];
    struct str fields;
    uint64_t revision;

    ulid_format(id, text);
    buf_reserve(buf, row.n + 512);
    event_write_head(buf, head);
    buf_add_text(buf, ",\"type\":\"");
    buf_add_str(buf, type);
    buf_add_text(buf, "\",\"id\":\"");
    buf_add(buf, text, sizeof text);
    buf_add_text(buf, "\",\"resource\":");
    buf_add_str(buf, row);
    if (old_fields.p != NULL) {
        row_split(row, &id, &revision, NULL, &fields);
        write_was(buf, fields, old_fields);
    }
}

void event_write_access(struct buf *buf, const struct event_head *head,
                        const char *what, struct str name, bool gone)
{
    event_write_head(buf, head);
    buf_printf(buf, ",\"what\":\"%s\",\"name\":\"%.*s\"%s", what, STR_ARG(name),
               gone ? ",\"gone\":true" : "");
}

void event_write_end(struct buf *buf)
{
    buf_add_char(buf, '}');
}

/* ---- reading ---- */

/* `bad`: it is nothing this room made; then what follows finds nothing. */
struct scan {
    struct str text;
    size_t at;
    bool bad;
};

static bool skip(struct scan *scan, const char *text)
{
    size_t n = strlen(text);

    if (scan->bad || scan->text.n - scan->at < n ||
        memcmp(scan->text.p + scan->at, text, n) != 0) {
        return false;
    }
    scan->at += n;
    return true;
}

static void expect(struct scan *scan, const char *text)
{
    scan->bad = !skip(scan, text) || scan->bad;
}

static uint64_t number(struct scan *scan)
{
    size_t begin = scan->at;
    uint64_t n = 0;

    while (scan->at < scan->text.n && scan->text.p[scan->at] >= '0' &&
           scan->text.p[scan->at] <= '9') {
        scan->at++;
    }
    scan->bad = str_number((struct str){scan->text.p + begin, scan->at - begin},
                           UINT64_MAX, &n) != 0 ||
                scan->bad;
    return n;
}

/* Up to the next quote: of texts that have none escaped. */
static struct str plain(struct scan *scan)
{
    const char *begin = scan->text.p + scan->at;
    const char *end =
        scan->bad ? NULL : memchr(begin, '"', scan->text.n - scan->at);

    if (end == NULL) {
        scan->bad = true;
        return STR("");
    }
    scan->at += (size_t)(end - begin) + 1;
    return (struct str){begin, (size_t)(end - begin)};
}

/* From behind the quote that opened it to behind the one that ends it; NULL
 * when there is none. */
static const char *behind_string(const char *p, const char *end)
{
    while (p < end && *p != '"') {
        p += *p == '\\' ? 2 : 1;
    }
    return p < end ? p + 1 : NULL;
}

/* An object of plain values, braces and all. */
static struct str object(struct scan *scan)
{
    const char *begin = scan->text.p + scan->at;
    const char *end = scan->text.p + scan->text.n;

    expect(scan, "{");
    const char *p = scan->bad ? NULL : begin + 1;
    while (p != NULL && p < end && *p != '}') {
        p = *p == '"' ? behind_string(p + 1, end) : p + 1;
    }
    if (p == NULL || p == end) {
        scan->bad = true;
        return STR("{}");
    }
    scan->at += (size_t)(p - begin);
    return (struct str){begin, (size_t)(p + 1 - begin)};
}

static struct str inside(struct str object)
{
    return (struct str){object.p + 1, object.n - 2};
}

static enum event_op op_of(struct str name)
{
    static const char *const names[] = {
        [EVENT_PUT] = "put",         [EVENT_DELETE] = "delete",
        [EVENT_NS_PUT] = "ns-put",   [EVENT_NS_DELETE] = "ns-delete",
        [EVENT_RESTORE] = "restore",
    };

    for (int op = 0; op < EVENT_OTHER; op++) {
        if (str_is(name, names[op])) {
            return (enum event_op)op;
        }
    }
    return EVENT_OTHER;
}

static void read_row(struct scan *scan, struct event *event)
{
    expect(scan, ",\"type\":\"");
    event->type = plain(scan);
    expect(scan, ",\"id\":\"");
    event->id = plain(scan);
    expect(scan, ",\"resource\":");
    event->row = object(scan);
    if (skip(scan, ",\"was\":")) {
        event->was = inside(object(scan));
    }
    expect(scan, "}");
    scan->bad = scan->bad || scan->at != scan->text.n;
}

static void read_ns(struct scan *scan, struct event *event)
{
    expect(scan, ",\"kind\":\"");
    event->kind = plain(scan);
    if (skip(scan, ",\"old\":\"")) {
        event->old = plain(scan);
    }
    expect(scan, "}");
}

static void read_access(struct scan *scan, struct event *event)
{
    event->what = plain(scan);
    expect(scan, ",\"name\":\"");
    event->thing = plain(scan);
    event->gone = skip(scan, ",\"gone\":true");
    expect(scan, "}");
}

static bool read_parts(struct str text, struct event *event)
{
    struct scan scan = {.text = text};

    expect(&scan, "{\"revision\":");
    event->revision = number(&scan);
    expect(&scan, ",\"op\":\"");
    event->name = plain(&scan);
    event->op = op_of(event->name);
    if (skip(&scan, ",\"ns\":\"")) {
        event->ns = plain(&scan);
        expect(&scan, ",\"ns_id\":");
        event->ns_id = number(&scan);
    } else { /* of older releases */
        expect(&scan, ",\"type\":\"");
        (void)plain(&scan);
    }
    expect(&scan, ",\"cause\":\"");
    event->cause = plain(&scan);
    if (event->op == EVENT_PUT || event->op == EVENT_DELETE) {
        read_row(&scan, event);
    } else if (event->op == EVENT_NS_PUT || event->op == EVENT_NS_DELETE) {
        read_ns(&scan, event);
    } else if (str_is(event->name, "access") && skip(&scan, ",\"what\":\"")) {
        read_access(&scan, event);
    }
    return !scan.bad;
}

uint64_t event_revision(struct str text)
{
    struct scan scan = {.text = text};

    expect(&scan, "{\"revision\":");
    uint64_t revision = number(&scan);
    assert(!scan.bad);
    return revision;
}

void event_read(struct str text, struct event *ret_event)
{
    struct event event = {.text = text};
    struct ulid id;
    uint64_t revision;

    bool sound = read_parts(text, &event);
    assert(sound);
    (void)sound;
    if (event.row.n > 0) {
        row_split(event.row, &id, &revision, NULL, &event.fields);
    }
    *ret_event = event;
}

/* Values are texts, or null where there was none. Of a whole row of other keys
 * it is more than a patch may be. */
static bool add_member(struct buf *out, const struct json *member)
{
    if (member->key.n == 0 || member->key.p[0] == '_' ||
        (member->kind != JSON_STRING && member->kind != JSON_NULL)) {
        return false;
    }
    buf_add_text(out, out->n > 0 ? "," : "");
    json_add_string(out, member->key);
    buf_add_char(out, ':');
    if (member->kind == JSON_NULL) {
        buf_add_text(out, "null");
    } else {
        json_add_string(out, member->text);
    }
    return true;
}

static bool is_sorted(struct str was)
{
    struct str before = STR(""), key, value;

    for (size_t at = 0; row_next(was, &at, &key, &value); before = key) {
        if (str_compare(before, key) >= 0) {
            return false;
        }
    }
    return true;
}

/* Read and written again it is the same. */
static bool is_was(const struct json *object, struct str was)
{
    struct buf again = {0};
    bool good = object->kind == JSON_OBJECT;

    for (const struct json *m = good ? object->first : NULL; good && m != NULL;
         m = m->next) {
        good = add_member(&again, m);
    }
    good = good && str_equal(buf_str(&again), was) && is_sorted(was);
    buf_done(&again);
    return good;
}

bool event_is_sound(struct arena *arena, struct str text)
{
    struct event event = {.text = text};
    struct json *object = NULL;
    struct json_error error;
    struct row_input input;
    uint64_t revision;

    if (json_parse(arena, text, &object, &error) != 0 ||
        object->kind != JSON_OBJECT || !read_parts(text, &event)) {
        return false;
    }
    if (event.row.n > 0 && !row_is_sound(arena, event.row, &input, &revision)) {
        return false;
    }
    return event.was.n == 0 || is_was(json_get(object, "was"), event.was);
}

struct str event_old_value(const struct event *event, struct str key)
{
    struct str name, value;
    struct buf room = {0};
    struct str found = row_get(event->fields, key);

    for (size_t at = 0; row_next(event->was, &at, &name, &value);) {
        buf_clear(&room);
        row_unescape(&room, name);
        if (str_equal(buf_str(&room), key)) {
            found = value;
            break;
        }
    }
    buf_done(&room);
    return found;
}
