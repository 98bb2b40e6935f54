/* Roles: names for what may be done. The built-in ones stay as they are. */
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/grants.h"

static void add_verbs(struct buf *out, uint8_t allowed)
{
    static const enum access_verb each[] = {ACCESS_READ, ACCESS_CREATE,
                                            ACCESS_UPDATE, ACCESS_DELETE};
    const char *comma = "";

    if (allowed == ACCESS_ALL) {
        buf_add_text(out, "\"*\"");
        return;
    }
    bool writes = (allowed & ACCESS_WRITE) == ACCESS_WRITE;
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        if ((allowed & each[i]) != 0 && (each[i] == ACCESS_READ || !writes)) {
            buf_printf(out, "%s\"%s\"", comma, access_verb_name(each[i]));
            comma = ",";
        }
    }
    if (writes) {
        buf_printf(out, "%s\"write\"", comma);
    }
}

void roles_add_rule(struct buf *out, const struct access_rule *rule)
{
    buf_add_text(out, "{\"allow\":[");
    add_verbs(out, rule->verbs);
    buf_add_char(out, ']');
    grants_add_names(out, "types", &rule->targets);
    if (rule->ns.n > 0) {
        grants_add_text(out, "ns", rule->ns);
    }
    buf_add_char(out, '}');
}

/* All but its end. */
static void add_role(struct buf *out, const struct access_role *role)
{
    buf_add_text(out, "{\"name\":");
    json_add_string(out, role->name);
    buf_add_text(out, ",\"rules\":[");
    for (size_t i = 0; i < role->n_rules; i++) {
        buf_add_text(out, i > 0 ? "," : "");
        roles_add_rule(out, &role->rules[i]);
    }
    buf_printf(out, "],\"builtin\":%s",
               access_builtin(role->name) != NULL ? "true" : "false");
    grants_add_text(out, "comment", role->comment);
}

static int check_name(struct op_state *s, struct str name, const char *field)
{
    if (access_is_role(name)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(field),
                          "%.*s can be no name of a role: write 1 to 63 lower "
                          "case letters, digits or any of . _ -, a letter or "
                          "digit first",
                          SHOW(name));
}

static int refuse_missing(struct op_state *s)
{
    return answer_problem(s, OP_NOT_FOUND, STR(""), "there is no role %.*s",
                          SHOW(s->op->id));
}

/* ---- reads ---- */

static int next_role(struct op_state *s, struct store_txn *txn,
                     struct arena *arena, struct str *at, struct buf *out)
{
    struct access_role role;

    (void)s;
    int r = access_role_next(txn, arena, *at, &role);
    if (r != 0) {
        return r;
    }
    add_role(out, &role);
    buf_printf(out, ",\"rev\":%llu}", (unsigned long long)role.rev);
    *at = role.name;
    return 0;
}

int role_list(struct op_state *s)
{
    int r = s->op->query.after.p == NULL
                ? 0
                : check_name(s, s->op->query.after, "after");

    return r != 0 ? r : grants_list(s, next_role);
}

static int read_role(struct op_state *s, struct store_txn *txn, void *user)
{
    int r = access_role_get(txn, s->arena, s->op->id, user);

    return r == ERR_NOT_FOUND ? refuse_missing(s) : r;
}

int role_get(struct op_state *s)
{
    struct access_role role = {0};
    struct buf text = {0};

    int r = check_name(s, s->op->id, "");
    if (r == 0) {
        r = snapshot_run(s, read_role, &role);
    }
    if (r != 0) {
        return r;
    }
    add_role(&text, &role);
    return grants_answer(s, &text, role.rev);
}

/* ---- writes ---- */

static int refuse_builtin(struct op_state *s)
{
    return answer_problem(s, OP_CONFLICT, STR(""),
                          "the role %.*s is built in and stays as it is: "
                          "define one of another name",
                          SHOW(s->op->id));
}

static int read_verbs(struct op_state *s, const struct json *rule,
                      struct str prefix, uint8_t *ret_verbs)
{
    struct access_names words;

    *ret_verbs = 0;
    int r = grants_names(s, rule, prefix, "allow", &words);
    for (size_t i = 0; r == 0 && i < words.n; i++) {
        uint8_t word = 0;
        if (access_verbs_parse(words.items[i], &word) != 0) {
            return answer_problem(s, OP_BAD_REQUEST,
                                  body_field(s, prefix, STR("allow")),
                                  "%.*s is nothing to allow: it is read, "
                                  "create, update, delete, write or *",
                                  SHOW(words.items[i]));
        }
        *ret_verbs |= word;
    }
    return r;
}

