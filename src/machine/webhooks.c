/* What the state knows of each webhook: how far it has been told, and how it
 * is. A row of the type `webhook` has a mark from its first put on; who sends
 * moves its cursor.
 *
 *   offset size  the mark's record
 *   0      1     format (1)
 *   1      8     cursor: all up to this revision is done
 *   9      1     enum hook_state, never HOOK_FOUND
 *   10     8     since when it has been failing, Unix ms; 0: it is not
 *
 * Its name is ns:8 id:16, big-endian: one `_id` may stand in two namespaces. A
 * name of zero bytes says that rows may lack a mark, because a release before
 * this one put them; who sends has to look for them. */
#include "base/err.h"
#include "machine/apply.h"
#include "machine/webhook.h"

struct str webhook_mark_name(uint64_t ns, struct ulid id,
                             char ret_name[WEBHOOK_NAME])
{
    for (size_t i = 0; i < 8; i++) {
        ret_name[i] = (char)(ns >> (56 - 8 * i));
    }
    memcpy(ret_name + 8, id.b, sizeof id.b);
    return (struct str){ret_name, WEBHOOK_NAME};
}

void webhook_mark_read(struct str name, struct str record,
                       struct webhook_mark *ret_mark)
{
    struct webhook_mark mark = {.ns = 0};

    for (size_t i = 0; i < 8; i++) {
        mark.ns = mark.ns << 8 | (uint8_t)name.p[i];
    }
    memcpy(mark.id.b, name.p + 8, sizeof mark.id.b);
    mark.cursor = le_get(record.p + 1, 8);
    mark.state = (enum hook_state)record.p[9];
    mark.since_ms = le_get(record.p + 10, 8);
    *ret_mark = mark;
}

static int mark_get(struct apply *a, uint64_t ns, struct ulid id,
                    struct webhook_mark *ret_mark)
{
    char name[WEBHOOK_NAME];
    uint64_t ends_ms = 0;
    struct str record;

    struct str n = webhook_mark_name(ns, id, name);
    int r = store_mark_get(a->txn, STORE_MARK_WEBHOOK, n, &ends_ms, &record);
    if (r == 0) {
        webhook_mark_read(n, record, ret_mark);
    }
    return r;
}

static int mark_put(struct apply *a, const struct webhook_mark *mark)
{
    char name[WEBHOOK_NAME];
    char record[WEBHOOK_RECORD] = {1};

    le_put(record + 1, mark->cursor, 8);
    record[9] = (char)mark->state;
    le_put(record + 10, mark->since_ms, 8);
    return store_mark_put(a->txn, STORE_MARK_WEBHOOK,
                          webhook_mark_name(mark->ns, mark->id, name), 0,
                          (struct str){record, sizeof record});
}

static int mark_del(struct apply *a, uint64_t ns, struct ulid id)
{
    char name[WEBHOOK_NAME];

    int r = store_mark_del(a->txn, STORE_MARK_WEBHOOK,
                           webhook_mark_name(ns, id, name));
    return r == ERR_NOT_FOUND ? 0 : r;
}

static bool is_webhook(const struct place *p)
{
    return str_is(p->type, WEBHOOK_TYPE);
}

int webhook_row_put(struct apply *a, const struct place *p, struct ulid id)
{
    struct webhook_mark mark = {.ns = p->ns, .id = id};

    if (!is_webhook(p) || a->meta->feature_level < WEBHOOK_LEVEL) {
        return 0;
    }
    int r = mark_get(a, p->ns, id, &mark);
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    mark.cursor = a->meta->revision;
    return mark_put(a, &mark);
}

int webhook_row_gone(struct apply *a, const struct place *p, struct ulid id)
{
    return is_webhook(p) ? mark_del(a, p->ns, id) : 0;
}

int webhook_hold(struct apply *a, const struct place *p, struct ulid id,
                 struct webhook_mark *ret_mark)
{
    *ret_mark = (struct webhook_mark){.ns = 0};
    int r = is_webhook(p) ? mark_get(a, p->ns, id, ret_mark) : ERR_NOT_FOUND;
    return r == ERR_NOT_FOUND ? 0 : r;
}

