/* What the agent says to the servers: who it is, that it lives, that it goes.
 * One thread. */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <jansson.h>
#include <stdint.h>

#include "agent/credential.h"
#include "base/own.h"
#include "roster.h"

struct session {
    struct roster *roster;
    const char *hostname;                /* lent */
    const struct credential *credential; /* lent */
    uint64_t ttl_ms;
    uint64_t heartbeat_ms; /* a third of the TTL until a server says better */
    /* As the registry last said; what ends them is session_done. */
    char *lease;        /* "" until there is one */
    json_t *placements; /* path of a namespace: id */
    uint64_t placed_at_ms;
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
/* Asks where the machine is now. */
enum session_outcome session_look(struct session *session) MUST_USE;
/* Any request that may be repeated; it takes no longer than half a heartbeat,
 * whatever the number of servers. Gives *ret_response when DONE. */
enum session_outcome session_ask(struct session *session,
                                 const struct roster_request *request,
                                 struct roster_response *ret_response) MUST_USE;
/* Takes the machine out of the registry, within 5 s; the last thing to say (it
 * changes the handle's time limits). */
enum session_outcome session_leave(struct session *session) MUST_USE;
void session_done(struct session *session);

#endif
