#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "machine/apply.h"

/* ---- a whole list replaced ---- */

struct wanted {
    struct ulid id;
    const struct command_row_item *row;
    uint32_t index;
};

static int by_id(const void *left, const void *right)
{
    const struct wanted *l = left, *r = right;
    return ulid_compare(l->id, r->id);
}

/* No two are equal, so that the order is not the sorting library's. */
static int by_id_and_index(const void *left, const void *right)
{
    const struct wanted *l = left, *r = right;
    int order = ulid_compare(l->id, r->id);
    return order != 0 ? order : (l->index > r->index) - (l->index < r->index);
}

/* The rows that are named by `_id`, in order: those are spoken for. */
struct claims {
    struct ulid *ids;
    size_t n;
};

static int compare_ids(const void *left, const void *right)
{
    const struct ulid *l = left, *r = right;
    return ulid_compare(*l, *r);
}

static struct claims claims_of(struct apply *a,
                               const struct command_list_put *c)
{
    struct claims claims = {
        .ids = arena_alloc(a->arena, (c->n_rows + 1) * sizeof *claims.ids)};

    for (size_t i = 0; i < c->n_rows; i++) {
        if (c->rows[i].has_id) {
            claims.ids[claims.n++] = c->rows[i].id;
        }
    }
    qsort(claims.ids, claims.n, sizeof *claims.ids, compare_ids);
    return claims;
}

static bool is_claimed(const struct claims *claims, struct ulid id)
{
    return bsearch(&id, claims->ids, claims->n, sizeof id, compare_ids) != NULL;
}

/* Which row of the list a new one stands for: the one with its `_id`, else the
 * one with its key that none has named by `_id`, else none. */
