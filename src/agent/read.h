/* Small files of /proc, /sys and /etc below a root directory ("" is the real
 * one; tests bring their own). */
#ifndef AGENT_READ_H
#define AGENT_READ_H

#include <stdbool.h>

#include "base/mem.h"

/* The first 256 KiB of root/path into an empty `ret_text`, with a NUL behind
 * it. Answers: NOT_FOUND when it cannot be read, whatever the reason: a fact
 * that cannot be seen is left out. */
int read_small(const char *root, const char *path,
               struct buf *ret_text) MUST_USE;
bool read_exists(const char *root, const char *path) MUST_USE;
/* The rest of the first line that begins with `key` and a separator (blanks, a
 * colon or an equals sign), without blanks around it; p == NULL: none. Lends
 * from text. */
struct str read_value(struct str text, const char *key) MUST_USE;
struct str read_trim(struct str text) MUST_USE;

#endif
