/* Removals that are held back, and what an operator decides about them. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

static const char path[] = "/v1/admin/breaker";

/* Between now and a moment in Unix time; "" when it is none, or over. */
static void add_between(struct buf *out, const json_t *moment, bool is_past)
{
    uint64_t then = (uint64_t)json_integer_value(moment);
    uint64_t now = clock_wall_ms();

    if (then > 0 && is_past) {
        text_add_time(out, now > then ? now - then : 0);
        buf_add_text(out, " ago");
    } else if (then > now) {
        buf_add_text(out, "in ");
        text_add_time(out, then - now);
    }
}

/* A scope as a row for people. Gives. */
static json_t *row_of(const json_t *scope)
{
    struct buf since = {0};
    struct buf until = {0};

    add_between(&since, json_object_get(scope, "since_ms"), true);
    add_between(&until, json_object_get(scope, "until_ms"), false);
    json_t *row = json_pack("{s:O?, s:O?, s:O?, s:O?, s:s, s:s}", "namespace",
                            json_object_get(scope, "ns"), "state",
                            json_object_get(scope, "state"), "leases",
                            json_object_get(scope, "leases"), "suspect",
                            json_object_get(scope, "suspect"), "since",
                            buf_text(&since), "ends", buf_text(&until));
    buf_done(&since);
    buf_done(&until);
    return row;
}

static enum cli_exit list(struct cli *cli)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", path, NULL, NULL, &answer, NULL);
    json_t *rows = json_array();
    const json_t *scope = NULL;
    size_t i = 0;

    if (status == CLI_OK && cli->json) {
        print_json(answer);
    } else if (status == CLI_OK) {
        json_array_foreach(json_object_get(answer, "scopes"), i, scope)
        {
            (void)json_array_append_new(rows, row_of(scope));
        }
        show_rows(cli, rows);
    }
    json_decref(rows);
    json_decref(answer);
    return status;
}

static enum cli_exit act(struct cli *cli, const char *action, const char *ns,
                         const char *duration, const char *done)
{
    json_t *body = json_pack("{s:s, s:s*, s:s*}", "action", action, "ns", ns,
                             "duration", duration);

    if (body == NULL) {
        return cli_misused("NS is no text in UTF-8");
    }
    enum cli_exit status = show_sent(cli, "POST", path, body, done);
    json_decref(body);
    return status;
}

static enum cli_exit extend(struct cli *cli)
{
    const char *duration = cli->args[cli->n_args - 1];
    uint64_t ms = 0;

    if (str_duration(str_of(duration), &ms) != 0 || ms == 0) {
        return cli_misused("'%s' is no time: write how much longer, as in 5m",
                           duration);
    }
    return act(cli, "extend", cli->n_args == 3 ? cli->args[1] : NULL, duration,
               "extended");
}

enum cli_exit breaker_run(struct cli *cli)
{
    const char *what = cli->n_args == 0 ? "list" : cli->args[0];

    if (strcmp(what, "list") == 0 && cli->n_args <= 1) {
        return list(cli);
    }
    if (strcmp(what, "release") == 0 && cli->n_args <= 2) {
        return act(cli, "release", cli->n_args == 2 ? cli->args[1] : NULL, NULL,
                   "released");
    }
    if (strcmp(what, "extend") == 0 && cli->n_args >= 2) {
        return extend(cli);
    }
    return cli_misused("write: roster breaker list, roster breaker release "
                       "[NS], or roster breaker extend [NS] TIME");
}
