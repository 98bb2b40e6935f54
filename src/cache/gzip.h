/* Bytes to fewer bytes (RFC 1952). Pure. */
#ifndef CACHE_GZIP_H
#define CACHE_GZIP_H

#include <stdbool.h>

#include "base/mem.h"

/* Appends to an empty buffer. False when it would save less than an eighth:
 * then nothing is in it. */
bool gzip_make(struct str from, struct buf *out);

#endif
