#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/options_inside.h"

static struct str trim(struct str s)
{
    while (s.n > 0 && isspace((unsigned char)s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* A value ends at a blank with # behind it, unless it stands in quotes: a #
 * inside a word (a colour, a URL's fragment) belongs to it. */
static struct str file_value(struct str s)
{
    s = trim(s);
    if (s.n > 1 && s.p[0] == '"') {
        const char *end = memchr(s.p + 1, '"', s.n - 1);
        if (end != NULL) {
            struct str rest =
                trim((struct str){end + 1, s.n - (size_t)(end + 1 - s.p)});
            if (rest.n == 0 || rest.p[0] == '#') {
                return (struct str){s.p + 1, (size_t)(end - s.p) - 1};
            }
        }
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '#' && (i == 0 || isspace((unsigned char)s.p[i - 1]))) {
            return trim((struct str){s.p, i});
        }
    }
    return s;
}

static void unknown_in_file(const struct options *options, const char *at,
                            struct str name)
{
    const char *meant = options_nearest(options, name);
    if (meant != NULL) {
        options_complain(options,
                         "%s: unknown setting '%.*s': did you mean '%s'?", at,
                         STR_ARG(name), meant);
    } else {
        options_complain(options,
                         "%s: unknown setting '%.*s'; --help lists them", at,
                         STR_ARG(name));
    }
}

static bool read_line(const struct options *options, const char *at,
                      struct str line)
{
    const char *equals = NULL;
    struct buf where = {0};
    bool good = false;

    line = trim(line);
    if (line.n == 0 || line.p[0] == '#') {
        return true;
    }
    equals = memchr(line.p, '=', line.n);
    if (equals == NULL || memchr(line.p, '\0', line.n) != NULL) {
        options_complain(options, "%s: expected 'name = value'", at);
        return false;
    }
    struct str name = trim((struct str){line.p, (size_t)(equals - line.p)});
    struct str value = file_value(
        (struct str){equals + 1, line.n - (size_t)(equals + 1 - line.p)});
    const struct option *option = options_find(options->table, name);
    if (option != NULL) {
        buf_printf(&where, "%s: %s", at, option->name);
        good = options_set(options, option, buf_text(&where), value);
        buf_done(&where);
        return good;
    }
    /* field.rack = r7 is one entry of the map option `field`. */
    const char *dot = name.n == 0 ? NULL : memchr(name.p, '.', name.n);
    if (dot != NULL) {
        size_t n = (size_t)(dot - name.p);
        option = options_find(options->table, (struct str){name.p, n});
        if (option != NULL && option->kind == OPTION_MAP && n + 1 < name.n) {
            options_map_set(option->target,
                            (struct str){dot + 1, name.n - n - 1}, value);
            return true;
        }
    }
    unknown_in_file(options, at, name);
    return false;
}

bool options_read_file(const struct options *options, const char *path)
{
    FILE *file = fopen(path, "re");
    struct buf at = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    bool good = true;

    if (file == NULL) {
        options_complain(options, "cannot open the settings file %s: %s", path,
                         strerror(errno));
        return false;
    }
    for (uint64_t number = 1; good && (n = getline(&line, &room, file)) >= 0;
         number++) {
        buf_clear(&at);
        buf_printf(&at, "%s:%llu", path, (unsigned long long)number);
        good = read_line(options, buf_text(&at), (struct str){line, (size_t)n});
    }
    if (good && ferror(file) != 0) {
        options_complain(options, "cannot read the settings file %s: %s", path,
                         strerror(errno));
        good = false;
    }
    free(line);
    buf_done(&at);
    (void)fclose(file);
    return good;
}
