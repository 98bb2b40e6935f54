/* What a type of resource asks of its rows. Known types are built in; a stored
 * definition replaces the built-in one; any other name is a type with the
 * optional primary key `name` and no rules. */
#ifndef MODEL_TYPE_H
#define MODEL_TYPE_H

#include <stdbool.h>

#include "base/mem.h"
#include "model/json.h"
#include "model/row.h"

struct type_check {
    struct str field;
    struct str kind; /* one of type_kinds() */
};

struct type {
    struct str name;
    struct str key;     /* p == NULL: no primary key */
    bool key_required;  /* always so in the built-in ones */
    bool template_rows; /* rows in a branch are copied into new leaves */
    bool builtin;
    struct str *required;
    size_t n_required;
    struct type_check *checks;
    size_t n_checks;
    struct str *secret;
    size_t n_secret;
};

/* Kinds of values a check may ask for, NULL at the end: int, number, bool,
 * port, ip, ipv4, ipv6, cidr, hostname, url, weburl, types, duration, time. */
const char *const *type_kinds(void);

/* The definition for a name nobody defined: built in or the plain one. Lends,
 * for the life of the process; the plain one is made in `arena`. */
const struct type *type_default(struct arena *arena, struct str name);
/* The names of the built-in ones, NULL at the end. */
const char *const *type_builtin_names(void);

/* Read the body of PUT /v1/types/{name}: {"key":"name"|null,"required":[…],
 * "checks":{field: kind},"template":bool,"secret":[…]}; unknown members,
 * unknown kinds, `_` names are INVALID with the field named. A key that is
 * given is required unless "key_required" is false; left out it is `name`,
 * optional. "name" (when equal) and "builtin" (ignored) may be sent back. All
 * in `arena`; lends texts of `body`. */
int type_read(struct arena *arena, struct str name, const struct json *body,
              struct type **ret_type, struct row_error *ret_error) MUST_USE;
/* Append it as JSON: {"name":…,"key":…,"key_required":…,"required":[…],
 * "checks":{…},"template":…,"secret":[…],"builtin":…}: what GET sends and what
 * is stored; type_read takes it back. */
void type_write(struct buf *buf, const struct type *type);

/* Does a row keep the rules? `fields` whole (not a patch). Checks required
 * fields, values, and the primary key (name_is_key; present when required).
 * Answers: INVALID with *ret_error set (in `arena`). */
int type_validate(struct arena *arena, const struct type *type,
                  struct str fields, struct row_error *ret_error) MUST_USE;
/* The decoded primary key of a row; p == NULL when it has none. */
struct str type_key_of(struct arena *arena, const struct type *type,
                       struct str fields);

#endif
