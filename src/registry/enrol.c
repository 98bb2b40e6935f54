#include "registry/enrol.h"

#include "base/clock.h"
#include "model/pattern.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/grants.h"
#include "registry/permit.h"

/* ---- what is sent ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool parse_hash(struct str text, uint8_t ret_hash[SHA256_BYTES])
{
    if (text.n != 2 * (size_t)SHA256_BYTES) {
        return false;
    }
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_hash[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

int enrol_read(struct op_state *s, const struct json *body,
               struct enrol_credential *ret_credential)
{
    struct str hash, id;

    *ret_credential = (struct enrol_credential){0};
    int r = body_text(s, body, STR(""), "credential", false, &hash);
    if (r == 0) {
        r = body_text(s, body, STR(""), "credential_id", hash.p != NULL, &id);
    }
    if (r != 0 || (hash.p == NULL && id.p == NULL)) {
        return r;
    }
    if (hash.p == NULL || !parse_hash(hash, ret_credential->hash)) {
        return answer_problem(s, OP_BAD_REQUEST, STR("credential"),
                              "credential is the SHA-256, as 64 hexadecimal "
                              "digits in lower case, of a token that the agent "
                              "made");
    }
    if (ulid_parse(id, &ret_credential->id) != 0 ||
        ulid_is_zero(ret_credential->id)) {
        return answer_problem(s, OP_BAD_REQUEST, STR("credential_id"),
                              "credential_id is the id in the agent's token: "
                              "26 characters");
    }
    ret_credential->given = true;
    return 0;
}

/* ---- whether he may ---- */

enum { HOSTS_STEPS = 100000 };

/* A pattern that costs too much, or is none for this version, fits nothing. */
static bool fits(struct op_state *s, struct str hosts, struct str hostname)
{
    CLEANUP(pattern_freep) struct pattern *pattern = NULL;
    CLEANUP(pattern_scratch_freep) struct pattern_scratch *scratch = NULL;
    struct str why = STR_NONE;

    if (hosts.n == 0) {
        return true;
    }
    if (pattern_new(PATTERN_REGEX, hosts, s->arena, &pattern, &why) != 0) {
        return false;
    }
    scratch = pattern_scratch_new(HOSTS_STEPS);
    return pattern_match(pattern, scratch, hostname) == 0;
}

int enrol_permit_host(struct op_state *s, struct str hostname)
{
    struct str hosts = s->who->hosts;

    if (permit_bound(s).n > 0) {
        return permit_agent(s, ACCESS_CREATE, hostname, true);
    }
    if (s->who->kind != ACCESS_JOIN || fits(s, hosts, hostname)) {
        return 0;
    }
    return permit_refuse(s, s->op->ns,
                         "register %.*s: it is for hostnames that fit %.*s",
                         SHOW(hostname), SHOW(hosts));
}

/* Namespaces by id, and what they are called. */
struct places {
    const struct command_agent_put *put;
    struct str *paths;
    size_t n;
};

static int add_path(struct op_state *s, struct store_txn *txn, uint64_t ns,
                    struct places *places)
{
    struct buf path = {0};

    int r = store_path_of(txn, ns, &path);
    struct str text = arena_take(s->arena, &path);
    if (r == 0) {
        places->paths[places->n++] = text;
    }
    return r == ERR_NOT_FOUND ? 0 : r; /* It goes into nothing. */
}

static bool is_there(const struct store_lease *lease, uint64_t ns)
{
    for (size_t i = 0; i < lease->n_places; i++) {
        if (lease->places[i].ns == ns) {
            return true;
        }
    }
    return false;
}

/* A machine is let be where it is; somebody else's word about it counts only
 * where he may put one. */
