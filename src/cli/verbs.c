#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/print.h"

enum { MANY = 1024 };

static void show_rows(const struct cli *cli, const json_t *rows)
{
    if (cli->json) {
        print_json(rows);
    } else if (json_array_size(rows) == 0) {
        (void)fputs("roster: nothing found\n", stderr);
    } else {
        print_table(rows);
    }
}

/* What a change answered: the resource, or a word that it is done. */
static void show_change(const struct cli *cli, const json_t *answer,
                        const char *done)
{
    if (cli->json && answer != NULL) {
        print_json(answer);
        return;
    }
    const char *id = json_string_value(json_object_get(answer, "_id"));
    if (!cli->json) {
        (void)printf("%s%s%s\n", done, id == NULL ? "" : " ",
                     id == NULL ? "" : id);
    }
}

/* ---- the verbs ---- */

static enum cli_exit run_tree(struct cli *cli)
{
    json_t *tree = NULL;
    enum cli_exit status = ask_all(cli, "/v1/ns", NULL, &tree);

    if (status == CLI_OK) {
        (cli->json ? print_json : print_tree)(tree);
    }
    json_decref(tree);
    return status;
}

static char *resource_path(const struct cli *cli)
{
    /* NS TYPE [ID]; a missing ID ends the list of segments. */
    return roster_path("v1", "ns", cli->args[0], cli->args[1],
                       cli->n_args > 2 ? cli->args[2] : NULL, NULL);
}

static enum cli_exit run_ls(struct cli *cli)
{
    char *path = resource_path(cli);
    json_t *rows = NULL;
    enum cli_exit status = ask_all(cli, path, NULL, &rows);

    if (status == CLI_OK) {
        show_rows(cli, rows);
    }
    json_decref(rows);
    free(path);
    return status;
}

static enum cli_exit run_get(struct cli *cli)
{
    char *path = resource_path(cli);
    json_t *resource = NULL;
    enum cli_exit status = ask_all(cli, path, NULL, &resource);

    if (status == CLI_OK) {
        (cli->json ? print_json : print_fields)(resource);
    }
    json_decref(resource);
    free(path);
    return status;
}

/* FIELD=VALUE of the arguments from `first` on; FIELD- as null where a field
 * may be removed. Gives the object, NULL after a complaint. */
static json_t *read_fields(const struct cli *cli, size_t first, bool may_remove)
{
    json_t *fields = json_object();

    for (size_t i = first; i < cli->n_args; i++) {
        const char *arg = cli->args[i];
        const char *equals = strchr(arg, '=');
        size_t n = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
        json_t *value = NULL;
        if (equals != NULL && n > 0) {
            value = json_string(equals + 1);
        } else if (may_remove && n > 1 && arg[n - 1] == '-') {
            value = json_null();
            n--;
        }
        char *name = strndup(arg, n);
        bool good =
            value != NULL && json_object_set_new(fields, name, value) == 0;
        free(name);
        if (!good) {
            (void)fprintf(stderr,
                          "roster: '%s' is not FIELD=VALUE in UTF-8%s\n", arg,
                          may_remove ? ", nor FIELD- to remove it" : "");
            json_decref(fields);
            return NULL;
        }
    }
    return fields;
}

static enum cli_exit change(struct cli *cli, const char *method,
                            const char *path, json_t *body, const char *done)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, method, path, NULL, body, &answer, NULL);

    if (status == CLI_OK) {
        show_change(cli, answer, done);
    }
    json_decref(answer);
    return status;
}

static enum cli_exit run_add(struct cli *cli)
{
    json_t *fields = read_fields(cli, 2, false);

    if (fields == NULL) {
        return CLI_USAGE;
    }
    char *path = roster_path("v1", "ns", cli->args[0], cli->args[1], NULL);
    enum cli_exit status = change(cli, "POST", path, fields, "added");
    free(path);
    json_decref(fields);
    return status;
}

static enum cli_exit run_set(struct cli *cli)
{
    json_t *fields = read_fields(cli, 3, true);

    if (fields == NULL) {
        return CLI_USAGE;
    }
    char *path = resource_path(cli);
    enum cli_exit status = change(cli, "PATCH", path, fields, "changed");
    free(path);
    json_decref(fields);
    return status;
}

static enum cli_exit run_rm(struct cli *cli)
{
    char *path = resource_path(cli);
    enum cli_exit status = change(cli, "DELETE", path, NULL, "removed");
    free(path);
    return status;
}

/* ns=, type=, k=, v=, mode=, limit= as the interface has them; a bare word is
 * looked for anywhere in a value. */
