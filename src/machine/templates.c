#include "base/err.h"
#include "machine/apply.h"

struct copying {
    uint64_t leaf;
    struct ulid first_id;
    uint64_t n_ids;
    uint64_t used;
};

static int copy_one(struct apply *a, struct copying *copying,
                    const struct place *from, struct ulid id)
{
    struct place to = {copying->leaf, from->type, from->key_field};
    struct held held;
    struct ulid holder;

    int r = row_hold(a, from, id, &held);
    if (r != 0) {
        return r;
    }
    if (from->key_field.n > 0) {
        struct str key = row_get_text(a->arena, held.fields, from->key_field);
        r = key.p == NULL
                ? ERR_NOT_FOUND
                : store_row_find(a->txn, to.ns, to.type, key, &holder);
        if (r != ERR_NOT_FOUND) {
            return r; /* A nearer branch has put this key: it wins. */
        }
    }
    if (copying->used == copying->n_ids) {
        return ERR_RETRY;
    }
    struct ulid copy = ulid_plus(copying->first_id, copying->used++);
    return row_put(a, &to, copy, NULL, held.fields, held.secret);
}

static int copy_list(struct apply *a, struct copying *copying,
                     const struct place *from)
{
    struct ulid after = {{0}}, id;
    struct str row;
    bool first = true;
    int r;

    while ((r = store_row_next(a->txn, from->ns, from->type,
                               first ? NULL : &after, &id, &row)) == 0) {
        first = false;
        after = id;
        r = copy_one(a, copying, from, id);
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

static int copy_branch(struct apply *a, struct copying *copying, uint64_t ns)
{
    struct store_list list;
    struct str after = STR_NONE, name;
    int r;

    while ((r = store_list_next(a->txn, ns, after, &name, &list)) == 0) {
        const struct type *type = NULL;
        after = arena_str(a->arena, name);
        r = apply_type(a, after, &type);
        if (r == 0 && list.count > 0 && type->template_rows) {
            struct str key =
                type->key.p == NULL ? (struct str){"", 0} : type->key;
            struct place from = {ns, after, key};
            r = copy_list(a, copying, &from);
        }
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

int template_copy(struct apply *a, uint64_t leaf, uint64_t parent,
                  struct ulid first_id, uint64_t n_ids)
{
    struct copying copying = {leaf, first_id, n_ids, 0};
    const char *cause = a->cause;
    int r = 0;

    a->cause = "template";
    for (uint64_t ns = parent; r == 0 && ns != 0;) {
        struct store_node node;
        r = copy_branch(a, &copying, ns);
        if (r == 0) {
            r = store_node_get(a->txn, ns, &node);
        }
        ns = r == 0 ? node.parent : 0;
    }
    a->cause = cause;
    return r;
}
