/* Numbers for those who watch a process: a histogram of durations, and
 * Prometheus' text format.
 *
 * A histogram has one writer at a time and any number of readers: adding is two
 * relaxed loads and stores, no lock, no allocation. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>

#include "base/mem.h"

/* Upper bounds from 100 us to 10 s; what is above the last counts in +Inf. */
enum { HISTOGRAM_BOUNDS = 14 };

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BOUNDS + 1];
    _Atomic uint64_t sum_us, max_us;
};

/* What was in one or several of them at one moment. */
struct histogram_sum {
    uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* each alone, not cumulative */
    uint64_t sum_us, max_us;
};

void histogram_add(struct histogram *histogram, uint64_t us);
/* Adds what it holds to `io_sum`. */
void histogram_read(const struct histogram *histogram,
                    struct histogram_sum *io_sum);

/* ---- text ---- */

/* `type` is gauge, counter, histogram or summary. HELP and TYPE; samples
 * follow. */
void metric_head(struct buf *out, const char *name, const char *type,
                 const char *help);
/* With head: one sample. */
void metric_gauge(struct buf *out, const char *name, const char *help,
                  uint64_t value);
void metric_counter(struct buf *out, const char *name, const char *help,
                    uint64_t value);
/* The same for a duration, told in seconds. */
void metric_seconds(struct buf *out, const char *name, const char *type,
                    const char *help, uint64_t us);
void metric_histogram(struct buf *out, const char *name, const char *help,
                      const struct histogram_sum *sum);
/* A sample with one label, under a head. The value of the label is a name of
 * ours: it is not escaped. */
void metric_labelled(struct buf *out, const char *name, const char *label,
                     const char *label_value, uint64_t value);
void metric_labelled_seconds(struct buf *out, const char *name,
                             const char *label, const char *label_value,
                             uint64_t us);

#endif
