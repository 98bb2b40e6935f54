/* One request: the servers are asked in turn until one decides it. */
#include <assert.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/inside.h"
#include "client/problem.h"

enum { PAUSE_LEAST_MS = 100, PAUSE_MOST_MS = 5000 };

/* What is known while the servers are asked in turn. */
struct call {
    struct roster *roster;
    const struct roster_request *request;
    const struct roster_stream *stream; /* NULL: all in memory */
    char key[33];                       /* "": none */
    bool write;
    bool repeat;
    bool maybe_done;               /* an attempt may have done the write */
    uint64_t deadline_ms;          /* 0: none */
    struct roster_response answer; /* the newest "not ready" */
    bool answered;
    struct buf why; /* what each server failed with, this round */
};

static void call_init(struct call *call, struct roster *roster,
                      const struct roster_request *request,
                      const struct roster_stream *stream)
{
    *call =
        (struct call){.roster = roster, .request = request, .stream = stream};
    call->write = strcmp(request->method, "GET") != 0 &&
                  strcmp(request->method, "HEAD") != 0;
    call->repeat = !call->write || request->repeat != ROSTER_REPEAT_NEVER;
    if (call->write && request->repeat == ROSTER_REPEAT_KEYED &&
        !exchange_has_header(request, "Idempotency-Key")) {
        (void)snprintf(call->key, sizeof call->key, "%016llx%016llx",
                       (unsigned long long)chance_u64(),
                       (unsigned long long)chance_u64());
    }
    if (roster->patience_ms > 0) {
        call->deadline_ms = clock_mono_ms() + roster->patience_ms;
    }
}

static void call_done(struct call *call)
{
    roster_response_done(&call->answer);
    buf_done(&call->why);
}

static uint64_t time_left(const struct call *call, uint64_t most_ms)
{
    if (call->deadline_ms == 0) {
        return most_ms;
    }
    uint64_t now = clock_mono_ms();
    uint64_t left = now >= call->deadline_ms ? 0 : call->deadline_ms - now;
    return left < most_ms ? left : most_ms;
}

/* Twice as long with each failure, and a random part of it, so that clients
 * that lost one server do not come back as one. */
uint64_t client_pause_after(unsigned failures)
{
    uint64_t pause = PAUSE_LEAST_MS;

    for (unsigned i = 1; i < failures && pause < PAUSE_MOST_MS; i++) {
        pause *= 2;
    }
    pause = pause < PAUSE_MOST_MS ? pause : PAUSE_MOST_MS;
    return pause / 2 + chance_u64() % (pause / 2 + 1);
}

static void server_failed(struct server *server)
{
    if (server->failures < 32) {
        server->failures++;
    }
    server->not_before_ms =
        clock_mono_ms() + client_pause_after(server->failures);
}

static void note(struct call *call, const struct server *server,
                 const char *why)
{
    if (call->why.n > 0) {
        buf_add_text(&call->why, "; ");
    }
    buf_printf(&call->why, "%s: %s", server->url, why);
}

/* 503: surely nothing was done. 502 and 504 (a proxy, or a leader lost while
 * waiting): nobody knows. */
static bool is_not_ready(int status)
{
    return status >= 502 && status <= 504;
}

/* Does the answer tell what became of an earlier attempt too? What this
 * connection (408, 429) or this server (5xx) failed with does not: the one that
 * was cut off may have been done. */
static bool settles(const struct call *call, int status)
{
    return call->request->repeat == ROSTER_REPEAT_SAFE ||
           (status < 500 && status != 408 && status != 429);
}

enum verdict { NEXT_SERVER, DECIDED };

