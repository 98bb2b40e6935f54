/* Users: whose tokens and sessions they are, and what they may. */
#include "registry/users.h"

#include "registry/answer.h"
#include "registry/body.h"
#include "registry/desk.h"
#include "registry/permit.h"

/* All but its end. */
static int add_user(struct store_txn *txn, struct arena *arena,
                    const struct access_user *user, struct buf *out)
{
    struct access_names groups = {0};

    int r = access_groups_of(txn, arena, user->name, &groups);
    if (r != 0) {
        return r;
    }
    buf_add_text(out, "{\"name\":");
    json_add_string(out, user->name);
    grants_add_text(out, "comment", user->comment);
    grants_add_names(out, "roles", &user->roles);
    buf_printf(out, ",\"source\":\"%s\",\"disabled\":%s",
               user->source == ACCESS_LDAP ? "ldap" : "local",
               user->disabled ? "true" : "false");
    grants_add_names(out, "groups", &groups);
    return 0;
}

static int refuse_missing(struct op_state *s)
{
    return answer_problem(s, OP_NOT_FOUND, STR(""), "there is no user %.*s",
                          SHOW(s->op->id));
}

/* ---- reads ---- */

static int next_user(struct op_state *s, struct store_txn *txn,
                     struct arena *arena, struct str *at, struct buf *out)
{
    struct access_user user;

    int r = access_user_next(txn, arena, *at, &user);
    if (r != 0) {
        return r;
    }
    *at = user.name;
    if (!grants_may(s, ACCESS_READ) && !grants_is_self(s, user.name)) {
        return 0;
    }
    r = add_user(txn, arena, &user, out);
    buf_printf(out, ",\"rev\":%llu}", (unsigned long long)user.rev);
    return r;
}

/* Who may not read all is shown himself. */
int user_list(struct op_state *s)
{
    int r = grants_permit_own(s);

    if (r == 0 && s->op->query.after.p != NULL) {
        r = grants_check_name(s, s->op->query.after, "user");
    }
    return r != 0 ? r : grants_list(s, next_user);
}

struct shown {
    struct buf text;
    uint64_t rev;
};

static int read_user(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct shown *shown = arg;
    struct access_user user;

    int r = access_user_get(txn, s->arena, s->op->id, &user);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? refuse_missing(s) : r;
    }
    shown->rev = user.rev;
    return add_user(txn, s->arena, &user, &shown->text);
}

int user_get(struct op_state *s)
{
    struct shown shown = {.rev = 0};

    int r = grants_is_self(s, s->op->id) ? permit_known(s)
                                         : grants_permit(s, ACCESS_READ);
    if (r == 0) {
        r = grants_check_name(s, s->op->id, "user");
    }
    if (r == 0) {
        r = snapshot_run(s, read_user, &shown);
    }
    if (r != 0) {
        buf_done(&shown.text);
        return r;
    }
    return grants_answer(s, &shown.text, shown.rev);
}

/* ---- PUT ---- */

struct put {
    struct access_user user;
    bool has_password, no_password; /* given; given as null */
    struct str password, hash;
    struct grants_write write;
    struct buf text;
};

static int read_source(struct op_state *s, const struct json *body,
                       struct access_user *user)
{
    struct str source;

    int r = grants_text(s, body, "source", &source);
    user->source = str_is(source, "ldap") ? ACCESS_LDAP : ACCESS_LOCAL;
    if (r == 0 && source.n > 0 && user->source == ACCESS_LOCAL &&
        !str_is(source, "local")) {
        return answer_problem(s, OP_BAD_REQUEST, STR("source"),
                              "source is local (with a password here) or ldap "
                              "(whose directory knows the password)");
    }
    return r;
}

int users_check_password(struct op_state *s, struct str password)
{
    if (!access_password_fits(password)) {
        return answer_problem(s, OP_BAD_REQUEST, STR("password"),
                              "a password has %d to %d bytes of UTF-8",
                              ACCESS_PASSWORD_SHORTEST,
                              ACCESS_PASSWORD_LONGEST);
    }
    /* What is kept of a key is a plain hash of the request: a password could be
     * guessed from it. */
    if (s->op->if_.idempotency_key.p != NULL) {
        return answer_problem(s, OP_BAD_REQUEST, STR("Idempotency-Key"),
                              "a request with a password takes no "
                              "Idempotency-Key: leave it out, the same "
                              "password may be set twice");
    }
    return 0;
}

static int read_password(struct op_state *s, const struct json *body,
                         struct put *put)
{
    const struct json *member = json_get(body, "password");

    put->no_password = member != NULL && member->kind == JSON_NULL;
    put->has_password = member != NULL && member->kind != JSON_NULL;
    if (!put->has_password) {
        return 0;
    }
    int r = grants_text(s, body, "password", &put->password);
    if (r == 0) {
        r = users_check_password(s, put->password);
    }
    if (r == 0 && put->user.source == ACCESS_LDAP) {
        r = answer_problem(s, OP_BAD_REQUEST, STR("password"),
                           "a user of ldap has his password there: leave it "
                           "out");
    }
    return r;
}

static int read_body(struct op_state *s, struct put *put)
{
    static const char *const names[] = {"comment",  "roles",    "source",
                                        "disabled", "password", NULL};
    struct access_user *user = &put->user;
    struct json *body = NULL;

    user->name = s->op->id;
    int r = grants_body(s, names, &body);
    if (r == 0) {
        r = grants_text(s, body, "comment", &user->comment);
    }
    if (r == 0) {
        r = grants_names(s, body, STR(""), "roles", &user->roles);
    }
    if (r == 0) {
        r = read_source(s, body, user);
    }
    if (r == 0) {
        r = grants_flag(s, body, "disabled", &user->disabled);
    }
    return r != 0 ? r : read_password(s, body, put);
}

