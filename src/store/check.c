#include "store/check.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "model/event.h"
#include "model/json.h"
#include "model/name.h"
#include "model/pattern.h"
#include "model/type.h"
#include "store/pages.h"

/* What the code that serves a store believes of it, held against the file: a
 * record that lies would stop a node in the middle of its log, at every start.
 * Two passes: LMDB's own structure first (pages.c), then the records. */

int check_wrong(struct check *c, const char *why)
{
    if (c->why == NULL) {
        c->why = why;
    }
    return kv_corrupt(c->txn);
}

int check_each(struct check *c, MDB_dbi dbi, check_func *func)
{
    MDB_cursor *cursor = NULL;
    MDB_val k;
    MDB_val v;
    int r = 0;

    int rc = mdb_cursor_open(c->txn->mdb, dbi, &cursor);
    if (rc != 0) {
        return kv_fault(c->txn->store, c->txn, rc);
    }
    while (r == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        arena_reset(c->arena);
        r = func(c, (struct str){k.mv_data, k.mv_size},
                 (struct str){v.mv_data, v.mv_size});
    }
    mdb_cursor_close(cursor);
    if (r != 0 || rc == MDB_NOTFOUND) {
        return r;
    }
    return kv_fault(c->txn->store, c->txn, rc);
}

static const struct store_meta *meta_of(const struct check *c)
{
    return &c->txn->meta;
}

/* ---- the tree ---- */

static bool is_number(struct str value, uint64_t *ret_number)
{
    if (value.n != 8) {
        return false;
    }
    *ret_number = kv_le64(value.p);
    return true;
}

static bool is_pattern(struct check *c, struct str match)
{
    struct pattern *pattern = NULL;
    struct str why;

    if (pattern_new(PATTERN_REGEX, match, c->arena, &pattern, &why) != 0) {
        return false;
    }
    pattern_free(pattern);
    return true;
}

static bool is_root(const struct store_node *node)
{
    return node->parent == 0 && node->kind == STORE_BRANCH &&
           node->match.p == NULL && name_is_path(node->name);
}

static bool is_inner(const struct check *c, const struct store_node *node)
{
    return node->parent != 0 && node->id > STORE_ROOT &&
           node->id < meta_of(c)->next_ns && name_is_label(node->name) &&
           (node->kind == STORE_LEAF ||
            (node->kind == STORE_BRANCH && node->id != STORE_POOL)) &&
           (node->match.p == NULL || node->kind == STORE_LEAF);
}

static bool are_past(const struct check *c, const struct store_node *node)
{
    uint64_t now = meta_of(c)->revision;
    return node->created_rev <= now && node->path_rev <= now &&
           node->changed_rev <= now;
}

/* Whether it hangs on the root. What was deleted and waits to be freed keeps no
 * count of its children. */
static int is_linked(struct check *c, uint64_t id, bool *ret_linked)
{
    buf_clear(&c->scratch);
    int r = store_path_of(c->txn, id, &c->scratch);
    if (r < 0) {
        return check_wrong(c, "a namespace hangs below itself");
    }
    *ret_linked = r == 0;
    return 0;
}

static int check_node(struct check *c, struct str key)
{
    struct store_node node;
    struct str match;
    bool linked = false;

    if (key.n != 9) {
        return check_wrong(c, "a namespace has no number");
    }
    int r = store_node_get(c->txn, kv_be64(key.p + 1), &node);
    if (r != 0) {
        return check_wrong(c, "the record of a namespace is damaged");
    }
    struct kv_key entry;
    kv_key_start(&entry, 'm');
    kv_key_u64(&entry, node.id);
    r = kv_get(c->txn, kv_base(c->txn, KV_TREE), &entry, &match);
    bool matches = r == 0 ? node.match.p != NULL && str_equal(match, node.match)
                          : node.match.p == NULL;
    if (!matches ||
        !(node.id == STORE_ROOT ? is_root(&node) : is_inner(c, &node)) ||
        !are_past(c, &node) || !utf8_is_valid(node.comment) ||
        (node.match.p != NULL && !is_pattern(c, node.match))) {
        return check_wrong(c, "a namespace is what none can be");
    }
    r = is_linked(c, node.id, &linked);
    c->n_nodes++;
    if (linked) {
        c->all_children += node.n_children;
    }
    return r;
}

/* The children of one parent are all there. */
static int end_children(struct check *c)
{
    struct store_node parent;
    bool linked = false;

    if (c->parent == 0) {
        return 0;
    }
    if (store_node_get(c->txn, c->parent, &parent) != 0) {
        return check_wrong(c, "a namespace lies in one that there is not");
    }
    int r = is_linked(c, c->parent, &linked);
    if (r == 0 && linked) {
        c->linked_children += c->n_children;
        if (parent.kind != STORE_BRANCH || parent.n_children != c->n_children) {
            return check_wrong(c, "a namespace has not the children it says");
        }
    }
    return r;
}

