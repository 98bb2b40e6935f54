#include "registry/grants.h"

#include "command/command.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/condition.h"
#include "registry/nodes.h"
#include "registry/resolve.h"

/* ---- bodies ---- */

/* What every answer has besides what can be put. */
static bool is_answered(struct str key)
{
    return str_is(key, "name") || str_is(key, "rev") ||
           str_is(key, "builtin") || str_is(key, "groups");
}

static int check_member(struct op_state *s, const struct json *member,
                        const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (str_is(member->key, names[i])) {
            return 0;
        }
    }
    if (str_is(member->key, "name") &&
        (member->kind != JSON_STRING || !str_equal(member->text, s->op->id))) {
        return answer_problem(s, OP_BAD_REQUEST, STR("name"),
                              "the body is named otherwise than the path, "
                              "which says %.*s: nothing is renamed",
                              SHOW(s->op->id));
    }
    if (is_answered(member->key)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, member->key,
                          "%.*s is not known here: leave it out",
                          SHOW(member->key));
}

int grants_body(struct op_state *s, const char *const *names,
                struct json **ret_body)
{
    int r = body_parse(s, ret_body);

    if (r == 0 && (*ret_body)->kind != JSON_OBJECT) {
        r = answer_problem(s, OP_BAD_REQUEST, STR(""),
                           "the body must be a JSON object");
    }
    if (r != 0) {
        return r;
    }
    for (const struct json *m = (*ret_body)->first; r == 0 && m != NULL;
         m = m->next) {
        r = check_member(s, m, names);
    }
    return r;
}

int grants_text(struct op_state *s, const struct json *body, const char *name,
                struct str *ret_text)
{
    int r = body_text(s, body, STR(""), name, false, ret_text);

    if (r == 0 && ret_text->p == NULL) {
        *ret_text = STR("");
    }
    return r;
}

int grants_flag(struct op_state *s, const struct json *body, const char *name,
                bool *ret_flag)
{
    const struct json *member = json_get(body, name);

    *ret_flag = false;
    if (member == NULL || json_bool(member, ret_flag) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(name),
                          "%s is true or false", name);
}

int grants_names(struct op_state *s, const struct json *object,
                 struct str prefix, const char *name,
                 struct access_names *ret_names)
{
    const struct json *member = json_get(object, name);
    struct str field = body_field(s, prefix, str_of(name));
    size_t n = 0;

    *ret_names = (struct access_names){0};
    if (member == NULL) {
        return 0;
    }
    struct str *items = arena_zero(s->arena, (member->n + 1) * sizeof *items);
    for (const struct json *m = member->first; m != NULL; m = m->next) {
        if (m->kind != JSON_STRING || m->text.n == 0) {
            break;
        }
        items[n++] = m->text;
    }
    if (member->kind != JSON_ARRAY || n < member->n) {
        return answer_problem(s, OP_BAD_REQUEST, field,
                              "%.*s is an array of names, as in [\"one\"]",
                              SHOW(field));
    }
    *ret_names = (struct access_names){.items = items, .n = n};
    return 0;
}

int grants_check_ns(struct op_state *s, struct str ns, struct str field)
{
    struct str domain = str_of(core_domain(s->registry->core));

    if (ns.n == 0 || (name_is_path(ns) && nodes_below(ns, domain))) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, field,
                          "%.*s can be no namespace here: the root is %.*s",
                          SHOW(ns), SHOW(domain));
}

static int check_role(struct op_state *s, struct store_txn *txn,
                      struct str grant, struct str field)
{
    struct access_role role;
    struct str name, ns;

    if (access_grant_parse(grant, &name, &ns) != 0) {
        return answer_problem(s, OP_BAD_REQUEST, field,
                              "%.*s is no grant: write a role, or a role and "
                              "where, as in \"reader\" or "
                              "\"operator@shop.roster\"",
                              SHOW(grant));
    }
    int r = access_role_get(txn, s->arena, name, &role);
    if (r == ERR_NOT_FOUND) {
        return answer_problem(s, OP_BAD_REQUEST, field,
                              "there is no role %.*s: look at /v1/roles, or "
                              "define it first",
                              SHOW(name));
    }
    return r != 0 ? r : grants_check_ns(s, ns, field);
}

int grants_check_roles(struct op_state *s, struct store_txn *txn,
                       const struct access_names *roles)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < roles->n; i++) {
        struct str field = arena_printf(s->arena, "roles[%zu]", i);
        r = check_role(s, txn, roles->items[i], field);
    }
    return r;
}

int grants_check_name(struct op_state *s, struct str name, const char *what)
{
    if (access_is_name(name)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR(""),
                          "%.*s can be no name of a %s: write 1 to 63 letters, "
                          "digits or any of . _ - @ +, a letter or digit first",
                          SHOW(name), what);
}

struct str grants_maker(struct op_state *s)
{
    return s->who->kind == ACCESS_NODE
               ? arena_printf(s->arena, "node %.*s", SHOW(s->who->name))
               : s->who->name;
}

int grants_refuse(struct op_state *s, struct str why)
{
    return answer_problem(s, OP_BAD_REQUEST, STR(""), "%.*s", SHOW(why));
}

/* ---- writing ---- */

