#include "registry/audited.h"

#include "base/clock.h"
#include "base/metric.h"
#include "registry/answer.h"
#include "registry/bucket.h"
#include "registry/limit.h"

enum {
    /* Denials of who is not known: anybody can make as many as he likes, and
     * must not push out all others by it. */
    UNKNOWN_MOST = 1000,
    UNKNOWN_MS = 10000,
};

struct audited {
    struct buckets *unknown;
    _Atomic uint64_t left_out, untold;
    _Atomic uint64_t n_denied;
};

struct audited *audited_new(void)
{
    struct audited *audited = mem_zero(sizeof *audited);

    audited->unknown = buckets_new(UNKNOWN_MOST, UNKNOWN_MS, 0);
    return audited;
}

struct audited *audited_free(struct audited *audited)
{
    audited->unknown = buckets_free(audited->unknown);
    return mem_free(audited);
}

/* ---- what it was ---- */

bool audited_is_kept(const struct op *op)
{
    const struct verb *verb = &verbs[op->kind];

    if (op->kind == OP_BACKUP) {
        return !op->head;
    }
    return verb->class == WRITE || verb->class == CARE ||
           (verb->class == LOCAL && verb->keyless);
}

static bool is_denial(enum op_code code)
{
    return code == OP_UNAUTHORIZED || code == OP_FORBIDDEN ||
           code == OP_TOO_MANY;
}

static const struct {
    unsigned status;
    const char *outcome;
} codes[] = {
    [OP_OK] = {200, "ok"},
    [OP_CREATED] = {201, "ok"},
    [OP_NO_CONTENT] = {204, "ok"},
    [OP_NOT_MODIFIED] = {304, "ok"},
    [OP_BAD_REQUEST] = {400, "refused"},
    [OP_UNAUTHORIZED] = {401, "denied"},
    [OP_FORBIDDEN] = {403, "denied"},
    [OP_NOT_FOUND] = {404, "refused"},
    [OP_CONFLICT] = {409, "refused"},
    [OP_PRECONDITION] = {412, "refused"},
    [OP_TOO_LARGE] = {413, "refused"},
    [OP_UNPROCESSABLE] = {422, "refused"},
    [OP_TOO_MANY] = {429, "denied"},
    [OP_UNAVAILABLE] = {503, "failed"},
    [OP_OUTCOME_UNKNOWN] = {504, "unknown"},
    [OP_NO_SPACE] = {507, "failed"},
    [OP_QUOTA] = {507, "refused"},
    [OP_INTERNAL] = {500, "failed"},
};
_Static_assert(sizeof codes / sizeof codes[0] == OP_CODES,
               "each code has its outcome");

/* ---- who it was ---- */

static const struct access_who *who_of(const struct op *op)
{
    return op->who != NULL ? op->who : access_anyone();
}

static struct str who_text(struct arena *arena, const struct access_who *who)
{
    static const char *const kinds[] = {
        [ACCESS_ANYONE] = "",      [ACCESS_ANONYMOUS] = "",
        [ACCESS_TOKEN] = "token ", [ACCESS_USER] = "user ",
        [ACCESS_AGENT] = "agent ", [ACCESS_JOIN] = "join ",
        [ACCESS_NODE] = "node ",
    };

    return arena_printf(arena, "%s%.*s", kinds[who->kind], STR_ARG(who->name));
}

/* ---- the line ---- */

/* A new resource of one is named where it can be found. */
static struct str id_of(const struct op_state *s)
{
    const struct op *op = s->op;
    struct str made = op->answer.location;

    if (op->id.n > 0 || made.n == 0) {
        return op->id;
    }
    const char *slash = memrchr(made.p, '/', made.n);
    size_t at = slash == NULL ? 0 : (size_t)(slash - made.p) + 1;
    return (struct str){made.p + at, made.n - at};
}

/* Of a write that was done: what a read shows is not of its making. */
static uint64_t revision_of(const struct op_state *s)
{
    const struct op_answer *answer = &s->op->answer;
    bool done = answer->code < OP_BAD_REQUEST;

    return done && verbs[s->op->kind].class == WRITE ? answer->revision : 0;
}

static struct audit_line begin_line(struct op_state *s)
{
    const struct op *op = s->op;
    struct arena *arena = op->arena;
    const struct access_who *who = who_of(op);

    return (struct audit_line){
        .who = who_text(arena, who),
        .token = who->id,
        .from = op->from,
        .request = op->request,
        .op = str_of(verbs[op->kind].name),
        .ns = audited_masked(arena, op->ns),
        .type = audited_masked(arena, op->type),
        .id = audited_masked(arena, id_of(s)),
        .about = audited_masked(arena, audited_about(s)),
    };
}

/* A line that cannot be written is counted and logged by the audit; what it
 * was about has happened already. */
static void write_line(struct op_state *s, const struct audit_line *line)
{
    (void)audit_write(s->registry->trust.audit, line);
    s->audited = true;
}

static void tell_left_out(struct op_state *s)
{
    uint64_t n = atomic_exchange(&s->registry->audited->untold, 0);

    if (n > 0) {
        struct audit_line line = {
            .op = STR("denials left out"),
            .outcome = STR("denied"),
            .about =
                arena_printf(s->op->arena, "n=%llu", (unsigned long long)n),
        };
        (void)audit_write(s->registry->trust.audit, &line);
    }
}

