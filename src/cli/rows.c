/* Resources: NS TYPE ID. */
#include "cli/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/show.h"

static char *resource_path(const struct cli *cli)
{
    /* NS TYPE [ID]; a missing ID ends the list of segments. */
    return roster_path("v1", "ns", cli->args[0], cli->args[1],
                       cli->n_args > 2 ? cli->args[2] : NULL, NULL);
}

enum cli_exit rows_ls(struct cli *cli)
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

enum cli_exit rows_get(struct cli *cli)
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

enum cli_exit rows_add(struct cli *cli)
{
    json_t *fields = show_read_fields(cli, 2, false);

    if (fields == NULL) {
        return CLI_USAGE;
    }
    char *path = roster_path("v1", "ns", cli->args[0], cli->args[1], NULL);
    enum cli_exit status = show_sent(cli, "POST", path, fields, "added");
    free(path);
    json_decref(fields);
    return status;
}

enum cli_exit rows_set(struct cli *cli)
{
    json_t *fields = show_read_fields(cli, 3, true);

    if (fields == NULL) {
        return CLI_USAGE;
    }
    char *path = resource_path(cli);
    enum cli_exit status = show_sent(cli, "PATCH", path, fields, "changed");
    free(path);
    json_decref(fields);
    return status;
}

enum cli_exit rows_rm(struct cli *cli)
{
    char *path = resource_path(cli);
    enum cli_exit status = show_sent(cli, "DELETE", path, NULL, "removed");
    free(path);
    return status;
}

/* move and copy: {"to": the namespace behind NS TYPE ID} */
static enum cli_exit send_to(struct cli *cli, const char *verb,
                             const char *done)
{
    json_t *body = json_pack("{s:s}", "to", cli->args[3]);

    if (body == NULL) {
        return cli_misused("a namespace's name is plain ASCII");
    }
    char *path = roster_path("v1", "ns", cli->args[0], cli->args[1],
                             cli->args[2], verb, NULL);
    enum cli_exit status = show_sent(cli, "POST", path, body, done);
    free(path);
    json_decref(body);
    return status;
}

enum cli_exit rows_mv(struct cli *cli)
{
    if (cli->n_args == 2) {
        return spaces_move(cli);
    }
    if (cli->n_args == 3) {
        return cli_misused("write: roster mv NS TYPE ID TO-NS, or roster mv NS "
                           "NEW-NS");
    }
    return send_to(cli, "move", "moved");
}

enum cli_exit rows_cp(struct cli *cli)
{
    return send_to(cli, "copy", "copied as");
}
