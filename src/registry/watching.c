/* A stream of changes: what is wanted, and from where on. */
#include "registry/answer.h"
#include "registry/resolve.h"

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
        r = resolve_check_k(s, false);
    }
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

static int look(struct op_state *s, struct store_txn *txn, void *user)
{
    struct op_watch *watch = user;
    uint64_t id = 0;
    int r = 0;

    if (!s->op->query.has_since) {
        r = resolve_path(s, txn, watch->spec.ns, STR("ns"), &id);
    }
    watch->from = store_meta(txn)->revision;
    return r;
}

/* Who knows more than this node, which by now has all there is, knows another
 * state. */
static void begin(struct op_state *s, struct op_watch *watch)
{
    uint64_t since = s->op->query.since;

    if (s->op->query.has_since) {
        watch->reset = since > watch->from;
        watch->from = watch->reset ? watch->from : since;
    }
    s->op->answer.code = OP_OK;
    s->op->answer.watch = watch;
}

int watch_run(struct op_state *s)
{
    struct op_watch *watch = arena_zero(s->op->arena, sizeof *watch);

    int r = read_spec(s, &watch->spec);
    if (r == 0) {
        r = snapshot_run(s, look, watch);
    }
    if (r != 0) {
        return r;
    }
    begin(s, watch);
    return ANSWERED;
}
