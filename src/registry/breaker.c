/* The breaker: what it is doing, and what an operator wants of it.
 *
 * How many are silent is known to the leader alone, which says (ASK_BREAKER):
 *   0   8  percent     8   8  min     16  8  hold_ms     24  8  rate
 *   then for each scope, the whole first:
 *   0   8  scope (0: the whole registry)    8   1  state
 *   9   8  since    17  8  until    25  8  leases    33  8  suspect
 * Without it the states are shown as the log has them. */
#include "registry/breaker.h"

#include "base/metric.h"
#include "machine/leased.h"
#include "registry/answer.h"
#include "registry/asks.h"
#include "registry/body.h"
#include "registry/resolve.h"

enum { HEAD_BYTES = 32, SCOPE_BYTES = 41 };

#define EXTEND_LEAST_MS 1000
#define EXTEND_MOST_MS 604800000 /* 7 days */

static const char *const states[] = {[MACHINE_BREAKER_CLOSED] = "closed",
                                     [MACHINE_BREAKER_HELD] = "held",
                                     [MACHINE_BREAKER_PACING] = "pacing"};

/* ---- what the leader says ---- */

/* Where the log is told of it, what that has: an operator's word goes through
 * the log, and would come too early for what is not in it yet. */
static enum machine_breaker_state state_of(const struct registry *registry,
                                           const struct lease_scope_info *info)
{
    return core_feature_level(registry->core) < MACHINE_FEATURE_CHANGES
               ? info->state
               : info->told;
}

static void write_all(struct registry *registry, struct buf *out)
{
    struct lease_breaker_config config;
    struct lease_scope_info info;
    struct buf scopes = {0};

    lease_table_config(registry->leases, &config);
    lease_table_scopes(registry->leases, &scopes);
    buf_add_le(out, config.percent, 8);
    buf_add_le(out, config.min, 8);
    buf_add_le(out, config.hold_ms, 8);
    buf_add_le(out, config.rate, 8);
    for (size_t at = 0; at < scopes.n && out->n + SCOPE_BYTES <= CORE_ASK_MOST;
         at += sizeof info) {
        memcpy(&info, scopes.p + at, sizeof info);
        buf_add_le(out, info.scope, 8);
        buf_add_le(out, state_of(registry, &info), 1);
        buf_add_le(out, info.since_ms, 8);
        buf_add_le(out, info.until_ms, 8);
        buf_add_le(out, info.n, 8);
        buf_add_le(out, info.suspect, 8);
    }
    buf_done(&scopes);
}

int breaker_write(struct registry *registry, struct buf *reply)
{
    if (!lease_table_serves(registry->leases)) {
        return ERR_BUSY;
    }
    write_all(registry, reply);
    return 0;
}

/* ---- what it looks like ---- */

static void add_member(struct buf *out, const char *name, bool known,
                       uint64_t value)
{
    buf_printf(out, ",\"%s\":", name);
    if (known) {
        buf_add_u64(out, value);
    } else {
        buf_add_text(out, "null");
    }
}

static void add_scope(struct buf *out, struct str path, bool live,
                      const struct lease_scope_info *info)
{
    bool open = info->state != MACHINE_BREAKER_CLOSED;

    buf_add_text(out, "{\"ns\":");
    json_add_string(out, path);
    buf_printf(out, ",\"state\":\"%s\"", states[info->state]);
    add_member(out, "leases", live, info->n);
    add_member(out, "suspect", live, info->suspect);
    add_member(out, "since_ms", open, info->since_ms);
    add_member(out, "until_ms", open, info->until_ms);
    buf_add_char(out, '}');
}

static int scope_path(struct store_txn *txn, uint64_t scope, struct buf *path)
{
    buf_clear(path);
    return store_path_of(txn, scope == 0 ? STORE_ROOT : scope, path);
}

/* An unknown state is that of a newer leader. */
static struct lease_scope_info scope_at(const char *p)
{
    uint64_t state = le_get(p + 8, 1);

    return (struct lease_scope_info){
        .scope = le_get(p, 8),
        .state = state <= MACHINE_BREAKER_PACING
                     ? (enum machine_breaker_state)state
                     : MACHINE_BREAKER_HELD,
        .since_ms = le_get(p + 9, 8),
        .until_ms = le_get(p + 17, 8),
        .n = le_get(p + 25, 8),
        .suspect = le_get(p + 33, 8),
    };
}

