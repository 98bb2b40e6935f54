/* Several writes as one. */
#include "model/json.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/types_set.h"

enum { TXN_MOST = 1000 };

/* One member of "if" or "do" while it is made into the command's. */
struct part {
    const struct json *json;
    struct str prefix; /* "do[2]" */
    struct str ns, type;
    struct target target;
    bool has_target;
    uint64_t ns_id;
    const struct type *rules;
    bool held; /* the key of `target` is, and the resource brings an `_id` */
    struct ulid holder;
};

struct request {
    struct part *ifs, *ops;
    size_t n_ifs, n_ops;
};

static struct str field_of(struct op_state *s, const struct part *part,
                           const char *name)
{
    return body_field(s, part->prefix, str_of(name));
}

/* ---- what was asked for ---- */

static int read_names(struct op_state *s, struct part *part, bool needs_id)
{
    struct str ns_field = field_of(s, part, "ns");
    struct str id;

    int r = body_text(s, part->json, part->prefix, "ns", true, &part->ns);
    if (r == 0) {
        r = resolve_check_path(s, part->ns, arena_text(s->arena, ns_field));
    }
    if (r == 0) {
        r = body_text(s, part->json, part->prefix, "type", true, &part->type);
    }
    if (r == 0) {
        r = resolve_check_type(s, part->type, field_of(s, part, "type"));
    }
    if (r == 0) {
        r = body_text(s, part->json, part->prefix, "id", needs_id, &id);
    }
    if (r != 0 || id.p == NULL) {
        return r;
    }
    part->has_target = true;
    return resolve_target(s, id, field_of(s, part, "id"), &part->target);
}

/* The members of an array, each with its place for problems. */
static int read_array(struct op_state *s, const struct json *body,
                      const char *name, struct part **ret_parts, size_t *ret_n)
{
    const struct json *array = json_get(body, name);
    size_t i = 0;

    *ret_parts = NULL;
    *ret_n = 0;
    if (array == NULL) {
        return 0;
    }
    if (array->kind != JSON_ARRAY || array->n > TXN_MOST) {
        return answer_problem(s, OP_BAD_REQUEST, str_of(name),
                              "%s must be an array of at most %d", name,
                              TXN_MOST);
    }
    struct part *parts = arena_zero(s->arena, (array->n + 1) * sizeof *parts);
    for (const struct json *m = array->first; m != NULL; m = m->next, i++) {
        parts[i].json = m;
        parts[i].prefix = arena_printf(s->arena, "%s[%zu]", name, i);
    }
    *ret_parts = parts;
    *ret_n = array->n;
    return 0;
}

static int read_if(struct op_state *s, struct part *part,
                   struct command_txn_if *ret_if)
{
    static const char *const names[] = {"ns", "type", "id", "rev", NULL};

    int r = body_object(s, part->json, part->prefix, names);
    if (r == 0) {
        r = read_names(s, part, true);
    }
    if (r != 0) {
        return r;
    }
    const struct json *rev = json_get(part->json, "rev");
    if (rev == NULL || json_u64(rev, &ret_if->rev) != 0) {
        return answer_problem(s, OP_BAD_REQUEST, field_of(s, part, "rev"),
                              "rev must be the _rev the resource has to be at, "
                              "0: it must not exist");
    }
    ret_if->type = part->type;
    ret_if->by_key = part->target.by_key;
    ret_if->id = part->target.id;
    ret_if->key = part->target.key;
    return 0;
}

static int read_verb(struct op_state *s, const struct part *part,
                     uint8_t *ret_op)
{
    struct str op;

    int r = body_text(s, part->json, part->prefix, "op", true, &op);
    if (r != 0) {
        return r;
    }
    *ret_op = str_is(op, "put")      ? ROW_REPLACE
              : str_is(op, "patch")  ? ROW_PATCH
              : str_is(op, "delete") ? TXN_DELETE
                                     : 0;
    if (*ret_op != 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, field_of(s, part, "op"),
                          "op is put, patch or delete, not %.*s", SHOW(op));
}

static int check_resource(struct op_state *s, const struct part *part,
                          bool deletes)
{
    const struct json *resource = json_get(part->json, "resource");

    if ((resource == NULL) == deletes) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, field_of(s, part, "resource"),
                          deletes ? "a delete takes no resource"
                                  : "a put or patch needs a resource");
}

static int read_op(struct op_state *s, struct part *part,
                   struct command_txn_op *ret_op)
{
    static const char *const names[] = {"op", "ns",       "type",
                                        "id", "resource", NULL};

    int r = body_object(s, part->json, part->prefix, names);
    if (r == 0) {
        r = read_verb(s, part, &ret_op->op);
    }
    if (r == 0) {
        r = read_names(s, part, ret_op->op != ROW_REPLACE);
    }
    return r != 0 ? r : check_resource(s, part, ret_op->op == TXN_DELETE);
}

