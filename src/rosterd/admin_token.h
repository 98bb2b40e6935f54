/* The file with this node's own token: who may read it may do all. */
#ifndef ROSTERD_ADMIN_TOKEN_H
#define ROSTERD_ADMIN_TOKEN_H

#include "registry/registry.h"
#include "rosterd/settings.h"

/* The token in the file that the settings name is this node's from now on. When
 * there is no file one is made, with a new token, for its owner alone, and is
 * on the disk when this returns. On the core thread, or before it runs.
 * Answers: INVALID (no token is in it; what was known stays). Faults: IO (so
 * too). A log line has been written, never with the token. */
int admin_token_load(const struct settings *settings,
                     struct registry *registry) MUST_USE;

#endif
