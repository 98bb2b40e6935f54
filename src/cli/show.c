#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/print.h"

void show_rows(const struct cli *cli, const json_t *rows)
{
    if (cli->json) {
        print_json(rows);
    } else if (json_array_size(rows) > 0) {
        print_table(rows);
    } else if (!cli->quiet) {
        ask_say("nothing found");
    }
}

void show_change(const struct cli *cli, const json_t *answer, const char *done)
{
    if (cli->json && answer != NULL) {
        print_json(answer);
        return;
    }
    if (cli->json) {
        (void)puts("{\n  \"done\": true\n}");
        return;
    }
    const char *id = json_string_value(json_object_get(answer, "_id"));
    if (id == NULL) {
        id = json_string_value(json_object_get(answer, "ns"));
    }
    (void)printf("%s%s%s\n", done, id == NULL ? "" : " ", id == NULL ? "" : id);
}

enum cli_exit show_sent(struct cli *cli, const char *method, const char *path,
                        const json_t *body, const char *done)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, method, path, NULL, body, &answer, NULL);

    if (status == CLI_OK) {
        show_change(cli, answer, done);
    }
    json_decref(answer);
    return status;
}

enum cli_exit show_sent_of(struct cli *cli, const char *method,
                           const char *path, const json_t *body,
                           const char *name, const char *done)
{
    json_t *answer = NULL;
    enum cli_exit status =
        ask_once(cli, method, path, NULL, body, &answer, NULL);

    if (status == CLI_OK && cli->json) {
        show_change(cli, answer, "");
    } else if (status == CLI_OK) {
        (void)printf("%s %s\n", name, done);
    }
    json_decref(answer);
    return status;
}

json_t *show_read_fields(const struct cli *cli, size_t first, bool may_remove)
{
    json_t *fields = json_object();

    for (size_t i = first; i < cli->n_args; i++) {
        const char *arg = cli->args[i];
        const char *equals = strchr(arg, '=');
        size_t n = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
        json_t *value = NULL;
        if (equals != NULL && n > 0) {
            value = json_string(equals + 1);
        } else if (may_remove && n > 1 && arg[n - 1] == '-') {
            value = json_null();
            n--;
        }
        char *name = strndup(arg, n);
        bool good =
            value != NULL && json_object_set_new(fields, name, value) == 0;
        free(name);
        if (!good) {
            ask_say("'%s' is not FIELD=VALUE in UTF-8%s", arg,
                    may_remove ? ", nor FIELD- to remove it" : "");
            json_decref(fields);
            return NULL;
        }
    }
    return fields;
}

const char *show_parent(const char *ns, size_t *ret_label)
{
    const char *dot = strchr(ns, '.');

    if (dot == NULL || dot == ns || dot[1] == '\0') {
        ask_say("'%s' is not a whole name: write the path, leaf first, as in "
                "web.shop.roster",
                ns);
        return NULL;
    }
    *ret_label = (size_t)(dot - ns);
    return dot + 1;
}
