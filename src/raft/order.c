#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

/* The way of a request through this room:
 *
 *   core_submit ─► queue ─► pending ─► pack ─► entry (libraft: disk, quorum)
 *                                                │
 *        done ◄─ commit (LMDB) ◄─ applied_add ◄──┘
 *
 * One pack is in flight; what arrives meanwhile waits in `pending` and makes
 * the next one. */

static struct core_request *request_of(struct queue_link *link)
{
    return CONTAINER(link, struct core_request, link);
}

void order_init(struct core *core)
{
    core->pending_end = &core->pending;
}

static void complete(struct core *core, struct core_request *request,
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

void order_drain(struct core *core)
{
    struct queue_link *link = queue_take(&core->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        link->next = NULL;
        if (core->stopping) {
            complete(core, request_of(link), ERR_NOT_READY);
        } else {
            *core->pending_end = link;
            core->pending_end = &link->next;
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

void order_refuse_all(struct core *core)
{
    while (core->pending != NULL) {
        complete(core, pop(core), ERR_NOT_READY);
    }
}

void order_refuse_late(struct core *core)
{
    atomic_thread_fence(memory_order_seq_cst);
    struct queue_link *link = queue_take(&core->queue);

    while (link != NULL) {
        struct queue_link *next = link->next;
        complete(core, request_of(link), ERR_NOT_READY);
        link = next;
    }
}

/* ---- making a pack ---- */

/* Whether a request may enter; else it has been completed. */
static bool admit(struct core *core, struct core_request *request)
{
    if (request->command.n > ENTRY_MOST) {
        complete(core, request, ERR_TOO_LARGE);
        return false;
    }
    if (request->command.n > 0 && !request->shrinks &&
        !disk_takes(core, request->command.n)) {
        complete(core, request, ERR_FULL);
        return false;
    }
    return true;
}

static bool fits(const struct pack *pack, const struct buf *bytes,
                 const struct core_request *request)
{
    if (command_is(request->command, COMMAND_RESTORE) || pack->alone) {
        return pack->n_commands == 0;
    }
    return pack->n_commands == 0 ||
           (pack->n_commands < COMMAND_PACK_MOST &&
            bytes->n + request->command.n + 4 <= COMMAND_PACK_BYTES);
}

static void fill(struct core *core, struct buf *bytes)
{
    struct pack *pack = &core->pack;
    struct queue_link **end = &pack->first;

    pack->first = NULL;
    pack->n_commands = 0;
    pack->alone = false;
    pack->nonce++;
    command_pack_begin(bytes, clock_wall_ms(), pack->nonce);
    while (core->pending != NULL &&
           fits(pack, bytes, request_of(core->pending))) {
        struct core_request *request = pop(core);
        if (!admit(core, request)) {
            continue;
        }
        *end = &request->link;
        end = &request->link.next;
        if (request->command.n > 0) {
            command_pack_add(bytes, request->command);
            pack->n_commands++;
            pack->alone = command_is(request->command, COMMAND_RESTORE);
        }
        if (pack->alone) {
            staged_sent(core, request->command, true);
        }
    }
    command_pack_end(bytes);
}

/* What may still come true keeps its file. */
static void settle(struct core *core, const struct core_request *request,
                   int outcome)
{
    if (command_is(request->command, COMMAND_RESTORE) &&
        outcome != ERR_UNKNOWN) {
        staged_sent(core, request->command, false);
    }
}

static void finish_pack(struct core *core, int outcome)
{
    struct pack *pack = &core->pack;
    struct queue_link *link = pack->first;
    size_t at = 0;

    pack->in_flight = pack->answered = false;
    pack->first = NULL;
    while (link != NULL) {
        struct queue_link *next = link->next;
        struct core_request *request = request_of(link);
        if (request->command.n > 0 && pack->results != NULL) {
            request->result = pack->results[at++];
        }
        settle(core, request, outcome);
        complete(core, request, outcome);
        link = next;
    }
    pack->results = mem_free(pack->results);
}

static void send_pack(struct core *core)
{
    struct pack *pack = &core->pack;
    struct buf bytes = {0};
    int r = 0;

    fill(core, &bytes);
    bool goes = pack->n_commands > 0 || core->wants_entry;
    if (goes) {
        pack->results =
            mem_zero((pack->n_commands + 1) * sizeof *pack->results);
        pack->in_flight = true;
        core->wants_entry = false;
        pack->sent_us = clock_mono_us();
        r = log_submit(core, &bytes);
        COUNT(core, packs, 1);
        COUNT(core, commands, pack->n_commands);
        COUNT(core, pack_bytes, bytes.n);
    }
    buf_done(&bytes);
    /* Only fences: all before them is done, for nothing is in flight, and a
     * sole voter is a quorum of itself. Else: refused before it was sent. */
    if (r != 0 || !goes) {
        finish_pack(core, r);
    }
}

/* ---- one turn of the loop ---- */

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

static int outcome_of(const struct pack *pack)
{
    /* Once libraft took the entry, a failure says nothing about what becomes of
     * it: the disk write may be tried again, another leader may have it. */
    return pack->status == 0 ? 0 : ERR_UNKNOWN;
}

void order_turn(struct core *core, uint64_t now_ms)
{
    if (core->stalled) {
        applied_retry(core, now_ms);
    }
    if (core->stalled && core->stopping) {
        /* It is in the log: the next start applies it. */
        order_refuse_all(core);
        if (core->pack.in_flight && core->pack.answered) {
            finish_pack(core, ERR_UNKNOWN);
        }
    } else if (!core->stalled && applied_commit(core) != 0) {
        return; /* Stalled: nothing may be completed or sent. */
    }
    if (!core->stalled && core->pack.in_flight && core->pack.answered) {
        finish_pack(core, outcome_of(&core->pack));
    }
    bool sends = core->pending != NULL || core->wants_entry;
    if (sends && !core->pack.in_flight && !core->stalled) {
        if (!log_leads(core)) {
            order_refuse_all(core);
        } else if (!waits_for_snapshot(core)) {
            send_pack(core);
        }
    }
}

bool order_idle(const struct core *core)
{
    return core->pending == NULL && !core->pack.in_flight &&
           !core->snapshotting && jobs_idle(core) &&
           !machine_is_open(core->machine);
}

void order_done(struct core *core)
{
    applied_done(core);
}
