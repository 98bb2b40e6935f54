/* The rows of a file that somebody else wrote. What renders, merges and
 * searches rows trusts their form: here it is made sure of. */
#include <string.h>

#include "model/json.h"
#include "model/name.h"
#include "model/row.h"
#include "store/check.h"

/* The type in a key: kind, type, 0, then what is given back. */
static bool split(struct str key, struct str *ret_type, struct str *ret_rest)
{
    const char *end = key.n < 2 ? NULL : memchr(key.p + 1, 0, key.n - 1);

    if (end == NULL) {
        return false;
    }
    *ret_type = (struct str){key.p + 1, (size_t)(end - key.p) - 1};
    *ret_rest = (struct str){end + 1, key.n - ret_type->n - 2};
    return name_is_type(*ret_type);
}

static struct kv_key key_like(char kind, struct str type, struct str rest)
{
    struct kv_key key;

    kv_key_start(&key, kind);
    kv_key_str(&key, type);
    kv_key_add(&key, "", 1);
    kv_key_str(&key, rest);
    return key;
}

static bool is_there(struct check *c, const struct kv_key *key)
{
    struct str value;
    return kv_get(c->txn, c->dbi, key, &value) == 0;
}

/* Bindings name a row each: who finds as many from the rows has found all. */
static void note_bound(struct check *c, struct str type, struct ulid id)
{
    struct kv_key binding;
    struct ulid lease;
    struct str value;

    if (c->n_bound == 0 ||
        store_bound_to(c->txn, c->ns, type, id, &lease) != 0) {
        return;
    }
    kv_key_start(&binding, 'b');
    kv_key_ulid(&binding, lease);
    kv_key_u64(&binding, c->ns);
    kv_key_ulid(&binding, id);
    kv_key_str(&binding, type);
    if (kv_get(c->txn, kv_base(c->txn, KV_LEASES), &binding, &value) == 0) {
        c->n_bound_rows++;
    }
}

static int check_row(struct check *c, struct str type, struct str rest,
                     struct str value)
{
    struct row_input input;
    uint64_t revision = 0;

    if (value.n > ROW_BYTES_MAX ||
        !row_is_sound(c->arena, value, &input, &revision) || rest.n != 16 ||
        memcmp(input.id.b, rest.p, 16) != 0 || revision == 0 ||
        revision > c->txn->meta.revision) {
        return check_wrong(c, "a resource is damaged");
    }
    note_bound(c, type, input.id);
    c->ns_rows++;
    return 0;
}

static int check_secret(struct check *c, struct str type, struct str rest,
                        struct str value)
{
    struct json *object = NULL;
    struct json_error error;
    struct row_error wrong;
    struct row_input input;
    struct kv_key row = key_like('r', type, rest);

    buf_clear(&c->scratch);
    buf_add_char(&c->scratch, '{');
    buf_add_str(&c->scratch, value);
    buf_add_char(&c->scratch, '}');
    if (rest.n != 16 || !is_there(c, &row) ||
        json_parse(c->arena, buf_str(&c->scratch), &object, &error) != 0 ||
        row_read(c->arena, object, false, &input, &wrong) != 0 ||
        !str_equal(input.fields, value)) {
        return check_wrong(c, "secret fields are damaged");
    }
    return 0;
}

/* An entry of the index, or how far that is. Whether each is of a key is
 * counted from the keys. */
static int check_indexed(struct check *c, struct str key, struct str value)
{
    const struct store_meta *meta = &c->txn->meta;
    struct store_index_place place;

    if (key.n > 1) {
        c->n_indexed++;
        return value.n == 0 ? 0 : check_wrong(c, "the index is damaged");
    }
    c->n_places++;
    if (!kv_index_place(value, &place) || place.until > meta->next_ns ||
        place.ns == 0 || place.ns > place.until) {
        return check_wrong(c, "the index is damaged");
    }
    return 0;
}

