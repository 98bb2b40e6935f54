#include <assert.h>

#include "base/err.h"
#include "machine/apply.h"
#include "model/name.h"

/* A node and the strings it lends, safe from the next write. */
static int node_hold(struct apply *a, uint64_t id, struct store_node *ret_node)
{
    int r = store_node_get(a->txn, id, ret_node);
    if (r != 0) {
        return r;
    }
    ret_node->name = arena_str(a->arena, ret_node->name);
    ret_node->comment = arena_str(a->arena, ret_node->comment);
    if (ret_node->match.p != NULL) {
        ret_node->match = arena_str(a->arena, ret_node->match);
    }
    return 0;
}

static int path_hold(struct apply *a, uint64_t id, struct str *ret_path)
{
    struct str path;

    int r = apply_path(a, id, &path);
    if (r == 0) {
        *ret_path = arena_str(a->arena, path);
    }
    return r;
}

static int count_child(struct apply *a, uint64_t parent, int by)
{
    struct store_node node;

    int r = node_hold(a, parent, &node);
    if (r != 0) {
        return r;
    }
    node.n_children = by > 0 ? node.n_children + 1 : node.n_children - 1;
    return store_node_put(a->txn, &node);
}

/* ---- the first command ---- */

static int put_first(struct apply *a, uint64_t id, uint64_t parent,
                     enum store_kind kind, struct str name)
{
    uint64_t revision = apply_revision(a);
    struct store_node node = {
        .id = id,
        .parent = parent,
        .kind = kind,
        .created_rev = revision,
        .path_rev = revision,
        .changed_rev = revision,
        .n_children = id == STORE_ROOT ? 1 : 0,
        .name = name,
        .comment = {"", 0},
    };
    struct str path;

    a->meta->n_ns++;
    int r = store_node_put(a->txn, &node);
    if (r == 0) {
        r = path_hold(a, id, &path);
    }
    if (r == 0) {
        r = event_ns(a, revision, "ns-put", &node, path, STR_NONE);
    }
    return r;
}

int apply_init(struct apply *a, const struct command_init *c)
{
    if (machine_is_begun(a->meta)) {
        return 0; /* Two first leaders may both have sent it; one counts. */
    }
    memcpy(a->meta->cluster, c->cluster, sizeof a->meta->cluster);
    a->meta->history_limit = c->history_limit;
    a->meta->next_ns = STORE_POOL + 1;
    /* The same by every version; a FEATURE raises it. */
    a->meta->feature_level = MACHINE_FEATURE_FIRST;
    int r = put_first(a, STORE_ROOT, 0, STORE_BRANCH, c->domain);
    if (r == 0) {
        r = put_first(a, STORE_POOL, STORE_ROOT, STORE_LEAF, STR("pool"));
    }
    a->meta->tree_rev = a->meta->types_rev = a->meta->revision;
    return r;
}

/* ---- create ---- */

/* Answers: NOT_FOUND, FORBIDDEN (a leaf has no children), CONFLICT (res->ns),
 * INVALID (the path would be too long for a DNS name). */
static int check_birth(struct apply *a, uint64_t parent, struct str name,
                       struct str *ret_parent_path)
{
    struct store_node node;

    int r = store_node_get(a->txn, parent, &node);
    if (r != 0) {
        return r;
    }
    if (node.kind != STORE_BRANCH) {
        return ERR_FORBIDDEN;
    }
    r = store_node_child(a->txn, parent, name, &a->res->ns);
    if (r != ERR_NOT_FOUND) {
        return r == 0 ? ERR_CONFLICT : r;
    }
    r = path_hold(a, parent, ret_parent_path);
    if (r != 0) {
        return r;
    }
    if (ret_parent_path->n == 0) {
        return ERR_NOT_FOUND;
    }
    return ret_parent_path->n + 1 + name.n > NAME_PATH_MAX ? ERR_INVALID : 0;
}