static int check_child(struct check *c, struct str key, struct str value)
{
    struct store_node node;
    uint64_t id = 0;

    if (key.n < 10 || !is_number(value, &id) ||
        store_node_get(c->txn, id, &node) != 0 ||
        node.parent != kv_be64(key.p + 1) ||
        !str_equal(node.name, (struct str){key.p + 9, key.n - 9})) {
        return check_wrong(c, "a namespace goes by another's name");
    }
    if (node.parent != c->parent) {
        int r = end_children(c);
        if (r != 0) {
            return r;
        }
        c->parent = node.parent;
        c->n_children = 0;
    }
    c->n_children++;
    return 0;
}

static int check_type(struct check *c, struct str name, struct str json)
{
    struct json_error error;
    struct row_error wrong;
    struct json *body = NULL;
    struct type *type = NULL;

    bool good = name_is_type(name) &&
                json_parse(c->arena, json, &body, &error) == 0 &&
                type_read(c->arena, name, body, &type, &wrong) == 0;
    return good ? 0 : check_wrong(c, "the definition of a type is damaged");
}

/* What waits to be freed is nobody's child any more. */
static int check_trash(struct check *c, struct str key)
{
    struct store_node node;
    uint64_t holder = 0;

    if (key.n != 9 || store_node_get(c->txn, kv_be64(key.p + 1), &node) != 0) {
        return check_wrong(c, "there is an unknown entry in the tree");
    }
    int r = store_node_child(c->txn, node.parent, node.name, &holder);
    if (node.id == STORE_ROOT || (r == 0 && holder == node.id)) {
        return check_wrong(c, "a namespace is deleted and is not");
    }
    return r < 0 ? r : 0;
}

static int check_tree(struct check *c, struct str key, struct str value)
{
    struct store_node node;
    uint64_t number = 0;
    struct str name = {key.p + 1, key.n - 1};

    switch (key.n == 0 ? 0 : key.p[0]) {
    case 'n':
        return check_node(c, key);
    case 'c':
        return check_child(c, key, value);
    case 'd':
        return check_type(c, name, value);
    case 'm':
        if (key.n == 9 &&
            store_node_get(c->txn, kv_be64(key.p + 1), &node) == 0) {
            return 0;
        }
        break;
    case 'x':
        return check_trash(c, key);
    case 'u':
        if (name_is_type(name) && is_number(value, &number) &&
            number <= meta_of(c)->revision) {
            return 0;
        }
        break;
    default:
        break;
    }
    return check_wrong(c, "there is an unknown entry in the tree");
}

/* ---- leases ---- */

static int check_lease(struct check *c, struct str hostname)
{
    struct store_lease lease, same;

    if (!name_is_host(hostname) ||
        store_lease_get(c->txn, hostname, c->arena, &lease) != 0 ||
        store_lease_find(c->txn, lease.id, c->arena, &same) != 0 ||
        !str_equal(same.hostname, hostname)) {
        return check_wrong(c, "a lease is damaged");
    }
    if (lease.ttl_ms == 0 || lease.ttl_ms > STORE_TTL_MOST_MS) {
        return check_wrong(c, "a lease has no possible time to live");
    }
    c->n_leases++;
    return 0;
}

static struct ulid ulid_at(const char *bytes)
{
    struct ulid id;

    memcpy(id.b, bytes, sizeof id.b);
    return id;
}

static bool has_lease(struct check *c, struct ulid lease)
{
    struct kv_key key;
    struct str hostname;

    kv_key_start(&key, 'i');
    kv_key_ulid(&key, lease);
    return kv_get(c->txn, kv_base(c->txn, KV_LEASES), &key, &hostname) == 0;
}

/* 'b' lease:16 ns:8 id:16 type */
static int check_binding(struct check *c, struct str key)
{
    struct ulid lease;

    if (key.n < 42 || !name_is_type((struct str){key.p + 41, key.n - 41}) ||
        store_bound_to(c->txn, kv_be64(key.p + 17),
                       (struct str){key.p + 41, key.n - 41},
                       ulid_at(key.p + 25), &lease) != 0 ||
        memcmp(lease.b, key.p + 1, sizeof lease.b) != 0 ||
        !has_lease(c, lease)) {
        return check_wrong(c, "a row is bound to a lease that knows nothing");
    }
    c->n_bound++;
    return 0;
}

/* How many entries of the table begin so, counted up to two. */
static uint64_t beginning(struct check *c, const struct kv_key *prefix)
{
    uint64_t n = 0;

    int r = kv_count(c->txn, kv_base(c->txn, KV_LEASES), prefix, 2, &n);
    return r == 0 ? n : 0;
}

/* 'r' ns:8 id:16 type. Each binding finds its own: as many of them are all. One
 * without a type has to be the only one of its namespace and id. */
