/* Passwords, as argon2id (RFC 9106) in the text form that other programs read
 * too: $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH.
 *
 * 19 MiB and two passes on one lane: what guessing costs comes from memory, and
 * a server that looks at a few at once must have it for each. Hashes say what
 * they were made with, so those made with other numbers stay good, up to a
 * bound: a hash may come from a state file, and must not take all memory.
 *
 * Any thread, but none that serves: each call takes tens of milliseconds, and
 * 19 MiB. What the password leaves in memory is overwritten. [ACCESS-1] */
#ifndef ACCESS_PASSWORD_H
#define ACCESS_PASSWORD_H

#include <stdbool.h>

#include "base/mem.h"

#define ACCESS_PASSWORD_SHORTEST 8 /* bytes */
#define ACCESS_PASSWORD_LONGEST 1024
#define ACCESS_PASSWORD_HASH_MOST 192

/* Whether a new password may be that: UTF-8, not shorter, not longer. O(n). */
bool access_password_fits(struct str password);
/* Appends the hash, another each time. Answers: INVALID (it does not fit).
 * Faults: SYSTEM (no memory for it). */
int access_password_hash(struct str password, struct buf *out) MUST_USE;
/* Whether the hash was made of that password. A hash that is none (STR_NONE:
 * there is no such user) takes as long as one, and is of no password. */
bool access_password_is(struct str password, struct str hash) MUST_USE;

#endif
