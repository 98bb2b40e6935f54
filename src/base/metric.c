#include "base/metric.h"

static const struct {
    uint64_t us;
    const char *seconds;
} bounds[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {20000, "0.02"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {1000000, "1"},
    {2500000, "2.5"}, {10000000, "10"},
};
_Static_assert(sizeof bounds / sizeof bounds[0] == HISTOGRAM_BOUNDS,
               "a counter for each bound");

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
    size_t i = 0;
    while (i < HISTOGRAM_BOUNDS && us > bounds[i].us) {
        i++;
    }
    set(&histogram->buckets[i], get(&histogram->buckets[i]) + 1);
    set(&histogram->sum_us, get(&histogram->sum_us) + us);
    if (us > get(&histogram->max_us)) {
        set(&histogram->max_us, us);
    }
}

void histogram_read(const struct histogram *histogram,
                    struct histogram_sum *io_sum)
{
    uint64_t max_us = get(&histogram->max_us);

    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        io_sum->buckets[i] += get(&histogram->buckets[i]);
    }
    io_sum->sum_us += get(&histogram->sum_us);
    io_sum->max_us = max_us > io_sum->max_us ? max_us : io_sum->max_us;
}

/* ---- text ---- */

void metric_head(struct buf *out, const char *name, const char *type,
                 const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_number(struct buf *out, uint64_t number)
{
    buf_add_char(out, ' ');
    buf_add_u64(out, number);
    buf_add_char(out, '\n');
}

static void add_seconds(struct buf *out, uint64_t us)
{
    buf_printf(out, " %llu.%06llu\n", (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

void metric_gauge(struct buf *out, const char *name, const char *help,
                  uint64_t value)
{
    metric_head(out, name, "gauge", help);
    buf_add_text(out, name);
    add_number(out, value);
}

void metric_counter(struct buf *out, const char *name, const char *help,
                    uint64_t value)
{
    metric_head(out, name, "counter", help);
    buf_add_text(out, name);
    add_number(out, value);
}

void metric_seconds(struct buf *out, const char *name, const char *type,
                    const char *help, uint64_t us)
{
    metric_head(out, name, type, help);
    buf_add_text(out, name);
    add_seconds(out, us);
}

void metric_histogram(struct buf *out, const char *name, const char *help,
                      const struct histogram_sum *sum)
{
    uint64_t n = 0;

    metric_head(out, name, "histogram", help);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        n += sum->buckets[i];
        buf_printf(out, "%s_bucket{le=\"%s\"}", name,
                   i < HISTOGRAM_BOUNDS ? bounds[i].seconds : "+Inf");
        add_number(out, n);
    }
    buf_printf(out, "%s_sum", name);
    add_seconds(out, sum->sum_us);
    buf_printf(out, "%s_count", name);
    add_number(out, n);
}

void metric_labelled(struct buf *out, const char *name, const char *label,
                     const char *label_value, uint64_t value)
{
    buf_printf(out, "%s{%s=\"%s\"}", name, label, label_value);
    add_number(out, value);
}

void metric_labelled_seconds(struct buf *out, const char *name,
                             const char *label, const char *label_value,
                             uint64_t us)
{
    buf_printf(out, "%s{%s=\"%s\"}", name, label, label_value);
    add_seconds(out, us);
}
