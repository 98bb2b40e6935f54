/* What the frames of a link ask for. What comes from a node of the cluster is
 * still held against what it may say: an old program, or a damaged one, must
 * not take this one down. */
#include "base/clock.h"
#include "base/err.h"
#include "raft/link.h"

/* ---- on the leader ---- */

/* A request of another node, among our own. */
struct guest {
    struct core_request request;
    struct core *core;
    uint64_t seq; /* as its node counts */
    char bytes[];
};

static void guest_done(struct core_request *request)
{
    struct guest *guest = CONTAINER(request, struct guest, request);
    struct core *core = guest->core;
    struct link *link = link_find(core, guest->request.link_id);

    if (link != NULL && request->command.n == 0) {
        size_t at = link_begin(link, FRAME_INDEX);
        buf_add_le(&link->out, guest->seq, 8);
        buf_add_le(&link->out, (uint64_t)request->outcome, 4);
        buf_add_le(&link->out, request->index, 8);
        link_end(link, at);
    } else if (link != NULL && request->outcome != 0 &&
               request->outcome != ERR_UNKNOWN) {
        size_t at = link_begin(link, FRAME_REFUSED);
        buf_add_le(&link->out, guest->seq, 8);
        buf_add_le(&link->out, (uint64_t)request->outcome, 4);
        link_end(link, at);
    }
    if (command_is(request->command, COMMAND_RESTORE) &&
        request->outcome != 0 && request->outcome != ERR_UNKNOWN) {
        staged_sent(core, request->command, false);
    }
    link_guest_left(core, guest->request.link_id, request->command.n);
    mem_free(guest);
}

static void add_guest(struct core *core, struct link *link, uint64_t term,
                      uint64_t seq, bool shrinks, struct str command)
{
    struct guest *guest = mem_zero(sizeof *guest + command.n);

    guest->core = core;
    guest->seq = seq;
    if (command.n > 0) { /* not a fence */
        memcpy(guest->bytes, command.p, command.n);
    }
    guest->request.command = (struct str){guest->bytes, command.n};
    guest->request.shrinks = shrinks;
    guest->request.guest = true;
    guest->request.term = term;
    guest->request.link_id = link->id;
    guest->request.raft_id = link->other.raft_id;
    guest->request.since_us = clock_mono_us();
    guest->request.done = guest_done;
    link->guest_bytes += command.n;
    COUNT(core, guests, 1);
    if (core->leading && term == core->raft.current_term && !core->stopping) {
        order_wait(core, &guest->request);
    } else {
        order_complete(core, &guest->request, ERR_NOT_READY);
    }
}

/* What is in the log and cannot be read stops every node. And what begins a
 * leadership or a registry comes from nobody else: others conclude from it. */
static bool is_command(struct core *core, struct str bytes)
{
    struct command command;

    arena_reset(core->scratch);
    return command_decode(core->scratch, bytes, &command) == 0 &&
           command.kind != COMMAND_EPOCH && command.kind != COMMAND_INIT;
}

static int read_commands(struct core *core, struct link *link, struct str bytes)
{
    if (bytes.n < 8) {
        return ERR_INVALID;
    }
    uint64_t term = le_get(bytes.p, 8);
    size_t at = 8;
    while (at < bytes.n) {
        if (bytes.n - at < 13) {
            return ERR_INVALID;
        }
        uint64_t seq = le_get(bytes.p + at, 8);
        bool shrinks = bytes.p[at + 8] != 0;
        size_t n = le_get(bytes.p + at + 9, 4);
        at += 13;
        struct str one = {bytes.p + at, n};
        if (n == 0 || n > bytes.n - at || !is_command(core, one)) {
            return ERR_INVALID;
        }
        add_guest(core, link, term, seq, shrinks, one);
        at += n;
    }
    return 0;
}

static int read_fence(struct core *core, struct link *link, struct str bytes)
{
    if (bytes.n != 16) {
        return ERR_INVALID;
    }
    add_guest(core, link, le_get(bytes.p, 8), le_get(bytes.p + 8, 8), true,
              STR_NONE);
    return 0;
}

static int read_confirmed(struct core *core, const struct link *link,
                          struct str bytes)
{
    if (bytes.n != 16) {
        return ERR_INVALID;
    }
    confirm_heard(core, link->other.raft_id, le_get(bytes.p, 8),
                  le_get(bytes.p + 8, 8));
    return 0;
}

static int read_ask(struct core *core, const struct link *link,
                    struct str bytes)
{
    if (bytes.n < 12 || bytes.n - 12 > CORE_ASK_MOST) {
        return ERR_INVALID;
    }
    questions_take(core, link->id, le_get(bytes.p, 8),
                   (uint32_t)le_get(bytes.p + 8, 4),
                   (struct str){bytes.p + 12, bytes.n - 12});
    return 0;
}

