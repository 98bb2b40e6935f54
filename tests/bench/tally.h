#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spread.h"

/* What the load client has seen. */
struct tally {
    uint64_t begin_ns, end_ns; /* answers between the two are counted */
    uint64_t answers, counted, good, refused;
    uint64_t broken; /* requests whose connection ended */
    uint64_t bytes;
    uint64_t last_ns;
    struct spread latency; /* of those counted */
    char first_refused[800];
};

void tally_answer(struct tally *t, bool good, uint64_t since_ns,
                  uint64_t now_ns);

/* Keeps the bytes of the first answer that was not good, for people. */
void tally_refused(struct tally *t, const char *p, size_t n);

/* One line of JSON. */
void tally_print(const struct tally *t, uint64_t measured_ns);

#endif
