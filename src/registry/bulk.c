/* Operations on a whole list: add to it, replace it. */
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/lists.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/rows.h"

enum { ADD_MOST = 1000 };

/* What the answer is made from: of the op, so good for a replay too. */
struct bulk {
    bool array;
    size_t n;
    struct ulid *own; /* the ids the request brought, NULL: none */
};

static struct str place_of(struct op_state *s, size_t i)
{
    return arena_printf(s->arena, "[%zu]", i);
}

static int refuse_at(struct op_state *s, size_t i)
{
    answer_extra(s, "index", i);
    return ANSWERED;
}

/* Each row read, checked, masked. */
static int read_rows(struct op_state *s, const struct json *array,
                     const struct type *type, bool fresh,
                     struct command_row_item **ret_rows)
{
    struct command_row_item *rows =
        arena_zero(s->arena, (array->n + 1) * sizeof *rows);
    size_t i = 0;

    for (const struct json *m = array->first; m != NULL; m = m->next, i++) {
        struct body_row row;
        int r = body_row_whole(s, m, type, fresh, place_of(s, i), &row);
        if (r != 0) {
            return refuse_at(s, i);
        }
        rows[i] = (struct command_row_item){
            .has_id = !ulid_is_zero(row.input.id),
            .id = row.input.id,
            .fields = row.open,
            .secret = row.secret,
        };
    }
    *ret_rows = rows;
    return 0;
}

/* ---- add ---- */

static int check_array(struct op_state *s, const struct json *json)
{
    if (json->n == 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "the array is empty: send one to %d resources",
                              ADD_MOST);
    }
    if (json->n > ADD_MOST) {
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "the array holds %zu resources, at most %d are "
                              "taken at once: split it",
                              json->n, ADD_MOST);
    }
    return 0;
}

/* All rows bring their `_id` or none does: a replay finds them by the first. */
static int give_ids(struct op_state *s, struct command_row_item *rows,
                    struct bulk *bulk)
{
    struct ulid first = ulid_next_run(bulk->n);
    uint8_t brought = rows[0].has_id;

    bulk->own =
        brought ? arena_alloc(s->op->arena, bulk->n * sizeof *bulk->own) : NULL;
    for (size_t i = 0; i < bulk->n; i++) {
        if (rows[i].has_id != brought) {
            (void)answer_problem(s, OP_BAD_REQUEST,
                                 body_field(s, place_of(s, i), STR("_id")),
                                 "some resources bring an _id and some do not: "
                                 "send it with all or with none");
            return refuse_at(s, i);
        }
        if (bulk->own != NULL) {
            bulk->own[i] = rows[i].id;
        }
        rows[i].id = brought ? rows[i].id : ulid_plus(first, i);
        rows[i].has_id = true;
    }
    return 0;
}

static int add_many(struct op_state *s, const struct json *json,
                    const struct resolved *at, struct bulk *bulk)
{
    struct command_rows_add add = {.ns = at->ns,
                                   .type = s->op->type,
                                   .key_field = resolve_key_field(at->type),
                                   .n_rows = json->n};

    int r = read_rows(s, json, at->type, true, &add.rows);
    if (r == 0) {
        r = give_ids(s, add.rows, bulk);
    }
    if (r == 0) {
        r = resolve_lease(s, &add.has_lease, &add.lease);
    }
    if (r == 0) {
        s->command.kind = COMMAND_ROWS_ADD;
        s->command.rows_add = add;
    }
    return r;
}

static int add_one(struct op_state *s, const struct json *json,
                   const struct resolved *at)
{
    struct command_row_put put = {.mode = ROW_ADD,
                                  .ns = at->ns,
                                  .type = s->op->type,
                                  .key_field = resolve_key_field(at->type)};
    struct body_row row;

    int r = body_row_whole(s, json, at->type, true, STR(""), &row);
    if (r == 0) {
        r = resolve_lease(s, &put.has_lease, &put.lease);
    }
    if (r != 0) {
        return r;
    }
    put.fields = row.open;
    put.secret = row.secret;
    put.new_id = ulid_is_zero(row.input.id) ? ulid_next() : row.input.id;
    s->command.kind = COMMAND_ROW_PUT;
    s->command.row_put = put;
    return 0;
}

