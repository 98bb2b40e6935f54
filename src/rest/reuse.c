/* Answers kept for the next one who asks the same.
 *
 * Making the library's response object with its seven headers costs forty calls
 * of the allocator, a third of what a cached read costs this process. Between
 * two changes of the registry all answers to one read are the same bytes, for a
 * second at a time (the Date): the object is kept and queued again. Nothing is
 * reused unless every header and every byte of the body would be the same.
 *
 * One table per loop, so no locks; direct mapped by ETag, which is the revision
 * of the row or list and so spreads by itself. */
#include "rest/state.h"

enum {
    ROW_MOST = 4 << 10,    /* bytes of a body that is copied to be kept */
    LIST_MOST = 256 << 10, /* of one that the cache lends */
    ALL_MOST = 4 << 20,    /* of all bodies; a list may be gone elsewhere */
};

static bool is_same(const struct rest_kept *kept,
                    const struct rest_stamp *stamp,
                    const struct op_answer *answer)
{
    if (kept->response == NULL || kept->stamp.etag != stamp->etag ||
        kept->stamp.revision != stamp->revision ||
        kept->stamp.stale_ms != stamp->stale_ms ||
        kept->stamp.second != stamp->second ||
        kept->stamp.leads != stamp->leads || kept->list != answer->list) {
        return false;
    }
    /* The same list is the same bytes: it cannot change, and cannot go while it
     * is kept here. */
    return answer->list != NULL ? kept->body.p == answer->body.p &&
                                      kept->body.n == answer->body.n
                                : str_equal(kept->body, answer->body);
}

static struct rest_kept *slot(struct rest_loop *loop, uint64_t etag)
{
    return &loop->kept[etag % REST_KEPT];
}

static bool is_plain(const struct op_answer *answer)
{
    return answer->code == OP_OK && answer->etag != 0 && answer->next.n == 0 &&
           answer->location.n == 0 && answer->retry_after_s == 0 &&
           answer->body.n > 0 &&
           answer->body.n <= (answer->list != NULL ? LIST_MOST : ROW_MOST);
}

struct MHD_Response *rest_reuse_find(struct rest_request *request,
                                     const struct rest_stamp *stamp)
{
    const struct op_answer *answer = &request->op.answer;

    if (request->method != REST_GET || !is_plain(answer)) {
        return NULL;
    }
    struct rest_kept *kept = slot(request->loop, stamp->etag);
    return is_same(kept, stamp, answer) ? kept->response : NULL;
}

static void forget(struct rest_loop *loop, struct rest_kept *kept)
{
    if (kept->response != NULL) {
        MHD_destroy_response(kept->response);
        loop->kept_bytes -= kept->body.n;
    }
    *kept = (struct rest_kept){0};
}

/* Small enough to keep it as long as it lasts: what is full starts anew. */
static void keep(struct rest_loop *loop, const struct rest_kept *fresh)
{
    struct rest_kept *kept = slot(loop, fresh->stamp.etag);

    forget(loop, kept);
    if (loop->kept_bytes + fresh->body.n > ALL_MOST) {
        rest_reuse_end(loop);
    }
    *kept = *fresh;
    loop->kept_bytes += fresh->body.n;
}

struct MHD_Response *rest_reuse_make(struct rest_request *request,
                                     const struct rest_stamp *stamp)
{
    struct op_answer *answer = &request->op.answer;

    if (request->method != REST_GET || !is_plain(answer)) {
        return NULL;
    }
    struct rest_kept fresh = {.stamp = *stamp, .list = answer->list};
    if (answer->list != NULL) {
        fresh.body = answer->body;
        fresh.response = rest_answer_lent(answer);
    } else {
        /* The library frees it, with free(). */
        char *copy = mem_dup(answer->body.p, answer->body.n);
        fresh.body = (struct str){copy, answer->body.n};
        fresh.response = MHD_create_response_from_buffer(answer->body.n, copy,
                                                         MHD_RESPMEM_MUST_FREE);
        if (fresh.response == NULL) {
            (void)mem_free(copy);
        }
    }
    if (fresh.response != NULL) {
        keep(request->loop, &fresh);
    }
    return fresh.response;
}

void rest_reuse_end(struct rest_loop *loop)
{
    for (size_t i = 0; i < REST_KEPT; i++) {
        forget(loop, &loop->kept[i]);
    }
}
