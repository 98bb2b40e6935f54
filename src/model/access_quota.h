/* What is kept of a quota: how much a namespace and all below it may hold, how
 * much that is, and how far a count of it has come.
 *
 *   offset size  a record
 *   0      1     format (1)
 *   1      8     revision that last changed the limits
 *   9      1     flags: 1 = `used` is known, 2 = it is being counted
 *   10     32    resources: warn:8 refuse:8, bytes: warn:8 refuse:8 (all ones:
 *                no limit)
 *   42     16    used: resources:8 bytes:8 (zero while it is not known)
 *   with flag 2 only:
 *   58     16    counted so far: resources:8 bytes:8
 *   74     8     namespace the count is at: all of lower ids are in it
 *   82     16    and of that one the row it came to, zero with no type
 *   98     1     its type: length, bytes; 0: nothing of it is in it yet
 *
 * A row counts with its text, without the digits of its `_rev`: else a row
 * would grow that nobody changed. */
#ifndef MODEL_ACCESS_QUOTA_H
#define MODEL_ACCESS_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/ulid.h"

#define ACCESS_QUOTA_NONE UINT64_MAX
#define ACCESS_QUOTA_MOST (UINT64_C(1) << 53) /* JSON holds it exactly */
#define ACCESS_QUOTA_NAME 8U                  /* bytes of the mark's name */

enum access_quota_what { ACCESS_RESOURCES, ACCESS_BYTES, ACCESS_QUOTA_WHATS };
enum access_quota_state {
    ACCESS_QUOTA_OK,
    ACCESS_QUOTA_WARN,
    ACCESS_QUOTA_FULL
};

struct access_limit {
    uint64_t warn, refuse; /* ACCESS_QUOTA_NONE: none */
};

/* Where a count is: all before it, and itself, is in the figure. */
struct access_quota_at {
    uint64_t ns;
    struct str type; /* "": nothing of `ns` is. Lent */
    struct ulid id;
};

struct access_quota {
    uint64_t rev;
    struct access_limit limits[ACCESS_QUOTA_WHATS];
    bool known; /* a count came to its end once: `used` is enforced */
    uint64_t used[ACCESS_QUOTA_WHATS];
    bool counting;
    uint64_t so_far[ACCESS_QUOTA_WHATS];
    struct access_quota_at at;
};

void access_quota_encode(struct buf *out, const struct access_quota *quota);
/* Of bytes that anybody wrote; lends. Answers: INVALID. */
int access_quota_decode(struct str record,
                        struct access_quota *ret_quota) MUST_USE;
/* Whether the limits can be: one at least, and none refuses before it warns. */
bool access_quota_is_sound(const struct access_quota *quota);

void access_quota_name(uint64_t ns, char ret_name[ACCESS_QUOTA_NAME]);
uint64_t access_quota_ns(struct str name);

/* "resources", "bytes"; "ok", "warn", "full". Static. */
const char *access_quota_what_name(enum access_quota_what what);
const char *access_quota_state_name(enum access_quota_state state);
/* Of what is known: nothing is, it is OK. */
enum access_quota_state access_quota_state(const struct access_quota *quota,
                                           enum access_quota_what what);
/* The worse of both. */
enum access_quota_state access_quota_worst(const struct access_quota *quota);
/* What a row counts. */
uint64_t access_quota_bytes(struct str row);

#endif
