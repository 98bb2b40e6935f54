/* Namespaces, what they are called, and types. */
#include <assert.h>
#include <string.h>

#include "store/kv.h"

/* A path of 253 bytes has no more labels: deeper is a circle in the file. */
#define DEPTH_MAX 127

/* ---- node records (api/store-format.md) ---- */

enum {
    NODE_KIND = 1,
    NODE_FLAGS = 2,
    NODE_NAME_N = 3,
    NODE_MATCH_N = 4,
    NODE_COMMENT_N = 8,
    NODE_PARENT = 16,
    NODE_CREATED = 24,
    NODE_PATH = 32,
    NODE_CHANGED = 40,
    NODE_CHILDREN = 48,
    NODE_ROWS = 56,
    NODE_HEAD = 64,
    NODE_HAS_MATCH = 1,
};

static void node_encode(const struct store_node *node, struct buf *record)
{
    char head[NODE_HEAD] = {KV_FORMAT};

    assert(node->name.n <= UINT8_MAX && node->match.n <= UINT32_MAX &&
           node->comment.n <= UINT32_MAX);
    head[NODE_KIND] = (char)node->kind;
    head[NODE_FLAGS] = node->match.p == NULL ? 0 : NODE_HAS_MATCH;
    head[NODE_NAME_N] = (char)(uint8_t)node->name.n;
    kv_set_le32(head + NODE_MATCH_N, (uint32_t)node->match.n);
    kv_set_le32(head + NODE_COMMENT_N, (uint32_t)node->comment.n);
    kv_set_le64(head + NODE_PARENT, node->parent);
    kv_set_le64(head + NODE_CREATED, node->created_rev);
    kv_set_le64(head + NODE_PATH, node->path_rev);
    kv_set_le64(head + NODE_CHANGED, node->changed_rev);
    kv_set_le64(head + NODE_CHILDREN, node->n_children);
    kv_set_le64(head + NODE_ROWS, node->n_rows);
    buf_clear(record);
    buf_add(record, head, sizeof head);
    buf_add_str(record, node->name);
    buf_add_str(record, node->match);
    buf_add_str(record, node->comment);
}

static bool node_decode(struct str record, uint64_t id,
                        struct store_node *ret_node)
{
    const char *p = record.p;

    if (record.n < NODE_HEAD || p[0] != KV_FORMAT) {
        return false;
    }
    struct str name = {p + NODE_HEAD, (uint8_t)p[NODE_NAME_N]};
    struct str match = {name.p + name.n, kv_le32(p + NODE_MATCH_N)};
    size_t n_comment = kv_le32(p + NODE_COMMENT_N);
    if (record.n != NODE_HEAD + name.n + match.n + n_comment) {
        return false;
    }
    *ret_node = (struct store_node){
        .id = id,
        .parent = kv_le64(p + NODE_PARENT),
        .kind = (enum store_kind)p[NODE_KIND],
        .created_rev = kv_le64(p + NODE_CREATED),
        .path_rev = kv_le64(p + NODE_PATH),
        .changed_rev = kv_le64(p + NODE_CHANGED),
        .n_children = kv_le64(p + NODE_CHILDREN),
        .n_rows = kv_le64(p + NODE_ROWS),
        .name = name,
        .match = (p[NODE_FLAGS] & NODE_HAS_MATCH) != 0 ? match : STR_NONE,
        .comment = {match.p + match.n, n_comment},
    };
    return true;
}

/* ---- keys ---- */

static struct kv_key id_key(char kind, uint64_t id)
{
    struct kv_key key;

    kv_key_start(&key, kind);
    kv_key_u64(&key, id);
    return key;
}

static struct kv_key child_key(uint64_t parent, struct str label)
{
    struct kv_key key = id_key('c', parent);

    kv_key_str(&key, label);
    return key;
}

static struct kv_key type_key(char kind, struct str type)
{
    struct kv_key key;

    kv_key_start(&key, kind);
    kv_key_str(&key, type);
    return key;
}

static int tree_get(struct store_txn *txn, const struct kv_key *key,
                    struct str *ret_value)
{
    return kv_get(txn, kv_base(txn, KV_TREE), key, ret_value);
}