static int read_request(struct op_state *s, struct request *request,
                        struct command_txn *txn)
{
    static const char *const names[] = {"if", "do", NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = read_array(s, body, "if", &request->ifs, &request->n_ifs);
    }
    if (r == 0) {
        r = read_array(s, body, "do", &request->ops, &request->n_ops);
    }
    if (r == 0 && request->n_ops == 0) {
        r = answer_problem(s, OP_BAD_REQUEST, STR("do"),
                           "do must hold 1 to %d operations", TXN_MOST);
    }
    if (r != 0) {
        return r;
    }
    txn->n_ifs = request->n_ifs;
    txn->n_ops = request->n_ops;
    txn->ifs = arena_zero(s->arena, (txn->n_ifs + 1) * sizeof *txn->ifs);
    txn->ops = arena_zero(s->arena, (txn->n_ops + 1) * sizeof *txn->ops);
    for (size_t i = 0; r == 0 && i < txn->n_ifs; i++) {
        r = read_if(s, &request->ifs[i], &txn->ifs[i]);
    }
    for (size_t i = 0; r == 0 && i < txn->n_ops; i++) {
        r = read_op(s, &request->ops[i], &txn->ops[i]);
    }
    return r;
}

/* ---- whether he may ---- */

/* A put makes what is not there and changes what is; without anything to find a
 * resource by it only makes one. */
static unsigned verbs_of(const struct part *part,
                         const struct command_txn_op *op)
{
    const struct json *resource = json_get(part->json, "resource");

    if (op->op == TXN_DELETE) {
        return ACCESS_DELETE;
    }
    if (op->op == ROW_PATCH) {
        return ACCESS_UPDATE;
    }
    return part->has_target || json_get(resource, "_id") != NULL
               ? ACCESS_CREATE | ACCESS_UPDATE
               : ACCESS_CREATE;
}

/* A condition tells at which revision a resource is. */
static int permit_all_of_it(struct op_state *s, const struct request *request,
                            const struct command_txn *txn)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < request->n_ifs; i++) {
        const struct part *part = &request->ifs[i];
        r = permit(s, ACCESS_READ, part->type, part->ns);
        if (r != 0) {
            answer_extra(s, "condition", i);
        }
    }
    for (size_t i = 0; r == 0 && i < request->n_ops; i++) {
        const struct part *part = &request->ops[i];
        r = permit(s, verbs_of(part, &txn->ops[i]), part->type, part->ns);
        if (r != 0) {
            answer_extra(s, "operation", i);
        }
    }
    return r;
}

/* ---- what it means ---- */

