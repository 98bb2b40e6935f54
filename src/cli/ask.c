#include "cli/ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/secret.h"
#include "cli/stream.h"

/* What was given, else of who has signed in. What is wrong with that was told,
 * and need not matter. */
static bool show_token(const struct cli *cli, struct roster *roster)
{
    CLEANUP(buf_done) struct buf token = {.secret = true};
    enum cli_exit status = CLI_OK;
    size_t n = 0;

    if (cli->token != NULL) {
        roster_set_token(roster, cli->token);
        return true;
    }
    if (cli->token_file != NULL) {
        status = secret_read(cli->token_file, 1, &token, &n);
    } else if (secret_token_get(&token) != CLI_OK) {
        buf_clear(&token);
    }
    if (token.n > 0) {
        roster_set_token(roster, buf_text(&token));
    }
    return status == CLI_OK;
}

static bool set_up(const struct cli *cli, struct roster *roster)
{
    const char *wrong = NULL;

    if (roster_set_servers(roster, cli->servers) != ROSTER_OK) {
        wrong = "server";
    } else if (roster_set_tls(roster, cli->ca, cli->cert, cli->key_file) !=
               ROSTER_OK) {
        wrong = "ca, --client-cert, --client-key";
    }
    if (wrong != NULL) {
        ask_say("--%s: %s", wrong, roster_error(roster)->detail);
    }
    return wrong == NULL && show_token(cli, roster);
}

struct roster *ask_connect(const struct cli *cli)
{
    struct roster *roster = roster_new();

    roster_set_user_agent(roster, "roster/" ROSTER_VERSION);
    roster_set_timeouts(roster, 0, cli->timeout_ms);
    return set_up(cli, roster) ? roster : roster_free(roster);
}

enum roster_result ask_send(struct cli *cli, struct roster_request *request,
                            struct roster_response *ret_response)
{
    char seen[64];
    const char *const headers[] = {seen, NULL};

    (void)snprintf(seen, sizeof seen, "Roster-Min-Revision: %" PRIu64,
                   cli->seen);
    if (cli->seen > 0 && strcmp(request->method, "GET") == 0 &&
        request->headers == NULL) {
        request->headers = headers;
    }
    enum roster_result result = roster_send(cli->roster, request, ret_response);
    request->headers = request->headers == headers ? NULL : request->headers;
    if (result == ROSTER_OK && ret_response->revision > cli->seen) {
        cli->seen = ret_response->revision;
    }
    return result;
}

enum roster_result ask_node(struct roster *roster, const char *ns,
                            uint64_t seen, json_t **ret_node)
{
    struct stream_without without = {.member = "children"};
    char min[64];
    const char *const headers[] = {min, NULL};
    char *path = roster_path("v1", "ns", ns, NULL);
    struct roster_request request = {
        .method = "GET", .path = path, .headers = seen > 0 ? headers : NULL};
    struct roster_stream stream = {.take = stream_without_take,
                                   .user = &without};
    struct roster_response response = {0};

    (void)snprintf(min, sizeof min, "Roster-Min-Revision: %" PRIu64, seen);
    enum roster_result result =
        roster_transfer(roster, &request, &stream, &response);
    if (result == ROSTER_OK) {
        *ret_node =
            json_loadb(without.text.p, without.text.n, JSON_ALLOW_NUL, NULL);
    }
    buf_done(&without.text);
    roster_response_done(&response);
    free(path);
    return result;
}

enum cli_exit ask_once(struct cli *cli, const char *method, const char *path,
                       const char *query, const json_t *body,
                       json_t **ret_answer, char **ret_next)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct roster_request request = {
        .method = method,
        .path = path,
        .query = query,
        .body = text,
        .body_size = text == NULL ? 0 : strlen(text),
    };
    struct roster_response response = {0};
    enum cli_exit status = CLI_OK;

    enum roster_result result = ask_send(cli, &request, &response);
    if (result != ROSTER_OK) {
        status = ask_complain(cli, result);
    } else if (response.body_size > 0) {
        json_t *answer =
            json_loadb(response.body, response.body_size,
                       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        if (answer == NULL) {
            status = ask_not_json(&response);
        } else {
            *ret_answer = answer;
        }
    }
    if (status == CLI_OK && ret_next != NULL) {
        *ret_next = mem_text(response.next);
    }
    free(text);
    roster_response_done(&response);
    return status;
}

/* A page more: arrays grow, objects of arrays grow under each name. */
static void join(json_t *all, json_t *page)
{
    const char *name = NULL;
    json_t *part = NULL;

    if (json_is_array(all)) {
        (void)json_array_extend(all, page);
        return;
    }
    json_object_foreach(page, name, part)
    {
        json_t *old = json_object_get(all, name);
        if (old == NULL) {
            (void)json_object_set(all, name, part);
        } else {
            (void)json_array_extend(old, part);
        }
    }
}

enum cli_exit ask_all(struct cli *cli, const char *path, const char *query,
                      json_t **ret_answer)
{
    json_t *all = NULL;
    char *next = NULL;
    enum cli_exit status = ask_once(cli, "GET", path, query, NULL, &all, &next);

    while (status == CLI_OK && next[0] != '\0') {
        json_t *page = NULL;
        char *after = NULL;
        status = ask_once(cli, "GET", next, NULL, NULL, &page, &after);
        if (status == CLI_OK) {
            join(all, page);
            (void)mem_free(next);
            next = after;
        }
        json_decref(page);
    }
    (void)mem_free(next);
    if (status == CLI_OK && all == NULL) {
        ask_say("the answer is empty; is --server right?");
        return CLI_REFUSED;
    }
    if (status != CLI_OK) {
        json_decref(all);
        return status;
    }
    *ret_answer = all;
    return CLI_OK;
}