/* ---- on the others ---- */

static int read_refused(struct core *core, struct link *link, struct str bytes)
{
    if (bytes.n != 12) {
        return ERR_INVALID;
    }
    struct core_request *request =
        sent_take_refused(core, le_get(bytes.p, 8), link->id);
    int code = (int)le_get(bytes.p + 8, 4);
    if (request == NULL) {
        return 0; /* Of an attempt that is over. */
    }
    if (code != ERR_NOT_READY) {
        bool known = code == ERR_FULL || code == ERR_TOO_LARGE;
        order_complete(core, request, known ? code : ERR_NOT_READY);
        return 0;
    }
    if (request->term == link->leads_term) {
        link->leads_term = 0; /* Until it says again that it does. */
    }
    request->term = 0;
    order_wait(core, request);
    return 0;
}

static void fences_have(struct core *core, int code, uint64_t index)
{
    while (core->asked != NULL) {
        struct core_request *fence = request_of(core->asked);
        core->asked = fence->link.next;
        struct queue_link **list = code == 0 ? &core->awaited : &core->fences;
        fence->index = index;
        fence->link.next = *list;
        *list = &fence->link;
    }
}

static int read_index(struct core *core, struct link *link, struct str bytes)
{
    if (bytes.n != 20) {
        return ERR_INVALID;
    }
    uint64_t seq = le_get(bytes.p, 8);
    int code = (int)le_get(bytes.p + 8, 4);
    uint64_t index = le_get(bytes.p + 12, 8);

    if (seq == 0 || link != core->links->leader) {
        return 0;
    }
    if (seq == link->fence_seq) {
        link->fence_seq = 0;
        fences_have(core, code, index);
    } else if (seq == link->flush_seq && code == 0) {
        core->links->flush_index = index;
        core->links->flush_term = link->flush_term;
        core->links->flush_link = link->id;
    } else if (seq == link->flush_seq) {
        link->flush_seq = 0; /* Asked again, when it takes commands. */
    }
    if (code != 0) { /* It leads no more, or is leaving. */
        link->leads_term = 0;
    }
    return 0;
}

/* [confirm.c] Our term is what we would vote in next, and it is on the disk:
 * libraft writes it before it sends anything in it. */
static int read_confirm(const struct core *core, struct link *link,
                        struct str bytes)
{
    if (bytes.n != 16) {
        return ERR_INVALID;
    }
    if (core->raft_inited && le_get(bytes.p, 8) == core->raft.current_term) {
        size_t at = link_begin(link, FRAME_CONFIRMED);
        buf_add(&link->out, bytes.p, 16);
        link_end(link, at);
    }
    return 0;
}

static int read_leads(struct link *link, struct str bytes)
{
    if (bytes.n != 8) {
        return ERR_INVALID;
    }
    link->leads_term = le_get(bytes.p, 8);
    return 0;
}

/* Again and again: who believes that the leader takes nothing, for whatever
 * reason, would not find out else. */
static int read_status(struct core *core, struct link *link, struct str bytes)
{
    int r = members_status_read(core, link->other.raft_id, bytes);

    if (r == 0 && core->leading && !core->stopping) {
        link_say_leads(link);
    }
    return r;
}

static int read_reply(struct core *core, struct str bytes)
{
    if (bytes.n < 12) {
        return ERR_INVALID;
    }
    questions_reply(core, le_get(bytes.p, 8), (uint32_t)le_get(bytes.p + 8, 4),
                    (struct str){bytes.p + 12, bytes.n - 12});
    return 0;
}

int frame_read(struct core *core, struct link *link, uint8_t type,
               struct str bytes)
{
    switch (type) {
    case FRAME_COMMANDS:
        return read_commands(core, link, bytes);
    case FRAME_REFUSED:
        return read_refused(core, link, bytes);
    case FRAME_FENCE:
        return read_fence(core, link, bytes);
    case FRAME_INDEX:
        return read_index(core, link, bytes);
    case FRAME_CONFIRM:
        return read_confirm(core, link, bytes);
    case FRAME_CONFIRMED:
        return read_confirmed(core, link, bytes);
    case FRAME_ASK:
        return read_ask(core, link, bytes);
    case FRAME_REPLY:
        return read_reply(core, bytes);
    case FRAME_STATUS:
        return read_status(core, link, bytes);
    case FRAME_MEMBERS:
        /* It says who is none any more: the leader alone may. */
        return link->dialled ? members_table_read(core, bytes) : 0;
    case FRAME_LEADS:
        return read_leads(link, bytes);
    default:
        return 0; /* Of a newer program: it does without. */
    }
}
