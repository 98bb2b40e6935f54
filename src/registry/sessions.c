/* Signing in: a user and his password for a token that lasts a while.
 *
 * Whoever is refused learns that he is, not why: a user who is not there, one
 * who is disabled and a wrong password have one answer, at one time. For the
 * time a hash is compared in each case, and a refusal comes no sooner than
 * PAUSE_MS after the request: the rest (which of them a directory was asked
 * about) is hidden behind that. */
#include "base/clock.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/desk.h"
#include "registry/grants.h"
#include "registry/permit.h"
#include "registry/tokens.h"
#include "registry/users.h"
#include "registry/wait.h"

enum {
    PAUSE_MS = 500,
    /* Of one user; the oldest end when there are more. */
    SESSIONS_MOST = 64,
    /* More tokens are looked at by a worker. */
    QUICK = 1000,
};

/* ---- refusals ---- */

static void begin(struct op_state *s)
{
    if (s->until_ms == 0) {
        s->until_ms = clock_mono_ms() + PAUSE_MS;
    }
}

/* 0: it was long enough. */
static int pause(struct op_state *s)
{
    if (clock_mono_ms() >= s->until_ms) {
        return 0;
    }
    s->awaited = UINT64_MAX;
    return wait_revision(s);
}

static int admit(struct op_state *s, struct str user)
{
    struct registry_limit limit;

    /* Once for an op, whichever turn it is. */
    if (s->admitted) {
        return 0;
    }
    if (registry_admit_signin(s->registry, s->op->from, user, &limit)) {
        s->admitted = s->counted = true;
        return 0;
    }
    s->op->answer.retry_after_s = limit.retry_after_s;
    return answer_problem(s, OP_TOO_MANY, STR(""),
                          "too many attempts to sign in: try again in %u s",
                          limit.retry_after_s);
}

static void was_right(struct op_state *s, struct str user)
{
    if (s->counted) {
        registry_signed_in(s->registry, s->op->from, user);
        s->counted = false;
    }
}

/* ---- the user's password ---- */

struct person {
    struct access_user user;
    bool known;
    uint64_t access_rev;        /* he was read at */
    struct access_names groups; /* of the directory */
};

static int find_person(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct person *person = arg;

    int r =
        access_is_name(person->user.name)
            ? access_user_get(txn, s->arena, person->user.name, &person->user)
            : ERR_NOT_FOUND;
    person->known = r == 0;
    person->access_rev = store_meta(txn)->access_rev;
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int ask_directory(struct op_state *s, struct person *person,
                         struct str password, bool *ret_is)
{
    int said = 0;

    int r = desk_ask(s, person->user.name, password, &said, &person->groups);
    if (r != 0) {
        return r;
    }
    *ret_is = said == 0;
    if (said == ERR_NOT_READY && !desk_has_directory(s->registry->desk)) {
        return answer_busy(s, "the password of this user is a directory's, and "
                              "this node was given none to ask: see rosterd's "
                              "--ldap-url");
    }
    return said != ERR_NOT_READY
               ? 0
               : answer_busy(s, "the directory that knows this user's password "
                                "could not be asked: this node's log says why");
}

/* A hash of nobody's is compared when there is none. */
static int check_password(struct op_state *s, struct person *person,
                          struct str password, bool *ret_is)
{
    struct str hash = person->known ? person->user.password : STR("");
    bool of_ldap = person->known && person->user.source == ACCESS_LDAP;

    int r = of_ldap ? ask_directory(s, person, password, ret_is)
                    : desk_check(s, password, hash, ret_is);
    *ret_is = r == 0 && *ret_is && person->known && !person->user.disabled;
    if (*ret_is) {
        was_right(s, person->user.name);
    }
    return r;
}

/* ---- what he has already ---- */

struct sessions {
    struct str user;
    size_t most; /* that stay: the newest */
    struct grants_write *write;
    struct session {
        struct ulid id;
        uint64_t rev;
    } newest[SESSIONS_MOST];
    size_t n;
};

static void drop(struct op_state *s, struct sessions *sessions,
                 const struct session *session)
{
    grants_del(s, sessions->write, STORE_MARK_TOKEN,
               (struct str){(const char *)session->id.b, sizeof session->id.b},
               session->rev);
}

/* Ids are in the order of time: a ring of the newest, what leaves it ends. */
static void note(struct op_state *s, struct sessions *sessions,
                 const struct access_token *token)
{
    const struct session session = {token->id, token->rev};

    if (sessions->most == 0) {
        drop(s, sessions, &session);
        return;
    }
    struct session *at = &sessions->newest[sessions->n % sessions->most];
    if (sessions->n >= sessions->most) {
        drop(s, sessions, at);
    }
    *at = session;
    sessions->n++;
}

static int walk(struct op_state *s, struct store_txn *txn,
                struct sessions *sessions)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    const struct ulid *after = NULL;
    struct access_token token;
    struct ulid at;
    int r = 0;

    for (size_t seen = 0; r == 0; seen++) {
        if (seen == QUICK && !s->on_worker) {
            return NEEDS_WORKER;
        }
        arena_reset(arena);
        r = access_token_next(txn, arena, after, &token);
        if (r == 0 && token.kind == ACCESS_SESSION &&
            str_equal(token.user, sessions->user)) {
            note(s, sessions, &token);
        }
        at = token.id;
        after = &at;
    }
    return r == ERR_END ? 0 : r;
}

