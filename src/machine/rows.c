#include <assert.h>

#include "base/err.h"
#include "machine/apply.h"
#include "model/name.h"

int row_hold(struct apply *a, const struct place *p, struct ulid id,
             struct held *ret_held)
{
    struct str row, secret;
    struct held held = {.id = id};

    apply_visit(a, p->ns);
    int r = store_row_get(a->txn, p->ns, p->type, id, &row, &secret);
    if (r != 0) {
        return r;
    }
    held.row = arena_str(a->arena, row);
    held.secret =
        secret.p == NULL ? (struct str){"", 0} : arena_str(a->arena, secret);
    row_split(held.row, &held.id, &held.rev, &held.server, &held.fields);
    *ret_held = held;
    return 0;
}

int row_target(struct apply *a, const struct place *p, bool by_key,
               struct ulid id, struct str key, struct held *ret_held)
{
    apply_visit(a, p->ns);
    if (by_key) {
        int r = store_row_find(a->txn, p->ns, p->type, key, &id);
        if (r != 0) {
            return r;
        }
    }
    int r = row_hold(a, p, id, ret_held);
    if (r == 0 && by_key) {
        ret_held->found_by = key;
    }
    return r;
}

static struct str key_of(struct apply *a, const struct place *p,
                         struct str fields)
{
    return p->key_field.n == 0 ? STR_NONE
                               : row_get_text(a->arena, fields, p->key_field);
}

/* Answers: CONFLICT with the holder in res->id. */
static int check_key_free(struct apply *a, const struct place *p,
                          struct ulid id, struct str key)
{
    struct ulid holder;

    int r = store_row_find(a->txn, p->ns, p->type, key, &holder);
    if (r == ERR_NOT_FOUND) {
        return 0;
    }
    if (r != 0 || ulid_compare(holder, id) == 0) {
        return r;
    }
    a->res->id = holder;
    return ERR_CONFLICT;
}

/* What the server says has its room within the bound, too: a row is never sent
 * larger. */
static int check_sizes(const struct row_server *server, struct str fields)
{
    if (fields.n + row_server_bytes(server) > ROW_FIELDS_MAX) {
        return ERR_TOO_LARGE;
    }
    size_t n = row_count(fields);
    return n == 0 || n > ROW_KEYS_MAX ? ERR_INVALID : 0;
}

/* "***" is what readers see of a secret. Sent back it stands for the one that
 * is there: where none is, the field would be there without a value for ever.
 */
static int check_masks(struct apply *a, const struct place *p,
                       struct str fields, struct str secret)
{
    const struct type *type = NULL;
    struct str key, value, k, v;
    int r = 0;

    if (memmem(fields.p, fields.n, "\"" ROW_MASK "\"", 5) == NULL) {
        return 0;
    }
    for (size_t at = 0; r == 0 && row_next(fields, &at, &key, &value);) {
        bool behind = !str_is(value, ROW_MASK);
        for (size_t in = 0; !behind && row_next(secret, &in, &k, &v);) {
            behind = str_equal(k, key);
        }
        if (!behind && type == NULL) {
            r = apply_type(a, p->type, &type);
        }
        for (size_t i = 0; !behind && r == 0 && i < type->n_secret; i++) {
            struct str hidden = row_get(fields, type->secret[i]);
            r = hidden.p == value.p ? ERR_INVALID : 0;
        }
    }
    return r;
}

/* The row as text into the result: single operations answer with it. */
static void answer_row(struct apply *a, struct str row)
{
    buf_clear(&a->res->row);
    buf_add_str(&a->res->row, row);
}

struct content {
    struct row_server server;
    struct str fields;
    struct str secret;
    struct str key; /* p == NULL: none */
};

static int write_row(struct apply *a, const struct place *p, struct ulid id,
                     const struct held *old, const struct content *now)
{
    struct str old_key = old == NULL ? STR_NONE : key_of(a, p, old->fields);
    uint64_t revision = apply_revision(a);
    struct buf *row = &a->res->row; /* single operations answer with it */

    buf_clear(row);
    row_write(row, id, revision, &now->server, now->fields);
    int r = store_row_put(a->txn, p->ns, p->type, id, buf_str(row), now->secret,
                          now->key, old_key, revision);
    if (r == 0) {
        r = apply_type_touch(a, p->type);
    }
    if (r == 0) {
        r = quota_row(a, p, id, old == NULL ? STR("") : old->row, buf_str(row));
    }
    if (r == 0) {
        r = webhook_row_put(a, p, id);
    }
    if (r == 0) {
        r = event_row(a, revision, "put", p, id, buf_str(row), old);
    }
    if (r == 0) {
        apply_touch(a, p->ns, p->type);
        a->res->id = id;
        a->res->n++;
    }
    return r;
}

