/* What the sources of row.h share. Private to this room. */
#ifndef MODEL_ROW_WALK_H
#define MODEL_ROW_WALK_H

#include "base/mem.h"

/* The string whose opening quote is at *at; moves behind the closing one. */
struct str row_take_string(struct str fields, size_t *at);

#endif
