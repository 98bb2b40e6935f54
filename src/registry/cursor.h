/* Where a search goes on: behind one resource, "<ns>/<type>/<_id>". The
 * namespace need not be there any more. */
#ifndef REGISTRY_CURSOR_H
#define REGISTRY_CURSOR_H

#include "base/mem.h"
#include "model/ulid.h"

struct cursor {
    struct str ns; /* p NULL: at the beginning */
    struct str type;
    struct ulid id;
};

/* Lends. Answers: INVALID. */
int cursor_parse(struct str text, struct cursor *ret_cursor) MUST_USE;
void cursor_write(struct buf *out, const struct cursor *cursor);

#endif
