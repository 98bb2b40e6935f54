/* Tokens, roles, users, groups, sessions and quotas. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/parts.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/secret.h"
#include "cli/show.h"

/* One kind of them. */
struct thing {
    const char *path; /* below /v1 */
    const struct part *parts;
    const char *made, *changed;
};

static const struct part token_parts[] = {
    {"name", "name", PART_TEXT},         {"kind", "kind", PART_TEXT},
    {"user", "user", PART_TEXT},         {"roles", "roles", PART_LIST},
    {"ttl", "ttl", PART_TEXT},           {"hosts", "hosts", PART_TEXT},
    {"reusable", "reusable", PART_FLAG}, {NULL, NULL, PART_TEXT},
};
static const struct part role_parts[] = {
    {"comment", "comment", PART_TEXT},
    {"rule", "rules", PART_RULE},
    {NULL, NULL, PART_TEXT},
};
static const struct part user_parts[] = {
    {"comment", "comment", PART_TEXT}, {"roles", "roles", PART_LIST},
    {"source", "source", PART_TEXT},   {"disabled", "disabled", PART_FLAG},
    {NULL, NULL, PART_TEXT},
};
static const struct part group_parts[] = {
    {"comment", "comment", PART_TEXT}, {"roles", "roles", PART_LIST},
    {"members", "members", PART_LIST}, {"managers", "managers", PART_LIST},
    {NULL, NULL, PART_TEXT},
};

static const struct part quota_parts[] = {
    {"resources.warn", "resources", PART_COUNT},
    {"resources.refuse", "resources", PART_COUNT},
    {"bytes.warn", "bytes", PART_COUNT},
    {"bytes.refuse", "bytes", PART_COUNT},
    {NULL, NULL, PART_TEXT},
};

static const struct thing tokens = {"tokens", token_parts, "made", NULL};
static const struct thing roles = {"roles", role_parts, "made", "changed"};
static const struct thing users = {"users", user_parts, "made", "changed"};
static const struct thing groups = {"groups", group_parts, "made", "changed"};
static const struct thing quotas = {"quotas", quota_parts, "set", "changed"};
static const struct thing sessions = {"sessions", NULL, NULL, NULL};

/* ---- what they share ---- */

static enum cli_exit list(struct cli *cli, const struct thing *thing)
{
    char *path = roster_path("v1", thing->path, NULL);
    json_t *found = NULL, *rows = json_array();
    const json_t *one = NULL;
    size_t i = 0;

    enum cli_exit status = ask_all(cli, path, "limit=1000", &found);
    if (status == CLI_OK && cli->json) {
        print_json(found);
    } else if (status == CLI_OK) {
        json_array_foreach(found, i, one)
        {
            (void)json_array_append_new(rows, parts_flat(one));
        }
        show_rows(cli, rows);
    }
    json_decref(rows);
    json_decref(found);
    free(path);
    return status;
}

static enum cli_exit show(struct cli *cli, const struct thing *thing)
{
    char *path = roster_path("v1", thing->path, cli->args[1], NULL);
    json_t *found = NULL;
    enum cli_exit status = ask_once(cli, "GET", path, NULL, NULL, &found, NULL);

    if (status == CLI_OK && cli->json) {
        print_json(found);
    } else if (status == CLI_OK) {
        json_t *flat = parts_flat(found);
        print_fields(flat);
        json_decref(flat);
    }
    json_decref(found);
    free(path);
    return status;
}

/* All are tried; the worst outcome is that of all. `path` has a place for each:
 * "groups/ops/members" has it behind. */
static enum cli_exit each(struct cli *cli, const char *method,
                          const char *const above[3], size_t first,
                          const char *word)
{
    enum cli_exit worst = CLI_OK;

    for (size_t i = first; i < cli->n_args; i++) {
        char *path = above[1] == NULL
                         ? roster_path("v1", above[0], cli->args[i], NULL)
                         : roster_path("v1", above[0], above[1], above[2],
                                       cli->args[i], NULL);
        enum cli_exit status =
            show_sent_of(cli, method, path, NULL, cli->args[i], word);
        worst = status > worst ? status : worst;
        free(path);
    }
    return worst;
}

