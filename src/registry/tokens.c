/* Tokens and sessions: what is shown by who wants to be known. The text of one
 * is in the answer that made it, and nowhere else. */
#include "registry/tokens.h"

#include "base/clock.h"
#include "model/pattern.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/grants.h"
#include "registry/permit.h"

/* All but its end. */
static void add_token(struct buf *out, const struct access_token *token)
{
    buf_add_text(out, "{\"id\":");
    answer_add_ulid(out, token->id);
    buf_printf(out, ",\"kind\":\"%s\"", access_kind_name(token->kind));
    grants_add_text(out, "name", token->name);
    grants_add_text(out, "user", token->user);
    grants_add_names(out, "roles", &token->roles);
    grants_add_text(out, "hostname", token->hostname);
    if (token->kind == ACCESS_JOINING) {
        grants_add_text(out, "hosts", token->hosts);
        buf_printf(out, ",\"reusable\":%s", token->reusable ? "true" : "false");
    }
    buf_printf(out, ",\"created_ms\":%llu",
               (unsigned long long)token->created_ms);
    grants_add_text(out, "created_by", token->created_by);
    if (token->ends_ms == 0) {
        buf_add_text(out, ",\"expires_ms\":null");
    } else {
        buf_printf(out, ",\"expires_ms\":%llu",
                   (unsigned long long)token->ends_ms);
    }
}

static bool is_session_op(const struct op_state *s)
{
    return s->op->kind == OP_SESSION_LIST || s->op->kind == OP_SESSION_DELETE;
}

static int check_id(struct op_state *s, struct str text, const char *field,
                    struct ulid *ret_id)
{
    if (ulid_parse(text, ret_id) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(field),
                          "%.*s is no id of a token: it has 26 characters, the "
                          "text of a token has it behind rst_",
                          SHOW(text));
}

/* ---- reads ---- */

static bool is_own(const struct op_state *s, const struct access_token *token)
{
    char id[ULID_TEXT];

    ulid_format(token->id, id);
    return grants_is_self(s, token->user) ||
           str_equal(s->who->id, (struct str){id, sizeof id});
}

static int next_token(struct op_state *s, struct store_txn *txn,
                      struct arena *arena, struct str *at, struct buf *out)
{
    struct access_token token;
    struct ulid after;
    bool behind = at->p != NULL && ulid_parse(*at, &after) == 0;

    int r = access_token_next(txn, arena, behind ? &after : NULL, &token);
    if (r != 0) {
        return r;
    }
    char *text = arena_alloc(arena, ULID_TEXT);
    ulid_format(token.id, text);
    *at = (struct str){text, ULID_TEXT};
    if ((token.kind == ACCESS_SESSION) == is_session_op(s) &&
        (grants_may(s, ACCESS_READ) || is_own(s, &token))) {
        add_token(out, &token);
        buf_printf(out, ",\"rev\":%llu}", (unsigned long long)token.rev);
    }
    return 0;
}

/* Who may not read all is shown his own. */
int token_list(struct op_state *s)
{
    struct ulid after;

    int r = grants_permit_own(s);
    if (r == 0 && s->op->query.after.p != NULL) {
        r = check_id(s, s->op->query.after, "after", &after);
    }
    return r != 0 ? r : grants_list(s, next_token);
}

/* The token of the path, for who may `wants` on @access, or whose own it is.
 * Who may not learns nothing of whether there is one. */
static int find(struct op_state *s, struct store_txn *txn, unsigned wants,
                struct access_token *ret_token)
{
    struct access_token token;
    struct ulid id;

    int r = check_id(s, s->op->id, "", &id);
    if (r != 0) {
        return r;
    }
    r = access_token_get(txn, s->arena, id, &token);
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    int allowed =
        r == 0 && is_own(s, &token) ? permit_known(s) : grants_permit(s, wants);
    if (allowed != 0) {
        return allowed;
    }
    if (r == ERR_NOT_FOUND ||
        (is_session_op(s) && token.kind != ACCESS_SESSION)) {
        return answer_problem(s, OP_NOT_FOUND, STR(""), "there is no %s %.*s",
                              is_session_op(s) ? "session" : "token",
                              SHOW(s->op->id));
    }
    *ret_token = token;
    return 0;
}

