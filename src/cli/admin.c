/* Snapshots and the digest. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

/* The server works on the whole state before it answers. */
enum { SILENCE_MS = 600000 };

static enum cli_exit show_one(struct cli *cli, const char *method,
                              const char *path)
{
    struct roster_request request = {.method = method,
                                     .path = path,
                                     .repeat = ROSTER_REPEAT_SAFE,
                                     .timeout_ms = cli->timeout_ms > SILENCE_MS
                                                       ? cli->timeout_ms
                                                       : SILENCE_MS};
    struct roster_response response = {0};
    enum cli_exit status = CLI_OK;
    enum roster_result result = ask_send(cli, &request, &response);
    json_t *answer =
        result != ROSTER_OK
            ? NULL
            : json_loadb(response.body, response.body_size, 0, NULL);

    if (result != ROSTER_OK) {
        status = ask_complain(cli, result);
    } else if (answer == NULL) {
        status = ask_not_json(&response);
    } else {
        (cli->json ? print_json : print_fields)(answer);
    }
    json_decref(answer);
    roster_response_done(&response);
    return status;
}

enum cli_exit admin_snapshot(struct cli *cli)
{
    return show_one(cli, "POST", "/v1/admin/snapshot");
}

enum cli_exit admin_digest(struct cli *cli)
{
    return show_one(cli, "GET", "/v1/admin/digest");
}

static json_t *snapshot_row(const json_t *snapshot)
{
    struct buf size = {0};
    char made[32] = "";
    struct tm tm;
    time_t when =
        (time_t)(json_integer_value(json_object_get(snapshot, "made_ms")) /
                 1000);

    if (localtime_r(&when, &tm) != NULL) {
        (void)strftime(made, sizeof made, "%Y-%m-%d %H:%M:%S", &tm);
    }
    text_add_bytes(&size, (uint64_t)json_integer_value(
                              json_object_get(snapshot, "bytes")));
    json_t *row =
        json_pack("{s:s, s:O?, s:O?, s:s, s:O?}", "made", made, "index",
                  json_object_get(snapshot, "index"), "revision",
                  json_object_get(snapshot, "revision"), "size",
                  buf_text(&size), "file", json_object_get(snapshot, "file"));
    buf_done(&size);
    return row;
}

enum cli_exit admin_snapshots(struct cli *cli)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/admin/snapshots", NULL, NULL, &answer, NULL);

    if (status == CLI_OK && cli->json) {
        print_json(answer);
    } else if (status == CLI_OK) {
        json_t *rows = json_array();
        size_t i = 0;
        const json_t *snapshot = NULL;
        json_array_foreach(answer, i, snapshot)
        {
            (void)json_array_append_new(rows, snapshot_row(snapshot));
        }
        show_rows(cli, rows);
        json_decref(rows);
    }
    json_decref(answer);
    return status;
}
