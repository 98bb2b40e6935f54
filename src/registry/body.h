/* Request bodies: JSON into what a verb needs, or a problem that names the
 * field. Private to the room. */
#ifndef REGISTRY_BODY_H
#define REGISTRY_BODY_H

#include "model/json.h"
#include "model/row.h"
#include "model/type.h"
#include "registry/room.h"

/* Each is 0, or ANSWERED with a problem; this one also NEEDS_WORKER. */
int body_parse(struct op_state *s, struct json **ret_json) MUST_USE;
/* An object with no other members than `names` (NULL at the end). `prefix` goes
 * in front of a field: "do[2]", "" for the body itself. */
int body_object(struct op_state *s, const struct json *json, struct str prefix,
                const char *const *names) MUST_USE;
/* The text of a member; p == NULL when it is absent and not `required`. */
int body_text(struct op_state *s, const struct json *object, struct str prefix,
              const char *name, bool required, struct str *ret_text) MUST_USE;

/* As str_duration, in days too, for they are what people plan in. Answers:
 * INVALID. */
int body_duration(struct str text, uint64_t days_most,
                  uint64_t *ret_ms) MUST_USE;

/* "prefix.name", or the one that is not empty; "[3]" follows without a dot. */
struct str body_field(struct op_state *s, struct str prefix, struct str name);

/* Put a member in when the object lacks it. */
void body_inject(struct op_state *s, struct json *object, struct str key,
                 struct str value);

/* A resource, with its secrets set apart. */
struct body_row {
    struct row_input input;
    struct str open;   /* fields with *** for the secrets */
    struct str secret; /* n == 0: none */
};

/* row_read with its problem. */
int body_row_read(struct op_state *s, const struct json *json, bool patch,
                  struct str prefix, struct row_input *ret_input) MUST_USE;
/* Does `fields` keep the rules of its type? */
int body_row_check(struct op_state *s, const struct type *type,
                   struct str fields, struct str prefix) MUST_USE;
/* Does a patch keep them? Each rule is about one field, and what is there keeps
 * the rules already: so the patch alone decides, whatever row it falls on. */
int body_patch_check(struct op_state *s, const struct type *type,
                     struct str patch, struct str prefix) MUST_USE;
/* Read, check, set secrets apart: a patch. */
int body_row_patch(struct op_state *s, const struct json *json,
                   const struct type *type, struct str prefix,
                   struct body_row *ret_row) MUST_USE;
/* Read, check, set secrets apart: a whole row. `fresh`: it is surely a new one,
 * which cannot leave a secret as it was. */
int body_row_whole(struct op_state *s, const struct json *json,
                   const struct type *type, bool fresh, struct str prefix,
                   struct body_row *ret_row) MUST_USE;

#endif