static int read_token(struct op_state *s, struct store_txn *txn, void *user)
{
    return find(s, txn, ACCESS_READ, user);
}

int token_get(struct op_state *s)
{
    struct access_token token = {0};
    struct buf text = {0};

    int r = snapshot_run(s, read_token, &token);
    if (r != 0) {
        return r;
    }
    add_token(&text, &token);
    return grants_answer(s, &text, token.rev);
}

/* ---- POST ---- */

struct making {
    struct access_token token;
    uint64_t ttl_ms; /* 0: it does not end */
};

static int read_kind(struct op_state *s, const struct json *body,
                     struct access_token *token)
{
    struct str kind;

    int r = grants_text(s, body, "kind", &kind);
    token->kind = str_is(kind, "join") ? ACCESS_JOINING : ACCESS_BEARER;
    if (r == 0 && kind.n > 0 && token->kind == ACCESS_BEARER &&
        !str_is(kind, "bearer")) {
        return answer_problem(s, OP_BAD_REQUEST, STR("kind"),
                              "kind is bearer or join: sessions begin at "
                              "/v1/sessions, agents and nodes make their own");
    }
    return r;
}

int tokens_read_ttl(struct op_state *s, const struct json *body,
                    uint64_t *ret_ttl_ms)
{
    struct str text;

    int r = body_text(s, body, STR(""), "ttl", false, &text);
    if (r != 0 || text.p == NULL) {
        return r;
    }
    if (body_duration(text, TOKENS_DAYS_MOST, ret_ttl_ms) == 0 &&
        *ret_ttl_ms >= TOKENS_TTL_LEAST_MS &&
        *ret_ttl_ms <= TOKENS_DAYS_MOST * (uint64_t)86400000) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("ttl"),
                          "ttl is how long it is good for, from \"1s\" to "
                          "\"%ud\", such as \"12h\" or \"30d\", not %.*s",
                          TOKENS_DAYS_MOST, SHOW(text));
}

static int check_hosts(struct op_state *s, struct str hosts)
{
    struct pattern *pattern = NULL;
    struct str why;

    if (pattern_new(PATTERN_REGEX, hosts, s->arena, &pattern, &why) != 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR("hosts"),
                              "hosts is no pattern of hostnames: %.*s",
                              SHOW(why));
    }
    pattern = pattern_free(pattern);
    return 0;
}

static int read_join(struct op_state *s, const struct json *body,
                     struct making *making)
{
    static const struct str agent = {"agent", 5};
    struct access_token *token = &making->token;

    int r = grants_text(s, body, "hosts", &token->hosts);
    if (r == 0) {
        r = grants_flag(s, body, "reusable", &token->reusable);
    }
    if (r != 0 || token->kind != ACCESS_JOINING) {
        return r;
    }
    if (making->ttl_ms == 0) {
        making->ttl_ms = TOKENS_JOIN_TTL_MS;
    }
    if (token->roles.n == 0) {
        token->roles = (struct access_names){&agent, 1};
    }
    return token->hosts.n > 0 ? check_hosts(s, token->hosts) : 0;
}

static int read_body(struct op_state *s, struct making *making)
{
    static const char *const names[] = {"kind",  "name",     "user", "roles",
                                        "hosts", "reusable", "ttl",  NULL};
    struct access_token *token = &making->token;
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = read_kind(s, body, token);
    }
    if (r == 0) {
        r = grants_text(s, body, "name", &token->name);
    }
    if (r == 0) {
        r = grants_text(s, body, "user", &token->user);
    }
    if (r == 0) {
        r = grants_names(s, body, STR(""), "roles", &token->roles);
    }
    if (r == 0) {
        r = tokens_read_ttl(s, body, &making->ttl_ms);
    }
    return r != 0 ? r : read_join(s, body, making);
}

