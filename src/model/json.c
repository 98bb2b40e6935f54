#include "model/json.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/utf8.h"

/* Where a value stands: the way up to the body, kept on the stack of the
 * recursion, so that it costs nothing until an error needs its name. */
struct place {
    const struct place *up; /* NULL: the body itself. */
    struct str key;         /* p == NULL: an element of an array, */
    size_t index;           /* this one. */
};

/* Works on a copy of the text in the arena: strings are decoded in place
 * (no escape is shorter than what it means), so all nodes point into the copy
 * and an offset into it is an offset into the text. */
struct parser {
    struct arena *arena;
    const char *start;
    char *at;
    const char *end;
    size_t depth; /* Open arrays and objects. */
    bool in_key;
    struct json_error *error;
};

static struct str path_of(struct arena *arena, const struct place *place)
{
    const struct place *steps[JSON_DEPTH_MAX];
    size_t n = 0;
    struct buf path = {0};

    for (; place->up != NULL; place = place->up) {
        assert(n < JSON_DEPTH_MAX);
        steps[n++] = place;
    }
    while (n-- > 0) {
        if (steps[n]->key.p == NULL) {
            buf_printf(&path, "[%zu]", steps[n]->index);
            continue;
        }
        if (path.n > 0) {
            buf_add_char(&path, '.');
        }
        buf_add_str(&path, steps[n]->key);
    }
    return arena_take(arena, &path);
}

static int refuse_at(struct parser *p, const struct place *place,
                     const char *at, struct str what)
{
    *p->error = (struct json_error){
        .offset = (size_t)(at - p->start),
        .path = path_of(p->arena, place),
        .what = arena_printf(p->arena, "%.*s%s", STR_ARG(what),
                             p->in_key ? " in a key" : ""),
    };
    return ERR_INVALID;
}

static int refuse(struct parser *p, const struct place *place, const char *what)
{
    return refuse_at(p, place, p->at, str_of(what));
}

static int refuse_early_end(struct parser *p, const struct place *place)
{
    return refuse(p, place, "ends too early");
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' ||
                              *p->at == '\n' || *p->at == '\r')) {
        p->at++;
    }
}

/* Steps over `c` and the space before it, when it comes next. */
static bool take(struct parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || *p->at != c) {
        return false;
    }
    p->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Steps over one \uXXXX, when it comes next. */
static bool take_unit(struct parser *p, uint32_t *ret_unit)
{
    uint32_t unit = 0;

    if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u') {
        return false;
    }
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_digit(p->at[i]);
        if (digit < 0) {
            return false;
        }
        unit = unit << 4 | (uint32_t)digit;
    }
    p->at += 6;
    *ret_unit = unit;
    return true;
}

