#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/state.h"

static void on_progress(uint64_t done, uint64_t total, void *user)
{
    progress_set(user, done, total);
}

bool state_verify(const struct cli *cli, const char *path,
                  struct state_info *ret_info)
{
    struct progress progress;
    struct state_watch watch = {.func = on_progress, .user = &progress};
    char why[STATE_WHY] = "";

    progress_begin(&progress, cli, "verifying", PROGRESS_BYTES);
    int r = state_file_check(path, &watch, ret_info, why);
    progress_end(&progress);
    if (r == 0) {
        return true;
    }
    if (r > 0 && why[0] != '\0') {
        ask_say("%s: %s", path, why);
    } else if (r == ERR_DISK_FULL) {
        ask_say("%s: no room to unpack it beside it; set TMPDIR to a folder "
                "that has as much as the file is large",
                path);
    } else {
        ask_say("%s cannot be read: %s", path, err_text(r));
    }
    return false;
}

json_t *state_describe_file(const char *path, const struct state_info *info)
{
    char digest[65];

    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(digest + 2 * i, 3, "%02x", info->state[i]);
    }
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s}",
                     "file", path, "bytes", (json_int_t)state_file_bytes(info),
                     "domain", info->domain[0] == '\0' ? NULL : info->domain,
                     "node", info->node, "index", (json_int_t)info->index,
                     "revision", (json_int_t)info->revision, "namespaces",
                     (json_int_t)info->n_ns, "resources",
                     (json_int_t)info->n_rows, "leases",
                     (json_int_t)info->n_leases, "digest", digest);
}

void state_show(const struct cli *cli, const char *path,
                const struct state_info *info)
{
    json_t *json = state_describe_file(path, info);

    (cli->json ? print_json : print_fields)(json);
    json_decref(json);
}

enum cli_exit backup_verify(struct cli *cli)
{
    struct state_info info;

    if (!state_verify(cli, cli->args[0], &info)) {
        return CLI_REFUSED;
    }
    state_show(cli, cli->args[0], &info);
    return CLI_OK;
}
