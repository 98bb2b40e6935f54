#include "rosterd/join.h"

#include <roster.h>
#include <stdio.h>

#include "base/err.h"

enum {
    CONNECT_MS = 2000,
    TOTAL_MS = 10000,
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

int join_by_url(const char *url, int wake_fd, struct str request,
                struct buf *reply, char why[CORE_WHY])
{
    struct roster *roster = roster_new();
    int r = ERR_INVALID;

    roster_set_timeouts(roster, CONNECT_MS, TOTAL_MS);
    roster_set_wake_fd(roster, wake_fd);
    roster_set_user_agent(roster, "rosterd/" ROSTER_VERSION);
    if (roster_set_servers(roster, url) == ROSTER_OK) {
        r = ask(roster, request, reply, why);
    } else {
        (void)snprintf(why, CORE_WHY, "--join takes a URL: http://HOST:PORT");
    }
    roster_free(roster);
    return r;
}