static int find_places(struct op_state *s, struct store_txn *txn, void *user)
{
    struct places *places = user;
    const struct command_agent_put *put = places->put;
    struct store_lease lease = {.n_places = 0};
    bool own = permit_bound(s).n > 0;

    int r = store_lease_get(txn, put->hostname, s->arena, &lease);
    r = r == ERR_NOT_FOUND ? 0 : r;
    places->n = 0;
    places->paths = arena_alloc(s->arena, (put->n_leaves + lease.n_places + 1) *
                                              sizeof(struct str));
    for (size_t i = 0; r == 0 && i < put->n_leaves; i++) {
        if (!own || !is_there(&lease, put->leaves[i].ns)) {
            r = add_path(s, txn, put->leaves[i].ns, places);
        }
    }
    for (size_t i = 0; r == 0 && !own && i < lease.n_places; i++) {
        r = add_path(s, txn, lease.places[i].ns, places);
    }
    if (r == 0 && put->n_leaves + lease.n_places == 0) {
        r = add_path(s, txn, STORE_POOL, places);
    }
    return r;
}

int enrol_permit_leaves(struct op_state *s, const struct command_agent_put *put)
{
    struct str root = str_of(core_domain(s->registry->core));
    struct places places = {.put = put};
    bool everywhere =
        s->who->kind == ACCESS_ANYONE ||
        access_may(s->who, ACCESS_CREATE, STR(ACCESS_AGENTS), root);
    int r = permit_known(s);

    if (r != 0 || everywhere) {
        return r;
    }
    r = snapshot_run(s, find_places, &places);
    for (size_t i = 0; r == 0 && i < places.n; i++) {
        r = permit(s, ACCESS_CREATE, STR(ACCESS_AGENTS), places.paths[i]);
    }
    return r;
}

/* ---- what it is known by ---- */

struct binding {
    struct str hostname;
    const struct enrol_credential *credential; /* of its own, or not given */
    bool known;                                /* that it is already */
    bool gone;      /* the token is not what it was a moment ago */
    struct ulid id; /* of the token that is put */
    struct str record;
    uint64_t seen_rev, host_rev;
};

static int refuse_credential(struct op_state *s, struct str hostname,
                             struct ulid id)
{
    char text[ULID_TEXT];

    ulid_format(id, text);
    return answer_problem(s, OP_CONFLICT, STR("credential"),
                          "%.*s is known by another credential already: it may "
                          "register again when DELETE /v1/tokens/%.26s was "
                          "done",
                          SHOW(hostname), text);
}

static void encode(struct op_state *s, const struct access_token *token,
                   struct binding *binding)
{
    struct buf record = {0};

    access_token_encode(&record, token);
    binding->id = token->id;
    binding->record = arena_take(s->arena, &record);
}

/* Zero when it was given none yet. */
static int find_host(struct store_txn *txn, struct binding *binding,
                     struct ulid *ret_id)
{
    struct access_host host = {.rev = 0};

    int r = access_host_get(txn, binding->hostname, &host);
    binding->host_rev = host.rev;
    *ret_id = host.token;
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* Answers: NOT_FOUND: no token of the id is this machine's. */
static int find_own(struct op_state *s, struct store_txn *txn, struct ulid id,
                    struct str hostname, struct access_token *ret_token)
{
    int r = access_token_get(txn, s->arena, id, ret_token);

    return r == 0 && !str_equal(ret_token->hostname, hostname) ? ERR_NOT_FOUND
                                                               : r;
}

/* A machine that is known by something is taken over by no join token. */
static int check_free(struct op_state *s, struct store_txn *txn,
                      struct binding *binding)
{
    struct access_token other;
    struct ulid held;

    int r = find_host(txn, binding, &held);
    if (r == 0) {
        r = find_own(s, txn, held, binding->hostname, &other);
    }
    return r == 0               ? refuse_credential(s, binding->hostname, held)
           : r == ERR_NOT_FOUND ? 0
                                : r;
}

/* Another token has the id. */
static int check_id(struct op_state *s, struct store_txn *txn,
                    struct binding *binding)
{
    const struct enrol_credential *credential = binding->credential;
    struct access_token token;

