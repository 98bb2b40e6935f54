#include "registry/matches.h"

#include <stdatomic.h>

#include "model/pattern.h"
#include "registry/answer.h"

enum {
    MATCHES_QUICK = 1000, /* more are matched by a worker */
    MAKING_QUICK = 16,    /* more are compiled by a worker */
    STEPS_FIRST = 100000,
    STEPS_EACH = 200,
    COSTLY_MOST = 8,
};

/* A compiled pattern in as many sets as hold it. */
struct compiled {
    atomic_uint refs;
    struct str text;         /* from the heap */
    struct pattern *pattern; /* NULL: it could not be compiled */
};

struct match {
    uint64_t ns;
    struct compiled *compiled;
};

struct matches {
    atomic_uint refs;
    uint64_t tree_rev;
    struct match *items; /* by ns */
    size_t n, room;
};

static struct compiled *compiled_unref(struct compiled *compiled)
{
    if (atomic_fetch_sub(&compiled->refs, 1) == 1) {
        (void)pattern_free(compiled->pattern);
        (void)mem_free((void *)(uintptr_t)compiled->text.p);
        (void)mem_free(compiled);
    }
    return NULL;
}

static struct compiled *compiled_ref(struct compiled *compiled)
{
    atomic_fetch_add(&compiled->refs, 1);
    return compiled;
}

struct matches *matches_unref(struct matches *matches)
{
    if (matches == NULL || atomic_fetch_sub(&matches->refs, 1) != 1) {
        return NULL;
    }
    for (size_t i = 0; i < matches->n; i++) {
        (void)compiled_unref(matches->items[i].compiled);
    }
    (void)mem_free(matches->items);
    (void)mem_free(matches);
    return NULL;
}

uint64_t matches_tree_rev(const struct matches *matches)
{
    return matches->tree_rev;
}

/* ---- making a set ---- */

/* Texts first, in the snapshot; compiling takes its time after. */
struct wanted {
    uint64_t ns;
    struct str text;
};

struct making {
    struct matches *ready; /* somebody has made it */
    struct arena *arena;
    struct wanted *wanted;
    size_t n, room;
};

static struct matches *shared(struct registry *registry, uint64_t tree_rev,
                              bool any)
{
    struct matches *found = NULL;

    (void)pthread_mutex_lock(&registry->shared_lock);
    if (registry->matches != NULL &&
        (any || registry->matches->tree_rev == tree_rev)) {
        found = registry->matches;
        atomic_fetch_add(&found->refs, 1);
    }
    (void)pthread_mutex_unlock(&registry->shared_lock);
    return found;
}

static void share(struct registry *registry, struct matches *matches)
{
    struct matches *old = NULL;

    (void)pthread_mutex_lock(&registry->shared_lock);
    if (registry->matches == NULL ||
        registry->matches->tree_rev < matches->tree_rev) {
        old = registry->matches;
        registry->matches = matches;
        atomic_fetch_add(&matches->refs, 1);
    }
    (void)pthread_mutex_unlock(&registry->shared_lock);
    (void)matches_unref(old);
}

/* A leaf of a deleted subtree keeps its pattern until it is reclaimed. */
static int is_reachable(struct store_txn *txn, uint64_t ns, bool *ret_reachable)
{
    struct buf path = {0};

    int r = store_path_of(txn, ns, &path);
    buf_done(&path);
    *ret_reachable = r == 0;
    return r == ERR_NOT_FOUND ? 0 : r;
}

static void want(struct making *making, uint64_t ns, struct str text)
{
    if (making->n == making->room) {
        making->room = making->room * 2 + 64;
        making->wanted =
            mem_grow(making->wanted, making->room * sizeof *making->wanted);
    }
    making->wanted[making->n++] =
        (struct wanted){ns, arena_str(making->arena, text)};
}

static int collect(struct op_state *s, struct store_txn *txn, void *user)
{
    struct making *making = user;
    uint64_t ns = 0;
    struct str text;
    bool reachable = false;
    unsigned n = 0;
    int r;

    making->ready = shared(s->registry, store_meta(txn)->tree_rev, false);
    if (making->ready != NULL) {
        return 0;
    }
    while ((r = store_match_next(txn, ns, &ns, &text)) == 0) {
        if (!s->on_worker && ++n > MAKING_QUICK) {
            return NEEDS_WORKER;
        }
        r = is_reachable(txn, ns, &reachable);
        if (r != 0) {
            return r;
        }
        if (reachable) {
            want(making, ns, text);
        }
    }
    return r == ERR_END ? 0 : r;
}

