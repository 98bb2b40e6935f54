/* One resource: changing it, moving it. */
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/permit.h"
#include "registry/rows.h"
#include "registry/types_set.h"

/* What a write on a row has to know of the state. */
struct row_place {
    struct target target;
    struct resolved at;
    bool wants_id; /* the key's holder too */
    bool held;
    struct ulid holder;
};

static int find_holder(struct op_state *s, struct store_txn *txn,
                       struct row_place *place)
{
    int r = store_use(txn, place->at.ns);

    if (r == 0) {
        r = store_row_find(txn, place->at.ns, s->op->type, place->target.key,
                           &place->holder);
    }
    place->held = r == 0;
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int read_place(struct op_state *s, struct store_txn *txn, void *user)
{
    struct row_place *place = user;

    int r = resolve_path(s, txn, s->op->ns, STR(""), &place->at.ns);
    if (r == 0) {
        r = types_find(s, txn, s->op->type, &place->at.type);
    }
    if (r == 0) {
        r = resolve_check_keyed(s, &place->target, place->at.type, STR(""));
    }
    if (r == 0 && place->wants_id && place->target.by_key) {
        r = find_holder(s, txn, place);
    }
    return r;
}

/* `_id` may be sent back, and then has to agree. */
static int check_same_id(struct op_state *s, const struct row_place *place,
                         struct ulid sent)
{
    bool agrees = place->target.by_key
                      ? place->held && ulid_compare(place->holder, sent) == 0
                      : ulid_compare(place->target.id, sent) == 0;

    if (agrees || ulid_is_zero(sent)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("_id"),
                          "_id is not that of the resource %.*s: leave it out, "
                          "or name the resource by it",
                          SHOW(s->op->id));
}

static int check_same_key(struct op_state *s, const struct row_place *place,
                          struct str fields)
{
    if (!place->target.by_key) {
        return 0;
    }
    struct str key = type_key_of(s->arena, place->at.type, fields);
    if (key.p != NULL && str_equal(key, place->target.key)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, place->at.type->key,
                          "the primary key in the body is not %.*s, as in the "
                          "path: PATCH changes a key",
                          SHOW(place->target.key));
}

/* Names, conditions, body, place: what PUT and PATCH begin with. */
static int begin_write(struct op_state *s, struct row_place *place,
                       struct json **ret_json, struct command_row_put *put)
{
    int r = rows_check_names(s, &place->target);

