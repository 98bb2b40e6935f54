#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/send.h"
#include "cli/show.h"

enum { SHOW_EVERY = 256 };

struct import {
    struct cli *cli;
    FILE *from;
    const char *name;
    struct known_types types;
    struct sender *sender; /* NULL: a dry run */
    struct progress progress;
    uint64_t size; /* 0: not known */
    uint64_t bytes;
    uint64_t number;
    uint64_t n_types, n_spaces, n_rows;
};

static enum cli_exit put_type(struct import *import, const struct line *line)
{
    json_t *answer = NULL;

    if (!sender_wait(import->sender)) {
        return CLI_REFUSED;
    }
    char *path = roster_path("v1", "types", line->type, NULL);
    enum cli_exit status =
        ask_once(import->cli, "PUT", path, NULL, line->body, &answer, NULL);
    if (status == CLI_OK) {
        known_types_put(&import->types, answer);
        import->n_types++;
    } else {
        ask_say("%s, line %llu: not stored", import->name,
                (unsigned long long)line->number);
    }
    json_decref(answer);
    free(path);
    return status;
}

static enum cli_exit take(struct import *import, struct line *line)
{
    if (import->sender == NULL) {
        import->n_types += line->op == LINE_TYPE_PUT ? 1 : 0;
        import->n_spaces += line->op == LINE_NS_PUT ? 1 : 0;
        import->n_rows += line->op == LINE_PUT ? 1 : 0;
        return CLI_OK;
    }
    if (line->op == LINE_TYPE_PUT) {
        return put_type(import, line);
    }
    return sender_line(import->sender, line) ? CLI_OK : CLI_REFUSED;
}

static enum cli_exit unreadable(const struct import *import, int r)
{
    ask_say("%s, line %llu: %s", import->name,
            (unsigned long long)import->number,
            r == ERR_TOO_LARGE ? "it is longer than 4 MiB; is this a file that "
                                 "export wrote?"
                               : err_text(r));
    return CLI_REFUSED;
}

static enum cli_exit read_one(struct import *import, struct buf *text,
                              struct buf *why)
{
    struct line line;

    import->bytes += text->n + 1;
    if (line_parse(buf_str(text), &line, why) != 0) {
        ask_say("%s, line %llu: %s", import->name,
                (unsigned long long)import->number, buf_text(why));
        return CLI_REFUSED;
    }
    line.number = import->number;
    enum cli_exit status = line.op == LINE_NONE ? CLI_OK : take(import, &line);
    line_done(&line);
    return status;
}

static enum cli_exit read_all(struct import *import)
{
    struct buf text = {0};
    struct buf why = {0};
    enum cli_exit status = CLI_OK;

    while (status == CLI_OK) {
        import->number++;
        int r = line_read(import->from, &text);
        if (r == ERR_END) {
            break;
        }
        status = r != 0 ? unreadable(import, r) : read_one(import, &text, &why);
        if (import->number % SHOW_EVERY == 0) {
            if (import->size > 0) {
                progress_set(&import->progress, import->bytes, import->size);
            } else {
                progress_set(&import->progress, import->number, 0);
            }
        }
    }
    buf_done(&text);
    buf_done(&why);
    return status;
}

/* ---- the end ---- */

static void tell(const struct import *import, const struct sent *sent,
                 enum cli_exit status)
{
    bool dry = import->cli->dry_run;
    json_t *json = json_pack(
        "{s:b, s:b, s:I, s:I, s:I, s:I, s:I}", "complete", status == CLI_OK,
        "dry_run", dry, "types", (json_int_t)import->n_types, "namespaces",
        (json_int_t)(dry ? import->n_spaces : sent->spaces), "resources",
        (json_int_t)(dry ? import->n_rows : sent->rows), "changed",
        (json_int_t)sent->changed, "fields_left_out", (json_int_t)sent->masked);

    if (import->cli->json) {
        print_json(json);
    } else if (status == CLI_OK || !dry) {
        FILE *out = status == CLI_OK ? stdout : stderr;
        (void)fprintf(
            out, "%s%s: %llu types, %llu namespaces, %llu resources",
            status == CLI_OK ? "" : "roster: ",
            dry                ? "every line is well formed"
            : status == CLI_OK ? "imported"
                               : "stored before that",
            (unsigned long long)import->n_types,
            (unsigned long long)(dry ? import->n_spaces : sent->spaces),
            (unsigned long long)(dry ? import->n_rows : sent->rows));
        if (!dry) {
            (void)fprintf(out, " (%llu added or changed)%s",
                          (unsigned long long)sent->changed,
                          status == CLI_OK ? "" : "; a second run continues");
        }
        (void)fputc('\n', out);
    }
    json_decref(json);
}

static enum cli_exit run(struct import *import)
{
    struct sent sent = {0};
    struct stat stat;

    if (fstat(fileno(import->from), &stat) == 0 && S_ISREG(stat.st_mode)) {
        import->size = (uint64_t)stat.st_size;
    }
    progress_begin(&import->progress, import->cli,
                   import->cli->dry_run ? "checking" : "importing",
                   import->size > 0 ? PROGRESS_BYTES : PROGRESS_ROWS);
    enum cli_exit status = read_all(import);
    if (import->sender != NULL) {
        enum cli_exit others = sender_stop(import->sender, &sent);
        status = others > status ? others : status;
    }
    progress_end(&import->progress);
    tell(import, &sent, status);
    return status;
}

static enum cli_exit start(struct import *import)
{
    json_t *types = NULL;

    if (import->cli->dry_run) {
        return CLI_OK;
    }
    enum cli_exit status = ask_all(import->cli, "/v1/types", NULL, &types);
    if (status == CLI_OK) {
        known_types_set(&import->types, types);
        roster_set_patience(import->cli->roster, SENDER_PATIENCE_MS);
        import->sender =
            sender_start(import->cli, import->name, &import->types);
    }
    json_decref(types);
    return status;
}

enum cli_exit import_run(struct cli *cli)
{
    const char *name = cli->n_args == 0 ? "-" : cli->args[0];
    bool is_stdin = strcmp(name, "-") == 0;
    struct import import = {.cli = cli, .name = is_stdin ? "stdin" : name};

    import.from = is_stdin ? stdin : fopen(name, "re");
    if (import.from == NULL) {
        perror(name);
        return CLI_REFUSED;
    }
    enum cli_exit status = start(&import);
    if (status == CLI_OK) {
        status = run(&import);
    }
    known_types_done(&import.types);
    if (!is_stdin) {
        (void)fclose(import.from);
    }
    return status;
}
