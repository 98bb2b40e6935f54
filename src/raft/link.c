#include "raft/link.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum {
    DIAL_MS = 2000,      /* a dial may take */
    DIAL_PAUSE_MS = 100, /* between two */
    STATUS_MS = 500,
    SUSPECT_MS = 80, /* spreads who asks for votes first */
    SUSPECT_FOR_MS = 2000,
    OUT_KEPT = 64 * 1024, /* of memory, from one write to the next */
};

void links_init(struct core *core)
{
    core->links = mem_zero(sizeof *core->links);
}

/* ---- reading ---- */

struct link *link_find(struct core *core, uint64_t id)
{
    struct link *link = core->links->first;

    while (link != NULL && link->id != id) {
        link = link->next;
    }
    return link;
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link *link = handle->data;

    buf_reserve(&link->in, suggested);
    buf->base = link->in.p + link->in.n;
    buf->len = link->in.room - link->in.n;
}

/* All whole frames that are here. */
static int read_frames(struct link *link)
{
    size_t at = 0;
    int r = 0;

    while (r == 0 && !link->closing && link->in.n - at >= 5) {
        const char *frame = link->in.p + at;
        size_t n = le_get(frame, 4);
        if (n == 0 || n > FRAME_MOST) {
            return ERR_INVALID;
        }
        if (link->in.n - at < 4 + n) {
            break;
        }
        r = frame_read(link->core, link, (uint8_t)frame[4],
                       (struct str){frame + 5, n - 1});
        at += 4 + n;
    }
    memmove(link->in.p, link->in.p + at, link->in.n - at);
    link->in.n -= at;
    return r;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *link = stream->data;

    (void)buf;
    if (n < 0) {
        link_close(link);
        return;
    }
    link->in.n += (size_t)n;
    if (read_frames(link) != 0) {
        log_warn(LOG_RAFT, "a node sends what this one does not understand",
                 LOG_TXT("node", link->other.name));
        link_close(link);
        return;
    }
    if (link->guest_bytes > GUESTS_MOST && !link->paused) {
        link->paused = true;
        (void)uv_read_stop(stream);
    }
}

void link_guest_left(struct core *core, uint64_t id, size_t bytes)
{
    struct link *link = link_find(core, id);

    if (link == NULL) {
        return;
    }
    link->guest_bytes -= bytes;
    if (link->paused && link->guest_bytes < GUESTS_LEAST && !link->closing) {
        link->paused = false;
        (void)uv_read_start((uv_stream_t *)&link->tcp, give_room, on_read);
    }
}

/* ---- writing ---- */

size_t link_begin(struct link *link, enum frame_type type)
{
    size_t at = link->out.n;

    buf_add_le(&link->out, 0, 4);
    buf_add_le(&link->out, type, 1);
    return at;
}

void link_end(struct link *link, size_t at)
{
    le_put(link->out.p + at, link->out.n - at - 4, 4);
}

struct written {
    uv_write_t write;
    struct buf bytes;
};

static void on_written(uv_write_t *write, int status)
{
    struct written *written = write->data;
    struct link *link = write->handle->data;

    buf_done(&written->bytes);
    mem_free(written);
    if (status != 0) {
        link_close(link);
    }
}

static void write_later(struct link *link)
{
    struct written *written = mem_zero(sizeof *written);

    written->bytes = link->out;
    written->write.data = written;
    link->out = (struct buf){0};
    uv_buf_t buf = uv_buf_init(written->bytes.p, (unsigned)written->bytes.n);
    if (uv_write(&written->write, (uv_stream_t *)&link->tcp, &buf, 1,
                 on_written) != 0) {
        buf_done(&written->bytes);
        mem_free(written);
        link_close(link);
    }
}

/* Mostly the socket takes it all. Told of that by a callback, the loop would
 * make another turn, and an epoll_ctl, for each write. A fault is found by the
 * write that is left. */
static bool write_now(struct link *link)
{
    struct buf *out = &link->out;
    uv_buf_t buf = uv_buf_init(out->p, (unsigned)out->n);
    int n = uv_try_write((uv_stream_t *)&link->tcp, &buf, 1);

    if (n > 0) {
        out->n -= (size_t)n;
        memmove(out->p, out->p + n, out->n);
    }
    if (out->n == 0 && out->room > OUT_KEPT) {
        buf_done(out);
    }
    return out->n == 0;
}

