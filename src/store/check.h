/* A file that somebody else wrote, record by record. Private to this room. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "store/kv.h"

struct check {
    struct store_txn *txn;
    struct arena *arena; /* of one entry */
    struct buf scratch;
    const char *why; /* static; the first thing that is wrong */
    /* Counted, to be held against what the file says. */
    uint64_t n_nodes, n_rows, n_leases, n_keys, n_ends, n_events;
    uint64_t event_bytes;
    uint64_t n_ending, n_due; /* marks that end, and what says when */
    uint64_t first_event;
    uint64_t n_bound, n_back;         /* bindings and the ways back */
    uint64_t n_bound_rows;            /* rows that a binding is of */
    uint64_t n_ids;                   /* ids of leases */
    MDB_dbi index;                    /* 0: it has none */
    uint64_t n_indexed, n_index_keys; /* its entries, and their keys */
    uint64_t n_places;                /* where its building has come to */
    /* Of the parent whose children come. */
    uint64_t parent, n_children;
    uint64_t all_children; /* that linked nodes say they have */
    uint64_t linked_children;
    /* Of the namespace whose entries come. */
    uint64_t ns;
    MDB_dbi dbi;
    bool ns_linked;
    uint64_t ns_rows, ns_said, ns_keyed;
};

/* CORRUPT, and why. */
int check_wrong(struct check *c, const char *why) MUST_USE;

typedef int check_func(struct check *c, struct str key, struct str value);
int check_each(struct check *c, MDB_dbi dbi, check_func *func) MUST_USE;

/* ---- check_rows.c ---- */
/* All of the index, before the namespaces. */
int check_index(struct check *c) MUST_USE;

/* ---- check_marks.c ---- */
/* An entry of a mark. Answers: NOT_FOUND when it is none. */
int check_mark(struct check *c, struct str key, struct str value) MUST_USE;

/* ---- check_rows.c ---- */
/* All of a namespace: rows, secrets, keys, lists. */
int check_namespace(struct check *c, const struct store_node *node) MUST_USE;

#endif
