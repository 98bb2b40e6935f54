#include "base/err.h"
#include "machine/apply.h"

/* Whether what a command was resolved on has moved since.
 *
 * A path still means the namespace it was resolved to unless that one or an
 * ancestor was renamed, moved or deleted after: a rename elsewhere makes nobody
 * resolve anew. Who matched hostnames depends on the whole tree. What a caller
 * may is looked at as a whole, too: whatever somebody loses, everybody is
 * looked up anew, and nothing that was allowed before is done after. */

static int check_ns(struct apply *a, uint64_t seen, uint64_t ns)
{
    uint64_t revision = 0;

    int r = store_path_rev(a->txn, ns, &revision);
    if (r == ERR_NOT_FOUND || (r == 0 && revision > seen)) {
        return ERR_RETRY;
    }
    return r;
}

static int check_two(struct apply *a, uint64_t seen, uint64_t one,
                     uint64_t other)
{
    int r = check_ns(a, seen, one);
    return r != 0 || other == one ? r : check_ns(a, seen, other);
}

static int check_txn(struct apply *a, uint64_t seen,
                     const struct command_txn *c)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->n_ifs; i++) {
        r = check_ns(a, seen, c->ifs[i].ns);
    }
    for (size_t i = 0; r == 0 && i < c->n_ops; i++) {
        r = check_ns(a, seen, c->ops[i].ns);
    }
    return r;
}

static int check_tree(struct apply *a, const struct command *c)
{
    uint64_t seen = c->tree_rev;

    switch (c->kind) {
    case COMMAND_NS_CREATE:
        return check_ns(a, seen, c->ns_create.parent);
    case COMMAND_NS_CHANGE:
        return (c->ns_change.what & NS_PARENT) != 0
                   ? check_two(a, seen, c->ns_change.id, c->ns_change.parent)
                   : check_ns(a, seen, c->ns_change.id);
    case COMMAND_NS_DELETE:
        return check_ns(a, seen, c->ns_delete.id);
    case COMMAND_ROW_PUT:
        return check_ns(a, seen, c->row_put.ns);
    case COMMAND_ROW_DELETE:
        return check_ns(a, seen, c->row_delete.ns);
    case COMMAND_ROWS_ADD:
        return check_ns(a, seen, c->rows_add.ns);
    case COMMAND_LIST_PUT:
        return check_ns(a, seen, c->list_put.ns);
    case COMMAND_ROW_MOVE:
        return check_two(a, seen, c->row_move.ns, c->row_move.to);
    case COMMAND_MAINT:
        return check_ns(a, seen, c->maint.ns);
    case COMMAND_TXN:
        return check_txn(a, seen, &c->txn);
    default:
        return ERR_RETRY;
    }
}

int apply_stale(struct apply *a, const struct command *c)
{
    if (c->has_access && c->access_rev < a->meta->access_rev) {
        return ERR_RETRY;
    }
    if (c->types_rev != 0 && c->types_rev != a->meta->types_rev) {
        return ERR_RETRY;
    }
    if (c->tree_rev == 0 || c->tree_rev == a->meta->tree_rev) {
        return 0;
    }
    /* A revision there has not been yet is never what was seen. */
    return c->tree_rev > a->meta->tree_rev ? ERR_RETRY : check_tree(a, c);
}
