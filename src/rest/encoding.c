#include "rest/encoding.h"

#include <strings.h>

enum { WHOLE = 1000, NOT_GIVEN = -1 };

/* Weights of what matters here, in thousandths. */
struct weights {
    int gzip, identity, any;
};

/* What stands before the first `end`, which is taken off with it. */
static struct str cut(struct str *rest, char end)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, end, rest->n);
    struct str part = {rest->p, at == NULL ? rest->n : (size_t)(at - rest->p)};
    size_t taken = part.n + (at != NULL);

    rest->p += taken;
    rest->n -= taken;
    return str_trim(part);
}

/* "0.5": at most three digits behind the point, and no more than 1. */
static int weight_of(struct str text)
{
    int weight = 0;
    int unit = WHOLE;

    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[1] != '.')) {
        return NOT_GIVEN;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (i == 1) {
            continue;
        }
        if (text.p[i] < '0' || text.p[i] > '9') {
            return NOT_GIVEN;
        }
        weight += (text.p[i] - '0') * unit;
        unit /= 10;
    }
    return weight <= WHOLE ? weight : NOT_GIVEN;
}

static int read_weight(struct str parameter)
{
    if (parameter.n == 0) {
        return WHOLE;
    }
    struct str name = cut(&parameter, '=');
    return name.n == 1 && (name.p[0] | 0x20) == 'q'
               ? weight_of(str_trim(parameter))
               : NOT_GIVEN;
}

static bool is(struct str name, const char *text)
{
    return name.n == strlen(text) && strncasecmp(name.p, text, name.n) == 0;
}

static void take(struct weights *weights, struct str element)
{
    struct str name = cut(&element, ';');
    int weight = read_weight(str_trim(element));

    if (weight == NOT_GIVEN) {
        return;
    }
    if (is(name, "gzip") || is(name, "x-gzip")) {
        weights->gzip = weight;
    } else if (is(name, "identity")) {
        weights->identity = weight;
    } else if (is(name, "*")) {
        weights->any = weight;
    }
}

bool rest_encoding_is_lines(struct str accept)
{
    int lines = NOT_GIVEN, events = NOT_GIVEN;

    while (accept.n > 0) {
        struct str element = cut(&accept, ',');
        struct str name = cut(&element, ';');
        int weight = read_weight(str_trim(element));
        if (is(name, "application/x-ndjson")) {
            lines = weight;
        } else if (is(name, "text/event-stream")) {
            events = weight;
        }
    }
    return lines > 0 && lines >= events;
}

bool rest_encoding_is_gzip(struct str accept)
{
    struct weights weights = {NOT_GIVEN, NOT_GIVEN, NOT_GIVEN};

    while (accept.n > 0) {
        take(&weights, cut(&accept, ','));
    }
    int gzip = weights.gzip != NOT_GIVEN ? weights.gzip : weights.any;
    int plain = weights.identity != NOT_GIVEN ? weights.identity : weights.any;
    return gzip > 0 && gzip >= plain;
}
