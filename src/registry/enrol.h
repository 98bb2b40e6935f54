/* Who registers a machine: for which hostname and in which leaves he may, and
 * what that machine is known by afterwards. Private to the room.
 *
 * A join token is good for one machine: the first registration binds it to its
 * hostname, and from then on it is that machine's. A reusable one lets machines
 * in that bring a secret of their own, of which only the hash is sent. Either
 * comes into the log before the registration, so that of two machines with one
 * token one is refused before anything of it is there. */
#ifndef REGISTRY_ENROL_H
#define REGISTRY_ENROL_H

#include "base/sha256.h"
#include "model/json.h"
#include "registry/room.h"

/* What a machine says it will be known by. */
struct enrol_credential {
    bool given;
    struct ulid id;
    uint8_t hash[SHA256_BYTES];
};

/* Each is 0, or ANSWERED. */
int enrol_read(struct op_state *s, const struct json *body,
               struct enrol_credential *ret_credential) MUST_USE;
int enrol_permit_host(struct op_state *s, struct str hostname) MUST_USE;
/* The leaves of the registration, and where the machine is already. */
int enrol_permit_leaves(struct op_state *s,
                        const struct command_agent_put *put) MUST_USE;
/* When the machine has to become known first: that command in the place of
 * s->command, and s->binds. Also NEEDS_FENCE. */
int enrol_bind(struct op_state *s, struct str hostname,
               const struct enrol_credential *credential) MUST_USE;

#endif
