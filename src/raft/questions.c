/* Questions to whoever leads, answered on its core loop. They may be asked
 * twice, so a lost leader is no more than a pause. */
#include "base/clock.h"
#include "base/err.h"
#include "raft/inside.h"

enum { AGAIN_MS = 50 };

static struct core_ask *ask_of(struct queue_link *link)
{
    return CONTAINER(link, struct core_ask, link);
}

void questions_init(struct core *core)
{
    core->asking_end = &core->asking;
}

static void end(struct core *core, struct queue_link **at, int outcome)
{
    struct core_ask *ask = ask_of(*at);

    *at = ask->link.next;
    if (*at == NULL) {
        core->asking_end = at;
    }
    ask->outcome = outcome;
    ask->done(ask);
}

static struct queue_link **find(struct core *core, uint64_t seq)
{
    struct queue_link **at = &core->asking;

    while (*at != NULL && ask_of(*at)->seq != seq) {
        at = &(*at)->next;
    }
    return at;
}

static void answer_here(struct core *core, uint64_t link, uint64_t seq,
                        uint32_t kind, struct str request)
{
    struct core_asked *asked = mem_zero(sizeof *asked);

    asked->kind = kind;
    asked->request = request;
    asked->link_id = link;
    asked->seq = seq;
    if (kind < CORE_ASK_FIRST) {
        members_ask(core, asked);
    } else {
        core->config.on_ask(core->config.user, asked);
    }
}

void questions_take(struct core *core, uint64_t link, uint64_t seq,
                    uint32_t kind, struct str request)
{
    if (core->leading) {
        answer_here(core, link, seq, kind, request);
    } else {
        links_reply(core, link, seq, ERR_RETRY, STR_NONE);
    }
}

void core_answer(struct core *core, struct core_asked *asked, uint32_t code,
                 struct str reply)
{
    if (asked->link_id == 0) {
        questions_reply(core, asked->seq, code, reply);
    } else {
        links_reply(core, asked->link_id, asked->seq, code, reply);
    }
    mem_free(asked);
}

void questions_reply(struct core *core, uint64_t seq, uint32_t code,
                     struct str reply)
{
    struct queue_link **at = find(core, seq);

    if (*at == NULL) {
        return; /* Given up, or answered by an earlier leader. */
    }
    struct core_ask *ask = ask_of(*at);
    if (code == ERR_RETRY) {
        ask->sent = false;
        ask->not_before_ms = clock_mono_ms() + AGAIN_MS;
        return;
    }
    ask->code = code;
    buf_clear(&ask->reply);
    buf_add_str(&ask->reply, reply);
    end(core, at, 0);
}

void questions_again(struct core *core)
{
    for (struct queue_link *link = core->asking; link != NULL;
         link = link->next) {
        ask_of(link)->sent = false;
    }
}

static void take_new(struct core *core)
{
    struct queue_link *link = queue_take(&core->asks);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_ask *ask = ask_of(link);
        ask->seq = ++core->next_ask;
        ask->since_ms = clock_mono_ms();
        ask->not_before_ms = 0;
        ask->sent = false;
        link->next = NULL;
        *core->asking_end = link;
        core->asking_end = &link->next;
        link = next;
    }
}

static struct core_ask *next_to_ask(struct core *core, uint64_t now_ms)
{
    for (struct queue_link *link = core->asking; link != NULL;
         link = link->next) {
        struct core_ask *ask = ask_of(link);
        if (!ask->sent && ask->not_before_ms <= now_ms) {
            return ask;
        }
    }
    return NULL;
}

void questions_turn(struct core *core)
{
    uint64_t now = clock_mono_ms();
    struct core_ask *ask = NULL;

    take_new(core);
    while (order_has_leader(core) && (ask = next_to_ask(core, now)) != NULL) {
        ask->sent = true;
        if (core->leading) {
            answer_here(core, 0, ask->seq, ask->kind, ask->request);
        } else {
            links_ask(core, ask);
        }
    }
}

static void give_up(struct core *core, uint64_t hold_ms, uint64_t now_ms)
{
    struct queue_link **at = &core->asking;

    while (*at != NULL) {
        if (ask_of(*at)->since_ms + hold_ms <= now_ms) {
            end(core, at, ERR_NOT_READY);
        } else {
            at = &(*at)->next;
        }
    }
}

/* One that is being answered waits as long as there is a leader. */
void questions_tick(struct core *core, uint64_t now_ms)
{
    if (!order_has_leader(core)) {
        give_up(core, core->stopping ? 0 : CORE_HOLD_MS, now_ms);
    }
}

void questions_refuse_all(struct core *core)
{
    take_new(core);
    give_up(core, 0, UINT64_MAX);
}

void core_ask(struct core *core, struct core_ask *ask)
{
    bool first = queue_push(&core->asks, &ask->link);
    /* As in core_submit. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&core->over)) {
        questions_refuse_late(core);
    } else if (first) {
        (void)uv_async_send(&core->wake);
    }
}

void questions_refuse_late(struct core *core)
{
    struct queue_link *link = queue_take(&core->asks);

    while (link != NULL) {
        struct queue_link *next = link->next;
        ask_of(link)->outcome = ERR_NOT_READY;
        ask_of(link)->done(ask_of(link));
        link = next;
    }
}
