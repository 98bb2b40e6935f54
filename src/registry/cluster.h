/* The cluster as a whole. Private to the room. */
#ifndef REGISTRY_CLUSTER_H
#define REGISTRY_CLUSTER_H

#include "registry/room.h"

/* Appends the body of /v1/cluster, as this node knows it. */
void cluster_write(const struct core *core, struct buf *out);
/* Who is in it, in the order of their ids. */
size_t cluster_members(const struct core *core,
                       struct core_member ret[CORE_MEMBERS_MOST]);
/* Appends the metrics of all of them. */
void cluster_metrics(const struct core *core, struct buf *out);

/* ---- leader.c: whether this node leads, by a quorum ---- */
struct leader *leader_new(struct core *core) MUST_USE;
/* After core_run has ended. */
struct leader *leader_free(struct leader *leader);
/* Core thread: those who have waited enough are told no. */
void leader_tick(struct leader *leader, uint64_t mono_ms);

#endif
