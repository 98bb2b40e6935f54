/* What the machine refused, as a problem. */
#include "model/row.h"
#include "registry/answer.h"
#include "registry/quotas.h"
#include "registry/submit.h"

static int refused_missing(struct op_state *s)
{
    const struct op *op = s->op;
    bool creates = op->kind == OP_ROW_PUT || op->kind == OP_LIST_ADD;

    if (creates && op->query.lease.p != NULL) {
        return answer_problem(s, OP_NOT_FOUND, STR("lease"),
                              "there is no lease %.*s: it ended, or never was",
                              SHOW(op->query.lease));
    }
    switch (op->kind) {
    case OP_NS_CREATE:
        return answer_problem(s, OP_NOT_FOUND, STR("parent"),
                              "the parent is not there any more");
    case OP_NS_CHANGE:
    case OP_NS_DELETE:
    case OP_LIST_ADD:
    case OP_LIST_PUT:
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "there is no namespace %.*s any more",
                              SHOW(op->ns));
    case OP_AGENT_DELETE:
    case OP_AGENT_MAINT:
    case OP_AGENT_BACK:
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "no agent %.*s is registered", SHOW(op->id));
    default:
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "there is no %.*s %.*s in %.*s", SHOW(op->type),
                              SHOW(op->id), SHOW(op->ns));
    }
}

static int refused_ns_taken(struct op_state *s)
{
    struct str name = s->command.kind == COMMAND_NS_CREATE
                          ? s->command.ns_create.name
                          : s->command.ns_change.name;

    return answer_problem(s, OP_CONFLICT, STR("name"),
                          "the parent has a namespace %.*s already: choose "
                          "another name",
                          SHOW(name));
}

/* The holder may be another row of the same request, which now is nowhere. */
static bool is_of_request(const struct op_state *s, struct ulid id,
                          size_t before)
{
    const struct command *c = &s->command;

    if (c->kind == COMMAND_LIST_PUT) {
        return true; /* What it does not bring goes, and is in nobody's way. */
    }
    for (size_t i = 0; c->kind == COMMAND_ROWS_ADD && i < before; i++) {
        if (ulid_compare(id, c->rows_add.rows[i].id) == 0) {
            return true;
        }
    }
    return false;
}

/* The key the refused row would have had, p NULL when it has none. */
static struct str key_of(struct op_state *s,
                         const struct machine_result *result)
{
    const struct command *c = &s->command;

    switch (c->kind) {
    case COMMAND_ROW_PUT:
        return row_get_text(s->arena, c->row_put.fields, c->row_put.key_field);
    case COMMAND_ROWS_ADD:
        return row_get_text(s->arena, c->rows_add.rows[result->index].fields,
                            c->rows_add.key_field);
    case COMMAND_LIST_PUT:
        return row_get_text(s->arena, c->list_put.rows[result->index].fields,
                            c->list_put.key_field);
    case COMMAND_ROW_MOVE:
        return c->row_move.by_key ? c->row_move.key : STR_NONE;
    default:
        return STR_NONE;
    }
}

static int refused_holder(struct op_state *s,
                          const struct machine_result *result)
{
    struct str key = key_of(s, result);
    char holder[ULID_TEXT];

    ulid_format(result->id, holder);
    s->op->answer.extra =
        arena_printf(s->op->arena, "%.*s,\"holder\":{\"_id\":\"%.26s\"}",
                     STR_ARG(s->op->answer.extra), holder);
    return answer_problem(
        s, OP_CONFLICT, STR(""),
        "the %.*s cannot be put: its primary key%s%.*s or its _id is that of "
        "%.26s%s. Change that one, or choose another key",
        SHOW(s->op->type), key.p == NULL ? "" : " ", SHOW(key), holder,
        s->op->query.lease.p == NULL ? ""
                                     : " already, or it is bound to the lease "
                                       "of that id");
}

static int refused_taken(struct op_state *s,
                         const struct machine_result *result)
{
    if (s->op->kind == OP_NS_CREATE || s->op->kind == OP_NS_CHANGE) {
        return refused_ns_taken(s);
    }
    if (s->op->kind == OP_BREAKER_SET) {
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "the breaker holds nothing there now: GET "
                              "/v1/admin/breaker shows where it does");
    }
    if (s->command.kind == COMMAND_ROWS_ADD ||
        s->command.kind == COMMAND_LIST_PUT) {
        answer_extra(s, "index", result->index);
    }
    if (is_of_request(s, result->id, result->index)) {
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "two resources of the request have, or keep, "
                              "the same primary key or _id: [%u] is the second",
                              (unsigned)result->index);
    }
    return refused_holder(s, result);
}

static int refused_condition(struct op_state *s,
                             const struct machine_result *result)
{
    s->op->answer.at_revision = result->revision;
    if (result->revision == 0) {
        return answer_problem(s, OP_PRECONDITION, STR("If-Match"),
                              "it does not exist, and the condition asks for "
                              "it to");
    }
    return answer_problem(s, OP_PRECONDITION, STR(""),
                          "it is at revision %llu, which the condition of the "
                          "request rules out: read it again and decide anew",
                          (unsigned long long)result->revision);
}

