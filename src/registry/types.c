/* Definitions of types: read, and put after every row was checked. */
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/types_set.h"
#include "registry/walk.h"

/* ---- reading ---- */

/* Built-in names in byte order, to be merged with the stored ones. */
static size_t sort_builtin(struct arena *arena, struct str **ret_names)
{
    const char *const *builtin = type_builtin_names();
    size_t n = 0;

    while (builtin[n] != NULL) {
        n++;
    }
    struct str *names = arena_alloc(arena, (n + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        struct str name = str_of(builtin[i]);
        for (; at > 0 && str_compare(names[at - 1], name) > 0; at--) {
            names[at] = names[at - 1];
        }
        names[at] = name;
    }
    *ret_names = names;
    return n;
}

static int read_types(struct op_state *s, struct store_txn *txn, void *user)
{
    const struct type *stored = NULL;
    struct buf *out = user;
    struct str *names = NULL;
    size_t n_stored = 0, i = 0, b = 0;

    int r = types_stored(s, txn, &stored, &n_stored);
    if (r != 0) {
        return r;
    }
    size_t n_names = sort_builtin(s->arena, &names);
    buf_add_char(out, '[');
    while (i < n_stored || b < n_names) {
        int order = i == n_stored  ? 1
                    : b == n_names ? -1
                                   : str_compare(stored[i].name, names[b]);
        buf_add_text(out, i + b > 0 ? "," : "");
        type_write(out,
                   order <= 0 ? &stored[i] : type_default(s->arena, names[b]));
        i += order <= 0;
        b += order >= 0;
    }
    buf_add_char(out, ']');
    return 0;
}

int types_list(struct op_state *s)
{
    struct buf out = {0};

    int r = snapshot_run(s, read_types, &out);
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    return answer_ok(s, &out);
}

static bool is_builtin(struct str name)
{
    const char *const *names = type_builtin_names();

    while (*names != NULL && !str_is(name, *names)) {
        names++;
    }
    return *names != NULL;
}

static int read_type(struct op_state *s, struct store_txn *txn, void *user)
{
    const struct type *type = NULL;
    struct str text;

    int r = store_type_get(txn, s->op->type, &text);
    if (r == ERR_NOT_FOUND && !is_builtin(s->op->type)) {
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "nobody defined type %.*s: it may be used all "
                              "the same, with the optional primary key name. "
                              "PUT defines it",
                              SHOW(s->op->type));
    }
    if (r < 0) {
        return r;
    }
    r = types_find(s, txn, s->op->type, &type);
    if (r == 0) {
        type_write(user, type);
    }
    return r;
}

int types_get(struct op_state *s)
{
    struct buf out = {0};

    int r = resolve_check_type(s, s->op->type, STR(""));
    if (r == 0) {
        r = snapshot_run(s, read_type, &out);
    }
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    return answer_ok(s, &out);
}

/* ---- every row of a type ---- */

/* What earlier tries have found out: rows put meanwhile make the machine say
 * RETRY, and then only the lists that changed need another look. */
struct passed {
    uint64_t types_rev;
    uint64_t revision; /* lists not changed since keep the new rules */
};

struct check {
    struct op_state *s;
    struct passed *passed;
    const struct type *old;
    const struct type *new;
    struct arena *arena; /* of one row */
    uint64_t seen_rev;
    struct store_meta first; /* of the first snapshot */
    bool begun;
    bool moved; /* the tree changed on the way: a namespace may be missing */
};

static bool same_key(const struct type *left, const struct type *right)
{
    return (left->key.p == NULL) == (right->key.p == NULL) &&
           str_equal(left->key, right->key);
}

/* Who defines a type need not see what is of it. */
static int refuse_hidden(struct check *check, struct str field)
{
    return answer_problem(check->s, OP_CONFLICT, field,
                          "resources that you may not read would break the new "
                          "rules: ask somebody who may");
}

static int refuse_row(struct check *check, const struct walk_ns *ns,
                      struct ulid id, struct str field, struct str what)
{
    char text[ULID_TEXT];