int users_end_sessions(struct op_state *s, struct store_txn *txn,
                       struct str user, struct grants_write *write)
{
    struct sessions sessions = {.user = user, .write = write};

    return walk(s, txn, &sessions);
}

/* ---- a session ---- */

struct signing {
    struct person person;
    struct str password;
    uint64_t ttl_ms;
    struct grants_write write;
};

static int read_session(struct op_state *s, struct signing *signing)
{
    static const char *const names[] = {"user", "password", "ttl", NULL};
    struct json *body = NULL;

    signing->ttl_ms = s->registry->trust.session_ttl_ms;
    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "user", true,
                      &signing->person.user.name);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "password", true, &signing->password);
    }
    if (r == 0) {
        r = tokens_read_ttl(s, body, &signing->ttl_ms);
    }
    if (signing->ttl_ms > s->registry->trust.session_ttl_ms) {
        signing->ttl_ms = s->registry->trust.session_ttl_ms;
    }
    return r;
}

/* Only those that are groups here too, each once, in order. */
static int keep_groups(struct op_state *s, struct store_txn *txn,
                       struct access_names *groups)
{
    struct str *items =
        arena_alloc(s->arena, ACCESS_SESSION_GROUPS * sizeof *items);
    struct access_names kept = {items, 0};
    struct str after = STR_NONE;
    struct access_group group;
    int r = 0;

    while (groups->n > 0 && kept.n < ACCESS_SESSION_GROUPS &&
           (r = access_group_next(txn, s->arena, after, &group)) == 0) {
        after = group.name;
        for (size_t i = 0; i < groups->n; i++) {
            if (str_equal(groups->items[i], group.name)) {
                items[kept.n++] = group.name;
                break;
            }
        }
    }
    *groups = kept;
    return r == ERR_END ? 0 : r;
}

static int make_room(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct signing *signing = arg;
    struct sessions sessions = {.user = signing->person.user.name,
                                .most = SESSIONS_MOST - 1,
                                .write = &signing->write};

    signing->write = (struct grants_write){0};
    int r = walk(s, txn, &sessions);
    return r != 0 ? r : keep_groups(s, txn, &signing->person.groups);
}

static int refuse_session(struct op_state *s)
{
    int r = pause(s);

    return r != 0
               ? r
               : answer_problem(s, OP_UNAUTHORIZED, STR(""),
                                "nobody is let in by that name and password");
}

static int submit_session(struct op_state *s, struct signing *signing)
{
    const struct access_user *user = &signing->person.user;
    struct access_token token = {
        .kind = ACCESS_SESSION, .user = user->name, .created_by = user->name};

    int r = snapshot_run(s, make_room, signing);
    token.groups = signing->person.groups;
    if (r == 0) {
        r = tokens_submit(s, &token, signing->ttl_ms, &signing->write);
    }
    /* Who is disabled, or got another password, after he was read is looked at
     * anew: his other sessions have ended, and this would be one more. */
    s->command.has_access = true;
    s->command.access_rev = signing->person.access_rev;
    return r;
}