struct view {
    struct str bytes; /* as above */
    bool live;        /* they are the leader's */
    struct buf out;
};

static int add_scopes(struct op_state *s, struct store_txn *txn, void *user)
{
    struct view *view = user;
    struct buf path = {0};
    bool first = true;
    int r = 0;

    (void)s;
    for (size_t at = HEAD_BYTES; r >= 0 && at + SCOPE_BYTES <= view->bytes.n;
         at += SCOPE_BYTES) {
        struct lease_scope_info info = scope_at(view->bytes.p + at);
        r = scope_path(txn, info.scope, &path);
        if (r == 0) {
            buf_add_text(&view->out, first ? "" : ",");
            add_scope(&view->out, buf_str(&path), view->live, &info);
            first = false;
        }
    }
    buf_done(&path);
    return r < 0 ? r : 0;
}

static int show(struct op_state *s, struct view *view)
{
    const char *p = view->bytes.p;

    buf_printf(&view->out,
               "{\"percent\":%llu,\"min\":%llu,\"hold_ms\":%llu,\"rate\":%llu,"
               "\"scopes\":[",
               (unsigned long long)le_get(p, 8),
               (unsigned long long)le_get(p + 8, 8),
               (unsigned long long)le_get(p + 16, 8),
               (unsigned long long)le_get(p + 24, 8));
    int r = snapshot_run(s, add_scopes, view);
    if (r != 0) {
        buf_done(&view->out);
        return r;
    }
    buf_add_text(&view->out, "]}");
    return answer_ok(s, &view->out);
}

int breaker_get(struct op_state *s)
{
    struct core_status status = core_status(s->registry->core);
    struct view view = {.live = true};
    struct buf bytes = {0};

    if (!s->asked && !status.leads && status.leader != 0 && !status.removed) {
        s->asked = true;
        return asks_send(s, ASK_BREAKER, &bytes, ASKS_VIEW_MS);
    }
    if (asks_take(s, &view.bytes) == 0 && view.bytes.n >= HEAD_BYTES) {
        return show(s, &view);
    }
    view.live = lease_table_serves(s->registry->leases);
    write_all(s->registry, &bytes);
    view.bytes = arena_take(s->op->arena, &bytes);
    return show(s, &view);
}

/* ---- what an operator wants ---- */

static int read_duration(struct op_state *s, struct str text,
                         uint64_t *ret_hold_ms)
{
    uint64_t ms = 0;

    if (text.p != NULL && str_duration(text, &ms) == 0 &&
        ms >= EXTEND_LEAST_MS && ms <= EXTEND_MOST_MS) {
        *ret_hold_ms = ms;
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("duration"),
                          "duration says for how long from now nothing is to "
                          "be removed, from \"1s\" to \"168h\"");
}

struct wish {
    struct str action, ns, duration;
};

static int read_wish(struct op_state *s, struct wish *wish)
{
    static const char *const names[] = {"action", "ns", "duration", NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "action", true, &wish->action);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "ns", false, &wish->ns);
    }
    if (r == 0 && wish->ns.p != NULL) {
        r = resolve_check_path(s, wish->ns, "ns");
    }
    return r != 0 ? r
                  : body_text(s, body, STR(""), "duration", false,
                              &wish->duration);
}

static int read_action(struct op_state *s, const struct wish *wish,
                       struct command_breaker *c)
{
    if (str_is(wish->action, "extend")) {
        c->what = BREAKER_EXTEND;
        return read_duration(s, wish->duration, &c->hold_ms);
    }
    if (!str_is(wish->action, "release")) {
        return answer_problem(s, OP_BAD_REQUEST, STR("action"),
                              "action is \"release\" or \"extend\", not %.*s",
                              SHOW(wish->action));
    }
    if (wish->duration.p != NULL) {
        return answer_problem(s, OP_BAD_REQUEST, STR("duration"),
                              "a release is at once: it has no duration");
    }
    c->what = BREAKER_RELEASE;
    return 0;
}

