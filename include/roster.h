/* The roster client library: ask any node of a cluster, get one clear answer.
 *
 * A handle knows several servers. A request goes to the one that answered last;
 * when that one cannot be reached or says it is not ready, the others are asked
 * in turn. Connections are kept open between requests.
 *
 *     struct roster *roster = roster_new();
 *     struct roster_response response;
 *     struct roster_request request = {.method = "GET", .path = "/v1/ns"};
 *
 *     if (roster_set_servers(roster, "http://a:7070,http://b:7070") == 0 &&
 *         roster_send(roster, &request, &response) == 0) {
 *         puts(response.body);
 *         roster_response_done(&response);
 *     } else {
 *         fprintf(stderr, "%s\n", roster_error(roster)->detail);
 *     }
 *     roster = roster_free(roster);
 *
 * Invariants
 *   [CLIENT-1] a write is never done twice: it carries an Idempotency-Key when
 *              it may be sent again, or it is not sent again once a byte of it
 *              has left.
 *   [CLIENT-2] a write that is reported as ROSTER_UNREACHABLE or
 *              ROSTER_REFUSED was not done; when that cannot be known the
 *              result is ROSTER_UNKNOWN. (Not so for ROSTER_REPEAT_SAFE, whose
 *              caller will repeat it anyway.)
 *
 * Threads: one at a time per handle; handles share nothing.
 * Memory: what a function gives is the caller's and ends with the named
 * function; what it lends is good as long as its comment says. A process that
 * runs out of memory inside the library is stopped (abort).
 * Proxy settings in the environment are not used: a registry is inside. */
#ifndef ROSTER_H
#define ROSTER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ROSTER_MUST_USE __attribute__((warn_unused_result))

/* How a call went. */
enum roster_result {
    ROSTER_OK = 0,
    ROSTER_REFUSED,     /* a server answered, and the answer was no */
    ROSTER_UNREACHABLE, /* no server answered */
    ROSTER_UNKNOWN,     /* a write was sent and may or may not be done */
    ROSTER_INTERRUPTED, /* the wake descriptor ended the wait (as UNKNOWN) */
    ROSTER_TOO_LARGE,   /* the answer is beyond the limit */
    ROSTER_INVALID,     /* the arguments make no request */
    ROSTER_CUT,         /* a download began and did not come whole */
    ROSTER_STOPPED,     /* the caller's take(), tell() or file ended it */
    ROSTER_FOREIGN,     /* what came is not what a registry sends */
};

/* Why the last call on a handle did not return ROSTER_OK. No member is ever
 * NULL; what is not known is "" or 0. From a server's problem+json where it
 * sent one. */
struct roster_error {
    enum roster_result result;
    int status;   /* HTTP status, 0 when no server answered */
    char *title;  /* the kind of problem, a constant phrase */
    char *detail; /* what went wrong with what, for a person */
    char *field;  /* the field of the request that is at fault */
    char *ns;     /* the namespace it is about */
};

struct roster; /* opaque */

/* Gives a handle without servers. */
struct roster *roster_new(void) ROSTER_MUST_USE;
/* NULL is fine. Always NULL, to write: roster = roster_free(roster); */
struct roster *roster_free(struct roster *roster);

/* The servers, as "http://HOST:PORT[,URL...]"; https too. Replaces the ones
 * before. The first one asked is chosen by chance, so that many clients with
 * one list spread over it. ROSTER_INVALID leaves the old ones. */
enum roster_result roster_set_servers(struct roster *roster,
                                      const char *urls) ROSTER_MUST_USE;

/* Limits for one attempt at one server: to connect, and altogether. 0 takes the
 * default: 2 s and 10 s. */
void roster_set_timeouts(struct roster *roster, uint64_t connect_ms,
                         uint64_t total_ms);

/* How long one roster_send may go on asking, with growing pauses, while no
 * server is ready; all attempts end with it. 0, the default: each server once,
 * no limit beside those of the attempts. */
void roster_set_patience(struct roster *roster, uint64_t patience_ms);

