#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

static enum cli_exit list(const struct cli *cli)
{
    json_t *rows = json_array();

    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->help != NULL) {
            (void)json_array_append_new(
                rows, json_pack("{s:s, s:s, s:s}", "command", verb->name,
                                "arguments", verb->args, "help", verb->help));
        }
    }
    if (cli->json) {
        print_json(rows);
    } else {
        print_table(rows);
    }
    json_decref(rows);
    return CLI_OK;
}

static void print_options(const struct cli *cli, const struct cli_verb *verb)
{
    for (const struct option *o = cli->options; o->name != NULL; o++) {
        if (cli_takes(verb, o->name)) {
            char flag[64];
            (void)snprintf(flag, sizeof flag, "--%s %s", o->name,
                           o->value_name == NULL ? "" : o->value_name);
            (void)printf("  %-24s %s\n", flag, o->help);
        }
    }
}

static enum cli_exit show(const struct cli *cli, const struct cli_verb *verb)
{
    if (cli->json) {
        json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "command", verb->name,
                                 "arguments", verb->args, "help", verb->help,
                                 "more", verb->more == NULL ? "" : verb->more);
        print_json(json);
        json_decref(json);
        return CLI_OK;
    }
    (void)printf("roster %s %s\n\n%s.\n", verb->name, verb->args, verb->help);
    if (verb->more != NULL) {
        (void)printf("\n%s\n", verb->more);
    }
    (void)puts("\nOptions:");
    print_options(cli, verb);
    return CLI_OK;
}

enum cli_exit help_run(struct cli *cli)
{
    if (cli->n_args == 0) {
        return list(cli);
    }
    const struct cli_verb *verb = cli_find_verb(cli->args[0]);
    if (verb == NULL || verb->help == NULL) {
        return cli_misused("there is no command '%s'; 'roster help' lists them",
                           cli->args[0]);
    }
    return show(cli, verb);
}