static int check_way_back(struct check *c, struct str key, struct str lease)
{
    struct kv_key bindings, same;

    c->n_back++;
    if (key.n < KV_WAY_BACK || lease.n != 16) {
        return check_wrong(c, "a row's way back to its lease is damaged");
    }
    kv_key_start(&same, 'r');
    kv_key_add(&same, key.p + 1, KV_WAY_BACK - 1);
    kv_key_start(&bindings, 'b');
    kv_key_str(&bindings, lease);
    kv_key_add(&bindings, key.p + 1, KV_WAY_BACK - 1);
    if (key.n == KV_WAY_BACK &&
        (beginning(c, &same) != 1 || beginning(c, &bindings) != 1)) {
        return check_wrong(c, "a row's way back to its lease is damaged");
    }
    return 0;
}

static int check_leases(struct check *c, struct str key, struct str value)
{
    struct store_lease lease;

    switch (key.n == 0 ? 0 : key.p[0]) {
    case 'l':
        return check_lease(c, (struct str){key.p + 1, key.n - 1});
    case 'i':
        c->n_ids++;
        return key.n == 17 &&
                       store_lease_get(c->txn, value, c->arena, &lease) == 0
                   ? 0
                   : check_wrong(c, "a lease is damaged");
    case 'b':
        return check_binding(c, key);
    case 'r':
        return check_way_back(c, key, value);
    default:
        break;
    }
    return check_wrong(c, "there is an unknown entry among the leases");
}

/* ---- idempotency keys, history, names ---- */

/* The head of this room's record and that of the machine's in it. */
enum { KEY_ENDS = 8, KEY_ANSWER = 16 + 4, KEY_LEAST = 16 + 96, HASH = 32 };

/* What was answered is answered again, as it stands. */
static bool is_answer(uint32_t answer)
{
    return answer <= ERR_QUOTA && answer != ERR_RETRY;
}

static bool ends_at(struct check *c, struct str hash, uint64_t ends_ms)
{
    struct kv_key key;
    struct str value;

    kv_key_start(&key, 'k');
    kv_key_str(&key, hash);
    return kv_get(c->txn, kv_base(c->txn, KV_KEYS), &key, &value) == 0 &&
           value.n >= KEY_LEAST && kv_le64(value.p + KEY_ENDS) == ends_ms;
}

static int check_keys(struct check *c, struct str key, struct str value)
{
    if (key.n == 1 + HASH && key.p[0] == 'k' && value.n >= KEY_LEAST &&
        value.p[0] == KV_FORMAT && value.p[16] == 1 &&
        is_answer(kv_le32(value.p + KEY_ANSWER))) {
        c->n_keys++;
        return 0;
    }
    if (key.n == 9 + HASH && key.p[0] == 'e' &&
        ends_at(c, (struct str){key.p + 9, HASH}, kv_be64(key.p + 1))) {
        c->n_ends++;
        return 0;
    }
    int r = check_mark(c, key, value);
    return r != ERR_NOT_FOUND ? r
                              : check_wrong(c, "an idempotency key is damaged");
}

static int check_event(struct check *c, struct str key, struct str value)
{
    if (key.n != 8 || kv_be64(key.p) > meta_of(c)->revision ||
        !event_is_sound(c->arena, value)) {
        return check_wrong(c, "an event is damaged");
    }
    if (c->n_events == 0) {
        c->first_event = kv_be64(key.p);
    }
    c->n_events++;
    c->event_bytes += value.n;
    return 0;
}

enum { DB_ENTRIES = 32 }; /* in LMDB's record of a database: pages.c */

static int check_name(struct check *c, struct str key, struct str value)
{
    struct store_node node;
    uint64_t ns = 0;

    for (int i = 0; i < KV_N_BASES; i++) {
        if (str_is(key, kv_base_names[i])) {
            return 0;
        }
    }
    if (str_is(key, KV_INDEX_NAME) && meta_of(c)->index != STORE_INDEX_NONE) {
        return 0;
    }
    if (!kv_ns_parse(key, &ns)) {
        return check_wrong(c, "an unknown database");
    }
    int r = store_node_get(c->txn, ns, &node);
    if (r == ERR_NOT_FOUND) {
        /* It was dropped while a reader held it: its name alone is left. Else
         * what is in it would be that of a namespace to come. */
        r = kv_le64(value.p + DB_ENTRIES) == 0
                ? 0
                : check_wrong(c, "there are rows of no namespace");
    }
    return r;
}

/* ---- all ---- */

