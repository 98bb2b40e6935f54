/* What a client would rather have: Accept-Encoding and Accept (RFC 9110 12.5).
 * Pure. */
#ifndef REST_ENCODING_H
#define REST_ENCODING_H

#include <stdbool.h>

#include "base/mem.h"

/* Whether who sent this would rather have gzip than the plain bytes, or has no
 * preference. What cannot be understood counts as not sent: there is always the
 * plain body, which everybody can read. */
bool rest_encoding_is_gzip(struct str accept);
/* Whether who sent this Accept would rather have lines of JSON than a stream of
 * events (text/event-stream). */
bool rest_encoding_is_lines(struct str accept);

#endif
