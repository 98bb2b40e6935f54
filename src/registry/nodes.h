/* Namespaces as JSON, and the order of the tree. Private to the room. */
#ifndef REGISTRY_NODES_H
#define REGISTRY_NODES_H

#include "registry/room.h"

/* Appends {"name":…,"ns":…,… without the closing brace. */
void nodes_write_open(struct buf *out, const struct store_node *node,
                      struct str path);
/* The same of one that is only on the way to what may be read. */
void nodes_write_bare(struct buf *out, const struct store_node *node,
                      struct str path);
/* Depth first, labels in byte order, parents before their children: compares
 * paths by their labels from the root. <0, 0, >0. */
int nodes_compare(struct str left, struct str right);
/* Whether `path` is `top` or below it. */
bool nodes_below(struct str path, struct str top);

#endif
