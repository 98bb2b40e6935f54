#include "spread.h"

/* Below 64 each value is a class; above, the six bits after the first one. */
static unsigned class_of(uint64_t ns)
{
    if (ns < 64) {
        return (unsigned)ns;
    }
    unsigned shift = 57U - (unsigned)__builtin_clzll(ns);
    unsigned at = (shift + 1) * 64 + (unsigned)(ns >> shift) - 64;
    return at < SPREAD_CLASSES ? at : SPREAD_CLASSES - 1;
}

static uint64_t upper_end(unsigned at)
{
    if (at < 64) {
        return at;
    }
    return ((uint64_t)(at % 64) + 65) << (at / 64 - 1);
}

void spread_add(struct spread *s, uint64_t ns)
{
    s->class[class_of(ns)]++;
    s->n++;
    if (ns > s->most) {
        s->most = ns;
    }
}

uint64_t spread_quantile(const struct spread *s, double q)
{
    uint64_t wanted = (uint64_t)(q * (double)s->n);
    uint64_t seen = 0;

    for (unsigned i = 0; i < SPREAD_CLASSES && s->n > 0; i++) {
        seen += s->class[i];
        if (seen > wanted || seen == s->n) {
            uint64_t end = upper_end(i);
            return end < s->most ? end : s->most;
        }
    }
    return 0;
}