int session_create(struct op_state *s)
{
    struct signing signing = {.ttl_ms = 0};
    bool is = false;

    begin(s);
    int r = grants_check_level(s);
    if (r == 0) {
        r = read_session(s, &signing);
    }
    if (r == 0) {
        r = admit(s, signing.person.user.name);
    }
    if (r == 0) {
        r = snapshot_run(s, find_person, &signing.person);
    }
    if (r == 0) {
        r = check_password(s, &signing.person, signing.password, &is);
    }
    if (r != 0) {
        return r;
    }
    return is ? submit_session(s, &signing) : refuse_session(s);
}

/* ---- another password ---- */

struct change {
    struct person person;
    struct str old, password; /* old.p == NULL: not given */
    struct grants_write write;
};

static int read_change(struct op_state *s, struct change *change)
{
    static const char *const names[] = {"old", "password", NULL};
    struct json *body = NULL;

    change->person.user.name = s->op->id;
    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "old", false, &change->old);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "password", true, &change->password);
    }
    return r != 0 ? r : users_check_password(s, change->password);
}

/* Who can set a password can be that user. */
static int check_cover(struct op_state *s, struct store_txn *txn,
                       const struct access_user *user)
{
    struct access_made made = {.kind = ACCESS_USER, .user = user->name};

    int r = grants_of_user(s, txn, user->name, &user->roles, &made.grants);
    return r != 0 ? r : grants_cover(s, txn, &made);
}

static int check_change(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct change *change = arg;
    struct access_user *user = &change->person.user;

    int r = find_person(s, txn, &change->person);
    if (r != 0) {
        return r;
    }
    if (!change->person.known) {
        return answer_problem(s, OP_NOT_FOUND, STR(""), "there is no user %.*s",
                              SHOW(s->op->id));
    }
    if (user->source == ACCESS_LDAP) {
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "the password of %.*s is the directory's: it is "
                              "changed there",
                              SHOW(user->name));
    }
    return check_cover(s, txn, user);
}

static int refuse_old(struct op_state *s, const struct change *change)
{
    int r = pause(s);

    if (r != 0) {
        return r;
    }
    if (change->old.p == NULL) {
        return answer_problem(s, OP_BAD_REQUEST, STR("old"),
                              "who changes his own password says the one he "
                              "has, as old");
    }
    return answer_problem(s, OP_FORBIDDEN, STR("old"),
                          "that is not the password of %.*s", SHOW(s->op->id));
}

/* His own: whoever found his terminal open does not know the old one. */
static int check_old(struct op_state *s, struct change *change)
{
    bool is = false;

    if (!grants_is_self(s, s->op->id)) {
        return 0;
    }
    if (change->old.p == NULL) {
        return refuse_old(s, change);
    }
    int r = admit(s, s->op->id);
    if (r == 0) {
        r = check_password(s, &change->person, change->old, &is);
    }
    return r != 0 ? r : is ? 0 : refuse_old(s, change);
}

static int end_sessions(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct change *change = arg;

    change->write = (struct grants_write){0};
    return users_end_sessions(s, txn, s->op->id, &change->write);
}

static int submit_change(struct op_state *s, struct change *change)
{
    struct access_user *user = &change->person.user;
    struct buf record = {0};
    struct str why;

    int r = desk_hash(s, change->password, &user->password);
    if (r == 0) {
        r = snapshot_run(s, end_sessions, change);
    }
    if (r == 0 && access_user_check(s->arena, user, &why) != 0) {
        r = grants_refuse(s, why);
    }
    if (r != 0) {
        return r;
    }
    access_user_encode(&record, user);
    r = grants_put(s, &change->write, STORE_MARK_USER, user->name, user->rev, 0,
                   &record);
    return r != 0 ? r : grants_submit(s, &change->write);
}

int user_password(struct op_state *s)
{
    struct change change = {.old = STR_NONE};

    begin(s);
    int r = grants_check_level(s);
    if (r == 0) {
        r = grants_is_self(s, s->op->id) ? permit_known(s)
                                         : grants_permit(s, ACCESS_UPDATE);
    }
    if (r == 0) {
        r = grants_check_name(s, s->op->id, "user");
    }
    if (r == 0) {
        r = read_change(s, &change);
    }
    if (r == 0) {
        r = snapshot_run(s, check_change, &change);
    }
    if (r == 0) {
        r = check_old(s, &change);
    }
    return r != 0 ? r : submit_change(s, &change);
}
