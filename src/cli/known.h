/* What import has to know of the registry: keys and secrets of types (watch
 * too), and which rows without a primary key are there already. */
#ifndef CLI_KNOWN_H
#define CLI_KNOWN_H

#include <jansson.h>

#include "base/mem.h"
#include "roster.h"

/* ---- types: written by one thread while no other reads ---- */

struct known_types {
    json_t *types; /* name -> definition */
};

/* Takes the array of GET /v1/types. */
void known_types_set(struct known_types *known, const json_t *array);
/* A definition as PUT answers it. */
void known_types_put(struct known_types *known, const json_t *type);
void known_types_done(struct known_types *known);
/* The field that is the primary key; NULL: the type has none. */
const char *known_key(const struct known_types *known, const char *type);
/* A field that only looks like a value: "***" where the type has a secret, or
 * where nobody has defined the type. */
bool known_is_mask(const struct known_types *known, const char *type,
                   const char *field, const json_t *value);

/* ---- rows without a key: one thread ---- */

/* Each stands for one row that was there before the import; a line that is
 * equal to it takes it away, so that equal rows are counted, not merged. Costs
 * 20 bytes for each such row of the lists that are written to, whatever the
 * size of the input. */
struct known_rows; /* opaque */

struct known_rows *known_rows_new(void) MUST_USE;
struct known_rows *known_rows_free(struct known_rows *rows);
/* Is there one equal to it that no line stood for? Reads the list when it is
 * asked for the first time. ROSTER_OK, or what the read came to. */
enum roster_result known_rows_take(struct known_rows *rows,
                                   const struct known_types *types,
                                   struct roster *roster, const char *ns,
                                   const char *type, const json_t *resource,
                                   bool *ret_there) MUST_USE;

#endif
