/* Namespaces. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

enum cli_exit spaces_tree(struct cli *cli)
{
    json_t *tree = NULL;
    enum cli_exit status = ask_all(cli, "/v1/ns", NULL, &tree);

    if (status == CLI_OK) {
        (cli->json ? print_json : print_tree)(tree);
    }
    json_decref(tree);
    return status;
}

enum cli_exit spaces_mkns(struct cli *cli)
{
    size_t label = 0;
    const char *parent = show_parent(cli->args[0], &label);

    if (parent == NULL) {
        return CLI_USAGE;
    }
    if (cli->leaf && cli->branch) {
        return cli_misused("choose --leaf or --branch");
    }
    json_t *body =
        json_pack("{s:s, s:s%, s:s, s:s*, s:s*}", "parent", parent, "name",
                  cli->args[0], label, "kind", cli->branch ? "branch" : "leaf",
                  "match", cli->match, "comment", cli->comment);
    if (body == NULL) {
        return cli_misused("name, --match and --comment must be UTF-8");
    }
    enum cli_exit status = show_sent(cli, "POST", "/v1/ns", body, "made");
    json_decref(body);
    return status;
}

enum cli_exit spaces_rmns(struct cli *cli)
{
    char *path = roster_path("v1", "ns", cli->args[0], NULL);
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, "DELETE", path, cli->recursive ? "recursive=true" : NULL,
                 NULL, &answer, NULL);

    if (status == CLI_OK) {
        show_change(cli, answer, "removed");
    } else if (status == CLI_REFUSED && !cli->recursive &&
               roster_error(cli->roster)->status == 409 &&
               strstr(roster_error(cli->roster)->detail, "recursive") != NULL) {
        ask_say("--recursive removes it with all that is in it");
    }
    json_decref(answer);
    free(path);
    return status;
}

/* The second name is what it is called afterwards, whole, whatever there is:
 * where `mv` of files would quietly put one into the other, this is a conflict.
 */
enum cli_exit spaces_move(struct cli *cli)
{
    const char *from = cli->args[0];
    const char *to = cli->args[1];
    size_t old_n = 0;
    size_t new_n = 0;
    const char *old_parent = show_parent(from, &old_n);
    const char *new_parent =
        old_parent == NULL ? NULL : show_parent(to, &new_n);

    if (new_parent == NULL) {
        return CLI_USAGE;
    }
    json_t *body = json_object();
    if (old_n != new_n || strncmp(from, to, old_n) != 0) {
        (void)json_object_set_new(body, "name", json_stringn(to, new_n));
    }
    if (strcmp(old_parent, new_parent) != 0) {
        (void)json_object_set_new(body, "parent", json_string(new_parent));
    }
    char *path = roster_path("v1", "ns", from, NULL);
    enum cli_exit status = show_sent(cli, "PATCH", path, body, "is now");
    if (status == CLI_REFUSED && roster_error(cli->roster)->status == 409) {
        ask_say("the second name is the whole new one: to put it below %s "
                "write %.*s.%s",
                to, (int)old_n, from, to);
    }
    free(path);
    json_decref(body);
    return status;
}
