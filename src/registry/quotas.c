/* Quotas: how much a namespace and all below it may hold. What they refuse is
 * decided where commands are applied (machine/quotas.c). */
#include "registry/quotas.h"

#include <assert.h>

#include "base/err.h"
#include "base/metric.h"
#include "model/access_quota.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/grants.h"
#include "registry/permit.h"
#include "registry/resolve.h"

static const char *const each[] = {
    [ACCESS_RESOURCES] = "resources", [ACCESS_BYTES] = "bytes"};

/* ---- what is shown ---- */

static void add_limit(struct buf *out, const char *name,
                      const struct access_limit *limit)
{
    if (limit->warn == ACCESS_QUOTA_NONE &&
        limit->refuse == ACCESS_QUOTA_NONE) {
        return;
    }
    buf_printf(out, ",\"%s\":{", name);
    if (limit->warn != ACCESS_QUOTA_NONE) {
        buf_printf(out, "\"warn\":%llu", (unsigned long long)limit->warn);
    }
    if (limit->refuse != ACCESS_QUOTA_NONE) {
        buf_printf(out, "%s\"refuse\":%llu",
                   limit->warn != ACCESS_QUOTA_NONE ? "," : "",
                   (unsigned long long)limit->refuse);
    }
    buf_add_char(out, '}');
}

/* All but its revision and end. Of one that never was counted to the end what
 * has been counted so far is shown. */
static void add_quota(struct buf *out, struct str path,
                      const struct access_quota *quota)
{
    const uint64_t *used = quota->known ? quota->used : quota->so_far;

    buf_add_text(out, "{\"ns\":");
    json_add_string(out, path);
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        add_limit(out, each[i], &quota->limits[i]);
    }
    buf_printf(out,
               ",\"used\":{\"resources\":%llu,\"bytes\":%llu},\"state\":\"%s\","
               "\"counting\":%s",
               (unsigned long long)used[ACCESS_RESOURCES],
               (unsigned long long)used[ACCESS_BYTES],
               access_quota_state_name(access_quota_worst(quota)),
               quota->counting ? "true" : "false");
}

/* ---- reads ---- */

/* Answers: NOT_FOUND. */
static int get(struct op_state *s, struct store_txn *txn, uint64_t ns,
               struct access_quota *ret_quota)
{
    char name[ACCESS_QUOTA_NAME];
    struct str record;
    uint64_t ends_ms = 0;

    access_quota_name(ns, name);
    int r = store_mark_get(txn, STORE_MARK_QUOTA,
                           (struct str){name, sizeof name}, &ends_ms, &record);
    if (r != 0) {
        return r;
    }
    return access_quota_decode(arena_str(s->arena, record), ret_quota) == 0
               ? 0
               : err_raise(ERR_CORRUPT);
}

struct found {
    uint64_t ns;
    struct access_quota quota;
};

static int refuse_missing(struct op_state *s)
{
    (void)answer_problem(s, OP_NOT_FOUND, STR(""), "%.*s has no quota",
                         SHOW(s->op->ns));
    s->op->answer.ns = s->op->ns;
    return ANSWERED;
}

