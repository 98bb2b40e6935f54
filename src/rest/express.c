#include "rest/express.h"

#include <errno.h>

#include "rest/express_fence.h"
#include "rest/express_find.h"
#include "rest/scan.h"
#include "rest/state.h"

enum {
    HITS_ENOUGH = 16,
    /* Of requests looked at together; there is room for any write. */
    BYTES = 16 << 10,
    TOGETHER = 32, /* answers of one call */
    /* Bytes of answers that are found before they are sent: a socket takes
     * little more, and what it does not take is made again. */
    ENOUGH = 256 << 10,
};

/* Requests of one connection. */
struct batch {
    struct rest_taken *taken;
    struct str bytes;
    size_t covered;
    size_t gone; /* of them: taken out of the socket */
    size_t n;
    struct rest_hit hits[TOGETHER];
    struct rest_write write;
};
_Static_assert(REST_SCAN_MOST + REST_EXPRESS_BODY <= BYTES,
               "a write fits into what is looked at");

void rest_express_init(struct rest_express *express)
{
    *express = (struct rest_express){.bytes = mem_alloc(BYTES)};
    rest_ring_init(&express->ready);
    rest_ring_init(&express->waiting);
    rest_ring_init(&express->behind);
}

void rest_express_done(struct rest_express *express)
{
    express->bytes = mem_free(express->bytes);
}

/* One at a time: those in front of it are answered first. */
static enum rest_sight look_at_write(struct batch *batch, struct str bytes)
{
    if (batch->n > 0) {
        return MORE;
    }
    enum rest_sight sight =
        rest_express_find_write(batch->taken, bytes, &batch->write);
    return sight == PART ? OTHER : sight;
}

static size_t length(const struct rest_hit *hit)
{
    return hit->answer->head.n + hit->answer->body.n;
}

/* As many as can be answered together; what is behind them. */
static enum rest_sight look(struct batch *batch)
{
    bool is_full = batch->bytes.n == BYTES;
    size_t at = 0, found = 0;

    while (at < batch->bytes.n && batch->n < TOGETHER && found < ENOUGH) {
        struct rest_hit *hit = &batch->hits[batch->n];
        const struct str left = {batch->bytes.p + at, batch->bytes.n - at};
        size_t covered = batch->covered > at ? batch->covered - at : 0;
        if (rest_express_is_write(left)) {
            return look_at_write(batch, left);
        }
        enum rest_sight sight =
            rest_express_find(batch->taken, left, covered, hit);
        if (sight == PART) {
            return is_full && batch->n > 0 ? MORE : OTHER;
        }
        if (sight != HIT) {
            return sight;
        }
        at += hit->n;
        found += length(hit);
        batch->n++;
    }
    return at < batch->bytes.n || is_full ? MORE : NOTHING;
}

/* ---- answers ---- */

static ssize_t send_hits(const struct batch *batch)
{
    struct iovec parts[2 * TOGETHER];

    for (size_t i = 0; i < batch->n; i++) {
        const struct rest_shared *answer = batch->hits[i].answer;
        parts[2 * i] = (struct iovec){answer->head.p, answer->head.n};
        parts[2 * i + 1] =
            (struct iovec){(void *)(uintptr_t)answer->body.p, answer->body.n};
    }
    ssize_t n = rest_peer_send(&batch->taken->own, parts, 2 * batch->n);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* How many answers went out whole, of so many bytes; *ret_left of the next.
 * While something is owed the last that was taken is not out. */
static size_t count_whole(const struct batch *batch, size_t sent,
                          size_t *ret_left)
{
    const struct rest_taken *taken = batch->taken;
    size_t least = rest_peer_owes(&taken->own) ? 1 : 0;
    size_t i = 0;

    while (i < batch->n && sent >= length(&batch->hits[i]) + least) {
        const struct rest_hit *hit = &batch->hits[i++];
        sent -= length(hit);
        rest_count_answer(taken->loop, &hit->answer->reply, false,
                          taken->began_us);
    }
    *ret_left = sent;
    return i;
}

static size_t n_known(const struct batch *batch, size_t n)
{
    size_t known = 0;

    for (size_t i = 0; i < n; i++) {
        known += batch->hits[i].known;
    }
    return known;
}

static void let_go(struct batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        rest_shared_unref(batch->hits[i].answer);
    }
}

/* Sends, and takes them out of the socket, up to the first that is not sent
 * whole. What is behind that is found again later, counted for its caller
 * already. False: it waits for room, or is gone. */
static bool answer(struct batch *batch)
{
    struct rest_taken *taken = batch->taken;
    struct rest_counts *counts = &taken->loop->counts;
    ssize_t sent = send_hits(batch);
    size_t part = 0;
    size_t whole = sent < 0 ? 0 : count_whole(batch, (size_t)sent, &part);
    size_t begun = sent < 0 ? 0 : whole + (whole < batch->n);

    for (size_t i = 0; i < begun; i++) {
        batch->gone += batch->hits[i].n;
    }
    rest_count(&counts->kept, n_known(batch, begun));
    rest_count(&counts->express, begun);
    if (sent < 0 || !rest_taken_consume(taken, batch->gone)) {
        rest_taken_shut(taken);
    } else if (whole < batch->n) {
        taken->own.n_counted += (unsigned)(batch->n - begun);
        rest_taken_owe(taken, batch->hits[whole].answer, part);
    } else {
        return true;
    }
    return false;
}

/* ---- connections ---- */

bool rest_express_begin(struct rest_request *request,
                        struct rest_shared *answer)
{
    struct rest_loop *loop = request->loop;
    bool may = request->peer->n_hits >= HITS_ENOUGH && !request->head &&
               !request->old_http && !answer->closes && !loop->closing;
    struct rest_taken *taken = may ? rest_taken_begin(request) : NULL;

