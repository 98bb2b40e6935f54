#include "model/type.h"

#include "base/err.h"
#include "model/name.h"
#include "model/value.h"

/* The form of STR that may initialize a static. */
#define TEXT(literal)                                                          \
    {                                                                          \
        (literal), sizeof(literal) - 1                                         \
    }

/* ---- the built-in ones ---- */

static struct str required_url[] = {TEXT("url")};
static struct str secret_secret[] = {TEXT("secret")};
static struct type_check checks_machine[] = {
    {TEXT("hostname"), TEXT("hostname")},
};
static struct type_check checks_port[] = {
    {TEXT("port"), TEXT("port")},
};
static struct type_check checks_check[] = {
    {TEXT("interval"), TEXT("duration")},
    {TEXT("port"), TEXT("port")},
    {TEXT("timeout"), TEXT("duration")},
};
static struct type_check checks_webhook[] = {
    {TEXT("types"), TEXT("types")},
    {TEXT("url"), TEXT("weburl")},
};

#define KNOWN(type_name, key_name)                                             \
    .name = TEXT(type_name), .key = TEXT(key_name), .key_required = true,      \
    .builtin = true
#define COPIED .template_rows = true
#define CHECKS(array)                                                          \
    .checks = (array), .n_checks = sizeof(array) / sizeof((array)[0])

/* Few rules: a field is required only where its type means nothing without. */
static const struct type known[] = {
    {KNOWN("machine", "hostname"), COPIED, CHECKS(checks_machine)},
    {KNOWN("service", "name"), COPIED, CHECKS(checks_port)},
    {KNOWN("check", "name"), COPIED, CHECKS(checks_check)},
    {KNOWN("alert", "name"), COPIED},
    {KNOWN("metric", "name"), COPIED},
    {KNOWN("record", "name"), COPIED},
    {KNOWN("vip", "name"), COPIED, CHECKS(checks_port)},
    {KNOWN("config", "name"), COPIED},
    /* Not copied: one in a branch acts on everything below. */
    {KNOWN("webhook", "name"), CHECKS(checks_webhook), .required = required_url,
     .n_required = 1, .secret = secret_secret, .n_secret = 1},
};

static const char *const known_names[] = {
    "machine", "service", "check",  "alert",   "metric",
    "record",  "vip",     "config", "webhook", NULL,
};
_Static_assert(sizeof known_names / sizeof known_names[0] ==
                   sizeof known / sizeof known[0] + 1,
               "a built-in type lacks its name");

const char *const *type_kinds(void)
{
    return value_kinds();
}

const char *const *type_builtin_names(void)
{
    return known_names;
}

static struct type *plain_type(struct arena *arena, struct str name)
{
    struct type *type = arena_zero(arena, sizeof *type);

    type->name = arena_str(arena, name);
    type->key = STR("name");
    type->template_rows = true;
    return type;
}

const struct type *type_default(struct arena *arena, struct str name)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (str_equal(known[i].name, name)) {
            return &known[i];
        }
    }
    return plain_type(arena, name);
}

/* ---- reading a definition ---- */

struct reader {
    struct arena *arena;
    struct type *type;
    bool key_required_given;
    struct row_error *error;
};

static int refuse(struct reader *reader, struct str field, const char *what)
{
    *reader->error = (struct row_error){field, str_of(what)};
    return ERR_INVALID;
}

static bool is_field(struct str name)
{
    return name.n > 0 && name.p[0] != '_';
}

static int read_key(struct reader *reader, const struct json *value)
{
    if (value->kind == JSON_NULL) {
        reader->type->key = STR_NONE;
        return 0;
    }
    if (value->kind != JSON_STRING || !is_field(value->text)) {
        return refuse(reader, STR("key"),
                      "must be the name of a field or null");
    }
    reader->type->key = value->text;
    /* Who names a key wants it there; "key_required" may still say no. */
    if (!reader->key_required_given) {
        reader->type->key_required = true;
    }
    return 0;
}

static int read_bool(struct reader *reader, const struct json *value,
                     bool *ret_bool)
{
    return json_bool(value, ret_bool) == 0
               ? 0
               : refuse(reader, value->key, "must be true or false");
}

static int read_key_required(struct reader *reader, const struct json *value)
{
    reader->key_required_given = true;
    return read_bool(reader, value, &reader->type->key_required);
}

