#include <stdatomic.h>

#include "access/inside.h"

/* Never counted: it is nobody's to end. */
static struct access_who anyone = {
    .kind = ACCESS_ANYONE, .name = {"anyone", 6}, .view = {1}};
static struct access_who anonymous = {
    .kind = ACCESS_ANONYMOUS, .name = {"anonymous", 9}, .view = {2}};

struct access_who *access_anyone(void)
{
    return &anyone;
}

struct access_who *access_anonymous(void)
{
    return &anonymous;
}

static bool is_static(const struct access_who *who)
{
    return who == &anyone || who == &anonymous;
}

struct access_who *access_ref(struct access_who *who)
{
    if (!is_static(who)) {
        (void)atomic_fetch_add(&who->users, 1);
    }
    return who;
}

struct access_who *access_unref(struct access_who *who)
{
    if (who != NULL && !is_static(who) &&
        atomic_fetch_sub(&who->users, 1) == 1) {
        (void)mem_free(who);
    }
    return NULL;
}

/* ---- making: one block, because there may be one for each agent ---- */

struct block {
    struct access_who who;
    struct access_rules rules;
    struct may mays[];
};

static size_t text_bytes(const struct mays *mays)
{
    size_t n = 0;

    for (size_t i = 0; i < mays->n; i++) {
        n += mays->items[i].ns.n + mays->items[i].target.n;
    }
    return n;
}

static struct str put_text(char **at, struct str text)
{
    struct str put = {*at, text.n};

    if (text.n > 0) {
        memcpy(*at, text.p, text.n);
        *at += text.n;
    }
    return put;
}

static struct mays put_mays(struct may *items, char **at,
                            const struct mays *mays)
{
    for (size_t i = 0; i < mays->n; i++) {
        items[i].ns = put_text(at, mays->items[i].ns);
        items[i].target = put_text(at, mays->items[i].target);
        items[i].verbs = mays->items[i].verbs;
    }
    return (struct mays){.items = items, .n = mays->n, .room = mays->n};
}

/* ---- the view [ACCESS-2] ---- */

/* Lengths stand before texts, so that no two lists run into one stream. */
static void add_text(struct sha256 *hash, struct str text)
{
    uint8_t length[4];

    le_put(length, text.n, sizeof length);
    sha256_add(hash, length, sizeof length);
    sha256_add(hash, text.p, text.n);
}

static void add_mays(struct sha256 *hash, const struct mays *mays)
{
    uint8_t n[4];

    le_put(n, mays->n, sizeof n);
    sha256_add(hash, n, sizeof n);
    for (size_t i = 0; i < mays->n; i++) {
        add_text(hash, mays->items[i].ns);
        add_text(hash, mays->items[i].target);
        sha256_add(hash, &mays->items[i].verbs, 1);
    }
}

static void set_view(struct access_who *who)
{
    uint8_t limited = who->rules->limited;
    uint8_t sum[SHA256_BYTES];
    struct sha256 *hash = sha256_new();

    add_text(hash, who->hostname);
    add_mays(hash, &who->rules->own);
    sha256_add(hash, &limited, 1);
    add_mays(hash, &who->rules->limit);
    (void)sha256_end(hash, sum);
    memcpy(who->view, sum, sizeof who->view);
}

struct access_who *access_pack(const struct access_made *made,
                               const struct access_rules *rules,
                               uint64_t access_rev)
{
    size_t n = rules->own.n + rules->limit.n;
    size_t texts = text_bytes(&rules->own) + text_bytes(&rules->limit) +
                   made->name.n + made->id.n + made->user.n + made->hostname.n +
                   made->hosts.n;
    struct block *block =
        mem_zero(sizeof *block + n * sizeof block->mays[0] + texts);
    struct access_who *who = &block->who;
    char *at = (char *)&block->mays[n];

    atomic_store(&who->users, 1);
    who->kind = made->kind;
    who->name = put_text(&at, made->name);
    who->id = put_text(&at, made->id);
    who->user = put_text(&at, made->user);
    who->hostname = put_text(&at, made->hostname);
    who->hosts = put_text(&at, made->hosts);
    who->reusable = made->reusable;
    who->expires_ms = made->expires_ms;
    who->access_rev = access_rev;
    who->rules = &block->rules;
    block->rules = *rules;
    block->rules.own = put_mays(block->mays, &at, &rules->own);
    block->rules.limit =
        put_mays(block->mays + rules->own.n, &at, &rules->limit);
    set_view(who);
    return who;
}
