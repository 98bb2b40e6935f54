/* Reading the tree. */
#include "model/json.h"
#include "model/name.h"
#include "registry/answer.h"
#include "registry/nodes.h"
#include "registry/permit.h"
#include "registry/resolve.h"

/* A tree of more nodes is rendered by a worker. */
enum { TREE_QUICK = 1000 };

struct walk {
    struct op_state *s;
    struct store_txn *txn;
    struct buf *out;
    bool flat;
    bool first;
};

static struct str child_path(char room[NAME_PATH_MAX + 1], struct str label,
                             struct str parent)
{
    size_t n = label.n + 1 + parent.n;

    if (n > NAME_PATH_MAX) {
        return STR_NONE; /* The machine lets no such path be. */
    }
    memcpy(room, label.p, label.n);
    room[label.n] = '.';
    memcpy(room + label.n + 1, parent.p, parent.n);
    return (struct str){room, n};
}

/* What may be read; of what is on the way to it no more than that it is there.
 */
static void write_open(struct op_state *s, struct buf *out,
                       const struct store_node *node, struct str path)
{
    if (permit_sees(s, STR(ACCESS_NS), path)) {
        nodes_write_open(out, node, path);
    } else {
        nodes_write_bare(out, node, path);
    }
}

static int write_node(struct walk *w, uint64_t id, struct str path,
                      uint64_t depth);