static int check_body(struct op_state *s, struct making *making)
{
    struct access_token *token = &making->token;
    struct str why;

    if (token->user.n == 0 && token->roles.n == 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR("roles"),
                              "a token needs roles, or a user whose it is: "
                              "without either nothing may be done with it");
    }
    token->hostname = STR("");
    token->created_by = grants_maker(s);
    if (access_token_check(s->arena, token, &why) != 0) {
        return grants_refuse(s, why);
    }
    return 0;
}

/* A user makes tokens of his own; for others it takes more. Who has shown an
 * agent's or a join token makes none, whatever its roles are. */
static int check_caller(struct op_state *s, const struct making *making)
{
    const struct access_who *who = s->who;

    if (who->kind == ACCESS_AGENT || who->kind == ACCESS_JOIN) {
        return permit_refuse(s, str_of(core_domain(s->registry->core)),
                             "make tokens: it is there to register an agent");
    }
    if (grants_is_self(s, making->token.user)) {
        return permit_known(s);
    }
    int r = grants_permit(s, ACCESS_CREATE);
    if (r == ANSWERED && who->kind == ACCESS_USER &&
        making->token.user.n == 0) {
        r = permit_refuse(s, str_of(core_domain(s->registry->core)),
                          "create @access there: for a token of his own it "
                          "needs user %.*s",
                          SHOW(who->user));
    }
    return r;
}

static int check_user(struct op_state *s, struct store_txn *txn,
                      struct access_made *made)
{
    struct access_user user;

    int r = access_user_get(txn, s->arena, made->user, &user);
    if (r == ERR_NOT_FOUND) {
        return answer_problem(s, OP_BAD_REQUEST, STR("user"),
                              "there is no user %.*s: make him first",
                              SHOW(made->user));
    }
    return r != 0
               ? r
               : grants_of_user(s, txn, made->user, &user.roles, &made->grants);
}

static int check_create(struct op_state *s, struct store_txn *txn, void *arg)
{
    const struct access_token *token = &((struct making *)arg)->token;
    struct access_made made = {
        .kind = ACCESS_TOKEN, .user = token->user, .grants = token->roles};

    int r = grants_check_roles(s, txn, &token->roles);
    if (r == 0 && token->user.n > 0) {
        made.kind = ACCESS_USER;
        made.limits = token->roles.n > 0 ? &token->roles : NULL;
        r = check_user(s, txn, &made);
    }
    return r != 0 ? r : grants_cover(s, txn, &made);
}

int tokens_submit(struct op_state *s, struct access_token *token,
                  uint64_t ttl_ms, struct grants_write *write)
{
    struct grants_kept *kept = grants_kept(s);
    struct buf record = {0}, text = {0};

    if (ulid_is_zero(kept->id)) {
        kept->id = ulid_next();
        kept->now_ms = clock_wall_ms();
        access_token_make(kept->id, kept->token);
    }
    struct str secret = {kept->token, sizeof kept->token};
    token->id = kept->id;
    token->created_ms = kept->now_ms;
    token->ends_ms = ttl_ms == 0 ? 0 : kept->now_ms + ttl_ms;
    access_token_hash(secret, token->hash);
    access_token_encode(&record, token);
    int r = grants_put(s, write, STORE_MARK_TOKEN,
                       (struct str){(const char *)kept->id.b, 16}, 0,
                       token->ends_ms, &record);
    if (r != 0) {
        return r;
    }
    add_token(&text, token);
    grants_keep_answer(s, &text);
    return grants_submit(s, write);
}

int token_create(struct op_state *s)
{
    struct making making = {.ttl_ms = 0};
    struct grants_write write = {0};

    int r = grants_check_level(s);
    if (r == 0) {
        r = read_body(s, &making);
    }
    if (r == 0) {
        r = check_body(s, &making);
    }
    if (r == 0) {
        r = check_caller(s, &making);
    }
    if (r == 0) {
        r = snapshot_run(s, check_create, &making);
    }
    return r != 0 ? r : tokens_submit(s, &making.token, making.ttl_ms, &write);
}