    if (!permit_sees(check->s, check->s->op->type, ns->path)) {
        return refuse_hidden(check, field);
    }
    ulid_format(id, text);
    int r = answer_problem(check->s, OP_CONFLICT, field,
                           "the resource %.26s in %.*s would break the new "
                           "rules: %.*s %.*s. Change it first",
                           text, SHOW(ns->path), SHOW(field), SHOW(what));
    check->s->op->answer.ns = arena_str(check->s->op->arena, ns->path);
    return r;
}

static bool is_secret(const struct type *type, struct str name)
{
    for (size_t i = 0; i < type->n_secret; i++) {
        if (str_equal(type->secret[i], name)) {
            return true;
        }
    }
    return false;
}

/* Rows are stored with their secrets set apart: one that lies in the open stays
 * there, whatever a definition says later, and one set apart stays hidden. So
 * a field changes sides only while no row has it. */
static int check_secrets(struct check *check, const struct walk_ns *ns,
                         struct ulid id, struct str fields)
{
    const struct type *ends[] = {check->old, check->new};

    for (size_t e = 0; e < 2; e++) {
        for (size_t i = 0; i < ends[e]->n_secret; i++) {
            struct str name = ends[e]->secret[i];
            if (is_secret(ends[1 - e], name) ||
                row_get(fields, name).p == NULL) {
                continue;
            }
            return refuse_row(check, ns, id, name,
                              e == 0 ? STR("is stored as a secret")
                                     : STR("is stored in the open"));
        }
    }
    return 0;
}

static int check_row(struct check *check, const struct walk_ns *ns,
                     struct ulid id, struct str row, struct str secret)
{
    struct row_error error;
    struct str fields;
    uint64_t revision;
    struct buf whole = {0};

    arena_reset(check->arena);
    row_split(row, &id, &revision, NULL, &fields);
    int r = check_secrets(check, ns, id, fields);
    if (r != 0) {
        return r;
    }
    row_merge(&whole, fields, secret);
    r = type_validate(check->arena, check->new,
                      arena_take(check->arena, &whole), &error);
    return r == 0 ? 0 : refuse_row(check, ns, id, error.field, error.what);
}

static int check_list(struct check *check, struct store_txn *txn,
                      const struct walk_ns *ns)
{
    struct str type = check->s->op->type;
    struct ulid id, last;
    struct str row, secret;
    const struct ulid *after = NULL;
    int r;

    while ((r = store_row_next(txn, ns->id, type, after, &id, &row)) == 0) {
        r = store_row_get(txn, ns->id, type, id, &row, &secret);
        if (r == 0) {
            r = check_row(check, ns, id, row, secret);
        }
        if (r != 0) {
            return r;
        }
        last = id;
        after = &last;
    }
    return r == ERR_END ? 0 : r;
}

static int check_ns(struct check *check, struct store_txn *txn,
                    const struct walk_ns *ns)
{
    struct str type = check->s->op->type;
    struct store_list list;

    int r = store_list_get(txn, ns->id, type, &list);
    if (r != 0 || list.count == 0 || list.revision <= check->passed->revision) {
        return r;
    }
    bool other_key = !same_key(check->old, check->new);
    if (other_key && !permit_sees(check->s, type, ns->path)) {
        return refuse_hidden(check, STR("key"));
    }
    if (other_key) {
        r = answer_problem(check->s, OP_CONFLICT, STR("key"),
                           "there are resources of type %.*s, as in %.*s: "
                           "their primary key cannot become another",
                           SHOW(type), SHOW(ns->path));
        check->s->op->answer.ns = arena_str(check->s->op->arena, ns->path);
        return r;
    }
    return check_list(check, txn, ns);
}

/* The first snapshot is what the rest is compared with: of rows put after it
 * the machine says RETRY. */
static int note_first(struct check *check, struct store_txn *txn)
{
    struct op_state *s = check->s;

    check->begun = true;
    check->first = *store_meta(txn);
    s->op->answer.revision = check->first.revision;
    if (check->passed->types_rev != check->first.types_rev) {
        *check->passed = (struct passed){check->first.types_rev, 0};
    }
    int r = types_find(s, txn, s->op->type, &check->old);
    if (r == 0) {
        r = store_type_put_rev(txn, s->op->type, &check->seen_rev);
    }
    return r;
}