static void flush(struct link *link)
{
    uv_stream_t *stream = (uv_stream_t *)&link->tcp;

    if (link->out.n == 0 || link->closing) {
        return;
    }
    if (uv_stream_get_write_queue_size(stream) + link->out.n > WRITE_MOST) {
        log_warn(LOG_RAFT, "a node does not read what it is sent: cut",
                 LOG_TXT("node", link->other.name));
        link_close(link);
        return;
    }
    if (!write_now(link)) {
        write_later(link);
    }
}

/* ---- beginning and end of one ---- */

static void closed(uv_handle_t *handle)
{
    struct link *link = handle->data;

    buf_done(&link->in);
    buf_done(&link->out);
    mem_free(link);
}

/* The way to the leader is gone. When its process died the kernel says so at
 * once, and a dial will tell. */
static void leader_gone(struct core *core)
{
    core->links->leader = NULL;
    core->links->dial_at_ms = 0;
    questions_again(core);
    while (core->asked != NULL) { /* They go to the next. */
        struct queue_link *fence = core->asked;
        core->asked = fence->next;
        fence->next = core->fences;
        core->fences = fence;
    }
}

void link_close(struct link *link)
{
    struct core *core = link->core;
    struct link **at = &core->links->first;

    if (link->closing) {
        return;
    }
    link->closing = true;
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    if (core->links->leader == link) {
        leader_gone(core);
    }
    uv_close((uv_handle_t *)&link->tcp, closed);
}

static struct link *link_new(struct core *core, const struct peer_id *other,
                             int fd, bool dialled)
{
    struct link *link = mem_zero(sizeof *link);

    link->core = core;
    link->other = *other;
    link->dialled = dialled;
    link->id = ++core->links->next_id;
    if (uv_tcp_init(&core->loop, &link->tcp) != 0) {
        abort();
    }
    link->tcp.data = link;
    link->next = core->links->first;
    core->links->first = link;
    if (uv_tcp_open(&link->tcp, fd) != 0) {
        (void)close(fd);
        link_close(link);
        return NULL;
    }
    if (uv_read_start((uv_stream_t *)&link->tcp, give_room, on_read) != 0) {
        link_close(link);
        return NULL;
    }
    return link;
}

/* A node has one link here. What an older one brought is in the queue, and what
 * it has not brought by now it never will: the newer one may ask behind it. */
static void replace_older(struct core *core, uint64_t raft_id)
{
    struct link *link = core->links->first;

    while (link != NULL) {
        struct link *next = link->next;
        if (!link->dialled && link->other.raft_id == raft_id) {
            link_close(link);
        }
        link = next;
    }
}

void link_say_leads(struct link *link)
{
    size_t at = link_begin(link, FRAME_LEADS);

    buf_add_le(&link->out, link->core->raft.current_term, 8);
    link_end(link, at);
}

void links_arrive(struct core *core, const struct peer_id *from, int fd)
{
    replace_older(core, from->raft_id);
    struct link *link = link_new(core, from, fd, false);
    if (link != NULL && core->leading) {
        link_say_leads(link);
    }
}

/* ---- the one to the leader ---- */

/* Nobody listens where the leader did: its process is gone. Waiting for the
 * election timeout would help nobody. An election too many does no harm but
 * time: who is elected has all that was committed, and no read trusts a clock.
 */
static void suspect(struct core *core, uint64_t raft_id)
{
    struct raft *raft = &core->raft;

    if (!core->raft_inited || raft_state(raft) != RAFT_FOLLOWER ||
        raft->follower_state.current_leader.id != raft_id) {
        return;
    }
    log_info(LOG_RAFT, "the leader's process is gone",
             LOG_U64("term", raft->current_term));
    core->links->suspected_ms = clock_mono_ms();
    raft->follower_state.current_leader.id = 0;
    raft_time waited = core->io.time(&core->io) - raft->election_timer_start;
    raft->follower_state.randomized_election_timeout =
        (unsigned)(waited + chance_u64() % SUSPECT_MS);
}

/* Who asks first asks too early: the others have not noticed yet, or know more.
 * Until one is elected it asks again soon; a pre-vote changes nobody's term. */
static void ask_again(struct core *core, uint64_t now_ms)
{
    struct raft *raft = &core->raft;

    if (core->links->suspected_ms == 0 ||
        now_ms - core->links->suspected_ms > SUSPECT_FOR_MS ||
        raft_state(raft) != RAFT_CANDIDATE ||
        !raft->candidate_state.in_pre_vote) {
        return;
    }
    raft_time waited = core->io.time(&core->io) - raft->election_timer_start;
    unsigned soon = (unsigned)(waited + chance_u64() % SUSPECT_MS);
    if (waited >= SUSPECT_MS &&
        raft->candidate_state.randomized_election_timeout > soon) {
        raft->candidate_state.randomized_election_timeout = soon;
    }
}

