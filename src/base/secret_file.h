/* Files that hold one secret in their first line: tokens.
 *
 * Read without leaving a copy of it in memory, written so that a file which is
 * there is whole, and nobody but its owner could ever read it. */
#ifndef BASE_SECRET_FILE_H
#define BASE_SECRET_FILE_H

#include <stdbool.h>

#include "base/mem.h"

/* Appends the first line, without its end, to the buffer, which becomes a
 * secret one; nothing when it is empty. *ret_open: others than its owner can
 * read the file. Answers: NOT_FOUND (no file), TOO_LARGE (a line of more than
 * `most` bytes). Faults: IO, errno says why. */
int secret_file_read(const char *file, size_t most, struct buf *ret_line,
                     bool *ret_open) MUST_USE;

enum secret_file_make {
    SECRET_FILE_NEW,     /* fails with EEXIST when there is one */
    SECRET_FILE_REPLACE, /* in one step */
};
/* Writes the line and its end, on the disk when it is done. Faults: IO, errno
 * says why; nothing is left then. */
int secret_file_write(const char *file, struct str line,
                      enum secret_file_make make) MUST_USE;

#endif
