/* A point in time as text: the same on every machine, whatever it thinks of
 * leap seconds and time zones. */
#ifndef BASE_DATE_H
#define BASE_DATE_H

#include <stdint.h>

#include "base/mem.h"

#define DATE_MOST_MS UINT64_C(253402300799999) /* the end of the year 9999 */

/* Appends "2026-11-21T12:00:00Z" (RFC 3339), cut to seconds. Later than
 * DATE_MOST_MS is as that. */
void date_add(struct buf *out, uint64_t unix_ms);

#endif
