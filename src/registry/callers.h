/* Who asks. Private to the room; the rest of it is in registry.h. */
#ifndef REGISTRY_CALLERS_H
#define REGISTRY_CALLERS_H

#include "base/sha256.h"
#include "registry/room.h"

/* The token of this node's own file from now on: who shows it may do all,
 * whatever the state says. One thread at a time. */
void callers_set_own(struct registry *registry, struct str node,
                     const uint8_t hash[SHA256_BYTES]);
void callers_end_own(struct registry *registry);
/* Whether that is how he is known, or was. */
bool callers_is_own(const struct access_who *who);

/* The same caller, not the one who stood a moment ago: as access_again. */
int callers_again(struct store_reader *reader, const struct access_who *who,
                  struct access_who **ret_who) MUST_USE;

#endif
