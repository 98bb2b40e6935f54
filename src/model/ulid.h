/* The id of a resource or a lease: 128 bits, the first 48 its birth in
 * milliseconds, shown as 26 characters of Crockford's base 32 (the ULID
 * specification). Byte order is birth order. */
#ifndef MODEL_ULID_H
#define MODEL_ULID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define ULID_TEXT 26

struct ulid {
    uint8_t b[16];
};

/* A new id, greater than every one this process made before, even when the
 * clock stepped back. Uses clock and chance: never while applying. Any
 * thread. */
struct ulid ulid_next(void);
/* A run of n ids: returns the first; the others are ulid_plus(first, 1..n-1),
 * all greater than what was made before and smaller than what comes after. */
struct ulid ulid_next_run(uint64_t n);
struct ulid ulid_plus(struct ulid from, uint64_t n);
/* Upper case, 26 characters, no NUL. */
void ulid_format(struct ulid id, char ret_text[ULID_TEXT]);
/* Exactly 26 characters of the alphabet (either case), first one 0..7:
 * 0 or INVALID. */
int ulid_parse(struct str text, struct ulid *ret_id) MUST_USE;
/* Whether ulid_parse would take it: such a text is no primary key. */
bool ulid_shaped(struct str text);
int ulid_compare(struct ulid a, struct ulid b);
bool ulid_is_zero(struct ulid id);

#endif
