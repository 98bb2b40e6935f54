/* Are the pages of a file such that LMDB can read it? LMDB believes every
 * number in a file: one that lies makes it read or write anywhere. So a file
 * from a stranger is walked here first, with nothing believed.
 *
 * A page of LMDB 0.9 (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta), numbers as
 * the machine has them:
 *
 *   offset size  a page
 *   0      8     its number
 *   8      2     unused
 *   10     2     kind: 1 branch, 2 leaf, 4 overflow, 8 meta
 *   12     2     end of the table of nodes (overflow: 4, number of pages)
 *   14     2     begin of the nodes
 *   16     2 …   offsets of the nodes, in the order of their keys
 *
 *   0      2, 2  a node: size of its value, low and high half; in a branch the
 *                page below, whose bits 32 to 47 are in the next field
 *   4      2     1: the value is a page number, of overflow pages
 *                2: the value is a database
 *   6      2     length of the key
 *   8      …     key, value
 *
 *   0      4     a database: of the first, the size of pages; else zero
 *   4      2     flags
 *   6      2     depth of its tree
 *   8      8 × 4 branch pages, leaf pages, overflow pages, entries
 *   40     8     its root, all ones when it is empty
 *
 *   16     4, 4  a meta page: 0xbeefc0de, format 1
 *   24     8, 8  address and size of the map
 *   40     48 ×2 databases: free pages, and the main one
 *   136    8     last page
 *   144    8     number of its transaction: even in the first, odd in the
 *                second, which is how LMDB chooses */
#include "store/pages.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD = 16,
    NODE = 8,
    DB = 48,
    BRANCH = 1,
    LEAF = 2,
    OVERFLOW = 4,
    META = 8,
    BIG = 1,
    SUB = 2,
    INTEGER_KEY = 8, /* the flag of the database of free pages, and its only */
    DEPTH_MOST = 24,
    SHORT_BY = 65536, /* free pages at the end that were never written */
    PAGE_MOST = 32768,
};
static const uint32_t MAGIC = 0xbeefc0deU;
static const uint64_t TXN_MOST = UINT64_C(1) << 62; /* more would turn over */

struct tree {
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct walk {
    int fd;
    uint32_t page_size;
    uint64_t n_file; /* whole pages in the file */
    uint64_t last;
    uint64_t txn;
    uint8_t *seen; /* a bit for each page: used, or free */
    const char *why;
};

/* One tree being walked, in the order of its keys. */
struct path {
    struct walk *walk;
    bool free_list;   /* keys are numbers, values lists of pages */
    bool main;        /* values may be databases */
    struct tree left; /* what has not been found yet of what it says */
    size_t n_last;
    bool last_is_bound; /* a key of a branch: the next may be equal */
    uint8_t last[KV_KEY_MAX];
    uint8_t *pages; /* one for each level */
};

static bool bad(struct walk *w, const char *why)
{
    if (w->why == NULL) {
        w->why = why;
    }
    return false;
}

static uint64_t get(const uint8_t *at, size_t n)
{
    return le_get(at, n);
}

static bool read_page(struct walk *w, uint64_t number, uint8_t *page)
{
    ssize_t n =
        pread(w->fd, page, w->page_size, (off_t)(number * w->page_size));
    return n == (ssize_t)w->page_size
               ? true
               : bad(w, "a page lies behind the end of the file");
}

/* Each page has one use. */
static bool claim(struct walk *w, uint64_t number, uint64_t n)
{
    if (number < 2 || number > w->last || n > w->last + 1 - number) {
        return bad(w, "a page has a number that there is not");
    }
    for (uint64_t i = number; i < number + n; i++) {
        if ((w->seen[i / 8] & 1U << i % 8) != 0) {
            return bad(w, "a page is used twice");
        }
        w->seen[i / 8] = (uint8_t)(w->seen[i / 8] | 1U << i % 8);
    }
    return true;
}

static struct tree tree_at(const uint8_t *at)
{
    return (struct tree){
        .flags = (uint16_t)get(at + 4, 2),
        .depth = (uint16_t)get(at + 6, 2),
        .branches = get(at + 8, 8),
        .leaves = get(at + 16, 8),
        .overflows = get(at + 24, 8),
        .entries = get(at + 32, 8),
        .root = get(at + 40, 8),
    };
}

/* ---- nodes ---- */

struct node {
    uint16_t flags;
    uint16_t n_key;
    uint64_t n_value; /* of a branch: the page below */
    const uint8_t *key, *value;
    size_t room; /* bytes of the page from the value on */
};

/* How many nodes a page has; 0 when its head lies. */
static size_t count_nodes(const struct walk *w, const uint8_t *page)
{
    size_t lower = get(page + 12, 2), upper = get(page + 14, 2);

    if (lower < HEAD || lower % 2 != 0 || lower > upper || upper % 2 != 0 ||
        upper > w->page_size) {
        return 0;
    }
    return (lower - HEAD) / 2;
}

static bool node_at(struct walk *w, const uint8_t *page, size_t i,
                    struct node *ret)
{
    size_t at = get(page + HEAD + 2 * i, 2);