int list_add(struct op_state *s)
{
    struct bulk *bulk = arena_zero(s->op->arena, sizeof *bulk);
    struct resolved at;
    struct json *json = NULL;

    s->memory = bulk;
    int r = body_parse(s, &json);
    if (r != 0) {
        return r;
    }
    bulk->array = json->kind == JSON_ARRAY;
    bulk->n = json->n;
    r = bulk->array ? check_array(s, json) : 0;
    if (r == 0) {
        r = resolve_list(s, &at);
    }
    if (r != 0) {
        return r;
    }
    s->command = (struct command){.tree_rev = s->seen.tree_rev,
                                  .types_rev = s->seen.types_rev};
    return bulk->array ? add_many(s, json, &at, bulk) : add_one(s, json, &at);
}

static int add_answer(struct op_state *s, const struct machine_result *result,
                      const struct bulk *bulk, size_t i, struct buf *out)
{
    uint64_t revision = result->first_rev + i;

    if (!result->replayed) {
        const struct command_row_item *row = &s->command.rows_add.rows[i];
        row_write(out, row->id, revision, NULL, row->fields);
        return 0;
    }
    struct ulid id =
        bulk->own != NULL ? bulk->own[i] : ulid_plus(result->id, i);
    struct str row;
    uint64_t etag;
    int r = rows_recall(s, s->op->ns, id, revision, &row, &etag);
    if (r == 0) {
        buf_add_str(out, row);
    }
    return r;
}

/* The ids the request brought, when its command was not made this time. */
static void recall_own(struct op_state *s, struct bulk *bulk)
{
    struct json *json = NULL;
    struct json_error error;
    struct ulid id;
    size_t i = 0;

    if (bulk->own != NULL ||
        json_parse(s->arena, s->op->body, &json, &error) != 0) {
        return;
    }
    struct ulid *own = arena_zero(s->op->arena, (json->n + 1) * sizeof *own);
    for (const struct json *m = json->first; m != NULL; m = m->next, i++) {
        const struct json *sent = json_get(m, "_id");
        if (sent == NULL || sent->kind != JSON_STRING ||
            ulid_parse(sent->text, &id) != 0) {
            return;
        }
        own[i] = id;
    }
    bulk->own = own;
}

int list_finish_add(struct op_state *s, struct machine_result *result)
{
    struct bulk *bulk = s->memory;
    struct buf out = {0};
    int r = 0;

    if (!bulk->array) {
        s->memory = NULL; /* row_finish: the row is where the op says. */
        return row_finish(s, result);
    }
    if (result->replayed) {
        recall_own(s, bulk);
    }
    buf_add_char(&out, '[');
    for (size_t i = 0; r == 0 && i < bulk->n; i++) {
        buf_add_text(&out, i > 0 ? "," : "");
        r = add_answer(s, result, bulk, i, &out);
    }
    buf_add_char(&out, ']');
    s->op->answer.code = OP_CREATED;
    s->op->answer.body = arena_take(s->op->arena, &out);
    return r;
}

/* ---- replace ---- */

int list_put(struct op_state *s)
{
    struct command_list_put put = {.type = s->op->type};
    struct resolved at;
    struct json *json = NULL;

    int r = resolve_conditions(s, &put.cond, &put.cond_revs);
    if (r == 0) {
        r = body_parse(s, &json);
    }
    if (r == 0 && json->kind != JSON_ARRAY) {
        r = answer_problem(s, OP_BAD_REQUEST, STR(""),
                           "a list is replaced by an array of resources: send "
                           "one, [] empties the list");
    }
    if (r == 0) {
        r = resolve_list(s, &at);
    }
    if (r == 0) {
        r = read_rows(s, json, at.type, false, &put.rows);
    }
    if (r != 0) {
        return r;
    }
    put.n_rows = json->n;
    put.ns = at.ns;
    put.key_field = resolve_key_field(at.type);
    put.first_id = ulid_next_run(json->n + 1);
    s->command = (struct command){.kind = COMMAND_LIST_PUT,
                                  .tree_rev = s->seen.tree_rev,
                                  .types_rev = s->seen.types_rev,
                                  .list_put = put};
    return 0;
}

int list_finish_put(struct op_state *s, struct machine_result *result)
{
    bool sees = permit_sees(s, s->op->type, s->op->ns);
    int r = sees ? lists_whole(s) : ANSWERED;

    if (r != ANSWERED) {
        return r;
    }
    /* The list was put, and its namespace has gone since; or he may write it
     * and not read it. */
    answer_reset(s);
    s->op->answer.replayed = result->replayed;
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}