struct dialled {
    struct peer_dialling dialling;
    struct core_call call;
    struct core *core;
};

static void dial_ended(struct core_call *call)
{
    struct dialled *dialled = CONTAINER(call, struct dialled, call);
    struct peer_dialling *d = &dialled->dialling;
    struct core *core = dialled->core;

    core->links->dialling = false;
    core->links->dial_at_ms = clock_mono_ms() + DIAL_PAUSE_MS;
    if (d->r == 0 && (core->ending || core->links->leader != NULL)) {
        (void)close(d->fd);
    } else if (d->r == 0) {
        members_learn(core, &d->other);
        core->links->leader = link_new(core, &d->other, d->fd, true);
        core->links->status_at_ms = 0;
    } else if (d->r == PEER_REMOVED) {
        members_removed(core);
    } else if (d->refused) {
        suspect(core, d->expects);
    } else {
        log_debug(LOG_RAFT, "the leader cannot be reached",
                  LOG_TXT("address", d->address), LOG_TXT("why", d->why));
    }
    mem_free(dialled);
}

static void dial_done(struct peer_dialling *dialling)
{
    struct dialled *dialled = CONTAINER(dialling, struct dialled, dialling);
    core_call(dialled->core, &dialled->call);
}

static void dial(struct core *core, uint64_t leader)
{
    struct dialled *dialled = mem_zero(sizeof *dialled);
    struct peer_dialling *d = &dialled->dialling;

    dialled->core = core;
    dialled->call.func = dial_ended;
    d->kind = PEER_LINK;
    d->expects = leader;
    d->timeout_ms = DIAL_MS;
    d->done = dial_done;
    members_self(core, &d->self);
    if (members_address(core, leader, d->address) == 0 &&
        peer_dial(core->peer, d) == 0) {
        core->links->dialling = true;
    } else {
        mem_free(dialled);
        core->links->dial_at_ms = clock_mono_ms() + DIAL_PAUSE_MS;
    }
}

static uint64_t leader_of(struct core *core)
{
    raft_id id = 0;
    const char *address = NULL;

    if (core->raft_inited && raft_state(&core->raft) == RAFT_FOLLOWER) {
        raft_leader(&core->raft, &id, &address);
    }
    return id;
}

static void keep_leader(struct core *core, uint64_t now_ms)
{
    struct links *links = core->links;
    uint64_t leader = leader_of(core);

    if (links->leader != NULL && leader != 0 &&
        links->leader->other.raft_id != leader) {
        link_close(links->leader);
    }
    if (links->leader != NULL && log_leads(core)) {
        link_close(links->leader);
    }
    if (links->leader == NULL && leader != 0 && !links->dialling &&
        now_ms >= links->dial_at_ms && !core->ending) {
        dial(core, leader);
    }
}

bool links_usable(const struct core *core)
{
    const struct link *link = core->links->leader;

    return link != NULL && link->leads_term != 0 &&
           link->leads_term == core->raft.current_term;
}

/* ---- what the room says over them ---- */

/* Those of our term that an older link carried came to the leader before this
 * one was made, or not at all: behind a fence we know. */
static void ask_flush(struct core *core, struct link *link)
{
    if (link->flush_seq == 0) {
        link->flush_seq = ++core->links->next_seq;
        link->flush_term = link->leads_term;
        size_t at = link_begin(link, FRAME_FENCE);
        buf_add_le(&link->out, link->leads_term, 8);
        buf_add_le(&link->out, link->flush_seq, 8);
        link_end(link, at);
    }
}

static void send_commands(struct core *core, struct link *link)
{
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&link->tcp);
    struct core_request *request = NULL;
    size_t at = 0, begin = link->out.n;

    while (queued + (link->out.n - begin) < FORWARD_MOST &&
           (request = order_take(core)) != NULL) {
        sent_add(core, request, link->leads_term, link->id);
        at = link_begin(link, FRAME_COMMANDS);
        buf_add_le(&link->out, link->leads_term, 8);
        buf_add_le(&link->out, request->seq, 8);
        buf_add_le(&link->out, request->shrinks, 1);
        buf_add_le(&link->out, request->command.n, 4);
        buf_add_str(&link->out, request->command);
        sent_write_id(core, request,
                      link->out.p + link->out.n - request->command.n);
        link_end(link, at);
        COUNT(core, forwarded, 1);
    }
}

