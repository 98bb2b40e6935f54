#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "cli/ask.h"
#include "cli/text.h"

/* Those that every verb takes. */
static const char *const common[] = {
    "server",     "ca",      "client-cert", "client-key", "token",
    "token-file", "json",    "quiet",       "timeout",    "config",
    "help",       "version", NULL};

const struct cli_verb *cli_find_verb(const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

bool cli_takes(const struct cli_verb *verb, const char *option)
{
    size_t n = strlen(option);

    for (const char *const *name = common; *name != NULL; name++) {
        if (strcmp(option, *name) == 0) {
            return true;
        }
    }
    for (const char *at = verb->options; (at = strstr(at, option)) != NULL;) {
        bool starts = at == verb->options || at[-1] == ' ';
        at += n;
        if (starts && (*at == ' ' || *at == '\0')) {
            return true;
        }
    }
    return false;
}

static enum cli_exit unknown_verb(const char *name)
{
    struct near near = near_to(str_of(name));

    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->help != NULL) {
            near_try(&near, verb->name);
        }
    }
    if (near.name != NULL) {
        return cli_misused("unknown command '%s': did you mean '%s'?", name,
                           near.name);
    }
    return cli_misused("unknown command '%s'; 'roster help' lists them", name);
}

static const struct option *find_option(const struct option *table,
                                        const char *name, size_t n)
{
    for (; table->name != NULL; table++) {
        if (strlen(table->name) == n && strncmp(table->name, name, n) == 0) {
            return table;
        }
    }
    return NULL;
}

/* An option on the command line that the verb does nothing with is a mistake:
 * --recursive where nothing is recursive, a filter that filters nothing. (In
 * the environment it may be meant for another command.) */
static enum cli_exit check_options(const struct cli *cli,
                                   const struct cli_verb *verb, char **argv)
{
    for (char **arg = argv + 1; *arg != NULL && strcmp(*arg, "--") != 0;
         arg++) {
        if (strncmp(*arg, "--", 2) != 0) {
            continue;
        }
        size_t n = strcspn(*arg + 2, "=");
        const struct option *option = find_option(cli->options, *arg + 2, n);
        if (option != NULL && !cli_takes(verb, option->name)) {
            return cli_misused("'%s' takes no --%s; see 'roster help %s'",
                               verb->name, option->name, verb->name);
        }
        if (option != NULL && option->kind != OPTION_FLAG &&
            (*arg)[n + 2] == '\0' && arg[1] != NULL) {
            arg++;
        }
    }
    return CLI_OK;
}