/* What there is; no quota: rev 0. */
static int look(struct op_state *s, struct store_txn *txn, void *user)
{
    struct found *found = user;

    found->quota = (struct access_quota){.rev = 0};
    int r = resolve_path(s, txn, s->op->ns, STR(""), &found->ns);
    if (r != 0) {
        return r;
    }
    r = get(s, txn, found->ns, &found->quota);
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int find(struct op_state *s, struct found *ret_found)
{
    int r = resolve_check_path(s, s->op->ns, "");
    return r != 0 ? r : snapshot_run(s, look, ret_found);
}

static int answer_quota(struct op_state *s, const struct access_quota *quota)
{
    struct buf text = {0};

    add_quota(&text, s->op->ns, quota);
    return grants_answer(s, &text, quota->rev);
}

int quota_get(struct op_state *s)
{
    struct found found = {0};

    int r = find(s, &found);
    if (r != 0) {
        return r;
    }
    return found.quota.rev == 0 ? refuse_missing(s)
                                : answer_quota(s, &found.quota);
}

/* In the order in which the namespaces were made. Those of namespaces that are
 * deleted and not reclaimed yet are nobody's. */
static int next_quota(struct op_state *s, struct store_txn *txn,
                      struct arena *arena, struct str *at, struct buf *out)
{
    char name[ACCESS_QUOTA_NAME] = {0};
    struct str after = {name, sizeof name}, record;
    struct access_quota quota;
    struct buf path = {0};
    uint64_t ns = 0, ends_ms = 0;
    int r = 0;

    if (at->p != NULL) {
        r = resolve_path(s, txn, *at, STR("after"), &ns);
        if (r != 0) {
            return r;
        }
        access_quota_name(ns, name);
    }
    while ((r = store_mark_next(txn, STORE_MARK_QUOTA, after, &after, &ends_ms,
                                &record)) == 0) {
        buf_clear(&path);
        r = store_path_of(txn, access_quota_ns(after), &path);
        if (r < 0 ||
            (r == 0 && permit_sees(s, STR(ACCESS_NS), buf_str(&path)))) {
            break;
        }
    }
    if (r == 0 && access_quota_decode(record, &quota) != 0) {
        r = err_raise(ERR_CORRUPT);
    }
    struct str shown = arena_take(arena, &path);
    if (r == 0) {
        add_quota(out, shown, &quota);
        buf_printf(out, ",\"rev\":%llu}", (unsigned long long)quota.rev);
        *at = shown;
    }
    return r;
}

int quota_list(struct op_state *s)
{
    struct str after = s->op->query.after;

    int r = permit_known(s);
    if (r == 0 && after.p != NULL) {
        r = resolve_check_path(s, after, "after");
    }
    return r != 0 ? r : grants_list(s, next_quota);
}

/* ---- writes ---- */

static int read_number(struct op_state *s, const struct json *limit,
                       struct str what, const char *name, uint64_t *ret_number)
{
    const struct json *member = json_get(limit, name);

    *ret_number = ACCESS_QUOTA_NONE;
    if (member == NULL || member->kind == JSON_NULL ||
        (json_u64(member, ret_number) == 0 &&
         *ret_number <= ACCESS_QUOTA_MOST)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, body_field(s, what, str_of(name)),
                          "%.*s.%s is a whole number, at most 2^53", SHOW(what),
                          name);
}

static int read_limit(struct op_state *s, const struct json *body,
                      const char *name, struct access_limit *ret_limit)
{
    static const char *const names[] = {"warn", "refuse", NULL};
    const struct json *member = json_get(body, name);
    struct str what = str_of(name);

    *ret_limit = (struct access_limit){ACCESS_QUOTA_NONE, ACCESS_QUOTA_NONE};
    if (member == NULL || member->kind == JSON_NULL) {
        return 0;
    }
    int r = body_object(s, member, what, names);
    if (r == 0) {
        r = read_number(s, member, what, "warn", &ret_limit->warn);
    }
    if (r == 0) {
        r = read_number(s, member, what, "refuse", &ret_limit->refuse);
    }
    if (r == 0 && ret_limit->warn != ACCESS_QUOTA_NONE &&
        ret_limit->warn > ret_limit->refuse) {
        r = answer_problem(s, OP_BAD_REQUEST, what,
                           "%s refuses before it warns: warn is at most "
                           "refuse",
                           name);
    }
    return r;
}

static int read_body(struct op_state *s, struct access_quota *quota)
{
    /* What an answer has besides may be sent back. */
    static const char *const names[] = {"ns",    "resources", "bytes", "used",
                                        "state", "counting",  "rev",   NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    for (int i = 0; r == 0 && i < ACCESS_QUOTA_WHATS; i++) {
        r = read_limit(s, body, each[i], &quota->limits[i]);
    }
    if (r == 0 && !access_quota_is_sound(quota)) {
        r = answer_problem(s, OP_BAD_REQUEST, STR(""),
                           "a quota has a limit at least, as in "
                           "{\"resources\":{\"warn\":900,\"refuse\":1000}}");
    }
    return r;
}

static struct str name_of(const struct found *found,
                          char name[ACCESS_QUOTA_NAME])
{
    access_quota_name(found->ns, name);
    return (struct str){name, ACCESS_QUOTA_NAME};
}

int quota_put(struct op_state *s)
{
    struct access_quota quota = {.known = true};
    char name[ACCESS_QUOTA_NAME];
    struct grants_write write = {0};
    struct found found = {0};
    struct buf record = {0};

    int r = grants_check_level(s);
    if (r == 0) {
        r = find(s, &found);
    }
    if (r == 0) {
        r = read_body(s, &quota);
    }
    if (r == 0) {
        r = grants_check_conditions(s, found.quota.rev);
    }
    if (r != 0) {
        return r;
    }
    access_quota_encode(&record, &quota);
    r = grants_put(s, &write, STORE_MARK_QUOTA, name_of(&found, name),
                   found.quota.rev, 0, &record);
    return r != 0 ? r : grants_submit(s, &write);
}

/* As it is now: what is used is known to the state alone. */
int quota_finish_put(struct op_state *s, struct machine_result *result)
{
    struct found found = {0};

    int r = find(s, &found);
    if (r != 0) {
        return r;
    }
    if (found.quota.rev == 0) {
        return refuse_missing(s); /* Somebody has deleted it again. */
    }
    r = answer_quota(s, &found.quota);
    s->op->answer.code = result->created ? OP_CREATED : OP_OK;
    return r;
}

int quota_delete(struct op_state *s)
{
    char name[ACCESS_QUOTA_NAME];
    struct grants_write write = {0};
    struct found found = {0};

    int r = grants_check_level(s);
    if (r == 0) {
        r = find(s, &found);
    }
    if (r == 0 && found.quota.rev == 0) {
        r = refuse_missing(s);
    }
    if (r == 0) {
        r = grants_check_conditions(s, found.quota.rev);
    }
    if (r != 0) {
        return r;
    }
    grants_del(s, &write, STORE_MARK_QUOTA, name_of(&found, name),
               found.quota.rev);
    return grants_submit(s, &write);
}

/* ---- what is refused ---- */

enum { REFUSED_BYTES = 1 + 8 + 8 }; /* what, limit, used */

struct refusal {
    uint64_t ns;
    struct str path;
};

static int find_path(struct op_state *s, struct store_txn *txn, void *user)
{
    struct refusal *refusal = user;
    struct buf path = {0};

    int r = store_path_of(txn, refusal->ns, &path);
    refusal->path = arena_take(s->op->arena, &path);
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* It lies above what was asked for, so its name is no secret. */
int quotas_refused(struct op_state *s, const struct machine_result *result)
{
    struct refusal refusal = {.ns = result->ns};
    const char *said = result->detail.p;

    assert(result->detail.n >= REFUSED_BYTES);
    const char *what =
        access_quota_what_name((enum access_quota_what)(uint8_t)said[0]);
    unsigned long long limit = le_get(said + 1, 8), used = le_get(said + 9, 8);
    int r = snapshot_run(s, find_path, &refusal);
    if (r != 0) {
        return r;
    }
    answer_extra(s, "limit", limit);
    answer_extra(s, "used", used);
    s->op->answer.extra = arena_printf(s->op->arena, "%.*s,\"what\":\"%s\"",
                                       STR_ARG(s->op->answer.extra), what);
    (void)answer_problem(
        s, OP_QUOTA, STR(""),
        "nothing was done: the quota of %.*s allows %llu %s, and %llu are in "
        "use: delete what is not needed there, or have its quota raised",
        SHOW(refusal.path), limit, what, used);
    s->op->answer.ns = refusal.path;
    return ANSWERED;
}

/* ---- metrics ---- */

enum { METRICS_MOST = 100 };

static void add_metric(struct store_txn *txn, uint64_t ns,
                       const struct access_quota *quota, struct buf *out)
{
    const uint64_t *used = quota->known ? quota->used : quota->so_far;
    struct buf path = {0};

    if (store_path_of(txn, ns, &path) == 0) {
        for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
            buf_printf(out, "roster_quota_used{ns=\"%.*s\",what=\"%s\"} %llu\n",
                       (int)path.n, path.p, each[i],
                       (unsigned long long)used[i]);
        }
    }
    buf_done(&path);
}

void quotas_metrics(struct store_txn *txn, struct buf *out)
{
    struct str name = STR_NONE, record;
    struct access_quota quota;
    uint64_t ends_ms = 0;

    metric_head(out, "roster_quota_used", "gauge",
                "What namespaces with a quota hold with all below, of the "
                "first 100 of them.");
    for (int i = 0;
         i < METRICS_MOST && store_mark_next(txn, STORE_MARK_QUOTA, name, &name,
                                             &ends_ms, &record) == 0;
         i++) {
        if (access_quota_decode(record, &quota) == 0) {
            add_metric(txn, access_quota_ns(name), &quota, out);
        }
    }
}