    int r = access_token_get(txn, s->arena, credential->id, &token);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    binding->known =
        token.kind == ACCESS_OF_AGENT &&
        str_equal(token.hostname, binding->hostname) &&
        memcmp(token.hash, credential->hash, sizeof token.hash) == 0;
    if (binding->known) {
        return 0;
    }
    return answer_problem(s, OP_CONFLICT, STR("credential_id"),
                          "there is another token of this id: make a new one");
}

static int make_own(struct op_state *s, struct store_txn *txn,
                    const struct access_token *join, struct binding *binding)
{
    struct access_token token = {
        .id = binding->credential->id,
        .kind = ACCESS_OF_AGENT,
        .user = join->user,
        .roles = join->roles,
        .hostname = binding->hostname,
        .created_ms = clock_wall_ms(),
        .created_by = grants_maker(s),
    };

    int r = check_id(s, txn, binding);
    if (r != 0 || binding->known) {
        return r;
    }
    r = check_free(s, txn, binding);
    memcpy(token.hash, binding->credential->hash, sizeof token.hash);
    encode(s, &token, binding);
    binding->seen_rev = 0;
    return r;
}

static int look(struct op_state *s, struct store_txn *txn, void *user)
{
    struct binding *binding = user;
    struct access_token join;
    struct ulid id;

    binding->known = false;
    binding->gone = ulid_parse(s->who->id, &id) != 0;
    int r = access_token_get(txn, s->arena, id, &join);
    if (r == ERR_NOT_FOUND || (r == 0 && join.hostname.n > 0)) {
        binding->gone = true;
        return 0;
    }
    if (r != 0) {
        return r;
    }
    if (join.reusable) {
        return make_own(s, txn, &join, binding);
    }
    binding->seen_rev = join.rev;
    join.hostname = binding->hostname;
    encode(s, &join, binding);
    return check_free(s, txn, binding);
}

static void make_command(struct op_state *s, const struct binding *binding)
{
    struct command_access_item *items = arena_zero(s->arena, 2 * sizeof *items);
    struct buf host = {0};

    access_host_encode(&host, &(struct access_host){.token = binding->id});
    items[0] = (struct command_access_item){
        .what = ACCESS_IS_TOKEN,
        .name = arena_str(s->arena, (struct str){(const char *)binding->id.b,
                                                 sizeof binding->id.b}),
        .seen_rev = binding->seen_rev,
        .record = binding->record};
    items[1] =
        (struct command_access_item){.what = ACCESS_IS_HOST,
                                     .name = binding->hostname,
                                     .seen_rev = binding->host_rev,
                                     .record = arena_take(s->arena, &host)};
    s->command = (struct command){.kind = COMMAND_ACCESS,
                                  .access = {.items = items, .n_items = 2}};
    s->binds = true;
}

/* Which of the two kinds of token takes what. */
static int check_given(struct op_state *s,
                       const struct enrol_credential *credential)
{
    if (s->who->reusable && !credential->given) {
        return answer_problem(s, OP_BAD_REQUEST, STR("credential"),
                              "this join token is for many machines: each has "
                              "to send the hash of a token of its own as "
                              "credential, and its credential_id");
    }
    if (!s->who->reusable && credential->given) {
        return answer_problem(s, OP_BAD_REQUEST, STR("credential"),
                              "this join token is for one machine and becomes "
                              "its credential: leave out credential");
    }
    return 0;
}

int enrol_bind(struct op_state *s, struct str hostname,
               const struct enrol_credential *credential)
{
    struct binding binding = {.hostname = hostname, .credential = credential};

    if (s->who->kind != ACCESS_JOIN) {
        return 0; /* It is known by something, which stays. */
    }
    int r = check_given(s, credential);
    if (r == 0) {
        r = snapshot_run(s, look, &binding);
    }
    if (r != 0 || binding.known) {
        return r;
    }
    if (binding.gone) { /* Somebody was quicker: who is it now? */
        s->anew = true;
        return NEEDS_FENCE;
    }
    make_command(s, &binding);
    return 0;
}
