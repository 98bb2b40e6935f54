#include "rosterd/join.h"

#include <errno.h>
#include <roster.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/secret_file.h"

enum {
    CONNECT_MS = 2000,
    TOTAL_MS = 10000,
    TOKEN_MOST = 255,
};

static int ask(struct roster *roster, struct str request, struct buf *reply,
               char why[CORE_WHY])
{
    struct roster_response response = {0};
    const struct roster_request asked = {
        .method = "POST",
        .path = "/v1/cluster/nodes",
        .body = request.p,
        .body_size = request.n,
        .repeat = ROSTER_REPEAT_SAFE,
    };

    enum roster_result result = roster_send(roster, &asked, &response);
    if (result == ROSTER_OK) {
        buf_add(reply, response.body, response.body_size);
        roster_response_done(&response);
        return 0;
    }
    const struct roster_error *error = roster_error(roster);
    (void)snprintf(why, CORE_WHY, "%s",
                   error->detail[0] != '\0' ? error->detail : error->title);
    if (result != ROSTER_REFUSED) {
        roster_response_done(&response);
        return err_raise(ERR_IO);
    }
    bool later = response.status >= 500 || response.status == 429;
    if (response.node[0] == '\0') {
        (void)snprintf(why, CORE_WHY,
                       "what answers there is no roster node (HTTP status %d)",
                       response.status);
        later = true;
    }
    roster_response_done(&response);
    return later ? err_raise(ERR_IO) : ERR_INVALID;
}

/* Without a file nobody asks. */
static bool show_token(struct roster *roster, const char *file,
                       char why[CORE_WHY])
{
    CLEANUP(buf_done) struct buf token = {.secret = true};
    bool is_open = false;

    int r =
        file == NULL ? 0 : secret_file_read(file, TOKEN_MOST, &token, &is_open);
    const char *wrong = r == ERR_TOO_LARGE ? "its first line is no token"
                        : r != 0           ? strerror(errno)
                        : token.n == 0     ? "its first line is empty"
                                           : NULL;
    if (file != NULL && wrong != NULL) {
        (void)snprintf(why, CORE_WHY, "--join-token-file %s: %s", file, wrong);
        return false;
    }
    roster_set_token(roster, buf_text(&token));
    return true;
}

/* Who asks; false after `why` was set. */
static bool show(struct roster *roster, const struct join_as *as,
                 char why[CORE_WHY])
{
    if (roster_set_tls(roster, as->ca, as->cert, as->key) != ROSTER_OK) {
        (void)snprintf(why, CORE_WHY, "%s", roster_error(roster)->detail);
        return false;
    }
    return show_token(roster, as->token_file, why);
}

int join_by_url(const char *url, const struct join_as *as, int wake_fd,
                struct str request, struct buf *reply, char why[CORE_WHY])
{
    struct roster *roster = roster_new();
    int r = ERR_INVALID;

    roster_set_timeouts(roster, CONNECT_MS, TOTAL_MS);
    roster_set_wake_fd(roster, wake_fd);
    roster_set_user_agent(roster, "rosterd/" ROSTER_VERSION);
    if (roster_set_servers(roster, url) != ROSTER_OK) {
        (void)snprintf(why, CORE_WHY, "--join takes a URL: http://HOST:PORT");
    } else if (show(roster, as, why)) {
        r = ask(roster, request, reply, why);
    }
    roster_free(roster);
    return r;
}
