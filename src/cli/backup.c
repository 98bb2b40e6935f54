/* backup FILE: received under another name, synced, verified, then renamed. A
 * file under the name that was asked for is always a whole backup. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sha256.h"
#include "base/write.h"
#include "cli/ask.h"
#include "cli/partial.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/state.h"

/* The server makes the copy before it sends the first byte. */
enum { SILENCE_MS = 600000 };

struct receiving {
    int fd;
    int fault; /* errno of a write */
    struct progress progress;
    /* To stdout nothing can be read again: what passes is looked at. */
    struct sha256 *hash;
    uint8_t head[STATE_HEADER_BYTES];
    uint64_t n;
};

static void look_at(struct receiving *to, const uint8_t *bytes, size_t n)
{
    if (to->n < sizeof to->head) {
        size_t room = sizeof to->head - (size_t)to->n;
        size_t part = n < room ? n : room;
        memcpy(to->head + to->n, bytes, part);
        to->n += part;
        bytes += part;
        n -= part;
    }
    if (n > 0) {
        sha256_add(to->hash, bytes, n);
        to->n += n;
    }
}

static int on_bytes(const void *bytes, size_t n, void *user)
{
    struct receiving *to = user;

    if (to->hash != NULL) {
        look_at(to, bytes, n);
    }
    if (write_all(to->fd, (struct str){bytes, n}) != 0) {
        to->fault = errno;
        return -1;
    }
    return 0;
}

static void on_progress(uint64_t done, uint64_t total, void *user)
{
    struct receiving *to = user;

    progress_set(&to->progress, done, total);
}

static enum cli_exit receive(struct cli *cli, struct receiving *to,
                             const char *name)
{
    struct roster_request request = {.method = "GET",
                                     .path = "/v1/admin/backup",
                                     .timeout_ms = cli->timeout_ms > SILENCE_MS
                                                       ? cli->timeout_ms
                                                       : SILENCE_MS};
    struct roster_stream stream = {
        .take = on_bytes, .progress = on_progress, .user = to};
    struct roster_response response = {0};

    progress_begin(&to->progress, cli, "receiving", PROGRESS_BYTES);
    enum roster_result result =
        roster_transfer(cli->roster, &request, &stream, &response);
    progress_end(&to->progress);
    roster_response_done(&response);
    if (result == ROSTER_OK) {
        return CLI_OK;
    }
    if (to->fault != 0) {
        ask_say("cannot write %s: %s", name, strerror(to->fault));
        return CLI_REFUSED;
    }
    return ask_complain(cli, result);
}

/* ---- to stdout ---- */

static enum cli_exit judge(struct receiving *to, struct state_info *ret_info)
{
    char why[STATE_WHY] = "it is shorter than a header";
    uint8_t sum[32];

    (void)sha256_end(to->hash, sum);
    if (to->n < sizeof to->head ||
        state_head_decode(to->head, ret_info, why) != 0) {
        ask_say("what came is no backup: %s", why);
        return CLI_REFUSED;
    }
    if (state_file_bytes(ret_info) != to->n ||
        memcmp(sum, ret_info->image, sizeof sum) != 0) {
        ask_say("what came is damaged: size or sum is not what the header "
                "says; do not use it");
        return CLI_REFUSED;
    }
    return CLI_OK;
}

static enum cli_exit to_stdout(struct cli *cli)
{
    struct receiving to = {.fd = STDOUT_FILENO};
    struct state_info info;

    if (isatty(STDOUT_FILENO) != 0) {
        return cli_misused("a backup is no text for a terminal: name a FILE, "
                           "or pipe it somewhere");
    }
    to.hash = sha256_new();
    enum cli_exit status = receive(cli, &to, "stdout");
    if (status == CLI_OK) {
        status = judge(&to, &info);
    } else {
        uint8_t sum[32];
        (void)sha256_end(to.hash, sum);
    }
    if (status == CLI_OK && !cli->quiet) {
        (void)fprintf(stderr,
                      "roster: backup of revision %llu, %llu bytes, sum "
                      "verified\n",
                      (unsigned long long)info.revision,
                      (unsigned long long)to.n);
    }
    return status;
}

/* ---- to a file ---- */

static enum cli_exit keep(struct cli *cli, struct partial *partial,
                          const char *path)
{
    struct state_info info;

    if (!state_verify(cli, partial->name, &info)) {
        return CLI_REFUSED;
    }
    if (!partial_keep(partial)) {
        return CLI_REFUSED;
    }
    state_show(cli, path, &info);
    return CLI_OK;
}

static enum cli_exit to_file(struct cli *cli, const char *path)
{
    struct partial partial;
    struct receiving to = {0};

    if (!partial_open(&partial, path)) {
        return CLI_REFUSED;
    }
    to.fd = partial.fd;
    enum cli_exit status = receive(cli, &to, path);
    if (status == CLI_OK) {
        status =
            partial_sync(&partial) ? keep(cli, &partial, path) : CLI_REFUSED;
    }
    partial_done(&partial);
    return status;
}

enum cli_exit backup_run(struct cli *cli)
{
    if (cli->n_args == 2 && strcmp(cli->args[0], "verify") == 0) {
        cli->args++;
        cli->n_args--;
        return backup_verify(cli);
    }
    if (cli->n_args == 2) {
        return cli_misused("write: roster backup FILE, or roster backup verify "
                           "FILE");
    }
    return strcmp(cli->args[0], "-") == 0 ? to_stdout(cli)
                                          : to_file(cli, cli->args[0]);
}
