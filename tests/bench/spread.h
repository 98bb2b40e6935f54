#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include <stdint.h>

/* Times in ns, counted in classes that are 1/64 of their value wide: a quantile
 * is right to 1.6 %, whatever was measured. */

enum { SPREAD_CLASSES = 64 * 40 };

struct spread {
    uint64_t n;
    uint64_t most;
    uint64_t class[SPREAD_CLASSES];
};

void spread_add(struct spread *s, uint64_t ns);

/* The time that the part q (0 to 1) of all did not exceed; 0 when empty. */
uint64_t spread_quantile(const struct spread *s, double q);

#endif
