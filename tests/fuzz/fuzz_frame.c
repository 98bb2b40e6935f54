/* What another node's loop sends over a link: whatever it is, it is taken or
 * refused, each request of ours ends once, and nothing of a guest is left.
 *
 * The input is frames, each: a byte of what this node is just now (bits), one
 * that says the type, two of size, the fields. */
#include "base/err.h"
#include "base/log.h"
#include "command/command.h"
#include "raft/link.h"
#include "raft/members.h"
#include "replay.h"

enum { LEADS = 1, FROM_LEADER = 2, STOPS = 4, WAITS = 8, TERM = 3 };

struct ours {
    struct core_request request;
    unsigned done;
};

struct world {
    struct core core;
    struct link leader, other;
    struct buf command;
    struct ours sent, in_log, fence;
    struct core_ask ask;
    unsigned asked;
};

static void on_done(struct core_request *request)
{
    struct ours *ours = CONTAINER(request, struct ours, request);

    REQUIRE(++ours->done == 1);
    REQUIRE(request->outcome == ERR_NOT_READY || request->outcome == ERR_FULL ||
            request->outcome == ERR_TOO_LARGE ||
            request->outcome == ERR_UNKNOWN);
}

static void on_reply(struct core_ask *ask)
{
    struct world *w = CONTAINER(ask, struct world, ask);

    REQUIRE(++w->asked == 1);
    buf_done(&ask->reply);
}

static void on_ask(void *user, struct core_asked *asked)
{
    struct world *w = user;
    core_answer(&w->core, asked, 0, asked->request);
}

static void send_one(struct world *w, struct ours *ours, uint64_t index)
{
    ours->request.command = buf_str(&w->command);
    ours->request.done = on_done;
    sent_add(&w->core, &ours->request, TERM, w->leader.id);
    ours->request.index = index;
}

static void open_links(struct world *w)
{
    w->leader = (struct link){
        .core = &w->core, .id = 2, .dialled = true, .leads_term = TERM};
    w->other = (struct link){.core = &w->core, .id = 1};
    w->other.other.raft_id = 2;
    w->leader.fence_seq = 5;
    w->leader.flush_seq = 6;
    w->leader.next = &w->other;
    w->core.links->leader = w->core.links->first = &w->leader;
}

static void open_world(struct world *w)
{
    const struct command nothing = {.kind = COMMAND_RECLAIM};
    struct core *core = &w->core;

    core->config = (struct core_config){
        .data_dir = "/nowhere", .user = w, .on_ask = on_ask};
    order_init(core);
    questions_init(core);
    links_init(core);
    members_init(core);
    staged_init(core);
    core->scratch = arena_new();
    core->raft.current_term = TERM;
    core->raft_inited = true;
    open_links(w);
    command_encode(&w->command, &nothing);
    send_one(w, &w->sent, 0);
    send_one(w, &w->in_log, 9);
    w->fence.request.done = on_done;
    core->asked = &w->fence.request.link;
    w->ask = (struct core_ask){.seq = 1, .sent = true, .done = on_reply};
    core->asking = &w->ask.link;
    core->asking_end = &w->ask.link.next;
}

static void close_world(struct world *w)
{
    struct core *core = &w->core;

    core->leading = false;
    core->stopping = true;
    order_refuse_all(core);
    REQUIRE(w->in_log.done == 0);
    sent_forget(core);
    w->in_log.request.index = 0;
    sent_forget(core);
    questions_refuse_all(core);
    wishes_give_up(core);
    REQUIRE(w->sent.done == 1 && w->in_log.done == 1 && w->fence.done == 1 &&
            w->asked == 1);
    REQUIRE(w->leader.guest_bytes == 0 && w->other.guest_bytes == 0);
    staged_done(core);
    members_done(core);
    core->links = mem_free(core->links);
    arena_free(core->scratch);
    buf_done(&w->leader.out);
    buf_done(&w->other.out);
    buf_done(&w->command);
}

static void read_one(struct world *w, uint8_t bits, uint8_t type,
                     struct str fields)
{
    struct link *link = bits & FROM_LEADER ? &w->leader : &w->other;

    w->core.leading = bits & LEADS;
    w->core.stopping = bits & STOPS;
    if (bits & WAITS) {
        w->leader.fence_seq = 5;
    }
    int r = frame_read(&w->core, link, type, fields);
    REQUIRE(r == 0 || r == ERR_INVALID);
    buf_clear(&w->leader.out);
    buf_clear(&w->other.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct world *w = mem_zero(sizeof *w);
    const char *at = (const char *)bytes;

    log_start(LOG_ERROR, LOG_TEXT);
    open_world(w);
    while (n >= 4) {
        size_t size = (size_t)le_get(at + 2, 2);
        size = size < n - 4 ? size : n - 4;
        read_one(w, (uint8_t)at[0], (uint8_t)at[1], (struct str){at + 4, size});
        at += 4 + size;
        n -= 4 + size;
    }
    close_world(w);
    mem_free(w);
    return 0;
}