static enum cli_exit delete (struct cli *cli, const struct thing *thing,
                             const char *word) {
    return each(cli, "DELETE", (const char *const[3]){thing->path, NULL, NULL},
                1, word);
}

/* ---- put: what is not named stays as it is ---- */

/* What of the answer is sent back. */
static json_t *base_of(const struct thing *thing, const json_t *old)
{
    json_t *base = json_object();

    for (const struct part *part = thing->parts; part->name != NULL; part++) {
        json_t *value = json_object_get(old, part->member);
        if (value != NULL) {
            (void)json_object_set(base, part->member, value);
        }
    }
    return base;
}

/* NULL: there is none yet. */
static enum cli_exit read_old(struct cli *cli, const char *path,
                              json_t **ret_old)
{
    struct roster_request request = {.method = "GET", .path = path};
    struct roster_response response = {0};

    enum roster_result result = ask_send(cli, &request, &response);
    enum cli_exit status = CLI_OK;
    if (result == ROSTER_OK) {
        *ret_old = json_loadb(response.body, response.body_size, 0, NULL);
        status = *ret_old == NULL ? ask_not_json(&response) : CLI_OK;
    } else if (result != ROSTER_REFUSED ||
               roster_error(cli->roster)->status != 404) {
        status = ask_complain(cli, result);
    }
    roster_response_done(&response);
    return status;
}

/* Only over what was read: who changes it meanwhile is not undone. A password
 * is sent without a key, so not again. */
static enum cli_exit send_put(struct cli *cli, const struct thing *thing,
                              const char *path, const json_t *old,
                              const json_t *body)
{
    char condition[64] = "If-None-Match: *";
    const char *const headers[] = {condition, NULL};
    char *text = json_dumps(body, JSON_COMPACT);
    struct roster_request request = {
        .method = "PUT",
        .path = path,
        .body = text,
        .body_size = strlen(text),
        .headers = headers,
        .repeat = json_object_get(body, "password") == NULL
                      ? ROSTER_REPEAT_KEYED
                      : ROSTER_REPEAT_NEVER};
    struct roster_response response = {0};

    if (old != NULL) {
        (void)snprintf(
            condition, sizeof condition, "If-Match: \"%" PRIu64 "\"",
            (uint64_t)json_integer_value(json_object_get(old, "rev")));
    }
    enum roster_result result = ask_send(cli, &request, &response);
    enum cli_exit status =
        result == ROSTER_OK ? CLI_OK : ask_complain(cli, result);
    if (status == CLI_OK) {
        json_t *answer = json_loadb(response.body, response.body_size, 0, NULL);
        show_change(cli, answer, old == NULL ? thing->made : thing->changed);
        json_decref(answer);
    }
    explicit_bzero(text, request.body_size);
    free(text);
    roster_response_done(&response);
    return status;
}

static enum cli_exit put(struct cli *cli, const struct thing *thing,
                         const struct buf *password)
{
    char *path = roster_path("v1", thing->path, cli->args[1], NULL);
    json_t *old = NULL;

    enum cli_exit status = read_old(cli, path, &old);
    json_t *body = base_of(thing, old);
    if (status == CLI_OK &&
        !parts_read(thing->parts, cli->args + 2, cli->n_args - 2, body)) {
        status = CLI_USAGE;
    }
    if (status == CLI_OK && password != NULL &&
        json_object_set_new(body, "password",
                            json_stringn(password->p, password->n)) != 0) {
        status = cli_misused("the password is no text in UTF-8");
    }
    if (status == CLI_OK) {
        status = send_put(cli, thing, path, old, body);
    }
    json_decref(body);
    json_decref(old);
    free(path);
    return status;
}

