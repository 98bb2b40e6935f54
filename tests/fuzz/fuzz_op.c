/* Any operation with any names, query and body, on a registry of its own:
 * first as a reader, who can change nothing, then as somebody who may do all.
 * Lines: the operation as src/registry/verbs.c names it, namespace, type, id,
 * what a list or search is asked, If-Match; then the body.
 *
 * Nothing is a fault of the server, each refusal says why, each answer is
 * JSON, and the revision never falls. */
#include <argon2.h>
#include <time.h>

#include "../unit/registry/kit.h"
#include "base/utf8.h"
#include "model/json.h"
#include "registry/room.h"
#include "registry/wait.h"
#include "replay.h"

enum { COMMANDS_MOST = 2000, ASKED_MOST = 1 << 16, WAIT_MS = 9000 };

uint64_t __real_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void);
int __wrap_argon2id_verify(const char *encoded, const void *password, size_t n);
int __wrap_argon2id_hash_encoded(uint32_t passes, uint32_t memory,
                                 uint32_t lanes, const void *password, size_t n,
                                 const void *salt, size_t n_salt, size_t n_hash,
                                 char *encoded, size_t n_encoded);

/* Passwords are all the same here, and cost nothing. */
int __wrap_argon2id_verify(const char *encoded, const void *password, size_t n)
{
    (void)encoded;
    (void)password;
    return n % 2 == 0 ? ARGON2_OK : ARGON2_VERIFY_MISMATCH;
}

int __wrap_argon2id_hash_encoded(uint32_t passes, uint32_t memory,
                                 uint32_t lanes, const void *password, size_t n,
                                 const void *salt, size_t n_salt, size_t n_hash,
                                 char *encoded, size_t n_encoded)
{
    (void)passes, (void)memory, (void)lanes, (void)password, (void)n;
    (void)salt, (void)n_salt, (void)n_hash;
    (void)snprintf(encoded, n_encoded,
                   "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    return ARGON2_OK;
}

static struct kit *kit;
static uint64_t skipped_ms; /* nobody waits here */

uint64_t __wrap_clock_mono_ms(void)
{
    return __real_clock_mono_ms() + skipped_ms;
}

static struct access_who *who_with(enum access_kind kind, const char *role)
{
    struct str grants[] = {str_of(role)};
    const struct access_made made = {
        .kind = kind, .name = STR("fuzz"), .grants = {grants, 1}};
    struct access_who *who = NULL;

    REQUIRE(access_make(NULL, &made, &who) == 0);
    who->access_rev = machine_view(kit->core.machine).access_rev;
    return who;
}

static void end(void)
{
    if (kit != NULL) {
        kit_free(kit);
        kit = NULL;
    }
}

static void must(enum op_kind kind, const char *ns, const char *type,
                 const char *id, const char *body)
{
    enum op_code code = kit_do(kit, kind, ns, type, id, body);

    REQUIRE(code == OP_CREATED || code == OP_OK);
}

static void begin(void)
{
    static bool registered;

    end();
    kit = kit_new();
    must(OP_NS_CREATE, NULL, NULL, NULL,
         "{\"parent\":\"roster\",\"name\":\"shop\",\"kind\":\"branch\"}");
    must(OP_NS_CREATE, NULL, NULL, NULL,
         "{\"parent\":\"shop.roster\",\"name\":\"web\",\"match\":\"^w\"}");
    must(OP_LIST_ADD, "web.shop.roster", "service", NULL, "{\"name\":\"a\"}");
    must(OP_AGENT_PUT, NULL, NULL, NULL, "{\"hostname\":\"w1\"}");
    must(OP_ROLE_PUT, NULL, NULL, "r", "{\"rules\":[]}");
    must(OP_USER_PUT, NULL, NULL, "ann", "{\"roles\":[\"reader\"]}");
    must(OP_GROUP_PUT, NULL, NULL, "g", "{\"members\":[\"ann\"]}");
    registry_set_trust(
        kit->registry,
        &(struct registry_trust){.access = true, .session_ttl_ms = 3600000});
    if (!registered) {
        registered = true;
        (void)atexit(end);
    }
}

static enum op_kind kind_of(struct str name)
{
    for (size_t i = 0; i < OP_KINDS; i++) {
        if (verbs[i].name != NULL && str_is(name, verbs[i].name)) {
            return (enum op_kind)i;
        }
    }
    return OP_KINDS;
}

static struct str line_of(struct str *rest)
{
    const char *stop = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
    size_t n = stop == NULL ? rest->n : (size_t)(stop - rest->p);
    struct str line = {rest->p, n};

    rest->p += n + (stop != NULL);
    rest->n -= n + (stop != NULL);
    return line;
}

/* As the mouth hands names on: text, and whole. */
static bool is_name(struct str text)
{
    return utf8_is_valid(text) &&
           (text.n == 0 || memchr(text.p, '\0', text.n) == NULL);
}

static void check_json(struct str body)
{
    struct arena *arena = arena_new();
    struct json_error error;
    struct json *json = NULL;

    REQUIRE(json_parse(arena, body, &json, &error) == 0);
    (void)arena_free(arena);
}

static void check_answer(const struct op *op, enum op_code code)
{
    const struct op_answer *answer = &op->answer;

    REQUIRE(code < OP_CODES && code != OP_INTERNAL);
    if (code >= OP_BAD_REQUEST && answer->body.n == 0) {
        REQUIRE(answer->detail.n > 0 && utf8_is_valid(answer->detail));
        REQUIRE(utf8_is_valid(answer->field) && utf8_is_valid(answer->ns));
    }
    if (answer->body.n > 0 && !answer->gzip) {
        check_json(answer->body);
    }
    REQUIRE(answer->file == NULL);
}

/* ">" begins where a page goes on. */
static void ask_for(struct op_query *query, const struct op *op,
                    struct str asked)
{
    if (asked.n == 0) {
        return;
    }
    query->limit = (uint8_t)asked.p[0] % 8;
    query->flat = query->recursive = asked.n % 2 == 0;
    query->ns = op->ns;
    query->type = op->type;
    query->verb = STR("read");
    if (asked.p[0] == '>') {
        query->after = (struct str){asked.p + 1, asked.n - 1};
    } else {
        query->mode = asked.n % 3 == 0 ? STR("regex") : STR_NONE;
        query->v = query->fields = query->lease = asked;
    }
}

static bool asks(struct op *op, struct str rest)
{
    struct str *names[] = {&op->ns, &op->type, &op->id};
    struct op_query *query = &op->query;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *names[i] = line_of(&rest);
        if (!is_name(*names[i])) {
            return false;
        }
    }
    struct str asked = line_of(&rest);
    if (!is_name(asked)) {
        return false;
    }
    ask_for(query, op, asked);
    struct str match = line_of(&rest);
    bool none = match.n > 0 && match.p[0] == '!';
    struct str tags = {match.p + none, match.n - none};
    *(none ? &op->if_.if_none_match : &op->if_.if_match) =
        match.n > 0 ? tags : STR_NONE;
    op->body = rest;
    return true;
}

