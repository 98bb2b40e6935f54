/* Settings that were read: private to the room. */
#ifndef ROSTERD_CHECK_H
#define ROSTERD_CHECK_H

#include "rosterd/settings.h"

#define DEFAULT_RAFT "127.0.0.1:7071"

/* Each completes what follows from what was said; false after a complaint. */
bool check_settings(struct settings *s);
bool check_level(struct settings *s);

#endif
