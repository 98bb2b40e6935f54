/* Everything as JSON lines, a page at a time. Not one moment of the registry: a
 * row that changes meanwhile is written as it was or as it is. (A backup is one
 * moment.) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/known.h"
#include "cli/leased.h"
#include "cli/lines.h"
#include "cli/partial.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/stream.h"

struct export
{
    struct cli *cli;
    FILE *out;
    FILE *spaces; /* the namespaces' names, a line each: not in memory */
    struct known_types types;
    struct leased leased;
    struct progress progress;
    struct buf line;
    uint64_t n_types, n_spaces, n_rows, n_leased, n_masked;
    bool found; /* the namespace that was asked for */
};

static int put(struct export *export, json_t *line)
{
    buf_clear(&export->line);
    print_add_json(&export->line, line);
    buf_add_char(&export->line, '\n');
    (void)fwrite(export->line.p, 1, export->line.n, export->out);
    json_decref(line);
    return ferror(export->out);
}

static json_t *op_line(const char *op)
{
    return json_pack("{s:s}", "op", op);
}

/* ---- types ---- */

static int put_type(struct export *export, const json_t *type)
{
    const char *name = json_string_value(json_object_get(type, "name"));

    if (json_is_true(json_object_get(type, "builtin")) || name == NULL ||
        (export->cli->type != NULL && strcmp(name, export->cli->type) != 0)) {
        return 0;
    }
    json_t *line = op_line("type-put");
    json_t *definition = json_copy((json_t *)(uintptr_t)type);
    (void)json_object_del(definition, "name");
    (void)json_object_del(definition, "builtin");
    (void)json_object_set_new(line, "type", json_string(name));
    (void)json_object_set_new(line, "definition", definition);
    export->n_types++;
    return put(export, line);
}

static enum cli_exit put_types(struct export *export)
{
    json_t *types = NULL;
    enum cli_exit status = ask_all(export->cli, "/v1/types", NULL, &types);
    size_t i = 0;
    const json_t *type = NULL;

    known_types_set(&export->types, types);
    json_array_foreach(types, i, type)
    {
        (void)put_type(export, type);
    }
    json_decref(types);
    return status;
}

/* ---- namespaces ---- */

static bool is_wanted(const struct export *export, const char *ns)
{
    const char *below = export->cli->ns;
    size_t n = strlen(ns);
    size_t m = below == NULL ? 0 : strlen(below);

    return m == 0 || (n == m && strcmp(ns, below) == 0) ||
           (n > m && ns[n - m - 1] == '.' && strcmp(ns + n - m, below) == 0);
}

static int on_node(const json_t *node, void *user)
{
    static const char *const members[] = {"ns", "kind", "match", "comment"};
    struct export *export = user;
    const char *ns = json_string_value(json_object_get(node, "ns"));

    if (ns == NULL) {
        return -1;
    }
    if (!is_wanted(export, ns)) {
        return 0;
    }
    json_t *line = op_line("ns-put");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        (void)json_object_set(line, members[i],
                              json_object_get(node, members[i]));
    }
    export->found = true;
    export->n_spaces++;
    (void)fprintf(export->spaces, "%s\n", ns);
    return put(export, line) != 0 || ferror(export->spaces) != 0 ? -1 : 0;
}

static enum cli_exit cannot_write(void)
{
    ask_say("the output cannot be written");
    return CLI_REFUSED;
}

static enum cli_exit cannot_keep_names(void)
{
    ask_say("the names of the namespaces cannot be kept in /tmp meanwhile: %s; "
            "make room there",
            strerror(errno));
    return CLI_REFUSED;
}

static enum cli_exit put_spaces(struct export *export)
{
    struct stream stream = {.element = on_node, .user = export};
    struct roster_request request = {
        .method = "GET", .path = "/v1/ns", .query = "flat=true"};
    struct roster_stream body = {.take = stream_take, .user = &stream};
    struct roster_response response = {0};
    enum cli_exit status = CLI_OK;

