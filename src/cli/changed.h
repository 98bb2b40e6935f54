/* One change of a registry as a line for people. */
#ifndef CLI_CHANGED_H
#define CLI_CHANGED_H

#include <jansson.h>

#include "base/mem.h"

/* The field of a resource that names it; lends. NULL: its _id does. */
typedef const char *changed_key_func(const char *type, void *user);

/* "128  put  web.shop.roster/service/front  api  port=8443 (443)". Values are
 * cut to `most` columns; 0: whole. */
void changed_add(struct buf *out, const json_t *event, size_t most,
                 changed_key_func *key_of, void *user);

#endif
