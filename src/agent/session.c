#include "agent/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* Leaving is bounded, and a server that hangs must leave time for the next. */
enum { LEAVE_MS = 4900, LEAVE_CONNECT_MS = 500, LEAVE_TRY_MS = 1500 };

static enum session_outcome send(struct session *session,
                                 const struct roster_request *request,
                                 struct roster_response *ret_response)
{
    enum roster_result result =
        roster_send(session->roster, request, ret_response);

    if (result == ROSTER_OK) {
        return SESSION_DONE;
    }
    if (result != ROSTER_REFUSED) {
        return result == ROSTER_INTERRUPTED ? SESSION_INTERRUPTED
                                            : SESSION_UNREACHABLE;
    }
    int status = ret_response->status;
    roster_response_done(ret_response);
    if (status == 404) {
        return SESSION_UNKNOWN_HERE;
    }
    return status >= 500 || status == 429 ? SESSION_UNREACHABLE
                                          : SESSION_REFUSED;
}

/* Everything the agent says may be said twice: no keys to remember for it. */
static enum session_outcome say(struct session *session, const char *method,
                                const char *path, const char *body,
                                struct roster_response *ret_response)
{
    const struct roster_request request = {
        .method = method,
        .path = path,
        .body = body,
        .body_size = body == NULL ? 0 : strlen(body),
        .repeat = ROSTER_REPEAT_SAFE,
    };

    return send(session, &request, ret_response);
}

enum session_outcome session_ask(struct session *session,
                                 const struct roster_request *request,
                                 struct roster_response *ret_response)
{
    struct roster_request safe = *request;

    safe.repeat = ROSTER_REPEAT_SAFE;
    roster_set_patience(session->roster, session->heartbeat_ms / 2);
    enum session_outcome outcome = send(session, &safe, ret_response);
    roster_set_patience(session->roster, 0);
    return outcome;
}

/* What an answer about an agent says. */
static bool learn(struct session *session, json_t *answer)
{
    const char *lease = json_string_value(json_object_get(answer, "lease"));
    json_t *placements = json_object_get(answer, "placements");

    if (lease == NULL || !json_is_object(placements)) {
        return false;
    }
    (void)mem_free(session->lease);
    session->lease = mem_text(lease);
    json_decref(session->placements);
    session->placements = json_incref(placements);
    session->placed_at_ms = clock_mono_ms();
    return true;
}

static void log_registered(const struct session *session, json_t *answer)
{
    struct buf where = {0};
    const char *ns = NULL;
    json_t *id = NULL;
    const char *lease = json_string_value(json_object_get(answer, "lease"));

    json_object_foreach(json_object_get(answer, "placements"), ns, id)
    {
        buf_printf(&where, "%s%s", where.n == 0 ? "" : ",", ns);
    }
    log_info(LOG_AGENT, "registered", LOG_TXT("hostname", session->hostname),
             LOG_STR("placements", buf_str(&where)), LOG_TXT("lease", lease),
             LOG_U64("heartbeat_ms", session->heartbeat_ms));
    buf_done(&where);
}

static json_t *make_registration(const struct session *session, json_t *facts)
{
    struct buf ttl = {0};
    bool whole = session->ttl_ms % 1000 == 0;

    buf_add_u64(&ttl, whole ? session->ttl_ms / 1000 : session->ttl_ms);
    buf_add_text(&ttl, whole ? "s" : "ms");
    json_t *root = json_pack("{s:s, s:s, s:O}", "hostname", session->hostname,
                             "ttl", buf_text(&ttl), "resource", facts);
    buf_done(&ttl);
    if (root == NULL) {
        abort(); /* out of memory; all strings are UTF-8 */
    }
    return root;
}

static enum session_outcome say_registration(struct session *session,
                                             const json_t *root,
                                             struct roster_response *ret)
{
    char *body = json_dumps(root, JSON_COMPACT);

    if (body == NULL) {
        abort(); /* out of memory */
    }
    enum session_outcome outcome =
        say(session, "POST", "/v1/agents", body, ret);
    free(body);
    return outcome;
}

/* A token of its own that nobody knows has to be made known first. */
static enum session_outcome introduce(struct session *session, json_t *root,
                                      struct roster_response *ret)
{
    if (roster_error(session->roster)->status != 401 ||
        !credential_introduce(session->credential, session->roster, root)) {
        return SESSION_REFUSED;
    }
    enum session_outcome outcome = say_registration(session, root, ret);
    credential_show(session->credential, session->roster);
    return outcome;
}

enum session_outcome session_register(struct session *session, json_t *facts)
{
    struct roster_response response = {0};
    json_t *root = make_registration(session, facts);

    enum session_outcome outcome = say_registration(session, root, &response);
    if (outcome == SESSION_REFUSED) {
        outcome = introduce(session, root, &response);
    }
    json_decref(root);
    if (outcome == SESSION_DONE) {
        json_t *answer =
            json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
        json_int_t beat =
            json_integer_value(json_object_get(answer, "heartbeat_ms"));
        if (beat > 0) {
            session->heartbeat_ms = (uint64_t)beat;
        }
        (void)learn(session, answer);
        log_registered(session, answer);
        json_decref(answer);
        roster_response_done(&response);
    }
    /* Here 404 says that whoever answers is no registry. */
    return outcome == SESSION_UNKNOWN_HERE ? SESSION_REFUSED : outcome;
}

static char *own_path(const struct session *session, const char *rest)
{
    return roster_path("v1", "agents", session->hostname, rest, NULL);
}

enum session_outcome session_beat(struct session *session)
{
    struct roster_response response = {0};
    char *path = own_path(session, "heartbeat");
    enum session_outcome outcome = say(session, "PUT", path, NULL, &response);

    free(path);
    if (outcome == SESSION_DONE) {
        roster_response_done(&response);
    }
    return outcome;
}

enum session_outcome session_look(struct session *session)
{
    struct roster_response response = {0};
    char *path = own_path(session, NULL);
    const struct roster_request request = {.method = "GET", .path = path};
    enum session_outcome outcome = session_ask(session, &request, &response);

    free(path);
    if (outcome == SESSION_DONE) {
        json_t *answer =
            json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
        /* Whatever answered is no registry. */
        outcome = learn(session, answer) ? SESSION_DONE : SESSION_REFUSED;
        json_decref(answer);
        roster_response_done(&response);
    }
    return outcome;
}

enum session_outcome session_leave(struct session *session)
{
    struct roster_response response = {0};
    char *path = own_path(session, NULL);

    roster_set_timeouts(session->roster, LEAVE_CONNECT_MS, LEAVE_TRY_MS);
    roster_set_patience(session->roster, LEAVE_MS);
    enum session_outcome outcome =
        say(session, "DELETE", path, NULL, &response);
    free(path);
    if (outcome == SESSION_DONE) {
        roster_response_done(&response);
    }
    return outcome;
}

void session_done(struct session *session)
{
    session->lease = mem_free(session->lease);
    json_decref(session->placements);
    session->placements = NULL;
}
