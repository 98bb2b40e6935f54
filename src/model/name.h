/* Names: DNS labels, namespace paths, type names, host names. A path is
 * labels leaf first, dots between, the root (the domain) last. RFC 1035 2.3.1
 * as relaxed by RFC 1123 2.1, lower case only. */
#ifndef MODEL_NAME_H
#define MODEL_NAME_H

#include <stdbool.h>

#include "base/mem.h"

#define NAME_PATH_MAX 253
#define NAME_LABEL_MAX 63
#define NAME_KEY_MAX 255 /* bytes of a primary key */
#define NAME_LABELS_MAX 127

bool name_is_label(struct str text);
/* One or more labels, at most 253 bytes. A domain may be one or several. */
bool name_is_path(struct str text);
bool name_is_type(struct str text); /* [a-z][a-z0-9_-]{0,62} */
/* What may name a machine: 1..253 of letters, digits, '.', '-', '_', and not
 * shaped like a ULID. */
bool name_is_host(struct str text);
/* What may be a primary key: 1..255 bytes of UTF-8 text, not ULID-shaped. */
bool name_is_key(struct str text);

#endif
