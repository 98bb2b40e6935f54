
#include "base/clock.h"
#include "rest/state.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void rest_count_answer(struct rest_loop *loop, const struct rest_reply *reply,
                       bool head, uint64_t began_us)
{
    struct rest_counts *counts = &loop->counts;
    size_t route =
        reply->route == NULL ? REST_ROUTES_MAX : rest_route_index(reply->route);

    rest_count(&counts->requests, 1);
    rest_count(&counts->answers[route][reply->status / 100 - 2], 1);
    rest_count(&counts->sent_bytes, head ? 0 : reply->body_bytes);
    histogram_add(&counts->duration, clock_mono_us() - began_us);
}

void rest_count_request(struct rest_request *request)
{
    struct rest_counts *counts = &request->loop->counts;

    rest_count(&counts->in_flight, (uint64_t)-1);
    rest_count(&counts->received_bytes, request->received);
    if (request->status < 200) {
        rest_count(&counts->aborted, 1);
        return;
    }
    const struct rest_reply reply = {.route = request->route,
                                     .status = request->status,
                                     .body_bytes = request->answer_bytes};
    rest_count_answer(request->loop, &reply, request->head, request->began_us);
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
        sum.exhausted += get(&counts->exhausted);
        sum.gave_way += get(&counts->gave_way);
        sum.crowded += get(&counts->crowded);
        sum.plain += get(&counts->plain);
        sum.in_flight += get(&counts->in_flight);
        sum.suspended += get(&counts->suspended);
        sum.requests += get(&counts->requests);
        sum.kept += get(&counts->kept);
        sum.express += get(&counts->express);
        sum.polls += get(&counts->polls);
        sum.looks += get(&counts->looks);
        sum.renderings += get(&counts->renderings);
        sum.aborted += get(&counts->aborted);
        sum.timeouts += get(&counts->timeouts);
        sum.received_bytes += get(&counts->received_bytes);
        sum.sent_bytes += get(&counts->sent_bytes);
        sum.streams += get(&counts->streams);
        sum.streams_behind += get(&counts->streams_behind);
        sum.streams_cut += get(&counts->streams_cut);
        sum.stream_resets += get(&counts->stream_resets);
        sum.stream_bytes += get(&counts->stream_bytes);
    }
    return sum;
}

/* ---- Prometheus text ---- */

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
    metric_head(out, "roster_http_requests_total", "counter",
                "Requests answered.");
    for (const struct rest_route *r = rest_routes; r->pattern != NULL; r++) {
        add_answers_of(rest, rest_route_index(r), rest_method_name(r->method),
                       r->pattern, out);
    }
    add_answers_of(rest, REST_ROUTES_MAX, "other", "none", out);
}

static void add_durations(const struct rest *rest, struct buf *out)
{
    struct histogram_sum sum = {0};

    for (unsigned i = 0; i < rest->n_loops; i++) {
        histogram_read(&rest->loops[i].counts.duration, &sum);
    }
    metric_histogram(out, "roster_http_request_duration_seconds",
                     "From the request line to the last byte of the answer.",
                     &sum);
}

static void add_connections(const struct rest_stats *stats, struct buf *out)
{
    metric_gauge(out, "roster_http_connections", "Connections open.",
                 stats->connections);
    metric_gauge(out, "roster_http_connections_max",
                 "Connections this node takes.", stats->max_connections);
    metric_counter(out, "roster_http_connections_accepted_total",
                   "Connections accepted.", stats->accepted);
    metric_counter(out, "roster_http_connections_exhausted_total",
                   "Times a loop had all the connections it takes, so that new "
                   "ones waited.",
                   stats->exhausted);
    metric_counter(out, "roster_http_connections_gave_way_total",
                   "Connections closed to make room because they had not sent "
                   "a whole header yet.",
                   stats->gave_way);
    metric_counter(out, "roster_http_connections_crowded_total",
                   "Connections refused because their address had as many as "
                   "one may have.",
                   stats->crowded);
    metric_counter(out, "roster_http_tls_plain_total",
                   "Connections refused because they spoke HTTP without TLS.",
                   stats->plain);
    metric_counter(out, "roster_http_timeouts_total",
                   "Connections cut because they took too long.",
                   stats->timeouts);
}

