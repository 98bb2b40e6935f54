/* Many namespaces, some at a time: what search and type checks walk over.
 *
 * A read transaction can use only so many namespaces, and opening one may begin
 * the snapshot anew. So a walk goes in chunks: each finds the next namespaces
 * with something in them, makes all of them usable, and only then looks inside:
 * from there on the snapshot stands still. Private to the room. */
#ifndef REGISTRY_WALK_H
#define REGISTRY_WALK_H

#include "registry/room.h"

#define WALK_CHUNK 128       /* namespaces */
#define WALK_KEYED_MOST 1024 /* entries of the index; more are no selection */
#define WALK_QUICK_MOST 8    /* that a thread of connections looks at */

/* What is looked for: resources of a type whose `field` is `text`, or begins
 * so. Not empty, and no longer than a primary key. */
struct walk_key {
    struct str type, field, text;
    bool prefix;
};

struct walk_ns {
    uint64_t id;
    struct str path; /* in the walk's arena, until the next chunk */
};

struct walk {
    uint64_t top;               /* where it began, set by the first chunk */
    struct str path;            /* of top */
    bool branches;              /* those with templates too */
    bool seen;                  /* only where he who asks may read something */
    const struct walk_key *key; /* only where there is that, when the index
                                   knows. NULL: anywhere */
    bool quick; /* what is more than a few of the index NEEDS_WORKER */
    bool keyed; /* in this chunk: the field is the primary key of the type */
    /* Where to go on: at this path (`inclusive`) or behind it; p NULL: at the
     * beginning. It need not be there any more. */
    struct str from;
    bool inclusive;
    struct arena *arena;
    struct walk_ns found[WALK_CHUNK];
    size_t n;
    bool more;      /* there may be others behind these */
    char kept[256]; /* holds `from` between chunks */
};

/* `from` is copied. */
void walk_init(struct walk *walk, struct str path, bool branches,
               struct str from);
void walk_done(struct walk *walk);
/* On a worker, but quick ones: it may have to wait for handles. Begins a
 * transaction (which the caller ends) in which all of walk->found can be used.
 * Answers: ANSWERED (the top is not there, too busy), NEEDS_WORKER, then no
 * transaction is open; the same after a fault. */
int walk_next(struct op_state *s, struct walk *walk,
              struct store_txn **ret_txn) MUST_USE;

#endif
