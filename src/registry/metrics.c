/* What is told about this node: readiness and metrics. */
#include "base/clock.h"
#include "base/metric.h"
#include "registry/admin.h"
#include "registry/audited.h"
#include "registry/breaker.h"
#include "registry/cluster.h"
#include "registry/desk.h"
#include "registry/limit.h"
#include "registry/process.h"
#include "registry/quotas.h"
#include "registry/room.h"

/* ---- readiness ---- */

static struct registry_check check(const char *name, bool ok, const char *why)
{
    return (struct registry_check){name, ok, ok ? "" : why};
}

bool registry_ready(struct registry *registry, bool stale_ok,
                    struct registry_check ret_checks[REGISTRY_CHECKS])
{
    struct core_status status = core_status(registry->core);
    const struct registry_check checks[] = {
        check("store", status.caught_up,
              "this node has not caught up since it started"),
        check("member", !status.removed,
              "this node was removed from the cluster"),
        check("forming", status.forming == NULL, status.forming),
        check("raft", status.leads || status.follows,
              "this node neither leads nor hears a leader"),
        check("log", !status.behind, "this node is far behind the leader"),
        check("snapshot", !status.installing,
              "another node's state is on its way here"),
        /* Only a leader keeps them; others ask it. */
        check("leases", !status.leads || lease_table_serves(registry->leases),
              "this node leads and could not load the leases"),
        check("apply", !status.stalled,
              "no room to apply what is committed, or its file is not here"),
        check("draining", !status.draining, "this node is on its way out"),
        /* Reads, deletes and expiry go on: the node stays in service. */
        {"disk", true,
         status.disk_low ? "the disk is nearly full: writes that grow are "
                           "refused"
                         : ""},
    };
    const size_t n = sizeof checks / sizeof checks[0];
    bool ready = true;

    _Static_assert(sizeof checks / sizeof checks[0] < REGISTRY_CHECKS,
                   "one place is for the end");
    for (size_t i = 0; i < n; i++) {
        ret_checks[i] = checks[i];
        ready = ready && checks[i].ok;
    }
    ret_checks[n] = (struct registry_check){.name = NULL};
    return stale_ok ? status.caught_up && !status.removed : ready;
}

/* ---- metrics ---- */

static void add_status(struct registry *registry, struct buf *out)
{
    struct core_status status = core_status(registry->core);

    metric_gauge(out, "roster_revision", "Newest revision this node serves.",
                 status.revision);
    metric_gauge(out, "roster_raft_applied_index",
                 "Last applied entry of the log.", status.applied);
    metric_gauge(out, "roster_raft_term", "Current term.", status.term);
    metric_gauge(out, "roster_is_leader", "1 when this node leads.",
                 status.leads);
    metric_gauge(out, "roster_is_voter",
                 "1 when this node's vote and disk count.", status.voter);
    metric_gauge(out, "roster_follows_leader",
                 "1 when this node heard a leader within the election timeout.",
                 status.follows);
    metric_seconds(out, "roster_stale_seconds", "gauge",
                   "Time since the leader was heard; on it, since a quorum "
                   "was. What Roster-Stale-Ms says.",
                   status.stale_ms * 1000);
    metric_gauge(out, "roster_is_behind",
                 "1 when this node is far behind the leader.", status.behind);
    metric_gauge(out, "roster_is_installing_state",
                 "1 while another node's state is on its way here.",
                 status.installing);
    metric_gauge(out, "roster_is_caught_up",
                 "1 when this node has caught up since it started.",
                 status.caught_up);
    metric_gauge(out, "roster_is_draining",
                 "1 when this node is on its way out.", status.draining);
    metric_gauge(out, "roster_disk_is_low",
                 "1 when writes that grow are refused.", status.disk_low);
    metric_gauge(out, "roster_apply_is_stalled",
                 "1 when a committed entry could not be applied yet.",
                 status.stalled);
}

