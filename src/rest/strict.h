/* The header: what of it is used, and all that is wrong with it.
 *
 * libmicrohttpd 0.9.75 takes what RFC 9112 tells a server to refuse: both
 * Transfer-Encoding and Content-Length, two lengths, codings it does not know
 * (it then reads until the end), names with a blank before the colon, no Host.
 * Behind a proxy each of these lets one client's body become another's request.
 * Pure. */
#ifndef REST_STRICT_H
#define REST_STRICT_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/registry.h"

/* Revisions stay below 2^53: what every JSON reader can hold. */
#define REST_REVISION_MOST ((UINT64_C(1) << 53) - 1)

struct rest_head {
    struct str host;
    struct str content_length;
    struct str transfer_encoding;
    struct str content_type;
    struct str content_encoding;
    struct str expect;
    struct str min_revision;
    struct str accept_encoding;
    struct str accept;
    struct str last_event_id;
    struct str authorization;
    struct str traceparent;
    struct op_conditions conditions;
    unsigned n_joined; /* lines of lists behind their first */
    bool body;         /* one follows */
    uint64_t length;   /* of it; 0 when it is chunked */
    /* The first thing found wrong while adding. */
    const char *wrong;
    struct str wrong_name;
};

/* What becomes of a request's body. */
enum rest_takes {
    REST_NOTHING, /* it is thrown away */
    REST_JSON,
    REST_SECRET, /* JSON, and overwritten wherever it was */
    REST_FILE,   /* of any size and kind */
};

struct rest_refusal {
    unsigned status;
    const char *why;
    struct str field; /* "" : none */
    bool close;       /* framing in doubt: answer at once and close */
};

/* How much of a body nobody wants is read before its connection is cut: many
 * clients read no answer before they have sent everything, and lose one that
 * came with a closed connection. */
static inline uint64_t rest_discard_bytes(uint64_t max_body_bytes)
{
    uint64_t least = UINT64_C(64) << 20;
    return max_body_bytes > least / 4 ? 4 * max_body_bytes : least;
}

/* One header line. Slices are lent until the request ends; the arena takes
 * lists that came in several lines. */
void rest_head_add(struct rest_head *head, struct arena *arena, struct str name,
                   struct str value);
/* After the last line. `http` is what the client speaks, "HTTP/1.1". The length
 * of a file is for the caller to judge. Answers: INVALID, with *ret_refusal. */
int rest_head_check(struct rest_head *head, struct str http,
                    enum rest_takes takes, uint64_t max_body_bytes,
                    struct rest_refusal *ret_refusal) MUST_USE;

/* The token in an Authorization, which is p == NULL when none was given; then
 * *ret_token is empty. Answers: INVALID (*ret_why: what to send). Both lend. */
int rest_head_token(struct str authorization, struct str *ret_token,
                    const char **ret_why) MUST_USE;

#endif