    if (at < get(page + 14, 2) || at % 2 != 0 || at + NODE > w->page_size) {
        return bad(w, "an entry lies outside of its page");
    }
    const uint8_t *p = page + at;
    *ret = (struct node){.flags = (uint16_t)get(p + 4, 2),
                         .n_key = (uint16_t)get(p + 6, 2),
                         .n_value = get(p, 4),
                         .key = p + NODE};
    size_t rest = w->page_size - at - NODE;
    if (ret->n_key > KV_KEY_MAX || ret->n_key > rest) {
        return bad(w, "a key is too long");
    }
    ret->value = ret->key + ret->n_key;
    ret->room = rest - ret->n_key;
    return true;
}

/* Its bytes on the page, with what makes the next one even. */
static size_t node_bytes(const struct node *node, bool is_leaf)
{
    uint64_t value = node->flags == BIG ? 8 : node->n_value;

    return (NODE + node->n_key + (size_t)(is_leaf ? value : 0) + 1) & ~1UL;
}

/* Who deletes one moves the others by its size: were two to share bytes, they
 * would be moved out of their page. */
static bool lie_apart(struct walk *w, const uint8_t *page, size_t n,
                      bool is_leaf)
{
    uint8_t taken[PAGE_MOST];
    struct node node;

    memset(taken, 0, w->page_size);
    for (size_t i = 0; i < n; i++) {
        if (!node_at(w, page, i, &node)) {
            return false;
        }
        size_t at = (size_t)(node.key - page) - NODE;
        size_t bytes = node_bytes(&node, is_leaf);
        if (bytes > w->page_size - at) {
            return bad(w, "a value lies outside of its page");
        }
        if (memchr(taken + at, 1, bytes) != NULL) {
            return bad(w, "two entries lie in one place");
        }
        memset(taken + at, 1, bytes);
    }
    return true;
}

/* Keys grow, over all pages and through the bounds in the branches. */
static bool in_order(struct path *path, const struct node *node, bool bound)
{
    struct walk *w = path->walk;
    size_t n = node->n_key < path->n_last ? node->n_key : path->n_last;
    int order = 0;

    if (path->free_list) {
        if (node->n_key != 8) {
            return bad(w, "an entry of the free pages has no number");
        }
        uint64_t key = get(node->key, 8), last = get(path->last, 8);
        order = path->n_last == 0 ? 1 : (key > last) - (key < last);
    } else {
        order = n == 0 ? 0 : memcmp(node->key, path->last, n);
        if (order == 0) {
            order = (node->n_key > path->n_last) - (node->n_key < path->n_last);
        }
    }
    if (order < 0 || (order == 0 && !path->last_is_bound)) {
        return bad(w, "keys are not in their order");
    }
    memcpy(path->last, node->key, node->n_key);
    path->n_last = node->n_key;
    path->last_is_bound = bound;
    return true;
}

static bool take(struct walk *w, uint64_t *left, uint64_t n)
{
    if (*left < n) {
        return bad(w, "a database has more in it than it says");
    }
    *left -= n;
    return true;
}

/* Values that do not fit a page lie on pages of their own: on more than they
 * take when a longer one was there before in the same transaction. */
static bool walk_big(struct path *path, const struct node *node,
                     uint64_t *ret_page)
{
    struct walk *w = path->walk;
    uint8_t head[HEAD];
    uint64_t least = (HEAD - 1 + node->n_value) / w->page_size + 1;

    if (node->room < 8) {
        return bad(w, "a value lies outside of its page");
    }
    uint64_t number = get(node->value, 8);
    if (number > w->last) {
        return bad(w, "a page has a number that there is not");
    }
    if (pread(w->fd, head, sizeof head, (off_t)(number * w->page_size)) !=
            (ssize_t)sizeof head ||
        get(head, 8) != number || get(head + 10, 2) != OVERFLOW) {
        return bad(w, "a long value is not where it should be");
    }
    uint64_t n = get(head + 12, 4);
    if (!claim(w, number, n) || !take(w, &path->left.overflows, n)) {
        return false;
    }
    if (n < least || number + n > w->n_file) {
        return bad(w, "a long value is not where it should be");
    }
    *ret_page = number;
    return true;
}

/* A number of pages, then those, each free, the greatest first: LMDB looks for
 * neighbours by their places in the list. It begins behind transaction 0. */
static bool walk_free(struct path *path, const struct node *node,
                      uint64_t big_page)
{
    struct walk *w = path->walk;
    size_t n = (size_t)node->n_value;
    uint8_t *copy = mem_alloc(n + 8);
    uint64_t txn = get(node->key, 8), above = UINT64_MAX;
    bool good = n >= 8 && txn > 0 && txn <= w->txn;

    if (big_page != 0) {
        good = good &&
               pread(w->fd, copy, n, (off_t)(big_page * w->page_size + HEAD)) ==
                   (ssize_t)n;
    } else {
        memcpy(copy, node->value, n);
    }
    good = good && n % 8 == 0 && get(copy, 8) <= n / 8 - 1;
    uint64_t n_pages = good ? get(copy, 8) : 0;
    for (uint64_t i = 1; good && i <= n_pages; i++) {
        uint64_t number = get(copy + 8 * i, 8);
        good = number < above && claim(w, number, 1);
        above = number;
    }
    mem_free(copy);
    return good ? true : bad(w, "the list of free pages is damaged");
}

static bool walk_tree(struct walk *w, struct tree tree, bool free_list,
                      bool main);

static bool walk_entry(struct path *path, const struct node *node)
{
    struct walk *w = path->walk;
    uint64_t big_page = 0;

    if (!in_order(path, node, false) || !take(w, &path->left.entries, 1)) {
        return false;
    }
    if (node->flags == BIG) {
        if (!walk_big(path, node, &big_page)) {
            return false;
        }
    } else if (node->n_value > node->room) {
        return bad(w, "a value lies outside of its page");
    }
    if (path->main || node->flags == SUB) {
        if (!path->main || node->flags != SUB || node->n_value != DB) {
            return bad(w, "a database lies where none may be");
        }
        struct tree tree = tree_at(node->value);
        return tree.flags == 0 ? walk_tree(w, tree, false, false)
                               : bad(w, "a database has unknown flags");
    }
    if (node->flags != 0 && node->flags != BIG) {
        return bad(w, "an entry has unknown flags");
    }
    return path->free_list ? walk_free(path, node, big_page) : true;
}

/* ---- pages ---- */

static bool walk_page(struct path *path, uint64_t number, unsigned level);

static bool walk_branch(struct path *path, const uint8_t *page, size_t n,
                        unsigned level)
{
    struct walk *w = path->walk;
    struct node node;

    if (!take(w, &path->left.branches, 1) || n < 2) {
        return bad(w, "a branch has less than two pages below");
    }
    for (size_t i = 0; i < n; i++) {
        if (!node_at(w, page, i, &node)) {
            return false;
        }
        /* The first one's key says nothing. */
        if (i > 0 && !in_order(path, &node, true)) {
            return false;
        }
        if (!walk_page(path, node.n_value | (uint64_t)node.flags << 32,
                       level + 1)) {
            return false;
        }
    }
    return true;
}

static bool walk_leaf(struct path *path, const uint8_t *page, size_t n)
{
    struct node node;

    if (!take(path->walk, &path->left.leaves, 1)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!node_at(path->walk, page, i, &node) || !walk_entry(path, &node)) {
            return false;
        }
    }
    return true;
}

