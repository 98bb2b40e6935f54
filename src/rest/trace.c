#include "rest/trace.h"

#include "base/err.h"

enum { VERSION = 2, PARENT = 16, FLAGS = 2, DIGITS = 16 };

static const char hex[] = "0123456789abcdef";

/* The next part, of `n` digits in lower case; not all zeros when it is an id.
 */
static bool take_hex(struct str *rest, size_t n, bool id, struct str *ret_part)
{
    bool zeros = true;

    if (rest->n < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (memchr(hex, rest->p[i], DIGITS) == NULL) {
            return false;
        }
        zeros = zeros && rest->p[i] == '0';
    }
    *ret_part = (struct str){rest->p, n};
    rest->p += n;
    rest->n -= n;
    return !(id && zeros);
}

static bool take_dash(struct str *rest)
{
    if (rest->n == 0 || rest->p[0] != '-') {
        return false;
    }
    rest->p++;
    rest->n--;
    return true;
}

/* A version above ours may have more behind its flags; ff is none. */
static bool is_end(struct str version, struct str rest)
{
    if (str_is(version, "00")) {
        return rest.n == 0;
    }
    return !str_is(version, "ff") && (rest.n == 0 || rest.p[0] == '-');
}

int rest_trace_parse(struct str traceparent, struct str *ret_id)
{
    struct str rest = traceparent, version, id, parent, flags;

    if (take_hex(&rest, VERSION, false, &version) && take_dash(&rest) &&
        take_hex(&rest, REST_TRACE_BYTES, true, &id) && take_dash(&rest) &&
        take_hex(&rest, PARENT, true, &parent) && take_dash(&rest) &&
        take_hex(&rest, FLAGS, false, &flags) && is_end(version, rest)) {
        *ret_id = id;
        return 0;
    }
    return ERR_INVALID;
}

/* SplitMix64 (Steele, Lea, Flood, 2014): each state once. */
static uint64_t next(uint64_t *io_state)
{
    uint64_t z = *io_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct str rest_trace_make(struct arena *arena, uint64_t io_state[2])
{
    char *text = arena_alloc(arena, REST_TRACE_BYTES);

    for (size_t half = 0; half < 2; half++) {
        uint64_t bits = next(&io_state[half]);
        for (size_t i = 0; i < DIGITS; i++) {
            text[half * DIGITS + i] = hex[bits >> 60];
            bits <<= 4;
        }
    }
    return (struct str){text, REST_TRACE_BYTES};
}