static void answer_unchanged(struct apply *a, const struct held *old)
{
    a->res->id = old->id;
    if (!a->res->changed) {
        a->res->revision = old->rev;
    }
    answer_row(a, old->row);
}

static int put_checked(struct apply *a, const struct place *p, struct ulid id,
                       const struct held *old, const struct row_server *server,
                       struct str fields, struct str secret)
{
    apply_visit(a, p->ns);
    int r = check_sizes(server, fields);
    if (r == 0) {
        r = check_masks(a, p, fields, secret);
    }
    if (r != 0) {
        return r;
    }
    struct str key = key_of(a, p, fields);
    if (key.p != NULL && !name_is_key(key)) {
        return ERR_INVALID;
    }
    bool keeps = old != NULL && str_equal(key, old->found_by);
    if (key.p != NULL && !keeps) {
        r = check_key_free(a, p, id, key);
        if (r != 0) {
            return r;
        }
    }
    return write_row(a, p, id, old,
                     &(struct content){*server, fields, secret, key});
}

int row_put(struct apply *a, const struct place *p, struct ulid id,
            const struct held *old, struct str fields, struct str secret)
{
    static const struct row_server nothing;

    if (old != NULL && str_equal(old->fields, fields) &&
        str_equal(old->secret, secret)) {
        answer_unchanged(a, old);
        return 0;
    }
    return put_checked(a, p, id, old, old == NULL ? &nothing : &old->server,
                       fields, secret);
}

int row_put_as(struct apply *a, const struct place *p, struct ulid id,
               const struct held *from)
{
    return put_checked(a, p, id, NULL, &from->server, from->fields,
                       from->secret);
}

int row_set_server(struct apply *a, const struct place *p,
                   const struct held *held, const struct row_server *server)
{
    if (row_server_equal(&held->server, server)) {
        answer_unchanged(a, held);
        return 0;
    }
    if (held->fields.n + row_server_bytes(server) > ROW_FIELDS_MAX) {
        return ERR_TOO_LARGE;
    }
    struct str key = key_of(a, p, held->fields);
    return write_row(
        a, p, held->id, held,
        &(struct content){*server, held->fields, held->secret, key});
}

int row_merge_put(struct apply *a, const struct place *p,
                  const struct held *old, struct str patch, struct str secret)
{
    struct buf fields = {0}, merged = {0};

    row_merge(&fields, old->fields, patch);
    row_merge(&merged, old->secret, secret);
    struct str f = arena_take(a->arena, &fields);
    struct str s = arena_take(a->arena, &merged);
    return row_put(a, p, old->id, old, f, s);
}

/* The row before what hangs on it: with a lease rows of this very list may go,
 * at later revisions, and the list's must be the last. */
static int take_out(struct apply *a, const struct place *p,
                    const struct held *old, uint64_t revision)
{
    int r = store_row_del(a->txn, p->ns, p->type, old->id,
                          key_of(a, p, old->fields), revision);
    apply_touch(a, p->ns, p->type);
    a->gone += 1 + old->row.n / 4096;
    if (r == 0) {
        r = quota_row(a, p, old->id, old->row, STR(""));
    }
    if (r == 0) {
        r = maintenance_row_gone(a, p, old);
    }
    if (r == 0) {
        r = webhook_row_gone(a, p, old->id);
    }
    return r != 0 ? r : lease_row_gone(a, p, old->id);
}

int row_del(struct apply *a, const struct place *p, const struct held *old)
{
    uint64_t revision = apply_revision(a);

    int r = event_row(a, revision, "delete", p, old->id, old->row, NULL);
    if (r == 0) {
        r = take_out(a, p, old, revision);
    }
    a->res->n++;
    return r;
}

int row_forget(struct apply *a, const struct place *p, const struct held *old)
{
    return take_out(a, p, old, a->meta->revision);
}

/* ---- the commands ---- */

struct str row_keep_secrets(struct apply *a, struct str fields,
                            struct str secret, struct str old_secret)
{
    struct buf kept = {0}, all = {0};
    struct str key, value;
    size_t at = 0;

