/* The audit: its files, without a server, and where a node's chain ends. */
#include "audit/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/rows.h"

/* ---- verify ---- */

static json_t *describe(const char *dir, const struct audit_verdict *verdict)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I}", "dir", dir,
        "files", (json_int_t)verdict->files, "lines",
        (json_int_t)verdict->lines, "first_seq", (json_int_t)verdict->first_seq,
        "last_seq", (json_int_t)verdict->last_seq, "hash", verdict->hash,
        "begins_later", verdict->begins_later, "torn",
        (json_int_t)verdict->torn, "open_bytes",
        (json_int_t)verdict->open_bytes, "gaps", (json_int_t)verdict->gaps);
}

/* What holds, and cannot be seen from the files alone. */
static void remark(const struct cli *cli, const struct audit_verdict *verdict)
{
    if (cli->quiet) {
        return;
    }
    if (verdict->begins_later) {
        ask_say("what was before line %" PRIu64 " is not here: nothing is "
                "said about it",
                verdict->first_seq);
    }
    if (verdict->torn > 0) {
        ask_say("%" PRIu64 " times the end was torn, by a power cut perhaps: "
                "lines of the last second before may be missing there",
                verdict->torn);
    }
    if (verdict->open_bytes > 0) {
        ask_say("the end is torn, or is being written: %" PRIu64
                " bytes are no line",
                verdict->open_bytes);
    }
    if (verdict->gaps > 0) {
        ask_say("%" PRIu64 " times lines could not be written: see \"op\":"
                "\"audit gap\"",
                verdict->gaps);
    }
    if (cli->head == NULL) {
        ask_say("that nothing is missing at the end can be said only with a "
                "--head that was noted before (roster audit head)");
    } else if (verdict->noted_gone) {
        ask_say("the line of --head is not here any more: it was not "
                "compared");
    }
}

static enum cli_exit verify(struct cli *cli, const char *dir)
{
    struct audit_verdict verdict = {.files = 0};
    struct audit_noted noted;
    char why[AUDIT_WHY] = "";

    if (cli->head != NULL &&
        audit_noted_parse(str_of(cli->head), &noted) != 0) {
        return cli_misused("--head is SEQ:HASH, as 'roster audit head' prints "
                           "it");
    }
    int r = audit_verify(dir, cli->head == NULL ? NULL : &noted, &verdict, why);
    if (r != 0) {
        ask_say("%s: %s", dir,
                r == ERR_NOT_FOUND ? "there are no files of an audit there"
                : why[0] != '\0'   ? why
                                   : err_text(r));
        return CLI_REFUSED;
    }
    json_t *json = describe(dir, &verdict);
    (cli->json ? print_json : print_fields)(json);
    json_decref(json);
    remark(cli, &verdict);
    return CLI_OK;
}

/* ---- head ---- */

static enum cli_exit head(struct cli *cli)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/admin/audit", NULL, NULL, &answer, NULL);

    if (status == CLI_OK && cli->json) {
        print_json(answer);
    } else if (status == CLI_OK &&
               !json_is_true(json_object_get(answer, "enabled"))) {
        ask_say("that node writes no audit (--audit)");
        status = CLI_REFUSED;
    } else if (status == CLI_OK) {
        const char *hash = json_string_value(json_object_get(answer, "hash"));
        (void)printf("%" JSON_INTEGER_FORMAT ":%s\n",
                     json_integer_value(json_object_get(answer, "seq")),
                     hash == NULL ? "" : hash);
    }
    json_decref(answer);
    return status;
}

enum cli_exit audit_run(struct cli *cli)
{
    if (strcmp(cli->args[0], "verify") == 0 && cli->n_args == 2) {
        return verify(cli, cli->args[1]);
    }
    if (strcmp(cli->args[0], "head") == 0 && cli->n_args == 1) {
        return head(cli);
    }
    return cli_misused("write: roster audit verify DIR, or roster audit head");
}