static bool is_high(uint32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(uint32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

static int decode_unicode(struct parser *p, const struct place *place,
                          char **out)
{
    const char *at = p->at;
    uint32_t unit = 0;
    uint32_t low = 0;

    if (!take_unit(p, &unit)) {
        return refuse(p, place, "has an escape \\u without four hex digits");
    }
    if (is_low(unit) ||
        (is_high(unit) && (!take_unit(p, &low) || !is_low(low)))) {
        return refuse_at(
            p, place, at,
            arena_printf(p->arena, "has a lone surrogate \\u%04x", unit));
    }
    if (is_high(unit)) {
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    *out += utf8_put(*out, unit);
    return 0;
}

static int decode_escape(struct parser *p, const struct place *place,
                         char **out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";

    if (p->end - p->at < 2) {
        return refuse_early_end(p, place);
    }
    if (p->at[1] == 'u') {
        return decode_unicode(p, place, out);
    }
    const char *name = memchr(names, p->at[1], sizeof names - 1);
    if (name == NULL) {
        return refuse(p, place, "has an unknown escape after a backslash");
    }
    *(*out)++ = bytes[name - names];
    p->at += 2;
    return 0;
}

/* What is neither plain ASCII nor an escape. */
static int decode_byte(struct parser *p, const struct place *place, char **out)
{
    struct str rest = {p->at, (size_t)(p->end - p->at)};

    if ((unsigned char)*p->at < 0x20) {
        return refuse(p, place, "has a control character that is not escaped");
    }
    size_t step = utf8_step(rest);
    if (step == 0) {
        return refuse(p, place, "is not valid UTF-8");
    }
    memmove(*out, p->at, step);
    *out += step;
    p->at += step;
    return 0;
}

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void decode_plain(struct parser *p, char **out)
{
    char *from = p->at;
    char *to = from; /* not p->at: any of the bytes could be a part of `p` */

    while (to < p->end && is_plain(*to)) {
        to++;
    }
    size_t n = (size_t)(to - from);
    if (*out != from) {
        memmove(*out, from, n);
    }
    *out += n;
    p->at = to;
}

/* `at` stands behind the opening quote. */
static int parse_string(struct parser *p, const struct place *place,
                        struct str *ret_text)
{
    char *first = p->at;
    char *out = p->at;

    for (;;) {
        decode_plain(p, &out);
        if (p->at == p->end) {
            return refuse_early_end(p, place);
        }
        if (*p->at == '"') {
            break;
        }
        int r = *p->at == '\\' ? decode_escape(p, place, &out)
                               : decode_byte(p, place, &out);
        if (r != 0) {
            return r;
        }
    }
    p->at++;
    *ret_text = (struct str){first, (size_t)(out - first)};
    return 0;
}

static size_t digits_from(struct str text, size_t at)
{
    size_t n = 0;

    while (at + n < text.n && text.p[at + n] >= '0' && text.p[at + n] <= '9') {
        n++;
    }
    return n;
}

/* Length of the number that text starts with; 0 when it is none. */
static size_t number_length(struct str text)
{
    size_t at = text.n > 0 && text.p[0] == '-' ? 1 : 0;
    size_t n = digits_from(text, at);

    if (n == 0 || (n > 1 && text.p[at] == '0')) {
        return 0;
    }
    at += n;
    if (at < text.n && text.p[at] == '.') {
        n = digits_from(text, ++at);
        if (n == 0) {
            return 0;
        }
        at += n;
    }
    if (at < text.n && (text.p[at] == 'e' || text.p[at] == 'E')) {
        at++;
        if (at < text.n && (text.p[at] == '+' || text.p[at] == '-')) {
            at++;
        }
        n = digits_from(text, at);
        if (n == 0) {
            return 0;
        }
        at += n;
    }
    return at;
}

bool json_is_number(struct str text)
{
    return text.n > 0 && number_length(text) == text.n;
}

static int parse_number(struct parser *p, const struct place *place,
                        struct json *value)
{
    size_t n = number_length((struct str){p->at, (size_t)(p->end - p->at)});

    if (n == 0) {
        return refuse(p, place, "is not a number as JSON writes them");
    }
    value->kind = JSON_NUMBER;
    value->text = (struct str){p->at, n};
    p->at += n;
    return 0;
}

static int parse_word(struct parser *p, const struct place *place,
                      struct json *value)
{
    static const struct {
        struct str word;
        enum json_kind kind;
    } words[] = {{{"null", 4}, JSON_NULL},
                 {{"false", 5}, JSON_FALSE},
                 {{"true", 4}, JSON_TRUE}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = words[i].word.n;
        if ((size_t)(p->end - p->at) >= n &&
            memcmp(p->at, words[i].word.p, n) == 0) {
            value->kind = words[i].kind;
            p->at += n;
            return 0;
        }
    }
    return refuse(p, place, "is not JSON");
}

static int compare_keys(const void *a, const void *b)
{
    const struct json *const *left = a;
    const struct json *const *right = b;
    int r = str_compare((*left)->key, (*right)->key);

    /* Equal keys in the order given. */
    return r != 0 ? r : ((*left)->key.p > (*right)->key.p ? 1 : -1);
}

/* Sorted, not hashed: nobody can choose keys that make this slow. */
static int check_unique(struct parser *p, const struct place *place,
                        const struct json *object)
{
    const struct json **members =
        arena_alloc(p->arena, object->n * sizeof(struct json *));
    const struct json *twice = NULL;
    size_t n = 0;

    for (const struct json *m = object->first; m != NULL; m = m->next) {
        members[n++] = m;
    }
    qsort(members, n, sizeof(struct json *), compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (str_equal(members[i - 1]->key, members[i]->key) &&
            (twice == NULL || members[i]->key.p < twice->key.p)) {
            twice = members[i];
        }
    }
    if (twice == NULL) {
        return 0;
    }
    struct place here = {.up = place, .key = twice->key};
    return refuse_at(p, &here, twice->key.p, STR("is given twice"));
}

static int parse_value(struct parser *p, const struct place *place,
                       struct json **ret_value);

static int parse_array(struct parser *p, const struct place *place,
                       struct json *array)
{
    struct json **link = &array->first;

    array->kind = JSON_ARRAY;
    if (take(p, ']')) {
        return 0;
    }
    for (;;) {
        struct place here = {.up = place, .index = array->n};
        int r = parse_value(p, &here, link);
        if (r != 0) {
            return r;
        }
        array->n++;
        link = &(*link)->next;
        if (take(p, ']')) {
            return 0;
        }
        if (!take(p, ',')) {
            return refuse(p, place, "lacks a ',' or ']'");
        }
    }
}

static int parse_member(struct parser *p, const struct place *object,
                        struct json **ret_member)
{
    struct place here = {.up = object};

    if (!take(p, '"')) {
        return refuse(p, object, "lacks a key in double quotes");
    }
    p->in_key = true;
    int r = parse_string(p, object, &here.key);
    p->in_key = false;
    if (r != 0) {
        return r;
    }
    if (!take(p, ':')) {
        return refuse(p, &here, "lacks a ':' after its key");
    }
    r = parse_value(p, &here, ret_member);
    if (r == 0) {
        (*ret_member)->key = here.key;
    }
    return r;
}

static int parse_object(struct parser *p, const struct place *place,
                        struct json *object)
{
    struct json **link = &object->first;

    object->kind = JSON_OBJECT;
    if (take(p, '}')) {
        return 0;
    }
    for (;;) {
        int r = parse_member(p, place, link);
        if (r != 0) {
            return r;
        }
        object->n++;
        link = &(*link)->next;
        if (take(p, '}')) {
            return object->n < 2 ? 0 : check_unique(p, place, object);
        }
        if (!take(p, ',')) {
            return refuse(p, place, "lacks a ',' or '}'");
        }
    }
}

/* The depth bounds the recursion, and with it the stack. */
static int parse_nested(struct parser *p, const struct place *place,
                        struct json *value)
{
    if (p->depth == JSON_DEPTH_MAX) {
        return refuse(p, place, "is nested deeper than 16 levels");
    }
    p->depth++;
    int r = *p->at++ == '[' ? parse_array(p, place, value)
                            : parse_object(p, place, value);
    p->depth--;
    return r;
}

/* Links the value only when it is whole. */
static int parse_value(struct parser *p, const struct place *place,
                       struct json **ret_value)
{
    struct json *value = arena_zero(p->arena, sizeof *value);
    int r = 0;

    skip_space(p);
    if (p->at == p->end) {
        return refuse_early_end(p, place);
    }
    if (*p->at == '{' || *p->at == '[') {
        r = parse_nested(p, place, value);
    } else if (*p->at == '"') {
        p->at++;
        value->kind = JSON_STRING;
        r = parse_string(p, place, &value->text);
    } else if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9')) {
        r = parse_number(p, place, value);
    } else {
        r = parse_word(p, place, value);
    }
    if (r == 0) {
        *ret_value = value;
    }
    return r;
}

int json_parse(struct arena *arena, struct str text, struct json **ret_root,
               struct json_error *ret_error)
{
    char *copy = arena_text(arena, text);
    struct parser p = {.arena = arena,
                       .start = copy,
                       .at = copy,
                       .end = copy + text.n,
                       .error = ret_error};
    struct place body = {0};
    struct json *root = NULL;

    int r = parse_value(&p, &body, &root);
    if (r != 0) {
        return r;
    }
    skip_space(&p);
    if (p.at != p.end) {
        return refuse(&p, &body, "has more behind its end");
    }
    *ret_root = root;
    return 0;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (object->kind != JSON_OBJECT) {
        return NULL;
    }
    const struct json *member = object->first;
    while (member != NULL && !str_is(member->key, key)) {
        member = member->next;
    }
    return member;
}

int json_u64(const struct json *value, uint64_t *ret_number)
{
    if (value->kind != JSON_NUMBER) {
        return ERR_INVALID;
    }
    return str_number(value->text, (UINT64_C(1) << 53) - 1, ret_number);
}

int json_bool(const struct json *value, bool *ret_bool)
{
    if (value->kind != JSON_TRUE && value->kind != JSON_FALSE) {
        return ERR_INVALID;
    }
    *ret_bool = value->kind == JSON_TRUE;
    return 0;
}

static void add_escaped(struct buf *buf, unsigned char c)
{
    static const char bytes[] = "\"\\\b\t\n\f\r";
    static const char names[] = "\"\\btnfr";
    const char *found = memchr(bytes, c, sizeof bytes - 1);

    if (found == NULL) {
        static const char hex[] = "0123456789abcdef";
        const char code[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_add(buf, code, sizeof code);
        return;
    }
    buf_add_char(buf, '\\');
    buf_add_char(buf, names[found - bytes]);
}

void json_add_string(struct buf *buf, struct str text)
{
    size_t plain = 0; /* From here to i nothing needs an escape. */

    buf_add_char(buf, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buf_add(buf, text.p + plain, i - plain);
        add_escaped(buf, c);
        plain = i + 1;
    }
    if (text.n > plain) {
        buf_add(buf, text.p + plain, text.n - plain);
    }
    buf_add_char(buf, '"');
}
