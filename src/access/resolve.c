/* From what somebody shows to what he may. */
#include "access/access_token.h"
#include "access/inside.h"
#include "base/err.h"

struct look {
    struct store_txn *txn; /* NULL: only built-in roles are known */
    struct arena *arena;
    struct str domain;
    uint64_t access_rev;
    struct access_rules rules;
};

static int look_begin(struct look *look, struct store_txn *txn)
{
    struct store_node root;

    *look = (struct look){.txn = txn, .arena = arena_new()};
    if (txn == NULL) {
        return 0;
    }
    look->access_rev = store_meta(txn)->access_rev;
    int r = store_node_get(txn, STORE_ROOT, &root);
    if (r == 0) {
        look->domain = arena_str(look->arena, root.name);
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static void look_end(struct look *look)
{
    look->arena = arena_free(look->arena);
}

static int find_role(struct look *look, struct str name,
                     struct access_role *ret_role)
{
    const struct access_role *builtin = access_builtin(name);

    if (look->txn != NULL) {
        return access_role_get(look->txn, look->arena, name, ret_role);
    }
    if (builtin == NULL) {
        return ERR_NOT_FOUND;
    }
    *ret_role = *builtin;
    return 0;
}

/* [ACCESS-3] */
static int add_grant(struct look *look, struct mays *mays, struct str grant)
{
    struct access_role role;
    struct str name, ns;

    int r = access_grant_parse(grant, &name, &ns) == 0
                ? find_role(look, name, &role)
                : ERR_NOT_FOUND;
    if (r == 0) {
        /* The grant may be lent from a group that is read and forgotten. */
        access_gather(look->arena, mays, role.rules, role.n_rules,
                      arena_str(look->arena, ns), look->domain);
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int add_grants(struct look *look, struct mays *mays,
                      const struct access_names *grants)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < grants->n; i++) {
        r = add_grant(look, mays, grants->items[i]);
    }
    return r;
}

static struct access_who *look_pack(struct look *look,
                                    const struct access_made *made)
{
    access_settle(&look->rules.own);
    access_settle(&look->rules.limit);
    return access_pack(made, &look->rules, look->access_rev);
}

static int limit_to(struct look *look, const struct access_names *limits)
{
    look->rules.limited = true;
    return add_grants(look, &look->rules.limit, limits);
}

int access_make(struct store_txn *txn, const struct access_made *made,
                struct access_who **ret_who)
{
    struct look look;

    int r = look_begin(&look, txn);
    if (r == 0) {
        access_gather(look.arena, &look.rules.own, made->rules, made->n_rules,
                      STR(""), look.domain);
        r = add_grants(&look, &look.rules.own, &made->grants);
    }
    if (r == 0 && made->limits != NULL) {
        r = limit_to(&look, made->limits);
    }
    if (r == 0) {
        *ret_who = look_pack(&look, made);
    }
    look_end(&look);
    return r;
}

/* ---- users ---- */

static int add_group(void *context, struct arena *arena,
                     const struct access_group *group)
{
    struct look *look = context;

    (void)arena;
    return add_grants(look, &look->rules.own, &group->roles);
}

/* Answers: NOT_FOUND: he has gone, or is not to be let in. */
static int add_user(struct look *look, struct str name)
{
    struct access_user user;

    int r = access_is_name(name)
                ? access_user_get(look->txn, look->arena, name, &user)
                : ERR_NOT_FOUND;
    if (r != 0 || user.disabled) {
        return r != 0 ? r : ERR_NOT_FOUND;
    }
    r = add_grants(look, &look->rules.own, &user.roles);
    return r == 0 ? access_groups_each(look->txn, look->arena, name, add_group,
                                       look)
                  : r;
}

static int show_user(struct look *look, struct str name,
                     struct access_who **ret_who)
{
    const struct access_made made = {
        .kind = ACCESS_USER, .name = name, .user = name};

    int r = add_user(look, name);
    if (r == 0) {
        *ret_who = look_pack(look, &made);
    }
    return r;
}

/* It is for the other nodes: over HTTP it lets in to join, which is asked for
 * there (as itself), and no longer means anything else once the node was
 * removed. Who looks after a node has its token. */
static int show_node(struct look *look, struct str name,
                     struct access_who **ret_who)
{
    static const struct str cluster = {ACCESS_CLUSTER,
                                       sizeof ACCESS_CLUSTER - 1};
    static const struct access_rule joins = {
        ACCESS_READ | ACCESS_CREATE, {"", 0}, {&cluster, 1}};
    const struct access_made made = {.kind = ACCESS_NODE, .name = name};

    access_gather(look->arena, &look->rules.own, &joins, 1, STR(""),
                  look->domain);
    *ret_who = look_pack(look, &made);
    return 0;
}

/* ---- tokens ---- */

static enum access_kind kind_of(const struct access_token *token)
{
    switch (token->kind) {
    case ACCESS_JOINING:
        return token->hostname.n > 0 ? ACCESS_AGENT : ACCESS_JOIN;
    case ACCESS_OF_AGENT:
        return ACCESS_AGENT;
    case ACCESS_OF_NODE:
        return ACCESS_NODE;
    case ACCESS_SESSION:
    case ACCESS_BEARER:
        break;
    }
    return token->user.n > 0 ? ACCESS_USER : ACCESS_TOKEN;
}

/* For people: a user, host or node by its name, others by id and name. */
static struct str name_of(struct arena *arena, const struct access_token *token,
                          struct str id)
{
    switch (kind_of(token)) {
    case ACCESS_USER:
        return token->user;
    case ACCESS_AGENT:
        return token->hostname;
    case ACCESS_NODE:
        return token->name.n > 0 ? token->name : id;
    default:
        return token->name.n > 0
                   ? arena_printf(arena, "%.*s(%.*s)", STR_ARG(id),
                                  STR_ARG(token->name))
                   : id;
    }
}

/* A group of the directory gives what the one of the same name gives here. */
static int add_session(struct look *look, const struct access_token *token)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < token->groups.n; i++) {
        struct access_group group;
        r = access_group_get(look->txn, look->arena, token->groups.items[i],
                             &group);
        if (r == 0) {
            r = add_grants(look, &look->rules.own, &group.roles);
        }
        r = r == ERR_NOT_FOUND ? 0 : r;
    }
    return r;
}

