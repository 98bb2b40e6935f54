/* Text that is too large to be held, line by line: of files, and of programs
 * that are run for it. All of it may wait for ever (a FIFO, a stuck program):
 * only the collecting process calls it, which is killed when it takes too
 * long. */
#ifndef AGENT_LINES_H
#define AGENT_LINES_H

#include "base/mem.h"

enum { LINE_MAX_BYTES = 64 << 10 }; /* the rest of a longer one is dropped */

/* `line` is without its newline, lent for the call. */
typedef void line_func(void *user, struct str line);

/* Answers: NOT_FOUND when root/path cannot be opened. */
int lines_of_file(const char *root, const char *path, line_func *line,
                  void *user) MUST_USE;
/* Runs a program (looked for in PATH) with nothing to read; what it complains
 * about goes where our own complaints go. Answers: NOT_FOUND, there is none.
 * Faults: SYSTEM, it did not end with status 0. */
int lines_of_program(const char *const argv[], line_func *line,
                     void *user) MUST_USE;
/* The part up to the next blank; p == NULL at the end. Moves *rest on. */
struct str line_word(struct str *rest) MUST_USE;
void line_skip(struct str *rest, unsigned n_words);

#endif