static bool is(const struct cli *cli, const char *what, size_t least)
{
    return cli->n_args >= least && strcmp(cli->args[0], what) == 0;
}

/* Those that every kind has; -1: it is none of them. */
static int common(struct cli *cli, const struct thing *thing)
{
    if (cli->n_args == 0 || (is(cli, "list", 1) && cli->n_args == 1)) {
        return (int)list(cli, thing);
    }
    if (is(cli, "show", 2) && cli->n_args == 2) {
        return (int)show(cli, thing);
    }
    if (is(cli, "delete", 2)) {
        return (int)delete (cli, thing, "deleted");
    }
    return -1;
}

/* ---- tokens, sessions, roles ---- */

/* The text alone on stdout, for whoever puts it into a file. */
static void show_token(const struct cli *cli, const json_t *token)
{
    const char *text = json_string_value(json_object_get(token, "token"));
    const char *id = json_string_value(json_object_get(token, "id"));

    if (cli->json) {
        print_json(token);
        return;
    }
    if (!cli->quiet) {
        ask_say("this is token %s: it is shown now, and never again",
                id == NULL ? "?" : id);
    }
    (void)puts(text == NULL ? "" : text);
}

static enum cli_exit create_token(struct cli *cli)
{
    json_t *body = json_object(), *token = NULL;
    enum cli_exit status = CLI_USAGE;

    if (parts_read(token_parts, cli->args + 1, cli->n_args - 1, body)) {
        status = ask_once(cli, "POST", "/v1/tokens", NULL, body, &token, NULL);
    }
    if (status == CLI_OK) {
        show_token(cli, token);
    }
    json_decref(token);
    json_decref(body);
    return status;
}

enum cli_exit token_run(struct cli *cli)
{
    int status = common(cli, &tokens);

    if (status >= 0) {
        return (enum cli_exit)status;
    }
    if (is(cli, "create", 2)) {
        return create_token(cli);
    }
    return cli_misused("write: roster token list, token show ID, token delete "
                       "ID..., or token create NAME=VALUE...");
}

enum cli_exit session_run(struct cli *cli)
{
    if (cli->n_args == 0 || (is(cli, "list", 1) && cli->n_args == 1)) {
        return list(cli, &sessions);
    }
    if (is(cli, "end", 2)) {
        return delete (cli, &sessions, "ended");
    }
    return cli_misused("write: roster session list, or session end ID...");
}

enum cli_exit role_run(struct cli *cli)
{
    int status = common(cli, &roles);

    if (status >= 0) {
        return (enum cli_exit)status;
    }
    if (is(cli, "put", 2)) {
        return put(cli, &roles, NULL);
    }
    return cli_misused("write: roster role list, role show NAME, role delete "
                       "NAME..., or role put NAME rule=ALLOW:TYPES[:NS]...");
}

enum cli_exit quota_run(struct cli *cli)
{
    int status = common(cli, &quotas);

    if (status >= 0) {
        return (enum cli_exit)status;
    }
    if (is(cli, "set", 3)) {
        return put(cli, &quotas, NULL);
    }
    return cli_misused("write: roster quota list, quota show NS, quota delete "
                       "NS..., or quota set NS resources.refuse=NUMBER...");
}

/* ---- users ---- */

static enum cli_exit put_user(struct cli *cli)
{
    CLEANUP(buf_done) struct buf password = {.secret = true};
    size_t n = 0;

    if (cli->password_file == NULL) {
        return put(cli, &users, NULL);
    }
    enum cli_exit status = secret_read(cli->password_file, 1, &password, &n);
    return status != CLI_OK ? status : put(cli, &users, &password);
}

/* *ret_self: whether the caller is that user. */
static enum cli_exit ask_self(struct cli *cli, const char *user, bool *ret_self)
{
    json_t *who = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/whoami", NULL, NULL, &who, NULL);
    const char *name = json_string_value(json_object_get(who, "user"));