/* What a password costs is another thread's; a wrong one is refused late. */
static void await(unsigned wakes)
{
    const volatile unsigned *now = &kit->wakes;

    for (unsigned ms = 0; *now == wakes; ms++) {
        REQUIRE(ms < WAIT_MS);
        skipped_ms += 50;
        wait_wake(kit->registry, kit->core.status.revision, clock_mono_ms());
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* To its end. */
static enum op_code finish(void)
{
    enum op_step step;

    do {
        unsigned wakes = kit->wakes;
        step = registry_run(kit->registry, &kit->op, kit->reader);
        if (step == OP_WAIT) {
            await(wakes);
        }
    } while (step == OP_WORK || step == OP_WAIT);
    return kit->op.answer.code;
}

static void run_as(enum op_kind kind, struct str rest, enum access_kind as,
                   const char *role)
{
    uint64_t before = kit->core.status.revision;
    struct op *op = kit_op(kit, kind, NULL, NULL, NULL, NULL);

    if (!asks(op, rest)) {
        return;
    }
    op->who = kit->who = who_with(as, role);
    enum op_code code = finish();
    if (kit->op.answer.watch == NULL) {
        check_answer(op, code);
    }
    REQUIRE(kit->core.status.revision >= before);
    (void)kit_op(kit, OP_LEADER, NULL, NULL, NULL, NULL);
    kit->op.who = NULL;
    kit->who = access_unref(kit->who);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str rest = {(const char *)bytes, n};
    enum op_kind kind = kind_of(line_of(&rest));

    /* Files, and what only a cluster has, have tests of their own. */
    if (n > ASKED_MOST || kind == OP_KINDS || kind == OP_BACKUP ||
        kind == OP_RESTORE || kind == OP_SNAPSHOT) {
        return 0;
    }
    if (kit == NULL || kit->core.index > COMMANDS_MOST) {
        begin();
    }
    unsigned submits = kit->core.submits;
    run_as(kind, rest, ACCESS_TOKEN, "reader");
    REQUIRE(kit->core.submits == submits || kind == OP_SESSION_CREATE);
    run_as(kind, rest, ACCESS_NODE, "admin");
    return 0;
}
