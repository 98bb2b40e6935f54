#include "registry/permit.h"

#include <stdio.h>

#include "registry/answer.h"
#include "registry/callers.h"

static struct str root_of(const struct op_state *s)
{
    return str_of(core_domain(s->registry->core));
}

static bool may_all_do_all(const struct op_state *s)
{
    return s->who->kind == ACCESS_ANYONE;
}

/* ---- who asks ---- */

/* Nobody is let in because a mouth forgot to ask who he is. */
int permit_caller(struct op_state *s)
{
    struct access_who *who = s->op->who;

    s->held = access_unref(s->held);
    if (!s->registry->trust.access) {
        s->who = access_anyone();
        return 0;
    }
    if (who == NULL || who->kind == ACCESS_ANYONE) {
        s->who = access_anonymous();
        return 0;
    }
    if (registry_who_stands(s->registry, who)) {
        s->who = s->held = access_ref(who);
        return 0;
    }
    int r = callers_again(s->reader, who, &s->held);
    s->who = r == 0 ? s->held : access_anonymous();
    return r == ERR_NOT_FOUND ? 0 : r;
}

void permit_end(struct op_state *s)
{
    s->held = access_unref(s->held);
}

/* Whom a token of this node's own makes known is known whatever the state says.
 */
void permit_stamp(struct op_state *s)
{
    bool counts =
        !may_all_do_all(s) && s->who->kind != ACCESS_ANONYMOUS &&
        !callers_is_own(s->who) &&
        core_feature_level(s->registry->core) >= MACHINE_FEATURE_CHANGES;

    if (counts) {
        s->command.has_access = true;
        s->command.access_rev = s->who->access_rev;
    }
}

/* ---- no ---- */

static struct str name_of(struct op_state *s)
{
    static const char *const kinds[] = {
        [ACCESS_ANYONE] = "",      [ACCESS_ANONYMOUS] = "",
        [ACCESS_TOKEN] = "token ", [ACCESS_USER] = "user ",
        [ACCESS_AGENT] = "agent ", [ACCESS_JOIN] = "join token ",
        [ACCESS_NODE] = "node ",
    };

    return arena_printf(s->op->arena, "%s%.*s", kinds[s->who->kind],
                        SHOW(s->who->name));
}

/* Known to nobody. A node whose state is not there yet knows nobody. */
static int refuse_unknown(struct op_state *s)
{
    if (!core_status(s->registry->core).caught_up) {
        return answer_busy(s, "this node has not caught up since it started, "
                              "and does not know who may do what");
    }
    return answer_problem(
        s, OP_UNAUTHORIZED, STR(""),
        "this is not for everybody, and nobody is known by what the request "
        "shows: send Authorization: Bearer TOKEN (`roster login` gets one), or "
        "use a client certificate. A token that is sent already has expired, "
        "was deleted, or is of another registry");
}

int permit_refuse(struct op_state *s, struct str ns, const char *format, ...)
{
    char what[700];
    va_list args;

    s->asked_permit = true;
    if (s->who->kind == ACCESS_ANONYMOUS) {
        return refuse_unknown(s);
    }
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)answer_problem(s, OP_FORBIDDEN, STR(""), "%.*s may not %s",
                         STR_ARG(name_of(s)), what);
    s->op->answer.ns = arena_str(s->op->arena, ns);
    return ANSWERED;
}

/* "create and update", of what is missing. */
static struct str verbs_text(struct op_state *s, unsigned wants)
{
    static const enum access_verb each[] = {ACCESS_READ, ACCESS_CREATE,
                                            ACCESS_UPDATE, ACCESS_DELETE};
    struct buf out = {0};

    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        unsigned after = wants & ~(2 * (unsigned)each[i] - 1);
        if ((wants & each[i]) == 0) {
            continue;
        }
        buf_add_text(&out, access_verb_name(each[i]));
        wants = after;
        buf_add_text(&out, after == 0                   ? ""
                           : (after & (after - 1)) != 0 ? ", "
                                                        : " and ");
    }
    return arena_take(s->op->arena, &out);
}

static int refuse(struct op_state *s, unsigned wants, struct str target,
                  struct str ns)
{
    struct str text = verbs_text(s, wants);

    return permit_refuse(
        s, ns, "%.*s %.*s in %.*s: it needs %.*s on %.*s there", STR_ARG(text),
        SHOW(target), SHOW(ns), STR_ARG(text), SHOW(target));
}

/* ---- questions ---- */

int permit_known(struct op_state *s)
{
    s->asked_permit = true;
    return s->who->kind == ACCESS_ANONYMOUS ? refuse_unknown(s) : 0;
}

/* Whoever writes where a webhook sends things to is told all that it tells. */
static int permit_hook(struct op_state *s, struct str ns)
{
    if (access_may_all(s->who, ACCESS_READ, ns)) {
        return 0;
    }
    return permit_refuse(s, ns,
                         "write a webhook in %.*s: it is told all that happens "
                         "there and below, so it needs read on * and @ns there",
                         SHOW(ns));
}

int permit(struct op_state *s, unsigned wants, struct str target, struct str ns)
{
    unsigned missing = 0;

    s->asked_permit = true;
    if (may_all_do_all(s)) {
        return 0;
    }
    if (access_may(s->who, wants, target, ns)) {
        bool hook = str_is(target, "webhook") &&
                    (wants & (ACCESS_CREATE | ACCESS_UPDATE)) != 0;
        return hook ? permit_hook(s, ns) : 0;
    }
    for (unsigned verb = ACCESS_READ; verb <= ACCESS_DELETE; verb *= 2) {
        if ((wants & verb) != 0 && !access_may(s->who, verb, target, ns)) {
            missing |= verb;
        }
    }
    return refuse(s, missing == 0 ? wants : missing, target, ns);
}

