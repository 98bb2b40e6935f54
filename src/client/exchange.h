/* One request to one server over libcurl: the only place that knows curl. */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include <stdbool.h>

#include "base/mem.h"
#include "roster.h"

struct exchange; /* opaque: the open connections */

struct attempt {
    const struct roster_request *request;
    const struct roster_stream *stream; /* NULL: all in memory */
    const char *server;                 /* "http://host:port" */
    const char *idempotency_key;        /* NULL: none */
    const char *user_agent;
    const char *token;           /* NULL: none */
    const char *ca, *cert, *key; /* files; NULL: none */
    uint64_t connect_ms;
    uint64_t total_ms;
    uint64_t silence_ms; /* of a stream, once it has begun; 0: total_ms */
    int wake_fd;         /* <= 0: none */
};

enum exchange_outcome {
    EXCHANGE_ANSWERED,
    EXCHANGE_NOT_SENT, /* failed before a byte of the request left */
    EXCHANGE_CUT,      /* failed later */
    EXCHANGE_WOKEN,    /* the wake descriptor became readable */
    EXCHANGE_TOO_LARGE,
    EXCHANGE_STOPPED,   /* take() said so, or the file cannot be read */
    EXCHANGE_NOT_WHOLE, /* failed when take() had got some of it */
};

struct exchange *exchange_new(void) MUST_USE;
struct exchange *exchange_free(struct exchange *exchange);

/* Gives *ret_response when ANSWERED; gives *ret_why (free) when NOT_SENT,
 * CUT or NOT_WHOLE. */
enum exchange_outcome exchange_run(struct exchange *exchange,
                                   const struct attempt *attempt,
                                   struct roster_response *ret_response,
                                   char **ret_why) MUST_USE;

/* The headers and the status of the answer that has come; takes *body. */
void exchange_read_answer(void *easy, struct buf *body,
                          struct roster_response *ret_response);

/* Gives (curl_slist_free_all). */
struct curl_slist;
struct curl_slist *exchange_headers(const struct attempt *attempt) MUST_USE;

/* Does the caller bring the header itself? */
bool exchange_has_header(const struct roster_request *request,
                         const char *name) MUST_USE;

/* "http://host:port" of what a person wrote, or NULL. Gives (free). */
char *exchange_server(const char *url) MUST_USE;

#endif
