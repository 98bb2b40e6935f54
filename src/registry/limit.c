/* How many requests a token and an address may send. */
#include "registry/room.h"

void registry_set_trust(struct registry *registry,
                        const struct registry_trust *trust)
{
    registry->trust = *trust;
}

bool registry_admit(struct registry *registry, const struct access_who *who,
                    struct str address, struct registry_limit *ret_limit)
{
    (void)registry;
    (void)who;
    (void)address;
    *ret_limit = (struct registry_limit){0};
    return true;
}
