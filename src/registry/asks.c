#include "registry/asks.h"

#include <assert.h>

#include "base/clock.h"

struct question {
    struct core_ask ask;
    struct asks *asks;
    struct buf request;
    uint64_t until_ms;
    /* Under the lock: who waits for it; NULL: nobody any more. */
    struct op_state *s;
    struct question *next, **link; /* in asks->waiting, while somebody does */
};

struct asks {
    struct core *core;
    pthread_mutex_t lock;
    struct question *waiting;
    size_t n; /* given to the core, with those nobody waits for */
};

/* A leader that hangs must not collect the questions of ops long gone. */
enum { OPEN_MOST = 8192 };

struct asks *asks_new(struct core *core)
{
    struct asks *asks = mem_zero(sizeof *asks);

    asks->core = core;
    (void)pthread_mutex_init(&asks->lock, NULL);
    return asks;
}

struct asks *asks_free(struct asks *asks)
{
    assert(asks->n == 0);
    (void)pthread_mutex_destroy(&asks->lock);
    return mem_free(asks);
}

static void question_free(struct question *question)
{
    buf_done(&question->request);
    buf_done(&question->ask.reply);
    (void)mem_free(question);
}

static void link_in(struct asks *asks, struct question *question)
{
    question->next = asks->waiting;
    question->link = &asks->waiting;
    if (question->next != NULL) {
        question->next->link = &question->next;
    }
    asks->waiting = question;
}

/* Who waited for it. */
static struct op_state *unlink_from(struct question *question)
{
    struct op_state *s = question->s;

    if (s != NULL) {
        *question->link = question->next;
        if (question->next != NULL) {
            question->next->link = question->link;
        }
        question->s = NULL;
    }
    return s;
}

static void on_answer(struct core_ask *ask)
{
    struct question *question = CONTAINER(ask, struct question, ask);
    struct asks *asks = question->asks;

    (void)pthread_mutex_lock(&asks->lock);
    struct op_state *s = unlink_from(question);
    asks->n--;
    (void)pthread_mutex_unlock(&asks->lock);
    if (s == NULL) {
        question_free(question);
        return;
    }
    s->question = question;
    s->op->wake(s->op);
}

/* Nothing may touch `s` once it is given away: the answer, or the tick, can
 * come first. */
int asks_send(struct op_state *s, uint32_t kind, struct buf *request,
              uint64_t wait_ms)
{
    struct asks *asks = s->registry->asks;
    struct question *question = mem_zero(sizeof *question);

    assert(s->question == NULL);
    question->asks = asks;
    question->s = s;
    question->until_ms = wait_ms == 0 ? UINT64_MAX : clock_mono_ms() + wait_ms;
    question->request = *request;
    *request = (struct buf){0};
    question->ask = (struct core_ask){.kind = kind,
                                      .request = buf_str(&question->request),
                                      .done = on_answer};
    (void)pthread_mutex_lock(&asks->lock);
    bool goes = asks->n < OPEN_MOST;
    if (goes) {
        link_in(asks, question);
        asks->n++;
    }
    (void)pthread_mutex_unlock(&asks->lock);
    if (goes) {
        core_ask(asks->core, &question->ask);
    } else {
        question_free(question);
        s->op->wake(s->op);
    }
    return WAITS;
}

int asks_take(struct op_state *s, struct str *ret_reply)
{
    struct question *question = s->question;

    if (question == NULL) {
        return ERR_NOT_READY;
    }
    uint32_t code = question->ask.code;
    int r = question->ask.outcome;
    if (r == 0) {
        /* Another version may know answers that this one does not. */
        r = code > INT16_MAX ? ERR_INVALID : (int)code;
    }
    *ret_reply = arena_take(s->op->arena, &question->ask.reply);
    asks_end(s);
    return r;
}

static struct op_state *take_due(struct asks *asks, uint64_t mono_ms)
{
    struct op_state *due = NULL;

    for (struct question *q = asks->waiting; q != NULL;) {
        struct question *next = q->next;
        if (q->until_ms <= mono_ms) {
            struct op_state *s = unlink_from(q);
            s->next = due;
            due = s;
        }
        q = next;
    }
    return due;
}

void asks_tick(struct asks *asks, uint64_t mono_ms)
{
    (void)pthread_mutex_lock(&asks->lock);
    struct op_state *due = take_due(asks, mono_ms);
    (void)pthread_mutex_unlock(&asks->lock);

    while (due != NULL) {
        struct op_state *next = due->next; /* Once woken it may be gone. */
        due->op->wake(due->op);
        due = next;
    }
}

void asks_end(struct op_state *s)
{
    if (s->question != NULL) {
        question_free(s->question);
        s->question = NULL;
    }
}