static int read_template(struct reader *reader, const struct json *value)
{
    return read_bool(reader, value, &reader->type->template_rows);
}

static int read_fields(struct reader *reader, const struct json *value,
                       struct str **ret_fields, size_t *ret_n)
{
    struct str *fields = NULL;
    size_t n = 0;

    if (value->kind != JSON_ARRAY || value->n > ROW_KEYS_MAX) {
        return refuse(reader, value->key, "must be an array of 0 to 128 names");
    }
    fields = arena_alloc(reader->arena, value->n * sizeof *fields);
    for (const struct json *m = value->first; m != NULL; m = m->next) {
        if (m->kind != JSON_STRING || !is_field(m->text)) {
            return refuse(reader,
                          arena_printf(reader->arena, "%.*s[%zu]",
                                       STR_ARG(value->key), n),
                          "must be the name of a field");
        }
        fields[n++] = m->text;
    }
    *ret_fields = fields;
    *ret_n = n;
    return 0;
}

static int read_required(struct reader *reader, const struct json *value)
{
    return read_fields(reader, value, &reader->type->required,
                       &reader->type->n_required);
}

static int read_secret(struct reader *reader, const struct json *value)
{
    return read_fields(reader, value, &reader->type->secret,
                       &reader->type->n_secret);
}

static int read_checks(struct reader *reader, const struct json *value)
{
    struct type_check *checks = NULL;
    size_t n = 0;

    if (value->kind != JSON_OBJECT || value->n > ROW_KEYS_MAX) {
        return refuse(reader, value->key,
                      "must be an object of 0 to 128 fields and their kinds");
    }
    checks = arena_alloc(reader->arena, value->n * sizeof *checks);
    for (const struct json *m = value->first; m != NULL; m = m->next) {
        struct buf path = {0};
        buf_add_text(&path, "checks.");
        buf_add_str(&path, m->key);
        struct str field = arena_take(reader->arena, &path);
        if (!is_field(m->key)) {
            return refuse(reader, field, "is no name of a field");
        }
        if (m->kind != JSON_STRING || !value_is_kind(m->text)) {
            return refuse(reader, field,
                          "must be one of int, number, bool, port, ip, ipv4, "
                          "ipv6, cidr, hostname, url, weburl, types, duration, "
                          "time");
        }
        checks[n++] = (struct type_check){m->key, m->text};
    }
    reader->type->checks = checks;
    reader->type->n_checks = n;
    return 0;
}

/* What GET shows can be sent back, as with a row's `_id`. */
static int read_name(struct reader *reader, const struct json *value)
{
    if (value->kind != JSON_STRING ||
        !str_equal(value->text, reader->type->name)) {
        return refuse(reader, STR("name"), "must be the name in the path");
    }
    return 0;
}

static int read_builtin(struct reader *reader, const struct json *value)
{
    bool ignored = false;

    return read_bool(reader, value, &ignored);
}

static int read_member(struct reader *reader, const struct json *member)
{
    static const struct {
        const char *name;
        int (*read)(struct reader *reader, const struct json *value);
    } members[] = {
        {"key", read_key},           {"key_required", read_key_required},
        {"required", read_required}, {"checks", read_checks},
        {"template", read_template}, {"secret", read_secret},
        {"name", read_name},         {"builtin", read_builtin},
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (str_is(member->key, members[i].name)) {
            return members[i].read(reader, member);
        }
    }
    return refuse(reader, member->key, "is no member of a type");
}

static int check_type(struct reader *reader)
{
    const struct type *type = reader->type;

    if (type->key.p == NULL && type->key_required) {
        return refuse(reader, STR("key_required"), "needs a key");
    }
    for (size_t i = 0; i < type->n_secret; i++) {
        if (type->key.p != NULL && str_equal(type->secret[i], type->key)) {
            return refuse(reader, STR("secret"), "must not hold the key");
        }
    }
    return 0;
}

int type_read(struct arena *arena, struct str name, const struct json *body,
              struct type **ret_type, struct row_error *ret_error)
{
    struct reader reader = {
        .arena = arena, .type = plain_type(arena, name), .error = ret_error};

    if (body->kind != JSON_OBJECT) {
        return refuse(&reader, STR(""), "must be an object");
    }
    for (const struct json *m = body->first; m != NULL; m = m->next) {
        int r = read_member(&reader, m);
        if (r != 0) {
            return r;
        }
    }
    int r = check_type(&reader);
    if (r == 0) {
        *ret_type = reader.type;
    }
    return r;
}

