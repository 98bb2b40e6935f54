#include "registry/gate.h"

#include "registry/answer.h"
#include "registry/audited.h"
#include "registry/idem.h"
#include "registry/permit.h"

static const struct verb *verb_of(const struct op_state *s)
{
    return &verbs[s->op->kind];
}

static int check_ready(struct op_state *s)
{
    struct core_status status = core_status(s->registry->core);
    enum verb_class class = verb_of(s)->class;

    if (class == VIEW) {
        return 0;
    }
    if (status.removed) {
        return answer_problem(
            s, OP_UNAVAILABLE, STR(""),
            "this node was removed from the cluster and serves nothing: ask "
            "another one. With an empty data directory it can join again");
    }
    if (class != CARE && !status.caught_up) {
        return answer_busy(s, "this node has not caught up since it started");
    }
    return 0;
}

static int check_key(struct op_state *s)
{
    struct str key = s->op->if_.idempotency_key;

    if (key.p != NULL && verb_of(s)->keyless) {
        return answer_problem(s, OP_BAD_REQUEST, STR("Idempotency-Key"),
                              "this request takes no Idempotency-Key: leave it "
                              "out, nothing was done");
    }
    if (key.p == NULL || idem_is_key(key)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("Idempotency-Key"),
                          "an Idempotency-Key is 1 to 255 visible ASCII "
                          "characters");
}

/* A condition that nobody looks at would be one that always holds. */
static int check_conditions(struct op_state *s)
{
    const struct op_conditions *if_ = &s->op->if_;
    const char *name = if_->if_match.p != NULL        ? "If-Match"
                       : if_->if_none_match.p != NULL ? "If-None-Match"
                                                      : NULL;

    if (verb_of(s)->class == READ || verb_of(s)->class == VIEW ||
        verb_of(s)->conditional || name == NULL) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(name),
                          "this request takes no %s: leave it out, nothing "
                          "was done",
                          name);
}

/* What happened could not be told: so it must not happen. */
static int check_audit(struct op_state *s)
{
    const struct registry_trust *trust = &s->registry->trust;

    if (!trust->audit_required || !audited_is_kept(s->op) ||
        audit_ready(trust->audit)) {
        return 0;
    }
    return answer_problem(s, OP_NO_SPACE, STR(""),
                          "the audit of this node cannot be written, and "
                          "nothing may happen without it (--audit-required): "
                          "nothing was done. Make room where it lies, or ask "
                          "another node");
}

int gate_check(struct op_state *s)
{
    int r = check_ready(s);

    if (r == 0) {
        r = permit_op(s);
    }
    if (r == 0) {
        r = check_conditions(s);
    }
    if (r == 0 && (verb_of(s)->class == WRITE || verb_of(s)->keyless)) {
        r = check_key(s);
    }
    return r == 0 ? check_audit(s) : r;
}

int gate_fresh(struct op_state *s)
{
    uint64_t stale_ms = core_status(s->registry->core).stale_ms;
    uint64_t most_ms = s->op->query.max_stale_ms;

    if (most_ms == UINT64_MAX || stale_ms <= most_ms) {
        return 0;
    }
    return answer_problem(s, OP_UNAVAILABLE, STR("max_stale"),
                          "this node heard from the leader up to %llu ms ago, "
                          "and max_stale is %llu ms: try again, or another "
                          "node",
                          (unsigned long long)stale_ms,
                          (unsigned long long)most_ms);
}
