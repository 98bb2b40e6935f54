/* What people write of tokens, roles, users, groups and quotas, NAME=VALUE, as
 * JSON; and these as flat rows for people. */
#ifndef CLI_PARTS_H
#define CLI_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum part_kind {
    PART_TEXT,
    PART_LIST,  /* A,B */
    PART_FLAG,  /* true, false */
    PART_COUNT, /* a whole number, or "none"; named "a.b": b of the object a */
    PART_RULE,  /* ALLOW:TYPES[:NS], and again for one more */
};

/* Ends with name == NULL. */
struct part {
    const char *name;   /* on the command line */
    const char *member; /* in JSON */
    enum part_kind kind;
};

/* Puts args into the object: what is not named stays as it is there. False
 * after a complaint. */
bool parts_read(const struct part *parts, char **args, size_t n,
                json_t *object);
/* Lists joined, rules in words, times as dates, without `rev`. Gives. */
json_t *parts_flat(const json_t *object);

#endif