static bool walk_page(struct path *path, uint64_t number, unsigned level)
{
    struct walk *w = path->walk;
    bool is_leaf = level == path->left.depth;
    uint8_t *page = path->pages + (size_t)(level - 1) * w->page_size;

    if (!claim(w, number, 1) || !read_page(w, number, page)) {
        return false;
    }
    size_t n = count_nodes(w, page);
    if (get(page, 8) != number || n == 0 ||
        get(page + 10, 2) != (is_leaf ? LEAF : BRANCH)) {
        return bad(w, "a page is not what it should be");
    }
    if (!lie_apart(w, page, n, is_leaf)) {
        return false;
    }
    return is_leaf ? walk_leaf(path, page, n)
                   : walk_branch(path, page, n, level);
}

/* What a database says it has is what it has. */
static bool is_empty(const struct tree *left)
{
    return left->branches == 0 && left->leaves == 0 && left->overflows == 0 &&
           left->entries == 0;
}

static bool walk_tree(struct walk *w, struct tree tree, bool free_list,
                      bool main)
{
    struct path path = {
        .walk = w, .free_list = free_list, .main = main, .left = tree};

    if (tree.root == UINT64_MAX) {
        return tree.depth == 0 && is_empty(&tree)
                   ? true
                   : bad(w, "an empty database says that it is not");
    }
    if (tree.depth == 0 || tree.depth > DEPTH_MOST) {
        return bad(w, "a database has no possible depth");
    }
    path.pages = mem_alloc((size_t)tree.depth * w->page_size);
    bool good = walk_page(&path, tree.root, 1);
    mem_free(path.pages);
    if (good && !is_empty(&path.left)) {
        return bad(w, "a database has less in it than it says");
    }
    return good;
}

