/* restore FILE: verified here, shown, confirmed, then sent. The server verifies
 * it again before anything is touched. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/state.h"

/* The server unpacks and checks before it answers. */
enum { SILENCE_MS = 600000 };

static void on_progress(uint64_t done, uint64_t total, void *user)
{
    progress_set(user, done, total);
}

/* What there is now, as a row beside that of the file. */
static enum cli_exit show_now(struct cli *cli, json_t *rows)
{
    json_t *root = NULL;
    json_t *row = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/ns", "depth=0", NULL, &root, NULL);

    if (status == CLI_OK) {
        row = json_pack("{s:s, s:O?, s:I}", "", "replaced:", "domain",
                        json_object_get(root, "ns"), "revision",
                        (json_int_t)cli->seen);
        status_counts(cli->roster, row);
        (void)json_array_insert_new(rows, 0, row);
    }
    json_decref(root);
    return status;
}

static enum cli_exit confirm(struct cli *cli, const char *path,
                             const struct state_info *info)
{
    json_t *rows = json_array();
    struct buf question = {0};

    (void)json_array_append_new(
        rows, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "", "by:", "domain",
                        info->domain, "revision", (json_int_t)info->revision,
                        "namespaces", (json_int_t)info->n_ns, "resources",
                        (json_int_t)info->n_rows, "leases",
                        (json_int_t)info->n_leases));
    enum cli_exit status = show_now(cli, rows);
    if (status == CLI_OK && !cli->json && !cli->quiet) {
        print_table(rows);
        (void)fflush(stdout);
    }
    json_decref(rows);
    buf_printf(&question,
               "All of this registry, on every node, is replaced by %s.", path);
    if (status == CLI_OK && !ask_person(cli, buf_text(&question))) {
        status = CLI_USAGE;
    }
    buf_done(&question);
    return status;
}

static enum cli_exit send_file(struct cli *cli, int fd)
{
    struct progress progress;
    struct roster_request request = {
        .method = "POST",
        .path = "/v1/admin/restore",
        .repeat = ROSTER_REPEAT_NEVER, /* it takes no key */
        .timeout_ms =
            cli->timeout_ms > SILENCE_MS ? cli->timeout_ms : SILENCE_MS};
    struct roster_stream stream = {
        .body_fd = fd, .progress = on_progress, .user = &progress};
    struct roster_response response = {0};
    enum cli_exit status = CLI_OK;

    progress_begin(&progress, cli, "sending", PROGRESS_BYTES);
    enum roster_result result =
        roster_transfer(cli->roster, &request, &stream, &response);
    progress_end(&progress);
    json_t *answer = json_loadb(response.body == NULL ? "" : response.body,
                                response.body_size, 0, NULL);
    if (result != ROSTER_OK) {
        status = ask_complain(cli, result);
    } else if (answer == NULL) {
        status = ask_not_json(&response);
    } else if (cli->json) {
        print_json(answer);
    } else {
        (void)printf(
            "restored: the registry is at revision %lld now\n",
            (long long)json_integer_value(json_object_get(answer, "revision")));
    }
    json_decref(answer);
    roster_response_done(&response);
    return status;
}

enum cli_exit restore_run(struct cli *cli)
{
    struct state_info info;
    const char *path = cli->args[0];

    if (!state_verify(cli, path, &info)) {
        return CLI_REFUSED;
    }
    enum cli_exit status = confirm(cli, path, &info);
    if (status != CLI_OK) {
        return status;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ask_say("%s: %s", path, strerror(errno));
        return CLI_REFUSED;
    }
    status = send_file(cli, fd);
    (void)close(fd);
    return status;
}
