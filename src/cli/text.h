/* Text for a terminal. What comes from a registry was written by strangers: no
 * byte of it may drive the terminal, move the cursor, or turn the reading
 * direction. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "base/mem.h"

/* Once, before the others: widths of characters come from the C library. */
void text_init(void);
/* Columns that safe text takes. */
size_t text_width(struct str text) MUST_USE;
/* Adds text with every control character and direction mark written as \n, \t,
 * \x1b or \u202e. */
void text_add_safe(struct buf *out, struct str text);
/* Shortens what stands behind `start` to `most` columns; the last is then an
 * ellipsis. */
void text_cut(struct buf *out, size_t start, size_t most);
/* "12.3 MiB" */
void text_add_bytes(struct buf *out, uint64_t bytes);
/* "4.2 s", "3 min 20 s", "5 h 1 min", "12 d 3 h" */
void text_add_time(struct buf *out, uint64_t ms);

#endif