static void add_commands(const struct core_stats *stats, struct buf *out)
{
    metric_counter(out, "roster_packs_total",
                   "Entries of the log proposed by this node.", stats->packs);
    metric_counter(out, "roster_commands_total", "Commands in those entries.",
                   stats->commands);
    metric_counter(out, "roster_pack_bytes_total", "Bytes of those entries.",
                   stats->pack_bytes);
    metric_counter(out, "roster_commands_refused_total",
                   "Commands refused before they came into the log.",
                   stats->refused);
    metric_counter(out, "roster_commands_forwarded_total",
                   "Commands of this node that went to another node's log.",
                   stats->forwarded);
    metric_counter(out, "roster_commands_resent_total",
                   "Those that went there again, for a leader was lost.",
                   stats->resent);
    metric_counter(out, "roster_commands_taken_total",
                   "Commands of other nodes taken into this node's log.",
                   stats->guests);
    metric_counter(
        out, "roster_leader_confirmations_total",
        "Rounds in which a quorum was asked whether this node leads.",
        stats->rounds);
    metric_counter(out, "roster_commands_unknown_total",
                   "Commands whose outcome was unknown.", stats->unknown);
    metric_seconds(out, "roster_command_seconds_total", "counter",
                   "Time of all commands from their arrival to their outcome.",
                   stats->submit_to_done_us);
}

static void add_times(const struct core_stats *stats, struct buf *out)
{
    metric_histogram(out, "roster_log_write_duration_seconds",
                     "Time of an entry from its proposal until it is durable.",
                     &stats->writes);
    metric_histogram(out, "roster_store_commit_duration_seconds",
                     "Time of a commit of the store.", &stats->commits);
    metric_histogram(out, "roster_loop_turn_duration_seconds",
                     "Time of a turn of the core loop: whatever is longer "
                     "than 0.02 keeps everybody waiting.",
                     &stats->turns);
    metric_seconds(out, "roster_loop_turn_max_seconds", "gauge",
                   "Longest turn of the core loop since the start.",
                   stats->turns.max_us);
    metric_counter(out, "roster_log_context_waits_total",
                   "Contexts of the kernel's asynchronous I/O whose end the "
                   "core loop waited for, some 30 ms each.",
                   stats->aio_waits);
    metric_counter(out, "roster_loop_apply_put_off_total",
                   "Turns of the core loop after which committed entries were "
                   "left for the next: the node catches up, or one is long.",
                   stats->put_off);
    metric_seconds(out, "roster_loop_turn_cpu_max_seconds", "gauge",
                   "Most processor time of a turn of the core loop.",
                   stats->turn_cpu_max_us);
    metric_counter(out, "roster_loop_turns_cpu_long_total",
                   "Turns of the core loop that needed more than 20 ms of the "
                   "processor.",
                   stats->turns_cpu_long);
}

static void add_steps(const struct core_stats *stats, struct buf *out)
{
    metric_head(out, "roster_loop_step_seconds_total", "counter",
                "Time of the core loop by what it does.");
    for (unsigned i = 0; i < CORE_STEPS; i++) {
        metric_labelled_seconds(out, "roster_loop_step_seconds_total", "step",
                                core_step_name((enum core_step)i),
                                stats->steps[i].sum_us);
    }
    metric_head(out, "roster_loop_step_max_seconds", "gauge",
                "Longest time of it within a turn.");
    for (unsigned i = 0; i < CORE_STEPS; i++) {
        metric_labelled_seconds(out, "roster_loop_step_max_seconds", "step",
                                core_step_name((enum core_step)i),
                                stats->steps[i].max_us);
    }
    metric_head(out, "roster_loop_long_turns_total", "counter",
                "Turns of the core loop of more than 20 ms, by what took most "
                "of it.");
    for (unsigned i = 0; i < CORE_STEPS; i++) {
        metric_labelled(out, "roster_loop_long_turns_total", "step",
                        core_step_name((enum core_step)i),
                        stats->steps[i].n_long);
    }
}

