/* Hostnames as one node sends them to another: for each its length, 1 to 253,
 * in one byte, then its bytes. Private to the room. */
#ifndef REGISTRY_NAMES_H
#define REGISTRY_NAMES_H

#include "base/mem.h"

/* So many, and so many bytes of them, make one question. */
#define NAMES_MOST 10000
#define NAMES_BYTES (1U << 20)

/* Whether it can be one. */
bool names_fits(struct str name);
void names_add(struct buf *out, struct str name);
/* Takes the next off what is left. Answers: END, INVALID. */
int names_next(struct str *io_left, struct str *ret_name) MUST_USE;

/* ---- what is said of each, in the order of the question ---- */

/* Of a heartbeat: one byte. */
enum { NAMES_OK, NAMES_UNKNOWN, NAMES_ENDING };

/* Of an agent: its state (1), the milliseconds since it was heard (8), all ones
 * when it was not. */
enum { NAMES_LIVE_BYTES = 9 };
enum { NAMES_ALIVE = 1, NAMES_SUSPECT = 2, NAMES_HELD = 3 }; /* 0: not known */

#endif
