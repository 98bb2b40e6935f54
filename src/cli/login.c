/* Who the person is: login, logout, whoami. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cli/parts.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/secret.h"
#include "cli/show.h"

/* Not ask_once: no other copy of the password is made than this one, which is
 * overwritten, and the request has no key that it could be guessed by. */
static enum cli_exit send(struct cli *cli, const json_t *body,
                          json_t **ret_answer)
{
    char *text = json_dumps(body, JSON_COMPACT);
    size_t n = strlen(text);
    struct roster_request request = {.method = "POST",
                                     .path = "/v1/sessions",
                                     .body = text,
                                     .body_size = n,
                                     .repeat = ROSTER_REPEAT_SAFE};
    struct roster_response response = {0};

    enum roster_result result = ask_send(cli, &request, &response);
    enum cli_exit status =
        result == ROSTER_OK ? CLI_OK : ask_complain(cli, result);
    if (status == CLI_OK) {
        *ret_answer = json_loadb(response.body, response.body_size, 0, NULL);
        explicit_bzero(response.body, response.body_size);
        status = *ret_answer == NULL ? ask_not_json(&response) : CLI_OK;
    }
    explicit_bzero(text, n);
    free(text);
    roster_response_done(&response);
    return status;
}

static enum cli_exit read_password(const struct cli *cli, const char *user,
                                   struct buf *password)
{
    struct buf prompt = {0};
    size_t n = 0;

    if (cli->password_file != NULL) {
        return secret_read(cli->password_file, 1, password, &n);
    }
    buf_printf(&prompt, "Password of %s", user);
    enum cli_exit status = secret_ask(buf_text(&prompt), password);
    buf_done(&prompt);
    return status;
}

static void tell(const struct cli *cli, const char *user, const json_t *session)
{
    struct buf until = {0};

    if (cli->json) {
        json_t *shown = json_copy((json_t *)(uintptr_t)session);
        (void)json_object_del(shown, "token"); /* it is kept, not shown */
        print_json(shown);
        json_decref(shown);
    } else if (!cli->quiet) {
        date_add(&until, (uint64_t)json_integer_value(
                             json_object_get(session, "expires_ms")));
        (void)printf("signed in as %s until %s\n", user, buf_text(&until));
    }
    buf_done(&until);
}

static enum cli_exit keep(const struct cli *cli, const char *user,
                          const json_t *session)
{
    const char *token = json_string_value(json_object_get(session, "token"));

    if (token == NULL) {
        ask_say("the answer has no token; is --server right?");
        return CLI_REFUSED;
    }
    enum cli_exit status = secret_token_keep(token);
    if (status == CLI_OK) {
        tell(cli, user, session);
    }
    return status;
}

enum cli_exit login_run(struct cli *cli)
{
    const char *user = cli->n_args > 0 ? cli->args[0] : getenv("USER");
    CLEANUP(buf_done) struct buf password = {.secret = true};
    json_t *session = NULL;

    if (user == NULL || user[0] == '\0') {
        return cli_misused("write who you are: roster login USER");
    }
    enum cli_exit status = read_password(cli, user, &password);
    if (status != CLI_OK) {
        return status;
    }
    json_t *body = json_pack("{s:s, s:s%, s:s*}", "user", user, "password",
                             password.p, password.n, "ttl", cli->ttl);
    if (body == NULL) {
        return cli_misused("user and password are texts in UTF-8");
    }
    /* An older session is not what is asked for. */
    roster_set_token(cli->roster, NULL);
    status = send(cli, body, &session);
    json_decref(body);
    if (status == CLI_OK) {
        status = keep(cli, user, session);
    }
    json_decref(session);
    return status;
}

/* ---- logout ---- */

/* "rst_", the id, "_", the secret. Gives; NULL: it is none. */
static char *id_of(const struct buf *token)
{
    const char *end =
        token->n > 4 ? memchr(token->p + 4, '_', token->n - 4) : NULL;

    return end == NULL ? NULL
                       : strndup(token->p + 4, (size_t)(end - token->p) - 4);
}

/* What has ended already needs no end. */
static enum cli_exit end_session(struct cli *cli, const char *id)
{
    char *path = roster_path("v1", "sessions", id, NULL);
    struct roster_request request = {
        .method = "DELETE", .path = path, .repeat = ROSTER_REPEAT_SAFE};
    struct roster_response response = {0};

    enum roster_result result = ask_send(cli, &request, &response);
    int code = roster_error(cli->roster)->status;
    enum cli_exit status = result == ROSTER_OK || code == 401 || code == 404
                               ? CLI_OK
                               : ask_complain(cli, result);
    roster_response_done(&response);
    free(path);
    return status;
}

enum cli_exit logout_run(struct cli *cli)
{
    CLEANUP(buf_done) struct buf token = {.secret = true};
    bool was = false;

    enum cli_exit status = secret_token_get(&token);
    char *id = id_of(&token);
    if (status == CLI_OK && id != NULL) {
        roster_set_token(cli->roster, buf_text(&token));
        status = end_session(cli, id);
    }
    free(id);
    /* Here at least it is gone, whatever the servers say. */
    enum cli_exit forgotten = secret_token_forget(&was);
    if (status == CLI_OK && forgotten == CLI_OK) {
        show_change(cli, NULL, was ? "signed out" : "nobody was signed in");
    } else if (status != CLI_OK && was) {
        ask_say("the token is forgotten here, but the session may last on the "
                "servers");
    }
    return status != CLI_OK ? status : forgotten;
}

/* ---- whoami ---- */

enum cli_exit whoami_run(struct cli *cli)
{
    json_t *who = NULL;
    enum cli_exit status =
        ask_once(cli, "GET", "/v1/whoami", NULL, NULL, &who, NULL);

    if (status == CLI_OK && cli->json) {
        print_json(who);
    } else if (status == CLI_OK) {
        json_t *flat = parts_flat(who);
        print_fields(flat);
        json_decref(flat);
    }
    json_decref(who);
    return status;
}
