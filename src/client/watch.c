/* A watch over the network: which server is asked, when, and when no more. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "client/follow.h"
#include "client/inside.h"
#include "client/problem.h"

enum {
    SILENCE_MS = 30000,
    RETRY_MOST_MS = 60000, /* of what a server may ask for */
    SHOWN_MOST = 80,
};

struct watching {
    struct roster *roster;
    const struct roster_watch *watch;
    struct follow follow;
    size_t at;         /* the server that is asked */
    size_t n_tried;    /* in this round */
    unsigned rounds;   /* that brought nothing, in a row */
    bool let_in;       /* by some server, once */
    bool said_no;      /* the newest failure is an answer, told in the error */
    uint64_t retry_ms; /* what it asked for */
    uint64_t patient_until_ms;
    struct buf why; /* what each server failed with, this round */
};

enum verdict { NEXT_SERVER, DECIDED };

static enum roster_result ended(struct watching *w, enum roster_result result,
                                const char *title, const char *detail)
{
    problem_set(&w->roster->error, result, title, detail);
    return result;
}

/* ---- one stream ---- */

static enum roster_result foreign(struct watching *w, const char *what)
{
    struct buf detail = {0};
    struct str line = buf_str(&w->follow.line);

    buf_printf(&detail, "%s sends %s", w->follow.server, what);
    if (line.n > 0) {
        size_t n = line.n < SHOWN_MOST ? line.n : SHOWN_MOST;
        buf_printf(&detail, ", beginning with '%.*s'", (int)n, line.p);
    }
    buf_add_text(&detail, ": is it a roster server?");
    (void)ended(w, ROSTER_FOREIGN, "not a registry", buf_text(&detail));
    buf_done(&detail);
    return ROSTER_FOREIGN;
}

/* The follower has stopped the stream. */
static enum verdict on_stop(struct watching *w, enum roster_result *ret_result)
{
    switch (w->follow.end) {
    case FOLLOW_GARBAGE:
        *ret_result = foreign(w, "what is no change");
        return DECIDED;
    case FOLLOW_TOO_LONG:
        *ret_result = foreign(w, "a line that is longer than any change");
        return DECIDED;
    case FOLLOW_STOPPED:
        *ret_result = ended(w, ROSTER_STOPPED, "stopped",
                            "the watch was ended by who is told");
        return DECIDED;
    case FOLLOW_BYE:
    case FOLLOW_NOT_ENDED:
        break;
    }
    return NEXT_SERVER;
}

/* Why the next server is asked. */
static enum verdict on_loss(struct watching *w, const char *why,
                            enum roster_result *ret_result)
{
    if (w->follow.connected) {
        buf_clear(&w->why);
    } else if (w->why.n > 0) {
        buf_add_text(&w->why, "; ");
    }
    buf_printf(&w->why, "%s: %s", w->follow.server, why);
    if (follow_lost(&w->follow, why) != 0) {
        return on_stop(w, ret_result);
    }
    return NEXT_SERVER;
}

/* An answer that has ended: no stream does of itself. */
static enum verdict on_answer(struct watching *w,
                              const struct roster_response *response,
                              enum roster_result *ret_result)
{
    struct roster_error *error = &w->roster->error;
    int status = response->status;

    if (status == 200) {
        return on_loss(w, "the server ended the stream", ret_result);
    }
    if (status < 400) {
        *ret_result = foreign(w, "no stream of changes");
        return DECIDED;
    }
    problem_set(error, ROSTER_REFUSED, "", "");
    problem_read(error, response);
    if (status < 500 && status != 408 && status != 429) {
        *ret_result = ROSTER_REFUSED;
        return DECIDED;
    }
    w->said_no = true;
    w->retry_ms = response->retry_after_ms < RETRY_MOST_MS
                      ? response->retry_after_ms
                      : RETRY_MOST_MS;
    char *why = mem_text(error->detail);
    enum verdict verdict = on_loss(w, why, ret_result);
    (void)mem_free(why);
    return verdict;
}

static enum verdict judge(struct watching *w, enum exchange_outcome outcome,
                          const struct roster_response *response,
                          const char *why, enum roster_result *ret_result)
{
    w->said_no = false;
    w->retry_ms = 0;
    switch (outcome) {
    case EXCHANGE_ANSWERED:
        return on_answer(w, response, ret_result);
    case EXCHANGE_STOPPED:
        return on_stop(w, ret_result);
    case EXCHANGE_WOKEN:
        *ret_result = ended(w, ROSTER_INTERRUPTED, "interrupted",
                            "interrupted while watching");
        return DECIDED;
    case EXCHANGE_TOO_LARGE:
        *ret_result = foreign(w, "too long an error");
        return DECIDED;
    case EXCHANGE_NOT_SENT:
    case EXCHANGE_CUT:
    case EXCHANGE_NOT_WHOLE:
        break;
    }
    return on_loss(w, why, ret_result);
}

