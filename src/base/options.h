/* Settings from one table: flags > environment > one file > defaults.
 *
 * Each program has one table; it makes the command line, the ROSTER_*
 * environment, the `key = value` file (--config), --help and the errors. An
 * unknown name is an error that says where it stood and what was meant. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

enum option_kind {
    OPTION_TEXT,     /* target: char *, from the heap (mem_text) or NULL */
    OPTION_FLAG,     /* target: bool */
    OPTION_NUMBER,   /* target: uint64_t, least..most */
    OPTION_BYTES,    /* target: uint64_t, "64MiB", "8M", "1024" */
    OPTION_DURATION, /* target: uint64_t ms, "5s" */
    OPTION_MAP,      /* target: struct option_map, repeatable NAME=VALUE */
};

struct option_map {
    struct {
        char *name;
        char *value;
    } * items;
    size_t n;
};

struct option {
    const char *name; /* "data-dir": --data-dir, ROSTER_DATA_DIR, data-dir = */
    enum option_kind kind;
    void *target;           /* holds the default when options_read is called */
    uint64_t least, most;   /* most 0: no upper bound */
    const char *value_name; /* for --help: "DIR" */
    const char *help;
};

struct options {
    const char *program;
    const char *usage;          /* one line behind "Usage: " */
    const char *about;          /* paragraphs; " ..." lines stay */
    const struct option *table; /* ends with name == NULL */
};

/* A settings file has one `name = value` a line; a blank and # start a comment,
 * a value may stand in double quotes. One entry of a map is `field.rack = r7`;
 * its variable holds a NAME=VALUE per line. Maps of all sources are merged, by
 * name. --config, --help and --version need no place in the table. A ROSTER_
 * variable that is another roster program's, or empty, is ignored. */
enum options_outcome { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* Reads file, environment and command line into the targets; --help and
 * --version print and say EXIT_OK; an error prints to stderr and says
 * EXIT_USAGE. Positional arguments are kept in order in ret_args, which has
 * room for argc of them (lent from argv; both NULL when none are taken: then
 * one is an error). "--" ends the options. Call options_done after any
 * outcome. */
enum options_outcome options_read(const struct options *options, int argc,
                                  char **argv, char **ret_args,
                                  size_t *ret_n_args) MUST_USE;
void options_help(const struct options *options, FILE *out);
/* The options as a list of mdoc(7), for the manual page; also what --manual
 * prints, which the build asks each program for. */
void options_manual(const struct options *options, FILE *out);
/* Three more names that every program has, beside its table. Ends with name ==
 * NULL; one without help is not for people. */
extern const struct option options_built_in[];
/* As a person would type it: "30s", "64MiB". */
void options_add_number(struct buf *out, enum option_kind kind,
                        uint64_t number);
/* Frees what OPTION_TEXT and OPTION_MAP targets hold. */
void options_done(const struct options *options);

#endif
