/* A deadline for all that is said on a connection to a directory. The library
 * has one for connecting and one for each answer, but its handshake of TLS asks
 * a silent server again and again, for ever: so what it reads is waited for
 * below it. Private to the room. */
#ifndef ACCESS_DIRECTORY_WAIT_H
#define ACCESS_DIRECTORY_WAIT_H

#include <ldap.h>
#include <stdint.h>

/* The caller's; it outlasts the handle it is put on. */
struct directory_wait {
    struct ldap_conncb callbacks;
    uint64_t most_ms;  /* from when it is connected */
    uint64_t until_ms; /* of the monotonic clock */
};

/* An LDAP option's answer. */
int directory_wait_put(struct directory_wait *wait, LDAP *ld, uint64_t most_ms);

#endif
