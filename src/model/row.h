/* A resource as bytes. One form everywhere: stored, sent, compared.
 *
 *   fields  "a":"1","b":"2"                     sorted by key bytes, no braces,
 *                                               strings as json_add_string.
 *   row     {"_id":"01J…26","_rev":42,FIELDS}   what a client receives. What
 * the server adds stands in byte order of names, each only when there is one:
 * `_id`, `_maintenance`, `_rev`, `_status`, then the fields. patch
 * "a":"1","b":null                    like fields; null removes.
 *
 * Because the form is canonical, equal content is equal bytes, a list is a
 * concatenation, and the scans below need no general JSON parser. They trust
 * their input: it was made by this room.
 *
 * Keys compare by their encoded bytes (memcmp, shorter first). */
#ifndef MODEL_ROW_H
#define MODEL_ROW_H

#include "base/mem.h"
#include "model/json.h"
#include "model/ulid.h"

#define ROW_KEYS_MAX 128
#define ROW_BYTES_MAX ((size_t)256 * 1024) /* of the whole row as sent */
/* Of its fields: without _id, and _rev of 16 digits. What else the server adds
 * takes its room from this: row_server_bytes. After a merge the caller checks
 * both and row_count itself. */
#define ROW_FIELDS_MAX (ROW_BYTES_MAX - 61)

/* Stands in the place of a secret value. */
#define ROW_MASK "***"

/* What the server says about a row, besides its fields. Escaped, without the
 * quotes, as row_next gives a value; n == 0: nothing. */
struct row_server {
    struct str maintenance;
    struct str status;
};

/* What a request body said about one resource. */
struct row_input {
    struct str fields; /* or a patch, when nulls were allowed */
    struct ulid id;    /* `_id` when it was sent back, else zero */
    size_t n;          /* number of keys, nulls not counted */
    bool masked;       /* some value is exactly "***" */
};

struct row_error {
    struct str field; /* "" when the object as a whole is wrong */
    struct str what;
};

/* Check one JSON value as a resource: an object, 1..128 keys (a patch may have
 * 0..128), values strings (or null when `patch`), no key starting with '_' but
 * `_id` (a ULID) and, ignored, `_rev` (a number), `_maintenance`, `_status`
 * (strings), no empty key, at most 256 KiB.
 * All in `arena`. Answers: INVALID with *ret_error set (field named). */
int row_read(struct arena *arena, const struct json *object, bool patch,
             struct row_input *ret_input, struct row_error *ret_error) MUST_USE;

/* Whether a text that somebody else wrote is a row, in the one form there is.
 * *ret_input in `arena`. */
bool row_is_sound(struct arena *arena, struct str text,
                  struct row_input *ret_input, uint64_t *ret_revision) MUST_USE;

/* Append the whole row. `server` NULL: nothing. */
void row_write(struct buf *buf, struct ulid id, uint64_t revision,
               const struct row_server *server, struct str fields);
/* Take a row apart. Lends *ret_fields and *ret_server (may be NULL) out of
 * `row`. */
void row_split(struct str row, struct ulid *ret_id, uint64_t *ret_revision,
               struct row_server *ret_server, struct str *ret_fields);
/* What it takes in a row. */
size_t row_server_bytes(const struct row_server *server);
/* By name, `_maintenance` or `_status`; n == 0: it does not say that. */
struct str row_server_get(const struct row_server *server, struct str name);
bool row_server_equal(const struct row_server *a, const struct row_server *b);

/* Walk fields or a patch: start with *at = 0, false at the end. Lends raw
 * slices between the quotes (still escaped); a null value has value.p NULL. */
bool row_next(struct str fields, size_t *at, struct str *ret_key,
              struct str *ret_value);
/* The still escaped value of a key given unescaped; p == NULL when absent or
 * null. */
struct str row_get(struct str fields, struct str key);
/* The decoded value in `arena`; p == NULL when absent. */
struct str row_get_text(struct arena *arena, struct str fields, struct str key);
/* Undo the escapes of a raw slice. Appends. */
void row_unescape(struct buf *buf, struct str raw);
size_t row_count(struct str fields);

/* RFC 7396 on flat maps: appends `fields` with `patch` laid over it.
 * Deterministic: used while applying. */
void row_merge(struct buf *buf, struct str fields, struct str patch);
/* Appends the row with only what the server says and the named fields (in order
 * of the row), names unescaped. */
void row_project(struct buf *buf, struct str row, const struct str *names,
                 size_t n_names);
/* Moves the fields named in `secret` out: `ret_open` has "***" in their place,
 * `ret_secret` is a fields text of just them (maybe empty). Works on a patch
 * too (a null stays in both). A value that is "***" already goes to neither
 * side of a patch and stays "***" in fields. In `arena`. */
void row_mask(struct arena *arena, struct str fields, bool patch,
              const struct str *secret, size_t n_secret, struct str *ret_open,
              struct str *ret_secret);

#endif
