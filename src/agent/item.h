/* One inventory: what was collected, and where it is stored. Private to
 * inventory.c and item.c. */
#ifndef AGENT_ITEM_H
#define AGENT_ITEM_H

#include "agent/child.h"
#include "agent/collect.h"
#include "agent/session.h"
#include "base/sha256.h"

/* Where an inventory is, or was. */
struct place {
    struct place *next;
    char *ns;
    bool stored; /* with `digest`, as `etag` */
    uint8_t digest[SHA256_BYTES];
    char *etag;
    uint64_t round; /* the last one it was done in */
};

struct inventory {
    const struct collector *what;
    uint64_t at_ms; /* of the next collection */
    struct child child;
    char *body; /* what is to be brought to all places; NULL: nothing */
    uint8_t digest[SHA256_BYTES];
    struct place *places;
    uint64_t round;
    uint64_t request_at_ms;
    unsigned failures; /* in a row, of requests */
    bool told;         /* of trouble: until it is over */
};

/* Makes the next request that brings the inventory to where it belongs; frees
 * `body` when there is none left. */
void item_request(struct inventory *item, struct session *session);
/* Logged when trouble begins. `ns` may be "". */
void item_complain(struct inventory *item, const char *sentence, const char *ns,
                   struct str why);
struct place *place_free(struct place *place);

#endif
