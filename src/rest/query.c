#include "rest/query.h"

#include <stddef.h>

#include "base/err.h"

enum kind { TEXT, NUMBER, TRUTH, CONSISTENCY, DURATION, REVISION };

/* Of a long poll. */
enum { WAIT_MS = 50000, WAIT_MOST_MS = 600000 };

struct param {
    const char *name;
    unsigned bit;
    enum kind kind;
    size_t offset; /* in struct rest_query */
    uint64_t least, most;
    const char *wants;
};

#define AT(member) offsetof(struct rest_query, member)
#define TRUTH_TEXT "must be true or false"

static const struct param params[] = {
    {"limit", REST_LIMIT, NUMBER, AT(op.limit), 1, REST_LIMIT_MOST,
     "must be a number from 1 to 100000"},
    {"after", REST_AFTER, TEXT, AT(op.after), 0, 0, NULL},
    {"fields", REST_FIELDS, TEXT, AT(op.fields), 0, 0, NULL},
    {"type", REST_TYPE, TEXT, AT(op.type), 0, 0, NULL},
    {"k", REST_K, TEXT, AT(op.k), 0, 0, NULL},
    {"v", REST_V, TEXT, AT(op.v), 0, 0, NULL},
    {"mode", REST_MODE, TEXT, AT(op.mode), 0, 0, NULL},
    {"verb", REST_VERB, TEXT, AT(op.verb), 0, 0, NULL},
    {"ns", REST_NS, TEXT, AT(op.ns), 0, 0, NULL},
    {"lease", REST_LEASE, TEXT, AT(op.lease), 0, 0, NULL},
    {"depth", REST_DEPTH, NUMBER, AT(op.depth), 0, UINT32_MAX,
     "must be a number, 0 or more"},
    {"flat", REST_FLAT, TRUTH, AT(op.flat), 0, 0, TRUTH_TEXT},
    {"recursive", REST_RECURSIVE, TRUTH, AT(op.recursive), 0, 0, TRUTH_TEXT},
    {"consistency", REST_CONSISTENCY, CONSISTENCY, AT(op.linearizable), 0, 0,
     "must be local or linearizable"},
    {"max_stale", REST_MAX_STALE, DURATION, AT(op.max_stale_ms), 0, UINT64_MAX,
     "must be a duration, as in max_stale=500ms or max_stale=2s"},
    {"since", REST_SINCE, REVISION, AT(op.since), 0, REST_REVISION_MOST,
     "must be a revision, a whole number below 2^53"},
    {"wait", REST_WAIT, DURATION, AT(wait_ms), 0, WAIT_MOST_MS,
     "must be a duration up to 10m, as in wait=30s; 0 waits for nothing"},
    {"initial", REST_INITIAL, TRUTH, AT(op.initial), 0, 0, TRUTH_TEXT},
    {"verbose", REST_VERBOSE, TRUTH, AT(verbose), 0, 0, TRUTH_TEXT},
    {"stale", REST_STALE, TRUTH, AT(stale), 0, 0, TRUTH_TEXT},
};

static const struct param *find(struct str name, unsigned allowed)
{
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
        if ((params[i].bit & allowed) != 0 && str_is(name, params[i].name)) {
            return &params[i];
        }
    }
    return NULL;
}

/* "?flat" alone means yes. */
static int read_truth(const struct rest_param *given, bool *ret_truth)
{
    bool yes = given->bare || str_is(given->value, "true") ||
               str_is(given->value, "1");
    if (!yes && !str_is(given->value, "false") && !str_is(given->value, "0")) {
        return ERR_INVALID;
    }
    *ret_truth = yes;
    return 0;
}

static int read_consistency(struct str value, bool *ret_linearizable)
{
    *ret_linearizable = str_is(value, "linearizable");
    return *ret_linearizable || str_is(value, "local") ? 0 : ERR_INVALID;
}

static int read_param(const struct param *param, const struct rest_param *given,
                      struct rest_query *query)
{
    void *target = (char *)query + param->offset;
    uint64_t number = 0;

    switch (param->kind) {
    case TEXT:
        *(struct str *)target = given->value;
        return 0;
    case TRUTH:
        return read_truth(given, target);
    case CONSISTENCY:
        return read_consistency(given->value, target);
    case DURATION:
        return str_duration(given->value, target) != 0 ||
                       *(uint64_t *)target > param->most
                   ? ERR_INVALID
                   : 0;
    case REVISION:
        query->op.has_since = true;
        break;
    case NUMBER:
        break;
    }
    if (str_number(given->value, param->most, &number) != 0 ||
        number < param->least) {
        return ERR_INVALID;
    }
    *(uint64_t *)target = number;
    return 0;
}

int rest_query_read(const struct rest_uri *uri, unsigned allowed,
                    struct rest_query *ret_query, struct str *ret_field,
                    const char **ret_why)
{
    unsigned seen = 0;

    *ret_query = (struct rest_query){.op.depth = UINT64_MAX,
                                     .op.max_stale_ms = UINT64_MAX,
                                     .wait_ms = WAIT_MS};
    for (size_t i = 0; i < uri->n_params; i++) {
        const struct rest_param *given = &uri->params[i];
        const struct param *param = find(given->name, allowed);
        *ret_field = given->name;
        if (param == NULL) {
            *ret_why = "is no parameter of this request";
            return ERR_INVALID;
        }
        if ((seen & param->bit) != 0) {
            *ret_why = "is given twice";
            return ERR_INVALID;
        }
        seen |= param->bit;
        if (read_param(param, given, ret_query) != 0) {
            *ret_why = param->wants;
            return ERR_INVALID;
        }
    }
    if ((seen & REST_WAIT) != 0 && !ret_query->op.has_since) {
        *ret_field = STR("wait");
        *ret_why = "goes with since, the revision of what you have";
        return ERR_INVALID;
    }
    return 0;
}