    if (r == 0) {
        r = resolve_conditions(s, &put->cond, &put->cond_revs);
    }
    if (r == 0) {
        r = body_parse(s, ret_json);
    }
    if (r == 0) {
        place->wants_id = json_get(*ret_json, "_id") != NULL;
        r = snapshot_run(s, read_place, place);
    }
    return r;
}

static void make_put(struct op_state *s, const struct row_place *place,
                     enum row_mode mode, const struct body_row *row,
                     struct command_row_put *put)
{
    put->mode = (uint8_t)mode;
    put->ns = place->at.ns;
    put->type = s->op->type;
    put->key_field = resolve_key_field(place->at.type);
    put->by_key = place->target.by_key;
    put->id = place->target.id;
    put->key = place->target.key;
    put->new_id = ulid_next();
    put->fields = row->open;
    put->secret = row->secret;
    s->command = (struct command){
        .kind = COMMAND_ROW_PUT,
        .tree_rev = s->seen.tree_rev,
        .types_rev = s->seen.types_rev,
        .row_put = *put,
    };
}

int row_op_put(struct op_state *s)
{
    struct command_row_put put = {0};
    struct row_place place = {0};
    struct body_row row;
    struct json *json = NULL;

    int r = resolve_lease(s, &put.has_lease, &put.lease);
    if (r == 0) {
        r = begin_write(s, &place, &json, &put);
    }
    if (r != 0) {
        return r;
    }
    if (place.target.by_key) {
        body_inject(s, json, place.at.type->key, place.target.key);
    }
    r = body_row_whole(s, json, place.at.type, false, STR(""), &row);
    if (r == 0) {
        r = check_same_id(s, &place, row.input.id);
    }
    if (r == 0) {
        r = check_same_key(s, &place, row.input.fields);
    }
    if (r == 0) {
        make_put(s, &place, ROW_REPLACE, &row, &put);
    }
    return r;
}

int row_op_patch(struct op_state *s)
{
    struct command_row_put put = {0};
    struct row_place place = {0};
    struct body_row row;
    struct json *json = NULL;

    int r = begin_write(s, &place, &json, &put);
    if (r == 0) {
        r = body_row_patch(s, json, place.at.type, STR(""), &row);
    }
    /* Of a key that nobody holds the log will say so. */
    if (r == 0 && (place.held || !place.target.by_key)) {
        r = check_same_id(s, &place, row.input.id);
    }
    if (r == 0) {
        make_put(s, &place, ROW_PATCH, &row, &put);
    }
    return r;
}

int row_op_delete(struct op_state *s)
{
    struct command_row_delete del = {.type = s->op->type};
    struct row_place place = {0};

    int r = rows_check_names(s, &place.target);
    if (r == 0) {
        r = resolve_conditions(s, &del.cond, &del.cond_revs);
    }
    if (r == 0) {
        r = snapshot_run(s, read_place, &place);
    }
    if (r != 0) {
        return r;
    }
    del.ns = place.at.ns;
    del.key_field = resolve_key_field(place.at.type);
    del.by_key = place.target.by_key;
    del.id = place.target.id;
    del.key = place.target.key;
    s->command = (struct command){
        .kind = COMMAND_ROW_DELETE,
        .tree_rev = s->seen.tree_rev,
        .types_rev = s->seen.types_rev,
        .row_delete = del,
    };
    return 0;
}

/* ---- move and copy ---- */

struct row_way {
    struct row_place from;
    struct str to_path;
    uint64_t to;
};

static int read_way(struct op_state *s, struct store_txn *txn, void *user)
{
    struct row_way *way = user;

    int r = read_place(s, txn, &way->from);
    return r != 0 ? r : resolve_path(s, txn, way->to_path, STR("to"), &way->to);
}

static int read_to(struct op_state *s, struct str *ret_path)
{
    static const char *const names[] = {"to", NULL};
    struct json *json = NULL;

    int r = body_parse(s, &json);
    if (r == 0) {
        r = body_object(s, json, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, json, STR(""), "to", true, ret_path);
    }
    return r != 0 ? r : resolve_check_path(s, *ret_path, "to");
}

/* Where the row is afterwards, for the answer. */
static void remember_path(struct op_state *s, struct str path)
{
    struct str *kept = arena_alloc(s->op->arena, sizeof *kept);

    *kept = arena_str(s->op->arena, path);
    s->memory = kept;
}

int row_op_move(struct op_state *s)
{
    struct command_row_move move = {.type = s->op->type};
    struct row_way way = {0};

    bool copies = s->op->kind == OP_ROW_COPY;

    int r = rows_check_names(s, &way.from.target);
    if (r == 0) {
        r = permit(s, copies ? ACCESS_READ : ACCESS_DELETE, s->op->type,
                   s->op->ns);
    }
    if (r == 0) {
        r = resolve_conditions(s, &move.cond, &move.cond_revs);
    }
    if (r == 0) {
        r = read_to(s, &way.to_path);
    }
    if (r == 0) {
        r = permit(s, ACCESS_CREATE, s->op->type, way.to_path);
    }
    /* Nothing is read by moving it to where one may read. */
    if (r == 0 && permit_sees(s, s->op->type, way.to_path)) {
        r = permit(s, ACCESS_READ, s->op->type, s->op->ns);
    }
    if (r != 0) {
        return r;
    }
    remember_path(s, way.to_path);
    r = snapshot_run(s, read_way, &way);
    if (r != 0) {
        return r;
    }
    move.ns = way.from.at.ns;
    move.key_field = resolve_key_field(way.from.at.type);
    move.by_key = way.from.target.by_key;
    move.id = way.from.target.id;
    move.key = way.from.target.key;
    move.to = way.to;
    move.copy = copies;
    move.new_id = ulid_next();
    s->command = (struct command){
        .kind = COMMAND_ROW_MOVE,
        .tree_rev = s->seen.tree_rev,
        .types_rev = s->seen.types_rev,
        .row_move = move,
    };
    return 0;
}
