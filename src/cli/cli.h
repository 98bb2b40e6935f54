/* The command line for people and scripts. One table of verbs (verbs.c); each
 * asks a registry, or looks at a file, and prints the answer as a table, or as
 * JSON (--json). */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/options.h"
#include "roster.h"

/* What the program ends with. */
enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1, /* a server, a file or a person said no */
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3, /* or the outcome of a change is unknown */
};

/* What a verb runs with. All lent. */
struct cli {
    struct roster *roster;
    const struct option *options;
    char **args; /* behind the verb */
    size_t n_args;
    uint64_t seen; /* greatest revision that answered: reads ask for it */

    char *servers;
    char *ca, *cert, *key_file; /* files, for https */
    char *token, *token_file;
    uint64_t timeout_ms;
    uint64_t limit;
    bool json;
    bool quiet;
    bool leaf;
    bool branch;
    bool recursive;
    bool yes;
    bool dry_run;
    bool with_ids;
    bool leased;
    bool initial;
    bool no_resume;
    uint64_t count;
    char *match;
    char *comment;
    char *ns;
    char *type;
    char *key;
    char *value;
    char *mode;
    char *data_dir;
    char *where;
    char *since;
    char *for_time;
    char *reason;
    char *password_file;
    struct option_map nodes;
    char *clients;
    uint64_t days;
    char *ttl;
    char *head;
};

struct cli_verb {
    const char *name;
    const char *args;    /* for people: "NS TYPE ID" */
    const char *help;    /* one line; NULL: not for people */
    const char *options; /* names of those it takes, blanks between */
    size_t least, most;  /* how many arguments */
    enum cli_exit (*run)(struct cli *cli);
    const char *more; /* paragraphs for `roster help VERB`; NULL: none */
};

/* Ends with name == NULL. */
extern const struct cli_verb cli_verbs[];

/* NULL when there is none of that name. */
const struct cli_verb *cli_find_verb(const char *name);
/* Does the verb take the option? Those for every verb count too. */
bool cli_takes(const struct cli_verb *verb, const char *option);
/* An argument that makes no sense: prints "roster: " and the words. */
enum cli_exit cli_misused(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

int cli_main(int argc, char **argv);

#endif
