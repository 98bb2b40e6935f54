/* Where passwords are looked at: by threads of their own, for one look takes
 * tens of milliseconds of a processor, or as long as a directory takes to
 * answer. Neither who serves nor who searches waits for that, however many sign
 * in; and those whose hash is here do not wait for a directory that is slow.
 *
 * An op asks, WAITS, is run again and asks the same: then the answer is there.
 * What was answered once is not asked again while the op lasts. [ACCESS-1] An
 * op that asks has a secret arena. Private to the room. */
#ifndef REGISTRY_DESK_H
#define REGISTRY_DESK_H

#include "access/directory.h"
#include "access/password.h"
#include "model/access_record.h"
#include "registry/room.h"

struct desk; /* opaque */

struct desk *desk_new(void) MUST_USE;
/* Nobody waits any more. */
struct desk *desk_free(struct desk *desk);
/* Takes it. NULL: there is none. Before the registry serves. */
void desk_set_directory(struct desk *desk, struct access_directory *directory);
bool desk_has_directory(const struct desk *desk) MUST_USE;
void desk_metrics(struct desk *desk, struct buf *out);

/* Each is 0, WAITS, or ANSWERED with 503 when too many wait already; texts
 * stay the op's while it waits. */

/* access_password_hash of a password that fits; in op->arena. Faults: SYSTEM.
 */
int desk_hash(struct op_state *s, struct str password,
              struct str *ret_hash) MUST_USE;
/* access_password_is. */
int desk_check(struct op_state *s, struct str password, struct str hash,
               bool *ret_is) MUST_USE;
/* access_directory_ask: *ret_answer is 0, FORBIDDEN or NOT_READY (also: there
 * is no directory). Names are in op->arena. */
int desk_ask(struct op_state *s, struct str user, struct str password,
             int *ret_answer, struct access_names *ret_groups) MUST_USE;

#endif
