/* How many requests a caller and an address may send. Private to the room. */
#ifndef REGISTRY_LIMIT_H
#define REGISTRY_LIMIT_H

#include "registry/registry.h"

struct limits; /* opaque */

/* NULL when nothing is limited: all below take that. */
struct limits *limits_new(const struct registry_trust *trust) MUST_USE;
struct limits *limits_free(struct limits *limits);
/* Each at a time of the caller's, in microseconds of the monotonic clock; what
 * they mean stands in registry.h. */
bool limits_admit(struct limits *limits, const struct access_who *who,
                  struct str address, uint64_t now_us,
                  struct registry_limit *ret_limit) MUST_USE;
bool limits_admit_signin(struct limits *limits, struct str address,
                         struct str user, uint64_t now_us,
                         struct registry_limit *ret_limit) MUST_USE;
/* One of these was right: it does not count. */
void limits_signed_in(struct limits *limits, struct str address,
                      struct str user, uint64_t now_us);
/* Nobody was known by what came from there. */
void limits_note_unknown(struct limits *limits, struct str address,
                         uint64_t now_us);
void limits_metrics(struct limits *limits, struct buf *out);

#endif
