#include "model/access_record.h"

#include <assert.h>

#include "base/err.h"
#include "model/access_quota.h"
#include "model/name.h"

enum { FORMAT = 1, TOKEN_REUSABLE = 1, USER_DISABLED = 1 };

/* ---- writing ---- */

static void put_head(struct buf *out, uint64_t rev)
{
    buf_add_char(out, FORMAT);
    buf_add_le(out, rev, 8);
}

static void put_name(struct buf *out, struct str name)
{
    assert(name.n <= UINT8_MAX);
    buf_add_le(out, name.n, 1);
    buf_add_str(out, name);
}

static void put_text(struct buf *out, struct str text)
{
    assert(text.n <= UINT16_MAX);
    buf_add_le(out, text.n, 2);
    buf_add_str(out, text);
}

static void put_names(struct buf *out, const struct access_names *names)
{
    assert(names->n <= UINT16_MAX);
    buf_add_le(out, names->n, 2);
    for (size_t i = 0; i < names->n; i++) {
        put_name(out, names->items[i]);
    }
}

/* A role and a path are longer than a name may be. */
static void put_grants(struct buf *out, const struct access_names *grants)
{
    assert(grants->n <= UINT8_MAX);
    buf_add_le(out, grants->n, 1);
    for (size_t i = 0; i < grants->n; i++) {
        put_text(out, grants->items[i]);
    }
}

void access_token_encode(struct buf *out, const struct access_token *token)
{
    put_head(out, token->rev);
    buf_add_le(out, token->kind, 1);
    buf_add_le(out, token->reusable ? TOKEN_REUSABLE : 0, 1);
    buf_add(out, token->hash, sizeof token->hash);
    buf_add_le(out, token->created_ms, 8);
    put_name(out, token->created_by);
    put_name(out, token->name);
    put_name(out, token->user);
    put_name(out, token->hostname);
    put_text(out, token->hosts);
    put_grants(out, &token->roles);
    put_names(out, &token->groups);
}

void access_role_encode(struct buf *out, const struct access_role *role)
{
    put_head(out, role->rev);
    put_text(out, role->comment);
    assert(role->n_rules <= UINT8_MAX);
    buf_add_le(out, role->n_rules, 1);
    for (size_t i = 0; i < role->n_rules; i++) {
        buf_add_le(out, role->rules[i].verbs, 1);
        put_name(out, role->rules[i].ns);
        put_names(out, &role->rules[i].targets);
    }
}

void access_user_encode(struct buf *out, const struct access_user *user)
{
    put_head(out, user->rev);
    buf_add_le(out, user->source, 1);
    buf_add_le(out, user->disabled ? USER_DISABLED : 0, 1);
    put_text(out, user->comment);
    put_name(out, user->password);
    put_grants(out, &user->roles);
}

void access_group_encode(struct buf *out, const struct access_group *group)
{
    put_head(out, group->rev);
    put_text(out, group->comment);
    put_grants(out, &group->roles);
    put_names(out, &group->members);
    put_names(out, &group->managers);
}

/* ---- reading: a cursor that stays bad once it ran short ---- */

struct cursor {
    struct arena *arena;
    struct str rest;
    bool bad;
};

static struct str take(struct cursor *in, size_t n)
{
    struct str taken = {in->rest.p, n};

    if (in->bad || in->rest.n < n) {
        in->bad = true;
        return STR("");
    }
    in->rest.p += n;
    in->rest.n -= n;
    return taken;
}

static uint64_t get(struct cursor *in, size_t n)
{
    struct str bytes = take(in, n);

    return bytes.n == 0 ? 0 : le_get(bytes.p, n);
}

static struct str get_name(struct cursor *in)
{
    return take(in, (size_t)get(in, 1));
}

static struct str get_text(struct cursor *in)
{
    return take(in, (size_t)get(in, 2));
}

