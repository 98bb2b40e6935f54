/* Connections, as the library tells of them. */
#include "rest/state.h"
#include "tls/tls.h"

/* Its credentials are its own from here on: others that are read meanwhile are
 * for those who come later. */
static void begin_tls(struct rest_loop *loop, struct rest_peer *peer,
                      struct MHD_Connection *connection)
{
    peer->session =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)
            ->tls_session;
    peer->held = tls_http_begin(loop->rest->config.tls, peer->session);
    rest_shake_begin(loop, peer, connection);
}

void rest_connection_notify(void *user, struct MHD_Connection *connection,
                            void **context,
                            enum MHD_ConnectionNotificationCode what)
{
    struct rest_loop *loop = user;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = loop->door.comes;
        loop->door.comes = NULL;
        if (loop->rest->config.tls != NULL) {
            begin_tls(loop, *context, connection);
        }
    } else if (*context != NULL) {
        /* The library has ended the session. */
        rest_door_forget(loop, *context);
        *context = NULL;
    }
}
