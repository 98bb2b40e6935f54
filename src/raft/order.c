#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wake.h"
#include "raft/link.h"

/* The way of a request through this room:
 *
 *   core_submit ─► queue ─► pending ─┬─► pack ─► entry (libraft: disk, quorum)
 *                                    │    ▲                │ on every node
 *                       not leading: └─► link              ▼
 *        done ◄─ commit (LMDB) ◄─ sent_expect ◄─ applied_add
 *
 * On the leader one pack is in flight; what arrives meanwhile waits in
 * `pending` and makes the next one. Elsewhere the bytes go to the leader over a
 * link and join its next pack, as its guests. A request of ours stands in
 * `sent` from then on, until the entry with its id is applied here (sent.c). */

void order_init(struct core *core)
{
    core->pending_end = &core->pending;
    core->usable_ms = clock_mono_ms();
    sent_init(core);
}

void order_complete(struct core *core, struct core_request *request,
                    int outcome)
{
    if (outcome == ERR_UNKNOWN) {
        COUNT(core, unknown, 1);
    } else if (outcome != 0) {
        COUNT(core, refused, 1);
    }
    COUNT(core, submit_to_done_us, clock_mono_us() - request->since_us);
    request->outcome = outcome;
    request->done(request);
}

void order_wait(struct core *core, struct core_request *request)
{
    request->link.next = NULL;
    *core->pending_end = &request->link;
    core->pending_end = &request->link.next;
}

void order_wait_first(struct core *core, struct core_request *request)
{
    request->link.next = core->pending;
    core->pending = &request->link;
    if (request->link.next == NULL) {
        core->pending_end = &request->link.next;
    }
}

void order_drain(struct core *core)
{
    struct queue_link *link = queue_take(&core->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_request *request = request_of(link);
        request->term = request->link_id = request->index = 0;
        if (core->stopping) {
            order_complete(core, request, ERR_NOT_READY);
        } else {
            order_wait(core, request);
        }
        link = next;
    }
}

static struct core_request *pop(struct core *core)
{
    struct queue_link *link = core->pending;

    core->pending = link->next;
    if (core->pending == NULL) {
        core->pending_end = &core->pending;
    }
    link->next = NULL;
    return request_of(link);
}

static void refuse_list(struct core *core, struct queue_link **list)
{
    while (*list != NULL) {
        struct core_request *request = request_of(*list);
        *list = request->link.next;
        order_complete(core, request, ERR_NOT_READY);
    }
}

void order_refuse_all(struct core *core)
{
    confirm_lose(core);
    while (core->pending != NULL) {
        order_complete(core, pop(core), ERR_NOT_READY);
    }
    refuse_list(core, &core->fences);
    refuse_list(core, &core->asked);
    refuse_list(core, &core->awaited);
    refuse_list(core, &core->fetching);
}

void order_refuse_late(struct core *core)
{
    atomic_thread_fence(memory_order_seq_cst);
    struct queue_link *link = queue_take(&core->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        order_complete(core, request_of(link), ERR_NOT_READY);
        link = next;
    }
}

/* A link to one that stands still stays open, and so does the term while nobody
 * votes: what counts is that it is heard. */
bool order_has_leader(const struct core *core)
{
    return core->leading ||
           (links_usable(core) && atomic_load(&core->status.follows));
}

/* ---- on the leader: making a pack ---- */

/* One pack is in flight at a time, so when the next is made, what is ordered is
 * applied: but for that of earlier leaderships until the epoch is. */
static bool prepare(const struct core *core, struct core_request *request)
{
    return request->prepare == NULL ||
           (core->leading && request->prepare(request));
}