/* One of two values and nothing else: else two forms would mean the same. */
static bool get_flag(struct cursor *in, uint64_t flag)
{
    uint64_t flags = get(in, 1);

    in->bad = in->bad || (flags & ~flag) != 0;
    return flags == flag;
}

/* A count that the rest cannot hold is a lie, and must not size an allocation.
 */
static size_t get_count(struct cursor *in, size_t bytes, size_t least)
{
    size_t n = (size_t)get(in, bytes);

    in->bad = in->bad || n > in->rest.n / least;
    return in->bad ? 0 : n;
}

static struct access_names get_list(struct cursor *in, size_t n,
                                    struct str (*get_one)(struct cursor *))
{
    struct str *items = arena_zero(in->arena, (n + 1) * sizeof *items);

    for (size_t i = 0; i < n; i++) {
        items[i] = get_one(in);
    }
    return (struct access_names){items, n};
}

static struct access_names get_names(struct cursor *in)
{
    return get_list(in, get_count(in, 2, 1), get_name);
}

static struct access_names get_grants(struct cursor *in)
{
    return get_list(in, get_count(in, 1, 2), get_text);
}

static struct cursor open_record(struct arena *arena, struct str record,
                                 uint64_t *ret_rev)
{
    struct cursor in = {.arena = arena, .rest = record};

    in.bad = record.n > ACCESS_RECORD_MOST || get(&in, 1) != FORMAT;
    *ret_rev = get(&in, 8);
    return in;
}

static bool is_read(const struct cursor *in)
{
    return !in->bad && in->rest.n == 0;
}

int access_token_decode(struct arena *arena, struct ulid id, struct str record,
                        struct access_token *ret_token)
{
    struct access_token token = {.id = id};
    struct str why;
    struct cursor in = open_record(arena, record, &token.rev);

    token.kind = (enum access_token_kind)get(&in, 1);
    token.reusable = get_flag(&in, TOKEN_REUSABLE);
    struct str hash = take(&in, sizeof token.hash);
    memcpy(token.hash, hash.p, hash.n);
    token.created_ms = get(&in, 8);
    token.created_by = get_name(&in);
    token.name = get_name(&in);
    token.user = get_name(&in);
    token.hostname = get_name(&in);
    token.hosts = get_text(&in);
    token.roles = get_grants(&in);
    token.groups = get_names(&in);
    if (!is_read(&in) || access_token_check(arena, &token, &why) != 0) {
        return ERR_INVALID;
    }
    *ret_token = token;
    return 0;
}

static void get_rule(struct cursor *in, struct access_rule *ret_rule)
{
    ret_rule->verbs = (uint8_t)get(in, 1);
    ret_rule->ns = get_name(in);
    ret_rule->targets = get_names(in);
}

int access_role_decode(struct arena *arena, struct str name, struct str record,
                       struct access_role *ret_role)
{
    struct access_role role = {.name = name};
    struct str why;
    struct cursor in = open_record(arena, record, &role.rev);

    role.comment = get_text(&in);
    role.n_rules = get_count(&in, 1, 4);
    struct access_rule *rules =
        arena_zero(arena, (role.n_rules + 1) * sizeof *rules);
    for (size_t i = 0; i < role.n_rules; i++) {
        get_rule(&in, &rules[i]);
    }
    role.rules = rules;
    if (!is_read(&in) || access_role_check(arena, &role, &why) != 0) {
        return ERR_INVALID;
    }
    *ret_role = role;
    return 0;
}

int access_user_decode(struct arena *arena, struct str name, struct str record,
                       struct access_user *ret_user)
{
    struct access_user user = {.name = name};
    struct str why;
    struct cursor in = open_record(arena, record, &user.rev);

    user.source = (enum access_source)get(&in, 1);
    user.disabled = get_flag(&in, USER_DISABLED);
    user.comment = get_text(&in);
    user.password = get_name(&in);
    user.roles = get_grants(&in);
    if (!is_read(&in) || access_user_check(arena, &user, &why) != 0) {
        return ERR_INVALID;
    }
    *ret_user = user;
    return 0;
}

