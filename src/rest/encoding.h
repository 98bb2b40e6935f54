/* Accept-Encoding (RFC 9110 12.5.3). Pure. */
#ifndef REST_ENCODING_H
#define REST_ENCODING_H

#include <stdbool.h>

#include "base/mem.h"

/* Whether who sent this would rather have gzip than the plain bytes, or has no
 * preference. What cannot be understood counts as not sent: there is always the
 * plain body, which everybody can read. */
bool rest_encoding_is_gzip(struct str accept);

#endif