static int tree_put(struct store_txn *txn, const struct kv_key *key,
                    struct str value)
{
    return kv_put(txn, kv_base(txn, KV_TREE), key, value);
}

static int tree_put_number(struct store_txn *txn, const struct kv_key *key,
                           uint64_t number)
{
    char bytes[8];

    kv_set_le64(bytes, number);
    return tree_put(txn, key, (struct str){bytes, sizeof bytes});
}

/* It may be gone already. */
static int tree_del(struct store_txn *txn, const struct kv_key *key)
{
    int r = kv_del(txn, kv_base(txn, KV_TREE), key);
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- nodes ---- */

int store_node_get(struct store_txn *txn, uint64_t id,
                   struct store_node *ret_node)
{
    struct kv_key key = id_key('n', id);
    struct str record;

    int r = txn->list.ns == id ? kv_list_settle(txn) : 0;
    if (r == 0) {
        r = tree_get(txn, &key, &record);
    }
    if (r != 0) {
        return r;
    }
    return node_decode(record, id, ret_node) ? 0 : kv_corrupt(txn);
}

/* The first entry of a kind with an id > after. */
static int next_id(struct store_txn *txn, char kind, uint64_t after,
                   uint64_t *ret_id, struct str *ret_value)
{
    struct kv_key from = id_key(kind, after);
    struct str key;

    int r =
        kv_first(txn, kv_base(txn, KV_TREE), &from, 1, true, &key, ret_value);
    if (r == 0) {
        *ret_id = kv_be64(key.p + 1);
    }
    return r;
}

int store_node_next(struct store_txn *txn, uint64_t after,
                    struct store_node *ret_node)
{
    struct str record;
    uint64_t id = 0;

    int r = kv_list_settle(txn);
    if (r == 0) {
        r = next_id(txn, 'n', after, &id, &record);
    }
    if (r != 0) {
        return r;
    }
    return node_decode(record, id, ret_node) ? 0 : kv_corrupt(txn);
}

static int put_record(struct store_txn *txn, const struct store_node *node)
{
    struct kv_key key = id_key('n', node->id);

    node_encode(node, &txn->scratch);
    return tree_put(txn, &key, buf_str(&txn->scratch));
}

static int put_match(struct store_txn *txn, uint64_t id, struct str match)
{
    struct kv_key key = id_key('m', id);

    return match.p == NULL ? tree_del(txn, &key) : tree_put(txn, &key, match);
}

static int put_name(struct store_txn *txn, const struct store_node *node)
{
    struct kv_key key = child_key(node->parent, node->name);
    uint64_t holder = 0;

    if (node->id == STORE_ROOT) {
        return 0; /* The domain is its name: nothing is above it. */
    }
    int r = store_node_child(txn, node->parent, node->name, &holder);
    if (r != ERR_NOT_FOUND) {
        assert(r < 0 || holder == node->id);
        return r;
    }
    return tree_put_number(txn, &key, node->id);
}

int store_node_put(struct store_txn *txn, const struct store_node *node)
{
    /* The strings may be lent from the record we are about to write over: the
     * copy in scratch keeps them. */
    struct store_node copy = {.id = 0};

    node_encode(node, &txn->scratch);
    struct buf record = txn->scratch;
    txn->scratch = (struct buf){0};
    bool good = node_decode(buf_str(&record), node->id, &copy);
    assert(good);
    int r = put_record(txn, &copy);
    if (r == 0) {
        r = put_name(txn, &copy);
    }
    if (r == 0) {
        r = put_match(txn, copy.id, copy.match);
    }
    buf_done(&record);
    return r;
}

int store_node_unlink(struct store_txn *txn, const struct store_node *node)
{
    struct kv_key key = child_key(node->parent, node->name);

    return tree_del(txn, &key);
}

int store_node_del(struct store_txn *txn, uint64_t id)
{
    struct kv_key record = id_key('n', id);
    struct kv_key match = id_key('m', id);

    int r = store_ns_drop(txn, id);
    if (r == 0) {
        r = tree_del(txn, &record);
    }
    return r == 0 ? tree_del(txn, &match) : r;
}

int kv_tree_count(struct store_txn *txn, uint64_t ns, uint64_t plus)
{
    struct kv_key key = id_key('n', ns);
    struct str record;

    int r = tree_get(txn, &key, &record);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? kv_corrupt(txn) : r;
    }
    if (record.n < NODE_HEAD || record.p[0] != KV_FORMAT) {
        return kv_corrupt(txn);
    }
    buf_clear(&txn->scratch);
    buf_add_str(&txn->scratch, record);
    uint64_t n_rows = kv_le64(record.p + NODE_ROWS) + plus;
    assert(n_rows <= INT64_MAX); /* not below nothing */
    kv_set_le64(txn->scratch.p + NODE_ROWS, n_rows);
    return tree_put(txn, &key, buf_str(&txn->scratch));
}

