/* Heads of requests as they come from a socket, taken apart without the
 * library: those that are as RFC 9112 wants them, and nothing else.
 *
 * What is let through means the same to everybody who could stand between: a
 * method of ours with a path, HTTP/1.1, lines that end in CRLF, names that are
 * tokens, values without control characters, and nothing that makes a message
 * longer, but one length of what is no GET, or a connection another one.
 * Anything else is odd, also where it would be right: the library, or strict.h
 * behind it, says what it is. Pure. */
#ifndef REST_SCAN_H
#define REST_SCAN_H

#include <stddef.h>

#include "rest/route.h"
#include "rest/strict.h"

/* Longer ones are odd: any --max-header has room for these. */
#define REST_SCAN_MOST 2048

enum rest_scan {
    SCAN_WHOLE,
    SCAN_PART, /* its beginning, as far as that can be seen */
    SCAN_ODD,
};

struct rest_scanned {
    size_t n; /* bytes of it */
    enum rest_method method;
    struct str target;
    struct rest_head head; /* its framing and its host are not checked */
};

/* The head that the bytes begin with. *ret_scanned lends from them, and from
 * the arena; it is whole only with WHOLE. */
enum rest_scan rest_scan_head(struct str bytes, struct arena *arena,
                              struct rest_scanned *ret_scanned) MUST_USE;

#endif
