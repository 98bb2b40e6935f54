#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/near.h"

#define ENV_PREFIX "ROSTER_"

const struct option options_built_in[] = {
    {.name = "config",
     .kind = OPTION_TEXT,
     .value_name = "FILE",
     .help = "read settings from FILE: name = value, # for comments"},
    {.name = "help", .kind = OPTION_FLAG, .help = "print this and exit"},
    {.name = "version",
     .kind = OPTION_FLAG,
     .help = "print the version and exit"},
    {.name = "manual", .kind = OPTION_FLAG},
    {.name = NULL},
};

/* Names that some roster program knows. One environment is often shared by
 * several of them (a container, an operator's shell), so a variable meant for
 * another program is no mistake, while one that means nothing to any is. */
static const char *const any_program[] = {"access",
                                          "admin-token-file",
                                          "advertise",
                                          "advertise-raft",
                                          "audit",
                                          "audit-files",
                                          "audit-required",
                                          "audit-size",
                                          "branch",
                                          "breaker-hold",
                                          "breaker-min",
                                          "breaker-percent",
                                          "breaker-rate",
                                          "ca",
                                          "cache",
                                          "client",
                                          "client-cert",
                                          "client-key",
                                          "cluster",
                                          "comment",
                                          "config",
                                          "core-dumps",
                                          "count",
                                          "credential-file",
                                          "data-dir",
                                          "days",
                                          "disk-reserve",
                                          "dns",
                                          "domain",
                                          "drain",
                                          "dry-run",
                                          "field",
                                          "flap-count",
                                          "flap-window",
                                          "for",
                                          "gossip",
                                          "head",
                                          "history",
                                          "hostname",
                                          "http",
                                          "id",
                                          "initial",
                                          "insecure",
                                          "inventory",
                                          "inventory-every",
                                          "io-threads",
                                          "join",
                                          "join-token-file",
                                          "json",
                                          "keep",
                                          "key",
                                          "ldap-ca",
                                          "ldap-dn",
                                          "ldap-group-base",
                                          "ldap-group-filter",
                                          "ldap-starttls",
                                          "ldap-url",
                                          "leaf",
                                          "leased",
                                          "limit",
                                          "log-format",
                                          "log-level",
                                          "match",
                                          "max-body",
                                          "max-connections",
                                          "max-connections-address",
                                          "max-header",
                                          "max-watchers",
                                          "metrics-open",
                                          "mode",
                                          "no-resume",
                                          "node",
                                          "ns",
                                          "password-file",
                                          "quiet",
                                          "raft",
                                          "rate-address",
                                          "rate-token",
                                          "reason",
                                          "recursive",
                                          "request-timeout",
                                          "resp",
                                          "server",
                                          "session-ttl",
                                          "show-inventory",
                                          "since",
                                          "snapshot-bytes",
                                          "store-limit",
                                          "timeout",
                                          "tls-ca",
                                          "tls-cert",
                                          "tls-clients",
                                          "tls-key",
                                          "token",
                                          "token-file",
                                          "ttl",
                                          "type",
                                          "value",
                                          "voter-timeout",
                                          "voters",
                                          "webhook-allow",
                                          "where",
                                          "with-ids",
                                          "yes",
                                          NULL};

extern char **environ;

__attribute__((format(printf, 2, 3))) static void
complain(const struct options *options, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s: ", options->program);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static const struct option *find(const struct option *table, struct str name)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        if (str_is(name, o->name)) {
            return o;
        }
    }
    return NULL;
}

/* The name that was probably meant, NULL when nothing is near. */
static const char *nearest(const struct options *options, struct str wrong)
{
    struct near near = near_to(wrong);

    for (const struct option *o = options->table; o->name != NULL; o++) {
        near_try(&near, o->name);
    }
    for (const struct option *o = options_built_in; o->name != NULL; o++) {
        near_try(&near, o->name);
    }
    return near.name;
}

/* ---- one value ---- */

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

static void map_set(struct option_map *map, struct str name, struct str value)
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
    map_set(map, (struct str){text.p, n},
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
    complain(options, "%s must be %s", where, buf_text(&text));
    buf_done(&text);
    return false;
}