static int match_row(struct apply *a, const struct place *p,
                     const struct command_list_put *c,
                     const struct claims *claims, size_t i, struct ulid *ret_id)
{
    const struct command_row_item *row = &c->rows[i];
    struct str key = STR_NONE;
    struct ulid id;

    if (row->has_id) {
        *ret_id = row->id;
        return 0;
    }
    *ret_id = ulid_plus(c->first_id, i);
    if (p->key_field.n > 0) {
        key = row_get_text(a->arena, row->fields, p->key_field);
    }
    if (key.p == NULL) {
        return 0;
    }
    int r = store_row_find(a->txn, p->ns, p->type, key, &id);
    if (r == 0 && !is_claimed(claims, id)) {
        *ret_id = id;
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* How far it is: each step goes on where it was cut. */
struct putting {
    enum { LIST_MATCHES, LIST_CLEARS, LIST_PUTS } step;
    size_t at; /* of the rows, in what LIST_MATCHES and LIST_PUTS do */
    struct claims claims;
    struct wanted *sorted;
    struct ulid after; /* the last that LIST_CLEARS looked at */
    bool first;
    uint64_t revision; /* of the list before */
};

/* Answers: BUSY. */
static int match_rows(struct apply *a, const struct place *p,
                      const struct command_list_put *c, struct putting *putting)
{
    struct wanted *sorted = putting->sorted;

    while (putting->at < c->n_rows) {
        size_t i = putting->at++;
        sorted[i] = (struct wanted){.row = &c->rows[i], .index = (uint32_t)i};
        int r = match_row(a, p, c, &putting->claims, i, &sorted[i].id);
        if (r != 0) {
            return r;
        }
        /* A look, and no change. */
        if (i % 4 == 3 && apply_pauses(a)) {
            return ERR_BUSY;
        }
    }
    qsort(sorted, c->n_rows, sizeof *sorted, by_id_and_index);
    for (size_t i = 1; i < c->n_rows; i++) {
        if (ulid_compare(sorted[i - 1].id, sorted[i].id) == 0) {
            a->res->index = sorted[i].index;
            a->res->id = sorted[i].id;
            return ERR_CONFLICT;
        }
    }
    return 0;
}

static int clear_row(struct apply *a, const struct place *p, struct ulid id,
                     const struct wanted *found)
{
    struct held held;

    int r = row_hold(a, p, id, &held);
    if (r != 0) {
        return r;
    }
    if (found == NULL) {
        return row_del(a, p, &held);
    }
    if (p->key_field.n == 0) {
        return 0;
    }
    struct str old = row_get_text(a->arena, held.fields, p->key_field);
    struct str new = row_get_text(a->arena, found->row->fields, p->key_field);
    return old.p != NULL && !str_equal(old, new)
               ? store_row_unkey(a->txn, p->ns, p->type, old)
               : 0;
}

/* Take away what is not wanted, and the keys of what will have another one:
 * keys may be swapped between rows of one request. Answers: BUSY. */
static int clear_old(struct apply *a, const struct place *p,
                     const struct command_list_put *c, struct putting *putting)
{
    struct str row;
    struct ulid id;

    for (;;) {
        int r =
            store_row_next(a->txn, p->ns, p->type,
                           putting->first ? NULL : &putting->after, &id, &row);
        if (r != 0) {
            return r == ERR_END ? 0 : r;
        }
        putting->after = id;
        putting->first = false;
        struct wanted want = {.id = id};
        r = clear_row(
            a, p, id,
            bsearch(&want, putting->sorted, c->n_rows, sizeof want, by_id));
        if (r != 0) {
            return r;
        }
        if (apply_pauses(a)) {
            return ERR_BUSY;
        }
    }
}

static int put_wanted(struct apply *a, const struct place *p,
                      const struct wanted *want)
{
    struct held held;

    a->res->index = want->index;
    int r = row_hold(a, p, want->id, &held);
    if (r < 0) {
        return r;
    }
    if (r != 0) {
        return row_put(a, p, want->id, NULL, want->row->fields,
                       want->row->secret);
    }
    return row_put(
        a, p, want->id, &held, want->row->fields,
        row_keep_secrets(a, want->row->fields, want->row->secret, held.secret));
}

/* Answers: BUSY. */
static int put_rows(struct apply *a, const struct place *p,
                    const struct command_list_put *c, struct putting *putting)
{
    while (putting->at < c->n_rows) {
        int r = put_wanted(a, p, &putting->sorted[putting->at++]);
        if (r != 0) {
            return r;
        }
        if (apply_pauses(a)) {
            return ERR_BUSY;
        }
    }
    return 0;
}

static int put_list(struct apply *a, void *user)
{
    const struct command_list_put *c = user;
    struct place p = {c->ns, c->type, c->key_field};
    struct putting *putting = a->progress;
    int r = 0;

    if (putting->step == LIST_MATCHES) {
        r = match_rows(a, &p, c, putting);
        putting->step = r == 0 ? LIST_CLEARS : putting->step;
    }
    if (r == 0 && putting->step == LIST_CLEARS) {
        r = clear_old(a, &p, c, putting);
        putting->step = r == 0 ? LIST_PUTS : putting->step;
        putting->at = 0;
    }
    return r != 0 ? r : put_rows(a, &p, c, putting);
}

static int list_revision(struct apply *a, const struct command_list_put *c,
                         uint64_t *ret_revision)
{
    struct store_list list;
    uint64_t path_rev;

    apply_visit(a, c->ns);
    int r = store_list_get(a->txn, c->ns, c->type, &list);
    if (r == 0) {
        r = store_path_rev(a->txn, c->ns, &path_rev);
    }
    if (r == 0) {
        *ret_revision = list.revision > path_rev ? list.revision : path_rev;
    }
    return r;
}

static int begin_list(struct apply *a, const struct command_list_put *c)
{
    uint64_t revision = 0;

    int r = apply_ns(a, c->ns);
    if (r == 0) {
        r = list_revision(a, c, &revision);
    }
    if (r == 0) {
        r = apply_cond(a, c->cond, c->cond_revs, true, revision);
    }
    if (r != 0) {
        return r;
    }
    struct putting *putting = arena_zero(a->arena, sizeof *putting);
    putting->claims = claims_of(a, c);
    putting->sorted =
        arena_alloc(a->arena, (c->n_rows + 1) * sizeof *putting->sorted);
    putting->first = true;
    putting->revision = revision;
    a->progress = putting;
    return 0;
}

int apply_list_put(struct apply *a, const struct command_list_put *c)
{
    int r = a->progress == NULL ? begin_list(a, c) : 0;
    if (r == 0) {
        r = apply_part(a, put_list, (void *)(uintptr_t)c);
    }
    if (r == ERR_BUSY) {
        return r;
    }
    if (r == 0 && !a->res->changed) {
        const struct putting *putting = a->progress;
        a->res->revision = putting->revision;
    }
    buf_clear(&a->res->row);
    return r;
}

/* ---- transactions ---- */

static int check_if(struct apply *a, const struct command_txn_if *c)
{
    struct place p = {c->ns, c->type, STR_NONE};
    struct held held = {0};

    int r = row_target(a, &p, c->by_key, c->id, c->key, &held);
    if (r < 0) {
        return r;
    }
    if (held.rev != c->rev) {
        a->res->revision = held.rev;
        return ERR_PRECONDITION;
    }
    return 0;
}

static int run_put(struct apply *a, const struct command_txn_op *c)
{
    struct command_row_put put = {
        .mode = c->op,
        .ns = c->ns,
        .type = c->type,
        .key_field = c->key_field,
        .by_key = c->by_key,
        .id = c->id,
        .key = c->key,
        .new_id = c->new_id,
        .fields = c->fields,
        .secret = c->secret,
    };
    return apply_row_put(a, &put);
}

static int run_delete(struct apply *a, const struct command_txn_op *c)
{
    struct command_row_delete del = {
        .ns = c->ns,
        .type = c->type,
        .key_field = c->key_field,
        .by_key = c->by_key,
        .id = c->id,
        .key = c->key,
    };
    return apply_row_delete(a, &del);
}

static void note_op(struct apply *a, const struct command_txn_op *c)
{
    struct buf *out = &a->res->detail;
    struct str fields;
    struct ulid id = a->res->id;
    uint64_t rev = 0;

    if (c->op != TXN_DELETE) {
        row_split(buf_str(&a->res->row), &id, &rev, NULL, &fields);
    }
    buf_add(out, id.b, sizeof id.b);
    buf_add_le(out, rev, 8);
}

static int run_ops(struct apply *a, void *user)
{
    const struct command_txn *c = user;

    for (size_t i = 0; i < c->n_ops; i++) {
        const struct command_txn_op *op = &c->ops[i];
        a->res->index = (uint32_t)i;
        int r = op->op == TXN_DELETE ? run_delete(a, op) : run_put(a, op);
        if (r != 0) {
            buf_clear(&a->res->detail);
            return r;
        }
        note_op(a, op);
    }
    return 0;
}

int apply_txn(struct apply *a, const struct command_txn *c)
{
    for (size_t i = 0; i < c->n_ifs; i++) {
        a->res->index = (uint32_t)i;
        int r = check_if(a, &c->ifs[i]);
        if (r != 0) {
            return r;
        }
    }
    int r = apply_part(a, run_ops, (void *)(uintptr_t)c);
    if (r == 0 && !a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    a->res->created = false;
    buf_clear(&a->res->row);
    return r;
}