    enum roster_result result =
        roster_transfer(export->cli->roster, &request, &body, &response);
    if (fflush(export->spaces) != 0 || ferror(export->spaces) != 0) {
        status = cannot_keep_names();
    } else if (result == ROSTER_STOPPED) {
        status =
            ferror(export->out) != 0 ? cannot_write() : ask_not_json(&response);
    } else if (result != ROSTER_OK) {
        status = ask_complain(export->cli, result);
    } else if (!stream_whole(&stream)) {
        status = ask_not_json(&response);
    } else if (!export->found) {
        ask_say("there is no namespace %s; 'roster tree' shows what there is",
                export->cli->ns);
        status = CLI_REFUSED;
    }
    stream_done(&stream);
    roster_response_done(&response);
    return status;
}

/* ---- rows ---- */

static void count_masked(struct export *export, const char *type,
                         const json_t *row)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        export->n_masked +=
            known_is_mask(&export->types, type, name, value) ? 1 : 0;
    }
}

static int put_row(struct export *export, const char *ns, const char *type,
                   json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "_id"));

    if (leased_has(&export->leased, id)) {
        export->n_leased++;
        return 0;
    }
    count_masked(export, type, row);
    if (!export->cli->with_ids) {
        (void)json_object_del(row, "_id");
        (void)json_object_del(row, "_rev");
    }
    json_t *line = json_pack("{s:s, s:s, s:s, s:O}", "op", "put", "ns", ns,
                             "type", type, "resource", row);
    export->n_rows++;
    return put(export, line);
}

/* GET where 404 means that it has gone meanwhile. Gives *ret_answer, NULL when
 * it has; *ret_next (free) as ask_once. */
static enum cli_exit get(struct cli *cli, const char *path, json_t **ret_answer,
                         char **ret_next)
{
    struct roster_request request = {.method = "GET", .path = path};
    struct roster_response response = {0};
    enum cli_exit status = CLI_OK;
    enum roster_result result = ask_send(cli, &request, &response);

    *ret_answer = NULL;
    *ret_next = mem_text(result == ROSTER_OK ? response.next : "");
    if (result == ROSTER_OK) {
        *ret_answer =
            json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
        status = *ret_answer == NULL ? ask_not_json(&response) : CLI_OK;
    } else if (result != ROSTER_REFUSED || response.status != 404) {
        status = ask_complain(cli, result);
    }
    roster_response_done(&response);
    return status;
}

static enum cli_exit put_list(struct export *export, const char *ns,
                              const char *type)
{
    char *list = roster_path("v1", "ns", ns, type, NULL);
    struct buf first = {0};
    enum cli_exit status = CLI_OK;

    buf_printf(&first, "%s?limit=1000", list);
    free(list);
    char *path = mem_text(buf_text(&first));
    while (status == CLI_OK && path[0] != '\0') {
        json_t *page = NULL;
        char *next = NULL;
        size_t i = 0;
        json_t *row = NULL;
        status = get(export->cli, path, &page, &next);
        json_array_foreach(page, i, row)
        {
            if (put_row(export, ns, type, row) != 0) {
                status = cannot_write();
                break;
            }
        }
        progress_set(&export->progress, export->n_rows, 0);
        json_decref(page);
        (void)mem_free(path);
        path = next;
    }
    (void)mem_free(path);
    buf_done(&first);
    return status;
}

/* As get(). */
static enum cli_exit get_node(struct cli *cli, const char *ns,
                              json_t **ret_node)
{
    enum roster_result result = ask_node(cli->roster, ns, cli->seen, ret_node);

    if (result == ROSTER_OK || (result == ROSTER_REFUSED &&
                                roster_error(cli->roster)->status == 404)) {
        return CLI_OK;
    }
    return ask_complain(cli, result);
}

