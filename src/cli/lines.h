/* One line of what export writes and import reads: JSON in the words of the
 * event stream. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"

/* A row may have 256 KiB; escaped, it is longer. */
enum { LINE_MOST = 4 << 20 };

enum line_op { LINE_NONE, LINE_TYPE_PUT, LINE_NS_PUT, LINE_PUT };

struct line {
    uint64_t number; /* from 1 */
    enum line_op op;
    size_t bytes;
    json_t *json;     /* the whole; everything below is lent from it */
    const char *ns;   /* LINE_PUT, LINE_NS_PUT */
    const char *type; /* LINE_PUT, LINE_TYPE_PUT */
    json_t *body;     /* the resource, without _id and _rev; the definition */
};

/* Reads a line without its end: 0, END, TOO_LARGE (the rest of it is not read),
 * IO. */
int line_read(FILE *from, struct buf *ret_text) MUST_USE;
/* 0, or INVALID with what is wrong in `why`. LINE_NONE: a blank line. Ends with
 * line_done when 0. */
int line_parse(struct str text, struct line *ret_line,
               struct buf *why) MUST_USE;
void line_done(struct line *line);

#endif
