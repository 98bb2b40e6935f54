#include "registry/walk.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "model/name.h"
#include "registry/answer.h"
#include "registry/nodes.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/types_set.h"

static void keep_from(struct walk *walk, struct str from, bool inclusive)
{
    if (from.p == NULL || from.n > sizeof walk->kept) {
        walk->from = STR_NONE;
        return;
    }
    memmove(walk->kept, from.p, from.n);
    walk->from = (struct str){walk->kept, from.n};
    walk->inclusive = inclusive;
}

void walk_init(struct walk *walk, struct str path, bool branches,
               struct str from)
{
    *walk = (struct walk){.path = path, .branches = branches};
    walk->arena = arena_new();
    keep_from(walk, from, true);
}

void walk_done(struct walk *walk)
{
    walk->arena = arena_free(walk->arena);
}

/* Whether a namespace comes before the place where the walk goes on. */
static bool is_past(const struct walk *walk, struct str path)
{
    if (walk->from.p == NULL) {
        return false;
    }
    int order = nodes_compare(path, walk->from);
    return walk->inclusive ? order < 0 : order <= 0;
}

/* The child of `path` on the way to `from`, when that lies below it: children
 * before it are past with all that is below them. */
static struct str label_towards(struct str from, struct str path)
{
    if (from.p == NULL || from.n <= path.n || !nodes_below(from, path)) {
        return STR_NONE;
    }
    from.n -= path.n + 1;
    const char *dot = memrchr(from.p, '.', from.n);
    size_t before = dot == NULL ? 0 : (size_t)(dot - from.p) + 1;
    return (struct str){from.p + before, from.n - before};
}

static int visit(struct op_state *s, struct store_txn *txn, struct walk *walk,
                 uint64_t id, struct str path);

static int visit_child(struct op_state *s, struct store_txn *txn,
                       struct walk *walk, uint64_t id, struct str label,
                       struct str path)
{
    struct str child =
        arena_printf(walk->arena, "%.*s.%.*s", STR_ARG(label), STR_ARG(path));
    return visit(s, txn, walk, id, child);
}

static int visit_children(struct op_state *s, struct store_txn *txn,
                          struct walk *walk, uint64_t id, struct str path)
{
    struct str after = label_towards(walk->from, path);
    struct str label;
    uint64_t child;

    int r = after.p == NULL ? ERR_NOT_FOUND
                            : store_node_child(txn, id, after, &child);
    if (r == 0) {
        r = visit_child(s, txn, walk, child, after, path);
    } else if (r == ERR_NOT_FOUND) {
        r = 0;
    }
    while (r == 0) {
        r = store_node_next_child(txn, id, after, &label, &child);
        if (r == 0) {
            r = visit_child(s, txn, walk, child, label, path);
        }
        after = label;
    }
    return r == ERR_END ? 0 : r;
}

/* Answers: FULL when the chunk is. */
static int visit(struct op_state *s, struct store_txn *txn, struct walk *walk,
                 uint64_t id, struct str path)
{
    struct store_node node;

    if (walk->seen && !permit_sees_path(s, path)) {
        return 0;
    }
    int r = store_node_get(txn, id, &node);
    if (r != 0) {
        return r;
    }
    bool wanted = node.n_rows > 0 && !is_past(walk, path) &&
                  (walk->branches || node.kind == STORE_LEAF);
    if (wanted && walk->n == WALK_CHUNK) {
        walk->more = true;
        return ERR_FULL;
    }
    if (wanted) {
        walk->found[walk->n++] = (struct walk_ns){id, path};
    }
    return node.n_children > 0 ? visit_children(s, txn, walk, id, path) : 0;
}

/* ---- by the index ---- */

static int by_id(const void *left, const void *right)
{
    const uint64_t *l = left, *r = right;
    return (*l > *r) - (*l < *r);
}

static int by_path(const void *left, const void *right)
{
    const struct walk_ns *l = left, *r = right;
    return nodes_compare(l->path, r->path);
}

/* Whether visit would have come to it. */
static int is_wanted(struct op_state *s, struct store_txn *txn,
                     struct walk *walk, uint64_t id, struct str *ret_path,
                     bool *ret_wanted)
{
    struct store_node node;
    struct buf path = {0};

    int r = store_node_get(txn, id, &node);
    if (r == 0) {
        r = store_path_of(txn, id, &path);
    }
    *ret_path = arena_take(walk->arena, &path);
    *ret_wanted = r == 0 && node.n_rows > 0 &&
                  (walk->branches || node.kind == STORE_LEAF) &&
                  nodes_below(*ret_path, walk->path) &&
                  !is_past(walk, *ret_path) &&
                  (!walk->seen || permit_sees_path(s, *ret_path));
    return r == ERR_NOT_FOUND ? 0 : r;
}

static void take_first(struct walk *walk, struct walk_ns *found, size_t n)
{
    qsort(found, n, sizeof *found, by_path);
    walk->more = n > WALK_CHUNK;
    walk->n = walk->more ? WALK_CHUNK : n;
    memcpy(walk->found, found, walk->n * sizeof *found);
}

