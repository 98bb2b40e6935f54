/* The records, out of the state. They were checked when they got in: what
 * cannot be read is damage. */
#include "access/inside.h"
#include "base/err.h"

static int damaged(int r)
{
    return r == ERR_INVALID ? err_raise(ERR_CORRUPT) : r;
}

static struct str id_name(const struct ulid *id)
{
    return (struct str){(const char *)id->b, sizeof id->b};
}

static int get(struct store_txn *txn, struct arena *arena, char kind,
               struct str name, uint64_t *ret_ends_ms, struct str *ret_record)
{
    int r = store_mark_get(txn, kind, name, ret_ends_ms, ret_record);

    if (r == 0) {
        *ret_record = arena_str(arena, *ret_record);
    }
    return r;
}

static int next(struct store_txn *txn, struct arena *arena, char kind,
                struct str after, struct str *ret_name, uint64_t *ret_ends_ms,
                struct str *ret_record)
{
    int r =
        store_mark_next(txn, kind, after, ret_name, ret_ends_ms, ret_record);

    if (r == 0) {
        *ret_name = arena_str(arena, *ret_name);
        *ret_record = arena_str(arena, *ret_record);
    }
    return r;
}

int access_host_get(struct store_txn *txn, struct str hostname,
                    struct access_host *ret_host)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = store_mark_get(txn, STORE_MARK_HOST, hostname, &ends_ms, &record);
    return r == 0 ? damaged(access_host_decode(record, ret_host)) : r;
}

/* ---- tokens ---- */

static int read_token(struct arena *arena, struct ulid id, uint64_t ends_ms,
                      struct str record, struct access_token *ret_token)
{
    int r = access_token_decode(arena, id, record, ret_token);

    if (r == 0) {
        ret_token->ends_ms = ends_ms;
    }
    return damaged(r);
}

int access_token_get(struct store_txn *txn, struct arena *arena, struct ulid id,
                     struct access_token *ret_token)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = get(txn, arena, STORE_MARK_TOKEN, id_name(&id), &ends_ms, &record);
    return r == 0 ? read_token(arena, id, ends_ms, record, ret_token) : r;
}

int access_token_next(struct store_txn *txn, struct arena *arena,
                      const struct ulid *after, struct access_token *ret_token)
{
    struct str name = after == NULL ? STR_NONE : id_name(after);
    uint64_t ends_ms = 0;
    struct str record;
    struct ulid id;

    int r = next(txn, arena, STORE_MARK_TOKEN, name, &name, &ends_ms, &record);
    if (r != 0) {
        return r;
    }
    if (name.n != sizeof id.b) {
        return err_raise(ERR_CORRUPT);
    }
    memcpy(id.b, name.p, sizeof id.b);
    return read_token(arena, id, ends_ms, record, ret_token);
}

/* ---- what has a name ---- */

int access_user_get(struct store_txn *txn, struct arena *arena, struct str name,
                    struct access_user *ret_user)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = get(txn, arena, STORE_MARK_USER, name, &ends_ms, &record);
    return r == 0 ? damaged(access_user_decode(arena, arena_str(arena, name),
                                               record, ret_user))
                  : r;
}

int access_user_next(struct store_txn *txn, struct arena *arena,
                     struct str after, struct access_user *ret_user)
{
    uint64_t ends_ms = 0;
    struct str name, record;

    int r = next(txn, arena, STORE_MARK_USER, after, &name, &ends_ms, &record);
    return r == 0 ? damaged(access_user_decode(arena, name, record, ret_user))
                  : r;
}

int access_group_get(struct store_txn *txn, struct arena *arena,
                     struct str name, struct access_group *ret_group)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r = get(txn, arena, STORE_MARK_GROUP, name, &ends_ms, &record);
    return r == 0 ? damaged(access_group_decode(arena, arena_str(arena, name),
                                                record, ret_group))
                  : r;
}

int access_group_next(struct store_txn *txn, struct arena *arena,
                      struct str after, struct access_group *ret_group)
{
    uint64_t ends_ms = 0;
    struct str name, record;

    int r = next(txn, arena, STORE_MARK_GROUP, after, &name, &ends_ms, &record);
    return r == 0 ? damaged(access_group_decode(arena, name, record, ret_group))
                  : r;
}

int access_role_get(struct store_txn *txn, struct arena *arena, struct str name,
                    struct access_role *ret_role)
{
    const struct access_role *builtin = access_builtin(name);
    uint64_t ends_ms = 0;
    struct str record;

    if (builtin != NULL) {
        *ret_role = *builtin;
        return 0;
    }
    int r = get(txn, arena, STORE_MARK_ROLE, name, &ends_ms, &record);
    return r == 0 ? damaged(access_role_decode(arena, arena_str(arena, name),
                                               record, ret_role))
                  : r;
}

int access_role_next(struct store_txn *txn, struct arena *arena,
                     struct str after, struct access_role *ret_role)
{
    const struct access_role *builtin = access_builtin_after(after);
    uint64_t ends_ms = 0;
    struct str name, record;

    int r = next(txn, arena, STORE_MARK_ROLE, after, &name, &ends_ms, &record);
    if (r < 0) {
        return r;
    }
    if (builtin != NULL &&
        (r == ERR_END || str_compare(builtin->name, name) <= 0)) {
        *ret_role = *builtin;
        return 0;
    }
    return r == 0 ? damaged(access_role_decode(arena, name, record, ret_role))
                  : r;
}

/* ---- who is where ---- */

static bool has(const struct access_names *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (str_equal(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

int access_groups_each(struct store_txn *txn, struct arena *arena,
                       struct str user, access_group_func *func, void *context)
{
    struct arena *one = arena_new();
    struct access_group group;
    struct str after = STR_NONE;
    struct buf name = {0};
    int r;

    while ((r = access_group_next(txn, one, after, &group)) == 0) {
        if (has(&group.members, user)) {
            r = func(context, arena, &group);
        }
        if (r != 0) {
            break;
        }
        buf_clear(&name);
        buf_add_str(&name, group.name);
        after = buf_str(&name);
        arena_reset(one);
    }
    buf_done(&name);
    (void)arena_free(one);
    return r == ERR_END ? 0 : r;
}

struct listed {
    struct str *items;
    size_t n, room;
};

static int list_group(void *context, struct arena *arena,
                      const struct access_group *group)
{
    struct listed *listed = context;

    if (listed->n == listed->room) {
        listed->room = listed->room * 2 + 8;
        listed->items =
            mem_grow(listed->items, listed->room * sizeof *listed->items);
    }
    listed->items[listed->n++] = arena_str(arena, group->name);
    return 0;
}

int access_groups_of(struct store_txn *txn, struct arena *arena,
                     struct str user, struct access_names *ret_groups)
{
    struct listed listed = {.n = 0};

    int r = access_groups_each(txn, arena, user, list_group, &listed);
    if (r == 0) {
        size_t bytes = listed.n * sizeof *listed.items;
        struct str *items = arena_zero(arena, bytes + 1);
        if (bytes > 0) {
            memcpy(items, listed.items, bytes);
        }
        *ret_groups = (struct access_names){items, listed.n};
    }
    mem_free(listed.items);
    return r;
}
