/* The nodes of the cluster, and changes of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

/* Done twice it is done once, as far as anybody minds. */
static enum cli_exit change(struct cli *cli, const char *method,
                            const char *path, const char *body,
                            const char *done)
{
    struct roster_request request = {.method = method,
                                     .path = path,
                                     .body = body,
                                     .body_size =
                                         body == NULL ? 0 : strlen(body),
                                     .repeat = ROSTER_REPEAT_SAFE};
    struct roster_response response = {0};
    enum roster_result result = ask_send(cli, &request, &response);

    if (result != ROSTER_OK) {
        roster_response_done(&response);
        return ask_complain(cli, result);
    }
    json_t *answer =
        response.body_size == 0
            ? NULL
            : json_loadb(response.body, response.body_size, 0, NULL);
    show_change(cli, answer, done);
    json_decref(answer);
    roster_response_done(&response);
    return CLI_OK;
}

/* A node as a row for people. Gives. */
static json_t *row_of(const json_t *node)
{
    const json_t *contact = json_object_get(node, "last_contact_ms");
    struct buf heard = {0};

    if (json_is_integer(contact)) {
        text_add_time(&heard, (uint64_t)json_integer_value(contact));
    }
    json_t *row = json_pack(
        "{s:O?, s:O?, s:O?, s:O?, s:O?, s:s, s:O?}", "node",
        json_object_get(node, "id"), "role", json_object_get(node, "role"),
        "http", json_object_get(node, "http"), "raft",
        json_object_get(node, "raft"), "applied",
        json_object_get(node, "applied"), "heard", buf_text(&heard), "version",
        json_object_get(node, "version"));
    buf_done(&heard);
    return row;
}

static enum cli_exit list(struct cli *cli)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/cluster", NULL, NULL, &answer, NULL);
    json_t *rows = json_array();
    const json_t *node = NULL;
    size_t i = 0;

    if (status == CLI_OK && cli->json) {
        show_change(cli, answer, "");
    } else if (status == CLI_OK) {
        json_array_foreach(json_object_get(answer, "nodes"), i, node)
        {
            (void)json_array_append_new(rows, row_of(node));
        }
        show_rows(cli, rows);
    }
    json_decref(rows);
    json_decref(answer);
    return status;
}

static enum cli_exit remove_node(struct cli *cli)
{
    char *path = roster_path("v1", "cluster", "nodes", cli->args[1], NULL);
    enum cli_exit status = CLI_REFUSED;

    if (ask_person(cli,
                   "It can join again with an empty directory only. Remove "
                   "it?")) {
        status = change(cli, "DELETE", path, NULL, "removed");
    }
    free(path);
    return status;
}

static enum cli_exit transfer(struct cli *cli)
{
    json_t *to =
        cli->n_args == 1 ? NULL : json_pack("{s:s}", "to", cli->args[1]);
    char *body = to == NULL ? NULL : json_dumps(to, JSON_COMPACT);

    if (cli->n_args > 1 && body == NULL) {
        return cli_misused("NODE is no text in UTF-8");
    }
    enum cli_exit status =
        change(cli, "POST", "/v1/cluster/transfer", body, "handed over");
    free(body);
    json_decref(to);
    return status;
}

enum cli_exit cluster_run(struct cli *cli)
{
    const char *what = cli->n_args == 0 ? "list" : cli->args[0];

    if (strcmp(what, "list") == 0 && cli->n_args <= 1) {
        return list(cli);
    }
    if (strcmp(what, "remove") == 0 && cli->n_args == 2) {
        return remove_node(cli);
    }
    if (strcmp(what, "transfer") == 0) {
        return transfer(cli);
    }
    return cli_misused("write: roster cluster list, roster cluster remove "
                       "NODE, or roster cluster transfer [NODE]");
}