static int create(struct apply *a, void *user)
{
    const struct command_ns_create *c = user;
    struct str above = STR_NONE;

    int r = check_birth(a, c->parent, c->name, &above);
    if (r != 0) {
        return r;
    }
    uint64_t revision = apply_revision(a);
    struct store_node node = {
        .id = a->meta->next_ns++,
        .parent = c->parent,
        .kind = c->kind,
        .created_rev = revision,
        .path_rev = revision,
        .changed_rev = revision,
        .name = c->name,
        .match = c->has_match ? c->match : STR_NONE,
        .comment = c->comment,
    };
    a->meta->n_ns++;
    if (c->has_match) {
        a->meta->tree_rev = revision;
    }
    r = store_node_put(a->txn, &node);
    if (r == 0) {
        r = count_child(a, c->parent, 1);
    }
    if (r == 0) {
        struct str path = arena_printf(a->arena, "%.*s.%.*s", STR_ARG(c->name),
                                       STR_ARG(above));
        r = event_ns(a, revision, "ns-put", &node, path, STR_NONE);
    }
    if (r == 0 && c->kind == STORE_LEAF) {
        r = template_copy(a, node.id, c->parent, c->first_id, c->n_ids);
    }
    a->res->ns = node.id;
    a->res->created = true;
    buf_clear(&a->res->row);
    return r;
}

int apply_ns_create(struct apply *a, const struct command_ns_create *c)
{
    return apply_part(a, create, (void *)(uintptr_t)c);
}

/* ---- change ---- */

/* The longest path below a node, without the node's own: what a longer name
 * above would push beyond what DNS allows. All that is below is looked at, in
 * slices. */
struct below {
    size_t most;
    unsigned looked;
    unsigned n; /* levels: a path has no more labels */
    struct level {
        uint64_t id;
        size_t path_n; /* from the top, which is not in it, down to `id` */
        size_t n;      /* bytes of the child that was looked at last, */
        bool first;    /* unless none was */
        char label[NAME_LABEL_MAX];
    } levels[NAME_LABELS_MAX];
};

static void go_down(struct below *below, uint64_t id, size_t path_n)
{
    struct level *level = &below->levels[below->n++];

    assert(below->n <= sizeof below->levels / sizeof below->levels[0]);
    level->id = id;
    level->path_n = path_n;
    level->first = true;
}

/* Answers: END. */
static int look_at_next(struct apply *a, struct below *below)
{
    struct level *level = &below->levels[below->n - 1];
    struct str after = {level->label, level->n}, label;
    uint64_t child;

    int r = store_node_next_child(
        a->txn, level->id, level->first ? STR_NONE : after, &label, &child);
    if (r == ERR_END) {
        return --below->n == 0 ? r : 0;
    }
    if (r != 0) {
        return r;
    }
    assert(label.n <= sizeof level->label);
    memcpy(level->label, label.p, label.n);
    level->n = label.n;
    level->first = false;
    size_t path_n = level->path_n + 1 + label.n;
    if (path_n > below->most) {
        below->most = path_n;
    }
    go_down(below, child, path_n);
    return 0;
}

enum { LOOKS_OF_A_ROW = 8 };

/* Answers: BUSY; INVALID: more than `most`. */
static int check_below(struct apply *a, struct below *below, size_t most)
{
    while (below->most <= most) {
        int r = look_at_next(a, below);
        if (r != 0) {
            return r == ERR_END ? 0 : r;
        }
        if (++below->looked % LOOKS_OF_A_ROW == 0 && apply_pauses(a)) {
            return ERR_BUSY;
        }
    }
    return ERR_INVALID;
}

/* A namespace on its way to another name or place. */
struct moving {
    struct store_node node, changed;
    bool moves, matches;
    size_t most; /* bytes that a path below may have */
    struct below below;
};

/* Answers as check_birth, and FORBIDDEN when it would hang below itself. */
static int check_place(struct apply *a, struct moving *moving)
{
    const struct store_node *node = &moving->node;
    const struct store_node *changed = &moving->changed;
    struct str above = STR_NONE, old = STR_NONE;
    bool below = false;

    int r = store_path_below(a->txn, changed->parent, node->id, &below);
    if (r != 0 || below) {
        return r != 0 ? r : ERR_FORBIDDEN;
    }
    r = check_birth(a, changed->parent, changed->name, &above);
    if (r == 0) {
        r = path_hold(a, node->id, &old);
    }
    /* What is below fits already: a hundred thousand need not be looked at when
     * their names become no longer. */
    size_t path_n = above.n + 1 + changed->name.n;
    if (r == 0 && path_n > old.n) {
        moving->most = NAME_PATH_MAX - path_n;
        go_down(&moving->below, node->id, 0);
    }
    return r;
}

