/* What quotas say to other parts of the room. Private to it. */
#ifndef REGISTRY_QUOTAS_H
#define REGISTRY_QUOTAS_H

#include "registry/room.h"

/* An operation that would have grown beyond one: always ANSWERED, but for
 * faults. */
int quotas_refused(struct op_state *s,
                   const struct machine_result *result) MUST_USE;
/* Of the first hundred namespaces that have one. */
void quotas_metrics(struct store_txn *txn, struct buf *out);

#endif