/* The same as visit finds, as far as it has the key. Answers: FULL (there are
 * too many to be sorted each time). */
static int find_keyed(struct op_state *s, struct store_txn *txn,
                      struct walk *walk)
{
    const struct walk_key *key = walk->key;
    size_t most = walk->quick ? WALK_QUICK_MOST : WALK_KEYED_MOST;
    uint64_t *ids = arena_alloc(walk->arena, most * sizeof *ids);
    size_t n_ids = 0, n = 0;

    int r = store_index_find(txn, key->type, key->text, key->prefix, most, ids,
                             &n_ids);
    if (r != 0) {
        return r;
    }
    struct walk_ns *found =
        arena_alloc(walk->arena, (n_ids + 1) * sizeof *found);
    qsort(ids, n_ids, sizeof *ids, by_id);
    for (size_t i = 0; r == 0 && i < n_ids; i++) {
        bool wanted = false;
        if (i > 0 && ids[i] == ids[i - 1]) {
            continue;
        }
        found[n].id = ids[i];
        r = is_wanted(s, txn, walk, ids[i], &found[n].path, &wanted);
        n += wanted;
    }
    if (r == 0) {
        take_first(walk, found, n);
    }
    return r;
}

/* Rules are those of this snapshot: a type's key may become another one while
 * it has no rows. */
static int look_at_key(struct op_state *s, struct store_txn *txn,
                       struct walk *walk)
{
    const struct type *type = NULL;

    walk->keyed = false;
    if (walk->key == NULL) {
        return 0;
    }
    int r = types_find(s, txn, walk->key->type, &type);
    walk->keyed =
        r == 0 && type->key.p != NULL && str_equal(type->key, walk->key->field);
    return r;
}

static int find_chunk(struct op_state *s, struct store_txn *txn,
                      struct walk *walk)
{
    arena_reset(walk->arena);
    walk->n = 0;
    walk->more = false;
    int r = resolve_path(s, txn, walk->path, STR("ns"), &walk->top);
    if (r == 0) {
        r = look_at_key(s, txn, walk);
    }
    if (r != 0) {
        return r;
    }
    if (walk->keyed && store_meta(txn)->index == STORE_INDEX_COMPLETE) {
        r = find_keyed(s, txn, walk);
        if (r != ERR_FULL) {
            return r;
        }
    }
    if (walk->quick) {
        return NEEDS_WORKER;
    }
    r = visit(s, txn, walk, walk->top, walk->path);
    return r == ERR_FULL ? 0 : r;
}

/* Answers: RESTART when the snapshot began anew on the way: what was found may
 * be another tree's. */
static int use_chunk(struct store_txn *txn, struct walk *walk)
{
    bool renewed = false;

    for (size_t i = 0; i < walk->n; i++) {
        int r = store_use(txn, walk->found[i].id);
        if (r == ERR_FULL) {
            walk->n = i;
            walk->more = true;
            break;
        }
        if (r != 0 && r != ERR_RESTART) {
            return r;
        }
        renewed = renewed || r == ERR_RESTART;
    }
    return renewed ? ERR_RESTART : 0;
}

/* Answers: FULL when others hold every handle there may be. */
static int find_and_use(struct op_state *s, struct store_txn *txn,
                        struct walk *walk)
{
    int r;

    do {
        r = find_chunk(s, txn, walk);
        if (r == 0) {
            r = use_chunk(txn, walk);
        }
    } while (r == ERR_RESTART);
    return r == 0 && walk->n == 0 && walk->more ? ERR_FULL : r;
}

static int begin_chunk(struct op_state *s, struct walk *walk,
                       struct store_txn **ret_txn)
{
    int r = store_read_begin(s->reader, ret_txn);

    if (r != 0) {
        return r;
    }
    r = find_and_use(s, *ret_txn, walk);
    if (r != 0) {
        store_read_end(*ret_txn);
    }
    return r;
}

enum { ROOM_WAITS = 100, ROOM_WAIT_MS = 5 };

int walk_next(struct op_state *s, struct walk *walk, struct store_txn **ret_txn)
{
    const struct timespec pause = {.tv_nsec = ROOM_WAIT_MS * 1000000L};
    int r = begin_chunk(s, walk, ret_txn);

    /* Those who hold the handles are other walks: they end their chunks. */
    assert(s->on_worker || walk->quick);
    if (r == ERR_FULL && walk->quick) {
        return NEEDS_WORKER;
    }
    for (int i = 0; r == ERR_FULL && i < ROOM_WAITS; i++) {
        (void)nanosleep(&pause, NULL);
        r = begin_chunk(s, walk, ret_txn);
    }
    if (r == ERR_FULL) {
        return answer_busy(s, "too many namespaces are being read at once");
    }
    if (r == 0 && walk->n > 0) {
        keep_from(walk, walk->found[walk->n - 1].path, false);
    }
    return r;
}