    if (taken == NULL) {
        request->peer->n_hits = may ? 0 : request->peer->n_hits;
        return false;
    }
    taken->reads = taken->after == REST_GOES_ON;
    taken->more = true;
    taken->began_us = request->began_us;
    *request->context = NULL;
    rest_count(&loop->counts.in_flight, (uint64_t)-1);
    rest_count(&loop->counts.received_bytes, request->received);
    rest_request_release(request);
    if (taken->reads &&
        !rest_taken_listen(taken, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        rest_taken_shut(taken);
    } else {
        rest_taken_answer(taken, answer);
    }
    return true;
}

void rest_express_forget(struct rest_taken *taken)
{
    rest_ring_remove(&taken->line);
    (void)rest_fence_take_covered(taken);
    rest_shared_unref(TAKE(taken->found.answer));
}

enum MHD_Result rest_express_answer(struct rest_request *request)
{
    request->hit = true;
    if (request->peer->n_hits < HITS_ENOUGH ||
        rest_header_is_draining(request)) {
        return rest_answer_op(request);
    }
    request->made = rest_shared_pending();
    (void)rest_answer_op(request);
    struct rest_shared *made = request->made;
    request->made = NULL;
    enum MHD_Result r = made->reply.response != NULL
                            ? rest_answer_shared(request, made)
                            : MHD_NO;
    rest_shared_unref(made);
    return r;
}

/* ---- turns ---- */

/* Nothing of it is on its way. */
static void rest_it(struct rest_taken *taken, bool again)
{
    struct rest_loop *loop = taken->loop;

    rest_deadlines_enter(&loop->deadlines, &taken->own, REST_IDLE,
                         loop->now_ms);
    if (again || rest_peer_has_more(&taken->own)) {
        rest_ring_add(&loop->express.ready, &taken->line);
    }
}

void rest_express_go_on(struct rest_taken *taken)
{
    rest_it(taken, taken->more || taken->ended);
}

static void go_on(struct batch *batch, enum rest_sight sight)
{
    struct rest_taken *taken = batch->taken;
    size_t unread = batch->bytes.n - batch->gone;

    if (sight == OTHER) {
        /* The library overwrites secrets where it has them. */
        explicit_bzero(taken->loop->express.bytes, BYTES);
        rest_taken_give_back(taken);
    } else if (sight == FENCED) {
        rest_fence_wait(taken, unread);
    } else if (sight == WRITE) {
        rest_express_run(taken, &batch->write,
                         unread > batch->write.n || batch->bytes.n == BYTES);
    } else {
        rest_it(taken, sight == MORE || taken->ended);
    }
}

/* `error` of the read; 0: it is the end. */
static void read_nothing(struct rest_taken *taken, int error)
{
    if (error == EAGAIN || error == EINTR) {
        /* Within TLS the end may be behind half a record. */
        rest_it(taken, error == EINTR || taken->ended);
    } else {
        rest_taken_shut(taken);
    }
}

/* What a session has opened, and nobody has taken. */
static bool put_back(struct rest_taken *taken)
{
    return taken->peeked == 0 || rest_taken_consume(taken, 0);
}

static void answer_and_go_on(struct batch *batch, enum rest_sight sight)
{
    bool goes_on = batch->n == 0 ? put_back(batch->taken) : answer(batch);

    let_go(batch);
    if (goes_on) {
        go_on(batch, sight);
    }
}

static void read_and_answer(struct batch *batch)
{
    struct rest_taken *taken = batch->taken;
    char *bytes = taken->loop->express.bytes;

    taken->more = false;
    ssize_t n = rest_taken_peek(taken, bytes, BYTES);
    if (n <= 0) {
        read_nothing(taken, n < 0 ? errno : 0);
        return;
    }
    /* Of what did not fit in nothing tells any more. */
    taken->more = n == BYTES;
    batch->bytes = (struct str){bytes, (size_t)n};
    answer_and_go_on(batch, look(batch));
}

static void look_into(struct rest_taken *taken)
{
    struct batch batch;
    enum rest_sight sight = MORE;

    if (taken->covered == 0) {
        taken->began_us = taken->loop->now_us;
    }
    batch.taken = taken; /* not all of it: the hits are many */
    batch.covered = rest_fence_take_covered(taken);
    batch.gone = batch.n = 0;
    if (taken->found.answer != NULL) {
        sight = rest_express_find_again(taken, batch.covered, &batch.hits[0]);
    }
    if (sight == MORE) {
        read_and_answer(&batch);
        return;
    }
    batch.bytes = (struct str){NULL, batch.covered};
    if (sight == HIT) {
        batch.n = 1;
        sight = taken->more ? MORE : NOTHING;
    }
    answer_and_go_on(&batch, sight);
}

void rest_express_hear(struct rest_taken *taken)
{
    if (taken->line.next == NULL) {
        look_into(taken);
    }
}

/* Each once: who has still more to read has his next turn with the others. */
static void look_at_ready(struct rest_ring *ready)
{
    const struct rest_ring *last = ready->prev;
    bool was_last = rest_ring_is_empty(ready);

    while (!was_last) {
        struct rest_ring *at = ready->next;
        was_last = at == last;
        rest_ring_remove(at);
        look_into(CONTAINER(at, struct rest_taken, line));
    }
}

void rest_express_turn(struct rest_loop *loop)
{
    struct rest_express *express = &loop->express;

    rest_fence_end(loop);
    rest_fence_begin(loop); /* it is out while those behind that are answered */
    look_at_ready(&express->ready);
    rest_fence_begin(loop);
}

bool rest_express_has_more(const struct rest_loop *loop)
{
    return !rest_ring_is_empty(&loop->express.ready) ||
           rest_fence_is_awaited(&loop->express);
}