static enum cli_exit put_lists(struct export *export, const char *ns)
{
    json_t *node = NULL;
    const char *type = NULL;
    json_t *list = NULL;
    enum cli_exit status = get_node(export->cli, ns, &node);

    json_object_foreach(json_object_get(node, "types"), type, list)
    {
        bool wanted =
            export->cli->type == NULL || strcmp(type, export->cli->type) == 0;
        if (status == CLI_OK && wanted &&
            json_integer_value(json_object_get(list, "count")) > 0) {
            status = put_list(export, ns, type);
        }
    }
    json_decref(node);
    return status;
}

static enum cli_exit put_rows(struct export *export)
{
    struct buf ns = {0};
    enum cli_exit status = CLI_OK;

    rewind(export->spaces);
    while (status == CLI_OK && line_read(export->spaces, &ns) == 0) {
        status = put_lists(export, buf_text(&ns));
    }
    if (status == CLI_OK && ferror(export->spaces) != 0) {
        status = cannot_keep_names();
    }
    buf_done(&ns);
    return status;
}

/* ---- the whole ---- */

static enum cli_exit put_all(struct export *export)
{
    enum cli_exit status = CLI_OK;

    if (!export->cli->leased) {
        status = leased_read(export->cli, &export->leased);
    }
    status = status == CLI_OK ? put_types(export) : status;
    status = status == CLI_OK ? put_spaces(export) : status;
    status = status == CLI_OK ? put_rows(export) : status;
    if (fflush(export->out) != 0 && status == CLI_OK) {
        status = cannot_write();
    }
    return status;
}

static void tell(const struct export *export, bool to_file)
{
    json_t *json = json_pack("{s:I, s:I, s:I, s:I, s:I}", "types",
                             (json_int_t) export->n_types, "namespaces",
                             (json_int_t) export->n_spaces, "resources",
                             (json_int_t) export->n_rows, "leased_left_out",
                             (json_int_t) export->n_leased, "secrets_masked",
                             (json_int_t) export->n_masked);

    if (to_file && export->cli->json) {
        print_json(json);
    } else if (to_file) {
        print_fields(json);
    }
    json_decref(json);
    if (export->cli->quiet) {
        return;
    }
    if (export->n_leased > 0) {
        ask_say("%llu machines that agents keep registered were left out; "
                "--leased writes them",
                (unsigned long long)export->n_leased);
    }
    if (export->n_masked > 0) {
        ask_say("%llu secret fields are *** in it: they cannot be imported",
                (unsigned long long)export->n_masked);
    }
}

static enum cli_exit run(struct export *export, const char *path)
{
    struct partial partial = {.fd = -1};
    bool to_file = path != NULL && strcmp(path, "-") != 0;

    if (to_file && !partial_open(&partial, path)) {
        return CLI_REFUSED;
    }
    export->out = to_file ? fdopen(partial.fd, "w") : stdout;
    progress_begin(&export->progress, export->cli, "exporting", PROGRESS_ROWS);
    enum cli_exit status = put_all(export);
    progress_end(&export->progress);
    if (to_file && status == CLI_OK &&
        !(partial_sync(&partial) && partial_keep(&partial))) {
        status = CLI_REFUSED;
    }
    if (status == CLI_OK) {
        tell(export, to_file);
    }
    if (to_file) {
        (void)fclose(export->out);
        partial.fd = -1;
        partial_done(&partial);
    }
    return status;
}

enum cli_exit export_run(struct cli *cli)
{
    struct export export = {.cli = cli, .spaces = tmpfile()};

    if (export.spaces == NULL) {
        perror("roster: a file in /tmp");
        return CLI_REFUSED;
    }
    enum cli_exit status = run(&export, cli->n_args == 0 ? NULL : cli->args[0]);
    (void)fclose(export.spaces);
    known_types_done(&export.types);
    leased_done(&export.leased);
    buf_done(&export.line);
    return status;
}
