/* A line's text: all of it but its place in the chain. Private to the room. */
#ifndef AUDIT_LINE_H
#define AUDIT_LINE_H

#include "audit/audit.h"

/* `now_ms`: Unix time. Any value may have any bytes; it is cut where a person
 * would not read on. */
void audit_line_add(struct buf *out, const struct audit_line *line,
                    struct str node, uint64_t now_ms);

#endif