int store_node_child(struct store_txn *txn, uint64_t parent, struct str label,
                     uint64_t *ret_id)
{
    struct kv_key key = child_key(parent, label);
    struct str value;

    int r = tree_get(txn, &key, &value);
    return r == 0 ? kv_number(txn, value, ret_id) : r;
}

int store_node_next_child(struct store_txn *txn, uint64_t parent,
                          struct str after, struct str *ret_label,
                          uint64_t *ret_id)
{
    struct kv_key from = child_key(parent, after);
    size_t n_prefix = from.n - after.n;
    struct str key;
    struct str value;

    int r = kv_first(txn, kv_base(txn, KV_TREE), &from, n_prefix,
                     after.p != NULL, &key, &value);
    if (r != 0) {
        return r;
    }
    *ret_label = (struct str){key.p + n_prefix, key.n - n_prefix};
    return kv_number(txn, value, ret_id);
}

int store_match_next(struct store_txn *txn, uint64_t after, uint64_t *ret_id,
                     struct str *ret_match)
{
    struct kv_key from = id_key('m', after);
    struct str key;

    int r =
        kv_first(txn, kv_base(txn, KV_TREE), &from, 1, true, &key, ret_match);
    if (r == 0) {
        *ret_id = kv_be64(key.p + 1);
    }
    return r;
}

/* ---- paths ---- */

/* The part of a path in front of the domain, without the dot between; n 0 for
 * the domain itself. */
static bool below_domain(struct str path, struct str domain, struct str *ret)
{
    if (path.n < domain.n) {
        return false;
    }
    size_t n = path.n - domain.n;
    if (!str_equal((struct str){path.p + n, domain.n}, domain) ||
        (n > 0 && (path.p[0] == '.' || path.p[n - 1] != '.'))) {
        return false;
    }
    *ret = (struct str){path.p, n == 0 ? 0 : n - 1};
    return true;
}

int store_path_resolve(struct store_txn *txn, struct str path, uint64_t *ret_id)
{
    struct store_node root = {.id = 0};
    struct str rest;
    uint64_t id = STORE_ROOT;

    int r = store_node_get(txn, STORE_ROOT, &root);
    if (r != 0) {
        return r;
    }
    if (path.n > UINT8_MAX || !below_domain(path, root.name, &rest)) {
        return ERR_NOT_FOUND;
    }
    while (rest.n > 0) {
        const char *dot = memrchr(rest.p, '.', rest.n);
        const char *label = dot == NULL ? rest.p : dot + 1;
        size_t n_label = (size_t)(rest.p + rest.n - label);
        r = store_node_child(txn, id, (struct str){label, n_label}, &id);
        if (r != 0) {
            return r;
        }
        rest.n = dot == NULL ? 0 : (size_t)(dot - rest.p);
    }
    *ret_id = id;
    return 0;
}

/* A node that can be reached from the root: its parent knows it by its name.
 * Answers: NOT_FOUND. */
static int linked_node(struct store_txn *txn, uint64_t id,
                       struct store_node *ret_node)
{
    uint64_t holder = 0;

    int r = store_node_get(txn, id, ret_node);
    if (r != 0 || id == STORE_ROOT) {
        return r;
    }
    r = store_node_child(txn, ret_node->parent, ret_node->name, &holder);
    return r == 0 && holder != id ? ERR_NOT_FOUND : r;
}

