#include <ctype.h>

#include "base/err.h"
#include "base/options_inside.h"

static int parse_bytes(struct str text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0},     {"B", 0},  {"K", 10},   {"KiB", 10}, {"M", 20},
                 {"MiB", 20}, {"G", 30}, {"GiB", 30}, {"T", 40},   {"TiB", 40}};
    size_t digits = 0;
    uint64_t number = 0;

    while (digits < text.n && isdigit((unsigned char)text.p[digits])) {
        digits++;
    }
    int r = str_number((struct str){text.p, digits}, UINT64_MAX, &number);
    if (r != 0) {
        return r;
    }
    struct str unit = {text.p + digits, text.n - digits};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (str_is(unit, units[i].unit)) {
            if (number > UINT64_MAX >> units[i].shift) {
                return ERR_INVALID;
            }
            *ret_bytes = number << units[i].shift;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int parse_flag(struct str text, bool *ret_flag)
{
    if (str_is(text, "true") || str_is(text, "yes") || str_is(text, "on") ||
        str_is(text, "1")) {
        *ret_flag = true;
        return 0;
    }
    if (str_is(text, "false") || str_is(text, "no") || str_is(text, "off") ||
        str_is(text, "0")) {
        *ret_flag = false;
        return 0;
    }
    return ERR_INVALID;
}

void options_map_set(struct option_map *map, struct str name, struct str value)
{
    char *copy = mem_alloc(value.n + 1);

    memcpy(copy, value.p, value.n);
    copy[value.n] = '\0';
    for (size_t i = 0; i < map->n; i++) {
        if (str_is(name, map->items[i].name)) {
            (void)mem_free(map->items[i].value);
            map->items[i].value = copy;
            return;
        }
    }
    map->items = mem_grow(map->items, (map->n + 1) * sizeof map->items[0]);
    map->items[map->n].name = mem_alloc(name.n + 1);
    memcpy(map->items[map->n].name, name.p, name.n);
    map->items[map->n].name[name.n] = '\0';
    map->items[map->n].value = copy;
    map->n++;
}

static int parse_pair(struct str text, struct option_map *map)
{
    const char *equals = text.n == 0 ? NULL : memchr(text.p, '=', text.n);
    if (equals == NULL || equals == text.p) {
        return ERR_INVALID;
    }
    size_t n = (size_t)(equals - text.p);
    options_map_set(map, (struct str){text.p, n},
                    (struct str){equals + 1, text.n - n - 1});
    return 0;
}

static const char *expected(enum option_kind kind)
{
    switch (kind) {
    case OPTION_FLAG:
        return "true or false";
    case OPTION_NUMBER:
        return "a whole number";
    case OPTION_BYTES:
        return "a size such as 4096, 512KiB or 64MiB";
    case OPTION_DURATION:
        return "a duration such as 500ms, 10s, 5m or 24h";
    case OPTION_MAP:
        return "NAME=VALUE";
    case OPTION_TEXT:
        break;
    }
    return "text";
}

void options_add_number(struct buf *out, enum option_kind kind, uint64_t number)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } sizes[] = {{1ull << 30, "GiB"}, {1ull << 20, "MiB"}, {1024, "KiB"}},
      times[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}};

    for (size_t i = 0; i < 3 && number > 0; i++) {
        if (kind == OPTION_BYTES && number % sizes[i].unit == 0) {
            buf_add_u64(out, number / sizes[i].unit);
            buf_add_text(out, sizes[i].name);
            return;
        }
        if (kind == OPTION_DURATION && number % times[i].unit == 0) {
            buf_add_u64(out, number / times[i].unit);
            buf_add_text(out, times[i].name);
            return;
        }
    }
    buf_add_u64(out, number);
    if (kind == OPTION_DURATION) {
        buf_add_text(out, "ms");
    }
}

static bool in_range(const struct options *options, const char *where,
                     const struct option *option, uint64_t number)
{
    struct buf text = {0};

    if (number >= option->least &&
        (option->most == 0 || number <= option->most)) {
        return true;
    }
    if (option->most == 0) {
        buf_add_text(&text, "at least ");
        options_add_number(&text, option->kind, option->least);
    } else {
        buf_add_text(&text, "between ");
        options_add_number(&text, option->kind, option->least);
        buf_add_text(&text, " and ");
        options_add_number(&text, option->kind, option->most);
    }
    options_complain(options, "%s must be %s", where, buf_text(&text));
    buf_done(&text);
    return false;
}

bool options_set(const struct options *options, const struct option *option,
                 const char *where, struct str text)
{
    uint64_t number = 0;
    int r = 0;

    switch (option->kind) {
    case OPTION_TEXT: {
        char **target = option->target;
        (void)mem_free(*target);
        *target = mem_alloc(text.n + 1);
        memcpy(*target, text.p, text.n);
        (*target)[text.n] = '\0';
        return true;
    }
    case OPTION_FLAG:
        r = parse_flag(text, option->target);
        break;
    case OPTION_NUMBER:
        r = str_number(text, UINT64_MAX, &number);
        break;
    case OPTION_BYTES:
        r = parse_bytes(text, &number);
        break;
    case OPTION_DURATION:
        r = str_duration(text, &number);
        break;
    case OPTION_MAP:
        r = parse_pair(text, option->target);
        break;
    }
    if (r != 0) {
        options_complain(options, "%s: '%.*s' is not %s", where, STR_ARG(text),
                         expected(option->kind));
        return false;
    }
    if (option->kind != OPTION_FLAG && option->kind != OPTION_MAP) {
        if (!in_range(options, where, option, number)) {
            return false;
        }
        *(uint64_t *)option->target = number;
    }
    return true;
}

void options_done(const struct options *options)
{
    for (const struct option *o = options->table; o->name != NULL; o++) {
        if (o->kind == OPTION_TEXT) {
            char **target = o->target;
            *target = mem_free(*target);
        } else if (o->kind == OPTION_MAP) {
            struct option_map *map = o->target;
            for (size_t i = 0; i < map->n; i++) {
                (void)mem_free(map->items[i].name);
                (void)mem_free(map->items[i].value);
            }
            (void)mem_free(map->items);
            *map = (struct option_map){0};
        }
    }
}