/* Whether the denial of somebody nobody knows is one too many. */
static bool is_left_out(struct op_state *s)
{
    struct audited *audited = s->registry->audited;
    enum access_kind kind = who_of(s->op)->kind;
    struct registry_limit limit;

    if (kind != ACCESS_ANONYMOUS && kind != ACCESS_ANYONE) {
        return false;
    }
    if (buckets_take(audited->unknown, STR("all"), clock_mono_us(), &limit)) {
        tell_left_out(s);
        return false;
    }
    atomic_fetch_add(&audited->left_out, 1);
    atomic_fetch_add(&audited->untold, 1);
    return true;
}

void audited_end(struct op_state *s)
{
    const struct op_answer *answer = &s->op->answer;
    bool denied = is_denial(answer->code);

    if (answer->code == OP_UNAUTHORIZED) {
        limits_note_unknown(s->registry->limits, s->op->from, clock_mono_us());
    }
    if (denied) {
        atomic_fetch_add(&s->registry->audited->n_denied, 1);
    }
    if (s->registry->trust.audit == NULL || s->audited ||
        (!denied && !audited_is_kept(s->op)) || (denied && is_left_out(s))) {
        return;
    }
    struct audit_line line = begin_line(s);
    line.outcome = answer->outcome_unknown
                       ? STR("unknown")
                       : str_of(codes[answer->code].outcome);
    line.status = codes[answer->code].status;
    line.revision = revision_of(s);
    if (denied) {
        line.detail = audited_masked(s->op->arena, answer->detail);
    } else if (answer->replayed) {
        line.detail = STR("the same was done before, with this "
                          "Idempotency-Key: it was not done again");
    }
    write_line(s, &line);
}

/* What the log has said of it by now, if it was asked. */
static void judge(struct op_state *s, struct audit_line *line)
{
    const struct core_request *request = &s->request;
    bool known = verbs[s->op->kind].class == WRITE &&
                 s->stage == STAGE_RESULT && !s->recalls;

    if (!known || request->outcome == ERR_UNKNOWN) {
        line->outcome = STR("unknown");
    } else if (request->outcome != 0 || request->result.answer == ERR_RETRY) {
        line->outcome = STR("failed");
    } else if (request->result.answer != 0) {
        line->outcome = STR("refused");
    } else {
        line->outcome = STR("ok");
        line->revision = request->result.revision;
    }
}

void audited_given_up(struct op_state *s)
{
    bool asked = s->tries > 0 || s->memory != NULL || s->asked;

    if (s->registry->trust.audit == NULL || s->audited || s->said == OP_DONE ||
        !asked || !audited_is_kept(s->op)) {
        return;
    }
    struct audit_line line = begin_line(s);
    judge(s, &line);
    line.detail = STR("who asked was gone before the answer");
    write_line(s, &line);
}

/* ---- what nobody asked for ---- */

static void add_path(struct registry *registry, uint64_t ns_id,
                     struct buf *path)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    if (ns_id == 0 ||
        store_reader_new(core_store(registry->core), &reader) != 0) {
        return;
    }
    if (store_read_begin(reader, &txn) == 0) {
        if (store_path_of(txn, ns_id, path) != 0) {
            buf_clear(path); /* it has gone */
        }
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
}

void registry_own_act(struct registry *registry, const char *op,
                      struct str about, uint64_t ns_id, uint64_t revision)
{
    struct audit *audit = registry->trust.audit;
    struct buf who = {0}, path = {0};

    if (audit == NULL) {
        return;
    }
    buf_add_text(&who, "node ");
    buf_add_text(&who, audit_node(audit));
    add_path(registry, ns_id, &path);
    audit_post(audit, &(struct audit_line){.who = buf_str(&who),
                                           .op = str_of(op),
                                           .ns = buf_str(&path),
                                           .about = about,
                                           .outcome = STR("ok"),
                                           .revision = revision});
    buf_done(&who);
    buf_done(&path);
}

/* ---- what is told of it ---- */

static void add_member(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* GET /v1/admin/audit: of this node, whoever leads. */
int audit_get(struct op_state *s)
{
    const struct registry_trust *trust = &s->registry->trust;
    struct audit_head head = {.seq = 0};
    struct buf out = {0};

    if (trust->audit == NULL) {
        buf_add_text(&out, "{\"enabled\":false}");
        return answer_ok(s, &out);
    }
    audit_head(trust->audit, &head);
    buf_printf(&out,
               "{\"enabled\":true,\"required\":%s,\"writable\":%s,\"seq\":%llu,"
               "\"hash\":\"%s\",\"file\":\"%s\"",
               trust->audit_required ? "true" : "false",
               head.ready ? "true" : "false", (unsigned long long)head.seq,
               head.hash, head.file);
    add_member(&out, "files", head.files);
    add_member(&out, "written", head.written);
    add_member(&out, "failed", head.failed);
    add_member(&out, "left_out", atomic_load(&s->registry->audited->left_out));
    buf_add_char(&out, '}');
    return answer_ok(s, &out);
}

void audited_metrics(struct registry *registry, struct buf *out)
{
    const struct audited *audited = registry->audited;

    metric_counter(out, "roster_denials_total",
                   "Operations denied to who asked (401, 403, 429).",
                   atomic_load(&audited->n_denied));
    metric_counter(out, "roster_audit_left_out_total",
                   "Denials of unknown callers that were too many for a line "
                   "of the audit each.",
                   atomic_load(&audited->left_out));
    audit_metrics(registry->trust.audit, out);
}