int store_path_of(struct store_txn *txn, uint64_t id, struct buf *path)
{
    size_t n_before = path->n;
    struct store_node node = {.id = 0};

    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int r = linked_node(txn, id, &node);
        if (r != 0) {
            path->n = n_before;
            return r;
        }
        buf_add_str(path, node.name);
        if (id == STORE_ROOT) {
            return 0;
        }
        buf_add_char(path, '.');
        id = node.parent;
    }
    path->n = n_before;
    return kv_corrupt(txn);
}

int store_path_rev(struct store_txn *txn, uint64_t id, uint64_t *ret_revision)
{
    uint64_t greatest = 0;
    struct store_node node = {.id = 0};

    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int r = linked_node(txn, id, &node);
        if (r != 0) {
            return r;
        }
        if (depth == 0) {
            greatest = node.created_rev;
        }
        if (node.path_rev > greatest) {
            greatest = node.path_rev;
        }
        if (id == STORE_ROOT) {
            *ret_revision = greatest;
            return 0;
        }
        id = node.parent;
    }
    return kv_corrupt(txn);
}

int store_path_top(struct store_txn *txn, uint64_t id, uint64_t *ret_top)
{
    uint64_t top = STORE_ROOT;
    struct store_node node = {.id = 0};

    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int r = linked_node(txn, id, &node);
        if (r != 0) {
            return r;
        }
        if (id == STORE_ROOT) {
            *ret_top = top;
            return 0;
        }
        top = id;
        id = node.parent;
    }
    return kv_corrupt(txn);
}

int store_path_below(struct store_txn *txn, uint64_t id, uint64_t ancestor,
                     bool *ret_below)
{
    struct store_node node = {.id = 0};

    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int r = id == ancestor ? 0 : store_node_get(txn, id, &node);
        if (r < 0) {
            return r;
        }
        if (id == ancestor || r == ERR_NOT_FOUND || id == STORE_ROOT) {
            *ret_below = id == ancestor;
            return 0;
        }
        id = node.parent;
    }
    return kv_corrupt(txn);
}

/* ---- trash ---- */

int store_trash_put(struct store_txn *txn, uint64_t id)
{
    struct kv_key key = id_key('x', id);

    return tree_put(txn, &key, STR(""));
}

int store_trash_del(struct store_txn *txn, uint64_t id)
{
    struct kv_key key = id_key('x', id);

    return tree_del(txn, &key);
}

int store_trash_next(struct store_txn *txn, uint64_t after, uint64_t *ret_id)
{
    struct str value;

    return next_id(txn, 'x', after, ret_id, &value);
}

int store_trash_first(struct store_txn *txn, uint64_t *ret_id)
{
    return store_trash_next(txn, 0, ret_id);
}

int store_trash_hang(struct store_txn *txn, uint64_t id, uint64_t parent)
{
    struct store_node node = {.id = id};

    int r = store_node_get(txn, id, &node);
    if (r != 0) {
        return r;
    }
    node.parent = parent;
    return put_record(txn, &node);
}

/* ---- types ---- */

int store_type_get(struct store_txn *txn, struct str type, struct str *ret_json)
{
    struct kv_key key = type_key('d', type);

    return tree_get(txn, &key, ret_json);
}

int store_type_put(struct store_txn *txn, struct str type, struct str json)
{
    struct kv_key key = type_key('d', type);

    return tree_put(txn, &key, json);
}

int store_type_next(struct store_txn *txn, struct str after,
                    struct str *ret_type, struct str *ret_json)
{
    struct kv_key from = type_key('d', after);
    struct str key;

    int r = kv_first(txn, kv_base(txn, KV_TREE), &from, 1, after.p != NULL,
                     &key, ret_json);
    if (r == 0) {
        *ret_type = (struct str){key.p + 1, key.n - 1};
    }
    return r;
}

int store_type_put_rev(struct store_txn *txn, struct str type,
                       uint64_t *ret_revision)
{
    struct kv_key key = type_key('u', type);
    struct str value;

    int r = tree_get(txn, &key, &value);
    if (r == ERR_NOT_FOUND) {
        *ret_revision = 0;
        return 0;
    }
    return r == 0 ? kv_number(txn, value, ret_revision) : r;
}

int store_type_set_put_rev(struct store_txn *txn, struct str type,
                           uint64_t revision)
{
    struct kv_key key = type_key('u', type);

    return tree_put_number(txn, &key, revision);
}