    while (row_next(old_secret, &at, &key, &value)) {
        struct str open = STR_NONE;
        struct str k, v;
        for (size_t in = 0; row_next(fields, &in, &k, &v);) {
            if (str_equal(k, key)) {
                open = v;
            }
        }
        if (str_is(open, ROW_MASK)) {
            buf_printf(&kept, "%s\"%.*s\":\"%.*s\"", kept.n > 0 ? "," : "",
                       STR_ARG(key), STR_ARG(value));
        }
    }
    row_merge(&all, buf_str(&kept), secret);
    buf_done(&kept);
    return arena_take(a->arena, &all);
}

/* All that is bound to a lease goes in one step, so that has its bound.
 * Answers: FULL. */
static int bind_within_bound(struct apply *a, const struct place *p,
                             struct ulid id, struct ulid lease)
{
    uint64_t n = 0;

    int r = store_bound_count(a->txn, lease, MACHINE_BOUND_MOST, &n);
    if (r != 0) {
        return r;
    }
    return n == MACHINE_BOUND_MOST
               ? ERR_FULL
               : store_bind(a->txn, lease, p->ns, p->type, id);
}

/* Bind a row to a lease: new ones, and old ones nobody bound.
 * Answers: NOT_FOUND (no such lease), CONFLICT (bound to another), FULL. */
static int bind_row(struct apply *a, const struct place *p, struct ulid id,
                    struct ulid lease)
{
    struct store_lease found;
    struct ulid holder;

    int r = store_lease_find(a->txn, lease, a->arena, &found);
    if (r != 0) {
        return r;
    }
    r = store_bound_to(a->txn, p->ns, p->type, id, &holder);
    if (r == ERR_NOT_FOUND) {
        return bind_within_bound(a, p, id, lease);
    }
    if (r != 0 || ulid_compare(holder, lease) == 0) {
        return r;
    }
    a->res->id = holder;
    return ERR_CONFLICT;
}

static int put_one(struct apply *a, const struct place *p,
                   const struct command_row_put *c, bool exists,
                   struct held *held)
{
    struct ulid id;

    if (c->mode == ROW_PATCH) {
        return exists ? row_merge_put(a, p, held, c->fields, c->secret)
                      : ERR_NOT_FOUND;
    }
    if (exists && c->mode == ROW_ADD) {
        a->res->id = held->id;
        return ERR_CONFLICT;
    }
    if (exists) {
        return row_put(a, p, held->id, held, c->fields,
                       row_keep_secrets(a, c->fields, c->secret, held->secret));
    }
    bool fresh = c->mode == ROW_ADD || c->by_key || ulid_is_zero(c->id);
    id = fresh ? c->new_id : c->id;
    a->res->created = true;
    return row_put(a, p, id, NULL, c->fields, c->secret);
}

static int put_and_bind(struct apply *a, void *user)
{
    const struct command_row_put *c = user;
    struct place p = {c->ns, c->type, c->key_field};
    struct held held = {0};

    struct ulid id = c->mode == ROW_ADD ? c->new_id : c->id;
    int r = apply_ns(a, c->ns);
    if (r != 0) {
        return r;
    }
    r = row_target(a, &p, c->by_key, id, c->key, &held);
    if (r < 0) {
        return r;
    }
    bool exists = r == 0;
    r = apply_cond(a, c->cond, c->cond_revs, exists, held.rev);
    if (r == 0) {
        r = put_one(a, &p, c, exists, &held);
    }
    if (r == 0 && c->has_lease) {
        r = bind_row(a, &p, a->res->id, c->lease);
    }
    return r;
}

int apply_row_put(struct apply *a, const struct command_row_put *c)
{
    /* Without a lease and quotas nothing can fail after the first change, so
     * the usual write needs no part of its own. */
    if (a->in_part || (!c->has_lease && a->m->n_quotas == 0)) {
        int r = put_and_bind(a, (void *)(uintptr_t)c);
        a->res->created = a->res->created && r == 0;
        return r;
    }
    return apply_part(a, put_and_bind, (void *)(uintptr_t)c);
}

