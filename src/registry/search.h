/* What the files of a search share: what is looked for, and what was found so
 * far. Private to the room. */
#ifndef REGISTRY_SEARCH_H
#define REGISTRY_SEARCH_H

#include "model/pattern.h"
#include "registry/cursor.h"
#include "registry/walk.h"

#define SEARCH_KEYS_MOST 1024 /* in one list; more are found by a scan */

struct search {
    struct op_state *s;
    struct str top;
    struct str type; /* p NULL: all */
    struct str k;    /* as stored, escaped; p NULL: any */
    enum pattern_mode mode;
    struct pattern *pattern; /* NULL: whatever value */
    struct pattern_scratch *scratch;
    struct cursor after;
    uint64_t limit;
    struct walk_key key; /* type.p NULL: it is not by a primary key */
    /* so far: */
    uint64_t scanned;
    uint64_t n;
    struct buf out;
    struct buf value; /* unescaped */
    bool keyed;       /* what is in a namespace is known by its keys */
    bool in_ns;       /* its array is open */
    bool full;        /* the page is; there is more */
    bool too_costly;
    uint64_t first_rev, last_rev;
    char last_ns[256], last_type[64];
    struct cursor last;                /* row put out last, in the two above */
    struct ulid ids[SEARCH_KEYS_MOST]; /* of one list */
};

/* A namespace more, that can be used in this transaction. Answers: END (the
 * page is full), TOO_COSTLY. */
int search_ns(struct search *search, struct store_txn *txn,
              const struct walk_ns *ns) MUST_USE;

#endif
