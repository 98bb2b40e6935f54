/* This process as the system sees it, under the names every Prometheus client
 * library uses. Private to the room. */
#ifndef REGISTRY_PROCESS_H
#define REGISTRY_PROCESS_H

#include "base/mem.h"

void process_metrics(uint64_t started_s, struct buf *out);

#endif