int check_index(struct check *c)
{
    if (c->txn->meta.index == STORE_INDEX_NONE) {
        return 0;
    }
    return mdb_dbi_open(c->txn->mdb, KV_INDEX_NAME, 0, &c->index) == 0
               ? check_each(c, c->index, check_indexed)
               : check_wrong(c, "the index is missing");
}

/* Each key is found in the index: as many entries as are found are all. While a
 * namespace is freed its keys may be missing there. */
static int note_indexed(struct check *c, struct str type, struct str rest)
{
    struct kv_key entry = key_like('k', type, rest);

    if (c->txn->meta.index == STORE_INDEX_NONE) {
        return 0;
    }
    if (kv_index_has(c->txn, c->index, c->ns, &entry)) {
        c->n_index_keys++;
        return 0;
    }
    return c->txn->meta.index == STORE_INDEX_COMPLETE && c->ns_linked
               ? check_wrong(c, "a primary key is missing in the index")
               : 0;
}

static int check_key(struct check *c, struct str type, struct str rest,
                     struct str value)
{
    bool good = rest.n > 0 && rest.n <= NAME_KEY_MAX && value.n == 16;

    /* While a namespace is freed its keys stay for the end. */
    if (good && c->ns_linked) {
        struct kv_key row = key_like('r', type, value);
        good = is_there(c, &row);
    }
    if (!good) {
        return check_wrong(c, "a primary key is nobody's");
    }
    c->ns_keyed++;
    return note_indexed(c, type, rest);
}

/* How many rows there are of a type, by their keys. */
static int count_rows(struct check *c, struct str type, uint64_t *ret_n)
{
    struct kv_key prefix = key_like('r', type, STR(""));
    return kv_count(c->txn, c->dbi, &prefix, UINT64_MAX, ret_n);
}

static int check_list(struct check *c, struct str key)
{
    struct str type = {key.p + 1, key.n - 1};
    struct kv_key entry;
    struct str record;
    uint64_t n = 0;

    kv_key_start(&entry, 'l');
    kv_key_str(&entry, type);
    if (!name_is_type(type) || kv_get(c->txn, c->dbi, &entry, &record) != 0 ||
        record.n != 24 || record.p[0] != KV_FORMAT ||
        count_rows(c, type, &n) != 0 || kv_le64(record.p + 8) != n ||
        kv_le64(record.p + 16) > c->txn->meta.revision) {
        return check_wrong(c, "a list has not the rows it says");
    }
    c->ns_said += n;
    return 0;
}

static int check_entry(struct check *c, struct str key, struct str value)
{
    struct str type, rest;
    int kind = key.n == 0 ? 0 : key.p[0];

    if (kind == 'l') {
        return check_list(c, key);
    }
    if (!split(key, &type, &rest)) {
        return check_wrong(c, "there is an unknown entry among the rows");
    }
    switch (kind) {
    case 'r':
        return check_row(c, type, rest, value);
    case 's':
        return check_secret(c, type, rest, value);
    case 'k':
        return check_key(c, type, rest, value);
    default:
        return check_wrong(c, "there is an unknown entry among the rows");
    }
}

int check_namespace(struct check *c, const struct store_node *node)
{
    char name[KV_NS_NAME];
    uint64_t n_said = node->n_rows;
    int r = 0;

    c->ns = node->id;
    c->ns_rows = c->ns_said = c->ns_keyed = 0;
    kv_ns_name(node->id, name);
    int rc = mdb_dbi_open(c->txn->mdb, name, 0, &c->dbi);
    if (rc == 0) {
        r = check_each(c, c->dbi, check_entry);
        mdb_dbi_close(c->txn->gen->env, c->dbi);
    } else if (rc != MDB_NOTFOUND) {
        return kv_fault(c->txn->store, c->txn, rc);
    }
    if (r == 0 && (c->ns_rows != n_said || c->ns_said != n_said ||
                   (c->ns_linked && c->ns_keyed > n_said))) {
        return check_wrong(c, "a namespace has not the rows it says");
    }
    c->n_rows += c->ns_rows;
    return r;
}
