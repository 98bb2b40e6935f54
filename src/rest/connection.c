/* Connections, as the library tells of them. */
#include "rest/state.h"

/* What was written into a pipe may still be on its way. */
static void leave(struct rest_loop *loop, struct rest_peer *peer)
{
    if (peer->pipe != NULL) {
        rest_pipe_leave(peer->pipe);
    } else {
        rest_door_forget(loop, peer);
    }
}

void rest_connection_notify(void *user, struct MHD_Connection *connection,
                            void **context,
                            enum MHD_ConnectionNotificationCode what)
{
    struct rest_loop *loop = user;

    (void)connection;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = loop->door.comes;
        loop->door.comes = NULL;
    } else if (*context != NULL) {
        leave(loop, *context);
        *context = NULL;
    }
}
