#include "cli/changed.h"

#include <inttypes.h>
#include <string.h>

#include "cli/print.h"
#include "cli/text.h"

static struct str text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return (struct str){json_string_value(value), json_string_length(value)};
}

/* A value that could be taken for several words stands in quotes. */
static void add_value(struct buf *out, const json_t *value, size_t most)
{
    struct str text = {json_string_value(value), json_string_length(value)};
    bool bare = text.n > 0 && memchr(text.p, ' ', text.n) == NULL;
    size_t start = out->n;

    if (!json_is_string(value)) {
        print_add_json(out, value);
    } else if (bare) {
        text_add_safe(out, text);
    } else {
        buf_add_char(out, '"');
        text_add_safe(out, text);
        buf_add_char(out, '"');
    }
    text_cut(out, start, most);
}

static void add_field(struct buf *out, const char *name, const json_t *value,
                      size_t most)
{
    buf_add_text(out, "  ");
    text_add_safe(out, str_of(name));
    buf_add_char(out, '=');
    add_value(out, value, most);
}

/* Of a row that was there: what is otherwise now. */
static void add_changed(struct buf *out, json_t *was, const json_t *row,
                        size_t most)
{
    const char *name = NULL;
    json_t *old = NULL;

    json_object_foreach(was, name, old)
    {
        const json_t *now = json_object_get(row, name);
        if (now == NULL) {
            buf_add_text(out, "  ");
            text_add_safe(out, str_of(name));
            buf_add_char(out, '-');
        } else {
            add_field(out, name, now, most);
        }
        if (!json_is_null(old)) {
            buf_add_text(out, " (");
            add_value(out, old, most);
            buf_add_char(out, ')');
        }
    }
}

static void add_members(struct buf *out, json_t *object,
                        const char *const *without, size_t most)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(object, name, value)
    {
        bool shown = true;
        for (const char *const *w = without; *w != NULL && shown; w++) {
            shown = strcmp(name, *w) != 0;
        }
        if (shown) {
            add_field(out, name, value, most);
        }
    }
}

static void add_row(struct buf *out, const json_t *event, size_t most)
{
    static const char *const not_shown[] = {"_id", "_rev", NULL};
    json_t *was = json_object_get(event, "was");
    json_t *row = json_object_get(event, "resource");

    if (was != NULL) {
        add_changed(out, was, row, most);
    } else if (strcmp(json_string_value(json_object_get(event, "op")), "put") ==
               0) {
        add_members(out, row, not_shown, most);
    }
}

/* Where it is: NS, or NS/TYPE/NAME of a resource. */
static void add_where(struct buf *out, const json_t *event,
                      changed_key_func *key_of, void *user)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *row = json_object_get(event, "resource");

    text_add_safe(out, text_of(event, "ns"));
    if (type == NULL || row == NULL) {
        return;
    }
    const char *key = key_of(type, user);
    struct str name = key == NULL ? STR_NONE : text_of(row, key);
    buf_add_char(out, '/');
    text_add_safe(out, str_of(type));
    buf_add_char(out, '/');
    text_add_safe(out, name.n > 0 ? name : text_of(event, "id"));
}

void changed_add(struct buf *out, const json_t *event, size_t most,
                 changed_key_func *key_of, void *user)
{
    static const char *const head[] = {"revision", "op",    "ns",
                                       "ns_id",    "cause", NULL};
    json_t *members = (json_t *)(uintptr_t)event; /* iterating is not const */

    buf_add_u64(
        out, (uint64_t)json_integer_value(json_object_get(event, "revision")));
    buf_add_text(out, "  ");
    text_add_safe(out, text_of(event, "op"));
    buf_add_text(out, "  ");
    add_where(out, event, key_of, user);
    if (text_of(event, "cause").n > 0) {
        buf_add_text(out, "  ");
        text_add_safe(out, text_of(event, "cause"));
    }
    if (json_object_get(event, "resource") != NULL) {
        add_row(out, event, most);
    } else {
        add_members(out, members, head, most);
    }
}
