/* When an agent went, as its mark tells: for who decides that it flaps. */
#ifndef MACHINE_FLAP_H
#define MACHINE_FLAP_H

#include <stdint.h>

#include "base/mem.h"

#define FLAP_GOINGS_MOST 16      /* remembered of a hostname */
#define FLAP_MEMORY_MS 86400000U /* and for how long after the last */

/* How many goings of the record of a STORE_MARK_GOINGS are not before. */
uint64_t flap_count(struct str record, uint64_t since_ms);

#endif
