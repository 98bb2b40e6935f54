/* The request target, taken apart: segments are split first and percent-decoded
 * after, so that %2F may stand in a primary key. Queries are decoded as forms
 * (WHATWG URL: '+' is a space), which is what every client library sends.
 *
 * Pure: no library, no connection. Refuses what two readers could understand
 * differently: broken escapes, %00, bytes that are not UTF-8 (overlong forms
 * among them), '.' and '..' segments, before decoding or after. */
#ifndef REST_URI_H
#define REST_URI_H

#include <stdbool.h>

#include "base/mem.h"

#define REST_SEGMENTS_MAX 8
#define REST_PARAMS_MAX 16

struct rest_param {
    struct str name;
    struct str value; /* p never NULL */
    bool bare;        /* there was no '=' */
};

struct rest_uri {
    struct str target; /* as sent, without scheme and authority */
    struct str path;   /* of it: what stands before the '?' */
    struct str segments[REST_SEGMENTS_MAX]; /* decoded */
    size_t n_segments; /* one more than fits when there are too many */
    struct rest_param params[REST_PARAMS_MAX];
    size_t n_params;
};

/* Slices point into `target` or the arena. Answers: INVALID, with *ret_why. */
int rest_uri_parse(struct arena *arena, struct str target,
                   struct rest_uri *ret_uri, const char **ret_why) MUST_USE;
/* Appends a target so that it may stand in a header, between < and >. */
void rest_uri_add_quoted(struct buf *out, struct str target);

#endif
