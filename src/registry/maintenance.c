/* Maintenance of an agent or a resource: it begins and ends. */
#include "registry/agents.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/resolve.h"
#include "registry/rows.h"
#include "registry/types_set.h"

enum { DAY_MS = 86400000, DAYS_MOST = 30, LEAST_MS = 1000 };

static int read_duration(struct op_state *s, const struct json *body,
                         uint64_t *ret_ms)
{
    struct str text;

    int r = body_text(s, body, STR(""), "duration", true, &text);
    if (r != 0) {
        return r;
    }
    if (body_duration(text, DAYS_MOST, ret_ms) == 0 && *ret_ms >= LEAST_MS &&
        *ret_ms <= (uint64_t)DAYS_MOST * DAY_MS) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("duration"),
                          "duration is how long the maintenance lasts, from "
                          "\"1s\" to \"30d\", such as \"90m\" or \"2h\", not "
                          "%.*s",
                          SHOW(text));
}

static int read_reason(struct op_state *s, const struct json *body,
                       struct str *ret_reason)
{
    int r = body_text(s, body, STR(""), "reason", false, ret_reason);

    if (r == 0 && ret_reason->n > MACHINE_REASON_MOST) {
        return answer_problem(s, OP_BAD_REQUEST, STR("reason"),
                              "reason has %zu bytes, at most %u are kept: make "
                              "it shorter",
                              ret_reason->n, MACHINE_REASON_MOST);
    }
    if (r == 0 && ret_reason->p == NULL) {
        *ret_reason = STR("");
    }
    return r;
}

static int read_body(struct op_state *s, struct command_maint *maint)
{
    static const char *const names[] = {"reason", "duration", NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = read_reason(s, body, &maint->reason);
    }
    maint->set = 1;
    return r != 0 ? r : read_duration(s, body, &maint->duration_ms);
}

static int check_level(struct op_state *s)
{
    if (core_feature_level(s->registry->core) >= MACHINE_FEATURE_CHANGES) {
        return 0;
    }
    return answer_busy(s, "there is no maintenance until all nodes of the "
                          "cluster run a release that knows it");
}

/* ---- of an agent ---- */

static int maintain_agent(struct op_state *s, struct command_maint *maint)
{
    maint->what = MAINT_AGENT;
    maint->hostname = s->op->id;
    s->command = (struct command){.kind = COMMAND_MAINT, .maint = *maint};
    return 0;
}

int maintenance_agent_set(struct op_state *s)
{
    struct command_maint maint = {0};

    int r = check_level(s);
    if (r == 0) {
        r = agents_check_host(s, s->op->id, "");
    }
    if (r == 0) {
        r = read_body(s, &maint);
    }
    return r != 0 ? r : maintain_agent(s, &maint);
}

int maintenance_agent_end(struct op_state *s)
{
    struct command_maint maint = {0};

    int r = check_level(s);
    if (r == 0) {
        r = agents_check_host(s, s->op->id, "");
    }
    return r != 0 ? r : maintain_agent(s, &maint);
}

/* ---- of a resource ---- */

struct maintained {
    struct target target;
    struct resolved at;
};

static int find(struct op_state *s, struct store_txn *txn, void *user)
{
    struct maintained *row = user;

    int r = resolve_path(s, txn, s->op->ns, STR(""), &row->at.ns);
    if (r == 0) {
        r = types_find(s, txn, s->op->type, &row->at.type);
    }
    return r != 0 ? r
                  : resolve_check_keyed(s, &row->target, row->at.type, STR(""));
}

static int maintain_row(struct op_state *s, struct command_maint *maint)
{
    struct maintained row = {0};

    int r = rows_check_names(s, &row.target);
    if (r == 0) {
        r = resolve_conditions(s, &maint->cond, &maint->cond_revs);
    }
    if (r == 0) {
        r = snapshot_run(s, find, &row);
    }
    if (r != 0) {
        return r;
    }
    maint->what = MAINT_ROW;
    maint->ns = row.at.ns;
    maint->type = s->op->type;
    maint->key_field = resolve_key_field(row.at.type);
    maint->by_key = row.target.by_key;
    maint->id = row.target.id;
    maint->key = row.target.key;
    s->command = (struct command){.kind = COMMAND_MAINT,
                                  .tree_rev = s->seen.tree_rev,
                                  .types_rev = s->seen.types_rev,
                                  .maint = *maint};
    return 0;
}

int maintenance_row_set(struct op_state *s)
{
    struct command_maint maint = {0};

    int r = check_level(s);
    if (r == 0) {
        r = read_body(s, &maint);
    }
    return r != 0 ? r : maintain_row(s, &maint);
}

int maintenance_row_end(struct op_state *s)
{
    struct command_maint maint = {0};

    int r = check_level(s);
    return r != 0 ? r : maintain_row(s, &maint);
}
