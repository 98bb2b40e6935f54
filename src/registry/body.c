#include "registry/body.h"

#include "registry/answer.h"

/* Others of its loop wait meanwhile: a millisecond at most. */
enum { QUICK_BYTES = 64 << 10 };

int body_parse(struct op_state *s, struct json **ret_json)
{
    struct json_error error;

    if (s->op->body.n > QUICK_BYTES && !s->on_worker && !s->op->no_worker) {
        return NEEDS_WORKER;
    }
    if (s->op->body.n == 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "the request needs a JSON body and has none");
    }
    if (json_parse(s->arena, s->op->body, ret_json, &error) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, error.path,
                          "the body is not the JSON it should be: %.*s %.*s, "
                          "at byte %zu",
                          SHOW(error.path.n > 0 ? error.path : STR("it")),
                          SHOW(error.what), error.offset);
}

struct str body_field(struct op_state *s, struct str prefix, struct str name)
{
    if (prefix.n == 0 || name.n == 0) {
        return prefix.n == 0 ? name : prefix;
    }
    struct buf out = {0};
    buf_add_str(&out, prefix);
    buf_add_text(&out, name.p[0] == '[' ? "" : ".");
    buf_add_str(&out, name);
    return arena_take(s->arena, &out);
}

int body_object(struct op_state *s, const struct json *json, struct str prefix,
                const char *const *names)
{
    if (json->kind != JSON_OBJECT) {
        return answer_problem(s, OP_BAD_REQUEST, prefix,
                              "%.*s must be a JSON object",
                              SHOW(prefix.n > 0 ? prefix : STR("the body")));
    }
    for (const struct json *m = json->first; m != NULL; m = m->next) {
        size_t i = 0;
        while (names[i] != NULL && !str_is(m->key, names[i])) {
            i++;
        }
        if (names[i] == NULL) {
            struct str field = body_field(s, prefix, m->key);
            return answer_problem(s, OP_BAD_REQUEST, field,
                                  "%.*s is not known here: leave it out",
                                  SHOW(field));
        }
    }
    return 0;
}

int body_text(struct op_state *s, const struct json *object, struct str prefix,
              const char *name, bool required, struct str *ret_text)
{
    const struct json *member = json_get(object, name);
    struct str field = body_field(s, prefix, str_of(name));

    if (member == NULL && !required) {
        *ret_text = STR_NONE;
        return 0;
    }
    if (member == NULL || member->kind != JSON_STRING) {
        return answer_problem(s, OP_BAD_REQUEST, field, "%.*s %s", SHOW(field),
                              member == NULL ? "is required"
                                             : "must be a string");
    }
    *ret_text = member->text.p == NULL ? STR("") : member->text;
    return 0;
}

int body_duration(struct str text, uint64_t days_most, uint64_t *ret_ms)
{
    uint64_t days = 0;

    if (text.n < 2 || text.p[text.n - 1] != 'd') {
        return str_duration(text, ret_ms);
    }
    int r = str_number((struct str){text.p, text.n - 1}, days_most, &days);
    *ret_ms = days * 86400000;
    return r;
}

void body_inject(struct op_state *s, struct json *object, struct str key,
                 struct str value)
{
    if (object->kind != JSON_OBJECT) {
        return;
    }
    for (const struct json *m = object->first; m != NULL; m = m->next) {
        if (str_equal(m->key, key)) {
            return;
        }
    }
    struct json *member = arena_zero(s->arena, sizeof *member);
    member->kind = JSON_STRING;
    member->key = key;
    member->text = value;
    member->next = object->first;
    object->first = member;
    object->n++;
}

static int refuse_row(struct op_state *s, struct str prefix,
                      const struct row_error *error)
{
    struct str field = body_field(s, prefix, error->field);

    return answer_problem(s, OP_BAD_REQUEST, field, "%.*s %.*s",
                          SHOW(field.n > 0 ? field : STR("the resource")),
                          SHOW(error->what));
}

int body_row_read(struct op_state *s, const struct json *json, bool patch,
                  struct str prefix, struct row_input *ret_input)
{
    struct row_error error;

    if (row_read(s->arena, json, patch, ret_input, &error) != 0) {
        return refuse_row(s, prefix, &error);
    }
    return 0;
}

int body_row_check(struct op_state *s, const struct type *type,
                   struct str fields, struct str prefix)
{
    struct row_error error;

    if (type_validate(s->arena, type, fields, &error) != 0) {
        return refuse_row(s, prefix, &error);
    }
    return 0;
}

/* "***" is what a reader sees in the place of a secret. In a new row nothing is
 * behind it. */
static int check_not_masked(struct op_state *s, const struct type *type,
                            struct str fields, struct str prefix)
{
    for (size_t i = 0; i < type->n_secret; i++) {
        if (str_is(row_get(fields, type->secret[i]), ROW_MASK)) {
            struct row_error error = {type->secret[i],
                                      STR("is masked: send the secret itself")};
            return refuse_row(s, prefix, &error);
        }
    }
    return 0;
}

int body_row_whole(struct op_state *s, const struct json *json,
                   const struct type *type, bool fresh, struct str prefix,
                   struct body_row *ret_row)
{
    struct body_row row = {0};

    int r = body_row_read(s, json, false, prefix, &row.input);
    if (r == 0) {
        r = body_row_check(s, type, row.input.fields, prefix);
    }
    if (r == 0 && fresh && row.input.masked) {
        r = check_not_masked(s, type, row.input.fields, prefix);
    }
    if (r != 0) {
        return r;
    }
    row_mask(s->arena, row.input.fields, false, type->secret, type->n_secret,
             &row.open, &row.secret);
    *ret_row = row;
    return 0;
}

static bool is_null(struct str patch, struct str name)
{
    CLEANUP(buf_done) struct buf quoted = {0};
    struct str key, value;

    json_add_string(&quoted, name);
    struct str raw = {quoted.p + 1, quoted.n - 2};
    for (size_t at = 0; row_next(patch, &at, &key, &value);) {
        if (str_equal(key, raw)) {
            return value.p == NULL;
        }
    }
    return false;
}

static int check_removals(struct op_state *s, const struct type *type,
                          struct str patch, struct str prefix)
{
    struct row_error error = {
        .what = STR("is required by its type and cannot be removed")};

    if (type->key_required && is_null(patch, type->key)) {
        error.field = type->key;
        return refuse_row(s, prefix, &error);
    }
    for (size_t i = 0; i < type->n_required; i++) {
        if (is_null(patch, type->required[i])) {
            error.field = type->required[i];
            return refuse_row(s, prefix, &error);
        }
    }
    return 0;
}

int body_patch_check(struct op_state *s, const struct type *type,
                     struct str patch, struct str prefix)
{
    struct type present = *type;

    int r = check_removals(s, type, patch, prefix);
    if (r != 0) {
        return r;
    }
    present.key_required = false;
    present.n_required = 0;
    return body_row_check(s, &present, patch, prefix);
}

int body_row_patch(struct op_state *s, const struct json *json,
                   const struct type *type, struct str prefix,
                   struct body_row *ret_row)
{
    struct body_row row = {0};

    int r = body_row_read(s, json, true, prefix, &row.input);
    if (r == 0) {
        r = body_patch_check(s, type, row.input.fields, prefix);
    }
    if (r != 0) {
        return r;
    }
    row_mask(s->arena, row.input.fields, true, type->secret, type->n_secret,
             &row.open, &row.secret);
    *ret_row = row;
    return 0;
}
