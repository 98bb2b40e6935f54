/* A write past the library, from the socket to its answer. Private to
 * express.c. */
#ifndef REST_EXPRESS_RUN_H
#define REST_EXPRESS_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/own.h"

struct rest_request;
struct rest_shared;
struct rest_taken;

/* Bytes of its body at most. */
enum { REST_EXPRESS_BODY = 8 << 10 };

/* One that came whole. */
struct rest_write {
    struct rest_request *request; /* held */
    size_t n;                     /* bytes of it */
};

/* Takes it out of the socket, and takes the request; `more`: there may be
 * something unread behind it. The connection may be gone then. [EXPRESS-2] */
void rest_express_run(struct rest_taken *taken, const struct rest_write *write,
                      bool more);

#endif