static int add_token(struct look *look, const struct access_token *token)
{
    if (token->user.n == 0) {
        return add_grants(look, &look->rules.own, &token->roles);
    }
    int r = add_user(look, token->user);
    if (r == 0) {
        r = add_session(look, token);
    }
    return r == 0 && token->roles.n > 0 ? limit_to(look, &token->roles) : r;
}

static int show_token(struct look *look, const struct access_token *token,
                      uint64_t now_ms, struct access_who **ret_who)
{
    char text[ULID_TEXT];
    struct str id = {text, sizeof text};

    if (token->ends_ms > 0 && token->ends_ms <= now_ms) {
        return ERR_NOT_FOUND;
    }
    int r = add_token(look, token);
    if (r != 0) {
        return r;
    }
    ulid_format(token->id, text);
    const struct access_made made = {.kind = kind_of(token),
                                     .name = name_of(look->arena, token, id),
                                     .id = id,
                                     .user = token->user,
                                     .hostname = token->hostname,
                                     .hosts = token->hosts,
                                     .reusable = token->reusable,
                                     .expires_ms = token->ends_ms};
    memcpy(look->rules.hash, token->hash, sizeof look->rules.hash);
    *ret_who = look_pack(look, &made);
    return 0;
}

static int find_token(struct look *look, struct ulid id,
                      const uint8_t hash[SHA256_BYTES], uint64_t now_ms,
                      struct access_who **ret_who)
{
    struct access_token token;

    int r = access_token_get(look->txn, look->arena, id, &token);
    if (r != 0) {
        return r;
    }
    return access_token_same(token.hash, hash)
               ? show_token(look, &token, now_ms, ret_who)
               : ERR_NOT_FOUND;
}

static int find_text(struct look *look, struct str text, uint64_t now_ms,
                     struct access_who **ret_who)
{
    uint8_t hash[SHA256_BYTES];
    struct ulid id;

    if (access_token_parse(text, &id) != 0) {
        return ERR_NOT_FOUND;
    }
    access_token_hash(text, hash);
    return find_token(look, id, hash, now_ms, ret_who);
}

/* ---- the door ---- */

static int look_shown(struct look *look, const struct access_shown *shown,
                      uint64_t now_ms, struct access_who **ret_who)
{
    if (shown->token.p != NULL) {
        return find_text(look, shown->token, now_ms, ret_who);
    }
    if (shown->node.n > 0) {
        return show_node(look, shown->node, ret_who);
    }
    return shown->user.n > 0 ? show_user(look, shown->user, ret_who)
                             : ERR_NOT_FOUND;
}

int access_resolve(struct store_txn *txn, const struct access_shown *shown,
                   uint64_t now_ms, struct access_who **ret_who)
{
    struct look look;

    int r = look_begin(&look, txn);
    if (r == 0) {
        r = look_shown(&look, shown, now_ms, ret_who);
    }
    look_end(&look);
    return r;
}

static int look_again(struct look *look, const struct access_who *who,
                      uint64_t now_ms, struct access_who **ret_who)
{
    struct ulid id;

    if (who->id.n > 0) {
        /* Another token may have got the id of one that was deleted. */
        return ulid_parse(who->id, &id) == 0
                   ? find_token(look, id, who->rules->hash, now_ms, ret_who)
                   : ERR_NOT_FOUND;
    }
    switch (who->kind) {
    case ACCESS_USER:
        return show_user(look, who->user, ret_who);
    case ACCESS_NODE:
        return show_node(look, who->name, ret_who);
    default:
        return ERR_NOT_FOUND;
    }
}

int access_again(struct store_txn *txn, const struct access_who *who,
                 uint64_t now_ms, struct access_who **ret_who)
{
    struct look look;

    if (who->kind == ACCESS_ANYONE || who->kind == ACCESS_ANONYMOUS) {
        *ret_who =
            who->kind == ACCESS_ANYONE ? access_anyone() : access_anonymous();
        return 0;
    }
    int r = look_begin(&look, txn);
    if (r == 0) {
        r = look_again(&look, who, now_ms, ret_who);
    }
    look_end(&look);
    return r;
}