/* A descriptor (a signalfd, an eventfd) that ends a waiting roster_send when it
 * becomes readable; nothing is read from it. 0 or less: none. */
void roster_set_wake_fd(struct roster *roster, int fd);

/* What the servers see as User-Agent. */
void roster_set_user_agent(struct roster *roster, const char *name);

/* Who asks: the text of a token, sent to each server; NULL or "": nobody in
 * particular. It is copied, and the copy before is overwritten. A request that
 * brings an Authorization header of its own goes without. */
void roster_set_token(struct roster *roster, const char *token);

/* Files (PEM) for https: what the servers' certificates are verified with
 * instead of the system's list, and a certificate of our own with its key. Each
 * may be NULL, the last two only together. ROSTER_INVALID (a file that cannot
 * be read) leaves what was set. */
enum roster_result roster_set_tls(struct roster *roster, const char *ca,
                                  const char *cert,
                                  const char *key) ROSTER_MUST_USE;

/* May the request be sent again when its first outcome is not known? GET and
 * HEAD always are. */
enum roster_repeat {
    ROSTER_REPEAT_KEYED = 0, /* yes, with an Idempotency-Key made for it */
    ROSTER_REPEAT_SAFE,      /* yes: doing it twice is the same as once */
    ROSTER_REPEAT_NEVER,     /* no, unless none of it has left */
};

struct roster_request {
    const char *method; /* "GET" */
    const char *path;   /* "/v1/ns/pool.roster/machine": see roster_path; may
                           hold a query, as roster_response.next does */
    const char *query;  /* "limit=10", without the "?": see roster_query */
    const char *body;   /* JSON; NULL: none */
    size_t body_size;
    const char *const *headers; /* "Name: value", ends with NULL; or NULL */
    uint64_t timeout_ms; /* for each attempt; 0: the handle's (a long poll needs
                            more than it waits) */
    enum roster_repeat repeat;
};

/* Strings are never NULL; a header that did not come is "" or 0. */
struct roster_response {
    int status;
    char *body; /* a NUL stands behind it, not counted */
    size_t body_size;
    uint64_t revision;       /* Roster-Revision */
    char *leader;            /* Roster-Leader */
    char *node;              /* Roster-Node: who answered */
    char *etag;              /* ETag, with its quotes */
    char *location;          /* Location */
    char *next;              /* path and query of Link rel="next" */
    uint64_t retry_after_ms; /* Retry-After in seconds, as milliseconds */
};

/* Gives *ret_response when the result is ROSTER_OK or ROSTER_REFUSED (its body
 * may say more than the error); leaves it untouched otherwise. 304 is OK. The
 * whole answer is in memory: at most 256 MiB. */
enum roster_result
roster_send(struct roster *roster, const struct roster_request *request,
            struct roster_response *ret_response) ROSTER_MUST_USE;

/* A request or an answer that is too large for memory. {0} is neither. */
struct roster_stream {
    /* The body of the request: all of this regular file, from its beginning
     * each time it is sent. 0 or less: the request's own body. */
    int body_fd;
    /* Gets the body of an answer with a status below 300, piece by piece; not 0
     * ends the transfer. NULL: it is kept in memory. Errors always are. */
    int (*take)(const void *bytes, size_t n, void *user);
    /* Told how far the body has come, on its way out or in; `total` is 0 while
     * it is not known. May be NULL. */
    void (*progress)(uint64_t done, uint64_t total, void *user);
    void *user;
};

/* As roster_send, for bodies of any size. timeout_ms (default: the handle's) is
 * the longest silence, instead of a limit for the whole. The
 * next server is asked only as long as take() was given nothing: afterwards a
 * fault is ROSTER_CUT. An answer whose end cannot be told from a lost
 * connection (neither Content-Length nor chunked) is one too. What take() has
 * got is whole when, and only when, the result is ROSTER_OK. */
enum roster_result
roster_transfer(struct roster *roster, const struct roster_request *request,
                const struct roster_stream *stream,
                struct roster_response *ret_response) ROSTER_MUST_USE;