static int write_children(struct walk *w, uint64_t id, struct str path,
                          uint64_t depth)
{
    char room[NAME_PATH_MAX + 1];
    struct str after = STR_NONE, label;
    uint64_t child;
    bool first = true;
    int r;

    while ((r = store_node_next_child(w->txn, id, after, &label, &child)) ==
           0) {
        struct str below = child_path(room, label, path);
        if (below.p == NULL) {
            return err_raise(ERR_CORRUPT);
        }
        after = label; /* Lent for the whole snapshot. */
        if (!permit_sees_path(w->s, below)) {
            continue;
        }
        if (!w->flat && !first) {
            buf_add_char(w->out, ',');
        }
        first = false;
        r = write_node(w, child, below, depth);
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

/* Recursive, at most as deep as a path has labels: 127. */
static int write_node(struct walk *w, uint64_t id, struct str path,
                      uint64_t depth)
{
    struct store_node node;

    int r = store_node_get(w->txn, id, &node);
    if (r != 0) {
        return r;
    }
    if (w->flat) {
        buf_add_text(w->out, w->first ? "" : ",");
        w->first = false;
    }
    write_open(w->s, w->out, &node, path);
    if (w->flat) {
        buf_add_char(w->out, '}');
        return depth == 0 ? 0 : write_children(w, id, path, depth - 1);
    }
    if (depth > 0) {
        buf_add_text(w->out, ",\"children\":[");
        r = write_children(w, id, path, depth - 1);
        buf_add_char(w->out, ']');
    }
    buf_add_char(w->out, '}');
    return r;
}

static int read_tree(struct op_state *s, struct store_txn *txn, void *user)
{
    struct buf *out = user;
    struct walk w = {.s = s,
                     .txn = txn,
                     .out = out,
                     .flat = s->op->query.flat,
                     .first = true};
    struct str domain = str_of(core_domain(s->registry->core));

    if (store_meta(txn)->n_ns > TREE_QUICK && s->op->query.depth > 1 &&
        !s->on_worker) {
        return NEEDS_WORKER;
    }
    if (w.flat) {
        buf_add_char(out, '[');
    }
    int r = write_node(&w, STORE_ROOT, domain, s->op->query.depth);
    if (w.flat) {
        buf_add_char(out, ']');
    }
    return r;
}

int tree_get(struct op_state *s)
{
    struct buf out = {0};

    int r = snapshot_run(s, read_tree, &out);
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    return answer_ok(s, &out);
}

/* ---- one node ---- */

struct node_reading {
    struct buf out;
    struct store_node node; /* its strings are gone with the snapshot */
    /* Nothing the answer shows has changed since the node's own change. */
    bool still;
};

static int write_types(struct op_state *s, struct store_txn *txn,
                       struct node_reading *reading)
{
    struct buf *out = &reading->out;
    struct str after = STR_NONE, type;
    struct store_list list;
    uint64_t path_rev = 0;
    bool first = true;

    int r = store_path_rev(txn, reading->node.id, &path_rev);
    if (r != 0) {
        return r;
    }
    buf_add_text(out, ",\"types\":{");
    while ((r = store_list_next(txn, reading->node.id, after, &type, &list)) ==
           0) {
        uint64_t revision = list.revision > path_rev ? list.revision : path_rev;
        after = type;
        if (!permit_sees(s, type, s->op->ns)) {
            continue;
        }
        buf_add_text(out, first ? "" : ",");
        json_add_string(out, type);
        buf_printf(out, ":{\"count\":%llu,\"revision\":%llu}",
                   (unsigned long long)list.count,
                   (unsigned long long)revision);
        reading->still =
            reading->still && revision <= reading->node.changed_rev;
        first = false;
    }
    buf_add_char(out, '}');
    return r == ERR_END ? 0 : r;
}

static int write_direct_children(struct op_state *s, struct store_txn *txn,
                                 struct str path, struct node_reading *reading)
{
    struct buf *out = &reading->out;
    char room[NAME_PATH_MAX + 1];
    struct str after = STR_NONE, label;
    struct store_node child;
    bool first = true;
    uint64_t id;
    int r;

    buf_add_text(out, ",\"children\":[");
    while ((r = store_node_next_child(txn, reading->node.id, after, &label,
                                      &id)) == 0) {
        struct str below = child_path(room, label, path);
        after = label;
        if (!permit_sees_path(s, below)) {
            continue;
        }
        r = store_node_get(txn, id, &child);
        if (r != 0) {
            return r;
        }
        buf_add_text(out, first ? "" : ",");
        write_open(s, out, &child, below);
        buf_add_char(out, '}');
        reading->still =
            reading->still && child.changed_rev <= reading->node.changed_rev;
        first = false;
    }
    buf_add_char(out, ']');
    return r == ERR_END ? 0 : r;
}

static int read_node(struct op_state *s, struct store_txn *txn, void *user)
{
    struct node_reading *reading = user;
    struct str path = s->op->ns;
    uint64_t id = 0;

    buf_clear(&reading->out);
    int r = resolve_path(s, txn, path, STR(""), &id);
    if (r == 0) {
        r = store_use(txn, id);
    }
    if (r == 0) {
        r = store_node_get(txn, id, &reading->node);
    }
    if (r != 0) {
        return r;
    }
    if (reading->node.n_children > TREE_QUICK && !s->on_worker) {
        return NEEDS_WORKER;
    }
    reading->still = store_meta(txn)->tree_rev <= reading->node.changed_rev;
    write_open(s, &reading->out, &reading->node, path);
    r = write_direct_children(s, txn, path, reading);
    if (r == 0) {
        r = write_types(s, txn, reading);
    }
    buf_add_char(&reading->out, '}');
    return r;
}

/* The ETag is the node's own revision: what If-Match asks about. Counts and
 * children move without it, so a 304 needs more than an equal tag: that nothing
 * shown here has changed since. */
int tree_node_get(struct op_state *s)
{
    struct node_reading reading = {0};
    bool same = false;

    int r = resolve_check_path(s, s->op->ns, "");
    if (r == 0) {
        r = snapshot_run(s, read_node, &reading);
    }
    if (r == 0) {
        r = resolve_not_modified(s, reading.node.changed_rev, &same, NULL);
    }
    if (r != 0) {
        buf_done(&reading.out);
        return r;
    }
    s->op->answer.etag = reading.node.changed_rev;
    if (same && reading.still) {
        buf_done(&reading.out);
        s->op->answer.code = OP_NOT_MODIFIED;
        return 0;
    }
    return answer_ok(s, &reading.out);
}