static void add_transfers(const struct core_stats *stats, struct buf *out)
{
    metric_counter(out, "roster_state_files_sent_total",
                   "State files that other nodes asked for.", stats->transfers);
    metric_counter(out, "roster_state_file_sendings_failed_total",
                   "Connections for state files that broke.",
                   stats->transfers_failed);
    metric_counter(out, "roster_state_file_sent_bytes_total",
                   "Bytes of state files sent to other nodes.",
                   stats->sent_bytes);
    metric_counter(out, "roster_state_file_fetches_total",
                   "State files that were fetched from other nodes.",
                   stats->fetches);
    metric_counter(out, "roster_state_file_fetches_failed_total",
                   "Fetches that came to nothing.", stats->fetches_failed);
    metric_counter(out, "roster_state_file_fetched_bytes_total",
                   "Bytes of state files that came from other nodes.",
                   stats->received_bytes);
    metric_counter(out, "roster_installs_total",
                   "Times another node's state took the place of this one's.",
                   stats->installs);
}

static void add_core(struct registry *registry, struct buf *out)
{
    struct core_stats stats = core_stats(registry->core);

    add_commands(&stats, out);
    add_times(&stats, out);
    add_steps(&stats, out);
    metric_counter(out, "roster_snapshots_total", "Raft snapshots taken.",
                   stats.snapshots);
    metric_counter(out, "roster_snapshot_failures_total",
                   "Raft snapshots that failed.", stats.snapshot_failures);
    metric_seconds(out, "roster_snapshot_seconds_total", "counter",
                   "Time spent on snapshots.", stats.snapshot_us);
    add_transfers(&stats, out);
    metric_gauge(out, "roster_log_bytes",
                 "Bytes of the log since the last snapshot.", stats.log_bytes);
    metric_counter(out, "roster_log_waits_total",
                   "Times writes waited until a snapshot was stored.",
                   stats.log_waits);
}

static void add_leases(struct registry *registry, struct buf *out)
{
    struct lease_stats stats = lease_stats(registry->leases, clock_mono_ms());

    metric_head(out, "roster_leases", "gauge",
                "Leases by state, as this node knows them.");
    metric_labelled(out, "roster_leases", "state", "alive",
                    stats.held - stats.suspect);
    metric_labelled(out, "roster_leases", "state", "suspect", stats.suspect);
    metric_gauge(out, "roster_leases_held",
                 "Suspect leases that the breaker keeps from ending.",
                 stats.stopped);
    metric_gauge(out, "roster_leases_ending", "Leases whose end is proposed.",
                 stats.ending);
    metric_counter(out, "roster_heartbeats_total",
                   "Heartbeats answered with ok: renewals of leases.",
                   stats.heartbeats);
    metric_counter(out, "roster_leases_expired_total", "Leases that expired.",
                   stats.expired);
    metric_seconds(out, "roster_lease_time_given_back_seconds_total", "counter",
                   "Time this process was stopped, given back to all leases.",
                   stats.lost_ms * 1000);
}

static void add_cache(struct registry *registry, struct buf *out)
{
    struct cache_stats stats = cache_stats(registry->cache);

    metric_counter(out, "roster_cache_hits_total",
                   "Reads of a list that the cache served.", stats.hits);
    metric_counter(out, "roster_cache_misses_total",
                   "Reads of a list it could not serve.", stats.misses);
    metric_counter(out, "roster_cache_drops_total",
                   "Lists dropped because they changed.", stats.drops);
    metric_counter(out, "roster_cache_evictions_total",
                   "Lists dropped to make room.", stats.evictions);
    metric_gauge(out, "roster_cache_bytes", "Bytes the cache holds.",
                 stats.bytes);
    metric_gauge(out, "roster_cache_limit_bytes",
                 "Bytes the cache may hold (--cache).", stats.limit_bytes);
    metric_gauge(out, "roster_cache_lists", "Lists the cache holds.",
                 stats.lists);
    metric_counter(out, "roster_cache_gzips_total",
                   "Bodies of lists compressed.", stats.gzips);
    metric_gauge(out, "roster_cache_gzip_bytes",
                 "Compressed bodies, part of roster_cache_bytes.",
                 stats.gzip_bytes);
}