int grants_check_level(struct op_state *s)
{
    if (core_feature_level(s->registry->core) >= MACHINE_FEATURE_CHANGES) {
        return 0;
    }
    return answer_busy(s, "there are no tokens, roles, users and groups until "
                          "all nodes of the cluster run a release that knows "
                          "them");
}

static int refuse_condition(struct op_state *s, uint64_t rev)
{
    struct str name = s->op->id.n > 0 ? s->op->id : s->op->ns;

    s->op->answer.at_revision = rev;
    if (rev == 0) {
        return answer_problem(s, OP_PRECONDITION, STR("If-Match"),
                              "%.*s does not exist, and the condition asks for "
                              "it to",
                              SHOW(name));
    }
    return answer_problem(s, OP_PRECONDITION, STR(""),
                          "%.*s is at revision %llu, which the condition of "
                          "the request rules out: read it again and decide "
                          "anew",
                          SHOW(name), (unsigned long long)rev);
}

int grants_check_conditions(struct op_state *s, uint64_t rev)
{
    uint8_t cond = 0;
    struct str revs;
    bool holds = true;

    int r = resolve_conditions(s, &cond, &revs);
    if (r != 0) {
        return r;
    }
    if ((cond & COND_MATCH_ANY) != 0) {
        holds = rev != 0;
    } else if ((cond & COND_MATCH) != 0) {
        holds = false;
        for (size_t at = 0; at + 8 <= revs.n; at += 8) {
            holds = holds || (rev != 0 && le_get(revs.p + at, 8) == rev);
        }
    }
    if ((cond & COND_NONE_ANY) != 0 && rev != 0) {
        holds = false;
    }
    return holds ? 0 : refuse_condition(s, rev);
}

static struct command_access_item *add(struct op_state *s,
                                       struct grants_write *write)
{
    if (write->n == write->room) {
        size_t room = write->room * 2 + 4;
        struct command_access_item *items =
            arena_zero(s->arena, room * sizeof *items);
        for (size_t i = 0; i < write->n; i++) {
            items[i] = write->items[i];
        }
        write->items = items;
        write->room = room;
    }
    return &write->items[write->n++];
}

int grants_put(struct op_state *s, struct grants_write *write, char what,
               struct str name, uint64_t seen_rev, uint64_t ends_ms,
               struct buf *record)
{
    size_t n = record->n;
    struct command_access_item item = {
        .what = (uint8_t)what,
        .name = arena_str(s->arena, name),
        .seen_rev = seen_rev,
        .ends_ms = ends_ms,
        .record = arena_take(s->arena, record),
    };

    if (n > ACCESS_RECORD_MOST) {
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "%.*s would take %zu bytes, and %u is the most: "
                              "make it smaller, or divide it in two",
                              SHOW(s->op->id), n, ACCESS_RECORD_MOST);
    }
    *add(s, write) = item;
    return 0;
}

void grants_del(struct op_state *s, struct grants_write *write, char what,
                struct str name, uint64_t seen_rev)
{
    *add(s, write) = (struct command_access_item){
        .what = (uint8_t)what,
        .del = 1,
        .name = arena_str(s->arena, name),
        .seen_rev = seen_rev,
    };
}

struct grants_kept *grants_kept(struct op_state *s)
{
    if (s->memory == NULL) {
        s->memory = arena_zero(s->op->arena, sizeof(struct grants_kept));
    }
    return s->memory;
}

void grants_keep_answer(struct op_state *s, struct buf *text)
{
    grants_kept(s)->answer = arena_take(s->op->arena, text);
}

int grants_submit(struct op_state *s, const struct grants_write *write)
{
    s->command = (struct command){
        .kind = COMMAND_ACCESS,
        .access = {.items = write->items, .n_items = write->n},
    };
    return 0;
}

/* ---- answers ---- */

void grants_add_text(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "%s\"%s\":", out->n > 1 ? "," : "", name);
    json_add_string(out, value);
}

void grants_add_names(struct buf *out, const char *name,
                      const struct access_names *names)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < names->n; i++) {
        buf_add_text(out, i > 0 ? "," : "");
        json_add_string(out, names->items[i]);
    }
    buf_add_char(out, ']');
}

int grants_answer(struct op_state *s, struct buf *text, uint64_t rev)
{
    buf_printf(text, ",\"rev\":%llu}", (unsigned long long)rev);
    (void)answer_ok(s, text);
    s->op->answer.etag = rev;
    s->op->answer.passing = true;
    return 0;
}

/* What was put last is what was asked for: the rest had to go with it. */
uint64_t grants_rev_of(const struct machine_result *result)
{
    return result->detail.n < 8
               ? 0
               : le_get(result->detail.p + result->detail.n - 8, 8);
}

/* A key's first answer is given again: the request was the same, and what it
 * put is what it says. */
int grants_finish_put(struct op_state *s, struct machine_result *result)
{
    struct str kept = grants_kept(s)->answer;
    struct buf text = {0};

    if (kept.p == NULL) { /* It would be refused now, for others went on. */
        buf_add_char(&text, '{');
        grants_add_text(&text, "name", s->op->id);
    } else {
        buf_add_str(&text, kept);
    }
    (void)grants_answer(s, &text, grants_rev_of(result));
    s->op->answer.code = result->created ? OP_CREATED : OP_OK;
    return 0;
}

int grants_finish_delete(struct op_state *s, struct machine_result *result)
{
    (void)result;
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}