static struct store_node changed_node(const struct store_node *node,
                                      const struct command_ns_change *c)
{
    struct store_node changed = *node;

    if ((c->what & NS_NAME) != 0) {
        changed.name = c->name;
    }
    if ((c->what & NS_PARENT) != 0) {
        changed.parent = c->parent;
    }
    if ((c->what & NS_MATCH) != 0) {
        changed.match = c->has_match ? c->match : STR_NONE;
    }
    if ((c->what & NS_COMMENT) != 0) {
        changed.comment = c->comment;
    }
    return changed;
}

static int relink(struct apply *a, const struct store_node *node,
                  const struct store_node *changed)
{
    int r = store_node_unlink(a->txn, node);
    if (r == 0 && node->parent != changed->parent) {
        r = count_child(a, node->parent, -1);
        if (r == 0) {
            r = count_child(a, changed->parent, 1);
        }
        if (r == 0) {
            r = quota_moved(a, node->parent, changed->parent);
        }
    }
    return r;
}

static int change(struct apply *a, const struct store_node *node,
                  struct store_node *changed, bool moves, bool matches)
{
    struct str old = STR_NONE, path = STR_NONE;

    int r = path_hold(a, node->id, &old);
    if (r == 0 && moves) {
        r = relink(a, node, changed);
    }
    if (r != 0) {
        return r;
    }
    uint64_t revision = changed->changed_rev = apply_revision(a);
    if (moves) {
        changed->path_rev = revision;
        a->m->new_scopes |= changed->parent != node->parent;
    }
    if (moves || matches) {
        a->meta->tree_rev = revision;
    }
    apply_tree_changed(a, moves);
    r = store_node_put(a->txn, changed);
    if (r == 0) {
        r = path_hold(a, node->id, &path);
    }
    if (r == 0) {
        r = event_ns(a, revision, "ns-put", changed, path,
                     moves ? old : STR_NONE);
    }
    return r;
}

static bool same_text(struct str left, struct str right)
{
    return left.p == NULL || right.p == NULL ? left.p == right.p
                                             : str_equal(left, right);
}

/* Answers: as check_place; 0 without progress: there is nothing to be done. */
static int begin_change(struct apply *a, const struct command_ns_change *c)
{
    struct store_node node;

    int r = node_hold(a, c->id, &node);
    if (r == 0) {
        r = apply_cond(a, c->cond, c->cond_revs, true, node.changed_rev);
    }
    if (r != 0) {
        return r;
    }
    struct store_node changed = changed_node(&node, c);
    bool moves =
        changed.parent != node.parent || !str_equal(changed.name, node.name);
    bool matches = !same_text(changed.match, node.match);
    a->res->ns = node.id;
    if (!moves && !matches && str_equal(changed.comment, node.comment)) {
        a->res->revision = node.changed_rev;
        return 0;
    }
    if (moves && node.id <= STORE_POOL) {
        return ERR_FORBIDDEN;
    }
    struct moving *moving = arena_zero(a->arena, sizeof *moving);
    moving->node = node;
    moving->changed = changed;
    moving->moves = moves;
    moving->matches = matches;
    a->progress = moving;
    return moves ? check_place(a, moving) : 0;
}

int apply_ns_change(struct apply *a, const struct command_ns_change *c)
{
    int r = a->progress == NULL ? begin_change(a, c) : 0;
    struct moving *moving = a->progress;
    if (moving == NULL) {
        return r;
    }
    if (r == 0 && moving->below.n > 0) {
        r = check_below(a, &moving->below, moving->most);
    }
    if (r == ERR_BUSY) {
        return r;
    }
    a->res->ns = moving->node.id;
    return r != 0 ? r
                  : change(a, &moving->node, &moving->changed, moving->moves,
                           moving->matches);
}

/* ---- delete and reclaim ---- */