/* ---- writing a definition ---- */

static void add_member(struct buf *buf, const char *name)
{
    buf_add_char(buf, ',');
    json_add_string(buf, str_of(name));
    buf_add_char(buf, ':');
}

static void add_bool(struct buf *buf, const char *name, bool value)
{
    add_member(buf, name);
    buf_add_text(buf, value ? "true" : "false");
}

static void add_fields(struct buf *buf, const char *name,
                       const struct str *fields, size_t n)
{
    add_member(buf, name);
    buf_add_char(buf, '[');
    for (size_t i = 0; i < n; i++) {
        buf_add_text(buf, i > 0 ? "," : "");
        json_add_string(buf, fields[i]);
    }
    buf_add_char(buf, ']');
}

static void add_checks(struct buf *buf, const struct type *type)
{
    add_member(buf, "checks");
    buf_add_char(buf, '{');
    for (size_t i = 0; i < type->n_checks; i++) {
        buf_add_text(buf, i > 0 ? "," : "");
        json_add_string(buf, type->checks[i].field);
        buf_add_char(buf, ':');
        json_add_string(buf, type->checks[i].kind);
    }
    buf_add_char(buf, '}');
}

void type_write(struct buf *buf, const struct type *type)
{
    buf_add_text(buf, "{\"name\":");
    json_add_string(buf, type->name);
    add_member(buf, "key");
    if (type->key.p == NULL) {
        buf_add_text(buf, "null");
    } else {
        json_add_string(buf, type->key);
    }
    add_bool(buf, "key_required", type->key_required);
    add_fields(buf, "required", type->required, type->n_required);
    add_checks(buf, type);
    add_bool(buf, "template", type->template_rows);
    add_fields(buf, "secret", type->secret, type->n_secret);
    add_bool(buf, "builtin", type->builtin);
    buf_add_char(buf, '}');
}

/* ---- does a row keep the rules ---- */

static int refuse_row(struct row_error *error, struct arena *arena,
                      struct str field, const char *what)
{
    *error = (struct row_error){arena_str(arena, field), str_of(what)};
    return ERR_INVALID;
}

static int check_key(struct arena *arena, const struct type *type,
                     struct str fields, struct row_error *error)
{
    if (type->key.p == NULL) {
        return 0;
    }
    struct str key = row_get_text(arena, fields, type->key);
    if (key.p == NULL) {
        return !type->key_required
                   ? 0
                   : refuse_row(error, arena, type->key,
                                "is required: it is the primary key");
    }
    return name_is_key(key)
               ? 0
               : refuse_row(error, arena, type->key,
                            "must be 1 to 255 bytes and not look like an id: "
                            "it is the primary key");
}

/* A secret that is masked was checked when it came. */
static bool is_masked(const struct type *type, struct str field,
                      struct str value)
{
    for (size_t i = 0; i < type->n_secret; i++) {
        if (str_equal(type->secret[i], field)) {
            return str_is(value, ROW_MASK);
        }
    }
    return false;
}

static int check_value(struct arena *arena, const struct type *type,
                       const struct type_check *check, struct str fields,
                       struct row_error *error)
{
    struct str value = row_get_text(arena, fields, check->field);

    if (value.p == NULL || is_masked(type, check->field, value)) {
        return 0;
    }
    const char *what = value_check(check->kind, value);
    return what == NULL ? 0 : refuse_row(error, arena, check->field, what);
}

int type_validate(struct arena *arena, const struct type *type,
                  struct str fields, struct row_error *ret_error)
{
    int r = check_key(arena, type, fields, ret_error);

    for (size_t i = 0; r == 0 && i < type->n_required; i++) {
        if (row_get(fields, type->required[i]).p == NULL) {
            r = refuse_row(ret_error, arena, type->required[i], "is required");
        }
    }
    for (size_t i = 0; r == 0 && i < type->n_checks; i++) {
        r = check_value(arena, type, &type->checks[i], fields, ret_error);
    }
    return r;
}

struct str type_key_of(struct arena *arena, const struct type *type,
                       struct str fields)
{
    return type->key.p == NULL ? STR_NONE
                               : row_get_text(arena, fields, type->key);
}