int permit_root(struct op_state *s, unsigned wants, const char *target)
{
    return permit(s, wants, str_of(target), root_of(s));
}

int permit_all(struct op_state *s, unsigned wants, struct str ns)
{
    s->asked_permit = true;
    if (may_all_do_all(s) || access_may_all(s->who, wants, ns)) {
        return 0;
    }
    struct str text = verbs_text(s, wants);
    return permit_refuse(s, ns,
                         "%.*s all there is in %.*s: it needs %.*s on * and "
                         "@ns there",
                         STR_ARG(text), SHOW(ns), STR_ARG(text));
}

/* What is given to an agent's role is given of itself. */
int permit_agent(struct op_state *s, unsigned wants, struct str hostname,
                 bool own)
{
    struct str bound = permit_bound(s);

    s->asked_permit = true;
    if (s->who->kind == ACCESS_JOIN) {
        return permit_refuse(s, root_of(s),
                             "do anything with agents but register one: it is "
                             "bound to no hostname yet");
    }
    if (bound.n > 0 && !str_equal(bound, hostname)) {
        return permit_refuse(
            s, root_of(s), "%.*s %.*s: it is bound to the hostname %.*s",
            STR_ARG(verbs_text(s, wants)), SHOW(hostname), SHOW(bound));
    }
    return bound.n > 0 && own ? 0 : permit_root(s, wants, ACCESS_AGENTS);
}

static int permit_some(struct op_state *s, struct str ns)
{
    s->asked_permit = true;
    if (permit_sees_path(s, ns)) {
        return 0;
    }
    return permit_refuse(s, ns,
                         "read anything in %.*s: it needs read on something "
                         "there or below",
                         SHOW(ns));
}

/* ---- what is shown ---- */

bool permit_sees_all(const struct op_state *s, struct str ns)
{
    return may_all_do_all(s) || access_may_all(s->who, ACCESS_READ, ns);
}

bool permit_sees(const struct op_state *s, struct str target, struct str ns)
{
    return may_all_do_all(s) || access_may(s->who, ACCESS_READ, target, ns);
}

bool permit_sees_path(const struct op_state *s, struct str ns)
{
    return may_all_do_all(s) || access_may_below(s->who, ACCESS_READ, ns);
}

struct str permit_bound(const struct op_state *s)
{
    return s->who->kind == ACCESS_AGENT ? s->who->hostname : STR("");
}

/* ---- the op ---- */

static int permit_rows(struct op_state *s, const struct need *need)
{
    bool may = may_all_do_all(s) ||
               access_may(s->who, need->verbs, s->op->type, s->op->ns);

    s->guard = (struct guard){0};
    if (!may && permit_bound(s).n > 0) {
        int r = bound_permit(s);
        if (r != ERR_NOT_FOUND) {
            s->asked_permit = true;
            return r;
        }
    }
    return permit(s, need->verbs, s->op->type, s->op->ns);
}

/* A tree begins at its root, a search and a watch where they are told. */
static struct str top_of(const struct op_state *s)
{
    return s->op->kind == OP_NS_GET    ? s->op->ns
           : s->op->query.ns.p != NULL ? s->op->query.ns
                                       : root_of(s);
}

static int ask_table(struct op_state *s, const struct need *need)
{
    switch (need->how) {
    case NEED_OPEN:
        s->asked_permit = true;
        return 0;
    case NEED_KNOWN:
        return permit_known(s);
    case NEED_ROOT:
        return permit_root(s, need->verbs, need->target);
    case NEED_NS:
        return permit(s, need->verbs,
                      str_of(need->target == NULL ? ACCESS_NS : need->target),
                      s->op->ns);
    case NEED_ROWS:
        return permit_rows(s, need);
    case NEED_AGENT:
        return permit_agent(s, need->verbs, s->op->id, need->own);
    case NEED_SOME:
        return permit_some(s, top_of(s));
    case NEED_ITSELF: /* Of nobody it asks nothing. */
        return s->who->kind == ACCESS_ANONYMOUS ? refuse_unknown(s) : 0;
    case NEED_UNSAID:
        break;
    }
    return permit_refuse(s, root_of(s), "do that: nothing says what it needs");
}

int permit_op(struct op_state *s)
{
    if (s->op->kind == OP_METRICS && s->registry->trust.metrics_open) {
        s->asked_permit = true;
        return 0;
    }
    return ask_table(s, &needs[s->op->kind]);
}

int permit_again(struct op_state *s)
{
    s->asked_permit = false;
    int r = permit_caller(s);
    return r != 0 ? r : permit_op(s);
}

bool permit_was_asked(const struct op_state *s)
{
    return s->asked_permit;
}

bool registry_may_begin(const struct registry *registry, const struct op *op)
{
    const struct need *need = &needs[op->kind];
    const struct access_who *who = op->who;

    if (!registry->trust.access || need->how == NEED_OPEN) {
        return true;
    }
    if (who == NULL || who->kind == ACCESS_ANONYMOUS) {
        return false;
    }
    return need->how != NEED_ROOT ||
           access_may(who, need->verbs, str_of(need->target),
                      str_of(core_domain(registry->core)));
}

/* Who is known may have been given more than this node has heard of yet. Who is
 * not costs no fence. */
bool permit_may_be_old(const struct op_state *s)
{
    return s->op->answer.code == OP_FORBIDDEN;
}

/* The text is the mouth's to make: it has numbers of its own. */
int permit_metrics(struct op_state *s)
{
    s->op->answer.code = OP_OK;
    return 0;
}