int apply_row_delete(struct apply *a, const struct command_row_delete *c)
{
    struct place p = {c->ns, c->type, c->key_field};
    struct held held = {0};

    int r = row_target(a, &p, c->by_key, c->id, c->key, &held);
    if (r < 0) {
        return r;
    }
    int cond = apply_cond(a, c->cond, c->cond_revs, r == 0, held.rev);
    if (r != 0 || cond != 0) {
        return cond != 0 ? cond : r;
    }
    a->res->id = held.id;
    return row_del(a, &p, &held);
}

static int add_rows(struct apply *a, void *user)
{
    const struct command_rows_add *c = user;
    struct place p = {c->ns, c->type, c->key_field};

    for (size_t i = 0; i < c->n_rows; i++) {
        const struct command_row_item *row = &c->rows[i];
        struct held held;
        a->res->index = (uint32_t)i;
        int r = row_hold(a, &p, row->id, &held);
        if (r == 0) {
            a->res->id = held.id;
            return ERR_CONFLICT;
        }
        if (r < 0) {
            return r;
        }
        r = row_put(a, &p, row->id, NULL, row->fields, row->secret);
        if (r == 0 && c->has_lease) {
            r = bind_row(a, &p, row->id, c->lease);
        }
        if (r != 0) {
            return r;
        }
    }
    a->res->created = true;
    a->res->id = c->n_rows > 0 ? c->rows[0].id : (struct ulid){{0}};
    buf_clear(&a->res->row);
    return 0;
}

int apply_rows_add(struct apply *a, const struct command_rows_add *c)
{
    int r = apply_ns(a, c->ns);
    return r != 0 ? r : apply_part(a, add_rows, (void *)(uintptr_t)c);
}

static int copy_row(struct apply *a, void *user)
{
    const struct command_row_move *c = user;
    struct place from = {c->ns, c->type, c->key_field};
    struct place to = {c->to, c->type, c->key_field};
    struct held held;

    int r = row_target(a, &from, c->by_key, c->id, c->key, &held);
    if (r == 0) {
        r = row_put(a, &to, c->new_id, NULL, held.fields, held.secret);
    }
    a->res->created = r == 0;
    return r;
}

/* Two events, one here and one there, so two revisions; the row's own is that
 * of its arrival. */
static int move_row(struct apply *a, void *user)
{
    const struct command_row_move *c = user;
    struct place from = {c->ns, c->type, c->key_field};
    struct place to = {c->to, c->type, c->key_field};
    struct webhook_mark mark;
    struct held held, other;
    uint64_t until_ms = 0;

    int r = row_target(a, &from, c->by_key, c->id, c->key, &held);
    if (r == 0) {
        r = webhook_hold(a, &from, held.id, &mark);
    }
    if (r != 0) {
        return r;
    }
    r = row_hold(a, &to, held.id, &other);
    if (r <= 0) {
        a->res->id = held.id;
        return r < 0 ? r : ERR_CONFLICT;
    }
    r = maintenance_of_row(a, &from, &held, &until_ms);
    if (r == 0) {
        r = lease_row_moved(a, &from, c->to, held.id);
    }
    if (r == 0) {
        r = row_del(a, &from, &held);
    }
    if (r == 0 && until_ms == 0 && held.server.maintenance.n > 0) {
        /* A row that is bound by hand to another lease moves away from its
         * agent. */
        r = maintenance_inherited(a, &to, &held, &held.server.maintenance);
    }
    if (r == 0) {
        r = row_put_as(a, &to, held.id, &held);
    }
    if (r == 0 && until_ms > 0) {
        r = maintenance_keep(a, &to, held.id, until_ms);
    }
    return r == 0 ? webhook_row_moved(a, &mark, c->to) : r;
}

int apply_row_move(struct apply *a, const struct command_row_move *c)
{
    struct place from = {c->ns, c->type, c->key_field};
    struct held held = {0};

    int r = apply_ns(a, c->to);
    if (r != 0) {
        return r;
    }
    r = row_target(a, &from, c->by_key, c->id, c->key, &held);
    if (r < 0) {
        return r;
    }
    int cond = apply_cond(a, c->cond, c->cond_revs, r == 0, held.rev);
    if (r != 0 || cond != 0) {
        return cond != 0 ? cond : r;
    }
    if (c->copy) {
        return apply_part(a, copy_row, (void *)(uintptr_t)c);
    }
    if (c->to == c->ns) {
        a->res->revision = held.rev;
        a->res->id = held.id;
        answer_row(a, held.row);
        return 0;
    }
    return apply_part(a, move_row, (void *)(uintptr_t)c);
}
