#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/inside.h"
#include "client/problem.h"
#include "roster.h"

enum {
    CONNECT_MS = 2000,
    TOTAL_MS = 10000,
};

struct roster *roster_new(void)
{
    struct roster *roster = mem_zero(sizeof *roster);

    roster->exchange = exchange_new();
    roster->user_agent = mem_text("roster-client/" ROSTER_VERSION);
    roster_set_timeouts(roster, 0, 0);
    problem_init(&roster->error);
    return roster;
}

static void drop_servers(struct roster *roster)
{
    for (size_t i = 0; i < roster->n_servers; i++) {
        (void)mem_free(roster->servers[i].url);
    }
    roster->servers = mem_free(roster->servers);
    roster->n_servers = 0;
}

static void drop_tls(struct roster *roster)
{
    roster->ca = mem_free(roster->ca);
    roster->cert = mem_free(roster->cert);
    roster->key = mem_free(roster->key);
}

struct roster *roster_free(struct roster *roster)
{
    if (roster == NULL) {
        return NULL;
    }
    drop_servers(roster);
    roster->exchange = exchange_free(roster->exchange);
    problem_done(&roster->error);
    (void)mem_free(roster->user_agent);
    roster_set_token(roster, NULL);
    drop_tls(roster);
    return mem_free(roster);
}

enum roster_result client_invalid(struct roster *roster, const char *detail)
{
    problem_set(&roster->error, ROSTER_INVALID, "not a request", detail);
    return ROSTER_INVALID;
}

static enum roster_result bad_server(struct roster *roster, const char *text)
{
    struct buf detail = {0};

    buf_printf(&detail,
               "'%s' is not a server: write http://HOST:PORT, several with "
               "commas between",
               text);
    enum roster_result result = client_invalid(roster, buf_text(&detail));
    buf_done(&detail);
    return result;
}

enum roster_result roster_set_servers(struct roster *roster, const char *urls)
{
    struct server *servers = NULL;
    size_t n = 0;
    bool good = true;

    for (const char *at = urls; good && at != NULL;) {
        size_t length = strcspn(at, ",");
        char *text = strndup(at, length);
        char *url = text == NULL ? NULL : exchange_server(text);
        if (url == NULL) {
            (void)bad_server(roster, text == NULL ? "" : text);
            good = false;
        } else {
            servers = mem_grow(servers, (n + 1) * sizeof *servers);
            servers[n++] = (struct server){.url = url};
        }
        free(text);
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    if (!good) {
        while (n > 0) {
            (void)mem_free(servers[--n].url);
        }
        (void)mem_free(servers);
        return ROSTER_INVALID;
    }
    drop_servers(roster);
    roster->servers = servers;
    roster->n_servers = n;
    roster->preferred = n == 0 ? 0 : (size_t)(chance_u64() % n);
    return ROSTER_OK;
}

void roster_set_timeouts(struct roster *roster, uint64_t connect_ms,
                         uint64_t total_ms)
{
    roster->connect_ms = connect_ms == 0 ? CONNECT_MS : connect_ms;
    roster->total_ms = total_ms == 0 ? TOTAL_MS : total_ms;
}

void roster_set_patience(struct roster *roster, uint64_t patience_ms)
{
    roster->patience_ms = patience_ms;
}

void roster_set_wake_fd(struct roster *roster, int fd)
{
    roster->wake_fd = fd;
}

void roster_set_user_agent(struct roster *roster, const char *name)
{
    (void)mem_free(roster->user_agent);
    roster->user_agent = mem_text(name);
}

void roster_set_token(struct roster *roster, const char *token)
{
    if (roster->token != NULL) {
        roster->token = mem_wipe(roster->token, strlen(roster->token));
    }
    if (token != NULL && token[0] != '\0') {
        roster->token = mem_text(token);
    }
}

/* Here, where it can be told of which file, not at each attempt. */
static bool is_readable(struct roster *roster, const char *file)
{
    struct buf detail = {0};

    if (file == NULL || access(file, R_OK) == 0) {
        return true;
    }
    buf_printf(&detail, "%s: %s", file, strerror(errno));
    enum roster_result result = client_invalid(roster, buf_text(&detail));
    buf_done(&detail);
    return result == ROSTER_OK;
}

enum roster_result roster_set_tls(struct roster *roster, const char *ca,
                                  const char *cert, const char *key)
{
    if ((cert == NULL) != (key == NULL)) {
        return client_invalid(roster,
                              "a certificate and its key come together");
    }
    if (!is_readable(roster, ca) || !is_readable(roster, cert) ||
        !is_readable(roster, key)) {
        return ROSTER_INVALID;
    }
    drop_tls(roster);
    roster->ca = ca == NULL ? NULL : mem_text(ca);
    roster->cert = cert == NULL ? NULL : mem_text(cert);
    roster->key = key == NULL ? NULL : mem_text(key);
    return ROSTER_OK;
}

const struct roster_error *roster_error(const struct roster *roster)
{
    return &roster->error;
}

void roster_response_done(struct roster_response *response)
{
    free(response->body);
    free(response->leader);
    free(response->node);
    free(response->etag);
    free(response->location);
    free(response->next);
    *response = (struct roster_response){0};
}