/* Puts `text` into the option's target. `where` starts the complaint. */
static bool set(const struct options *options, const struct option *option,
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
        complain(options, "%s: '%.*s' is not %s", where, STR_ARG(text),
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

/* ---- the file ---- */

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
    const char *meant = nearest(options, name);
    if (meant != NULL) {
        complain(options, "%s: unknown setting '%.*s': did you mean '%s'?", at,
                 STR_ARG(name), meant);
    } else {
        complain(options, "%s: unknown setting '%.*s'; --help lists them", at,
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
        complain(options, "%s: expected 'name = value'", at);
        return false;
    }
    struct str name = trim((struct str){line.p, (size_t)(equals - line.p)});
    struct str value = file_value(
        (struct str){equals + 1, line.n - (size_t)(equals + 1 - line.p)});
    const struct option *option = find(options->table, name);
    if (option != NULL) {
        buf_printf(&where, "%s: %s", at, option->name);
        good = set(options, option, buf_text(&where), value);
        buf_done(&where);
        return good;
    }
    /* field.rack = r7 is one entry of the map option `field`. */
    const char *dot = name.n == 0 ? NULL : memchr(name.p, '.', name.n);
    if (dot != NULL) {
        size_t n = (size_t)(dot - name.p);
        option = find(options->table, (struct str){name.p, n});
        if (option != NULL && option->kind == OPTION_MAP && n + 1 < name.n) {
            map_set(option->target, (struct str){dot + 1, name.n - n - 1},
                    value);
            return true;
        }
    }
    unknown_in_file(options, at, name);
    return false;
}

static bool read_file(const struct options *options, const char *path)
{
    FILE *file = fopen(path, "re");
    struct buf at = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    bool good = true;

    if (file == NULL) {
        complain(options, "cannot open the settings file %s: %s", path,
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
        complain(options, "cannot read the settings file %s: %s", path,
                 strerror(errno));
        good = false;
    }
    free(line);
    buf_done(&at);
    (void)fclose(file);
    return good;
}

/* ---- the environment ---- */

static void env_name(struct buf *out, const char *option)
{
    buf_add_text(out, ENV_PREFIX);
    for (; *option != '\0'; option++) {
        int shout = toupper((unsigned char)*option);
        buf_add_char(out, (char)(shout == '-' ? '_' : shout));
    }
}

/* Kubernetes gives every container variables that describe each service: one
 * named "roster" makes ROSTER_SERVICE_HOST, ROSTER_PORT=tcp://… and more.
 * They are not ours, and nobody there could take them away. */
static bool from_kubernetes(struct str name, const char *value)
{
    const char *port = memmem(name.p, name.n, "PORT_", 5);

    return memmem(name.p, name.n, "SERVICE_HOST", 12) != NULL ||
           memmem(name.p, name.n, "SERVICE_PORT", 12) != NULL ||
           (port != NULL && isdigit((unsigned char)port[5])) ||
           strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

static bool env_unknown(const struct options *options, struct str variable,
                        struct str name, const char *value)
{
    struct buf meant = {0};

    for (const char *const *known = any_program; *known != NULL; known++) {
        if (str_is(name, *known)) {
            return true;
        }
    }
    if (from_kubernetes(variable, value)) {
        return true;
    }
    const char *near = nearest(options, name);
    if (near != NULL) {
        env_name(&meant, near);
        complain(options, "unknown environment variable %.*s: did you mean %s?",
                 STR_ARG(variable), buf_text(&meant));
    } else {
        complain(options,
                 "unknown environment variable %.*s: unset it; --help lists "
                 "the settings",
                 STR_ARG(variable));
    }
    buf_done(&meant);
    return false;
}

/* A map's variable holds one NAME=VALUE per line. */
static bool env_set(const struct options *options, const struct option *option,
                    const char *where, const char *value)
{
    if (option->kind != OPTION_MAP) {
        return set(options, option, where, str_of(value));
    }
    for (const char *at = value; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        if (n > 0 && !set(options, option, where, (struct str){at, n})) {
            return false;
        }
        at += n + (at[n] == '\n' ? 1 : 0);
    }
    return true;
}

static bool read_variable(const struct options *options, const char *entry)
{
    const char *equals = strchr(entry, '=');
    size_t prefix = strlen(ENV_PREFIX);
    struct buf name = {0};
    struct buf where = {0};
    bool good = true;

    if (equals == NULL || strncmp(entry, ENV_PREFIX, prefix) != 0) {
        return true;
    }
    struct str variable = {entry, (size_t)(equals - entry)};
    bool shouted = true;
    for (const char *c = entry + prefix; c < equals; c++) {
        shouted = shouted && islower((unsigned char)*c) == 0;
        int quiet = tolower((unsigned char)*c);
        buf_add_char(&name, (char)(quiet == '_' ? '-' : quiet));
    }
    const struct option *option =
        shouted ? find(options->table, buf_str(&name)) : NULL;
    if (option == NULL) {
        good = env_unknown(options, variable, buf_str(&name), equals + 1);
    } else if (equals[1] != '\0') {
        /* An empty one counts as not given: that is how scripts and unit files
         * write "no value". */
        buf_add_str(&where, variable);
        good = env_set(options, option, buf_text(&where), equals + 1);
    }
    buf_done(&name);
    buf_done(&where);
    return good;
}

static bool read_environment(const struct options *options)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (!read_variable(options, *entry)) {
            return false;
        }
    }
    return true;
}

/* ---- the command line ---- */

struct walk {
    const struct options *options;
    int argc;
    char **argv;
    int at;
    bool only_args; /* behind "--" */
};

struct word {
    const struct option *option; /* NULL: a positional argument */
    char *arg;                   /* as it stood */
    struct str value;
};

static void unknown_flag(const struct options *options, struct str name)
{
    const char *meant = nearest(options, name);
    if (meant != NULL) {
        complain(options, "unknown option --%.*s: did you mean --%s?",
                 STR_ARG(name), meant);
    } else {
        complain(options, "unknown option --%.*s; --help lists them",
                 STR_ARG(name));
    }
}

/* The next word: 0, END, or INVALID after a complaint. */
static int walk_next(struct walk *walk, struct word *ret_word)
{
    if (walk->at < walk->argc && !walk->only_args &&
        strcmp(walk->argv[walk->at], "--") == 0) {
        walk->only_args = true;
        walk->at++;
    }
    if (walk->at >= walk->argc) {
        return ERR_END;
    }
    char *arg = walk->argv[walk->at++];
    struct word word = {.arg = arg};
    if (walk->only_args || arg[0] != '-' || arg[1] == '\0') {
        *ret_word = word;
        return 0;
    }
    if (arg[1] != '-') {
        complain(walk->options, "unknown option %s: options start with --",
                 arg);
        return ERR_INVALID;
    }
    struct str name = {arg + 2, strcspn(arg + 2, "=")};
    word.option = find(walk->options->table, name);
    if (word.option == NULL) {
        word.option = find(options_built_in, name);
    }
    if (word.option == NULL) {
        unknown_flag(walk->options, name);
        return ERR_INVALID;
    }
    if (name.p[name.n] == '=') {
        word.value = str_of(name.p + name.n + 1);
    } else if (word.option->kind == OPTION_FLAG) {
        word.value = STR("true");
    } else if (walk->at < walk->argc) {
        word.value = str_of(walk->argv[walk->at++]);
    } else {
        complain(walk->options, "--%s needs a value", word.option->name);
        return ERR_INVALID;
    }
    *ret_word = word;
    return 0;
}

/* Everything that must be known before the first setting is set: help and
 * version work whatever the file and the environment hold. */
static enum options_outcome look_ahead(const struct options *options, int argc,
                                       char **argv, const char **ret_file)
{
    struct walk walk = {options, argc, argv, 1, false};
    struct word word = {0};
    int r = 0;

    while ((r = walk_next(&walk, &word)) == 0) {
        if (word.option == NULL) {
            continue;
        }
        if (strcmp(word.option->name, "help") == 0) {
            options_help(options, stdout);
            return OPTIONS_EXIT_OK;
        }
        if (strcmp(word.option->name, "manual") == 0) {
            options_manual(options, stdout);
            return OPTIONS_EXIT_OK;
        }
        if (strcmp(word.option->name, "version") == 0) {
            (void)printf("%s %s\n", options->program, ROSTER_VERSION);
            return OPTIONS_EXIT_OK;
        }
        if (strcmp(word.option->name, "config") == 0) {
            *ret_file = word.value.p;
        }
    }
    return r == ERR_END ? OPTIONS_RUN : OPTIONS_EXIT_USAGE;
}

static bool read_arguments(const struct options *options, int argc, char **argv,
                           char **ret_args, size_t *ret_n_args)
{
    struct walk walk = {options, argc, argv, 1, false};
    struct word word = {0};
    struct buf where = {0};
    size_t n_args = 0;
    bool good = true;

    while (good && walk_next(&walk, &word) == 0) {
        if (word.option == NULL && ret_args == NULL) {
            complain(options, "takes no argument '%s'; try --help", word.arg);
            good = false;
        } else if (word.option == NULL) {
            ret_args[n_args++] = word.arg;
        } else if (word.option->target != NULL) {
            buf_clear(&where);
            buf_printf(&where, "--%s", word.option->name);
            good = set(options, word.option, buf_text(&where), word.value);
        }
    }
    buf_done(&where);
    if (good && ret_n_args != NULL) {
        *ret_n_args = n_args;
    }
    return good;
}

enum options_outcome options_read(const struct options *options, int argc,
                                  char **argv, char **ret_args,
                                  size_t *ret_n_args)
{
    const char *file = getenv(ENV_PREFIX "CONFIG");

    assert((ret_args == NULL) == (ret_n_args == NULL));
    enum options_outcome ahead = look_ahead(options, argc, argv, &file);
    if (ahead != OPTIONS_RUN) {
        return ahead;
    }
    /* Weakest first: each source overwrites what the one before it said. */
    if ((file != NULL && file[0] != '\0' && !read_file(options, file)) ||
        !read_environment(options) ||
        !read_arguments(options, argc, argv, ret_args, ret_n_args)) {
        return OPTIONS_EXIT_USAGE;
    }
    return OPTIONS_RUN;
}

/* ---- help ---- */

static void add_default(struct buf *line, const struct option *option)
{
    if (option->target == NULL) {
        return;
    }
    if (option->kind == OPTION_TEXT) {
        const char *text = *(char **)option->target;
        if (text != NULL && text[0] != '\0') {
            buf_printf(line, " (default %s)", text);
        }
    } else if (option->kind != OPTION_FLAG && option->kind != OPTION_MAP) {
        buf_add_text(line, " (default ");
        options_add_number(line, option->kind, *(uint64_t *)option->target);
        buf_add_char(line, ')');
    }
}

enum { HELP_COLUMN = 26, HELP_WIDTH = 79 };

/* Words of `text` between `indent` and the right edge; `column` is where the
 * line stands now. */
static void print_wrapped(FILE *out, const char *text, size_t column,
                          size_t indent)
{
    bool first = true;

    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > HELP_WIDTH) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", (int)n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
        first = false;
    }
    (void)fputc('\n', out);
}