/* An `_id` that is sent back has to be that of the key's holder. */
static int find_holder(struct store_txn *txn, struct part *part)
{
    const struct json *resource = json_get(part->json, "resource");

    if (!part->target.by_key || resource == NULL ||
        json_get(resource, "_id") == NULL) {
        return 0;
    }
    int r = store_use(txn, part->ns_id);
    if (r == 0) {
        r = store_row_find(txn, part->ns_id, part->type, part->target.key,
                           &part->holder);
        part->held = r == 0;
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int resolve_part(struct op_state *s, struct store_txn *txn,
                        struct part *part)
{
    int r =
        resolve_path(s, txn, part->ns, field_of(s, part, "ns"), &part->ns_id);
    if (r == 0) {
        r = types_find(s, txn, part->type, &part->rules);
    }
    if (r == 0) {
        r = resolve_check_keyed(s, &part->target, part->rules,
                                field_of(s, part, "id"));
    }
    return r != 0 ? r : find_holder(txn, part);
}

static int resolve_all(struct op_state *s, struct store_txn *txn, void *user)
{
    struct request *request = user;
    int r = 0;

    for (size_t i = 0; r == 0 && i < request->n_ifs; i++) {
        r = resolve_part(s, txn, &request->ifs[i]);
    }
    for (size_t i = 0; r == 0 && i < request->n_ops; i++) {
        r = resolve_part(s, txn, &request->ops[i]);
    }
    return r;
}

static int check_target(struct op_state *s, struct part *part,
                        const struct body_row *row)
{
    struct ulid sent = row->input.id;
    struct str prefix = field_of(s, part, "resource");

    if (!part->has_target || ulid_is_zero(sent)) {
        return 0;
    }
    struct ulid id = part->target.by_key ? part->holder : part->target.id;
    if ((!part->target.by_key || part->held) && ulid_compare(sent, id) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, body_field(s, prefix, STR("_id")),
                          "_id is not what id says: leave it out, or name the "
                          "resource by it");
}

static int check_key(struct op_state *s, struct part *part,
                     const struct body_row *row)
{
    if (!part->has_target || !part->target.by_key) {
        return 0;
    }
    struct str key = type_key_of(s->arena, part->rules, row->input.fields);
    if (key.p != NULL && str_equal(key, part->target.key)) {
        return 0;
    }
    struct str prefix = field_of(s, part, "resource");
    return answer_problem(s, OP_BAD_REQUEST,
                          body_field(s, prefix, part->rules->key),
                          "the primary key in the resource is not what id "
                          "says: patch changes a key");
}

static int fill_put(struct op_state *s, struct part *part,
                    struct command_txn_op *op, struct body_row *row)
{
    /* The members are the request's own: nobody else reads them. */
    struct json *resource =
        (struct json *)(uintptr_t)json_get(part->json, "resource");
    struct str prefix = field_of(s, part, "resource");

    if (op->op == ROW_PATCH) {
        int r = body_row_patch(s, resource, part->rules, prefix, row);
        return r != 0 ? r : check_target(s, part, row);
    }
    if (part->has_target && part->target.by_key) {
        body_inject(s, resource, part->rules->key, part->target.key);
    }
    bool fresh = !part->has_target && json_get(resource, "_id") == NULL;
    int r = body_row_whole(s, resource, part->rules, fresh, prefix, row);
    if (r == 0) {
        r = check_target(s, part, row);
    }
    return r != 0 ? r : check_key(s, part, row);
}

static int fill_op(struct op_state *s, struct part *part,
                   struct command_txn_op *op)
{
    struct body_row row = {0};

    op->ns = part->ns_id;
    op->type = part->type;
    op->key_field = resolve_key_field(part->rules);
    if (op->op != TXN_DELETE) {
        int r = fill_put(s, part, op, &row);
        if (r != 0) {
            return r;
        }
    }
    op->by_key = part->target.by_key;
    op->key = part->target.key;
    /* Without an id of its own a put is of the resource it brings, or new. */
    op->id = part->has_target ? part->target.id : row.input.id;
    op->new_id = ulid_next();
    op->fields = row.open;
    op->secret = row.secret;
    return 0;
}

int txn_run(struct op_state *s)
{
    struct request *request = arena_zero(s->op->arena, sizeof *request);
    struct command_txn txn = {0};

    s->memory = request;
    int r = read_request(s, request, &txn);
    if (r == 0) {
        r = permit_all_of_it(s, request, &txn);
    }
    if (r == 0) {
        r = snapshot_run(s, resolve_all, request);
    }
    for (size_t i = 0; r == 0 && i < txn.n_ifs; i++) {
        txn.ifs[i].ns = request->ifs[i].ns_id;
    }
    for (size_t i = 0; r == 0 && i < txn.n_ops; i++) {
        r = fill_op(s, &request->ops[i], &txn.ops[i]);
    }
    if (r == 0) {
        s->command = (struct command){.kind = COMMAND_TXN,
                                      .tree_rev = s->seen.tree_rev,
                                      .types_rev = s->seen.types_rev,
                                      .txn = txn};
    }
    return r;
}

/* ---- what came of it ---- */

static void add_member(struct op_state *s, struct buf *out,
                       const struct part *part, const char *name)
{
    struct str text;

    buf_printf(out, ",\"%s\":", name);
    if (body_text(s, part->json, part->prefix, name, true, &text) == 0) {
        json_add_string(out, text);
    }
}

static void add_result(struct op_state *s, struct buf *out,
                       const struct part *part, const char *bytes)
{
    struct ulid id;
    struct str op = json_get(part->json, "op")->text;
    uint64_t revision = le_get(bytes + 16, 8);

    memcpy(id.b, bytes, sizeof id.b);
    buf_add_text(out, "{\"op\":");
    json_add_string(out, op);
    add_member(s, out, part, "ns");
    add_member(s, out, part, "type");
    buf_add_text(out, ",\"id\":");
    if (ulid_is_zero(id)) {
        buf_add_text(out, "null");
    } else {
        answer_add_ulid(out, id);
    }
    buf_add_text(out, ",\"rev\":");
    if (revision == 0) {
        buf_add_text(out, "null}");
    } else {
        buf_printf(out, "%llu}", (unsigned long long)revision);
    }
}

enum { RESULT_BYTES = 24 };

int txn_finish(struct op_state *s, struct machine_result *result)
{
    const struct request *request = s->memory;
    struct buf out = {0};
    size_t n = result->detail.n / RESULT_BYTES;

    buf_printf(&out, "{\"revision\":%llu,\"results\":[",
               (unsigned long long)result->revision);
    for (size_t i = 0; i < request->n_ops && i < n; i++) {
        buf_add_text(&out, i > 0 ? "," : "");
        add_result(s, &out, &request->ops[i],
                   result->detail.p + i * RESULT_BYTES);
    }
    buf_add_text(&out, "]}");
    return answer_ok(s, &out);
}
