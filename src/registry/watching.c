/* A stream of changes: what is wanted, and from where on. */
#include "base/clock.h"
#include "registry/answer.h"
#include "registry/resolve.h"
#include "registry/wait.h"

/* ---- what is wanted ---- */

static int check_names(struct op_state *s, const struct watch_spec *spec)
{
    int r = resolve_check_path(s, spec->ns, "ns");

    if (r == 0 && s->op->query.type.p != NULL) {
        r = resolve_check_type(s, spec->type, STR("type"));
    }
    return r;
}

static int read_mode(struct op_state *s, enum pattern_mode *ret_mode)
{
    struct str mode = s->op->query.mode;

    *ret_mode = PATTERN_EXACT;
    if (mode.p == NULL || (pattern_mode_parse(mode, ret_mode) == 0 &&
                           *ret_mode != PATTERN_REGEX)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("mode"),
                          "mode is exact, contains or prefix here, not %.*s",
                          SHOW(mode));
}

static int read_spec(struct op_state *s, struct watch_spec *spec)
{
    const struct op_query *query = &s->op->query;

    spec->ns = query->ns.p != NULL ? query->ns
                                   : str_of(core_domain(s->registry->core));
    spec->type = query->type.p == NULL ? STR("") : query->type;
    int r = check_names(s, spec);
    if (r == 0) {
        r = read_mode(s, &spec->mode);
    }
    if (r == 0 && query->initial && query->has_since) {
        r = answer_problem(s, OP_BAD_REQUEST, STR("initial"),
                           "initial begins with what is there, since goes on "
                           "from what is known already: give one of them");
    }
    spec->k = query->k.p == NULL ? STR("") : query->k;
    spec->v = query->v;
    return r;
}

/* ---- from where on ---- */

struct watching {
    struct op_watch watch;
    uint64_t until_ms; /* 0: has not waited */
    bool fenced;
};

/* He knows more than this node. That may be on its way here; behind a fence it
 * is known that it is not: then what he knows is another state's. */
static int wait_for(struct op_state *s, struct watching *watching)
{
    uint64_t now_ms = clock_mono_ms();

    if (watching->until_ms == 0) {
        watching->until_ms = now_ms + WAIT_REVISION_MS;
    }
    if (now_ms < watching->until_ms) {
        s->until_ms = watching->until_ms;
        s->op->if_.min_revision = s->op->query.since;
        return wait_revision(s);
    }
    if (!watching->fenced) {
        watching->fenced = true;
        return NEEDS_FENCE;
    }
    watching->watch.reset = true;
    return 0;
}

static int look(struct op_state *s, struct store_txn *txn, void *user)
{
    struct watching *watching = user;
    uint64_t id = 0;
    int r = 0;

    if (!s->op->query.has_since) {
        r = resolve_path(s, txn, watching->watch.spec.ns, STR("ns"), &id);
    }
    watching->watch.from = store_meta(txn)->revision;
    return r;
}

static int settle(struct op_state *s, struct watching *watching)
{
    int r = snapshot_run(s, look, watching);

    if (r != 0) {
        return r;
    }
    if (s->op->query.has_since && !watching->watch.reset) {
        watching->watch.from = s->op->query.since;
    }
    s->op->answer.code = OP_OK;
    s->op->answer.watch = &watching->watch;
    return ANSWERED;
}

int watch_run(struct op_state *s)
{
    struct watching *watching = s->memory;
    int r = 0;

    if (watching == NULL) {
        watching = arena_zero(s->op->arena, sizeof *watching);
        s->memory = watching;
        r = read_spec(s, &watching->watch.spec);
    }
    if (r == 0 && s->op->query.has_since &&
        s->op->query.since > snapshot_newest(s->registry)) {
        r = wait_for(s, watching);
    }
    return r != 0 ? r : settle(s, watching);
}