static enum verdict on_answer(struct call *call, struct server *server,
                              struct roster_response *response)
{
    if (!is_not_ready(response->status)) {
        server->failures = 0;
        server->not_before_ms = 0;
        call->roster->preferred = (size_t)(server - call->roster->servers);
    } else {
        server_failed(server);
    }
    roster_response_done(&call->answer);
    call->answer = *response;
    call->answered = true;
    if (!is_not_ready(response->status)) {
        call->maybe_done = call->maybe_done && !settles(call, response->status);
        return DECIDED;
    }
    problem_read(&call->roster->error, response);
    note(call, server, call->roster->error.detail);
    if (response->status != 503 && call->write) {
        call->maybe_done = true;
        return call->repeat ? NEXT_SERVER : DECIDED;
    }
    return NEXT_SERVER;
}

/* Asks one server. DECIDED: *ret_result holds. */
static enum verdict ask(struct call *call, struct server *server,
                        enum roster_result *ret_result)
{
    struct roster *roster = call->roster;
    struct roster_response response = {0};
    char *why = NULL;
    uint64_t total_ms = call->request->timeout_ms > 0
                            ? call->request->timeout_ms
                            : roster->total_ms;
    struct attempt attempt = {
        .request = call->request,
        .stream = call->stream,
        .server = server->url,
        .idempotency_key = call->key[0] == '\0' ? NULL : call->key,
        .user_agent = roster->user_agent,
        .token = roster->token,
        .ca = roster->ca,
        .cert = roster->cert,
        .key = roster->key,
        .connect_ms = time_left(call, roster->connect_ms),
        .total_ms = time_left(call, total_ms),
        .wake_fd = roster->wake_fd,
    };

    if (attempt.total_ms == 0) {
        note(call, server, "no time left");
        return NEXT_SERVER;
    }
    enum exchange_outcome outcome =
        exchange_run(roster->exchange, &attempt, &response, &why);
    switch (outcome) {
    case EXCHANGE_ANSWERED:
        if (on_answer(call, server, &response) == NEXT_SERVER) {
            return NEXT_SERVER;
        }
        *ret_result = call->maybe_done            ? ROSTER_UNKNOWN
                      : call->answer.status < 400 ? ROSTER_OK
                                                  : ROSTER_REFUSED;
        return DECIDED;
    case EXCHANGE_WOKEN:
        *ret_result = ROSTER_INTERRUPTED;
        return DECIDED;
    case EXCHANGE_TOO_LARGE:
        *ret_result = ROSTER_TOO_LARGE;
        return DECIDED;
    case EXCHANGE_STOPPED:
        *ret_result = ROSTER_STOPPED;
        return DECIDED;
    case EXCHANGE_NOT_WHOLE:
        note(call, server, why);
        (void)mem_free(why);
        *ret_result = ROSTER_CUT;
        return DECIDED;
    case EXCHANGE_NOT_SENT:
    case EXCHANGE_CUT:
        break;
    }
    server_failed(server);
    note(call, server, why);
    (void)mem_free(why);
    if (outcome == EXCHANGE_CUT && call->write) {
        call->maybe_done = true;
        if (!call->repeat) {
            *ret_result = ROSTER_UNKNOWN;
            return DECIDED;
        }
    }
    return NEXT_SERVER;
}

/* Each server once: first those not in disgrace, from the preferred on; then
 * the others, because a wrong guess must not keep us from a living one. */
static enum verdict ask_round(struct call *call, enum roster_result *ret_result)
{
    struct roster *roster = call->roster;
    size_t n = roster->n_servers;
    uint64_t now = clock_mono_ms();
    size_t first = roster->preferred;
    bool *late = mem_zero(n * sizeof *late);
    enum verdict verdict = NEXT_SERVER;

    assert(n > 0);
    buf_clear(&call->why);
    for (size_t i = 0; i < 2 * n && verdict == NEXT_SERVER; i++) {
        size_t at = (first + i) % n;
        struct server *server = &roster->servers[at];
        if (i < n) {
            late[at] = server->not_before_ms > now;
        }
        if (late[at] == (i >= n)) {
            verdict = ask(call, server, ret_result);
        }
    }
    (void)mem_free(late);
    return verdict;
}