static void add_requests(const struct rest_stats *stats, struct buf *out)
{
    metric_gauge(out, "roster_http_requests_in_flight",
                 "Requests being received, run or answered.", stats->in_flight);
    metric_gauge(out, "roster_http_requests_suspended",
                 "Requests that wait for the log, a revision, the disk or a "
                 "worker.",
                 stats->suspended);
    metric_counter(out, "roster_http_requests_aborted_total",
                   "Requests that ended without an answer.", stats->aborted);
    metric_counter(out, "roster_http_answers_kept_total",
                   "Reads answered as the one before was, with nothing looked "
                   "up.",
                   stats->kept);
    metric_counter(out, "roster_http_answers_express_total",
                   "Requests answered past the library, to those who keep "
                   "asking.",
                   stats->express);
    metric_counter(out, "roster_http_request_body_bytes_total",
                   "Bytes of bodies received.", stats->received_bytes);
    metric_counter(out, "roster_http_response_body_bytes_total",
                   "Bytes of bodies answered.", stats->sent_bytes);
    metric_gauge(out, "roster_http_body_bytes",
                 "Bytes of request bodies held in memory.", stats->body_bytes);
}

static void add_streams(const struct rest *rest, const struct rest_stats *stats,
                        struct buf *out)
{
    struct watch_stats watch = watch_stats(rest->hub);

    metric_counter(out, "roster_watch_events_total",
                   "Changes since the start, for those who watch.",
                   watch.published);
    metric_gauge(out, "roster_watch_ring_bytes",
                 "Held in memory of the last changes.", watch.bytes);
    metric_gauge(out, "roster_watchers_max",
                 "Streams and long polls this node takes.",
                 rest->config.max_watchers);
    metric_gauge(out, "roster_watch_streams", "Streams of changes open.",
                 stats->streams);
    metric_gauge(out, "roster_watch_behind",
                 "Of these: those that have not been sent all there is.",
                 stats->streams_behind);
    metric_counter(out, "roster_watch_cut_total",
                   "Streams cut because their reader was too slow.",
                   stats->streams_cut);
    metric_counter(out, "roster_watch_resets_total",
                   "Times a stream was told to list again.",
                   stats->stream_resets);
    metric_counter(out, "roster_watch_sent_bytes_total",
                   "Bytes sent to streams.", stats->stream_bytes);
}

static void add_polls(const struct rest_stats *stats, struct buf *out)
{
    metric_gauge(out, "roster_watch_polls", "Long polls that wait.",
                 stats->polls);
    metric_counter(out, "roster_watch_poll_looks_total",
                   "Operations run to find out whether there is something "
                   "newer than long polls have: one for all that ask the same.",
                   stats->looks);
    metric_counter(out, "roster_watch_poll_renderings_total",
                   "Answers made for long polls that waited: one for all that "
                   "ask the same.",
                   stats->renderings);
}

static void add_workers(const struct rest *rest, struct buf *out)
{
    metric_gauge(out, "roster_http_workers", "Threads for long requests.",
                 rest->workers.n_threads);
    metric_gauge(out, "roster_http_workers_queued",
                 "Long requests that wait for a worker.",
                 atomic_load(&rest->workers.n));
}

void rest_metrics(const struct rest *rest, struct buf *out)
{
    struct rest_stats stats = rest_stats(rest);

    metric_head(out, "roster_build_info", "gauge", "What this is.");
    metric_labelled(out, "roster_build_info", "version", ROSTER_VERSION, 1);
    add_answers(rest, out);
    add_durations(rest, out);
    add_connections(&stats, out);
    add_requests(&stats, out);
    add_streams(rest, &stats, out);
    add_polls(&stats, out);
    add_workers(rest, out);
}
