/* Tells the service manager how the server is, as sd_notify(3) does: one
 * datagram to the socket that $NOTIFY_SOCKET names. Without it, nothing. Any
 * thread. */
#ifndef ROSTERD_NOTIFY_H
#define ROSTERD_NOTIFY_H

#define NOTIFY_READY "READY=1"
#define NOTIFY_STOPPING "STOPPING=1"

/* Best effort: a manager that does not listen is no reason not to serve. */
void notify_manager(const char *state);

#endif
