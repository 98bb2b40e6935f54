#include <stddef.h>

#include "base/clock.h"
#include "rest/state.h"

/* Upper bounds; what is above the last counts in +Inf. */
static const struct {
    uint64_t us;
    const char *seconds;
} buckets[] = {
    {100, "0.0001"}, {500, "0.0005"},  {2500, "0.0025"}, {10000, "0.01"},
    {50000, "0.05"}, {250000, "0.25"}, {1000000, "1"},   {5000000, "5"},
};
_Static_assert(sizeof buckets / sizeof buckets[0] == REST_BUCKETS,
               "a counter for each bucket");

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void count_duration(struct rest_counts *counts, uint64_t us)
{
    size_t i = 0;
    while (i < REST_BUCKETS && us > buckets[i].us) {
        i++;
    }
    rest_count(&counts->duration_bucket[i], 1);
    rest_count(&counts->duration_us, us);
}

void rest_count_request(struct rest_request *request)
{
    struct rest_counts *counts = &request->loop->counts;
    unsigned class = request->status / 100;
    size_t route = request->route == NULL ? REST_ROUTES_MAX
                                          : rest_route_index(request->route);

    rest_count(&counts->in_flight, (uint64_t)-1);
    if (class < 2) {
        rest_count(&counts->aborted, 1);
        return;
    }
    rest_count(&counts->requests, 1);
    rest_count(&counts->answers[route][class - 2], 1);
    count_duration(counts, clock_mono_us() - request->began_us);
}

struct rest_stats rest_stats(const struct rest *rest)
{
    struct rest_stats sum = {
        .max_connections = rest->config.max_connections,
        .body_bytes = get(&rest->body_bytes),
    };

    for (unsigned i = 0; i < rest->n_loops; i++) {
        const struct rest_counts *counts = &rest->loops[i].counts;
        sum.connections += get(&counts->connections);
        sum.accepted += get(&counts->accepted);
        sum.in_flight += get(&counts->in_flight);
        sum.suspended += get(&counts->suspended);
        sum.requests += get(&counts->requests);
        sum.timeouts += get(&counts->timeouts);
    }
    return sum;
}

/* ---- Prometheus text ---- */

static void add_one(struct buf *out, const char *name, const char *type,
                    const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name,
               type, name, (unsigned long long)value);
}

static uint64_t answers(const struct rest *rest, size_t route, int class)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < rest->n_loops; i++) {
        sum += get(&rest->loops[i].counts.answers[route][class]);
    }
    return sum;
}

static void add_answers_of(const struct rest *rest, size_t route,
                           const char *method, const char *pattern,
                           struct buf *out)
{
    for (int class = 0; class < REST_CLASSES; class ++) {
        uint64_t n = answers(rest, route, class);
        if (n > 0) {
            buf_printf(out,
                       "roster_http_requests_total{method=\"%s\",route=\"%s\","
                       "code=\"%dxx\"} %llu\n",
                       method, pattern, class + 2, (unsigned long long)n);
        }
    }
}

static void add_answers(const struct rest *rest, struct buf *out)
{
    buf_add_text(out, "# HELP roster_http_requests_total Requests answered.\n"
                      "# TYPE roster_http_requests_total counter\n");
    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        add_answers_of(rest, rest_route_index(r), rest_method_name(r->method),
                       r->pattern, out);
    }
    add_answers_of(rest, REST_ROUTES_MAX, "other", "none", out);
}

static void add_durations(const struct rest *rest, struct buf *out)
{
    uint64_t n = 0;
    uint64_t us = 0;

    buf_add_text(out, "# HELP roster_http_request_seconds From the request "
                      "line to the last byte of the answer.\n"
                      "# TYPE roster_http_request_seconds histogram\n");
    for (int bucket = 0; bucket <= REST_BUCKETS; bucket++) {
        for (unsigned i = 0; i < rest->n_loops; i++) {
            n += get(&rest->loops[i].counts.duration_bucket[bucket]);
        }
        buf_printf(out, "roster_http_request_seconds_bucket{le=\"%s\"} %llu\n",
                   bucket < REST_BUCKETS ? buckets[bucket].seconds : "+Inf",
                   (unsigned long long)n);
    }
    for (unsigned i = 0; i < rest->n_loops; i++) {
        us += get(&rest->loops[i].counts.duration_us);
    }
    buf_printf(out,
               "roster_http_request_seconds_sum %.6f\n"
               "roster_http_request_seconds_count %llu\n",
               (double)us / 1e6, (unsigned long long)n);
}

static uint64_t sum_of(const struct rest *rest, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < rest->n_loops; i++) {
        const char *counts = (const char *)&rest->loops[i].counts;
        sum += get((const _Atomic uint64_t *)(const void *)(counts + offset));
    }
    return sum;
}

void rest_metrics(const struct rest *rest, struct buf *out)
{
    struct rest_stats stats = rest_stats(rest);

    buf_printf(out,
               "# HELP roster_build_info What this is.\n"
               "# TYPE roster_build_info gauge\n"
               "roster_build_info{version=\"%s\"} 1\n",
               ROSTER_VERSION);
    add_answers(rest, out);
    add_durations(rest, out);
    add_one(out, "roster_http_connections", "gauge", "Connections open.",
            stats.connections);
    add_one(out, "roster_http_connections_max", "gauge",
            "Connections this node takes.", stats.max_connections);
    add_one(out, "roster_http_connections_accepted_total", "counter",
            "Connections accepted.", stats.accepted);
    add_one(out, "roster_http_requests_in_flight", "gauge",
            "Requests being received, run or answered.", stats.in_flight);
    add_one(out, "roster_http_requests_suspended", "gauge",
            "Requests that wait for the log, a revision or a worker.",
            stats.suspended);
    add_one(out, "roster_http_requests_aborted_total", "counter",
            "Requests that ended without an answer.",
            sum_of(rest, offsetof(struct rest_counts, aborted)));
    add_one(out, "roster_http_answers_kept_total", "counter",
            "Reads answered as the one before was, with nothing looked up.",
            sum_of(rest, offsetof(struct rest_counts, kept)));
    add_one(out, "roster_http_timeouts_total", "counter",
            "Connections cut because they took too long.", stats.timeouts);
    add_one(out, "roster_http_body_bytes", "gauge",
            "Bytes of request bodies held.", stats.body_bytes);
}