static void send_fence(struct core *core, struct link *link)
{
    if (core->fences == NULL || core->asked != NULL) {
        return;
    }
    core->asked = core->fences;
    core->fences = NULL;
    link->fence_seq = ++core->links->next_seq;
    size_t at = link_begin(link, FRAME_FENCE);
    buf_add_le(&link->out, link->leads_term, 8);
    buf_add_le(&link->out, link->fence_seq, 8);
    link_end(link, at);
}

static void end_flush(struct core *core)
{
    struct links *links = core->links;

    if (links->flush_link != 0 &&
        machine_view(core->machine).applied >= links->flush_index) {
        sent_lost(core, links->flush_term, links->flush_link);
        links->flush_link = 0;
    }
}

void links_forward(struct core *core)
{
    end_flush(core);
    /* What went to one that is not heard would be in doubt: it waits here. */
    if (order_has_leader(core) && !core->handing_over) {
        struct link *link = core->links->leader;
        ask_flush(core, link);
        send_commands(core, link);
        send_fence(core, link);
    }
}

bool links_have(const struct core *core, uint64_t raft_id)
{
    const struct link *link = core->links->first;

    while (link != NULL && link->other.raft_id != raft_id) {
        link = link->next;
    }
    return link != NULL;
}

static bool is_among(const uint64_t *raft_ids, size_t n, uint64_t raft_id)
{
    bool is = false;

    for (size_t i = 0; i < n && !is; i++) {
        is = raft_ids[i] == raft_id;
    }
    return is;
}

void links_confirm(struct core *core, uint64_t term, uint64_t seq,
                   const uint64_t *raft_ids, size_t n)
{
    for (struct link *link = core->links->first; link != NULL;
         link = link->next) {
        if (n > 0 && !is_among(raft_ids, n, link->other.raft_id)) {
            continue;
        }
        size_t at = link_begin(link, FRAME_CONFIRM);
        buf_add_le(&link->out, term, 8);
        buf_add_le(&link->out, seq, 8);
        link_end(link, at);
    }
}

void links_lead(struct core *core)
{
    for (struct link *link = core->links->first; link != NULL;
         link = link->next) {
        link_say_leads(link);
    }
}

void links_ask(struct core *core, const struct core_ask *ask)
{
    struct link *link = core->links->leader;
    size_t at = link_begin(link, FRAME_ASK);

    buf_add_le(&link->out, ask->seq, 8);
    buf_add_le(&link->out, ask->kind, 4);
    buf_add_str(&link->out, ask->request);
    link_end(link, at);
}

void links_reply(struct core *core, uint64_t id, uint64_t seq, uint32_t code,
                 struct str reply)
{
    struct link *link = link_find(core, id);

    if (link != NULL) {
        size_t at = link_begin(link, FRAME_REPLY);
        buf_add_le(&link->out, seq, 8);
        buf_add_le(&link->out, code, 4);
        buf_add_str(&link->out, reply);
        link_end(link, at);
    }
}

static void send_status(struct core *core, uint64_t now_ms)
{
    struct link *link = core->links->leader;

    if (link != NULL && now_ms >= core->links->status_at_ms) {
        size_t at = link_begin(link, FRAME_STATUS);
        members_status_write(core, &link->out);
        link_end(link, at);
        core->links->status_at_ms = now_ms + STATUS_MS;
    }
}

static void send_members(struct core *core)
{
    uint64_t version = members_table_version(core);

    for (struct link *link = core->links->first; core->leading && link != NULL;
         link = link->next) {
        if (!link->dialled && link->told_table != version) {
            size_t at = link_begin(link, FRAME_MEMBERS);
            members_table_write(core, &link->out);
            link_end(link, at);
            link->told_table = version;
        }
    }
}

/* At the end of a turn: one write for each. */
void links_turn(struct core *core, uint64_t now_ms)
{
    keep_leader(core, now_ms);
    send_status(core, now_ms);
    send_members(core);
    for (struct link *link = core->links->first, *next = NULL; link != NULL;
         link = next) {
        next = link->next;
        flush(link);
    }
}

void links_tick(struct core *core, uint64_t now_ms)
{
    if (core->raft_inited) {
        ask_again(core, now_ms);
    }
}

void links_done(struct core *core)
{
    while (core->links != NULL && core->links->first != NULL) {
        link_close(core->links->first);
    }
}