static int check_all_namespaces(struct check *c)
{
    struct kv_key from;
    struct str key, record;
    struct store_node node;
    int r = 0;

    kv_key_start(&from, 'n');
    kv_key_u64(&from, 0);
    while ((r = kv_first(c->txn, kv_base(c->txn, KV_TREE), &from, 1, true, &key,
                         &record)) == 0) {
        memcpy(from.b, key.p, key.n);
        r = store_node_get(c->txn, kv_be64(key.p + 1), &node);
        if (r == 0) {
            r = is_linked(c, node.id, &c->ns_linked);
        }
        if (r == 0) {
            r = check_namespace(c, &node);
        }
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

static int check_counts(struct check *c)
{
    const struct store_meta *meta = meta_of(c);

    if (c->n_indexed != c->n_index_keys ||
        c->n_places != (meta->index == STORE_INDEX_BUILDING)) {
        return check_wrong(c, "the index is not of the keys there are");
    }
    if (c->n_nodes != meta->n_ns || c->n_rows != meta->n_rows ||
        c->n_leases != meta->n_leases || c->n_ids != c->n_leases ||
        c->n_bound != c->n_back || c->n_bound != c->n_bound_rows ||
        c->n_keys != meta->n_keys || c->n_ends != c->n_keys ||
        c->n_due != c->n_ending || c->n_events != meta->history_n ||
        c->first_event != meta->history_first ||
        (meta->history_least_bytes > 0 &&
         c->event_bytes != meta->history_bytes) ||
        c->all_children != c->linked_children) {
        return check_wrong(c, "it has not as much in it as it says");
    }
    return 0;
}

/* JSON holds them exactly, and they can go on, also by a restore's step. */
static const uint64_t NUMBER_MOST = (UINT64_C(1) << 53) - (UINT64_C(1) << 33);

static int check_meta(struct check *c)
{
    static const uint8_t none[16];
    const struct store_meta *meta = meta_of(c);

    if (memcmp(meta->cluster, none, sizeof none) == 0) {
        return check_wrong(c, "no registry has been begun in it");
    }
    if (meta->tree_rev > meta->revision || meta->types_rev > meta->revision ||
        meta->access_rev > meta->revision || meta->revision > NUMBER_MOST ||
        meta->next_ns <= STORE_POOL || meta->next_ns > NUMBER_MOST ||
        meta->lease_epoch > NUMBER_MOST || meta->log_time_ms > NUMBER_MOST ||
        meta->index > STORE_INDEX_COMPLETE || meta->feature_level == 0) {
        return check_wrong(c, "its numbers are none that there can be");
    }
    return 0;
}

static int check_records(struct check *c)
{
    static const struct {
        enum kv_base base;
        check_func *func;
    } bases[] = {{KV_TREE, check_tree},
                 {KV_LEASES, check_leases},
                 {KV_KEYS, check_keys},
                 {KV_HISTORY, check_event}};
    int r = check_meta(c);

    for (size_t i = 0; r == 0 && i < sizeof bases / sizeof bases[0]; i++) {
        r = check_each(c, kv_base(c->txn, bases[i].base), bases[i].func);
    }
    if (r == 0) {
        r = end_children(c);
    }
    if (r == 0) {
        r = check_each(c, c->txn->gen->main, check_name);
    }
    if (r == 0) {
        r = check_index(c);
    }
    if (r == 0) {
        r = check_all_namespaces(c);
    }
    return r == 0 ? check_counts(c) : r;
}

static int take_domain(struct check *c, struct store_found *found)
{
    struct store_node root;
    bool linked = false;

    if (store_node_get(c->txn, STORE_ROOT, &root) != 0 ||
        is_linked(c, STORE_POOL, &linked) != 0 || !linked) {
        return check_wrong(c, "it has no root");
    }
    memcpy(found->domain, root.name.p, root.name.n);
    return 0;
}

static int check_open(struct check *c, struct store_found *found)
{
    int r = mdb_dbi_open(c->txn->mdb, NULL, 0, &c->txn->gen->main) == 0
                ? check_records(c)
                : check_wrong(c, "it cannot be read");

    if (r == 0) {
        r = take_domain(c, found);
    }
    if (r == 0) {
        found->meta = *meta_of(c);
        r = kv_digest(c->txn, found->digest);
    }
    return r;
}

int store_check_file(const char *file, struct store_found *ret_found)
{
    struct kv_alone alone;
    const char *why = "it holds none";
    struct check c = {.arena = arena_new()};

    memset(ret_found, 0, sizeof *ret_found);
    int r = kv_pages_check(file, &why);
    if (r == 0) {
        r = kv_alone_open(&alone, file);
        c.txn = &alone.txn;
        if (r == 0) {
            r = check_open(&c, ret_found);
            why = c.why == NULL ? "it cannot be read" : c.why;
        }
        kv_alone_close(&alone);
    }
    if (r == ERR_CORRUPT) {
        (void)snprintf(ret_found->why, sizeof ret_found->why, "%s", why);
    }
    buf_done(&c.scratch);
    arena_free(c.arena);
    return r;
}
