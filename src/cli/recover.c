/* recover --data-dir DIR: the last resort, without a server. */
#include "raft/recover.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

static const char warning[] =
    "roster: %s becomes a cluster of its own, with all that it holds. Do this "
    "only when the\n"
    "roster: other nodes are lost for good, on the survivor with the longest "
    "log, and never\n"
    "roster: start one of the others again: what they alone acknowledged is "
    "lost.\n";

static enum cli_exit show(const struct cli *cli,
                          const struct core_recovered *recovered)
{
    json_t *json = json_pack("{s:s, s:i, s:I}", "node", recovered->node,
                             "members_before", (int)recovered->n_before,
                             "last_index", (json_int_t)recovered->last_index);

    (cli->json ? print_json : print_fields)(json);
    json_decref(json);
    if (!cli->quiet) {
        ask_say("done; start rosterd on it");
    }
    return CLI_OK;
}

enum cli_exit recover_run(struct cli *cli)
{
    struct core_recovered recovered;
    char why[CORE_RECOVER_WHY] = "";

    if (cli->data_dir == NULL || cli->data_dir[0] == '\0') {
        return cli_misused("write: roster recover --data-dir DIR");
    }
    if (!cli->quiet) {
        (void)fprintf(stderr, warning, cli->data_dir);
    }
    if (!ask_person(cli, "Is that so?")) {
        return CLI_USAGE;
    }
    int r = core_recover(cli->data_dir, &recovered, why);
    if (r != 0) {
        if (why[0] != '\0') {
            ask_say("%s", why);
        } else {
            ask_say("%s: %s", cli->data_dir, err_text(r));
        }
        return CLI_REFUSED;
    }
    return show(cli, &recovered);
}
