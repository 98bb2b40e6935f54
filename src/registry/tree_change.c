/* Namespaces change and go. */
#include "model/name.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/tree_body.h"

struct move {
    struct str parent_path;
    struct command_ns_change change;
};

static int read_move(struct op_state *s, struct move *move)
{
    static const char *const names[] = {"name", "parent", "match", "comment",
                                        NULL};
    struct command_ns_change *change = &move->change;
    struct json *body = NULL;
    bool match = false, comment = false;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "name", false, &change->name);
    }
    if (r == 0 && change->name.p != NULL) {
        r = tree_check_label(s, change->name);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "parent", false, &move->parent_path);
    }
    if (r == 0 && move->parent_path.p != NULL) {
        r = resolve_check_path(s, move->parent_path, "parent");
    }
    if (r == 0) {
        r = tree_read_match(s, body, &match, &change->has_match,
                            &change->match);
    }
    if (r == 0) {
        r = tree_read_comment(s, body, &comment, &change->comment);
    }
    change->what =
        (uint8_t)((change->name.p != NULL ? NS_NAME : 0) |
                  (move->parent_path.p != NULL ? NS_PARENT : 0) |
                  (match ? NS_MATCH : 0) | (comment ? NS_COMMENT : 0));
    return r;
}

static int check_fixed(struct op_state *s, const struct move *move,
                       const struct store_node *node)
{
    const struct command_ns_change *change = &move->change;
    bool renames =
        (change->what & NS_NAME) != 0 && !str_equal(change->name, node->name);
    bool moves =
        (change->what & NS_PARENT) != 0 && change->parent != node->parent;

    if (change->has_match && node->kind == STORE_BRANCH) {
        return tree_refuse_match(s);
    }
    if (node->id > STORE_POOL || (!renames && !moves)) {
        return 0;
    }
    return answer_problem(s, OP_CONFLICT, renames ? STR("name") : STR("parent"),
                          "%s stays where it is: its match and comment may "
                          "change, its name and parent may not",
                          node->id == STORE_ROOT ? "the root" : "pool");
}

static int check_new_parent(struct op_state *s, struct store_txn *txn,
                            struct move *move)
{
    struct store_node parent;
    bool below = false;

    int r = resolve_path(s, txn, move->parent_path, STR("parent"),
                         &move->change.parent);
    if (r == 0) {
        r = store_node_get(txn, move->change.parent, &parent);
    }
    if (r == 0) {
        r = store_path_below(txn, move->change.parent, move->change.id, &below);
    }
    if (r != 0) {
        return r;
    }
    if (below || parent.kind != STORE_BRANCH) {
        return answer_problem(
            s, OP_CONFLICT, STR("parent"), "%.*s cannot be the parent: %s",
            SHOW(move->parent_path),
            below ? "nothing hangs below itself" : "a leaf has no children");
    }
    return 0;
}

static int check_move(struct op_state *s, struct store_txn *txn, void *user)
{
    struct move *move = user;
    struct store_node node;

    int r = resolve_path(s, txn, s->op->ns, STR(""), &move->change.id);
    if (r == 0) {
        r = store_node_get(txn, move->change.id, &node);
    }
    if (r == 0 && (move->change.what & NS_PARENT) != 0) {
        r = check_new_parent(s, txn, move);
    }
    return r != 0 ? r : check_fixed(s, move, &node);
}

/* Where it will be is a new namespace there. */
static int permit_place(struct op_state *s, const struct move *move)
{
    struct str ns = s->op->ns;
    const char *dot = memchr(ns.p, '.', ns.n);

    if ((move->change.what & (NS_NAME | NS_PARENT)) == 0 || dot == NULL) {
        return 0;
    }
    struct str name = {ns.p, (size_t)(dot - ns.p)};
    struct str parent = {dot + 1, ns.n - name.n - 1};
    if ((move->change.what & NS_NAME) != 0) {
        name = move->change.name;
    }
    if ((move->change.what & NS_PARENT) != 0) {
        parent = move->parent_path;
    }
    struct str path =
        arena_printf(s->arena, "%.*s.%.*s", STR_ARG(name), STR_ARG(parent));
    if (str_equal(path, ns)) {
        return 0;
    }
    int r = permit(s, ACCESS_CREATE, STR(ACCESS_NS), path);
    if (r == 0 && access_gains(s->who, ns, path)) {
        r = permit_refuse(s, ns,
                          "move %.*s to %.*s: it may do more there than here "
                          "with what is in it",
                          SHOW(ns), SHOW(path));
    }
    return r;
}

int tree_change(struct op_state *s)
{
    struct move move = {0};

    int r = resolve_check_path(s, s->op->ns, "");
    if (r == 0) {
        r = permit(s, ACCESS_UPDATE, STR(ACCESS_NS), s->op->ns);
    }
    if (r == 0) {
        r = resolve_conditions(s, &move.change.cond, &move.change.cond_revs);
    }
    if (r == 0) {
        r = read_move(s, &move);
    }
    if (r == 0) {
        r = permit_place(s, &move);
    }
    if (r == 0) {
        r = snapshot_run(s, check_move, &move);
    }
    if (r == 0) {
        s->command = (struct command){.kind = COMMAND_NS_CHANGE,
                                      .tree_rev = s->seen.tree_rev,
                                      .ns_change = move.change};
    }
    return r;
}

/* ---- delete ---- */

static int check_delete(struct op_state *s, struct store_txn *txn, void *user)
{
    uint64_t *id = user;

    int r = resolve_path(s, txn, s->op->ns, STR(""), id);
    if (r != 0 || *id > STORE_POOL) {
        return r;
    }
    return answer_problem(s, OP_CONFLICT, STR(""),
                          "%.*s cannot be deleted: the root and pool always "
                          "are there",
                          SHOW(s->op->ns));
}

int tree_delete(struct op_state *s)
{
    struct command_ns_delete del = {.recursive = s->op->query.recursive};

    int r = resolve_check_path(s, s->op->ns, "");
    if (r == 0 && del.recursive) {
        r = permit_all(s, ACCESS_DELETE, s->op->ns);
    }
    if (r == 0) {
        r = resolve_conditions(s, &del.cond, &del.cond_revs);
    }
    if (r == 0) {
        r = snapshot_run(s, check_delete, &del.id);
    }
    if (r == 0) {
        s->command = (struct command){.kind = COMMAND_NS_DELETE,
                                      .tree_rev = s->seen.tree_rev,
                                      .ns_delete = del};
    }
    return r;
}

/* ---- what came of it ---- */

int tree_finish_change(struct op_state *s, struct machine_result *result)
{
    struct str path;

    int r = tree_answer_node(s, result->ns, result->revision, &path);
    if (r == 0) {
        s->op->answer.code = OP_OK;
    }
    return r;
}

int tree_finish_delete(struct op_state *s, struct machine_result *result)
{
    (void)result;
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}