static int read_rule(struct op_state *s, const struct json *json,
                     struct str prefix, struct access_rule *ret_rule)
{
    static const char *const names[] = {"allow", "types", "ns", NULL};
    struct access_rule rule = {0};

    int r = body_object(s, json, prefix, names);
    if (r == 0) {
        r = read_verbs(s, json, prefix, &rule.verbs);
    }
    if (r == 0) {
        r = grants_names(s, json, prefix, "types", &rule.targets);
    }
    if (r == 0) {
        r = body_text(s, json, prefix, "ns", false, &rule.ns);
    }
    if (r == 0) {
        rule.ns = rule.ns.p == NULL ? STR("") : rule.ns;
        r = grants_check_ns(s, rule.ns, body_field(s, prefix, STR("ns")));
    }
    *ret_rule = rule;
    return r;
}

static int read_rules(struct op_state *s, const struct json *body,
                      struct access_role *role)
{
    const struct json *list = json_get(body, "rules");

    if (list == NULL || list->kind != JSON_ARRAY) {
        return answer_problem(s, OP_BAD_REQUEST, STR("rules"),
                              "rules is an array, as in [{\"allow\":"
                              "[\"read\"],\"types\":[\"service\"],\"ns\":"
                              "\"shop.roster\"}]");
    }
    struct access_rule *rules =
        arena_zero(s->arena, (list->n + 1) * sizeof *rules);
    size_t n = 0;
    int r = 0;
    for (const struct json *m = list->first; r == 0 && m != NULL; m = m->next) {
        struct str prefix = arena_printf(s->arena, "rules[%zu]", n);
        r = read_rule(s, m, prefix, &rules[n++]);
    }
    role->rules = rules;
    role->n_rules = n;
    return r;
}

static int read_body(struct op_state *s, struct access_role *role)
{
    static const char *const names[] = {"rules", "comment", NULL};
    struct json *body = NULL;
    struct str why;

    role->name = s->op->id;
    int r = grants_body(s, names, &body);
    if (r == 0) {
        r = grants_text(s, body, "comment", &role->comment);
    }
    if (r == 0) {
        r = read_rules(s, body, role);
    }
    if (r == 0 && access_role_check(s->arena, role, &why) != 0) {
        r = grants_refuse(s, why);
    }
    return r;
}

/* What is given with it, to all who have it: as new as it would be. */
static int check_put(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_role *role = user;
    const struct access_made made = {
        .kind = ACCESS_TOKEN, .rules = role->rules, .n_rules = role->n_rules};
    struct access_role old = {0};

    int r = access_role_get(txn, s->arena, role->name, &old);
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    role->rev = r == 0 ? old.rev : 0;
    r = grants_check_conditions(s, role->rev);
    return r != 0 ? r : grants_cover(s, txn, &made);
}

static int begin_write(struct op_state *s)
{
    int r = grants_check_level(s);

    if (r == 0) {
        r = check_name(s, s->op->id, "");
    }
    if (r == 0 && access_builtin(s->op->id) != NULL) {
        r = refuse_builtin(s);
    }
    return r;
}

int role_put(struct op_state *s)
{
    struct access_role role = {0};
    struct grants_write write = {0};
    struct buf record = {0}, text = {0};

    int r = begin_write(s);
    if (r == 0) {
        r = read_body(s, &role);
    }
    if (r == 0) {
        r = snapshot_run(s, check_put, &role);
    }
    if (r != 0) {
        return r;
    }
    access_role_encode(&record, &role);
    r = grants_put(s, &write, STORE_MARK_ROLE, role.name, role.rev, 0, &record);
    if (r != 0) {
        return r;
    }
    add_role(&text, &role);
    grants_keep_answer(s, &text);
    return grants_submit(s, &write);
}

static int check_delete(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_role *role = user;

    int r = access_role_get(txn, s->arena, s->op->id, role);
    if (r == ERR_NOT_FOUND) {
        return refuse_missing(s);
    }
    return r != 0 ? r : grants_check_conditions(s, role->rev);
}

/* Who has it keeps its name, which gives nothing any more. */
int role_delete(struct op_state *s)
{
    struct access_role role = {0};
    struct grants_write write = {0};

    int r = begin_write(s);
    if (r == 0) {
        r = snapshot_run(s, check_delete, &role);
    }
    if (r != 0) {
        return r;
    }
    grants_del(s, &write, STORE_MARK_ROLE, s->op->id, role.rev);
    return grants_submit(s, &write);
}