/* Tokens that were made for a user of this name: nobody inherits them. */
static int drop_tokens(struct op_state *s, struct store_txn *txn,
                       struct grants_write *write)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct access_token token;
    struct ulid at;
    const struct ulid *after = NULL;
    int r;

    while ((r = access_token_next(txn, arena, after, &token)) == 0) {
        struct str id = {(const char *)token.id.b, sizeof token.id.b};
        if (str_equal(token.user, s->op->id)) {
            grants_del(s, write, STORE_MARK_TOKEN, id, token.rev);
        }
        at = token.id;
        after = &at;
        arena_reset(arena);
    }
    return r == ERR_END ? 0 : r;
}

static int check_cover(struct op_state *s, struct store_txn *txn,
                       const struct access_user *user)
{
    struct access_made made = {.kind = ACCESS_USER, .user = user->name};

    int r = grants_check_roles(s, txn, &user->roles);
    if (r == 0) {
        r = grants_of_user(s, txn, user->name, &user->roles, &made.grants);
    }
    /* Who can set a password can be that user. */
    return r != 0 ? r : grants_cover(s, txn, &made);
}

static int check_put(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct put *put = arg;
    struct access_user *user = &put->user;
    struct access_user old = {.password = STR("")};

    put->write = (struct grants_write){0};
    buf_clear(&put->text);
    int r = access_user_get(txn, s->arena, user->name, &old);
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    user->rev = r == 0 ? old.rev : 0;
    user->password = put->has_password ? put->hash
                     : put->no_password || user->source == ACCESS_LDAP
                         ? STR("")
                         : old.password;
    r = grants_check_conditions(s, user->rev);
    if (r == 0) {
        r = check_cover(s, txn, user);
    }
    if (r == 0 && user->rev == 0) {
        r = drop_tokens(s, txn, &put->write);
    } else if (r == 0 && !str_equal(user->password, old.password)) {
        r = users_end_sessions(s, txn, user->name, &put->write);
    }
    return r != 0 ? r : add_user(txn, s->arena, user, &put->text);
}

static int submit_put(struct op_state *s, struct put *put)
{
    struct access_user *user = &put->user;
    struct buf record = {0};
    struct str why;

    int r = 0;

    if (access_user_check(s->arena, user, &why) != 0) {
        return grants_refuse(s, why);
    }
    access_user_encode(&record, user);
    r = grants_put(s, &put->write, STORE_MARK_USER, user->name, user->rev, 0,
                   &record);
    if (r != 0) {
        return r;
    }
    /* The command's result is that of its last item, the user. */
    grants_keep_answer(s, &put->text);
    return grants_submit(s, &put->write);
}

int user_put(struct op_state *s)
{
    struct put put = {.has_password = false};

    int r = grants_check_level(s);
    if (r == 0) {
        r = grants_check_name(s, s->op->id, "user");
    }
    if (r == 0) {
        r = read_body(s, &put);
    }
    if (r == 0 && put.has_password) {
        r = desk_hash(s, put.password, &put.hash);
    }
    if (r == 0 && !s->on_worker) {
        return NEEDS_WORKER; /* it looks at all tokens */
    }
    if (r == 0) {
        r = snapshot_run(s, check_put, &put);
    }
    if (r == 0) {
        r = submit_put(s, &put);
    }
    buf_done(&put.text);
    return r;
}

/* ---- DELETE ---- */

static int leave_group(struct op_state *s, struct grants_write *write,
                       struct access_group *group)
{
    struct access_names members = grants_without(s, &group->members, s->op->id);
    struct access_names managers =
        grants_without(s, &group->managers, s->op->id);
    struct buf record = {0};

    if (members.n == group->members.n && managers.n == group->managers.n) {
        return 0;
    }
    group->members = members;
    group->managers = managers;
    access_group_encode(&record, group);
    return grants_put(s, write, STORE_MARK_GROUP, group->name, group->rev, 0,
                      &record);
}

static int leave_groups(struct op_state *s, struct store_txn *txn,
                        struct grants_write *write)
{
    struct access_group group;
    struct str after = STR_NONE;
    int r;

    while ((r = access_group_next(txn, s->arena, after, &group)) == 0) {
        after = group.name;
        r = leave_group(s, write, &group);
        if (r != 0) {
            return r;
        }
    }
    return r == ERR_END ? 0 : r;
}

static int check_delete(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct grants_write *write = arg;
    struct access_user user;

    *write = (struct grants_write){0};
    int r = access_user_get(txn, s->arena, s->op->id, &user);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? refuse_missing(s) : r;
    }
    r = grants_check_conditions(s, user.rev);
    if (r == 0) {
        r = drop_tokens(s, txn, write);
    }
    if (r == 0) {
        r = leave_groups(s, txn, write);
    }
    if (r == 0) {
        grants_del(s, write, STORE_MARK_USER, user.name, user.rev);
    }
    return r;
}

/* With him go his tokens, his sessions, and his places in groups: who is given
 * the name later begins with nothing. */
int user_delete(struct op_state *s)
{
    struct grants_write write = {0};

    int r = grants_check_level(s);
    if (r == 0) {
        r = grants_check_name(s, s->op->id, "user");
    }
    if (r == 0 && !s->on_worker) {
        return NEEDS_WORKER;
    }
    if (r == 0) {
        r = snapshot_run(s, check_delete, &write);
    }
    return r != 0 ? r : grants_submit(s, &write);
}
