#include "registry/nodes.h"

#include "model/json.h"

void nodes_write_bare(struct buf *out, const struct store_node *node,
                      struct str path)
{
    buf_add_text(out, "{\"name\":");
    json_add_string(out, node->name);
    buf_add_text(out, ",\"ns\":");
    json_add_string(out, path);
    buf_printf(out, ",\"id\":%llu,\"kind\":\"%s\"",
               (unsigned long long)node->id,
               node->kind == STORE_LEAF ? "leaf" : "branch");
}

void nodes_write_open(struct buf *out, const struct store_node *node,
                      struct str path)
{
    nodes_write_bare(out, node, path);
    buf_add_text(out, ",\"match\":");
    if (node->match.p == NULL) {
        buf_add_text(out, "null");
    } else {
        json_add_string(out, node->match);
    }
    buf_add_text(out, ",\"comment\":");
    json_add_string(out, node->comment);
    buf_printf(out, ",\"revision\":%llu",
               (unsigned long long)node->changed_rev);
}

/* Takes the label nearest to the root off the end. */
static struct str take_label(struct str *path)
{
    const char *dot = path->n == 0 ? NULL : memrchr(path->p, '.', path->n);
    size_t before = dot == NULL ? 0 : (size_t)(dot - path->p) + 1;
    struct str label = {path->p + before, path->n - before};

    path->n = dot == NULL ? 0 : before - 1;
    return label;
}

int nodes_compare(struct str left, struct str right)
{
    while (left.n > 0 && right.n > 0) {
        struct str l = take_label(&left);
        struct str r = take_label(&right);
        int order = str_compare(l, r);
        if (order != 0) {
            return order;
        }
    }
    return (left.n > 0) - (right.n > 0);
}

bool nodes_below(struct str path, struct str top)
{
    if (path.n < top.n ||
        !str_equal((struct str){path.p + path.n - top.n, top.n}, top)) {
        return false;
    }
    return path.n == top.n || path.p[path.n - top.n - 1] == '.';
}
