/* One table of everything that can be asked: method, path, operation, allowed
 * query parameters. 405 with Allow, OPTIONS, unknown parameters and the names
 * in the metrics all come from it. Pure. */
#ifndef REST_ROUTE_H
#define REST_ROUTE_H

#include <stdbool.h>

#include "registry/registry.h"
#include "rest/strict.h"
#include "rest/uri.h"

enum rest_method {
    REST_GET, /* HEAD too */
    REST_POST,
    REST_PUT,
    REST_PATCH,
    REST_DELETE,
    REST_METHODS, /* any other */
};

/* Who answers: the registry, or a page of this room. */
enum rest_place {
    REST_OP,
    REST_LIVEZ,
    REST_READYZ,
    REST_METRICS,
    REST_OPENAPI,
};

/* Query parameters, as bits of rest_route.params. */
enum {
    REST_LIMIT = 1 << 0,
    REST_AFTER = 1 << 1,
    REST_FIELDS = 1 << 2,
    REST_TYPE = 1 << 3,
    REST_K = 1 << 4,
    REST_V = 1 << 5,
    REST_MODE = 1 << 6,
    REST_NS = 1 << 7,
    REST_LEASE = 1 << 8,
    REST_DEPTH = 1 << 9,
    REST_FLAT = 1 << 10,
    REST_RECURSIVE = 1 << 11,
    REST_CONSISTENCY = 1 << 12,
    REST_VERBOSE = 1 << 13,
    REST_STALE = 1 << 14,
    REST_MAX_STALE = 1 << 15,
    REST_SINCE = 1 << 16,
    REST_INITIAL = 1 << 17,
    REST_WAIT = 1 << 18,
    REST_VERB = 1 << 19,
};

struct rest_route {
    enum rest_method method;
    unsigned n_segments; /* of the pattern */
    const char *pattern; /* "/v1/ns/{ns}" */
    enum rest_place place;
    enum op_kind op;
    unsigned params;
    enum rest_takes takes;
};

/* Ends with pattern == NULL. */
extern const struct rest_route rest_routes[];
#define REST_ROUTES_MAX 96
/* The place of a route in the table. */
size_t rest_route_index(const struct rest_route *route);

struct rest_match {
    const struct rest_route *route;
    struct str ns, type, id; /* from the path */
    unsigned methods;        /* FORBIDDEN: what the path has, as bits */
};

enum rest_method rest_method_parse(const char *name);
/* "GET"; not for REST_METHODS. */
const char *rest_method_name(enum rest_method method);
/* Answers: NOT_FOUND (no such path), FORBIDDEN (not with this method). */
int rest_route_find(enum rest_method method, const struct rest_uri *uri,
                    struct rest_match *ret_match) MUST_USE;
/* "GET, HEAD, PUT, OPTIONS" */
void rest_route_allow(unsigned methods, char ret_text[64]);

#endif
