/* Machines and resources that are worked on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

/* "NS/TYPE/ID", whose ID may hold more of them, or a hostname. Gives (free);
 * NULL after a complaint. */
static char *path_of(const char *target)
{
    const char *type = strchr(target, '/');
    const char *id = type == NULL ? NULL : strchr(type + 1, '/');
    char *path = NULL;

    if (type == NULL) {
        return roster_path("v1", "agents", target, "maintenance", NULL);
    }
    if (id == NULL || id[1] == '\0') {
        ask_say("'%s' is neither a hostname nor NS/TYPE/ID", target);
        return NULL;
    }
    char *ns = strndup(target, (size_t)(type - target));
    char *name = strndup(type + 1, (size_t)(id - type - 1));
    path = roster_path("v1", "ns", ns, name, id + 1, "maintenance", NULL);
    free(ns);
    free(name);
    return path;
}

/* All are tried, whatever becomes of one; the worst outcome is that of all. */
static enum cli_exit change(struct cli *cli, const char *method,
                            const json_t *body, const char *word)
{
    enum cli_exit worst = CLI_OK;

    for (size_t i = 1; i < cli->n_args; i++) {
        char *path = path_of(cli->args[i]);
        enum cli_exit status =
            path == NULL
                ? CLI_USAGE
                : show_sent_of(cli, method, path, body, cli->args[i], word);
        worst = status > worst ? status : worst;
        free(path);
    }
    return worst;
}

static enum cli_exit begin(struct cli *cli)
{
    const char *duration = cli->for_time == NULL ? "1h" : cli->for_time;
    json_t *body =
        json_pack("{s:s*, s:s}", "reason", cli->reason, "duration", duration);

    if (body == NULL) {
        return cli_misused("--for and --reason are texts in UTF-8");
    }
    enum cli_exit status = change(cli, "PUT", body, "is in maintenance");
    json_decref(body);
    return status;
}

static bool is_in_maintenance(const json_t *agent)
{
    return json_is_true(json_object_get(agent, "maintenance"));
}

static enum cli_exit list(struct cli *cli)
{
    json_t *agents = NULL;
    json_t *rows = json_array();
    const json_t *agent = NULL;
    size_t i = 0;
    enum cli_exit status = ask_all(cli, "/v1/agents", NULL, &agents);

    if (status == CLI_OK) {
        json_array_foreach(agents, i, agent)
        {
            if (is_in_maintenance(agent)) {
                (void)json_array_append_new(
                    rows, cli->json ? json_incref((json_t *)(uintptr_t)agent)
                                    : nodes_agent_row(agent));
            }
        }
        show_rows(cli, rows);
    }
    json_decref(rows);
    json_decref(agents);
    return status;
}

enum cli_exit maintenance_run(struct cli *cli)
{
    const char *what = cli->n_args == 0 ? "list" : cli->args[0];
    bool has_options = cli->for_time != NULL || cli->reason != NULL;

    if (strcmp(what, "list") == 0 && cli->n_args <= 1 && !has_options) {
        return list(cli);
    }
    if (strcmp(what, "begin") == 0 && cli->n_args > 1) {
        return begin(cli);
    }
    if (strcmp(what, "end") == 0 && cli->n_args > 1 && !has_options) {
        return change(cli, "DELETE", NULL, "is in maintenance no more");
    }
    return cli_misused(
        "write: roster maintenance list, roster maintenance "
        "begin TARGET... [--for TIME] [--reason TEXT], or roster "
        "maintenance end TARGET...");
}
