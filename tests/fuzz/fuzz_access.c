/* Takes a record, a token's text or a grant that somebody else wrote: the first
 * byte says which. What a record is taken for has those bytes and no others,
 * and somebody can be made of it. */
#include "access/access.h"
#include "access/access_token.h"
#include "model/access_quota.h"
#include "replay.h"

static void require_may(const struct access_made *made)
{
    static const struct str paths[] = {{"", 0}, {"a.r", 3}, {"b.a.r", 5}};
    struct access_who *who = NULL;

    REQUIRE(access_make(NULL, made, &who) == 0);
    REQUIRE(access_covers(who, who));
    REQUIRE(!access_covers(access_anonymous(), who));
    for (size_t i = 0; i < 3; i++) {
        bool all = access_may_all(who, ACCESS_READ, paths[i]);
        bool one = access_may(who, ACCESS_READ, STR("machine"), paths[i]);
        REQUIRE(!all || one);
        REQUIRE(!one || access_may_below(who, ACCESS_READ, paths[i]));
    }
    who = access_unref(who);
}

static void try_token(struct arena *arena, struct str bytes, struct buf *out)
{
    struct access_token token;

    if (access_token_decode(arena, (struct ulid){{0}}, bytes, &token) == 0) {
        const struct access_made made = {.kind = ACCESS_TOKEN,
                                         .hostname = token.hostname,
                                         .grants = token.roles,
                                         .limits = &token.roles};
        access_token_encode(out, &token);
        REQUIRE(str_equal(buf_str(out), bytes));
        require_may(&made);
    }
}

static void try_role(struct arena *arena, struct str bytes, struct buf *out)
{
    struct access_role role;

    if (access_role_decode(arena, STR("r"), bytes, &role) == 0) {
        const struct access_made made = {
            .kind = ACCESS_TOKEN, .rules = role.rules, .n_rules = role.n_rules};
        access_role_encode(out, &role);
        REQUIRE(str_equal(buf_str(out), bytes));
        require_may(&made);
    }
}

static void try_people(struct arena *arena, char what, struct str bytes,
                       struct buf *out)
{
    struct access_user user;
    struct access_group group;
    struct access_host host;
    bool sound = false;

    if (what == ACCESS_IS_HOST && access_host_decode(bytes, &host) == 0) {
        access_host_encode(out, &host);
        sound = true;
    } else if (what == ACCESS_IS_USER &&
               access_user_decode(arena, STR("u"), bytes, &user) == 0) {
        access_user_encode(out, &user);
        sound = true;
    } else if (what == ACCESS_IS_GROUP &&
               access_group_decode(arena, STR("g"), bytes, &group) == 0) {
        access_group_encode(out, &group);
        sound = true;
    }
    REQUIRE(!sound || str_equal(buf_str(out), bytes));
}

static void try_quota(struct str bytes, struct buf *out)
{
    struct access_quota quota;

    if (access_quota_decode(bytes, &quota) == 0) {
        access_quota_encode(out, &quota);
        REQUIRE(str_equal(buf_str(out), bytes));
        REQUIRE(access_quota_worst(&quota) <= ACCESS_QUOTA_FULL);
    }
}

static void try_words(struct str text)
{
    char shown[ULID_TEXT];
    struct str role, ns;
    struct ulid id;

    if (access_grant_parse(text, &role, &ns) == 0) {
        REQUIRE(access_is_role(role));
        REQUIRE(role.n + ns.n + (ns.n > 0) == text.n);
    }
    if (access_token_parse(text, &id) == 0) {
        REQUIRE(text.n == ACCESS_TOKEN_TEXT);
        ulid_format(id, shown);
    }
    (void)access_is_name(text);
    (void)access_is_target(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *arena = arena_new();
    struct buf out = {0};

    if (n > 0) {
        struct str bytes = {(const char *)data + 1, n - 1};
        char what = (char)data[0];
        switch (what) {
        case ACCESS_IS_TOKEN:
            try_token(arena, bytes, &out);
            break;
        case ACCESS_IS_ROLE:
            try_role(arena, bytes, &out);
            break;
        case ACCESS_IS_USER:
        case ACCESS_IS_GROUP:
        case ACCESS_IS_HOST:
            try_people(arena, what, bytes, &out);
            break;
        case ACCESS_IS_QUOTA:
            try_quota(bytes, &out);
            break;
        default:
            try_words(bytes);
        }
    }
    buf_done(&out);
    (void)arena_free(arena);
    return 0;
}
