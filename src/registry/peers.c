/* The other nodes as this one sees them, for those who watch. */
#include <stdio.h>

#include "base/metric.h"
#include "registry/cluster.h"

/* The label of a node: its id, or the number that Raft knows it by. */
static const char *label_of(const struct core_member *m, char text[32])
{
    if (m->id[0] != '\0') {
        return m->id;
    }
    (void)snprintf(text, 32, "raft-%llu", (unsigned long long)m->raft_id);
    return text;
}

static void add_applied(const struct core_member *members, size_t n,
                        uint64_t newest, struct buf *out)
{
    char text[32];

    metric_head(out, "roster_peer_applied_index", "gauge",
                "Last entry of the log each node has applied, as far as this "
                "node knows.");
    for (size_t i = 0; i < n; i++) {
        if (members[i].live) {
            metric_labelled(out, "roster_peer_applied_index", "peer",
                            label_of(&members[i], text), members[i].applied);
        }
    }
    metric_head(out, "roster_peer_lag_entries", "gauge",
                "Entries each node has still to apply that this one has.");
    for (size_t i = 0; i < n; i++) {
        uint64_t applied = members[i].applied;
        if (members[i].live) {
            metric_labelled(out, "roster_peer_lag_entries", "peer",
                            label_of(&members[i], text),
                            newest > applied ? newest - applied : 0);
        }
    }
}

static void add_contact(const struct core_member *members, size_t n,
                        struct buf *out)
{
    char text[32];

    metric_head(out, "roster_peer_last_contact_seconds", "gauge",
                "Time since each node was last heard; without those that "
                "never were.");
    for (size_t i = 0; i < n; i++) {
        const struct core_member *m = &members[i];
        if (m->live && m->contact_ms != UINT64_MAX) {
            buf_printf(out,
                       "roster_peer_last_contact_seconds{peer=\"%s\"} "
                       "%llu.%03llu\n",
                       label_of(m, text),
                       (unsigned long long)m->contact_ms / 1000,
                       (unsigned long long)m->contact_ms % 1000);
        }
    }
}

static void add_states(const struct core_member *members, size_t n,
                       struct buf *out)
{
    char text[32];

    metric_head(out, "roster_peer_state", "gauge",
                "1 for what each node is, and for how the log reaches it.");
    for (size_t i = 0; i < n; i++) {
        const struct core_member *m = &members[i];
        buf_printf(
            out, "roster_peer_state{peer=\"%s\",role=\"%s\",state=\"%s\"} 1\n",
            label_of(m, text),
            m->leads                ? "leader"
            : m->role == CORE_VOTER ? "voter"
                                    : "learner",
            m->live && m->state != NULL ? m->state : "unknown");
    }
}

void cluster_metrics(const struct core *core, struct buf *out)
{
    struct core_member members[CORE_MEMBERS_MOST];
    size_t n = cluster_members(core, members);
    uint64_t voters = 0;

    for (size_t i = 0; i < n; i++) {
        voters += members[i].role == CORE_VOTER;
    }
    metric_gauge(out, "roster_cluster_nodes", "Nodes of the cluster.", n);
    metric_gauge(out, "roster_cluster_voters",
                 "Those whose votes and disks make a quorum.", voters);
    add_applied(members, n, core_status(core).applied, out);
    add_contact(members, n, out);
    add_states(members, n, out);
}