int access_group_decode(struct arena *arena, struct str name, struct str record,
                        struct access_group *ret_group)
{
    struct access_group group = {.name = name};
    struct str why;
    struct cursor in = open_record(arena, record, &group.rev);

    group.comment = get_text(&in);
    group.roles = get_grants(&in);
    group.members = get_names(&in);
    group.managers = get_names(&in);
    if (!is_read(&in) || access_group_check(arena, &group, &why) != 0) {
        return ERR_INVALID;
    }
    *ret_group = group;
    return 0;
}

/* ---- hosts ---- */

void access_host_encode(struct buf *out, const struct access_host *host)
{
    put_head(out, host->rev);
    buf_add(out, host->token.b, sizeof host->token.b);
}

int access_host_decode(struct str record, struct access_host *ret_host)
{
    struct access_host host;

    if (record.n != ACCESS_RECORD_HEAD + sizeof host.token.b ||
        record.p[0] != FORMAT) {
        return ERR_INVALID;
    }
    host.rev = le_get(record.p + 1, 8);
    memcpy(host.token.b, record.p + ACCESS_RECORD_HEAD, sizeof host.token.b);
    *ret_host = host;
    return 0;
}

/* ---- whatever it is ---- */

const char *access_what_name(char what)
{
    switch (what) {
    case ACCESS_IS_TOKEN:
        return "token";
    case ACCESS_IS_ROLE:
        return "role";
    case ACCESS_IS_USER:
        return "user";
    case ACCESS_IS_GROUP:
        return "group";
    case ACCESS_IS_HOST:
        return "host";
    case ACCESS_IS_QUOTA:
        return "quota";
    default:
        return NULL;
    }
}

bool access_what_named(char what, struct str name)
{
    switch (what) {
    case ACCESS_IS_TOKEN:
        return name.n == sizeof(struct ulid);
    case ACCESS_IS_ROLE:
        return access_is_role(name);
    case ACCESS_IS_USER:
    case ACCESS_IS_GROUP:
        return access_is_name(name);
    case ACCESS_IS_HOST:
        return name_is_host(name);
    case ACCESS_IS_QUOTA:
        return name.n == ACCESS_QUOTA_NAME;
    default:
        return false;
    }
}

bool access_is_sound(struct arena *arena, char what, struct str name,
                     struct str record)
{
    const struct ulid any = {{0}};
    struct access_token token;
    struct access_role role;
    struct access_user user;
    struct access_group group;
    struct access_host host;
    struct access_quota quota;

    if (!access_what_named(what, name)) {
        return false;
    }
    switch (what) {
    case ACCESS_IS_TOKEN:
        return access_token_decode(arena, any, record, &token) == 0;
    case ACCESS_IS_ROLE:
        return access_role_decode(arena, name, record, &role) == 0;
    case ACCESS_IS_USER:
        return access_user_decode(arena, name, record, &user) == 0;
    case ACCESS_IS_HOST:
        return access_host_decode(record, &host) == 0;
    case ACCESS_IS_QUOTA:
        return access_quota_decode(record, &quota) == 0;
    default:
        return access_group_decode(arena, name, record, &group) == 0;
    }
}

bool access_token_was_bound(struct arena *arena, struct str old,
                            uint64_t old_ends_ms, struct str record,
                            uint64_t ends_ms)
{
    const struct ulid any = {{0}};
    struct access_token before, after;
    struct buf expected = {0};

    if (access_token_decode(arena, any, old, &before) != 0 ||
        access_token_decode(arena, any, record, &after) != 0 ||
        before.hostname.n > 0 || after.hostname.n == 0 ||
        (ends_ms > 0 && (old_ends_ms == 0 || ends_ms < old_ends_ms))) {
        return false;
    }
    before.rev = after.rev;
    before.hostname = after.hostname;
    access_token_encode(&expected, &before);
    bool same = str_equal(buf_str(&expected), record);
    buf_done(&expected);
    return same;
}
