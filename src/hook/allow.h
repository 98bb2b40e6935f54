/* Which addresses are called.
 *
 * Whoever may write a webhook lets the server connect to where he says. What
 * is only there for the server's own host, or hands out the keys of a machine
 * to whoever asks from it, is not called: loopback, link-local, metadata
 * services, and what is no address of one host; also when such an address is
 * inside an IPv6 one. Looked at when the name is resolved and the socket is
 * made, so that a name cannot mean one address to who checks and another to
 * who connects. Pure. */
#ifndef HOOK_ALLOW_H
#define HOOK_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/own.h"

/* IPv4 is kept as ::ffff:a.b.c.d. */
struct allow_net {
    uint8_t b[16];
    unsigned bits;
};

/* Networks that are called all the same. {0}: none. */
struct allow {
    struct allow_net *nets;
    size_t n;
};

/* "127.0.0.1/32,fd00:1::/64,10.0.0.7"; NULL or "": none. Answers: INVALID, with
 * a constant reason. */
int allow_read(const char *text, struct allow *ret_allow,
               const char **ret_why) MUST_USE;
void allow_done(struct allow *allow);

/* NULL: it is called. Else what it is, "a loopback address". */
const char *allow_refuses(const struct allow *allow,
                          const struct sockaddr *address);

#endif