static struct compiled *compile(struct making *making, struct str text)
{
    struct compiled *compiled = mem_zero(sizeof *compiled);
    struct str why = STR_NONE;

    atomic_init(&compiled->refs, 1);
    compiled->text = (struct str){mem_dup(text.p, text.n), text.n};
    /* It was tried before it came into the log, so a failure is another
     * version's library: then it matches nothing. */
    if (pattern_new(PATTERN_REGEX, text, making->arena, &compiled->pattern,
                    &why) != 0) {
        compiled->pattern = NULL;
    }
    return compiled;
}

/* Both are by ns: one walk finds what the old set has compiled already. */
static struct matches *make(struct making *making, struct matches *old,
                            uint64_t tree_rev)
{
    struct matches *made = mem_zero(sizeof *made);
    size_t at = 0;

    atomic_init(&made->refs, 1);
    made->tree_rev = tree_rev;
    made->items = mem_alloc((making->n + 1) * sizeof *made->items);
    for (size_t i = 0; i < making->n; i++) {
        const struct wanted *wanted = &making->wanted[i];
        while (old != NULL && at < old->n && old->items[at].ns < wanted->ns) {
            at++;
        }
        bool same = old != NULL && at < old->n &&
                    old->items[at].ns == wanted->ns &&
                    str_equal(old->items[at].compiled->text, wanted->text);
        made->items[made->n++] = (struct match){
            wanted->ns, same ? compiled_ref(old->items[at].compiled)
                             : compile(making, wanted->text)};
    }
    return made;
}

static int look_or_make(struct op_state *s, struct matches **ret_matches)
{
    struct making making = {.arena = arena_new()};

    int r = snapshot_run(s, collect, &making);
    if (r == 0 && making.ready != NULL) {
        *ret_matches = making.ready;
    } else if (r == 0) {
        struct matches *old = shared(s->registry, 0, true);
        *ret_matches = make(&making, old, s->seen.tree_rev);
        share(s->registry, *ret_matches);
        (void)matches_unref(old);
    }
    (void)mem_free(making.wanted);
    (void)arena_free(making.arena);
    return r;
}

int matches_hold(struct op_state *s, struct matches **ret_matches)
{
    int r;

    if (s->on_worker) { /* One makes it, the others take it. */
        (void)pthread_mutex_lock(&s->registry->matches_building);
        r = look_or_make(s, ret_matches);
        (void)pthread_mutex_unlock(&s->registry->matches_building);
        return r;
    }
    r = look_or_make(s, ret_matches);
    if (r == 0 && (*ret_matches)->n > MATCHES_QUICK) {
        *ret_matches = matches_unref(*ret_matches);
        return NEEDS_WORKER;
    }
    return r;
}

/* ---- matching ---- */

int matches_find(struct op_state *s, const struct matches *matches,
                 struct str hostname, uint64_t **ret_leaves, size_t *ret_n)
{
    CLEANUP(pattern_scratch_freep) struct pattern_scratch *scratch = NULL;
    uint64_t budget = STEPS_FIRST + STEPS_EACH * (uint64_t)matches->n;
    uint64_t *leaves = arena_alloc(s->arena, (matches->n + 1) * sizeof *leaves);
    unsigned costly = 0;

    *ret_n = 0;
    scratch = pattern_scratch_new(budget);
    for (size_t i = 0; i < matches->n; i++) {
        const struct match *item = &matches->items[i];
        int r = item->compiled->pattern == NULL
                    ? ERR_NOT_FOUND
                    : pattern_match(item->compiled->pattern, scratch, hostname);
        if (r == 0) {
            leaves[(*ret_n)++] = item->ns;
        }
        if (r != ERR_TOO_COSTLY) {
            continue;
        }
        if (++costly > COSTLY_MOST) {
            return answer_busy(s, "the match patterns of many leaves cost too "
                                  "much for this hostname: simplify them");
        }
        (void)pattern_scratch_free(scratch);
        scratch = pattern_scratch_new(budget);
    }
    *ret_leaves = leaves;
    return 0;
}
