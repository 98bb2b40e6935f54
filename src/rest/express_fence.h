/* The fence that linearizable reads of a loop share, in whichever hands they
 * are. Private to express.c. */
#ifndef REST_EXPRESS_FENCE_H
#define REST_EXPRESS_FENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/own.h"

struct rest_express;
struct rest_loop;
struct rest_taken;

/* Whether somebody waits, and none is out. */
bool rest_fence_is_awaited(const struct rest_express *express);
/* For all who wait, when one is awaited. */
void rest_fence_begin(struct rest_loop *loop);
/* When it is over: those behind it go on. */
void rest_fence_end(struct rest_loop *loop);
/* What is unread came before the next fence. */
void rest_fence_wait(struct rest_taken *taken, size_t unread);
/* How much came before the one that is over; asked once. */
size_t rest_fence_take_covered(struct rest_taken *taken);

#endif