static void add_meta(const struct store_meta *meta, struct buf *out)
{
    metric_gauge(out, "roster_namespaces",
                 "Namespaces, with deleted ones until they are reclaimed.",
                 meta->n_ns);
    metric_gauge(out, "roster_resources", "Resources and templates.",
                 meta->n_rows);
    metric_gauge(out, "roster_registered_agents", "Leases in the store.",
                 meta->n_leases);
    metric_gauge(out, "roster_idempotency_keys", "Idempotency keys remembered.",
                 meta->n_keys);
    metric_gauge(out, "roster_history_events", "Events kept.", meta->history_n);
    metric_gauge(out, "roster_history_limit_events",
                 "Events that are kept at least.", meta->history_limit);
}

static const struct {
    char kind;
    const char *name, *help;
} marks[] = {
    {STORE_MARK_FLAPPING, "roster_agents_flapping",
     "Agents that come and go, kept for a while."},
    {STORE_MARK_MAINTENANCE, "roster_maintenance_agents",
     "Agents in maintenance."},
    {STORE_MARK_ROW, "roster_maintenance_resources",
     "Resources in maintenance of their own."},
};

static void add_marks(struct store_txn *txn, struct buf *out)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        uint64_t n = 0;
        if (store_mark_count(txn, marks[i].kind, &n) == 0) {
            metric_gauge(out, marks[i].name, marks[i].help, n);
        }
    }
}

/* A fault here is one the store's own users log; the scrape goes without. */
static void add_counted(struct store *store, struct buf *out)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    if (store_reader_new(store, &reader) != 0) {
        return;
    }
    if (store_read_begin(reader, &txn) == 0) {
        add_meta(store_meta(txn), out);
        add_marks(txn, out);
        quotas_metrics(txn, out);
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
}

static void add_store(struct registry *registry, struct buf *out)
{
    struct store *store = core_store(registry->core);
    struct store_usage usage = store_usage(store);

    metric_gauge(out, "roster_store_file_bytes", "Size of the store's file.",
                 usage.file_bytes);
    metric_gauge(out, "roster_store_used_bytes",
                 "Bytes of it that hold something.", usage.used_bytes);
    metric_gauge(out, "roster_store_limit_bytes",
                 "Size the file may have at most.", usage.limit_bytes);
    metric_gauge(out, "roster_store_handles", "Open handles of namespaces.",
                 usage.handles);
    metric_gauge(out, "roster_store_readers", "Readers of the store.",
                 usage.readers);
    add_counted(store, out);
}

static void add_disk(struct registry *registry, struct buf *out)
{
    struct core_disk disk = core_disk(registry->core);

    metric_gauge(out, "roster_disk_free_bytes",
                 "Free bytes of the disk below the data directory.",
                 disk.free_bytes);
    metric_gauge(out, "roster_disk_reserve_bytes",
                 "Free bytes below which writes that grow are refused "
                 "(--disk-reserve).",
                 disk.reserve_bytes);
    metric_gauge(out, "roster_disk_ballast_bytes",
                 "Bytes held to be given up on a full disk; 0 when they were.",
                 disk.ballast_bytes);
}

void registry_metrics(struct registry *registry, struct buf *out)
{
    add_status(registry, out);
    cluster_metrics(registry->core, out);
    add_core(registry, out);
    add_leases(registry, out);
    breaker_metrics(registry, out);
    desk_metrics(registry->desk, out);
    add_cache(registry, out);
    add_store(registry, out);
    add_disk(registry, out);
    admin_metrics(registry, out);
    audited_metrics(registry, out);
    limits_metrics(registry->limits, out);
    process_metrics(registry->started_s, out);
}