int webhook_row_moved(struct apply *a, const struct webhook_mark *mark,
                      uint64_t to)
{
    struct webhook_mark moved = *mark;

    moved.ns = to;
    return mark->ns == 0 ? 0 : mark_put(a, &moved);
}

int webhook_look(struct apply *a)
{
    const struct webhook_mark look = {.ns = 0};
    uint64_t put = 0;

    int r = store_type_put_rev(a->txn, STR(WEBHOOK_TYPE), &put);
    if (r != 0) {
        return r;
    }
    return put > 0 || apply_type_touched(a, STR(WEBHOOK_TYPE)) > 0
               ? mark_put(a, &look)
               : 0;
}

/* ---- the command ---- */

static int hold_row(struct apply *a, const struct command_hook_item *item,
                    struct place *ret_place, struct held *ret_held)
{
    struct place p = {.ns = item->ns, .type = STR(WEBHOOK_TYPE)};

    struct str path;

    int r = apply_path(a, item->ns, &path);
    if (r == 0 && path.n == 0) {
        return ERR_NOT_FOUND; /* Deleted, and not reclaimed yet. */
    }
    if (r == 0) {
        r = apply_key_field(a, p.type, &p.key_field);
    }
    *ret_place = p;
    return r == 0 ? row_hold(a, &p, item->id, ret_held) : r;
}

static struct str escaped(struct apply *a, struct str text)
{
    struct buf quoted = {0};

    json_add_string(&quoted, text);
    struct str s = arena_take(a->arena, &quoted);
    return (struct str){s.p + 1, s.n - 2};
}

/* What the row shows. Answers: NOT_FOUND. */
static int show(struct apply *a, const struct command_hook_item *item)
{
    struct held held;
    struct place p;

    int r = hold_row(a, item, &p, &held);
    if (r != 0) {
        return r;
    }
    struct row_server server = held.server;
    server.status = escaped(a, item->text);
    r = row_set_server(a, &p, &held, &server);
    if (r == ERR_TOO_LARGE) {
        /* No room for it in this row: nothing is better than what was. */
        server.status = STR("");
        r = row_set_server(a, &p, &held, &server);
    }
    return r;
}

/* A row from before: what is told begins here. */
static int find(struct apply *a, const struct command_hook_item *item)
{
    struct webhook_mark mark;
    struct held held;
    struct place p;

    int r = mark_get(a, item->ns, item->id, &mark);
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    r = hold_row(a, item, &p, &held);
    return r == 0 ? webhook_row_put(a, &p, item->id) : r;
}

static int move_on(struct apply *a, const struct command_hook_item *item)
{
    struct webhook_mark mark;

    int r = mark_get(a, item->ns, item->id, &mark);
    if (r != 0) {
        return r;
    }
    bool shown = item->state != HOOK_SAME && item->state <= HOOK_RESET;
    if (item->cursor > mark.cursor && item->cursor <= a->meta->revision) {
        mark.cursor = item->cursor;
    }
    if (shown) {
        mark.state = (enum hook_state)item->state;
        mark.since_ms = item->since_ms;
    }
    r = mark_put(a, &mark);
    return r == 0 && shown ? show(a, item) : r;
}

int apply_hooks(struct apply *a, const struct command_hooks *c)
{
    a->cause = "webhook";
    for (size_t i = 0; i < c->n_hooks; i++) {
        const struct command_hook_item *item = &c->hooks[i];
        bool looked = item->ns == 0 && ulid_is_zero(item->id);
        int r = looked                      ? mark_del(a, 0, item->id)
                : item->state == HOOK_FOUND ? find(a, item)
                                            : move_on(a, item);
        /* Gone meanwhile: nobody is to be told any more. */
        if (r < 0) {
            return r;
        }
    }
    buf_clear(&a->res->row);
    return 0;
}
