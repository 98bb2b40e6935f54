/* Rows bound to the lease of the agent that asks: it may make, change and
 * remove them where its machine is placed, whatever its role gives.
 *
 * Whether a row is its own is looked at here, and may be over when the command
 * is applied (removed, and made again by somebody else). So the command asks
 * for the row as it was looked at, and is made anew when it is another. */
#include "registry/condition.h"
#include "registry/permit.h"
#include "registry/rows.h"
#include "registry/types_set.h"

struct own {
    struct str hostname;
    bool named; /* the request names a row, not only a list */
    struct target target;
    uint8_t has_lease;
    struct ulid lease; /* that the request asks for */
    bool yes;
    uint64_t rev; /* of the row, 0: there is none */
};

static bool is_placed(const struct store_lease *lease, uint64_t ns)
{
    for (size_t i = 0; i < lease->n_places; i++) {
        if (lease->places[i].ns == ns) {
            return true;
        }
    }
    return false;
}

/* Answers: NOT_FOUND (no such row). */
static int find_row(struct op_state *s, struct store_txn *txn, uint64_t ns,
                    struct own *own, struct ulid *ret_id)
{
    const struct type *type = NULL;

    if (!own->named) {
        return ERR_NOT_FOUND;
    }
    int r = types_find(s, txn, s->op->type, &type);
    if (r == 0 && own->target.by_key && type->key.p == NULL) {
        return ERR_NOT_FOUND;
    }
    return r != 0 ? r
                  : resolve_row_id(txn, ns, s->op->type, &own->target, ret_id);
}

static int look_at_row(struct op_state *s, struct store_txn *txn, uint64_t ns,
                       struct ulid id, const struct store_lease *lease,
                       struct own *own)
{
    struct ulid holder;
    struct str row, fields;

    int r = store_row_get(txn, ns, s->op->type, id, &row, NULL);
    if (r != 0) {
        return r;
    }
    row_split(row, &id, &own->rev, NULL, &fields);
    r = store_bound_to(txn, ns, s->op->type, id, &holder);
    own->yes = r == 0 && ulid_compare(holder, lease->id) == 0;
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* One that is not there becomes its own when the request binds it. */
static int look_in(struct op_state *s, struct store_txn *txn, uint64_t ns,
                   const struct store_lease *lease, struct own *own)
{
    bool binds = own->has_lease && ulid_compare(own->lease, lease->id) == 0;
    bool makes = s->op->kind == OP_LIST_ADD || s->op->kind == OP_ROW_PUT;
    struct ulid id;

    if (own->has_lease && !binds) {
        return 0;
    }
    int r = find_row(s, txn, ns, own, &id);
    if (r == 0) {
        r = look_at_row(s, txn, ns, id, lease, own);
    }
    if (r == ERR_NOT_FOUND) {
        own->yes = makes && binds;
        return 0;
    }
    return r;
}

static int look(struct op_state *s, struct store_txn *txn, void *user)
{
    struct own *own = user;
    struct store_lease lease;
    uint64_t ns = 0;

    own->yes = false;
    own->rev = 0;
    int r = store_lease_get(txn, own->hostname, s->arena, &lease);
    if (r == 0) {
        r = store_path_resolve(txn, s->op->ns, &ns);
    }
    if (r == 0 && !is_placed(&lease, ns)) {
        return 0;
    }
    if (r == 0) {
        r = store_use(txn, ns);
    }
    if (r == 0) {
        r = look_in(s, txn, ns, &lease, own);
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static bool is_of_one_row(const struct op_state *s)
{
    return s->op->kind == OP_ROW_PUT || s->op->kind == OP_ROW_PATCH ||
           s->op->kind == OP_ROW_DELETE;
}

int bound_permit(struct op_state *s)
{
    struct own own = {.hostname = permit_bound(s), .named = is_of_one_row(s)};

    /* A webhook would tell it of others. As which machine it is there, is what
     * registration says: here it could be any, with any secrets. */
    if ((!own.named && s->op->kind != OP_LIST_ADD) ||
        str_is(s->op->type, "webhook") || str_is(s->op->type, "machine")) {
        return ERR_NOT_FOUND;
    }
    int r = resolve_check_path(s, s->op->ns, "");
    if (r == 0) {
        r = resolve_check_type(s, s->op->type, STR(""));
    }
    if (r == 0 && own.named) {
        r = resolve_target(s, s->op->id, STR(""), &own.target);
    }
    if (r == 0) {
        r = resolve_lease(s, &own.has_lease, &own.lease);
    }
    if (r == 0) {
        r = snapshot_run(s, look, &own);
    }
    if (r != 0) {
        return r;
    }
    if (own.yes && own.named) {
        s->guard = (struct guard){
            .on = true, .rev = own.rev, .tree_rev = s->seen.tree_rev};
    }
    return own.yes ? 0 : ERR_NOT_FOUND;
}

/* ---- the command ---- */

static bool has(struct str revs, uint64_t rev)
{
    for (size_t at = 0; at + 8 <= revs.n; at += 8) {
        if (le_get(revs.p + at, 8) == rev) {
            return true;
        }
    }
    return false;
}

/* What the client asks for stays as it is: what cannot hold for the row that
 * was looked at holds for no other. */
static void guard(struct op_state *s, uint8_t *cond, struct str *revs)
{
    struct guard *guard = &s->guard;
    bool there = guard->rev > 0;
    bool hopeless =
        there ? (*cond & COND_NONE_ANY) != 0 ||
                    ((*cond & COND_MATCH) != 0 && !has(*revs, guard->rev))
              : (*cond & (COND_MATCH | COND_MATCH_ANY)) != 0;
    struct buf rev = {0};

    guard->retries = !hopeless;
    if (!there) {
        *cond |= COND_NONE_ANY;
        return;
    }
    buf_add_le(&rev, hopeless ? 0 : guard->rev, 8); /* 0 is no revision */
    *revs = arena_take(s->arena, &rev);
    *cond = (uint8_t)((*cond & ~(unsigned)COND_MATCH_ANY) | COND_MATCH);
}

void bound_guard(struct op_state *s)
{
    struct command *c = &s->command;

    s->guard.retries = false;
    if (!s->guard.on) {
        return;
    }
    if (c->tree_rev > s->guard.tree_rev) { /* The path may be another's. */
        c->tree_rev = s->guard.tree_rev;
    }
    if (c->kind == COMMAND_ROW_PUT) {
        guard(s, &c->row_put.cond, &c->row_put.cond_revs);
    } else if (c->kind == COMMAND_ROW_DELETE) {
        guard(s, &c->row_delete.cond, &c->row_delete.cond_revs);
    }
}
