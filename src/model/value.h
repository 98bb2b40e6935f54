/* The kinds of values a type may ask for. Values are text; a kind says which
 * texts are fit. */
#ifndef MODEL_VALUE_H
#define MODEL_VALUE_H

#include <stdbool.h>

#include "base/mem.h"

/* Their names, NULL at the end. */
const char *const *value_kinds(void);
bool value_is_kind(struct str name);
/* NULL when the value is of that kind, else what it must be, for an error. A
 * kind nobody knows (a later version's) takes every value. */
const char *value_check(struct str kind, struct str value);

#endif