/* ---- the file ---- */

enum { META_BYTES = 152, META_DBS = 40, META_LAST = 136, META_TXN = 144 };

static bool check_meta(struct walk *w, const uint8_t *meta, uint64_t number)
{
    const uint8_t *free_db = meta + META_DBS;

    if (get(meta, 8) != number || get(meta + 10, 2) != META ||
        get(meta + 16, 4) != MAGIC || get(meta + 20, 4) != 1) {
        return bad(w, "it is no LMDB file of format 1");
    }
    if (get(free_db, 4) != w->page_size || get(free_db + 4, 2) != INTEGER_KEY ||
        get(free_db + DB + 4, 2) != 0 || get(meta + META_LAST, 8) < 1) {
        return bad(w, "its first pages hold what none can");
    }
    return true;
}

/* The newer of the two counts; the older is written over by the next
 * transaction and must be sound enough for LMDB to look at. */
static bool read_metas(struct walk *w, uint8_t ret_meta[META_BYTES])
{
    uint8_t metas[2][META_BYTES];

    if (pread(w->fd, metas[0], META_BYTES, 0) != META_BYTES) {
        return bad(w, "it is too short");
    }
    w->page_size = (uint32_t)get(metas[0] + META_DBS, 4);
    if (w->page_size < 4096 || w->page_size > PAGE_MOST ||
        (w->page_size & (w->page_size - 1)) != 0) {
        return bad(w, "its pages have no possible size");
    }
    if (pread(w->fd, metas[1], META_BYTES, w->page_size) != META_BYTES) {
        return bad(w, "it is too short");
    }
    if (!check_meta(w, metas[0], 0) || !check_meta(w, metas[1], 1)) {
        return false;
    }
    uint64_t first = get(metas[0] + META_TXN, 8);
    uint64_t second = get(metas[1] + META_TXN, 8);
    uint64_t newest = second > first ? second : first;
    /* LMDB takes the greater number when it opens the file, and from there on
     * the page that the number says. */
    if (newest % 2 != (second > first ? 1 : 0) || newest > TXN_MOST) {
        return bad(w, "its first pages hold what none can");
    }
    memcpy(ret_meta, metas[newest % 2], META_BYTES);
    return true;
}

static bool walk_file(struct walk *w, uint64_t size)
{
    uint8_t meta[META_BYTES];

    if (!read_metas(w, meta)) {
        return false;
    }
    w->n_file = size / w->page_size;
    w->last = get(meta + META_LAST, 8);
    w->txn = get(meta + META_TXN, 8);
    if (size % w->page_size != 0 || w->n_file < 2 ||
        w->last >= w->n_file + SHORT_BY) {
        return bad(w, "it has not the size that it says");
    }
    w->seen = mem_zero((size_t)(w->last / 8 + 1));
    bool good = walk_tree(w, tree_at(meta + META_DBS + DB), false, true) &&
                walk_tree(w, tree_at(meta + META_DBS), true, false);
    mem_free(w->seen);
    return good;
}

int kv_pages_check(const char *file, const char **ret_why)
{
    struct walk walk = {.fd = open(file, O_RDONLY | O_CLOEXEC)};
    struct stat stat;
    int r = 0;

    if (walk.fd < 0 || fstat(walk.fd, &stat) != 0) {
        r = err_raise(ERR_IO);
    } else if (!walk_file(&walk, (uint64_t)stat.st_size)) {
        *ret_why = walk.why;
        r = ERR_CORRUPT;
    }
    if (walk.fd >= 0) {
        (void)close(walk.fd);
    }
    return r;
}
