#include "cli/lines.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/near.h"

int line_read(FILE *from, struct buf *ret_text)
{
    int c;

    buf_clear(ret_text);
    while ((c = getc_unlocked(from)) != EOF && c != '\n') {
        if (ret_text->n == LINE_MOST) {
            return ERR_TOO_LARGE;
        }
        buf_add_char(ret_text, (char)c);
    }
    if (c == EOF && ferror(from) != 0) {
        return err_raise(ERR_IO);
    }
    return c == EOF && ret_text->n == 0 ? ERR_END : 0;
}

void line_done(struct line *line)
{
    json_decref(line->json);
    *line = (struct line){.op = LINE_NONE};
}

__attribute__((format(printf, 2, 3))) static int wrong(struct buf *why,
                                                       const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    va_end(args);
    buf_clear(why);
    buf_add_text(why, text);
    free(text);
    return ERR_INVALID;
}

/* What an event or an export may say beside what is needed here. */
static bool is_known(const char *name, struct near *near)
{
    static const char *const names[] = {
        "op",    "ns",      "type",     "resource", "definition", "kind",
        "match", "comment", "revision", "id",       "cause",      "ns_id"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
        near_try(near, names[i]);
    }
    return false;
}

static int check_members(const json_t *json, struct buf *why)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        struct near near = near_to(str_of(name));
        if (!is_known(name, &near)) {
            (void)wrong(why, "'%s' is no member of such a line", name);
            if (near.name != NULL) {
                buf_printf(why, ": did you mean '%s'?", near.name);
            }
            return ERR_INVALID;
        }
    }
    return 0;
}

static int take_text(const json_t *json, const char *name,
                     const char **ret_text, struct buf *why)
{
    const json_t *value = json_object_get(json, name);
    const char *text = json_string_value(value);

    if (text == NULL || text[0] == '\0' ||
        strlen(text) != json_string_length(value)) {
        return wrong(why, "'%s' is missing or no text", name);
    }
    *ret_text = text;
    return 0;
}

static int check_optional(const json_t *json, const char *name, struct buf *why)
{
    const json_t *value = json_object_get(json, name);

    if (value != NULL && !json_is_string(value) && !json_is_null(value)) {
        return wrong(why, "'%s' is neither text nor null", name);
    }
    return 0;
}

static int check_kind(const json_t *json, struct buf *why)
{
    const json_t *value = json_object_get(json, "kind");
    const char *kind = json_string_value(value);

    if (value != NULL && (kind == NULL || (strcmp(kind, "leaf") != 0 &&
                                           strcmp(kind, "branch") != 0))) {
        return wrong(why, "'kind' is neither leaf nor branch");
    }
    return 0;
}

static const char *called(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a text",    [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

/* The server's rules for all resources, so that a line is found wrong before
 * anything is sent. */
static int check_resource(json_t *resource, struct buf *why)
{
    const char *name = NULL;
    json_t *value = NULL;

    if (!json_is_object(resource)) {
        return wrong(why, "'resource' is missing or no object");
    }
    (void)json_object_del(resource, "_id");
    (void)json_object_del(resource, "_rev");
    if (json_object_size(resource) == 0) {
        return wrong(why, "'resource' has no field");
    }
    json_object_foreach(resource, name, value)
    {
        if (name[0] == '_') {
            return wrong(why,
                         "field '%s': names that start with _ are the "
                         "registry's own",
                         name);
        }
        if (!json_is_string(value)) {
            return wrong(why,
                         "field '%s' is %s: every value is a text in quotes",
                         name, called(value));
        }
    }
    return 0;
}

static int read_put(struct line *line, struct buf *why)
{
    line->op = LINE_PUT;
    line->body = json_object_get(line->json, "resource");
    int r = take_text(line->json, "ns", &line->ns, why);
    r = r == 0 ? take_text(line->json, "type", &line->type, why) : r;
    return r == 0 ? check_resource(line->body, why) : r;
}

static int read_ns_put(struct line *line, struct buf *why)
{
    line->op = LINE_NS_PUT;
    int r = take_text(line->json, "ns", &line->ns, why);
    r = r == 0 ? check_kind(line->json, why) : r;
    r = r == 0 ? check_optional(line->json, "match", why) : r;
    return r == 0 ? check_optional(line->json, "comment", why) : r;
}

static int read_type_put(struct line *line, struct buf *why)
{
    line->op = LINE_TYPE_PUT;
    line->body = json_object_get(line->json, "definition");
    int r = take_text(line->json, "type", &line->type, why);
    if (r == 0 && !json_is_object(line->body)) {
        return wrong(why, "'definition' is missing or no object");
    }
    return r;
}

static int read_op(struct line *line, struct buf *why)
{
    const char *op = "";
    int r = take_text(line->json, "op", &op, why);

    if (r == 0) {
        r = check_members(line->json, why);
    }
    if (r != 0) {
        return r;
    }
    if (strcmp(op, "put") == 0) {
        return read_put(line, why);
    }
    if (strcmp(op, "ns-put") == 0) {
        return read_ns_put(line, why);
    }
    if (strcmp(op, "type-put") == 0) {
        return read_type_put(line, why);
    }
    return wrong(
        why, "op '%s' cannot be imported: it is put, ns-put or type-put", op);
}

int line_parse(struct str text, struct line *ret_line, struct buf *why)
{
    struct line line = {.bytes = text.n};
    json_error_t error;
    size_t at = 0;

    while (at < text.n && isspace((unsigned char)text.p[at])) {
        at++;
    }
    if (at == text.n) {
        *ret_line = line;
        return 0;
    }
    line.json = json_loadb(text.p, text.n,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (line.json == NULL) {
        buf_clear(why);
        buf_printf(why, "no JSON: %s (column %d)", error.text, error.column);
        return ERR_INVALID;
    }
    if (!json_is_object(line.json)) {
        json_decref(line.json);
        return wrong(why, "no JSON object");
    }
    int r = read_op(&line, why);
    if (r != 0) {
        json_decref(line.json);
        return r;
    }
    *ret_line = line;
    return 0;
}
