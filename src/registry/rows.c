/* One resource: reading it, and answering with it. */
#include "registry/rows.h"

#include "registry/answer.h"
#include "registry/lists.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/types_set.h"

/* ---- one row in a snapshot ---- */

struct row_reading {
    struct str ns;
    struct target target;
    struct str row; /* in op->arena */
};

static int read_row(struct op_state *s, struct store_txn *txn, void *user)
{
    struct row_reading *reading = user;
    const struct type *type = NULL;
    struct ulid id;
    struct str row;
    uint64_t ns = 0;

    int r = resolve_path(s, txn, reading->ns, STR(""), &ns);
    if (r == 0) {
        r = store_use(txn, ns);
    }
    if (r == 0 && reading->target.by_key) {
        r = types_find(s, txn, s->op->type, &type);
        r = r == 0 ? resolve_check_keyed(s, &reading->target, type, STR(""))
                   : r;
    }
    if (r == 0) {
        r = resolve_row_id(txn, ns, s->op->type, &reading->target, &id);
    }
    if (r == 0) {
        r = store_row_get(txn, ns, s->op->type, id, &row, NULL);
    }
    if (r == 0) {
        reading->row = arena_str(s->op->arena, row);
    }
    return r;
}

static uint64_t revision_of(struct str row)
{
    struct ulid id;
    struct str fields;
    uint64_t revision = 0;

    row_split(row, &id, &revision, NULL, &fields);
    return revision;
}

static int answer_projected(struct op_state *s, struct str row)
{
    struct buf out = {0};
    struct str *names = NULL;
    size_t n = 0;

    int r = lists_fields(s, &names, &n);
    if (r != 0 || n == 0) {
        s->op->answer.body = r == 0 ? row : STR("");
        return r;
    }
    row_project(&out, row, names, n);
    s->op->answer.body = arena_take(s->op->arena, &out);
    return 0;
}

int rows_check_names(struct op_state *s, struct target *ret_target)
{
    int r = resolve_check_path(s, s->op->ns, "");

    if (r == 0) {
        r = resolve_check_type(s, s->op->type, STR(""));
    }
    return r != 0 ? r : resolve_target(s, s->op->id, STR(""), ret_target);
}

int row_op_get(struct op_state *s)
{
    struct op_answer *answer = &s->op->answer;
    struct row_reading reading = {.ns = s->op->ns};
    bool same = false;

    int r = rows_check_names(s, &reading.target);
    if (r == 0) {
        r = snapshot_run(s, read_row, &reading);
    }
    if (r == ERR_NOT_FOUND) {
        return answer_problem(
            s, OP_NOT_FOUND, STR(""), "there is no %.*s %.*s in %.*s",
            SHOW(s->op->type), SHOW(s->op->id), SHOW(s->op->ns));
    }
    if (r != 0) {
        return r;
    }
    answer->etag = revision_of(reading.row);
    r = resolve_not_modified(s, answer->etag, &same, NULL);
    if (r != 0 || same) {
        answer->code = same ? OP_NOT_MODIFIED : answer->code;
        return r;
    }
    answer->code = OP_OK;
    return answer_projected(s, reading.row);
}

/* ---- what came of it ---- */

/* Its own, or one he may read. */
static bool may_show(const struct op_state *s, struct str ns)
{
    return s->guard.on || permit_sees(s, s->op->type, ns);
}

static struct str short_row(struct op_state *s, struct ulid id,
                            uint64_t revision)
{
    struct buf out = {0};

    buf_add_text(&out, "{\"_id\":");
    answer_add_ulid(&out, id);
    buf_printf(&out, ",\"_rev\":%llu}", (unsigned long long)revision);
    return arena_take(s->op->arena, &out);
}

/* The key table keeps no bodies: the row as it is now, or, when it has gone,
 * what is known of it. */
int rows_recall(struct op_state *s, struct str ns, struct ulid id,
                uint64_t revision, struct str *ret_row, uint64_t *ret_etag)
{
    struct row_reading reading = {.ns = ns, .target = {.id = id}};

    int r = snapshot_run(s, read_row, &reading);
    if (r == 0) {
        *ret_etag = revision_of(reading.row);
        *ret_row = may_show(s, ns) ? reading.row : short_row(s, id, *ret_etag);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    answer_reset(s);
    s->op->answer.replayed = true;
    *ret_etag = revision;
    *ret_row = short_row(s, id, revision);
    return 0;
}

int row_finish(struct op_state *s, struct machine_result *result)
{
    struct op_answer *answer = &s->op->answer;
    struct str ns = s->memory == NULL ? s->op->ns : *(struct str *)s->memory;

    if (result->replayed) {
        int r = rows_recall(s, ns, result->id, result->revision, &answer->body,
                            &answer->etag);
        if (r != 0) {
            return r;
        }
    } else {
        answer->body = arena_take(s->op->arena, &result->row);
        answer->etag = revision_of(answer->body);
        if (!may_show(s, ns)) { /* He may write it, not read it. */
            answer->body = short_row(s, result->id, answer->etag);
        }
    }
    answer->code = result->created ? OP_CREATED : OP_OK;
    if (result->created) {
        answer_row_location(s, ns, result->id);
    }
    return 0;
}

int row_finish_delete(struct op_state *s, struct machine_result *result)
{
    (void)result;
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}