/* Between two rounds; true when the wake descriptor ended it. */
bool client_pause(const struct roster *roster, uint64_t ms)
{
    struct pollfd wake = {.fd = roster->wake_fd > 0 ? roster->wake_fd : -1,
                          .events = POLLIN};
    return poll(&wake, 1, (int)ms) > 0;
}

/* All that can be said after the last round brought no decision. */
static enum roster_result given_up(const struct call *call)
{
    if (call->maybe_done && call->request->repeat != ROSTER_REPEAT_SAFE) {
        return ROSTER_UNKNOWN;
    }
    return call->answered ? ROSTER_REFUSED : ROSTER_UNREACHABLE;
}

static enum roster_result run(struct call *call)
{
    enum roster_result result = ROSTER_UNREACHABLE;

    for (unsigned round = 1;; round++) {
        if (ask_round(call, &result) == DECIDED) {
            return result;
        }
        uint64_t pause = client_pause_after(round);
        if (call->answer.retry_after_ms > pause) {
            pause = call->answer.retry_after_ms;
        }
        if (call->deadline_ms == 0 || time_left(call, pause) < pause) {
            return given_up(call);
        }
        if (client_pause(call->roster, pause)) {
            return ROSTER_INTERRUPTED;
        }
    }
}

static void tell(struct call *call, enum roster_result result)
{
    struct roster_error *error = &call->roster->error;
    struct buf detail = {0};

    switch (result) {
    case ROSTER_REFUSED:
        problem_set(error, result, "", "");
        problem_read(error, &call->answer);
        break;
    case ROSTER_UNREACHABLE:
        buf_printf(&detail, "no server answered: %s", buf_text(&call->why));
        problem_set(error, result, "unreachable", buf_text(&detail));
        break;
    case ROSTER_UNKNOWN:
        buf_printf(&detail,
                   "the change may or may not be done, read before sending it "
                   "again: %s",
                   buf_text(&call->why));
        problem_set(error, result, "outcome unknown", buf_text(&detail));
        error->status = call->answered ? call->answer.status : 0;
        break;
    case ROSTER_INTERRUPTED:
        problem_set(error, result, "interrupted", "interrupted while waiting");
        break;
    case ROSTER_CUT:
        buf_printf(&detail, "the answer did not come whole: %s",
                   buf_text(&call->why));
        problem_set(error, result, "cut short", buf_text(&detail));
        break;
    case ROSTER_STOPPED:
        problem_set(error, result, "stopped", "the transfer was stopped here");
        break;
    case ROSTER_TOO_LARGE:
        problem_set(error, result, "too large",
                    "the answer is over 256 MiB: ask for it in pages (limit=)");
        break;
    case ROSTER_OK:
    case ROSTER_INVALID:
    case ROSTER_FOREIGN:
        problem_set(error, result, "", "");
        break;
    }
    buf_done(&detail);
}

static enum roster_result decide(struct roster *roster,
                                 const struct roster_request *request,
                                 const struct roster_stream *stream,
                                 struct roster_response *ret_response)
{
    struct call call;

    assert(request->method != NULL && request->path != NULL);
    if (request->path[0] != '/') {
        return client_invalid(roster, "the path of a request starts with /");
    }
    if (roster->n_servers == 0) {
        return client_invalid(roster, "no server is set");
    }
    call_init(&call, roster, request, stream);
    enum roster_result result = run(&call);
    tell(&call, result);
    if (result == ROSTER_OK || result == ROSTER_REFUSED) {
        *ret_response = call.answer;
        call.answer = (struct roster_response){0};
    }
    call_done(&call);
    return result;
}

enum roster_result roster_send(struct roster *roster,
                               const struct roster_request *request,
                               struct roster_response *ret_response)
{
    return decide(roster, request, NULL, ret_response);
}

enum roster_result roster_transfer(struct roster *roster,
                                   const struct roster_request *request,
                                   const struct roster_stream *stream,
                                   struct roster_response *ret_response)
{
    return decide(roster, request, stream, ret_response);
}
