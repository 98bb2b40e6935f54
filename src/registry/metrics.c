/* What is told about this node: readiness and metrics. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "registry/room.h"

/* ---- readiness ---- */

bool registry_ready(struct registry *registry, bool stale_ok,
                    struct registry_check ret_checks[8])
{
    struct core_status status = core_status(registry->core);
    bool store_ok = status.caught_up;
    struct lease_info info;
    bool leases_ok = lease_get(registry->leases, STR(""), clock_mono_ms(),
                               &info) != ERR_NOT_READY;
    const struct registry_check checks[] = {
        {"store", store_ok,
         store_ok ? "" : "this node has not caught up since it started"},
        {"raft", status.leads, status.leads ? "" : "this node does not lead"},
        {"leases", leases_ok,
         leases_ok ? "" : "this node does not keep the leases"},
        {"apply", !status.stalled,
         status.stalled ? "no room to apply what is committed" : ""},
        {"draining", !status.draining,
         status.draining ? "this node is on its way out" : ""},
        /* Reads, deletes and expiry go on: the node stays in service. */
        {"disk", true,
         status.disk_low ? "the disk is nearly full: writes that grow are "
                           "refused"
                         : ""},
    };
    const size_t n = sizeof checks / sizeof checks[0];
    bool ready = true;

    for (size_t i = 0; i < n; i++) {
        ret_checks[i] = checks[i];
        ready = ready && checks[i].ok;
    }
    ret_checks[n] = (struct registry_check){.name = NULL};
    return stale_ok ? store_ok : ready;
}

/* ---- metrics ---- */

static void head(struct buf *out, const char *name, const char *type,
                 const char *help)
{
    buf_printf(out, "# HELP roster_%s %s\n# TYPE roster_%s %s\n", name, help,
               name, type);
}

static void gauge(struct buf *out, const char *name, const char *help,
                  uint64_t value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "roster_%s %llu\n", name, (unsigned long long)value);
}

static void counter(struct buf *out, const char *name, const char *help,
                    uint64_t value)
{
    head(out, name, "counter", help);
    buf_printf(out, "roster_%s %llu\n", name, (unsigned long long)value);
}

