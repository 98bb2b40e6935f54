/* Who asks: from what is shown to a who, looked up once and kept while what
 * everybody may has not changed.
 *
 * Nobody is kept by the text of a token, and who is not known is not kept: a
 * token that is made moves no revision, and must be good at once. */
#include "registry/callers.h"

#include "access/access_token.h"
#include "base/clock.h"

enum { SETS = 256, WAYS = 4 };

struct caller {
    uint8_t key[SHA256_BYTES];
    struct access_who *who; /* NULL: a free place */
};

struct registry_callers {
    struct registry *registry;
    struct caller sets[SETS][WAYS];
    uint8_t next[SETS]; /* whose place is taken when none is free */
};

struct registry_callers *registry_callers_new(struct registry *registry)
{
    struct registry_callers *callers = mem_zero(sizeof *callers);

    callers->registry = registry;
    return callers;
}

struct registry_callers *registry_callers_free(struct registry_callers *callers)
{
    if (callers == NULL) {
        return NULL;
    }
    for (size_t set = 0; set < SETS; set++) {
        for (size_t way = 0; way < WAYS; way++) {
            (void)access_unref(callers->sets[set][way].who);
        }
    }
    return mem_free(callers);
}

/* ---- this node's own token ---- */

/* Those before stay until the end: somebody may be looking. They are as many as
 * the file was edited. */
struct own_token {
    uint8_t hash[SHA256_BYTES];
    struct access_who *who;
    struct own_token *before;
};

/* No revision of the state is that. */
#define OWN_REV UINT64_MAX

bool callers_is_own(const struct access_who *who)
{
    return who->access_rev == OWN_REV;
}

void callers_set_own(struct registry *registry, struct str node,
                     const uint8_t hash[SHA256_BYTES])
{
    static const struct str admin = {"admin", 5};
    const struct access_made made = {
        .kind = ACCESS_NODE, .name = node, .grants = {&admin, 1}};
    struct own_token *own = mem_zero(sizeof *own);

    if (access_make(NULL, &made, &own->who) != 0) { /* of nothing that fails */
        (void)mem_free(own);
        return;
    }
    own->who->access_rev = OWN_REV;
    memcpy(own->hash, hash, sizeof own->hash);
    own->before = atomic_load(&registry->own_token);
    atomic_store(&registry->own_token, own);
    atomic_fetch_add(&registry->own_tokens, 1);
}

void callers_end_own(struct registry *registry)
{
    struct own_token *own = atomic_load(&registry->own_token);

    while (own != NULL) {
        struct own_token *before = own->before;
        (void)access_unref(own->who);
        (void)mem_free(own);
        own = before;
    }
}

static struct access_who *own_who(const struct registry *registry,
                                  const uint8_t hash[SHA256_BYTES])
{
    const struct own_token *own = atomic_load(&registry->own_token);

    return own != NULL && access_token_same(own->hash, hash) ? own->who : NULL;
}

/* ---- whether he still is ---- */

bool registry_who_is_newest(const struct registry *registry,
                            const struct access_who *who)
{
    const struct own_token *own = atomic_load(&registry->own_token);

    if (!registry->trust.access || who->kind == ACCESS_ANYONE) {
        return !registry->trust.access && who->kind == ACCESS_ANYONE;
    }
    if (who->kind == ACCESS_ANONYMOUS) {
        return true;
    }
    if (callers_is_own(who)) {
        return own != NULL && own->who == who;
    }
    return who->access_rev == core_access_rev(registry->core);
}

/* A join token may have been bound meanwhile. */
bool registry_who_stands(const struct registry *registry,
                         const struct access_who *who)
{
    return who->kind != ACCESS_JOIN && registry_who_is_newest(registry, who) &&
           (who->expires_ms == 0 || clock_wall_ms() < who->expires_ms);
}

bool registry_is_guarded(const struct registry *registry)
{
    return registry->trust.access;
}

/* Revisions are below 2^53, and files are not edited so often. */
uint64_t registry_access_mark(const struct registry *registry)
{
    return (atomic_load(&registry->own_tokens) << 53) |
           core_access_rev(registry->core);
}

/* ---- those who came lately ---- */

static struct caller *set_of(struct registry_callers *callers,
                             const uint8_t key[SHA256_BYTES])
{
    return callers->sets[key[0] % SETS];
}

static struct access_who *recall(struct registry_callers *callers,
                                 const uint8_t key[SHA256_BYTES])
{
    struct caller *set = set_of(callers, key);

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].who == NULL ||
            memcmp(set[i].key, key, sizeof set[i].key) != 0) {
            continue;
        }
        if (registry_who_stands(callers->registry, set[i].who)) {
            return set[i].who;
        }
        set[i].who = access_unref(set[i].who);
    }
    return NULL;
}

