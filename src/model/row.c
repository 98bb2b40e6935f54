#include "model/row.h"

#include <assert.h>

#include "base/err.h"
#include "model/row_walk.h"

/* One member in the encoded form. */
struct entry {
    struct str key;   /* Between the quotes. */
    struct str value; /* Between the quotes; p == NULL: null. */
    struct str whole; /* All of it, with the quotes, without the comma. */
};

static void add_comma(struct buf *buf, size_t start)
{
    if (buf->n > start) {
        buf_add_char(buf, ',');
    }
}

/* ---- walking ---- */

/* A quote ends the string when the backslashes before it pair up. Runs of them
 * lie apart, so looking back stays linear. */
static size_t closing_quote(struct str fields, size_t begin)
{
    size_t at = begin;

    for (;;) {
        const char *quote = memchr(fields.p + at, '"', fields.n - at);
        assert(quote != NULL);
        at = (size_t)(quote - fields.p);
        size_t slash = at;
        while (slash > begin && fields.p[slash - 1] == '\\') {
            slash--;
        }
        if ((at - slash) % 2 == 0) {
            return at;
        }
        at++;
    }
}

struct str row_take_string(struct str fields, size_t *at)
{
    assert(*at < fields.n && fields.p[*at] == '"');
    size_t begin = *at + 1;
    size_t end = closing_quote(fields, begin);

    *at = end + 1;
    return (struct str){fields.p + begin, end - begin};
}

static bool entry_next(struct str fields, size_t *at, struct entry *ret_entry)
{
    size_t here = *at;

    if (here >= fields.n) {
        return false;
    }
    size_t begin = here;
    ret_entry->key = row_take_string(fields, &here);
    assert(here + 1 < fields.n && fields.p[here] == ':');
    here++;
    if (fields.p[here] == 'n') {
        ret_entry->value = STR_NONE;
        here += sizeof "null" - 1;
    } else {
        ret_entry->value = row_take_string(fields, &here);
    }
    assert(here == fields.n || (here < fields.n && fields.p[here] == ','));
    ret_entry->whole = (struct str){fields.p + begin, here - begin};
    *at = here + 1;
    return true;
}

bool row_next(struct str fields, size_t *at, struct str *ret_key,
              struct str *ret_value)
{
    struct entry entry;

    if (!entry_next(fields, at, &entry)) {
        return false;
    }
    *ret_key = entry.key;
    *ret_value = entry.value;
    return true;
}

/* The encoded form of a name, in `room` only when it differs: names that need
 * an escape are rare, and lookups are many. */
static struct str encode_name(struct buf *room, struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            buf_clear(room);
            json_add_string(room, name);
            return (struct str){room->p + 1, room->n - 2};
        }
    }
    return name;
}

struct str row_get(struct str fields, struct str key)
{
    CLEANUP(buf_done) struct buf room = {0};
    struct str wanted = encode_name(&room, key);
    struct entry entry;
    size_t at = 0;

    while (entry_next(fields, &at, &entry)) {
        int order = str_compare(entry.key, wanted);
        if (order >= 0) {
            return order == 0 ? entry.value : STR_NONE;
        }
    }
    return STR_NONE;
}

struct str row_get_text(struct arena *arena, struct str fields, struct str key)
{
    struct str raw = row_get(fields, key);

    if (raw.p == NULL || memchr(raw.p, '\\', raw.n) == NULL) {
        return raw.p == NULL ? raw : arena_str(arena, raw);
    }
    struct buf text = {0};
    row_unescape(&text, raw);
    return arena_take(arena, &text);
}