static void add_seconds(struct buf *out, uint64_t us)
{
    buf_printf(out, "%llu.%06llu\n", (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

static void summary(struct buf *out, const char *name, const char *help,
                    uint64_t sum_us, uint64_t count)
{
    head(out, name, "summary", help);
    buf_printf(out, "roster_%s_sum ", name);
    add_seconds(out, sum_us);
    buf_printf(out, "roster_%s_count %llu\n", name, (unsigned long long)count);
}

static void add_status(struct registry *registry, struct buf *out)
{
    struct core_status status = core_status(registry->core);

    gauge(out, "revision", "Newest revision this node serves.",
          status.revision);
    gauge(out, "raft_applied_index", "Last applied entry of the log.",
          status.applied);
    gauge(out, "raft_term", "Current term.", status.term);
    gauge(out, "is_leader", "1 when this node leads.", status.leads);
    gauge(out, "is_caught_up",
          "1 when this node has caught up since it "
          "started.",
          status.caught_up);
    gauge(out, "is_draining", "1 when this node is on its way out.",
          status.draining);
    gauge(out, "disk_is_low", "1 when writes that grow are refused.",
          status.disk_low);
    gauge(out, "apply_is_stalled",
          "1 when a committed entry could not be applied yet.", status.stalled);
}

static void add_core(struct registry *registry, struct buf *out)
{
    struct core_stats stats = core_stats(registry->core);

    counter(out, "packs_total", "Entries of the log proposed by this node.",
            stats.packs);
    counter(out, "commands_total", "Commands in those entries.",
            stats.commands);
    counter(out, "pack_bytes_total", "Bytes of those entries.",
            stats.pack_bytes);
    counter(out, "commands_refused_total",
            "Commands refused before they came into the log.", stats.refused);
    counter(out, "commands_unknown_total",
            "Commands whose outcome was unknown.", stats.unknown);
    summary(out, "store_commit_duration_seconds",
            "Time of a commit of the store.", stats.commit_us, stats.commits);
    summary(out, "command_duration_seconds",
            "Time of a command from its arrival to its outcome.",
            stats.submit_to_done_us, stats.commands);
    counter(out, "snapshots_total", "Raft snapshots taken.", stats.snapshots);
    counter(out, "snapshot_failures_total", "Raft snapshots that failed.",
            stats.snapshot_failures);
    head(out, "snapshot_duration_seconds_total", "counter",
         "Time spent on snapshots.");
    buf_add_text(out, "roster_snapshot_duration_seconds_total ");
    add_seconds(out, stats.snapshot_us);
    gauge(out, "log_bytes", "Bytes of the log since the last snapshot.",
          stats.log_bytes);
    head(out, "loop_max_seconds", "gauge",
         "Longest turn of the core loop since the start.");
    buf_add_text(out, "roster_loop_max_seconds ");
    add_seconds(out, stats.loop_max_us);
}

static void add_leases(struct registry *registry, struct buf *out)
{
    struct lease_stats stats = lease_stats(registry->leases, clock_mono_ms());

    head(out, "leases", "gauge", "Leases by state, as this node knows them.");
    buf_printf(out,
               "roster_leases{state=\"alive\"} %llu\n"
               "roster_leases{state=\"suspect\"} %llu\n",
               (unsigned long long)(stats.held - stats.suspect),
               (unsigned long long)stats.suspect);
    gauge(out, "leases_ending", "Leases whose end is proposed.", stats.ending);
    counter(out, "heartbeats_total", "Heartbeats answered with ok.",
            stats.heartbeats);
    counter(out, "leases_expired_total", "Leases that expired.", stats.expired);
    head(out, "lease_time_given_back_seconds_total", "counter",
         "Time this process was stopped, given back to all leases.");
    buf_add_text(out, "roster_lease_time_given_back_seconds_total ");
    add_seconds(out, stats.lost_ms * 1000);
}

static void add_cache(struct registry *registry, struct buf *out)
{
    struct cache_stats stats = cache_stats(registry->cache);

    counter(out, "cache_hits_total", "Reads of a list that the cache served.",
            stats.hits);
    counter(out, "cache_misses_total", "Reads of a list it could not serve.",
            stats.misses);
    counter(out, "cache_drops_total", "Lists dropped because they changed.",
            stats.drops);
    counter(out, "cache_evictions_total", "Lists dropped to make room.",
            stats.evictions);
    gauge(out, "cache_bytes", "Bytes the cache holds.", stats.bytes);
    gauge(out, "cache_lists", "Lists the cache holds.", stats.lists);
    counter(out, "cache_gzips_total", "Bodies of lists compressed.",
            stats.gzips);
    gauge(out, "cache_gzip_bytes", "Compressed bodies, part of cache_bytes.",
          stats.gzip_bytes);
}

static void add_meta(const struct store_meta *meta, struct buf *out)
{
    gauge(out, "namespaces",
          "Namespaces, with deleted ones until they are "
          "reclaimed.",
          meta->n_ns);
    gauge(out, "resources", "Resources and templates.", meta->n_rows);
    gauge(out, "registered_agents", "Leases in the store.", meta->n_leases);
    gauge(out, "idempotency_keys", "Idempotency keys remembered.",
          meta->n_keys);
    gauge(out, "history_events", "Events kept.", meta->history_n);
    gauge(out, "history_limit_events", "Events that are kept at most.",
          meta->history_limit);
}

/* A fault here is one the store's own users log; the scrape goes without. */
static void add_store(struct registry *registry, struct buf *out)
{
    struct store *store = core_store(registry->core);
    struct store_usage usage = store_usage(store);
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    gauge(out, "store_file_bytes", "Size of the store's file.",
          usage.file_bytes);
    gauge(out, "store_used_bytes", "Bytes of it that hold something.",
          usage.used_bytes);
    gauge(out, "store_limit_bytes", "Size the file may have at most.",
          usage.limit_bytes);
    gauge(out, "store_handles", "Open handles of namespaces.", usage.handles);
    gauge(out, "store_readers", "Readers of the store.", usage.readers);
    if (store_reader_new(store, &reader) != 0) {
        return;
    }
    if (store_read_begin(reader, &txn) == 0) {
        add_meta(store_meta(txn), out);
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
}

static void add_process(struct buf *out)
{
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL) {
        return;
    }
    int n = fscanf(file, "%20llu %20llu", &size, &resident); /* NOLINT */
    (void)fclose(file);
    if (n == 2) {
        gauge(out, "process_resident_memory_bytes",
              "Resident memory, with the pages of the store's map.",
              resident * (uint64_t)sysconf(_SC_PAGESIZE));
    }
}

void registry_metrics(struct registry *registry, struct buf *out)
{
    add_status(registry, out);
    add_core(registry, out);
    add_leases(registry, out);
    add_cache(registry, out);
    add_store(registry, out);
    add_process(out);
}
