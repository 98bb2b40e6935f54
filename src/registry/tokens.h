/* What makes tokens of any kind. Private to the room. */
#ifndef REGISTRY_TOKENS_H
#define REGISTRY_TOKENS_H

#include "model/access_record.h"
#include "model/json.h"
#include "registry/grants.h"
#include "registry/room.h"

#define TOKENS_DAYS_MOST 3650U
#define TOKENS_TTL_LEAST_MS 1000U
#define TOKENS_JOIN_TTL_MS 3600000U /* when nothing is said */

/* `ttl` of the body; stays as it was when it is absent. 0, or ANSWERED. */
int tokens_read_ttl(struct op_state *s, const struct json *body,
                    uint64_t *ret_ttl_ms) MUST_USE;
/* Makes the command that keeps the token, behind what is written already: its
 * id, hash and times are set here. `ttl_ms` 0: it does not end. 0, or ANSWERED.
 */
int tokens_submit(struct op_state *s, struct access_token *token,
                  uint64_t ttl_ms, struct grants_write *write) MUST_USE;

#endif