static unsigned hex_value(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* `p` at a backslash; the length of the escape. */
static size_t add_unescaped(struct buf *buf, const char *p, size_t n)
{
    static const char names[] = "\"\\btnfr";
    static const char bytes[] = "\"\\\b\t\n\f\r";

    assert(n >= 2);
    if (p[1] == 'u') {
        assert(n >= 6);
        buf_add_char(buf, (char)(hex_value(p[4]) << 4 | hex_value(p[5])));
        return 6;
    }
    const char *name = memchr(names, p[1], sizeof names - 1);
    assert(name != NULL);
    buf_add_char(buf, bytes[name - names]);
    return 2;
}

void row_unescape(struct buf *buf, struct str raw)
{
    while (raw.n > 0) {
        const char *slash = memchr(raw.p, '\\', raw.n);
        size_t n = slash == NULL ? raw.n : (size_t)(slash - raw.p);
        buf_add(buf, raw.p, n);
        if (slash != NULL) {
            n += add_unescaped(buf, slash, raw.n - n);
        }
        raw.p += n;
        raw.n -= n;
    }
}

size_t row_count(struct str fields)
{
    struct entry entry;
    size_t at = 0;
    size_t n = 0;

    while (entry_next(fields, &at, &entry)) {
        n++;
    }
    return n;
}

/* ---- making new ones ---- */

static void add_entry(struct buf *buf, size_t start, const struct entry *entry)
{
    add_comma(buf, start);
    buf_add_str(buf, entry->whole);
}

/* Both sides are sorted: one walk, like the merge of a merge sort. */
void row_merge(struct buf *buf, struct str fields, struct str patch)
{
    size_t start = buf->n;
    size_t at_old = 0;
    size_t at_new = 0;
    struct entry old;
    struct entry new;
    bool has_old = entry_next(fields, &at_old, &old);
    bool has_new = entry_next(patch, &at_new, &new);

    while (has_old || has_new) {
        int order = !has_old   ? 1
                    : !has_new ? -1
                               : str_compare(old.key, new.key);
        if (order < 0) {
            add_entry(buf, start, &old);
        } else if (new.value.p != NULL) {
            add_entry(buf, start, &new);
        }
        if (order <= 0) {
            has_old = entry_next(fields, &at_old, &old);
        }
        if (order >= 0) {
            has_new = entry_next(patch, &at_new, &new);
        }
    }
}

/* Whether an encoded key is among names that are not encoded. */
static bool is_named(struct str key, const struct str *names, size_t n_names,
                     struct buf *room)
{
    for (size_t i = 0; i < n_names; i++) {
        if (str_equal(key, encode_name(room, names[i]))) {
            return true;
        }
    }
    return false;
}

void row_project(struct buf *buf, struct str row, const struct str *names,
                 size_t n_names)
{
    CLEANUP(buf_done) struct buf room = {0};
    struct row_server server;
    struct ulid id;
    uint64_t revision = 0;
    struct str fields;
    struct entry entry;
    size_t at = 0;

    row_split(row, &id, &revision, &server, &fields);
    row_write(buf, id, revision, &server, STR(""));
    buf->n--; /* It is not over. */
    while (entry_next(fields, &at, &entry)) {
        if (is_named(entry.key, names, n_names, &room)) {
            buf_add_char(buf, ',');
            buf_add_str(buf, entry.whole);
        }
    }
    buf_add_char(buf, '}');
}

static void add_mask(struct buf *buf, struct str key)
{
    add_comma(buf, 0);
    buf_add_char(buf, '"');
    buf_add_str(buf, key);
    buf_add_text(buf, "\":\"" ROW_MASK "\"");
}

/* A client that sends back the "***" it was shown means "as it was": a patch
 * then says nothing about the field; a whole row keeps its place. */
static void mask_entry(const struct entry *entry, bool patch, struct buf *open,
                       struct buf *secret)
{
    if (entry->value.p == NULL) {
        add_entry(open, 0, entry);
        add_entry(secret, 0, entry);
    } else if (!str_is(entry->value, ROW_MASK)) {
        add_mask(open, entry->key);
        add_entry(secret, 0, entry);
    } else if (!patch) {
        add_entry(open, 0, entry);
    }
}

void row_mask(struct arena *arena, struct str fields, bool patch,
              const struct str *secret, size_t n_secret, struct str *ret_open,
              struct str *ret_secret)
{
    CLEANUP(buf_done) struct buf room = {0};
    struct buf open = {0};
    struct buf hidden = {0};
    struct entry entry;
    size_t at = 0;

    if (n_secret == 0) {
        *ret_open = fields;
        *ret_secret = STR("");
        return;
    }
    while (entry_next(fields, &at, &entry)) {
        if (is_named(entry.key, secret, n_secret, &room)) {
            mask_entry(&entry, patch, &open, &hidden);
        } else {
            add_entry(&open, 0, &entry);
        }
    }
    *ret_open = arena_take(arena, &open);
    *ret_secret = arena_take(arena, &hidden);
}
