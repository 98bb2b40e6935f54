#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

enum { NS, TYPE, KEY, VALUE, MODE, LIMIT, N };

/* A bare word is looked for anywhere in a value; NAME=VALUE is what the
 * interface calls it. */
static bool read_word(const char *arg, const char *values[N])
{
    static const char *const names[N] = {"ns", "type", "k",
                                         "v",  "mode", "limit"};
    size_t n = strcspn(arg, "=");

    for (size_t i = 0; i < N && arg[n] == '='; i++) {
        if (strlen(names[i]) == n && strncmp(arg, names[i], n) == 0) {
            values[i] = arg + n + 1;
            return true;
        }
    }
    if (arg[n] == '=' || values[VALUE] != NULL) {
        ask_say("search does not know '%s'; it takes one TEXT, and --ns, "
                "--type, --key, --value, --mode and --limit",
                arg);
        return false;
    }
    values[VALUE] = arg;
    values[MODE] = values[MODE] == NULL ? "contains" : values[MODE];
    return true;
}

static char *search_query(const struct cli *cli)
{
    char limit[32] = "";
    const char *values[N] = {cli->ns,    cli->type, cli->key,
                             cli->value, cli->mode, NULL};

    if (cli->limit > 0) {
        (void)snprintf(limit, sizeof limit, "%" PRIu64, cli->limit);
        values[LIMIT] = limit;
    }
    for (size_t i = 0; i < cli->n_args; i++) {
        if (!read_word(cli->args[i], values)) {
            return NULL;
        }
    }
    return roster_query("ns", values[NS], "type", values[TYPE], "k",
                        values[KEY], "v", values[VALUE], "mode", values[MODE],
                        "limit", values[LIMIT], NULL);
}

/* {"web.roster":[...]} as rows with the namespace in front. Gives. */
static json_t *flatten(json_t *found)
{
    json_t *rows = json_array();
    const char *ns = NULL;
    json_t *list = NULL;

    json_object_foreach(found, ns, list)
    {
        size_t i = 0;
        json_t *resource = NULL;
        json_array_foreach(list, i, resource)
        {
            json_t *row = json_pack("{s:s}", "namespace", ns);
            (void)json_object_update_missing(row, resource);
            (void)json_array_append_new(rows, row);
        }
    }
    return rows;
}

enum cli_exit search_run(struct cli *cli)
{
    char *query = search_query(cli);
    json_t *found = NULL;

    if (query == NULL) {
        return CLI_USAGE;
    }
    enum cli_exit status = ask_all(cli, "/v1/search", query, &found);
    free(query);
    if (status == CLI_OK && cli->json) {
        print_json(found);
    } else if (status == CLI_OK) {
        json_t *rows = flatten(found);
        show_rows(cli, rows);
        json_decref(rows);
    }
    json_decref(found);
    return status;
}
