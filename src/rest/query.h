/* What the query parameters of a route mean. Pure. */
#ifndef REST_QUERY_H
#define REST_QUERY_H

#include <stdbool.h>

#include "registry/registry.h"
#include "rest/route.h"
#include "rest/uri.h"

#define REST_LIMIT_MOST 100000

struct rest_query {
    struct op_query op;
    uint64_t wait_ms; /* for something newer than op.since */
    bool verbose;
    bool stale;
};

/* Answers: INVALID, with the parameter in *ret_field (decoded, so it may hold
 * anything) and what is wrong with it. */
int rest_query_read(const struct rest_uri *uri, unsigned allowed,
                    struct rest_query *ret_query, struct str *ret_field,
                    const char **ret_why) MUST_USE;

#endif