/* Whether a request may enter; else it has been completed. */
static bool admit(struct core *core, struct core_request *request)
{
    int outcome = 0;

    if (!prepare(core, request)) {
        outcome = ERR_NOT_READY;
    } else if (request->command.n > ENTRY_MOST) {
        outcome = ERR_TOO_LARGE;
    } else if (request->guest && request->term != core->raft.current_term) {
        outcome = ERR_NOT_READY; /* Sent to an earlier leadership. */
    } else if (request->command.n > 0 && !request->shrinks &&
               !disk_takes(core, request->command.n)) {
        outcome = ERR_FULL;
    }
    if (outcome != 0) {
        order_complete(core, request, outcome);
    }
    return outcome == 0;
}

/* A RESTORE of another node is proposed when its file is here, too: else the
 * loss of that node would stop all that apply it. */
static bool waits_for_file(struct core *core, struct core_request *request)
{
    struct command command;

    if (!request->guest || !command_is(request->command, COMMAND_RESTORE) ||
        command_decode(NULL, request->command, &command) != 0 ||
        fetch_has(core, &command.restore)) {
        return false;
    }
    request->link.next = core->fetching;
    core->fetching = &request->link;
    return true;
}

/* One at a time. Who goes behind a link that is gone must not come later: its
 * node has been told that it never came (sent_lost). */
static void fetch_files(struct core *core)
{
    while (core->fetching != NULL) {
        struct core_request *request = request_of(core->fetching);
        struct command command;
        int r = command_decode(NULL, request->command, &command);
        if (r != 0 || core->stopping ||
            link_find(core, request->link_id) == NULL) {
            r = ERR_INVALID;
        } else if (!fetch_has(core, &command.restore)) {
            r = fetch_begin(core, &command.restore);
        }
        if (r == ERR_NOT_READY) {
            return;
        }
        core->fetching = request->link.next;
        if (r == 0) {
            order_wait(core, request);
        } else {
            order_complete(core, request, r == ERR_FULL ? r : ERR_INVALID);
        }
    }
}

static bool fits(const struct pack *pack, const struct core_request *request)
{
    if (command_is(request->command, COMMAND_RESTORE) || pack->alone ||
        request->prepare != NULL) {
        return pack->n_commands == 0;
    }
    return pack->n_commands == 0 ||
           (pack->n_commands < COMMAND_PACK_MOST &&
            pack->weight + command_weight(request->command) <=
                COMMAND_PACK_WEIGHT);
}

static void add_command(struct core *core, struct core_request *request,
                        struct buf *bytes)
{
    struct pack *pack = &core->pack;

    command_pack_add(bytes, request->command);
    pack->n_commands++;
    pack->weight += command_weight(request->command);
    pack->alone = command_is(request->command, COMMAND_RESTORE);
    if (pack->alone && request->guest) {
        staged_sent(core, request->command, true);
    }
    if (!request->guest) {
        sent_write_id(core, request, bytes->p + bytes->n - request->command.n);
    }
}

static void fill(struct core *core, struct buf *bytes)
{
    struct pack *pack = &core->pack;
    struct queue_link **end = &pack->first;

    pack->first = NULL;
    pack->n_commands = pack->weight = 0;
    pack->alone = false;
    pack->nonce++;
    pack->term = core->raft.current_term;
    command_pack_begin(bytes, clock_wall_ms(), pack->nonce);
    while (core->pending != NULL &&
           (core->leading || request_of(core->pending)->local) &&
           fits(pack, request_of(core->pending))) {
        struct core_request *request = pop(core);
        if (!admit(core, request) || waits_for_file(core, request)) {
            continue;
        }
        bool ours = request->command.n > 0 && !request->guest;
        if (ours) {
            sent_add(core, request, pack->term, 0);
        } else {
            *end = &request->link;
            end = &request->link.next;
        }
        if (request->command.n > 0) {
            add_command(core, request, bytes);
        }
    }
    command_pack_end(bytes);
}

/* A fence behind a pack that a majority took after it arrived needs no more
 * confirmation; one that was alone does, or brings it. A pack that failed says
 * nothing about it: it goes with the next, or finds out that this node leads no
 * more. */
