#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/options.h"

static const struct cli_verb *find_verb(const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

static enum cli_exit unknown_verb(const char *name)
{
    (void)fprintf(stderr, "roster: unknown command '%s'; choose one of:", name);
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        (void)fprintf(stderr, " %s", verb->name);
    }
    (void)fputc('\n', stderr);
    return CLI_USAGE;
}

static enum cli_exit run_verb(struct cli *cli)
{
    if (cli->n_args == 0) {
        (void)fputs("roster: what shall be done? Try 'roster tree' or "
                    "'roster --help'\n",
                    stderr);
        return CLI_USAGE;
    }
    const struct cli_verb *verb = find_verb(cli->args[0]);
    if (verb == NULL) {
        return unknown_verb(cli->args[0]);
    }
    cli->args++;
    cli->n_args--;
    if (cli->n_args < verb->least || cli->n_args > verb->most) {
        (void)fprintf(stderr, "roster: write: roster %s %s\n", verb->name,
                      verb->args);
        return CLI_USAGE;
    }
    return verb->run(cli);
}

static char *make_about(void)
{
    struct buf about = {0};

    buf_add_text(&about, "Reads and changes a roster registry.\n \nCommands:");
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        struct buf left = {0};
        buf_printf(&left, "%s %s", verb->name, verb->args);
        buf_printf(&about, "\n  %-39s %s", buf_text(&left), verb->help);
        buf_done(&left);
    }
    return buf_text(&about);
}

/* A full disk or a closed pipe must not look like success. */
static enum cli_exit flush(enum cli_exit status)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        perror("roster: cannot write the answer");
        return status == CLI_OK ? CLI_REFUSED : status;
    }
    return status;
}

static enum cli_exit connect_and_run(struct cli *cli, const char *servers)
{
    enum cli_exit status = CLI_USAGE;

    cli->roster = roster_new();
    roster_set_user_agent(cli->roster, "roster/" ROSTER_VERSION);
    if (roster_set_servers(cli->roster, servers) != ROSTER_OK) {
        (void)fprintf(stderr, "roster: --server: %s\n",
                      roster_error(cli->roster)->detail);
    } else {
        status = flush(run_verb(cli));
    }
    cli->roster = roster_free(cli->roster);
    return status;
}

int cli_main(int argc, char **argv)
{
    char *server = mem_text("http://127.0.0.1:7070");
    char *match = NULL;
    struct cli cli = {0};
    char **args = mem_zero((size_t)argc * sizeof *args + 1);
    char *about = make_about();
    const struct option table[] = {
        {.name = "server",
         .kind = OPTION_TEXT,
         .target = &server,
         .value_name = "URL[,URL...]",
         .help = "servers of the registry; any one that answers will do"},
        {.name = "json",
         .kind = OPTION_FLAG,
         .target = &cli.json,
         .help = "print the answer as JSON"},
        {.name = "leaf",
         .kind = OPTION_FLAG,
         .target = &cli.leaf,
         .help = "mkns: a namespace for resources (the usual one)"},
        {.name = "branch",
         .kind = OPTION_FLAG,
         .target = &cli.branch,
         .help = "mkns: a namespace for namespaces"},
        {.name = "match",
         .kind = OPTION_TEXT,
         .target = &match,
         .value_name = "REGEX",
         .help = "mkns: machines whose hostname fits are placed in it"},
        {.name = NULL},
    };
    const struct options options = {
        .program = "roster",
        .usage = "roster [OPTION...] COMMAND [ARGUMENT...]",
        .about = about,
        .table = table,
    };
    enum cli_exit status = CLI_USAGE;

    enum options_outcome outcome =
        options_read(&options, argc, argv, args, &cli.n_args);
    if (outcome == OPTIONS_RUN) {
        cli.args = args;
        cli.match = match;
        status = connect_and_run(&cli, server);
    } else if (outcome == OPTIONS_EXIT_OK) {
        status = flush(CLI_OK);
    }
    options_done(&options);
    (void)mem_free(args);
    (void)mem_free(about);
    return (int)status;
}