static char *search_query(const struct cli *cli)
{
    static const char *const names[] = {"ns", "type", "k",
                                        "v",  "mode", "limit"};
    enum { N = sizeof names / sizeof names[0], V = 3, MODE = 4 };
    const char *values[N] = {NULL};

    for (size_t i = 0; i < cli->n_args; i++) {
        const char *arg = cli->args[i];
        size_t n = strcspn(arg, "=");
        size_t at = 0;
        while (at < N && (arg[n] == '\0' || strlen(names[at]) != n ||
                          strncmp(arg, names[at], n) != 0)) {
            at++;
        }
        if (at < N) {
            values[at] = arg + n + 1;
        } else if (arg[n] == '\0' && values[V] == NULL) {
            values[V] = arg;
            values[MODE] = values[MODE] == NULL ? "contains" : values[MODE];
        } else {
            (void)fprintf(stderr,
                          "roster: search does not know '%s'; it takes one "
                          "TEXT, ns=, type=, k=, v=, mode= and limit=\n",
                          arg);
            return NULL;
        }
    }
    return roster_query("ns", values[0], "type", values[1], "k", values[2], "v",
                        values[V], "mode", values[MODE], "limit", values[5],
                        NULL);
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

static enum cli_exit run_search(struct cli *cli)
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

/* An agent as a row for people. Gives. */
static json_t *agent_row(const json_t *agent)
{
    struct buf where = {0};
    struct buf heard = {0};
    struct buf ttl = {0};
    const char *ns = NULL;
    json_t *id = NULL;
    const json_t *last = json_object_get(agent, "last_heartbeat_ms");

    json_object_foreach(json_object_get(agent, "placements"), ns, id)
    {
        buf_printf(&where, "%s%s", where.n == 0 ? "" : " ", ns);
    }
    if (json_is_integer(last)) {
        buf_printf(&heard, "%.1f s ago",
                   (double)json_integer_value(last) / 1000);
    }
    buf_printf(&ttl, "%.3g s",
               json_number_value(json_object_get(agent, "ttl_ms")) / 1000);
    json_t *row = json_pack("{s:O?, s:O?, s:s, s:s, s:s}", "hostname",
                            json_object_get(agent, "hostname"), "state",
                            json_object_get(agent, "state"), "heartbeat",
                            buf_text(&heard), "ttl", buf_text(&ttl),
                            "placements", buf_text(&where));
    buf_done(&where);
    buf_done(&heard);
    buf_done(&ttl);
    return row;
}

static enum cli_exit run_agents(struct cli *cli)
{
    json_t *agents = NULL;
    enum cli_exit status = ask_all(cli, "/v1/agents", NULL, &agents);

    if (status == CLI_OK && cli->json) {
        print_json(agents);
    } else if (status == CLI_OK) {
        json_t *rows = json_array();
        size_t i = 0;
        json_t *agent = NULL;
        json_array_foreach(agents, i, agent)
        {
            (void)json_array_append_new(rows, agent_row(agent));
        }
        show_rows(cli, rows);
        json_decref(rows);
    }
    json_decref(agents);
    return status;
}

/* /leader answers 503 on a follower, with the leader in its body: that is an
 * answer here. */
static enum cli_exit run_leader(struct cli *cli)
{
    struct roster_request request = {.method = "GET", .path = "/leader"};
    struct roster_response response = {0};
    enum roster_result result = roster_send(cli->roster, &request, &response);

    if (result != ROSTER_OK && result != ROSTER_REFUSED) {
        return ask_complain(cli, result);
    }
    json_t *leader =
        json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
    const char *id = json_string_value(json_object_get(leader, "id"));
    const char *address = json_string_value(json_object_get(leader, "address"));
    enum cli_exit status = CLI_OK;
    if (leader == NULL) {
        status = ask_not_json(&response);
    } else if (cli->json) {
        print_json(leader);
    } else if (id != NULL && id[0] != '\0') {
        (void)printf(
            "%s  %s  term %lld\n", id, address == NULL ? "" : address,
            (long long)json_integer_value(json_object_get(leader, "term")));
    }
    if (status == CLI_OK && (id == NULL || id[0] == '\0')) {
        (void)fputs("roster: there is no leader now; reads with consistency "
                    "local still work. Look at /readyz?verbose\n",
                    stderr);
        status = CLI_REFUSED;
    }
    json_decref(leader);
    roster_response_done(&response);
    return status;
}

static enum cli_exit run_mkns(struct cli *cli)
{
    const char *dot = strchr(cli->args[0], '.');

    if (dot == NULL || dot == cli->args[0] || dot[1] == '\0') {
        (void)fprintf(stderr,
                      "roster: '%s' is not a whole name: write the path, leaf "
                      "first, as in web.shop.roster\n",
                      cli->args[0]);
        return CLI_USAGE;
    }
    if (cli->leaf && cli->branch) {
        (void)fputs("roster: choose --leaf or --branch\n", stderr);
        return CLI_USAGE;
    }
    json_t *body =
        json_pack("{s:s, s:s%, s:s, s:s*}", "parent", dot + 1, "name",
                  cli->args[0], (size_t)(dot - cli->args[0]), "kind",
                  cli->branch ? "branch" : "leaf", "match", cli->match);
    if (body == NULL) {
        (void)fputs("roster: name and --match must be UTF-8\n", stderr);
        return CLI_USAGE;
    }
    enum cli_exit status = change(cli, "POST", "/v1/ns", body, "made");
    json_decref(body);
    return status;
}

const struct cli_verb cli_verbs[] = {
    {"tree", "", "all namespaces", 0, 0, run_tree},
    {"ls", "NS TYPE", "the resources of a list", 2, 2, run_ls},
    {"get", "NS TYPE ID", "one resource", 3, 3, run_get},
    {"add", "NS TYPE FIELD=VALUE...", "a new resource", 3, MANY, run_add},
    {"set", "NS TYPE ID FIELD=VALUE...", "change fields (FIELD- removes)", 4,
     MANY, run_set},
    {"rm", "NS TYPE ID", "remove a resource", 3, 3, run_rm},
    {"search", "[TEXT] [ns=NS] [type=TYPE] ...", "find resources everywhere", 0,
     7, run_search},
    {"agents", "", "machines with an agent", 0, 0, run_agents},
    {"leader", "", "which node leads", 0, 0, run_leader},
    {"mkns", "NS [--leaf|--branch] [--match RE]", "a new namespace", 1, 1,
     run_mkns},
    {NULL, NULL, NULL, 0, 0, NULL},
};