static enum cli_exit run_verb(struct cli *cli, char **argv)
{
    if (cli->n_args == 0) {
        return cli_misused("what shall be done? Try 'roster tree' or 'roster "
                           "help'");
    }
    const struct cli_verb *verb = cli_find_verb(cli->args[0]);
    if (verb == NULL) {
        return unknown_verb(cli->args[0]);
    }
    if (check_options(cli, verb, argv) != CLI_OK) {
        return CLI_USAGE;
    }
    cli->args++;
    cli->n_args--;
    if (cli->n_args < verb->least || cli->n_args > verb->most) {
        return cli_misused("write: roster %s %s", verb->name, verb->args);
    }
    cli->roster = ask_connect(cli);
    if (cli->roster == NULL) {
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
        if (verb->help == NULL) {
            continue;
        }
        buf_printf(&left, "%s %s", verb->name, verb->args);
        buf_printf(&about, "\n  %-39s %s", buf_text(&left), verb->help);
        buf_done(&left);
    }
    buf_add_text(&about,
                 "\n\n'roster help COMMAND' tells more about one. Exit "
                 "status: 0 done, 1 refused, 2 misused, 3 no server answered "
                 "or the outcome is unknown.");
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

int cli_main(int argc, char **argv)
{
    struct cli cli = {.servers = mem_text("http://127.0.0.1:7070"),
                      .timeout_ms = 10000};
    char **args = mem_zero((size_t)argc * sizeof *args + 1);
    char *about = make_about();
    const struct option table[] = {
#define OPTION(flag, type, member, value, text)                                \
    {.name = (flag),                                                           \
     .kind = (type),                                                           \
     .target = &cli.member,                                                    \
     .value_name = (value),                                                    \
     .help = (text)}
        OPTION("server", OPTION_TEXT, servers, "URL[,URL...]",
               "servers of the registry; any one that answers will do"),
        OPTION("ca", OPTION_TEXT, ca, "FILE",
               "verifies the servers' certificates, for https"),
        OPTION("client-cert", OPTION_TEXT, cert, "FILE",
               "a certificate of your own, with --client-key"),
        OPTION("client-key", OPTION_TEXT, key_file, "FILE",
               "the key of --client-cert"),
        OPTION("token", OPTION_TEXT, token, "TEXT",
               "who asks; better as ROSTER_TOKEN, others see arguments"),
        OPTION("token-file", OPTION_TEXT, token_file, "FILE",
               "a token in its first line; without, what roster login kept"),
        OPTION("json", OPTION_FLAG, json, NULL, "print the answer as JSON"),
        OPTION("quiet", OPTION_FLAG, quiet, NULL,
               "no progress bar, no remarks; errors only"),
        OPTION("timeout", OPTION_DURATION, timeout_ms, "TIME",
               "how long one server may take to answer"),
        OPTION("leaf", OPTION_FLAG, leaf, NULL,
               "mkns: a namespace for resources (the usual one)"),
        OPTION("branch", OPTION_FLAG, branch, NULL,
               "mkns: a namespace for namespaces"),
        OPTION("match", OPTION_TEXT, match, "REGEX",
               "mkns: machines whose hostname fits are placed in it"),
        OPTION("comment", OPTION_TEXT, comment, "TEXT",
               "mkns: what it is for, for people"),
        OPTION("recursive", OPTION_FLAG, recursive, NULL,
               "rmns: with everything in it and below it"),
        OPTION("ns", OPTION_TEXT, ns, "NS",
               "search, export, watch: only this namespace and what is below"),
        OPTION("type", OPTION_TEXT, type, "TYPE",
               "search, export, watch: only resources of this type"),
        OPTION("key", OPTION_TEXT, key, "FIELD",
               "search, watch: only in this field"),
        OPTION("value", OPTION_TEXT, value, "TEXT",
               "search, watch: what to look for"),
        OPTION("mode", OPTION_TEXT, mode, "MODE",
               "search, watch: exact, contains, prefix or (search) regex"),
        OPTION("limit", OPTION_NUMBER, limit, "N",
               "search: rows of one page; all pages are fetched"),
        OPTION("where", OPTION_TEXT, where, "FIELD=VALUE",
               "watch: --key and --value in one"),
        OPTION("since", OPTION_TEXT, since, "REVISION",
               "watch: what changed after it, then what changes"),
        OPTION("initial", OPTION_FLAG, initial, NULL,
               "watch: what is there first, then what changes"),
        OPTION("count", OPTION_NUMBER, count, "N",
               "watch: end after so many changes"),
        OPTION("no-resume", OPTION_FLAG, no_resume, NULL,
               "watch: end when the stream breaks, instead of going on"),
        OPTION("for", OPTION_TEXT, for_time, "TIME",
               "maintenance begin: how long, 1s to 30d; 1h when not given"),
        OPTION("reason", OPTION_TEXT, reason, "TEXT",
               "maintenance begin: why, for people"),
        OPTION("password-file", OPTION_TEXT, password_file, "FILE",
               "login, user: the password is its first line (- for stdin), "
               "instead of being asked for"),
        OPTION("ttl", OPTION_TEXT, ttl, "TIME",
               "login: how long the session lasts, at most"),
        OPTION("node", OPTION_MAP, nodes, "ID=HOST[,HOST...]",
               "certs: a node and where it is reached, as names and "
               "addresses; several times"),
        OPTION("client", OPTION_TEXT, clients, "NAME[,NAME...]",
               "certs: people and programs that get a certificate"),
        OPTION("days", OPTION_NUMBER, days, "N",
               "certs: how long they are good, 365 when not given"),
        OPTION("yes", OPTION_FLAG, yes, NULL,
               "restore, recover: do not ask before"),
        OPTION("dry-run", OPTION_FLAG, dry_run, NULL,
               "import: check every line, store nothing"),
        OPTION("with-ids", OPTION_FLAG, with_ids, NULL,
               "export: rows keep _id and _rev, for whoever reads them"),
        OPTION("leased", OPTION_FLAG, leased, NULL,
               "export: machines too that an agent keeps registered"),
        OPTION("data-dir", OPTION_TEXT, data_dir, "DIR",
               "recover: of a rosterd that is stopped"),
        OPTION("head", OPTION_TEXT, head, "SEQ:HASH",
               "audit verify: that line has to be there, and be that one"),
#undef OPTION
        {.name = NULL},
    };
    const struct options options = {
        .program = "roster",
        .usage = "roster [OPTION...] COMMAND [ARGUMENT...]",
        .about = about,
        .table = table,
    };
    enum cli_exit status = CLI_USAGE;

    text_init();
    enum options_outcome outcome =
        options_read(&options, argc, argv, args, &cli.n_args);
    if (outcome == OPTIONS_RUN) {
        cli.args = args;
        cli.options = table;
        status = flush(run_verb(&cli, argv));
        cli.roster = roster_free(cli.roster);
    } else if (outcome == OPTIONS_EXIT_OK) {
        status = flush(CLI_OK);
    }
    options_done(&options);
    (void)mem_free(args);
    (void)mem_free(about);
    return (int)status;
}
