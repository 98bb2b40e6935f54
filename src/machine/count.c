/* Counting what is below a namespace, in steps: from the lowest id of a
 * namespace to the highest, row by row, and a row that changes behind the place
 * it has come to moves the figure (quotas.c). Namespaces born meanwhile have
 * higher ids; one that is deleted hangs where it hung; one that moves makes the
 * count begin anew.
 *
 * Until it ends the figure from before is enforced, or nothing. */
#include "base/err.h"
#include "machine/apply.h"

struct count {
    uint64_t ns;
    struct access_quota quota;
    uint64_t left; /* steps */
    bool done;
};

/* ---- beginning ---- */

static void begin(struct access_quota *quota)
{
    quota->counting = true;
    memset(quota->so_far, 0, sizeof quota->so_far);
    quota->at = (struct access_quota_at){.ns = 0, .type = STR("")};
}

/* Of a leaf without rows there is nothing to count; below a branch without
 * children there may be deleted ones. */
int quota_begin(struct apply *a, uint64_t ns, struct access_quota *quota)
{
    struct store_node node;
    uint64_t trash = 0;

    int r = store_node_get(a->txn, ns, &node);
    if (r != 0) {
        return r;
    }
    quota->known = node.kind == STORE_LEAF && node.n_rows == 0;
    if (node.kind == STORE_BRANCH && node.n_rows == 0 && node.n_children == 0) {
        r = store_trash_first(a->txn, &trash);
        quota->known = r == ERR_END;
    }
    if (!quota->known) {
        begin(quota);
    }
    return r == ERR_END ? 0 : r;
}

int quota_recount(struct apply *a, uint64_t ns)
{
    struct access_quota before;

    int r = quota_read(a, ns, &before);
    if (r != 0) {
        return r;
    }
    struct access_quota now = before;
    begin(&now);
    return quota_write(a, ns, &before, &now);
}

/* Whoever made this state may have counted otherwise. */
int quota_recount_all(struct apply *a)
{
    struct str name = STR_NONE, record;
    uint64_t ends_ms = 0;
    struct buf out = {0};
    int r;

    while ((r = store_mark_next(a->txn, STORE_MARK_QUOTA, name, &name, &ends_ms,
                                &record)) == 0) {
        struct access_quota quota;
        name = arena_str(a->arena, name);
        if (access_quota_decode(record, &quota) != 0) {
            r = err_raise(ERR_CORRUPT);
            break;
        }
        begin(&quota);
        buf_clear(&out);
        access_quota_encode(&out, &quota);
        r = store_mark_put(a->txn, STORE_MARK_QUOTA, name, 0, buf_str(&out));
        if (r != 0) {
            break;
        }
    }
    buf_done(&out);
    a->m->quotas_are_known = false;
    a->m->quotas_moved = true;
    return r == ERR_END ? 0 : r;
}

/* ---- going on ---- */

static int count_list(struct apply *a, struct count *c, uint64_t ns,
                      struct str type)
{
    struct access_quota_at *at = &c->quota.at;
    struct str row;
    struct ulid id;
    int r = 0;

    bool first = at->type.n == 0 || !str_equal(at->type, type);
    while (c->left > 0 &&
           (r = store_row_next(a->txn, ns, type, first ? NULL : &at->id, &id,
                               &row)) == 0) {
        first = false;
        *at = (struct access_quota_at){ns, type, id};
        c->quota.so_far[ACCESS_RESOURCES]++;
        c->quota.so_far[ACCESS_BYTES] += access_quota_bytes(row);
        c->left--;
    }
    return r == ERR_END || r == 0 ? 0 : r;
}

/* Where it goes on in a namespace: in the list it came to, and those behind.
 * Ends with steps left when all of it is counted. */
static int count_rows(struct apply *a, struct count *c, uint64_t ns)
{
    struct store_list list;
    struct str type = c->quota.at.type;
    int r = 0;

    apply_visit(a, ns);
    if (type.n > 0) {
        r = count_list(a, c, ns, type);
    }
    while (r == 0 && c->left > 0) {
        r = store_list_next(a->txn, ns, type.n == 0 ? STR_NONE : type, &type,
                            &list);
        if (r == 0) {
            type = arena_str(a->arena, type);
            r = count_list(a, c, ns, type);
        }
    }
    return r == ERR_END ? 0 : r;
}

/* The next namespace of those that may be below. */
static int count_node(struct apply *a, struct count *c, bool alone)
{
    struct access_quota_at *at = &c->quota.at;
    struct store_node node;
    bool below = false;

    int r = alone ? store_node_get(a->txn, c->ns, &node)
                  : store_node_next(a->txn, at->ns - 1, &node);
    if (r == 0 && node.id != at->ns) {
        *at = (struct access_quota_at){.ns = node.id, .type = STR("")};
    }
    if (r == 0 && node.n_rows > 0) {
        r = quota_below(a, node.id, c->ns, &below);
    }
    if (r != 0) {
        c->done = r == ERR_END;
        return r == ERR_END ? 0 : r;
    }
    if (below) {
        r = count_rows(a, c, at->ns);
    }
    if (r == 0 && c->left > 0) {
        *at = (struct access_quota_at){.ns = at->ns + 1, .type = STR("")};
        c->left--;
        c->done = alone;
    }
    return r;
}

static int is_leaf(struct apply *a, uint64_t ns, bool *ret_leaf)
{
    struct store_node node;

    int r = store_node_get(a->txn, ns, &node);
    if (r == 0) {
        *ret_leaf = node.kind == STORE_LEAF;
    }
    return r == ERR_NOT_FOUND ? err_raise(ERR_CORRUPT) : r;
}

static void finish(struct access_quota *quota)
{
    memcpy(quota->used, quota->so_far, sizeof quota->used);
    memset(quota->so_far, 0, sizeof quota->so_far);
    quota->known = true;
    quota->counting = false;
    quota->at = (struct access_quota_at){.ns = 0, .type = STR("")};
}

static int count_some(struct apply *a, struct count *c)
{
    bool alone = false;

    int r = quota_read(a, c->ns, &c->quota);
    struct access_quota before = c->quota;
    c->quota.at.type = arena_str(a->arena, before.at.type);
    if (r == 0) {
        r = is_leaf(a, c->ns, &alone);
    }
    if (c->quota.at.ns == 0) {
        c->quota.at.ns = 1;
    }
    while (r == 0 && !c->done && c->left > 0) {
        r = count_node(a, c, alone);
    }
    if (r == 0 && c->done) {
        finish(&c->quota);
    }
    return r == 0 ? quota_write(a, c->ns, &before, &c->quota) : r;
}

int apply_tally(struct apply *a, const struct command_tally *c)
{
    struct count count = {.left = c->limit};
    int r = 0;

    while (r == 0 && count.left > 0 && quota_counting(a->m, &count.ns)) {
        count.done = false;
        r = count_some(a, &count);
    }
    a->res->n = c->limit - count.left;
    a->res->revision = a->meta->revision;
    return r;
}
