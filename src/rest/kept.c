/* Answers kept for the next one who asks the same.
 *
 * Taking a target apart, finding what it names and making the library's
 * response object with its headers costs as much as the kernel takes to send
 * it. Between two changes of the registry all answers to one read are the same
 * bytes, for a second at a time (the Date): the object is kept under what was
 * asked, and queued again.
 *
 * Nobody is told less than another has seen: cache/memo.h forgets all answers
 * before a commit can be seen. What else an answer depends on is compared here:
 * the request (the key) and the node (the stamp). */
#include "rest/state.h"

enum {
    KEY_MOST = 1024,          /* longer targets are made up, not read again */
    COPY_MOST = 16 << 10,     /* bytes of a body that is copied to be kept */
    LENT_MOST = 256 << 10,    /* of one that the cache lends */
    ALL_MOST = 8 << 20,       /* of all; a list may be gone elsewhere */
    HELD_MOST = ALL_MOST / 8, /* one list must not push out all others */
    ONE = 2048,               /* what the library has in one with its headers */
};

static void end(void *value)
{
    struct rest_kept *kept = value;

    rest_shared_unref(kept->shared);
    (void)mem_free(kept);
}

struct cache_memo *rest_kept_new(struct cache *cache)
{
    return cache_memo_new(cache, ALL_MOST, end);
}

/* One that asks for nothing special. An If-None-Match without a tag is wrong,
 * which the key would not show. */
bool rest_kept_is_plain(const struct rest_request *request,
                        const struct rest_head *head)
{
    struct str tags = head->conditions.if_none_match;

    return request->method == REST_GET && !head->body &&
           (tags.p == NULL || tags.n > 0) &&
           head->conditions.if_match.p == NULL &&
           head->conditions.idempotency_key.p == NULL &&
           head->min_revision.p == NULL;
}

/* All of a plain request that its answer depends on. Where not everybody may
 * see everything, that is also what its caller may see, whose length is fixed.
 */
static bool set_key(struct rest_request *request)
{
    struct str target = request->target;
    struct str tags = request->op.if_.if_none_match;
    size_t view = request->loop->guarded ? ACCESS_VIEW_BYTES : 0;
    size_t n = target.n + 2 + tags.n + view;

    if (n > KEY_MOST) {
        return false;
    }
    char *key = arena_alloc(request->arena, n);
    memcpy(key, target.p, target.n);
    key[target.n] = '\n'; /* in no target and no header */
    key[target.n + 1] = request->op.gzip ? 'z' : '-';
    if (tags.n > 0) {
        memcpy(key + target.n + 2, tags.p, tags.n);
    }
    if (view > 0) {
        memcpy(key + n - view, request->op.who->view, view);
    }
    request->key = (struct str){key, n};
    return true;
}

/* The revision is the memo's business. */
static bool is_same(const struct rest_loop *loop,
                    const struct rest_stamp *stamp)
{
    const struct core *core = loop->rest->core;

    return stamp->leader == core_leader_raft_id(core) &&
           stamp->stale_ms == core_stale_ms(core);
}

/* [CACHE-4], as in cache/memo.h. */
bool rest_kept_stands(const struct rest_loop *loop,
                      const struct rest_stamp *stamp)
{
    const struct rest *rest = loop->rest;

    return stamp->revision == cache_newest(registry_cache(rest->registry)) &&
           is_same(loop, stamp) &&
           !atomic_load_explicit(&rest->draining, memory_order_relaxed);
}

bool rest_kept_is_whole(const struct rest_request *request,
                        const struct rest_kept *kept)
{
    return kept->stamp.second == request->loop->second;
}

const struct rest_kept *rest_kept_find(struct rest_request *request)
{
    if (!set_key(request) || rest_header_is_draining(request)) {
        return NULL;
    }
    const struct rest_kept *kept =
        cache_memo_find(request->loop->kept, request->key);
    bool fits = kept != NULL && is_same(request->loop, &kept->stamp);
    return fits ? kept : NULL;
}

bool rest_kept_is_read(const struct rest_request *request)
{
    const struct op *op = &request->op;

    return request->plain && request->problem.status == 0 &&
           request->route != NULL && request->route->place == REST_OP &&
           !op->query.has_since &&
           (op->kind == OP_LIST_GET || op->kind == OP_ROW_GET);
}

/* Of a list, all that stays in memory as long as the answer is kept: both of
 * its forms, whichever is sent. */
static uint64_t held_bytes(const struct op_answer *answer)
{
    uint64_t form = answer->gzip ? answer->body.n : 0;
    return answer->list == NULL ? answer->body.n : answer->list->body.n + form;
}

/* Whose access changed meanwhile was looked up anew by the operation, or may
 * have been: its answer is not that of who he was. So is a join token always.
 */
static bool is_of_who(const struct rest_request *request)
{
    const struct rest_loop *loop = request->loop;

    return !loop->guarded ||
           (request->op.who->kind != ACCESS_JOIN &&
            request->mark == registry_access_mark(loop->rest->registry));
}

/* Reads of lists and resources: what stands in the store at one revision. */
static bool is_worth_it(const struct rest_request *request)
{
    const struct op *op = &request->op;
    const struct op_answer *answer = &op->answer;

    return request->plain && request->key.n > 0 &&
           (op->kind == OP_LIST_GET || op->kind == OP_ROW_GET) &&
           !answer->passing && is_of_who(request) &&
           (answer->code == OP_OK || answer->code == OP_NOT_MODIFIED) &&
           answer->body.n <= (answer->list != NULL ? LENT_MOST : COPY_MOST) &&
           held_bytes(answer) <= HELD_MOST &&
           !rest_header_is_draining(request) &&
           cache_memo_wants(request->loop->kept, request->key);
}

uint64_t rest_kept_cost(const struct rest_request *request)
{
    return is_worth_it(request) ? ONE + held_bytes(&request->op.answer) : 0;
}

struct rest_shared *rest_kept_keep(struct rest_request *request,
                                   unsigned status,
                                   const struct rest_stamp *stamp,
                                   uint64_t cost, struct str body,
                                   struct MHD_Response *response)
{
    const struct rest_reply reply = {response, request->route, status,
                                     request->answer_bytes};
    struct rest_kept *kept = mem_alloc(sizeof *kept);

    *kept = (struct rest_kept){rest_shared_new(&reply, body), *stamp,
                               request->op.query.linearizable};
    if (cache_memo_keep(request->loop->kept, request->key, stamp->revision,
                        cost, kept)) {
        return kept->shared;
    }
    kept->shared->reply.response = NULL;
    end(kept);
    return NULL;
}