static void keep(struct registry_callers *callers,
                 const uint8_t key[SHA256_BYTES], struct access_who *who)
{
    struct caller *set = set_of(callers, key);
    uint8_t *next = &callers->next[key[0] % SETS];
    size_t at = 0;

    while (at < WAYS && set[at].who != NULL) {
        at++;
    }
    if (at == WAYS) {
        at = *next;
        *next = (uint8_t)((at + 1) % WAYS);
    }
    (void)access_unref(set[at].who);
    set[at].who = access_ref(who);
    memcpy(set[at].key, key, sizeof set[at].key);
}

/* ---- from what is shown ---- */

/* No token's text can be what is hashed for a certificate. */
static void name_key(const char *what, struct str name,
                     uint8_t ret_key[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();

    sha256_add(hash, what, strlen(what) + 1);
    sha256_add(hash, name.p, name.n);
    (void)sha256_end(hash, ret_key);
}

/* A token goes before a certificate, also when it is nobody's. Answers:
 * NOT_FOUND: nothing that could be anybody's. */
static int key_of(const struct access_shown *shown,
                  uint8_t ret_key[SHA256_BYTES])
{
    struct ulid id;

    if (shown->token.p != NULL) {
        if (access_token_parse(shown->token, &id) != 0) {
            return ERR_NOT_FOUND;
        }
        access_token_hash(shown->token, ret_key);
        return 0;
    }
    if (shown->node.n > 0) {
        name_key("node", shown->node, ret_key);
        return 0;
    }
    if (shown->user.n > 0) {
        name_key("user", shown->user, ret_key);
        return 0;
    }
    return ERR_NOT_FOUND;
}

static int look(struct store_reader *reader, const struct access_shown *shown,
                struct access_who **ret_who)
{
    struct store_txn *txn = NULL;
    int r = store_read_begin(reader, &txn);

    if (r == 0) {
        r = access_resolve(txn, shown, clock_wall_ms(), ret_who);
        store_read_end(txn);
    }
    return r;
}

static int find(struct registry_callers *callers, struct store_reader *reader,
                const struct access_shown *shown, struct access_who **ret_who)
{
    uint8_t key[SHA256_BYTES];

    int r = key_of(shown, key);
    if (r != 0) {
        return r;
    }
    struct access_who *who =
        shown->token.p == NULL ? NULL : own_who(callers->registry, key);
    if (who == NULL) {
        who = recall(callers, key);
    }
    if (who != NULL) {
        *ret_who = access_ref(who);
        return 0;
    }
    r = look(reader, shown, ret_who);
    if (r == 0 && registry_who_stands(callers->registry, *ret_who)) {
        keep(callers, key, *ret_who);
    }
    return r;
}

int registry_identify(struct registry_callers *callers,
                      struct store_reader *reader,
                      const struct access_shown *shown,
                      struct access_who **ret_who)
{
    if (!callers->registry->trust.access) {
        *ret_who = access_anyone();
        return 0;
    }
    if (shown->token.p == NULL && shown->node.n == 0 && shown->user.n == 0) {
        *ret_who = access_anonymous();
        return 0;
    }
    int r = find(callers, reader, shown, ret_who);
    if (r != 0) {
        *ret_who = access_anonymous();
    }
    return r;
}

int callers_again(struct store_reader *reader, const struct access_who *who,
                  struct access_who **ret_who)
{
    struct store_txn *txn = NULL;

    if (callers_is_own(who)) { /* of a file that is another now */
        return ERR_NOT_FOUND;
    }
    int r = store_read_begin(reader, &txn);
    if (r == 0) {
        r = access_again(txn, who, clock_wall_ms(), ret_who);
        store_read_end(txn);
    }
    return r;
}

int registry_identify_again(struct registry_callers *callers,
                            struct store_reader *reader,
                            const struct access_who *who,
                            struct access_who **ret_who)
{
    struct registry *registry = callers->registry;

    if (registry_who_stands(registry, who)) {
        *ret_who = access_ref((struct access_who *)(uintptr_t)who);
        return 0;
    }
    int r = registry->trust.access && who->kind != ACCESS_ANYONE
                ? callers_again(reader, who, ret_who)
                : ERR_NOT_FOUND;
    if (r != 0) {
        *ret_who =
            registry->trust.access ? access_anonymous() : access_anyone();
    }
    return r;
}