static void add_location(struct op_state *s, struct ulid id)
{
    char text[ULID_TEXT];

    ulid_format(id, text);
    s->op->answer.location =
        arena_printf(s->op->arena, "/v1/tokens/%.26s", text);
}

static int read_made(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_token *token = user;

    int r = access_token_get(txn, s->arena, token->id, token);
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* The text was never kept: who repeats the request learns which token it made,
 * and that it is of no use to him. */
static int answer_again(struct op_state *s, const struct machine_result *result)
{
    struct access_token token = {.id = result->id, .kind = ACCESS_BEARER};
    struct buf text = {0};

    int r = snapshot_run(s, read_made, &token);
    if (r != 0) {
        return r;
    }
    add_token(&text, &token);
    buf_add_text(&text, ",\"token\":null,\"note\":\"its text was shown once, "
                        "in the first answer to this request, and is kept "
                        "nowhere: when that answer was lost, delete this token "
                        "and make another with another Idempotency-Key\"");
    (void)grants_answer(s, &text, grants_rev_of(result));
    s->op->answer.code = OP_CREATED;
    add_location(s, result->id);
    return 0;
}

int token_finish_create(struct op_state *s, struct machine_result *result)
{
    struct grants_kept *kept = grants_kept(s);
    struct buf text = {0};

    if (result->replayed) {
        return answer_again(s, result);
    }
    buf_add_str(&text, kept->answer);
    grants_add_text(&text, "token",
                    (struct str){kept->token, sizeof kept->token});
    (void)grants_answer(s, &text, grants_rev_of(result));
    s->op->answer.code = OP_CREATED;
    add_location(s, kept->id);
    return 0;
}

/* ---- DELETE ---- */

static bool is_member(struct op_state *s, struct str node)
{
    struct core_member members[CORE_MEMBERS_MOST];
    size_t n = core_members(s->registry->core, members);

    for (size_t i = 0; i < n; i++) {
        if (str_is(node, members[i].id)) {
            return true;
        }
    }
    return false;
}

/* Whoever shows a user's token that is limited ends no others of his that are
 * not: his own one he may always end. */
static int check_limited(struct op_state *s, struct store_txn *txn,
                         const struct access_token *token)
{
    struct access_made made = {.kind = ACCESS_USER,
                               .user = token->user,
                               .limits =
                                   token->roles.n > 0 ? &token->roles : NULL};
    char id[ULID_TEXT];

    ulid_format(token->id, id);
    if (grants_may(s, ACCESS_DELETE) ||
        str_equal(s->who->id, (struct str){id, sizeof id})) {
        return 0;
    }
    int r = check_user(s, txn, &made);
    return r != 0 ? r : grants_cover(s, txn, &made);
}

static int check_delete(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_token *token = user;

    int r = find(s, txn, ACCESS_DELETE, token);
    if (r == 0 && token->kind == ACCESS_OF_NODE && is_member(s, token->name)) {
        r = answer_problem(s, OP_CONFLICT, STR(""),
                           "it is the admin token of the node %.*s, which "
                           "would put it back: to replace it, put another into "
                           "the node's file (or remove the file) and send the "
                           "node SIGHUP",
                           SHOW(token->name));
    }
    return r != 0 ? r : check_limited(s, txn, token);
}

int token_delete(struct op_state *s)
{
    struct access_token token = {0};
    struct grants_write write = {0};

    int r = grants_check_level(s);
    if (r == 0) {
        r = snapshot_run(s, check_delete, &token);
    }
    if (r != 0) {
        return r;
    }
    grants_del(s, &write, STORE_MARK_TOKEN,
               (struct str){(const char *)token.id.b, 16}, token.rev);
    return grants_submit(s, &write);
}