int apply_ns_delete(struct apply *a, const struct command_ns_delete *c)
{
    struct store_node node;
    struct str path;

    int r = node_hold(a, c->id, &node);
    if (r == 0) {
        r = apply_cond(a, c->cond, c->cond_revs, true, node.changed_rev);
    }
    if (r != 0) {
        return r;
    }
    if (node.id <= STORE_POOL) {
        return ERR_FORBIDDEN;
    }
    if (!c->recursive && (node.n_children > 0 || node.n_rows > 0)) {
        return ERR_NOT_EMPTY;
    }
    r = path_hold(a, node.id, &path);
    if (r == 0) {
        r = store_node_unlink(a->txn, &node);
    }
    if (r == 0) {
        r = count_child(a, node.parent, -1);
    }
    if (r == 0) {
        /* Out of reach at once; what is in it goes in bounded steps. */
        r = store_trash_put(a->txn, node.id);
    }
    if (r == 0) {
        uint64_t revision = a->meta->tree_rev = apply_revision(a);
        apply_tree_changed(a, true);
        r = event_ns(a, revision, "ns-delete", &node, path, STR_NONE);
    }
    return r;
}

/* Removes up to *budget rows of a namespace. Answers: BUSY when there are
 * more. */
static int reclaim_rows(struct apply *a, uint64_t ns, uint64_t *budget)
{
    struct store_list list;
    struct str type;
    struct ulid id;
    struct str row;
    int r;

    struct str after = STR_NONE;
    apply_visit(a, ns);
    while ((r = store_list_next(a->txn, ns, after, &type, &list)) == 0) {
        struct place p = {.ns = ns, .type = arena_str(a->arena, type)};
        after = p.type;
        while (list.count-- > 0) {
            struct held held;
            if (*budget == 0) {
                return ERR_BUSY;
            }
            (*budget)--;
            r = store_row_next(a->txn, ns, p.type, NULL, &id, &row);
            if (r == ERR_END) {
                break; /* A lease that ended took the rest along. */
            }
            if (r == 0) {
                r = row_hold(a, &p, id, &held);
            }
            if (r == 0) {
                r = row_forget(a, &p, &held);
            }
            if (r != 0) {
                return r;
            }
        }
    }
    return r == ERR_END ? 0 : r;
}

/* And of its keys, which go by themselves when there is no index. Answers:
 * BUSY. */
static int reclaim_keys(struct apply *a, uint64_t ns, uint64_t *budget)
{
    uint64_t n = 0;

    if (a->meta->index == STORE_INDEX_NONE) {
        return 0;
    }
    int r = store_keys_drop(a->txn, ns, *budget, &n);
    *budget -= n;
    return r == 0 ? ERR_BUSY : r == ERR_END ? 0 : r;
}

static int reclaim_node(struct apply *a, uint64_t id, uint64_t top,
                        uint64_t *budget)
{
    struct store_node node;
    uint64_t looked = 0;

    a->m->found_ns = 0;
    int r = node_hold(a, id, &node);
    if (r == 0) {
        r = quota_ns_gone(a, &node, &looked);
    }
    *budget -= looked / 16 < *budget ? looked / 16 : *budget;
    if (r == 0) {
        r = store_ns_drop(a->txn, id);
    }
    if (r == 0 && id != top) {
        /* The parent goes as well: its count is nobody's any more, and putting
         * its record would give an unlinked one its name back. */
        r = store_node_unlink(a->txn, &node);
    }
    if (r == 0) {
        r = store_node_del(a->txn, id);
    }
    if (r == 0 && id == top) {
        r = store_trash_del(a->txn, id);
    }
    a->meta->n_ns--;
    return r;
}

/* One node of a deleted subtree: the deepest first child. */
static int reclaim_one(struct apply *a, uint64_t top, uint64_t *budget)
{
    uint64_t id = top, child;
    struct str label;
    int r;

    while ((r = store_node_next_child(a->txn, id, STR_NONE, &label, &child)) ==
           0) {
        id = child;
    }
    if (r != ERR_END) {
        return r;
    }
    r = reclaim_rows(a, id, budget);
    if (r == 0) {
        r = reclaim_keys(a, id, budget);
    }
    return r != 0 ? r : reclaim_node(a, id, top, budget);
}

int apply_reclaim(struct apply *a, const struct command_reclaim *c)
{
    uint64_t budget = c->limit;
    uint64_t top;
    int r = 0;

    while (r == 0 && budget > 0) {
        r = store_trash_first(a->txn, &top);
        if (r != 0) {
            return r == ERR_END ? 0 : r;
        }
        budget--;
        r = reclaim_one(a, top, &budget);
    }
    return r == ERR_BUSY ? 0 : r;
}
