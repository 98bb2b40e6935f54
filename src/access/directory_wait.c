#include "access/directory_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/clock.h"

/* ---- a layer between the socket and TLS ---- */

static int on_setup(Sockbuf_IO_Desc *layer, void *wait)
{
    layer->sbiod_pvt = wait;
    return 0;
}

static int on_remove(Sockbuf_IO_Desc *layer)
{
    layer->sbiod_pvt = NULL;
    return 0;
}

static int on_ctrl(Sockbuf_IO_Desc *layer, int option, void *value)
{
    return LBER_SBIOD_CTRL_NEXT(layer, option, value);
}

/* False: it is over. */
static bool wait_for(Sockbuf_IO_Desc *layer, short events)
{
    const struct directory_wait *wait = layer->sbiod_pvt;
    struct pollfd socket = {.fd = -1, .events = events};
    uint64_t now = clock_mono_ms();
    int r = 0;

    if (ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &socket.fd) !=
        1) {
        return false;
    }
    while (r == 0 && now < wait->until_ms) {
        r = poll(&socket, 1, (int)(wait->until_ms - now));
        r = r < 0 && errno == EINTR ? 0 : r;
        now = clock_mono_ms();
    }
    return r > 0;
}

static ber_slen_t on_read(Sockbuf_IO_Desc *layer, void *bytes, ber_len_t n)
{
    if (!wait_for(layer, POLLIN)) {
        errno = ETIMEDOUT;
        return -1;
    }
    return LBER_SBIOD_READ_NEXT(layer, bytes, n);
}

static ber_slen_t on_write(Sockbuf_IO_Desc *layer, void *bytes, ber_len_t n)
{
    if (!wait_for(layer, POLLOUT)) {
        errno = ETIMEDOUT;
        return -1;
    }
    return LBER_SBIOD_WRITE_NEXT(layer, bytes, n);
}

static int on_close(Sockbuf_IO_Desc *layer)
{
    (void)layer;
    return 0;
}

static Sockbuf_IO waiting = {
    .sbi_setup = on_setup,
    .sbi_remove = on_remove,
    .sbi_ctrl = on_ctrl,
    .sbi_read = on_read,
    .sbi_write = on_write,
    .sbi_close = on_close,
};

/* ---- when it is connected, before TLS begins ---- */

static int on_connected(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url,
                        struct sockaddr *address, struct ldap_conncb *context)
{
    struct directory_wait *wait = context->lc_arg;

    (void)ld;
    (void)url;
    (void)address;
    wait->until_ms = clock_mono_ms() + wait->most_ms;
    return ber_sockbuf_add_io(sb, &waiting, LBER_SBIOD_LEVEL_PROVIDER + 1,
                              wait) == 0
               ? LDAP_SUCCESS
               : LDAP_LOCAL_ERROR;
}

static void on_closing(LDAP *ld, Sockbuf *sb, struct ldap_conncb *context)
{
    (void)ld;
    (void)sb;
    (void)context;
}

int directory_wait_put(struct directory_wait *wait, LDAP *ld, uint64_t most_ms)
{
    *wait = (struct directory_wait){
        .callbacks = {.lc_add = on_connected,
                      .lc_del = on_closing,
                      .lc_arg = wait},
        .most_ms = most_ms,
    };
    return ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &wait->callbacks);
}
