/* The index of primary keys, brought up in steps for a state from before there
 * was one: namespaces by id, the keys of each in order. Changes write it from
 * its beginning on, and what was born after that is in it by itself, so where
 * the count is matters to nobody but the next step. */
#include "base/err.h"
#include "machine/apply.h"

enum { NS_STEPS = 8 }; /* what it costs to look into a namespace */

int index_begin(struct apply *a)
{
    return a->meta->feature_level < MACHINE_FEATURE_INDEX ||
                   a->meta->index == STORE_INDEX_COMPLETE
               ? 0
               : store_index_begin(a->txn);
}

struct building {
    struct store_index_place place;
    struct buf key; /* of place */
    uint64_t left;  /* steps */
};

static void take(struct building *b, uint64_t steps)
{
    b->left -= steps < b->left ? steps : b->left;
}

static void go_to(struct building *b, uint64_t ns)
{
    b->place.ns = ns;
    buf_clear(&b->key);
}

/* The keys of the namespace it is at. */
static int add_keys(struct apply *a, struct building *b)
{
    struct str after = arena_str(a->arena, buf_str(&b->key));
    uint64_t n = 0;

    apply_visit(a, b->place.ns);
    take(b, NS_STEPS);
    int r = store_index_add(a->txn, b->place.ns, after,
                            b->left == 0 ? 1 : b->left, &n, &b->key);
    take(b, n);
    if (r == ERR_END) {
        go_to(b, b->place.ns + 1);
        r = 0;
    }
    return r;
}

/* Answers: END (it is through). */
static int add_next(struct apply *a, struct building *b)
{
    struct store_node node = {.id = 0};

    int r = b->place.ns == 0 ? err_raise(ERR_CORRUPT)
                             : store_node_next(a->txn, b->place.ns - 1, &node);
    if (r != 0) {
        return r;
    }
    if (node.id >= b->place.until) {
        return ERR_END;
    }
    if (node.id != b->place.ns) {
        go_to(b, node.id);
    }
    if (node.n_rows > 0) {
        return add_keys(a, b);
    }
    go_to(b, node.id + 1);
    take(b, 1);
    return 0;
}

static int build(struct apply *a, struct building *b)
{
    int r = store_index_place(a->txn, &b->place);

    if (r == 0) {
        buf_add_str(&b->key, b->place.key);
    }
    while (r == 0 && b->left > 0) {
        r = add_next(a, b);
    }
    if (r == ERR_END) {
        return store_index_end(a->txn);
    }
    b->place.key = buf_str(&b->key);
    return r == 0 ? store_index_set_place(a->txn, &b->place) : r;
}

int index_build(struct apply *a, uint64_t steps)
{
    struct building b = {.left = steps};
    int r = 0;

    if (a->meta->index == STORE_INDEX_BUILDING) {
        r = build(a, &b);
    }
    buf_done(&b.key);
    a->res->n = steps - b.left;
    return r;
}

int apply_index(struct apply *a, const struct command_index *c)
{
    a->res->revision = a->meta->revision;
    return index_build(a, c->limit);
}
