/* The command line for people and scripts. One table of verbs (verbs.c); each
 * makes one request and prints the answer as a table, or as JSON (--json). */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "roster.h"

/* What the program ends with. */
enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1,
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3, /* or the outcome of a change is unknown */
};

/* What a verb runs with. All lent. */
struct cli {
    struct roster *roster;
    char **args; /* behind the verb */
    size_t n_args;
    bool json;
    bool leaf;
    bool branch;
    const char *match;
};

struct cli_verb {
    const char *name;
    const char *args; /* for people: "NS TYPE ID" */
    const char *help;
    size_t least, most; /* how many arguments */
    enum cli_exit (*run)(struct cli *cli);
};

/* Ends with name == NULL. */
extern const struct cli_verb cli_verbs[];

int cli_main(int argc, char **argv);

#endif
