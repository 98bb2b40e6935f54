/* What a long poll asked, as bytes: everything its answer depends on. Equal
 * bytes are one group, and the request is made of them again.
 *
 *   flags:1 min_revision:8 view:16, then each with its length:4 (all ones: not
 *   given): target, If-Match, If-None-Match, Idempotency-Key */
#include <assert.h>

#include "rest/state.h"

enum { KEY_HEAD = 1, KEY_GZIP = 2, NOT_GIVEN = UINT32_MAX };
enum { VIEW_AT = 9, PARTS_AT = VIEW_AT + ACCESS_VIEW_BYTES };

static void add_part(struct buf *key, struct str part)
{
    buf_add_le(key, part.p == NULL ? NOT_GIVEN : part.n, 4);
    buf_add_str(key, part.p == NULL ? STR("") : part);
}

static struct str take_part(const char **at)
{
    size_t n = le_get(*at, 4);
    struct str part = {*at + 4, n};

    *at += 4;
    if (n == NOT_GIVEN) {
        return STR_NONE;
    }
    *at += n;
    return part;
}

struct str rest_asked_key(struct rest_request *request)
{
    const struct op *op = &request->op;
    struct buf key = {0};

    buf_add_le(&key,
               (request->head ? KEY_HEAD : 0U) | (op->gzip ? KEY_GZIP : 0U), 1);
    buf_add_le(&key, op->if_.min_revision, 8);
    buf_add(&key, op->who->view, ACCESS_VIEW_BYTES);
    add_part(&key, request->target);
    add_part(&key, op->if_.if_match);
    add_part(&key, op->if_.if_none_match);
    add_part(&key, op->if_.idempotency_key);
    return arena_take(request->arena, &key);
}

char *rest_asked_by(struct str key, const struct access_who *who)
{
    char *other = mem_dup(key.p, key.n);

    memcpy(other + VIEW_AT, who->view, ACCESS_VIEW_BYTES);
    return other;
}

struct rest_request *rest_asked_again(struct rest_loop *loop, const char *key)
{
    struct rest_request *request = rest_request_new(loop);
    const char *at = key;

    request->loop = loop;
    request->stage = REST_RUNNING;
    request->method = REST_GET;
    request->op.method = STR("GET");
    request->head = ((unsigned char)*at & KEY_HEAD) != 0;
    bool gzip = ((unsigned char)*at & KEY_GZIP) != 0;
    uint64_t min_revision = le_get(at + 1, 8);
    at += PARTS_AT;
    request->target = take_part(&at);
    rest_request_read_target(request);
    request->op.gzip = gzip;
    request->op.if_.min_revision = min_revision;
    request->op.if_.if_match = take_part(&at);
    request->op.if_.if_none_match = take_part(&at);
    request->op.if_.idempotency_key = take_part(&at);
    assert(request->problem.status == 0); /* it was none the first time */
    return request;
}

void rest_asked_as(struct rest_request *request,
                   const struct rest_waiter *waiter)
{
    request->op.who = access_ref(waiter->judged.who);
    request->op.from =
        arena_str(request->arena, str_of(waiter->peer->shown.from));
    request->mark = waiter->judged.mark;
}
