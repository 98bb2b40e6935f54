/* Who asks, what he may, and whether he may do one thing. */
#include "registry/answer.h"
#include "registry/grants.h"
#include "registry/resolve.h"

static const char *kind_name(enum access_kind kind)
{
    static const char *const names[] = {
        [ACCESS_ANYONE] = "anyone", [ACCESS_ANONYMOUS] = "anonymous",
        [ACCESS_TOKEN] = "token",   [ACCESS_USER] = "user",
        [ACCESS_AGENT] = "agent",   [ACCESS_JOIN] = "join",
        [ACCESS_NODE] = "node",
    };

    return names[kind];
}

/* What was given to it, by name. */
struct given {
    struct access_names roles, groups, limits;
};

static int read_given(struct op_state *s, struct store_txn *txn, void *user)
{
    const struct access_who *who = s->who;
    struct given *given = user;
    struct access_token token = {.kind = ACCESS_BEARER};
    struct access_user self = {.rev = 0};
    struct ulid id;
    int r = 0;

    *given = (struct given){.groups = {0}};
    if (ulid_parse(who->id, &id) == 0) {
        r = access_token_get(txn, s->arena, id, &token);
    }
    if ((r == 0 || r == ERR_NOT_FOUND) && who->user.n > 0) {
        r = access_user_get(txn, s->arena, who->user, &self);
        given->limits = token.roles;
        token.roles = self.roles;
    }
    if (r == 0 && who->user.n > 0) {
        r = access_groups_of(txn, s->arena, who->user, &given->groups);
    }
    given->groups = grants_with(s, &given->groups, &token.groups);
    given->roles = token.roles;
    return r == ERR_NOT_FOUND ? 0 : r; /* It has gone just now. */
}

/* ---- rules ---- */

/* Rules come one for each target: those that say the same of several are
 * shown as one. */
static bool join_rules(const struct access_who *who, bool limit, size_t *at,
                       struct arena *arena, struct access_rule *ret_rule)
{
    struct access_rule rule, more;

    if (!access_rule_at(who, limit, *at, &rule)) {
        return false;
    }
    size_t end = *at + 1;
    while (access_rule_at(who, limit, end, &more) && more.verbs == rule.verbs &&
           str_equal(more.ns, rule.ns)) {
        end++;
    }
    struct str *targets = arena_alloc(arena, (end - *at) * sizeof *targets);
    for (size_t i = *at; i < end && access_rule_at(who, limit, i, &more); i++) {
        targets[i - *at] = more.targets.items[0];
    }
    rule.targets = (struct access_names){.items = targets, .n = end - *at};
    *at = end;
    *ret_rule = rule;
    return true;
}

static void add_rules(struct op_state *s, const char *name, bool limit,
                      struct buf *out)
{
    struct access_rule rule;
    const char *comma = "";
    size_t at = 0;

    buf_printf(out, ",\"%s\":[", name);
    while (join_rules(s->who, limit, &at, s->arena, &rule)) {
        buf_add_text(out, comma);
        roles_add_rule(out, &rule);
        comma = ",";
    }
    buf_add_char(out, ']');
}

/* ---- whether it may ---- */

struct question {
    uint8_t verbs;
    struct str target, ns;
};

static bool is_asked(const struct op_query *query)
{
    return query->verb.p != NULL || query->type.p != NULL ||
           query->ns.p != NULL;
}

static int read_question(struct op_state *s, struct question *question)
{
    const struct op_query *query = &s->op->query;

    if (query->verb.p == NULL || query->type.p == NULL) {
        return answer_problem(s, OP_BAD_REQUEST,
                              query->verb.p == NULL ? STR("verb") : STR("type"),
                              "to be told whether you may do something, say "
                              "what: verb=update&type=service, and where with "
                              "ns=");
    }
    if (access_verbs_parse(query->verb, &question->verbs) != 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR("verb"),
                              "verb is read, create, update, delete, write or "
                              "*, not %.*s",
                              SHOW(query->verb));
    }
    question->target = query->type;
    if (!access_is_target(query->type)) {
        return answer_problem(s, OP_BAD_REQUEST, STR("type"),
                              "type is that of a resource, *, @ns, @agents, "
                              "@types, @access, @cluster, @admin or @*, not "
                              "%.*s",
                              SHOW(query->type));
    }
    question->ns = query->ns.p == NULL ? str_of(core_domain(s->registry->core))
                                       : query->ns;
    return resolve_check_path(s, question->ns, "ns");
}

static bool gives(const struct access_who *who, bool limit,
                  const struct question *q, struct access_rule *ret_rule)
{
    for (size_t i = 0; access_rule_at(who, limit, i, ret_rule); i++) {
        if (access_rule_gives(ret_rule, q->verbs, q->target, q->ns)) {
            return true;
        }
    }
    return false;
}

static void add_missing(const struct access_who *who, const struct question *q,
                        struct buf *out)
{
    const char *comma = "";

    buf_add_text(out, ",\"missing\":[");
    for (unsigned verb = ACCESS_READ; verb <= ACCESS_DELETE; verb <<= 1) {
        if ((q->verbs & verb) != 0 &&
            !access_may(who, verb, q->target, q->ns)) {
            buf_printf(out, "%s\"%s on %.*s in %.*s\"", comma,
                       access_verb_name((enum access_verb)verb),
                       STR_ARG(q->target), STR_ARG(q->ns));
            comma = ",";
        }
    }
    buf_add_char(out, ']');
}

static int add_verdict(struct op_state *s, struct buf *out)
{
    const struct access_who *who = s->who;
    struct access_rule rule;
    struct question q = {0};

    int r = read_question(s, &q);
    if (r != 0) {
        return r;
    }
    bool allowed = access_may(who, q.verbs, q.target, q.ns);
    buf_printf(out, ",\"allowed\":%s", allowed ? "true" : "false");
    if (!allowed) {
        add_missing(who, &q, out);
    } else if (gives(who, false, &q, &rule)) {
        buf_add_text(out, ",\"rule\":");
        roles_add_rule(out, &rule);
    } else { /* no rule alone, or none is needed */
        buf_add_text(out, ",\"rule\":null");
    }
    return 0;
}

/* ---- */

static void add_who(struct op_state *s, const struct given *given,
                    struct buf *out)
{
    const struct access_who *who = s->who;

    buf_printf(out, "{\"access\":%s,\"kind\":\"%s\"",
               s->registry->trust.access ? "true" : "false",
               kind_name(who->kind));
    grants_add_text(out, "name", who->name);
    grants_add_text(out, "id", who->id);
    grants_add_text(out, "user", who->user);
    grants_add_text(out, "hostname", who->hostname);
    grants_add_names(out, "roles", &given->roles);
    grants_add_names(out, "groups", &given->groups);
    add_rules(s, "rules", false, out);
    if (given->limits.n > 0) {
        grants_add_names(out, "limits", &given->limits);
        add_rules(s, "limited_to", true, out);
    }
    if (who->expires_ms == 0) {
        buf_add_text(out, ",\"expires_ms\":null");
    } else {
        buf_printf(out, ",\"expires_ms\":%llu",
                   (unsigned long long)who->expires_ms);
    }
}

int whoami_get(struct op_state *s)
{
    struct given given = {.roles = {0}};
    struct buf out = {0};

    int r = snapshot_run(s, read_given, &given);
    if (r == 0) {
        add_who(s, &given, &out);
    }
    if (r == 0 && is_asked(&s->op->query)) {
        r = add_verdict(s, &out);
    }
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    buf_add_char(&out, '}');
    s->op->answer.passing = true;
    return answer_ok(s, &out);
}
