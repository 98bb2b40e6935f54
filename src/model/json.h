/* Strict JSON (RFC 8259) into an arena, with errors that name the field.
 *
 * Stricter than the RFC where it leaves room: invalid UTF-8 (RFC 3629), lone
 * surrogates (\ud800 without its partner), duplicate keys, and more than 16
 * levels are errors. \u0000 is kept: strings are slices with a length.
 * Numbers keep their text; only integers up to 2^53 can be read as numbers.
 *
 * The cost is linear in the text (n log n in the keys of one object, to find
 * duplicates); memory is at most a constant factor of it. */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include "base/mem.h"

#define JSON_DEPTH_MAX 16

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json {
    enum json_kind kind;
    struct str key;     /* The member's name when the parent is an object. */
    struct str text;    /* STRING: decoded; NUMBER: as written. */
    struct json *first; /* ARRAY, OBJECT: children in the order given. */
    struct json *next;  /* The next sibling, or NULL. */
    size_t n;           /* ARRAY, OBJECT: number of children. */
};

struct json_error {
    size_t offset;   /* Byte where it went wrong. */
    struct str path; /* The field: "a", "[3].b", "" for the whole body. */
    struct str what; /* Why, to read behind the path: "is given twice". */
};

/* All in `arena`, both ret_ too. Answers: INVALID with *ret_error set. */
int json_parse(struct arena *arena, struct str text, struct json **ret_root,
               struct json_error *ret_error) MUST_USE;

/* The member of an object, or NULL (also when it is no object). O(n). */
const struct json *json_get(const struct json *object, const char *key);
/* A non-negative integer below 2^53: 0 or INVALID. */
int json_u64(const struct json *value, uint64_t *ret_number) MUST_USE;
/* Whether text is a number as JSON writes them, and nothing else. */
bool json_is_number(struct str text);
/* True/false: 0 or INVALID. */
int json_bool(const struct json *value, bool *ret_bool) MUST_USE;

/* Appends text as a JSON string with its quotes, in the one form used by
 * everything roster writes: only '"', '\\' and bytes below 0x20 are escaped
 * (\b \t \n \f \r, else \u00xx lower case); the rest stands as UTF-8. */
void json_add_string(struct buf *buf, struct str text);

#endif
