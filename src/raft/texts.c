/* The texts of calls and questions, in JSON; api/peer-protocol.md. */
#include <stdio.h>

#include "base/err.h"
#include "model/json.h"
#include "model/name.h"
#include "raft/called.h"
#include "raft/members.h"

/* ---- reading ---- */

/* False when it is there and no text, has a character that texts of these kinds
 * do not have, or is too long. */
static bool text_of(const struct json *from, const char *key, char *field,
                    size_t size)
{
    const struct json *value = json_get(from, key);

    field[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (value->kind != JSON_STRING || value->text.n >= size) {
        return false;
    }
    for (size_t i = 0; i < value->text.n; i++) {
        unsigned char c = (unsigned char)value->text.p[i];
        if (c <= ' ' || c == 0x7f) {
            return false;
        }
    }
    memcpy(field, value->text.p, value->text.n);
    field[value->text.n] = '\0';
    return true;
}

/* A raft id is written as a text: it is larger than what JSON's numbers hold
 * everywhere. */
static bool id_of(const struct json *from, const char *key, uint64_t *ret_id)
{
    const struct json *value = json_get(from, key);

    *ret_id = 0;
    return value == NULL || (value->kind == JSON_STRING &&
                             str_number(value->text, UINT64_MAX, ret_id) == 0);
}

static bool levels_of(const struct json *from, struct known *who)
{
    const struct json *value = json_get(from, "levels");
    uint64_t least = 0, most = 0;

    if (value == NULL) {
        return true;
    }
    if (value->kind != JSON_ARRAY || value->n != 2 ||
        json_u64(value->first, &least) != 0 ||
        json_u64(value->first->next, &most) != 0 || least > most ||
        most > UINT32_MAX) {
        return false;
    }
    who->level_least = (uint32_t)least;
    who->level_most = (uint32_t)most;
    return true;
}

#define TEXT_OF(from, key, field) text_of(from, key, field, sizeof(field))

/* The field that cannot be what it should be, or NULL. */
static const char *read_wish(const struct json *from, struct wish *wish)
{
    struct known *who = &wish->who;
    const struct json *replaces = json_get(from, "replace");

    who->recent = true;
    return !TEXT_OF(from, "id", who->id)             ? "id"
           : !TEXT_OF(from, "raft", who->raft)       ? "raft"
           : !TEXT_OF(from, "http", who->http)       ? "http"
           : !TEXT_OF(from, "version", who->version) ? "version"
           : !TEXT_OF(from, "domain", wish->domain)  ? "domain"
           : !id_of(from, "raft_id", &who->raft_id)  ? "raft_id"
           : !id_of(from, "from", &wish->leaves)     ? "from"
           : !levels_of(from, who)                   ? "levels"
           : replaces != NULL && json_bool(replaces, &wish->replaces) != 0
               ? "replace"
               : NULL;
}

static int say(char why[CORE_WHY], const char *sentence)
{
    (void)snprintf(why, CORE_WHY, "%s", sentence);
    return ERR_INVALID;
}

static int check_wish(const struct wish *wish, char why[CORE_WHY])
{
    const struct known *who = &wish->who;

    if (wish->kind != CORE_ASK_JOIN) {
        return wish->kind == CORE_ASK_TRANSFER || who->id[0] != '\0'
                   ? 0
                   : say(why, "id is missing");
    }
    if (who->id[0] == '\0' || !name_is_host(str_of(who->id))) {
        return say(why, "id is missing, or no name of a node");
    }
    if (who->raft_id == 0) {
        return say(why, "raft_id is missing");
    }
    if (!list_is_address(who->raft)) {
        return say(why, "raft is missing, or no HOST:PORT");
    }
    return who->level_most != 0 ? 0 : say(why, "levels are missing");
}

int wish_parse(struct str text, struct wish *wish, char why[CORE_WHY])
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct json_error error;
    struct json *root = NULL;

    if (json_parse(arena, text, &root, &error) != 0) {
        (void)snprintf(why, CORE_WHY, "it is no JSON: %.*s %.*s",
                       STR_ARG(error.path), STR_ARG(error.what));
        return ERR_INVALID;
    }
    if (root->kind != JSON_OBJECT) {
        return say(why, "the body must be a JSON object");
    }
    const char *wrong = read_wish(root, wish);
    if (wrong != NULL) {
        (void)snprintf(why, CORE_WHY,
                       "%s is too long, or of the wrong kind for it", wrong);
        return ERR_INVALID;
    }
    return check_wish(wish, why);
}

