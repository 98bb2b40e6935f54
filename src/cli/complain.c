/* What a person is told when something does not go well. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/near.h"
#include "cli/ask.h"
#include "cli/text.h"

enum { LOOK_MS = 1000, DETAIL_MOST = 1000 };

static void say(const char *format, va_list args)
{
    char *text = NULL;
    struct buf out = {0};

    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    text_add_safe(&out, str_of(text));
    (void)fprintf(stderr, "roster: %s\n", buf_text(&out));
    buf_done(&out);
    free(text);
}

void ask_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

enum cli_exit cli_misused(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return CLI_USAGE;
}

/* In the words of libcurl and GnuTLS. NULL: TLS is not the matter. */
static const char *advice_of_tls(const char *detail)
{
    static const struct {
        const char *words, *advice;
    } known[] = {
        {"certificate verification failed",
         "name the CA that the servers' certificates are from with --ca FILE "
         "or ROSTER_CA"},
        {"does not match target host",
         "write a server as its certificate names it (roster certs --node "
         "ID=HOST,...)"},
        {"unexpected TLS packet",
         "what listens there speaks no TLS: write http:// instead of https://"},
        /* A server without TLS closes without a word at some of the random
           bytes of a handshake. */
        {"gnutls_handshake() failed: The TLS connection was non-properly",
         "what listens there ended the handshake, it may speak no TLS: then "
         "write http:// instead of https://"},
        {"X.509 key or certificate",
         "--client-cert and --client-key have to be PEM files that belong "
         "together"},
        {"GnuTLS recv error",
         "the server ended it: where --client-cert is given, that has to be "
         "from the CA of the server's --tls-ca; where none is, it may want "
         "one"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strstr(detail, known[i].words) != NULL) {
            return known[i].advice;
        }
    }
    return NULL;
}

static const char *advice(const struct roster_error *error)
{
    const char *of_tls = advice_of_tls(error->detail);

    if (error->result == ROSTER_UNREACHABLE && of_tls != NULL) {
        return of_tls;
    }
    if (error->result == ROSTER_UNREACHABLE) {
        return strstr(error->detail, "refused") != NULL ||
                       strstr(error->detail, "connect") != NULL
                   ? "is rosterd running there? Name other servers with "
                     "--server URL[,URL...] or ROSTER_SERVER"
                   : "name other servers with --server URL[,URL...] or "
                     "ROSTER_SERVER, or wait longer with --timeout";
    }
    if (error->result == ROSTER_UNKNOWN) {
        return "look whether it is done before you do it again";
    }
    if (error->result == ROSTER_CUT) {
        return "nothing of it is kept: try again";
    }
    switch (error->status) {
    case 401:
        return strstr(error->detail, "name and password") != NULL
                   ? "write both again, or have the password set anew by who "
                     "may: 'roster user password USER'"
                   : "sign in first: 'roster login USER'";
    case 414:
    case 431:
        return "a name or a text is too long for a request: shorten it, or "
               "raise rosterd's --max-header";
    case 413:
        return "send less at once, or raise rosterd's --max-body";
    case 503:
        return "nothing was done; try again in a moment, and look at 'roster "
               "status'";
    case 504:
        return "look whether it is done before you do it again";
    case 507:
        if (strcmp(error->title, "Quota exceeded") == 0) {
            return NULL; /* It says what to do itself. */
        }
        return "nothing was stored; make room on the server's disk or remove "
               "what is not needed: reads and removals still work";
    default:
        return NULL;
    }
}

enum cli_exit ask_tell(const struct roster_error *error)
{
    const char *try = advice(error);

    ask_say("%.*s", DETAIL_MOST, error->detail);
    if (error->field[0] != '\0' &&
        strstr(error->detail, error->field) == NULL) {
        ask_say("the field is '%s'", error->field);
    }
    if (try != NULL) {
        ask_say("%s", try);
    }
    return error->result == ROSTER_UNREACHABLE ||
                   error->result == ROSTER_UNKNOWN
               ? CLI_UNREACHABLE
               : CLI_REFUSED;
}

/* ---- the namespace that was meant ---- */

/* "there is no namespace web.shop.roster: look …" */
static struct str missing_ns(const struct roster_error *error)
{
    static const char words[] = "no namespace ";
    const char *at = strstr(error->detail, words);

    if (error->status != 404 || at == NULL) {
        return STR_NONE;
    }
    at += sizeof words - 1;
    return (struct str){at, strcspn(at, ": ,;")};
}

static void name_nearest(const json_t *tree, struct str wrong)
{
    struct near near = near_to(wrong);
    size_t i = 0;
    const json_t *node = NULL;

    json_array_foreach(tree, i, node)
    {
        const char *ns = json_string_value(json_object_get(node, "ns"));
        if (ns != NULL) {
            near_try(&near, ns);
        }
    }
    if (near.name != NULL) {
        ask_say("did you mean %s?", near.name);
    } else {
        ask_say("'roster tree' shows what there is");
    }
}

/* Cheap or not at all: what cannot be had in a second is not worth it. */
static void help_with_ns(const struct cli *cli, const char *wrong)
{
    struct roster_request request = {.method = "GET",
                                     .path = "/v1/ns",
                                     .query = "flat=true",
                                     .timeout_ms = LOOK_MS};
    struct roster_response response = {0};

    if (roster_send(cli->roster, &request, &response) == ROSTER_OK) {
        json_t *tree = json_loadb(response.body, response.body_size, 0, NULL);
        name_nearest(tree, str_of(wrong));
        json_decref(tree);
    }
    roster_response_done(&response);
}

enum cli_exit ask_complain(struct cli *cli, enum roster_result result)
{
    const struct roster_error *error = roster_error(cli->roster);
    struct str missing = missing_ns(error);
    char *wrong = missing.n == 0 ? NULL : strndup(missing.p, missing.n);

    (void)result;
    enum cli_exit status = ask_tell(error);
    if (wrong != NULL) {
        help_with_ns(cli, wrong);
    }
    free(wrong);
    return status;
}

enum cli_exit ask_not_json(const struct roster_response *response)
{
    ask_say("the answer (status %d) is not what a registry sends; is --server "
            "right?",
            response->status);
    return CLI_REFUSED;
}

bool ask_person(const struct cli *cli, const char *question)
{
    char answer[16] = "";

    /* A script has nobody to ask, and means what it says. */
    if (cli->yes || isatty(STDIN_FILENO) == 0) {
        return true;
    }
    if (isatty(STDERR_FILENO) == 0) {
        ask_say("the question cannot be shown: give --yes to do it");
        return false;
    }
    (void)fprintf(stderr, "%s Write yes to go on: ", question);
    if (fgets(answer, sizeof answer, stdin) != NULL &&
        strcmp(answer, "yes\n") == 0) {
        return true;
    }
    ask_say("nothing was done");
    return false;
}