static void finish_fence(struct core *core, struct core_request *fence,
                         int outcome, bool alone)
{
    if (alone && !confirm_is_made(core, fence)) {
        confirm_add(core, fence);
    } else if (outcome == 0) {
        fence->index = machine_view(core->machine).applied;
        order_complete(core, fence, 0);
    } else {
        order_wait(core, fence);
    }
}

/* What a guest is to be told. Once libraft took the entry, a failure says
 * nothing about what becomes of it: another leader may have it. */
static void finish_pack(struct core *core, int outcome)
{
    struct pack *pack = &core->pack;
    struct queue_link *link = pack->first;
    bool alone = outcome == 0 && !pack->in_flight;

    pack->in_flight = pack->answered = false;
    pack->first = NULL;
    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_request *request = request_of(link);
        link->next = NULL;
        if (request->command.n == 0) {
            finish_fence(core, request, outcome, alone);
        } else {
            order_complete(core, request, outcome);
        }
        link = next;
    }
}

static void send_pack(struct core *core)
{
    struct pack *pack = &core->pack;
    struct buf bytes = {0};
    int r = 0;

    fill(core, &bytes);
    bool goes = pack->n_commands > 0 || core->wants_entry;
    if (goes) {
        pack->in_flight = true;
        core->wants_entry = false;
        pack->sent_us = clock_mono_us();
        r = log_submit(core, &bytes);
        COUNT(core, packs, 1);
        COUNT(core, commands, pack->n_commands);
        COUNT(core, pack_bytes, bytes.n);
    }
    buf_done(&bytes);
    if (r != 0) { /* Refused before it was sent. */
        sent_refused(core, pack->term, r);
        finish_pack(core, r);
    } else if (!goes) {
        finish_pack(core, 0);
    }
}

/* While a state file is written the log is cut by nobody, and libraft holds all
 * of it in memory. Clients that write faster than the disk takes the state wait
 * here, so that both are bounded by bytes. */
static bool waits_for_snapshot(struct core *core)
{
    bool waits =
        core->snapshotting && core->log_bytes >= core->config.snapshot_bytes;

    if (waits && !core->waiting) {
        COUNT(core, log_waits, 1);
    }
    core->waiting = waits;
    return waits;
}

/* A leadership begins with this node's own commands: what others want comes
 * behind its epoch. */
static bool local_first(struct core *core)
{
    struct queue_link **at = &core->pending;

    while (*at != NULL && !request_of(*at)->local) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return false;
    }
    struct core_request *request = request_of(*at);
    *at = request->link.next;
    if (*at == NULL) {
        core->pending_end = at;
    }
    order_wait_first(core, request);
    return true;
}

static void lead(struct core *core)
{
    fetch_files(core);
    bool sends = core->leading ? core->pending != NULL || core->wants_entry
                               : local_first(core);

    if (sends && !core->pack.in_flight && !core->handing_over &&
        !waits_for_snapshot(core)) {
        send_pack(core);
    }
    if (core->pack.in_flight) {
        core->told_commit = core->raft.commit_index; /* The pack says it. */
    } else {
        log_tell_commit(core);
    }
    confirm_turn(core);
}

/* ---- on another node ---- */

/* A command for this node's own leadership, a guest: neither goes on. Fences of
 * ours make one question. */
static void sort_out(struct core *core)
{
    struct queue_link *link = core->pending;

    refuse_list(core, &core->fetching);
    core->pending = NULL;
    core->pending_end = &core->pending;
    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_request *request = request_of(link);
        if (request->guest || request->local) {
            order_complete(core, request, ERR_NOT_READY);
        } else if (request->command.n == 0) {
            link->next = core->fences;
            core->fences = link;
        } else {
            order_wait(core, request);
        }
        link = next;
    }
}