static void print_option(FILE *out, const struct option *option)
{
    struct buf flag = {0};
    struct buf text = {0};

    buf_printf(&flag, "  --%s", option->name);
    if (option->kind != OPTION_FLAG) {
        const char *value = option->value_name;
        if (value == NULL) {
            value = option->kind == OPTION_MAP ? "NAME=VALUE" : "VALUE";
        }
        buf_printf(&flag, " %s", value);
    }
    (void)fputs(buf_text(&flag), out);
    if (flag.n + 2 > HELP_COLUMN) {
        (void)fprintf(out, "\n%*s", HELP_COLUMN, "");
    } else {
        (void)fprintf(out, "%*s", (int)(HELP_COLUMN - flag.n), "");
    }
    buf_add_text(&text, option->help);
    add_default(&text, option);
    print_wrapped(out, buf_text(&text), HELP_COLUMN, HELP_COLUMN);
    buf_done(&flag);
    buf_done(&text);
}

/* Paragraphs are wrapped; a line that starts with a blank is a picture. */
static void print_about(FILE *out, const char *about)
{
    struct buf line = {0};

    for (const char *at = about; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        buf_clear(&line);
        buf_add(&line, at, n);
        if (at[0] == ' ') {
            (void)fprintf(out, "%s\n", buf_text(&line));
        } else {
            print_wrapped(out, buf_text(&line), 0, 0);
        }
        at += n + (at[n] == '\n' ? 1 : 0);
    }
    buf_done(&line);
}

static void print_sources(FILE *out, const struct options *options)
{
    const char *name = options->table[0].name;
    struct buf text = {0};

    if (name == NULL) {
        return;
    }
    buf_printf(&text, "Each can also be set in the environment (--%s is ",
               name);
    env_name(&text, name);
    buf_printf(&text,
               ") and in the --config file (%s = ...). Flags win over "
               "the environment, that over the file.",
               name);
    (void)fputc('\n', out);
    print_wrapped(out, buf_text(&text), 0, 0);
    buf_done(&text);
}

void options_help(const struct options *options, FILE *out)
{
    (void)fprintf(out, "Usage: %s\n\n", options->usage);
    print_about(out, options->about);
    (void)fputs("\nOptions:\n", out);
    for (const struct option *o = options->table; o->name != NULL; o++) {
        print_option(out, o);
    }
    for (const struct option *o = options_built_in; o->name != NULL; o++) {
        if (o->help != NULL && find(options->table, str_of(o->name)) == NULL) {
            print_option(out, o);
        }
    }
    print_sources(out, options);
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
