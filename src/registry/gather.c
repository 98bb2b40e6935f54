#include "registry/gather.h"

#include <assert.h>

#include "registry/asks.h"
#include "registry/names.h"

struct gather {
    struct core *core;
    struct core_ask ask;
    struct buf request;
    struct gathered *sent; /* in it; the core's while it is out */
    pthread_mutex_t lock;
    bool out;
    struct gathered *waiting, **end;
};

struct gather *gather_new(struct core *core)
{
    struct gather *gather = mem_zero(sizeof *gather);

    gather->core = core;
    gather->end = &gather->waiting;
    (void)pthread_mutex_init(&gather->lock, NULL);
    return gather;
}

struct gather *gather_free(struct gather *gather)
{
    assert(!gather->out && gather->waiting == NULL);
    buf_done(&gather->request);
    (void)pthread_mutex_destroy(&gather->lock);
    return mem_free(gather);
}

static struct gathered *take_all(struct gather *gather)
{
    struct gathered *first = gather->waiting;

    gather->waiting = NULL;
    gather->end = &gather->waiting;
    return first;
}

/* As many of those that wait as make one question; under the lock. */
static void pack(struct gather *gather)
{
    struct gathered **end = &gather->sent;
    size_t n = 0;

    buf_clear(&gather->request);
    while (gather->waiting != NULL && n < NAMES_MOST &&
           gather->request.n + UINT8_MAX < NAMES_BYTES) {
        struct gathered *one = gather->waiting;
        names_add(&gather->request, one->s->op->id);
        gather->waiting = one->next;
        *end = one;
        end = &one->next;
        n++;
    }
    *end = NULL;
    if (gather->waiting == NULL) {
        gather->end = &gather->waiting;
    }
}

static void on_answer(struct core_ask *ask);

static void ask(struct gather *gather)
{
    gather->ask = (struct core_ask){.kind = ASK_BEATS,
                                    .request = buf_str(&gather->request),
                                    .done = on_answer};
    core_ask(gather->core, &gather->ask);
}

static int answer_of(const struct core_ask *ask, size_t at)
{
    if (ask->outcome != 0) {
        return ERR_NOT_READY;
    }
    if (ask->code == ERR_BUSY) {
        return ERR_BUSY; /* It does not serve yet. */
    }
    if (ask->code != 0 || at >= ask->reply.n) {
        return ERR_NOT_READY;
    }
    switch (ask->reply.p[at]) {
    case NAMES_OK:
        return 0;
    case NAMES_UNKNOWN:
        return ERR_NOT_FOUND;
    case NAMES_ENDING:
        return ERR_BUSY;
    default:
        return ERR_NOT_READY;
    }
}

/* Each may be gone once it is woken. */
static void tell(struct gathered *one, const struct core_ask *ask)
{
    for (size_t at = 0; one != NULL; at++) {
        struct gathered *next = one->next;
        one->said = answer_of(ask, at);
        one->s->op->wake(one->s->op);
        one = next;
    }
}

/* On the core thread. Those who came meanwhile go next; when nobody leads they
 * have waited as long as is any use. */
static void on_answer(struct core_ask *ask_)
{
    struct gather *gather = CONTAINER(ask_, struct gather, ask);
    const struct core_ask answer = *ask_;
    struct gathered *told = gather->sent;
    struct gathered *late = NULL;

    (void)pthread_mutex_lock(&gather->lock);
    if (answer.outcome != 0) {
        late = take_all(gather);
    }
    pack(gather);
    gather->out = gather->sent != NULL;
    bool more = gather->out;
    (void)pthread_mutex_unlock(&gather->lock);
    if (more) {
        ask(gather);
    }
    tell(told, &answer);
    tell(late, &answer);
    struct buf reply = answer.reply;
    buf_done(&reply);
}

int gather_send(struct op_state *s, struct gathered *one)
{
    struct gather *gather = s->registry->gather;

    one->s = s;
    one->asked = true;
    one->next = NULL;
    (void)pthread_mutex_lock(&gather->lock);
    *gather->end = one;
    gather->end = &one->next;
    bool first = !gather->out;
    if (first) {
        gather->out = true;
        pack(gather);
    }
    (void)pthread_mutex_unlock(&gather->lock);
    if (first) {
        ask(gather);
    }
    return WAITS;
}