static int refused_invalid(struct op_state *s,
                           const struct machine_result *result)
{
    if (s->op->kind == OP_NS_CREATE || s->op->kind == OP_NS_CHANGE) {
        return answer_problem(s, OP_BAD_REQUEST, STR("name"),
                              "the path, or one below it, would be longer than "
                              "the 253 bytes a DNS name may have");
    }
    struct str field = STR("");
    if (s->command.kind == COMMAND_ROWS_ADD ||
        s->command.kind == COMMAND_LIST_PUT) {
        answer_extra(s, "index", result->index);
        field = arena_printf(s->arena, "[%u]", (unsigned)result->index);
    }
    return answer_problem(s, OP_BAD_REQUEST, field,
                          "with this change the resource would have no field "
                          "or more than 128, no valid primary key, or a masked "
                          "secret with nothing behind it: send the secret "
                          "itself");
}

static int refused_forbidden(struct op_state *s)
{
    return answer_problem(s, OP_CONFLICT, STR(""),
                          "the tree does not allow it: the root and pool stay "
                          "where they are, a leaf has no children, and nothing "
                          "hangs below itself");
}

/* A transaction fails at a condition of its own, or at one of its operations.
 */
static int refused_txn(struct op_state *s, const struct machine_result *result)
{
    unsigned index = result->index;

    if (result->answer == ERR_PRECONDITION) {
        answer_extra(s, "condition", index);
        s->op->answer.at_revision = result->revision;
        return answer_problem(
            s, OP_CONFLICT, arena_printf(s->arena, "if[%u]", index),
            "nothing was done: the resource of if[%u] is %s revision %llu",
            index, result->revision == 0 ? "not there, at" : "at",
            (unsigned long long)result->revision);
    }
    answer_extra(s, "operation", index);
    const char *why = result->answer == ERR_NOT_FOUND ? "it is not there"
                      : result->answer == ERR_CONFLICT
                          ? "its primary key is taken"
                      : result->answer == ERR_TOO_LARGE
                          ? "it would be larger than 256 KiB"
                          : "it would have no field or more than 128, no "
                            "valid primary key, or a masked secret with "
                            "nothing behind it";
    bool invalid =
        result->answer == ERR_TOO_LARGE || result->answer == ERR_INVALID;
    enum op_code code = invalid ? OP_BAD_REQUEST : OP_CONFLICT;
    return answer_problem(s, code, arena_printf(s->arena, "do[%u]", index),
                          "nothing was done: the resource of do[%u] cannot be "
                          "written: %s",
                          index, why);
}

static bool is_of_row(int answer)
{
    return answer == ERR_NOT_FOUND || answer == ERR_CONFLICT ||
           answer == ERR_PRECONDITION || answer == ERR_TOO_LARGE ||
           answer == ERR_INVALID;
}

int submit_refused(struct op_state *s, const struct machine_result *result)
{
    if (s->op->kind == OP_TXN && is_of_row(result->answer)) {
        return refused_txn(s, result);
    }
    switch (result->answer) {
    case ERR_QUOTA:
        return quotas_refused(s, result);
    case ERR_NOT_FOUND:
        return refused_missing(s);
    case ERR_CONFLICT:
        return refused_taken(s, result);
    case ERR_PRECONDITION:
        return refused_condition(s, result);
    case ERR_INVALID:
        return refused_invalid(s, result);
    case ERR_NOT_EMPTY:
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "%.*s has children or resources: empty it, or "
                              "delete with ?recursive=true",
                              SHOW(s->op->ns));
    case ERR_FORBIDDEN:
        return refused_forbidden(s);
    case ERR_TOO_LARGE:
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "with this change the resource would be larger "
                              "than 256 KiB");
    case ERR_FULL:
        if (s->op->kind == OP_QUOTA_PUT) {
            return answer_problem(s, OP_CONFLICT, STR(""),
                                  "%u namespaces have a quota, no more can: "
                                  "set one further up instead of many below",
                                  MACHINE_QUOTAS_MOST);
        }
        return answer_problem(s, OP_CONFLICT, STR(""),
                              s->op->kind == OP_AGENT_PUT
                                  ? "more than %u leaves match this hostname: "
                                    "make their patterns narrower"
                                  : "the lease holds %u resources already, no "
                                    "more fit: use another lease",
                              (unsigned)MACHINE_BOUND_MOST);
    case ERR_KEY_REUSED:
        return answer_problem(s, OP_UNPROCESSABLE, STR("Idempotency-Key"),
                              "this key was used for another request within "
                              "the last 10 minutes: use a new key");
    case ERR_KEYS_FULL:
        return answer_busy(s, "all places for idempotency keys are taken, and "
                              "live ones are never forgotten");
    default:
        return answer_busy(s, "the registry is not ready for writes");
    }
}