struct core_request *order_take(struct core *core)
{
    while (core->pending != NULL) {
        struct core_request *request = pop(core);
        if (request->command.n <= ENTRY_MOST) {
            return request;
        }
        order_complete(core, request, ERR_TOO_LARGE);
    }
    return NULL;
}

/* Leads now: what was to go to another stays here. */
static void take_back_fences(struct core *core)
{
    struct queue_link **lists[] = {&core->fences, &core->asked};

    for (size_t i = 0; i < 2; i++) {
        while (*lists[i] != NULL) {
            struct core_request *fence = request_of(*lists[i]);
            *lists[i] = fence->link.next;
            order_wait(core, fence);
        }
    }
}

static void tell_awaited(struct core *core)
{
    struct queue_link **at = &core->awaited;
    uint64_t applied = machine_view(core->machine).applied;

    while (*at != NULL) {
        struct core_request *fence = request_of(*at);
        if (fence->index > applied) {
            at = &fence->link.next;
            continue;
        }
        *at = fence->link.next;
        order_complete(core, fence, 0);
    }
}

/* ---- one turn of the loop ---- */

/* Who leads has one pack in flight, and is done with it soon. Another may have
 * one entry behind it for as long as others write, and its clients must not
 * wait for the last: what is committed is told, and what they want goes on. */
static bool waits(struct core *core)
{
    return core->stalled || (core->late && log_leads(core));
}

static void tell(struct core *core)
{
    if (core->stalled && core->stopping) {
        /* It is in the log: the next start applies it. */
        order_refuse_all(core);
        sent_forget(core);
        if (core->pack.in_flight && core->pack.answered) {
            finish_pack(core, ERR_UNKNOWN);
        }
    } else if (!applied_waits(core) && applied_commit(core) != 0) {
        return; /* Stalled: nothing may be completed. */
    }
    if (waits(core)) {
        return;
    }
    if (!core->late && core->pack.in_flight && core->pack.answered) {
        finish_pack(core, core->pack.status == 0 ? 0 : ERR_UNKNOWN);
    }
    sent_tell(core);
    tell_awaited(core);
}

void order_turn(struct core *core, uint64_t now_ms)
{
    applied_go_on(core, now_ms);
    wake_hold(); /* Their loops are woken once for all that is told. */
    tell(core);
    wake_release();
    if (waits(core)) {
        return;
    }
    if (log_leads(core)) {
        take_back_fences(core);
        lead(core);
    } else {
        confirm_lose(core);
        sort_out(core);
        links_forward(core);
    }
}

static void give_up_old(struct core *core, struct queue_link **list,
                        uint64_t now_ms)
{
    while (*list != NULL) {
        struct core_request *request = request_of(*list);
        bool old =
            core->stopping || now_ms >= request->since_us / 1000 + CORE_HOLD_MS;
        if (!old) {
            list = &request->link.next;
            continue;
        }
        *list = request->link.next;
        order_complete(core, request, ERR_NOT_READY);
    }
}

void order_tick(struct core *core, uint64_t now_ms)
{
    if (order_has_leader(core)) {
        core->usable_ms = now_ms;
        return;
    }
    give_up_old(core, &core->pending, now_ms);
    for (core->pending_end = &core->pending; *core->pending_end != NULL;) {
        core->pending_end = &(*core->pending_end)->next;
    }
    give_up_old(core, &core->fences, now_ms);
    give_up_old(core, &core->asked, now_ms);
    give_up_old(core, &core->awaited, now_ms);
    sent_tick(core, now_ms);
}

bool order_idle(const struct core *core)
{
    return core->pending == NULL && core->n_sent == 0 && core->fences == NULL &&
           core->asked == NULL && core->awaited == NULL &&
           core->fetching == NULL && !core->pack.in_flight &&
           !core->snapshotting && jobs_idle(core) &&
           !machine_is_open(core->machine);
}

void order_done(struct core *core)
{
    sent_done(core);
    applied_done(core);
}
