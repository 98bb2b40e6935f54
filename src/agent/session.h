/* What the agent says to the servers: who it is, that it lives, that it goes.
 * One thread. */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <jansson.h>
#include <stdint.h>

#include "base/own.h"
#include "roster.h"

struct session {
    struct roster *roster;
    const char *hostname; /* lent */
    uint64_t ttl_ms;
    uint64_t heartbeat_ms; /* a third of the TTL until a server says better */
};

/* How a call went; roster_error(session->roster) says more. */
enum session_outcome {
    SESSION_DONE,
    SESSION_UNKNOWN_HERE, /* the registry does not know us: register */
    SESSION_UNREACHABLE,  /* no server, or none that is ready */
    SESSION_REFUSED,      /* a server said no */
    SESSION_INTERRUPTED,  /* by a signal: look at it, then go on */
};

/* Registers the machine with these facts, or refreshes them. */
enum session_outcome session_register(struct session *session,
                                      json_t *facts) MUST_USE;
enum session_outcome session_beat(struct session *session) MUST_USE;
/* Takes the machine out of the registry, within 5 s; the last thing to say (it
 * changes the handle's time limits). */
enum session_outcome session_leave(struct session *session) MUST_USE;

#endif
