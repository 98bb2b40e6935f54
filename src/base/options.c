#include "base/options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/near.h"
#include "base/options_inside.h"

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

void options_complain(const struct options *options, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s: ", options->program);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

const struct option *options_find(const struct option *table, struct str name)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        if (str_is(name, o->name)) {
            return o;
        }
    }
    return NULL;
}

const char *options_nearest(const struct options *options, struct str wrong)
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
    const char *meant = options_nearest(options, name);
    if (meant != NULL) {
        options_complain(options, "unknown option --%.*s: did you mean --%s?",
                         STR_ARG(name), meant);
    } else {
        options_complain(options, "unknown option --%.*s; --help lists them",
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
        options_complain(walk->options,
                         "unknown option %s: options start with --", arg);
        return ERR_INVALID;
    }
    struct str name = {arg + 2, strcspn(arg + 2, "=")};
    word.option = options_find(walk->options->table, name);
    if (word.option == NULL) {
        word.option = options_find(options_built_in, name);
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
        options_complain(walk->options, "--%s needs a value",
                         word.option->name);
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
            options_complain(options, "takes no argument '%s'; try --help",
                             word.arg);
            good = false;
        } else if (word.option == NULL) {
            ret_args[n_args++] = word.arg;
        } else if (word.option->target != NULL) {
            buf_clear(&where);
            buf_printf(&where, "--%s", word.option->name);
            good =
                options_set(options, word.option, buf_text(&where), word.value);
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
    const char *file = getenv(OPTIONS_ENV "CONFIG");

    assert((ret_args == NULL) == (ret_n_args == NULL));
    enum options_outcome ahead = look_ahead(options, argc, argv, &file);
    if (ahead != OPTIONS_RUN) {
        return ahead;
    }
    /* Weakest first: each source overwrites what the one before it said. */
    if ((file != NULL && file[0] != '\0' &&
         !options_read_file(options, file)) ||
        !options_read_environment(options) ||
        !read_arguments(options, argc, argv, ret_args, ret_n_args)) {
        return OPTIONS_EXIT_USAGE;
    }
    return OPTIONS_RUN;
}
