/* The id under which a request is known to whoever made it (W3C Trace Context):
 * the audit and the answer name it. Pure. */
#ifndef REST_TRACE_H
#define REST_TRACE_H

#include <stdint.h>

#include "base/mem.h"

enum { REST_TRACE_BYTES = 32 }; /* hexadecimal */

/* The trace-id in a traceparent; lends. Answers: INVALID: it is to be treated
 * as if it had not come. */
int rest_trace_parse(struct str traceparent, struct str *ret_id) MUST_USE;
/* One of our own, out of what a loop keeps for it: not secret, and never twice.
 */
struct str rest_trace_make(struct arena *arena, uint64_t io_state[2]);

#endif
