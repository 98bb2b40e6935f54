/* Definitions of types: list, show, define. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

/* ["a","b"] as "a, b". */
static json_t *joined(const json_t *array)
{
    struct buf text = {0};
    size_t i = 0;
    const json_t *item = NULL;

    json_array_foreach(array, i, item)
    {
        const char *name = json_string_value(item);
        buf_printf(&text, "%s%s", i == 0 ? "" : ", ", name == NULL ? "" : name);
    }
    json_t *made = json_stringn(buf_text(&text), text.n);
    buf_done(&text);
    return made;
}

static json_t *checks_of(const json_t *checks)
{
    struct buf text = {0};
    const char *field = NULL;
    json_t *kind = NULL;

    json_object_foreach((json_t *)(uintptr_t)checks, field, kind)
    {
        const char *name = json_string_value(kind);
        buf_printf(&text, "%s%s is %s", text.n == 0 ? "" : ", ", field,
                   name == NULL ? "?" : name);
    }
    json_t *made = json_stringn(buf_text(&text), text.n);
    buf_done(&text);
    return made;
}

static json_t *type_row(const json_t *type)
{
    return json_pack(
        "{s:O?, s:O?, s:o, s:o, s:o, s:s}", "name",
        json_object_get(type, "name"), "key", json_object_get(type, "key"),
        "required", joined(json_object_get(type, "required")), "checks",
        checks_of(json_object_get(type, "checks")), "secret",
        joined(json_object_get(type, "secret")), "from",
        json_is_true(json_object_get(type, "builtin")) ? "built in"
                                                       : "defined");
}

static enum cli_exit list(struct cli *cli)
{
    json_t *types = NULL;
    enum cli_exit status = ask_all(cli, "/v1/types", NULL, &types);

    if (status == CLI_OK && cli->json) {
        print_json(types);
    } else if (status == CLI_OK) {
        json_t *rows = json_array();
        size_t i = 0;
        const json_t *type = NULL;
        json_array_foreach(types, i, type)
        {
            (void)json_array_append_new(rows, type_row(type));
        }
        show_rows(cli, rows);
        json_decref(rows);
    }
    json_decref(types);
    return status;
}

static enum cli_exit show(struct cli *cli)
{
    char *path = roster_path("v1", "types", cli->args[1], NULL);
    json_t *type = NULL;
    enum cli_exit status = ask_once(cli, "GET", path, NULL, NULL, &type, NULL);

    if (status == CLI_OK) {
        (cli->json ? print_json : print_fields)(type);
    }
    json_decref(type);
    free(path);
    return status;
}

/* ---- define ---- */

static json_t *split(const char *text)
{
    json_t *names = json_array();

    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        (void)json_array_append_new(names, json_stringn(text, n));
        text += n + (text[n] == ',' ? 1 : 0);
    }
    return names;
}

/* One NAME=VALUE of a definition. */
static bool define_part(json_t *type, const char *arg)
{
    const char *value = strchr(arg, '=');
    size_t n = value == NULL ? 0 : (size_t)(value - arg);
    struct str name = {arg, n};

    if (value == NULL) {
        return false;
    }
    value++;
    if (str_is(name, "key")) {
        (void)json_object_set_new(
            type, "key", *value == '\0' ? json_null() : json_string(value));
    } else if (str_is(name, "required") || str_is(name, "secret")) {
        char *list_name = strndup(arg, n);
        (void)json_object_set_new(type, list_name, split(value));
        free(list_name);
    } else if (str_is(name, "template")) {
        (void)json_object_set_new(type, "template",
                                  json_boolean(strcmp(value, "true") == 0));
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    } else if (n > 6 && strncmp(arg, "check.", 6) == 0) {
        json_t *checks = json_object_get(type, "checks");
        if (checks == NULL) {
            checks = json_object();
            (void)json_object_set_new(type, "checks", checks);
        }
        return json_object_setn_new(checks, arg + 6, n - 6,
                                    json_string(value)) == 0;
    } else {
        return false;
    }
    return true;
}

static json_t *define_from_file(const char *name)
{
    json_error_t error;
    json_t *type = strcmp(name, "-") == 0
                       ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                       : json_load_file(name, JSON_REJECT_DUPLICATES, &error);

    if (type == NULL) {
        ask_say("%s, line %d: %s", name, error.line, error.text);
    }
    return type;
}

static json_t *read_definition(const struct cli *cli)
{
    if (cli->n_args == 3 && strchr(cli->args[2], '=') == NULL) {
        return define_from_file(cli->args[2]);
    }
    json_t *type = json_object();
    for (size_t i = 2; i < cli->n_args; i++) {
        if (!define_part(type, cli->args[i])) {
            ask_say("'%s' defines nothing: write key=FIELD, required=A,B, "
                    "check.FIELD=KIND, secret=A,B, template=false, or one FILE "
                    "of JSON (- for stdin)",
                    cli->args[i]);
            json_decref(type);
            return NULL;
        }
    }
    return type;
}

static enum cli_exit define(struct cli *cli)
{
    json_t *type = read_definition(cli);

    if (type == NULL) {
        return CLI_USAGE;
    }
    char *path = roster_path("v1", "types", cli->args[1], NULL);
    enum cli_exit status = show_sent(cli, "PUT", path, type, "defined");
    free(path);
    json_decref(type);
    return status;
}

enum cli_exit types_run(struct cli *cli)
{
    const char *what = cli->n_args == 0 ? "list" : cli->args[0];

    if (strcmp(what, "list") == 0 && cli->n_args <= 1) {
        return list(cli);
    }
    if (strcmp(what, "show") == 0 && cli->n_args == 2) {
        return show(cli);
    }
    if (strcmp(what, "define") == 0 && cli->n_args >= 3) {
        return define(cli);
    }
    return cli_misused("write: roster types list, roster types show TYPE, or "
                       "roster types define TYPE NAME=VALUE...");
}