static int check_chunk(struct check *check, struct store_txn *txn,
                       const struct walk *walk)
{
    int r = check->begun ? 0 : note_first(check, txn);

    check->moved = store_meta(txn)->tree_rev != check->first.tree_rev;
    for (size_t i = 0; r == 0 && i < walk->n; i++) {
        r = check_ns(check, txn, &walk->found[i]);
    }
    return r;
}

static int check_tree(struct check *check, struct walk *walk)
{
    int r;

    do {
        struct store_txn *txn = NULL;
        r = walk_next(check->s, walk, &txn);
        if (r != 0) {
            return r;
        }
        r = check_chunk(check, txn, walk);
        store_read_end(txn);
    } while (r == 0 && walk->more && !check->moved);
    return r;
}

enum { WALKS_MOST = 20 };

static int check_all(struct check *check)
{
    struct str root = str_of(core_domain(check->s->registry->core));
    struct walk *walk = mem_alloc(sizeof *walk);
    int r = 0;

    check->arena = arena_new();
    check->moved = true;
    for (int i = 0; r == 0 && check->moved && i < WALKS_MOST; i++) {
        check->begun = false;
        walk_init(walk, root, true, STR_NONE);
        r = check_tree(check, walk);
        walk_done(walk);
    }
    check->arena = arena_free(check->arena);
    (void)mem_free(walk);
    if (r == 0 && check->moved) {
        return answer_busy(check->s, "the tree changes while resources are "
                                     "being checked");
    }
    if (r == 0) {
        check->passed->revision = check->first.revision;
    }
    return r;
}

/* ---- put ---- */

/* What else in this registry leans on a type. */
static int check_leaning(struct op_state *s, const struct type *type)
{
    bool machine = str_is(type->name, "machine");

    if (machine && (type->key.p == NULL || !str_is(type->key, "hostname"))) {
        return answer_problem(s, OP_BAD_REQUEST, STR("key"),
                              "the key of machine stays hostname: agents "
                              "register under it");
    }
    return 0;
}

static int read_definition(struct op_state *s, const struct type **ret_type)
{
    struct json *json = NULL;
    struct row_error error;
    struct type *type = NULL;

    int r = resolve_check_type(s, s->op->type, STR(""));
    if (r == 0) {
        r = body_parse(s, &json);
    }
    if (r != 0) {
        return r;
    }
    if (type_read(s->arena, s->op->type, json, &type, &error) != 0) {
        return answer_problem(
            s, OP_BAD_REQUEST, error.field, "%.*s %.*s",
            SHOW(error.field.n > 0 ? error.field : STR("the definition")),
            SHOW(error.what));
    }
    *ret_type = type;
    return check_leaning(s, type);
}

int types_put(struct op_state *s)
{
    struct check check = {.s = s};
    struct buf definition = {0};

    int r = read_definition(s, &check.new);
    if (r != 0) {
        return r;
    }
    if (!s->on_worker) {
        return NEEDS_WORKER;
    }
    if (s->memory == NULL) {
        s->memory = arena_zero(s->op->arena, sizeof *check.passed);
    }
    check.passed = s->memory;
    r = check_all(&check);
    if (r != 0) {
        return r;
    }
    type_write(&definition, check.new);
    s->command = (struct command){
        .kind = COMMAND_TYPE_PUT,
        .types_rev = check.first.types_rev,
        .type_put = {.type = s->op->type,
                     .definition = arena_take(s->arena, &definition),
                     .seen_rev = check.seen_rev},
    };
    return 0;
}

int types_finish_put(struct op_state *s, struct machine_result *result)
{
    const struct type *type = NULL;
    struct buf out = {0};

    int r = read_definition(s, &type);
    if (r != 0) {
        return r;
    }
    type_write(&out, type);
    (void)answer_ok(s, &out);
    /* A built-in one was there before anybody stored it. */
    s->op->answer.code =
        result->created && !is_builtin(s->op->type) ? OP_CREATED : OP_OK;
    return 0;
}