/* ---- watching: what changes, as it changes ---- */

/* Where a watch begins. */
enum roster_watch_start {
    ROSTER_FROM_NOW = 0, /* what changes after its first PROGRESS */
    ROSTER_FROM_SINCE,   /* what changed after the revision `since` */
    ROSTER_FROM_INITIAL, /* what is there, a PROGRESS, then what changes */
};

enum roster_watch_kind {
    ROSTER_WATCH_CONNECTED, /* a server sends */
    ROSTER_WATCH_LOST,      /* it does so no more, or would not: the next one
                               is asked */
    ROSTER_WATCH_AGAIN,     /* forget the initial rows told so far: the stream
                               broke among them, and they come anew */
    ROSTER_WATCH_CHANGE,    /* a change, or an initial row */
    ROSTER_WATCH_PROGRESS,  /* all up to `revision` was told */
    ROSTER_WATCH_RESET,     /* changes are missing: read again what is there, at
                               `revision` or later; the watch goes on behind */
    ROSTER_WATCH_BYE,       /* the server leaves in good order */
};

/* All lent, until tell() returns. Strings are never NULL. */
struct roster_watch_event {
    enum roster_watch_kind kind;
    uint64_t revision; /* of CHANGE, PROGRESS, RESET, BYE */
    const char *json; /* these as they were sent: {"revision":7,"op":"put",…};
                         a NUL stands behind it, not counted; else "" */
    size_t json_size;
    const char *server; /* URL of who sent it, or is lost */
    const char *why;    /* LOST: for a person; else "" */
};

/* What is watched. Members that are NULL or 0 narrow nothing down. */
struct roster_watch {
    const char *ns; /* and all below it */
    const char *type;
    const char *k;    /* field */
    const char *v;    /* what it holds, or held before the change */
    const char *mode; /* of v: "exact", "contains", "prefix" */
    enum roster_watch_start start;
    uint64_t since;
    /* Not 0: the end of the first stream is the end, as ROSTER_CUT. */
    int no_resume;
    /* The longest silence before a server counts as lost; 0: 30 s, twice what a
     * server is ever silent for. */
    uint64_t silence_ms;
    /* Told of each event in order; not 0 ends the watch. It may not use the
     * handle. A slow one is no harm: the server cuts the stream, and it is
     * taken up again. */
    int (*tell)(const struct roster_watch_event *event, void *user);
    void *user;
};

/* Watches until tell() or the wake descriptor ends it, or a server says that
 * there can be no such watch; never ROSTER_OK.
 *   [WATCH-1] each change after the start is told once, in order of revision,
 *             unless a RESET says that some are missing: a stream that breaks,
 *             is silent or is ended by its server is taken up at the next
 *             server behind the last revision told, after growing pauses, and
 *             what comes twice is dropped.
 * Until a server has let the watch in, each is asked once, or for as long as
 * roster_set_patience says; afterwards there is no end to it. To take up a
 * watch later, give as `since` the revision of its last CHANGE, PROGRESS or
 * RESET (initial rows count with the PROGRESS behind them). */
enum roster_result
roster_watch(struct roster *roster,
             const struct roster_watch *watch) ROSTER_MUST_USE;

/* Frees what a response holds; {0} is fine. */
void roster_response_done(struct roster_response *response);

/* Lends: good until the next call on the handle. */
const struct roster_error *roster_error(const struct roster *roster);

/* Gives (free) "/a/b/c" of the segments up to the NULL, each percent-encoded:
 *     roster_path("v1", "ns", ns, type, id, NULL) */
char *roster_path(const char *segment, ...)
    __attribute__((sentinel)) ROSTER_MUST_USE;
/* Gives (free) "k=v&k2=v2" of name, value pairs up to a NULL name, encoded; a
 * pair whose value is NULL is left out. */
char *roster_query(const char *name, ...)
    __attribute__((sentinel)) ROSTER_MUST_USE;
/* Gives (free) the text with all but [A-Za-z0-9._~-] percent-encoded. */
char *roster_encode(const char *text) ROSTER_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