int who_parse(struct str text, struct who *ret_who)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct json_error error;
    struct json *root = NULL;
    struct who who = {.raft_id = 0};
    char hex[CLUSTER_HEX + 1];

    if (json_parse(arena, text, &root, &error) != 0 ||
        root->kind != JSON_OBJECT || !TEXT_OF(root, "call", who.call) ||
        !TEXT_OF(root, "id", who.id) || !TEXT_OF(root, "state", who.state) ||
        !TEXT_OF(root, "list", who.list) ||
        !TEXT_OF(root, "first", who.first) ||
        !TEXT_OF(root, "domain", who.domain) ||
        !TEXT_OF(root, "cluster", hex) ||
        !id_of(root, "raft_id", &who.raft_id) ||
        (hex[0] != '\0' && !cluster_parse(str_of(hex), who.cluster))) {
        return ERR_INVALID;
    }
    *ret_who = who;
    return 0;
}

static bool members_of(const struct json *from, struct joined *joined)
{
    const struct json *list = json_get(from, "members");

    if (list == NULL) {
        return true;
    }
    const struct json *one = list->kind == JSON_ARRAY ? list->first : NULL;
    for (; one != NULL && joined->n_members < CORE_MEMBERS_MOST;
         one = one->next) {
        struct known *known = &joined->members[joined->n_members++];
        if (one->kind != JSON_OBJECT || !TEXT_OF(one, "id", known->id) ||
            !TEXT_OF(one, "raft", known->raft) ||
            !TEXT_OF(one, "http", known->http) ||
            !id_of(one, "raft_id", &known->raft_id) || known->raft_id == 0) {
            return false;
        }
    }
    return list->kind == JSON_ARRAY;
}

int joined_parse(struct str text, struct joined *ret_joined)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct joined joined = {.code = 0};
    struct json_error error;
    struct json *root = NULL;
    char hex[CLUSTER_HEX + 1];

    if (json_parse(arena, text, &root, &error) != 0 ||
        root->kind != JSON_OBJECT || !TEXT_OF(root, "cluster", hex) ||
        !members_of(root, &joined)) {
        return ERR_INVALID;
    }
    const struct json *code = json_get(root, "code");
    const struct json *detail = json_get(root, "detail");
    if (code != NULL && json_u64(code, &joined.code) != 0) {
        return ERR_INVALID;
    }
    if (detail != NULL && detail->kind == JSON_STRING) {
        (void)snprintf(
            joined.why, sizeof joined.why, "%.*s",
            (int)(detail->text.n < CORE_WHY ? detail->text.n : CORE_WHY - 1),
            detail->text.p);
    }
    if (joined.code == 0 && !cluster_parse(str_of(hex), joined.cluster)) {
        return ERR_INVALID;
    }
    *ret_joined = joined;
    return 0;
}

/* ---- writing ---- */

static void add_text(struct buf *out, const char *key, const char *text)
{
    if (out->p[out->n - 1] != '{') {
        buf_add_char(out, ',');
    }
    json_add_string(out, str_of(key));
    buf_add_char(out, ':');
    json_add_string(out, str_of(text));
}

static void add_id(struct buf *out, const char *key, uint64_t id)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    add_text(out, key, text);
}

void who_write(const struct who *who, struct buf *out)
{
    char hex[CLUSTER_HEX + 1] = "";

    if (!cluster_is_none(who->cluster)) {
        cluster_hex(who->cluster, hex);
    }
    buf_add_char(out, '{');
    add_text(out, "call", who->call);
    add_text(out, "state", who->state);
    add_text(out, "id", who->id);
    add_id(out, "raft_id", who->raft_id);
    add_text(out, "list", who->list);
    add_text(out, "first", who->first);
    add_text(out, "domain", who->domain);
    add_text(out, "cluster", hex);
    buf_add_char(out, '}');
}

void join_write(const struct core *core, bool replaces, struct buf *out)
{
    struct peer_id self;

    members_self(core, &self);
    buf_add_char(out, '{');
    add_text(out, "call", "join");
    add_text(out, "id", self.name);
    add_id(out, "raft_id", core->raft_id);
    add_text(out, "raft", self.raft);
    add_text(out, "http", self.http);
    add_text(out, "domain", core->domain);
    add_text(out, "version", self.version);
    buf_printf(out, ",\"levels\":[%u,%u],\"replace\":%s}", self.level_least,
               self.level_most, replaces ? "true" : "false");
}

void members_json(const struct core *core, struct buf *out)
{
    struct core_member *list = mem_zero(CORE_MEMBERS_MOST * sizeof *list);
    size_t n = core_members(core, list);
    char hex[CLUSTER_HEX + 1];

    cluster_hex(core->cluster, hex);
    buf_add_char(out, '{');
    add_text(out, "cluster", hex);
    buf_add_text(out, ",\"members\":[");
    for (size_t i = 0; i < n; i++) {
        buf_add_text(out, i == 0 ? "{" : ",{");
        add_text(out, "id", list[i].id);
        add_id(out, "raft_id", list[i].raft_id);
        add_text(out, "raft", list[i].raft);
        add_text(out, "http", list[i].http);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "]}");
    mem_free(list);
}
