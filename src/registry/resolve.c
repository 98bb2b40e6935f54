#include "registry/resolve.h"

#include "model/name.h"
#include "registry/answer.h"
#include "registry/types_set.h"

int resolve_check_path(struct op_state *s, struct str path, const char *field)
{
    if (name_is_path(path)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(field),
                          "%.*s is no path of a namespace: write DNS labels, "
                          "the leaf first, the root last, dots between",
                          SHOW(path.n > 0 ? path : STR("\"\"")));
}

bool resolve_is_server(struct str k)
{
    return k.n > 0 && k.p[0] == '_';
}

int resolve_check_k(struct op_state *s, bool server)
{
    struct str k = s->op->query.k;

    if (!resolve_is_server(k) ||
        (server && (str_is(k, "_maintenance") || str_is(k, "_status")))) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("k"),
                          "k is a field that resources have of their own%s, "
                          "not %.*s",
                          server ? ", or _maintenance or _status" : "",
                          SHOW(k));
}

int resolve_check_type(struct op_state *s, struct str type, struct str field)
{
    if (name_is_type(type)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, field,
                          "%.*s is no name of a type: write 1 to 63 of a-z, "
                          "0-9, '_' and '-', a letter first",
                          SHOW(type.n > 0 ? type : STR("\"\"")));
}

int resolve_path(struct op_state *s, struct store_txn *txn, struct str path,
                 struct str field, uint64_t *ret_id)
{
    int r = store_path_resolve(txn, path, ret_id);

    if (r != ERR_NOT_FOUND) {
        return r;
    }
    return answer_problem(s, OP_NOT_FOUND, field,
                          "there is no namespace %.*s: look at /v1/ns for "
                          "what there is",
                          SHOW(path));
}

int resolve_target(struct op_state *s, struct str text, struct str field,
                   struct target *ret_target)
{
    struct target target = {0};

    if (ulid_parse(text, &target.id) == 0 && !ulid_is_zero(target.id)) {
        *ret_target = target;
        return 0;
    }
    if (!name_is_key(text)) {
        return answer_problem(s, OP_BAD_REQUEST, field,
                              "%.*s is neither an _id nor a primary key of 1 "
                              "to 255 bytes of UTF-8",
                              SHOW(text));
    }
    target.by_key = true;
    target.key = text;
    *ret_target = target;
    return 0;
}

int resolve_check_keyed(struct op_state *s, const struct target *target,
                        const struct type *type, struct str field)
{
    if (!target->by_key || type->key.p != NULL) {
        return 0;
    }
    return answer_problem(s, OP_NOT_FOUND, field,
                          "resources of type %.*s have no primary key: name "
                          "them by their _id",
                          SHOW(type->name));
}

int resolve_row_id(struct store_txn *txn, uint64_t ns, struct str type,
                   const struct target *target, struct ulid *ret_id)
{
    if (target->by_key) {
        return store_row_find(txn, ns, type, target->key, ret_id);
    }
    *ret_id = target->id;
    return 0;
}

static int read_list(struct op_state *s, struct store_txn *txn, void *user)
{
    struct resolved *out = user;

    int r = resolve_path(s, txn, s->op->ns, STR(""), &out->ns);
    return r != 0 ? r : types_find(s, txn, s->op->type, &out->type);
}

int resolve_list(struct op_state *s, struct resolved *ret_resolved)
{
    int r = resolve_check_path(s, s->op->ns, "");

    if (r == 0) {
        r = resolve_check_type(s, s->op->type, STR(""));
    }
    return r != 0 ? r : snapshot_run(s, read_list, ret_resolved);
}

struct str resolve_key_field(const struct type *type)
{
    return type->key.p == NULL ? STR("") : type->key;
}

static int parse_header(struct op_state *s, const char *name, struct str header,
                        bool weak_counts, struct condition *ret_condition)
{
    if (condition_parse(s->arena, header, weak_counts, ret_condition) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(name),
                          "%s must be * or entity tags in double quotes, as in "
                          "%s: \"123\"",
                          name, name);
}

static struct str revisions_of(struct op_state *s,
                               const struct condition *condition)
{
    struct buf out = {0};

    for (size_t i = 0; i < condition->n; i++) {
        buf_add_le(&out, condition->revs[i], 8);
    }
    return arena_take(s->arena, &out);
}

int resolve_conditions(struct op_state *s, uint8_t *ret_cond,
                       struct str *ret_revs)
{
    const struct op_conditions *if_ = &s->op->if_;
    struct condition match = {0}, none = {0};
    uint8_t cond = 0;

    *ret_revs = STR("");
    if (if_->if_match.p != NULL) {
        int r = parse_header(s, "If-Match", if_->if_match, false, &match);
        if (r != 0) {
            return r;
        }
        cond |= match.any ? COND_MATCH_ANY : COND_MATCH;
        *ret_revs = revisions_of(s, &match);
    }
    if (if_->if_none_match.p != NULL) {
        int r =
            parse_header(s, "If-None-Match", if_->if_none_match, true, &none);
        if (r == 0 && !none.any) {
            r = answer_problem(s, OP_BAD_REQUEST, STR("If-None-Match"),
                               "a write takes only If-None-Match: * (it must "
                               "not exist yet)");
        }
        if (r != 0) {
            return r;
        }
        cond |= COND_NONE_ANY;
    }
    *ret_cond = cond;
    return 0;
}

int resolve_lease(struct op_state *s, uint8_t *ret_has, struct ulid *ret_lease)
{
    struct str text = s->op->query.lease;

    *ret_has = text.p != NULL;
    *ret_lease = (struct ulid){{0}};
    if (text.p == NULL || ulid_parse(text, ret_lease) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("lease"),
                          "%.*s is no lease: a registration at /v1/agents "
                          "answers with one of 26 characters",
                          SHOW(text));
}

int resolve_not_modified(struct op_state *s, uint64_t etag, bool *ret_same,
                         bool *io_gzip)
{
    struct condition none = {0};
    bool forms = io_gzip != NULL && s->op->gzip;

    *ret_same = false;
    if (s->op->if_.if_none_match.p == NULL) {
        return 0;
    }
    int r =
        parse_header(s, "If-None-Match", s->op->if_.if_none_match, true, &none);
    if (r != 0) {
        return r;
    }
    bool plain = condition_has(&none, etag, false);
    bool gzip = forms && condition_has(&none, etag, true);
    *ret_same = none.any || plain || gzip;
    if (forms && plain != gzip) {
        *io_gzip = gzip;
    }
    return 0;
}
