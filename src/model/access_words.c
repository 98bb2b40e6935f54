/* The words of access control, and what may be kept. */
#include "base/err.h"
#include "base/utf8.h"
#include "model/access_record.h"
#include "model/name.h"

static bool is_word_char(char c, bool upper)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (upper && c >= 'A' && c <= 'Z');
}

/* Begins with a letter or digit: no name reads as an option or a path. */
static bool is_word(struct str text, const char *others, bool upper)
{
    if (text.n == 0 || text.n > ACCESS_NAME_MOST ||
        !is_word_char(text.p[0], upper)) {
        return false;
    }
    for (size_t i = 1; i < text.n; i++) {
        if (!is_word_char(text.p[i], upper) &&
            (text.p[i] == '\0' || strchr(others, text.p[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

bool access_is_role(struct str text)
{
    return is_word(text, "._-", false);
}

bool access_is_name(struct str text)
{
    return is_word(text, "._@+-", true);
}

bool access_is_target(struct str text)
{
    static const char *const own[] = {
        ACCESS_NS,      ACCESS_AGENTS, ACCESS_TYPES,     ACCESS_ACCESS,
        ACCESS_CLUSTER, ACCESS_ADMIN,  ACCESS_EACH_TYPE, ACCESS_EACH_OWN};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (str_is(text, own[i])) {
            return true;
        }
    }
    return name_is_type(text);
}

int access_verbs_parse(struct str text, uint8_t *ret_verbs)
{
    static const struct {
        const char *name;
        uint8_t verbs;
    } words[] = {{"read", ACCESS_READ},     {"create", ACCESS_CREATE},
                 {"update", ACCESS_UPDATE}, {"delete", ACCESS_DELETE},
                 {"write", ACCESS_WRITE},   {"*", ACCESS_ALL}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_is(text, words[i].name)) {
            *ret_verbs = words[i].verbs;
            return 0;
        }
    }
    return ERR_INVALID;
}

const char *access_verb_name(enum access_verb verb)
{
    switch (verb) {
    case ACCESS_READ:
        return "read";
    case ACCESS_CREATE:
        return "create";
    case ACCESS_UPDATE:
        return "update";
    case ACCESS_DELETE:
        return "delete";
    default:
        return "do that to";
    }
}

int access_grant_parse(struct str text, struct str *ret_role,
                       struct str *ret_ns)
{
    const char *at = text.n == 0 ? NULL : memchr(text.p, '@', text.n);
    struct str role = {text.p, at == NULL ? text.n : (size_t)(at - text.p)};
    struct str ns = STR("");

    if (at != NULL) {
        ns = (struct str){at + 1, text.n - role.n - 1};
    }
    if (!access_is_role(role) || (at != NULL && !name_is_path(ns))) {
        return ERR_INVALID;
    }
    *ret_role = role;
    *ret_ns = ns;
    return 0;
}

const char *access_kind_name(enum access_token_kind kind)
{
    switch (kind) {
    case ACCESS_BEARER:
        return "bearer";
    case ACCESS_SESSION:
        return "session";
    case ACCESS_JOINING:
        return "join";
    case ACCESS_OF_AGENT:
        return "agent";
    case ACCESS_OF_NODE:
        return "node";
    }
    return "unknown";
}

/* ---- checks: each says the first thing that is wrong ---- */

struct check {
    struct arena *arena;
    struct str why; /* p == NULL: nothing so far */
};

static int verdict(const struct check *c, struct str *ret_why)
{
    if (c->why.p == NULL) {
        return 0;
    }
    *ret_why = c->why;
    return ERR_INVALID;
}

static void wrong(struct check *c, struct str why)
{
    if (c->why.p == NULL) {
        c->why = why;
    }
}

/* What is shown of a text that somebody else wrote. */
static struct str shown(struct str text)
{
    text.n = text.n > 80 ? 80 : text.n;
    return utf8_is_valid(text) ? text : STR("(not UTF-8)");
}

static bool is_plain_text(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if ((uint8_t)text.p[i] < 0x20 || text.p[i] == 0x7f) {
            return false;
        }
    }
    return utf8_is_valid(text);
}

static void check_text(struct check *c, const char *what, struct str text,
                       size_t most)
{
    if (text.n > most) {
        wrong(c, arena_printf(c->arena, "%s is longer than %zu bytes", what,
                              most));
    } else if (!is_plain_text(text)) {
        wrong(c, arena_printf(c->arena,
                              "%s has to be UTF-8 without control characters",
                              what));
    }
}

static bool has_before(const struct access_names *names, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (str_equal(names->items[i], names->items[at])) {
            return true;
        }
    }
    return false;
}

static void check_names(struct check *c, const char *what,
                        const struct access_names *names, size_t most,
                        bool (*is_one)(struct str), const char *form)
{
    if (names->n > most) {
        wrong(c, arena_printf(c->arena, "more than %zu %s", most, what));
    }
    for (size_t i = 0; i < names->n && c->why.p == NULL; i++) {
        struct str name = names->items[i];
        if (!is_one(name)) {
            wrong(c, arena_printf(c->arena, "\"%.*s\" in %s is not %s",
                                  STR_ARG(shown(name)), what, form));
        } else if (has_before(names, i)) {
            wrong(c, arena_printf(c->arena, "\"%.*s\" is in %s twice",
                                  STR_ARG(shown(name)), what));
        }
    }
}

static bool is_grant(struct str text)
{
    struct str role, ns;

    return access_grant_parse(text, &role, &ns) == 0;
}

static void check_roles(struct check *c, const struct access_names *roles)
{
    check_names(c, "roles", roles, ACCESS_ROLES_MOST, is_grant,
                "a role, or a role and a namespace: \"ROLE\" or \"ROLE@NS\"");
}

static const char a_name[] =
    "a name: 1 to 63 letters, digits or any of . _ - @ +, the first of them a "
    "letter or digit";

static void check_name(struct check *c, struct str name)
{
    if (!access_is_name(name)) {
        wrong(c, arena_printf(c->arena, "\"%.*s\" is not %s",
                              STR_ARG(shown(name)), a_name));
    }
}

static void check_rule(struct check *c, const struct access_rule *rule)
{
    if (rule->verbs == 0 || (rule->verbs & ~ACCESS_ALL) != 0) {
        wrong(c, STR("a rule has to allow read, create, update, delete, write "
                     "or *"));
    }
    if (rule->ns.n > 0 && !name_is_path(rule->ns)) {
        wrong(c, arena_printf(c->arena, "\"%.*s\" is not a namespace's path",
                              STR_ARG(shown(rule->ns))));
    }
    if (rule->targets.n == 0) {
        wrong(c, STR("a rule has to name types, or *, or any of @ns, @agents, "
                     "@types, @access, @cluster, @admin, @*"));
    }
    check_names(c, "types", &rule->targets, ACCESS_TARGETS_MOST,
                access_is_target,
                "a type's name, *, @ns, @agents, @types, @access, @cluster, "
                "@admin or @*");
}

int access_role_check(struct arena *arena, const struct access_role *role,
                      struct str *ret_why)
{
    struct check c = {.arena = arena};

    if (!access_is_role(role->name)) {
        wrong(&c, arena_printf(arena,
                               "\"%.*s\" is not a role's name: 1 to 63 lower "
                               "case letters, digits or any of . _ -, the "
                               "first of them a letter or digit",
                               STR_ARG(shown(role->name))));
    }
    check_text(&c, "the comment", role->comment, ACCESS_COMMENT_MOST);
    if (role->n_rules > ACCESS_RULES_MOST) {
        wrong(&c, arena_printf(arena, "more than %u rules", ACCESS_RULES_MOST));
    }
    for (size_t i = 0; i < role->n_rules && c.why.p == NULL; i++) {
        check_rule(&c, &role->rules[i]);
    }
    return verdict(&c, ret_why);
}

/* What a token is bound to has to fit what it is for. */
static void check_bound(struct check *c, const struct access_token *token)
{
    bool joining = token->kind == ACCESS_JOINING;

    if (token->hostname.n > 0 && !name_is_host(token->hostname)) {
        wrong(c, STR("the hostname is none"));
    }
    check_text(c, "the pattern of hosts", token->hosts, ACCESS_HOSTS_MOST);
    if (!joining && (token->reusable || token->hosts.n > 0)) {
        wrong(c, STR("only a join token can be reusable or have hosts"));
    }
    if (joining && token->reusable && token->hostname.n > 0) {
        wrong(c, STR("a reusable join token is bound to no host"));
    }
    if (token->kind == ACCESS_OF_AGENT && token->hostname.n == 0) {
        wrong(c, STR("an agent's token has to be bound to its hostname"));
    }
    if (token->kind == ACCESS_SESSION && token->user.n == 0) {
        wrong(c, STR("a session is a user's"));
    }
    if (token->kind != ACCESS_SESSION && token->groups.n > 0) {
        wrong(c, STR("only a session has groups of its own"));
    }
    if (token->user.n > 0 && token->kind != ACCESS_SESSION &&
        token->kind != ACCESS_BEARER) {
        wrong(c, STR("a token of this kind is no user's"));
    }
}

int access_token_check(struct arena *arena, const struct access_token *token,
                       struct str *ret_why)
{
    struct check c = {.arena = arena};

    if (token->kind < ACCESS_BEARER || token->kind > ACCESS_OF_NODE) {
        wrong(&c, STR("there is no such kind of token"));
    }
    check_text(&c, "the name", token->name, ACCESS_NAME_MOST);
    if (token->user.n > 0) {
        check_name(&c, token->user);
    }
    check_roles(&c, &token->roles);
    check_names(&c, "groups", &token->groups, ACCESS_SESSION_GROUPS,
                access_is_name, a_name);
    check_bound(&c, token);
    check_text(&c, "its maker", token->created_by, UINT8_MAX);
    return verdict(&c, ret_why);
}

int access_user_check(struct arena *arena, const struct access_user *user,
                      struct str *ret_why)
{
    struct check c = {.arena = arena};

    check_name(&c, user->name);
    check_text(&c, "the comment", user->comment, ACCESS_COMMENT_MOST);
    if (user->source != ACCESS_LOCAL && user->source != ACCESS_LDAP) {
        wrong(&c, STR("a user is \"local\" or of \"ldap\""));
    }
    check_text(&c, "the password's hash", user->password, ACCESS_PASSWORD_MOST);
    check_roles(&c, &user->roles);
    return verdict(&c, ret_why);
}

int access_group_check(struct arena *arena, const struct access_group *group,
                       struct str *ret_why)
{
    struct check c = {.arena = arena};

    check_name(&c, group->name);
    check_text(&c, "the comment", group->comment, ACCESS_COMMENT_MOST);
    check_roles(&c, &group->roles);
    check_names(&c, "members", &group->members, ACCESS_MEMBERS_MOST,
                access_is_name, a_name);
    check_names(&c, "managers", &group->managers, ACCESS_MEMBERS_MOST,
                access_is_name, a_name);
    return verdict(&c, ret_why);
}