/* Reads one server's stream to its end. DECIDED: *ret_result holds. */
static enum verdict ask(struct watching *w, enum roster_result *ret_result)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct roster *roster = w->roster;
    char *query = follow_query(&w->follow);
    struct roster_request request = {.method = "GET",
                                     .path = "/v1/watch",
                                     .query = query,
                                     .headers = headers};
    struct roster_stream stream = {.take = follow_take, .user = &w->follow};
    struct roster_response response = {0};
    char *why = NULL;
    struct attempt attempt = {
        .request = &request,
        .stream = &stream,
        .server = roster->servers[w->at].url,
        .user_agent = roster->user_agent,
        .token = roster->token,
        .ca = roster->ca,
        .cert = roster->cert,
        .key = roster->key,
        .connect_ms = roster->connect_ms,
        .total_ms = roster->total_ms,
        .silence_ms =
            w->watch->silence_ms > 0 ? w->watch->silence_ms : SILENCE_MS,
        .wake_fd = roster->wake_fd,
    };

    follow_begin(&w->follow, attempt.server);
    enum exchange_outcome outcome =
        exchange_run(roster->exchange, &attempt, &response, &why);
    w->let_in = w->let_in || w->follow.connected;
    enum verdict verdict = judge(w, outcome, &response, why, ret_result);
    (void)mem_free(why);
    free(query);
    roster_response_done(&response);
    return verdict;
}

/* ---- one after the other ---- */

/* How long before the next one is asked. Who has lost a stream comes back soon,
 * but not in one moment with all others who have. */
static uint64_t next_server(struct watching *w)
{
    size_t n = w->roster->n_servers;
    uint64_t pause = w->follow.connected ? client_pause_after(1) : 0;

    if (w->follow.moved) {
        w->roster->preferred = w->at;
        w->rounds = 0;
        w->n_tried = 0;
    } else if (++w->n_tried == n) {
        w->n_tried = 0;
        pause = client_pause_after(++w->rounds);
        pause = w->retry_ms > pause ? w->retry_ms : pause;
    }
    w->at = (w->at + 1) % n;
    return pause;
}

/* Is that all, after a round without a stream? */
static bool is_given_up(const struct watching *w, uint64_t pause_ms)
{
    if (w->let_in) {
        return w->watch->no_resume != 0;
    }
    return w->n_tried == 0 && clock_mono_ms() + pause_ms >= w->patient_until_ms;
}

static enum roster_result give_up(struct watching *w)
{
    struct buf detail = {0};
    enum roster_result result = ROSTER_UNREACHABLE;

    if (w->let_in) {
        result = ROSTER_CUT;
        buf_printf(&detail, "the stream of changes ended: %s",
                   w->why.n > 0 ? buf_text(&w->why) : "the server leaves");
        (void)ended(w, result, "cut short", buf_text(&detail));
    } else if (w->said_no) {
        result = ROSTER_REFUSED; /* the error has it */
    } else {
        buf_printf(&detail, "no server answered: %s", buf_text(&w->why));
        (void)ended(w, result, "unreachable", buf_text(&detail));
    }
    buf_done(&detail);
    return result;
}

static enum roster_result run(struct watching *w)
{
    enum roster_result result = ROSTER_UNREACHABLE;

    for (;;) {
        if (ask(w, &result) == DECIDED) {
            return result;
        }
        uint64_t pause = next_server(w);
        if (is_given_up(w, pause)) {
            return give_up(w);
        }
        if (w->n_tried == 0) {
            buf_clear(&w->why);
        }
        if (pause > 0 && client_pause(w->roster, pause)) {
            return ended(w, ROSTER_INTERRUPTED, "interrupted",
                         "interrupted while watching");
        }
    }
}

enum roster_result roster_watch(struct roster *roster,
                                const struct roster_watch *watch)
{
    struct watching w = {.roster = roster, .watch = watch};

    assert(watch->tell != NULL);
    if (roster->n_servers == 0) {
        return client_invalid(roster, "no server is set");
    }
    w.at = roster->preferred;
    w.patient_until_ms = clock_mono_ms() + roster->patience_ms;
    follow_init(&w.follow, watch);
    enum roster_result result = run(&w);
    follow_done(&w.follow);
    buf_done(&w.why);
    return result;
}
