#include "hook/found.h"

#include "base/err.h"
#include "model/row.h"

static bool is_masked(struct str raw)
{
    return raw.p == NULL || str_is(raw, ROW_MASK);
}

static void read_fields(struct arena *arena, struct str row, struct str hidden,
                        struct found *found)
{
    struct str fields;
    uint64_t revision = 0;
    struct ulid id;

    row = arena_str(arena, row);
    hidden = hidden.p == NULL ? STR("") : arena_str(arena, hidden);
    row_split(row, &id, &revision, NULL, &fields);
    found->name = row_get(fields, STR("name"));
    struct str url = row_get_text(arena, fields, STR("url"));
    found->url = url.p == NULL ? "" : arena_text(arena, url);
    found->types = row_get_text(arena, fields, STR("types"));
    /* In the open when somebody has redefined the type so. */
    struct str from =
        is_masked(row_get(fields, STR("secret"))) ? hidden : fields;
    found->secret = row_get_text(arena, from, STR("secret"));
}

static int read_mark(struct store_txn *txn, struct engine_key key,
                     struct webhook_mark *ret_mark)
{
    char name[WEBHOOK_NAME];
    uint64_t ends_ms = 0;
    struct str record;

    struct str n = webhook_mark_name(key.ns, key.id, name);
    int r = store_mark_get(txn, STORE_MARK_WEBHOOK, n, &ends_ms, &record);
    if (r == 0) {
        webhook_mark_read(n, record, ret_mark);
    }
    return r;
}

static int read_path(struct store_txn *txn, uint64_t ns, struct buf *path,
                     uint64_t *ret_rev)
{
    int r = store_path_of(txn, ns, path);
    return r == 0 ? store_path_rev(txn, ns, ret_rev) : r;
}

static int read_one(struct store_txn *txn, struct engine_key key,
                    struct arena *arena, struct found *found)
{
    struct buf path = {0};
    struct str row, secret;

    int r = read_mark(txn, key, &found->mark);
    if (r == 0) {
        r = read_path(txn, key.ns, &path, &found->path_rev);
    }
    found->path = arena_take(arena, &path);
    if (r == 0) {
        r = store_row_get(txn, key.ns, STR(WEBHOOK_TYPE), key.id, &row,
                          &secret);
    }
    if (r == 0) {
        read_fields(arena, row, secret, found);
    }
    return r;
}

/* A snapshot in which the namespace's rows can be read. */
static int begin_in(struct store_reader *reader, uint64_t ns,
                    struct store_txn **ret_txn)
{
    int r = store_read_begin(reader, ret_txn);

    if (r != 0) {
        return r;
    }
    do {
        r = store_use(*ret_txn, ns);
    } while (r == ERR_RESTART);
    if (r != 0) {
        store_read_end(*ret_txn);
    }
    return r;
}

int found_read(struct store_reader *reader, struct engine_key key,
               struct arena *arena, struct found *ret_found)
{
    struct found found = {.name = STR_NONE};
    struct store_txn *txn = NULL;

    int r = begin_in(reader, key.ns, &txn);
    if (r != 0) {
        return r;
    }
    r = read_one(txn, key, arena, &found);
    store_read_end(txn);
    *ret_found = found;
    return r;
}

static int each_mark(struct store_txn *txn, found_func *func, void *user,
                     bool *ret_look)
{
    struct str name = STR_NONE, record;
    struct webhook_mark mark;
    uint64_t ends_ms = 0, path_rev = 0;
    struct buf path = {0};
    int r = 0;

    while ((r = store_mark_next(txn, STORE_MARK_WEBHOOK, name, &name, &ends_ms,
                                &record)) == 0) {
        webhook_mark_read(name, record, &mark);
        if (mark.ns == 0) {
            *ret_look = true;
            continue;
        }
        buf_clear(&path);
        r = read_path(txn, mark.ns, &path, &path_rev);
        if (r < 0) {
            break;
        }
        func(user, &mark, r == 0 ? buf_str(&path) : STR(""), path_rev);
    }
    buf_done(&path);
    return r == ERR_END ? 0 : r;
}

int found_all(struct store_reader *reader, found_func *func, void *user,
              uint64_t *ret_revision, bool *ret_look)
{
    struct store_txn *txn = NULL;

    *ret_look = false;
    int r = store_read_begin(reader, &txn);
    if (r == 0) {
        *ret_revision = store_meta(txn)->revision;
        r = each_mark(txn, func, user, ret_look);
        store_read_end(txn);
    }
    return r;
}

int found_put(struct store_reader *reader, uint64_t *ret_put,
              uint64_t *ret_revision)
{
    struct store_txn *txn = NULL;

    int r = store_read_begin(reader, &txn);
    if (r == 0) {
        *ret_revision = store_meta(txn)->revision;
        r = store_type_put_rev(txn, STR(WEBHOOK_TYPE), ret_put);
        store_read_end(txn);
    }
    return r;
}

static int rows_in(struct store_txn *txn, uint64_t ns, const struct ulid *after,
                   struct command_hook_item *items, size_t most, size_t *ret_n)
{
    struct ulid id;
    struct str row;
    int r = 0;

    for (size_t n = 0; r == 0 && n < most; n++) {
        r = store_row_next(txn, ns, STR(WEBHOOK_TYPE), after, &id, &row);
        if (r == 0) {
            items[n] = (struct command_hook_item){
                .id = id, .ns = ns, .state = HOOK_FOUND, .text = STR("")};
            after = &items[n].id;
            *ret_n = n + 1;
        }
    }
    return r == ERR_END ? 0 : r;
}

int found_in(struct store_reader *reader, uint64_t ns, const struct ulid *after,
             struct command_hook_item *ret_items, size_t most, size_t *ret_n)
{
    struct store_txn *txn = NULL;

    *ret_n = 0;
    int r = begin_in(reader, ns, &txn);
    if (r != 0) {
        return r;
    }
    r = ns >= store_meta(txn)->next_ns
            ? ERR_END
            : rows_in(txn, ns, after, ret_items, most, ret_n);
    store_read_end(txn);
    return r;
}
