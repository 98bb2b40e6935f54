/* Names in bodies, for the audit: which members are names is said here, for
 * each operation, and nothing else of a body is looked at. */
#include "model/json.h"
#include "registry/audited.h"

enum {
    BODY_MOST = 1 << 20, /* larger ones are not taken apart a second time */
    NAMES_MOST = 8,
    ABOUT_MOST = 16 << 10,
};

static const struct {
    enum op_kind kind;
    const char *names[NAMES_MOST];
} bodies[] = {
    {OP_NS_CREATE, {"parent", "name", "kind", "match"}},
    {OP_NS_CHANGE, {"parent", "name", "match"}},
    {OP_ROW_MOVE, {"to"}},
    {OP_ROW_COPY, {"to"}},
    {OP_ROW_MAINT, {"duration", "reason"}},
    {OP_AGENT_PUT, {"hostname", "ttl", "credential_id"}},
    {OP_AGENT_MAINT, {"duration", "reason"}},
    {OP_BREAKER_SET, {"action", "ns", "duration"}},
    {OP_CLUSTER_JOIN, {"id", "http", "raft"}},
    {OP_CLUSTER_TRANSFER, {"to"}},
    {OP_HISTORY_PUT, {"changes", "bytes"}},
    {OP_TOKEN_CREATE,
     {"kind", "name", "user", "roles", "hostname", "hosts", "reusable", "ttl"}},
    {OP_USER_PUT, {"roles", "disabled", "source"}},
    {OP_GROUP_PUT, {"roles", "members", "managers"}},
    {OP_SESSION_CREATE, {"user", "ttl"}},
};

static void add_name(struct buf *out, const char *name)
{
    if (out->n > 0) {
        buf_add_char(out, ' ');
    }
    buf_add_text(out, name);
    buf_add_char(out, '=');
}

static void add_value(struct buf *out, const struct json *value)
{
    switch (value->kind) {
    case JSON_STRING:
    case JSON_NUMBER:
        buf_add_str(out, value->text);
        break;
    case JSON_TRUE:
        buf_add_text(out, "true");
        break;
    case JSON_FALSE:
        buf_add_text(out, "false");
        break;
    case JSON_ARRAY:
        for (const struct json *m = value->first; m != NULL; m = m->next) {
            buf_add_str(out, m->text);
            buf_add_text(out, m->next != NULL ? "," : "");
        }
        break;
    case JSON_NULL:
    case JSON_OBJECT:
        break;
    }
}

static void add_names(struct buf *out, const struct json *body,
                      const char *const names[NAMES_MOST])
{
    for (size_t i = 0; i < NAMES_MOST && names[i] != NULL; i++) {
        const struct json *value = json_get(body, names[i]);
        if (value != NULL) {
            add_name(out, names[i]);
            add_value(out, value);
        }
    }
}

static void add_member(struct buf *out, const struct json *part,
                       const char *name, const char *before)
{
    const struct json *value = json_get(part, name);

    if (value != NULL && value->kind == JSON_STRING) {
        buf_add_text(out, before);
        buf_add_str(out, value->text);
    }
}

/* put web.shop.roster/service/api, delete ... */
static void add_parts(struct buf *out, const struct json *body)
{
    const struct json *parts = json_get(body, "do");
    const struct json *part =
        parts != NULL && parts->kind == JSON_ARRAY ? parts->first : NULL;

    for (; part != NULL && out->n < ABOUT_MOST; part = part->next) {
        buf_add_text(out, out->n > 0 ? ", " : "");
        add_member(out, part, "op", "");
        add_member(out, part, "ns", " ");
        add_member(out, part, "type", "/");
        add_member(out, part, "id", "/");
    }
}

static const char *const *names_of(enum op_kind kind)
{
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        if (bodies[i].kind == kind) {
            return bodies[i].names;
        }
    }
    return NULL;
}

static void add_body(struct op_state *s, struct buf *out)
{
    const char *const *names = names_of(s->op->kind);
    bool is_txn = s->op->kind == OP_TXN;
    struct json *body = NULL;
    struct json_error error;

    if ((names == NULL && !is_txn) || s->op->body.n == 0 ||
        s->op->body.n > BODY_MOST ||
        json_parse(s->op->arena, s->op->body, &body, &error) != 0) {
        return;
    }
    if (is_txn) {
        add_parts(out, body);
    } else {
        add_names(out, body, names);
    }
}

/* How many resources a write of a list had. */
static void add_count(const struct op_state *s, struct buf *out)
{
    const struct command *c = &s->command;
    size_t n = c->kind == COMMAND_ROWS_ADD   ? c->rows_add.n_rows
               : c->kind == COMMAND_LIST_PUT ? c->list_put.n_rows
                                             : 0;

    if (n > 1) {
        add_name(out, "n");
        buf_add_u64(out, n);
    }
}

/* The middle of the secret of a token is not one any more. */
struct str audited_masked(struct arena *arena, struct str text)
{
    static const char prefix[] = "rst_";
    enum { PUBLIC = sizeof prefix - 1 + 26 };
    struct buf out = {0};

    while (text.n > 0) {
        const char *at = memmem(text.p, text.n, prefix, sizeof prefix - 1);
        size_t before = at == NULL ? text.n : (size_t)(at - text.p);
        if (out.n == 0 && at == NULL) {
            return text;
        }
        size_t shown = at == NULL                 ? text.n
                       : text.n - before < PUBLIC ? text.n
                                                  : before + PUBLIC;
        buf_add(&out, text.p, shown);
        text.p += shown;
        text.n -= shown;
        if (at != NULL && text.n > 0) {
            buf_add_text(&out, "***");
            while (text.n > 0 && text.p[0] > ' ' && text.p[0] != ',') {
                text.p++;
                text.n--;
            }
        }
    }
    return arena_take(arena, &out);
}

struct str audited_about(struct op_state *s)
{
    const struct op *op = s->op;
    struct buf out = {0};

    add_body(s, &out);
    add_count(s, &out);
    if (op->query.recursive) {
        add_name(&out, "recursive");
        buf_add_text(&out, "true");
    }
    if (op->query.lease.p != NULL) {
        add_name(&out, "lease");
        buf_add_str(&out, op->query.lease);
    }
    return arena_take(op->arena, &out);
}