static int find_scope(struct op_state *s, struct store_txn *txn, void *user)
{
    struct command_breaker *c = &s->command.breaker;
    const struct wish *wish = user;
    uint64_t id = STORE_ROOT, top = STORE_ROOT;

    if (wish->ns.p == NULL && c->what == BREAKER_RELEASE) {
        c->scope = COMMAND_BREAKER_ALL;
        return 0;
    }
    int r =
        wish->ns.p == NULL ? 0 : resolve_path(s, txn, wish->ns, STR("ns"), &id);
    if (r == 0) {
        r = store_path_top(txn, id, &top);
    }
    if (r != 0) {
        return r;
    }
    if (top != id) {
        return answer_problem(s, OP_BAD_REQUEST, STR("ns"),
                              "the breaker knows the whole registry and the "
                              "namespaces right below its root: %.*s lies "
                              "deeper, name the one it lies in",
                              SHOW(wish->ns));
    }
    c->scope = id == STORE_ROOT ? 0 : id;
    return 0;
}

int breaker_set(struct op_state *s)
{
    struct wish wish = {.ns = STR_NONE};

    s->command = (struct command){.kind = COMMAND_BREAKER};
    int r = read_wish(s, &wish);
    if (r == 0) {
        r = read_action(s, &wish, &s->command.breaker);
    }
    if (r == 0) {
        r = snapshot_run(s, find_scope, &wish);
    }
    if (r == 0 &&
        core_feature_level(s->registry->core) < MACHINE_FEATURE_CHANGES) {
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "some node of the cluster runs a version that "
                              "does not know this: upgrade all of them first");
    }
    return r;
}

/* As the log has it, whoever did it. */
static int read_back(struct op_state *s, struct store_txn *txn, void *user)
{
    struct buf *out = user, path = {0};
    struct machine_breaker told;
    uint64_t named = s->command.breaker.scope;
    uint64_t scope = named == COMMAND_BREAKER_ALL ? 0 : named;

    buf_clear(out);
    int r = machine_breaker_get(txn, scope, &told);
    if (r == 0) {
        r = scope_path(txn, scope, &path);
    }
    if (r >= 0) {
        add_scope(out, buf_str(&path), told.state != MACHINE_BREAKER_CLOSED,
                  &(struct lease_scope_info){.state = told.state,
                                             .since_ms = told.since_ms,
                                             .until_ms = told.until_ms,
                                             .n = told.n,
                                             .suspect = told.bad});
        r = 0;
    }
    buf_done(&path);
    return r;
}

int breaker_finish_set(struct op_state *s, struct machine_result *result)
{
    struct buf out = {0};

    (void)result; /* A replay too is of this request, which names the scope. */
    int r = snapshot_run(s, read_back, &out);
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    return answer_ok(s, &out);
}

/* ---- metrics ---- */

static void add_states(struct registry *registry, struct store_txn *txn,
                       struct buf *out)
{
    struct buf scopes = {0}, path = {0};
    struct lease_scope_info info;

    lease_table_scopes(registry->leases, &scopes);
    metric_head(out, "roster_breaker_state", "gauge",
                "What the breaker does in a scope: 0 closed, 1 held, 2 pacing. "
                "Scopes below the whole registry are there while they are not "
                "closed.");
    for (size_t at = 0; at < scopes.n; at += sizeof info) {
        memcpy(&info, scopes.p + at, sizeof info);
        enum machine_breaker_state state = state_of(registry, &info);
        if ((info.scope == 0 || state != MACHINE_BREAKER_CLOSED) &&
            scope_path(txn, info.scope, &path) == 0) {
            buf_add_char(&path, '\0');
            metric_labelled(out, "roster_breaker_state", "scope", path.p,
                            state);
        }
    }
    buf_done(&scopes);
    buf_done(&path);
}

void breaker_metrics(struct registry *registry, struct buf *out)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    metric_counter(out, "roster_breaker_trips_total",
                   "Times this node, leading, began to hold a scope.",
                   lease_table_trips(registry->leases));
    if (store_reader_new(core_store(registry->core), &reader) != 0) {
        return;
    }
    if (store_read_begin(reader, &txn) == 0) {
        add_states(registry, txn, out);
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
}
