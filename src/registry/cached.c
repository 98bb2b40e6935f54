#include "registry/cached.h"

#include "registry/poll.h"
#include "registry/resolve.h"

struct cache *registry_cache(struct registry *registry)
{
    return registry->cache;
}

/* ---- the compressed body ---- */

static void make(struct op_state *s, uint64_t ns, const struct cache_list *list)
{
    cache_gzip_make(s->registry->cache, ns, s->op->type, list);
}

/* The claim is taken along to the worker. */
static int take_along(struct op_state *s, uint64_t ns,
                      const struct cache_list *list)
{
    s->squeeze = list;
    s->squeeze_ns = ns;
    return NEEDS_WORKER;
}

/* On the worker, if one was to be had. */
static void make_claimed(struct op_state *s)
{
    if (s->squeeze != NULL && s->on_worker) {
        make(s, s->squeeze_ns, s->squeeze);
        s->squeeze = cache_unref(s->squeeze);
    }
    cached_end(s);
}

void cached_end(struct op_state *s)
{
    if (s->squeeze != NULL) {
        cache_gzip_unclaim(s->squeeze);
        s->squeeze = cache_unref(s->squeeze);
    }
}

/* Has the compressed body made when nobody has yet. While another is at it, or
 * no worker is to be had, the list goes out as it is. 0, or NEEDS_WORKER, which
 * takes the list. */
static int squeeze(struct op_state *s, uint64_t ns,
                   const struct cache_list *list)
{
    bool quick = s->on_worker || list->body.n <= CACHED_QUICK_GZIP;
    struct str body;

    if (!s->op->gzip || cache_gzip_get(list, &body) != CACHE_GZIP_NONE ||
        (!quick && s->op->no_worker) || !cache_gzip_claim(list)) {
        return 0;
    }
    if (!quick) {
        return take_along(s, ns, list);
    }
    make(s, ns, list);
    return 0;
}

/* ---- answers ---- */

/* Lends out the list, which the answer takes, in the form its client gets. */
static void lend(struct op_state *s, const struct cache_list *list)
{
    struct op_answer *answer = &s->op->answer;

    answer->code = OP_OK;
    answer->list = list;
    answer->body = list->body;
    if (answer->gzip) {
        (void)cache_gzip_get(list, &answer->body);
    }
}

static void set_form(struct op_state *s, const struct cache_list *list)
{
    struct op_answer *answer = &s->op->answer;
    struct str body;

    if (s->op->kind != OP_LIST_GET) {
        return; /* a write's answer goes to the one who wrote */
    }
    enum cache_gzip stage = cache_gzip_get(list, &body);
    answer->varies = true;
    answer->gzip = s->op->gzip && stage == CACHE_GZIP_MADE;
    answer->passing = s->op->gzip && !answer->gzip && stage != CACHE_GZIP_NEVER;
}

/* A list the cache has, and whose it is. The revision was read before it, so
 * the list is never older than what the answer claims. When it is newer,
 * somebody has filled it since, and the path may stand for another namespace by
 * now: a snapshot knows. */
static int find(struct op_state *s, uint64_t revision, uint64_t *ret_ns,
                const struct cache_list **ret_list)
{
    struct cache *cache = s->registry->cache;
    struct cache_path path;
    const struct cache_list *list = NULL;

    if (cache_path_get(cache, s->op->ns, &path) != 0 ||
        cache_get(cache, path.ns, s->op->type, &list) != 0) {
        return ERR_NOT_FOUND;
    }
    if (list->revision > revision) {
        (void)cache_unref(list);
        return ERR_NOT_FOUND;
    }
    *ret_ns = path.ns;
    *ret_list = list;
    return 0;
}

/* Takes the list. */
static int answer_found(struct op_state *s, uint64_t ns,
                        const struct cache_list *list)
{
    struct op_answer *answer = &s->op->answer;
    struct str body;
    bool gzip = s->op->gzip && cache_gzip_get(list, &body) == CACHE_GZIP_MADE;
    bool same = false;

    int r = resolve_not_modified(s, list->revision, &same, &gzip);
    if (r == 0 && !same) {
        r = squeeze(s, ns, list);
    }
    if (r != 0) {
        if (r != NEEDS_WORKER) {
            (void)cache_unref(list);
        }
        return r;
    }
    answer->etag = list->revision;
    set_form(s, list);
    if (same) {
        answer->code = OP_NOT_MODIFIED;
        answer->gzip = gzip;
        answer->passing = false; /* either tag is right */
        (void)cache_unref(list);
    } else {
        lend(s, list);
    }
    return 0;
}

int cached_answer(struct op_state *s)
{
    uint64_t revision = snapshot_newest(s->registry);
    const struct cache_list *list = NULL;
    uint64_t ns = 0;

    make_claimed(s);
    int r = find(s, revision, &ns, &list);
    if (r != 0) {
        return r;
    }
    if (poll_parks(s, list->revision, revision)) {
        (void)cache_unref(list);
        return poll_list(s, revision);
    }
    s->op->answer.revision = revision;
    return answer_found(s, ns, list);
}

int cached_put(struct op_state *s, struct cache_path path, uint64_t revision,
               uint64_t count, struct buf *body)
{
    struct cache *cache = s->registry->cache;

    cache_path_put(cache, s->op->ns, path, s->seen.revision);
    const struct cache_list *list = cache_put(
        cache, path.ns, s->op->type, s->seen.revision, revision, count, body);
    int r = squeeze(s, path.ns, list);
    if (r != 0) {
        return r;
    }
    set_form(s, list);
    lend(s, list);
    return 0;
}
