#include <stdlib.h>

#include "base/err.h"
#include "model/row.h"

static int refuse(struct row_error *error, struct str field, const char *what)
{
    *error = (struct row_error){field, str_of(what)};
    return ERR_INVALID;
}

/* `_id` must be the one of the resource, which the caller knows; `_rev` is what
 * the client last saw, and says nothing that If-Match does not say. What else
 * the server says about a resource has operations of its own. */
static int read_server_field(const struct json *member, struct row_input *input,
                             struct row_error *error)
{
    if (str_is(member->key, "_rev")) {
        return member->kind == JSON_NUMBER
                   ? 0
                   : refuse(error, member->key, "must be a number");
    }
    if (str_is(member->key, "_maintenance") || str_is(member->key, "_status")) {
        return member->kind == JSON_STRING
                   ? 0
                   : refuse(error, member->key, "must be a string");
    }
    if (!str_is(member->key, "_id")) {
        return refuse(error, member->key,
                      "must not start with '_': such names are the server's");
    }
    if (member->kind != JSON_STRING ||
        ulid_parse(member->text, &input->id) != 0 || ulid_is_zero(input->id)) {
        return refuse(error, member->key, "must be an id of 26 characters");
    }
    return 0;
}

static int check_field(const struct json *member, bool patch, size_t n_before,
                       struct row_error *error)
{
    if (member->key.n == 0) {
        return refuse(error, member->key, "must not be empty as a name");
    }
    if (n_before == ROW_KEYS_MAX) {
        return refuse(error, member->key, "is one more than 128 fields");
    }
    if (member->kind == JSON_STRING || (patch && member->kind == JSON_NULL)) {
        return 0;
    }
    return refuse(error, member->key,
                  patch ? "must be a string or null" : "must be a string");
}

/* Where an entry lies in a buffer that still grows. */
struct span {
    size_t key_n; /* With its quotes. */
    size_t begin;
    size_t end;
    const char *bytes; /* Of the buffer, once it has stopped growing. */
};

static struct span add_field(struct buf *buf, const struct json *member)
{
    struct span span = {.begin = buf->n};

    json_add_string(buf, member->key);
    span.key_n = buf->n - span.begin;
    buf_add_char(buf, ':');
    if (member->kind == JSON_NULL) {
        buf_add_text(buf, "null");
    } else {
        json_add_string(buf, member->text);
    }
    span.end = buf->n;
    return span;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *left = a;
    const struct span *right = b;

    return str_compare(
        (struct str){left->bytes + left->begin + 1, left->key_n - 2},
        (struct str){right->bytes + right->begin + 1, right->key_n - 2});
}

static struct str join_sorted(struct arena *arena, const struct buf *encoded,
                              struct span *spans, size_t n)
{
    char *fields = arena_alloc(arena, encoded->n + n);
    char *at = fields;

    for (size_t i = 0; i < n; i++) {
        spans[i].bytes = encoded->p;
    }
    qsort(spans, n, sizeof *spans, compare_spans);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = spans[i].end - spans[i].begin;
        if (i > 0) {
            *at++ = ',';
        }
        memcpy(at, encoded->p + spans[i].begin, bytes);
        at += bytes;
    }
    return (struct str){fields, (size_t)(at - fields)};
}

static int read_members(const struct json *object, bool patch,
                        struct buf *encoded, struct span *spans, size_t *ret_n,
                        struct row_input *input, struct row_error *error)
{
    size_t n = 0;

    for (const struct json *m = object->first; m != NULL; m = m->next) {
        bool server = m->key.n > 0 && m->key.p[0] == '_';
        int r = server ? read_server_field(m, input, error)
                       : check_field(m, patch, n, error);
        if (r != 0) {
            return r;
        }
        if (!server) {
            spans[n++] = add_field(encoded, m);
            input->n += m->kind == JSON_STRING;
            input->masked |=
                m->kind == JSON_STRING && str_is(m->text, ROW_MASK);
        }
    }
    *ret_n = n;
    return 0;
}

int row_read(struct arena *arena, const struct json *object, bool patch,
             struct row_input *ret_input, struct row_error *ret_error)
{
    CLEANUP(buf_done) struct buf encoded = {0};
    struct span spans[ROW_KEYS_MAX];
    struct row_input input = {0};
    size_t n = 0;

    if (object->kind != JSON_OBJECT) {
        return refuse(ret_error, STR(""), "must be an object");
    }
    int r = read_members(object, patch, &encoded, spans, &n, &input, ret_error);
    if (r != 0) {
        return r;
    }
    if (n == 0 && !patch) {
        return refuse(ret_error, STR(""), "must have at least one field");
    }
    input.fields = join_sorted(arena, &encoded, spans, n);
    if (input.fields.n > ROW_FIELDS_MAX) {
        return refuse(ret_error, STR(""), "is larger than 256 KiB");
    }
    *ret_input = input;
    return 0;
}

/* A text as a row has it: escaped, without its quotes. */
static struct str server_text(struct arena *arena, const struct json *object,
                              const char *name)
{
    const struct json *member = json_get(object, name);
    struct buf text = {0};

    if (member == NULL || member->kind != JSON_STRING) {
        return STR_NONE;
    }
    json_add_string(&text, member->text);
    struct str quoted = arena_take(arena, &text);
    return (struct str){quoted.p + 1, quoted.n - 2};
}

/* Read as a request's body would be, and written as it is kept: the same bytes.
 */
bool row_is_sound(struct arena *arena, struct str text,
                  struct row_input *ret_input, uint64_t *ret_revision)
{
    struct json *object = NULL;
    struct json_error error;
    struct row_error wrong;
    struct buf again = {0};

    if (json_parse(arena, text, &object, &error) != 0 ||
        row_read(arena, object, false, ret_input, &wrong) != 0 ||
        json_get(object, "_rev") == NULL ||
        json_u64(json_get(object, "_rev"), ret_revision) != 0) {
        return false;
    }
    const struct row_server server = {
        .maintenance = server_text(arena, object, "_maintenance"),
        .status = server_text(arena, object, "_status"),
    };
    row_write(&again, ret_input->id, *ret_revision, &server, ret_input->fields);
    bool same = str_equal(buf_str(&again), text);
    buf_done(&again);
    return same;
}