    *ret_self = name != NULL && strcmp(name, user) == 0;
    json_decref(who);
    return status;
}

/* The new one, and, of the own, the old one before it. */
static enum cli_exit read_passwords(const struct cli *cli, bool self,
                                    struct buf lines[2], size_t *ret_n)
{
    enum cli_exit status = CLI_OK;

    if (cli->password_file != NULL) {
        status = secret_read(cli->password_file, self ? 2 : 1, lines, ret_n);
        return status == CLI_OK && self && *ret_n < 2
                   ? cli_misused("of your own password the first line is the "
                                 "old one, the second the new one")
                   : status;
    }
    *ret_n = 0;
    if (self) {
        status = secret_ask("Password as it is", &lines[(*ret_n)++]);
    }
    return status == CLI_OK ? secret_ask_new("New password", &lines[(*ret_n)++])
                            : status;
}

static enum cli_exit send_password(struct cli *cli, const struct buf *lines,
                                   size_t n)
{
    json_t *body =
        n == 2 ? json_pack("{s:s%, s:s%}", "old", lines[0].p, lines[0].n,
                           "password", lines[1].p, lines[1].n)
               : json_pack("{s:s%}", "password", lines[0].p, lines[0].n);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

    json_decref(body);
    if (text == NULL) {
        return cli_misused("a password is text in UTF-8");
    }
    char *path = roster_path("v1", "users", cli->args[1], "password", NULL);
    struct roster_request request = {.method = "PUT",
                                     .path = path,
                                     .body = text,
                                     .body_size = strlen(text),
                                     .repeat = ROSTER_REPEAT_NEVER};
    struct roster_response response = {0};
    enum roster_result result = ask_send(cli, &request, &response);
    enum cli_exit status =
        result == ROSTER_OK ? CLI_OK : ask_complain(cli, result);
    if (status == CLI_OK) {
        show_change(cli, NULL, "the password is another, sessions have ended");
    }
    explicit_bzero(text, request.body_size);
    free(text);
    free(path);
    roster_response_done(&response);
    return status;
}

static enum cli_exit change_password(struct cli *cli)
{
    struct buf lines[2] = {{.secret = true}, {.secret = true}};
    bool self = false;
    size_t n = 0;

    enum cli_exit status = ask_self(cli, cli->args[1], &self);
    if (status == CLI_OK) {
        status = read_passwords(cli, self, lines, &n);
    }
    if (status == CLI_OK) {
        status = send_password(cli, lines, n);
    }
    buf_done(&lines[0]);
    buf_done(&lines[1]);
    return status;
}

enum cli_exit user_run(struct cli *cli)
{
    int status = common(cli, &users);

    if (status >= 0) {
        return (enum cli_exit)status;
    }
    if (is(cli, "put", 2)) {
        return put_user(cli);
    }
    if (is(cli, "password", 2) && cli->n_args == 2) {
        return change_password(cli);
    }
    return cli_misused("write: roster user list, user show NAME, user delete "
                       "NAME..., user put NAME [NAME=VALUE...], or user "
                       "password NAME");
}

/* ---- groups ---- */

enum cli_exit group_run(struct cli *cli)
{
    int status = common(cli, &groups);

    if (status >= 0) {
        return (enum cli_exit)status;
    }
    if (is(cli, "put", 2)) {
        return put(cli, &groups, NULL);
    }
    bool adds = is(cli, "add", 3);
    if (adds || is(cli, "remove", 3)) {
        return each(cli, adds ? "PUT" : "DELETE",
                    (const char *const[3]){"groups", cli->args[1], "members"},
                    2, adds ? "added" : "removed");
    }
    return cli_misused("write: roster group list, group show NAME, group "
                       "delete NAME..., group put NAME [NAME=VALUE...], or "
                       "group add|remove NAME USER...");
}
