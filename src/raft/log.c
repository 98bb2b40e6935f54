#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "raft/inside.h"

enum {
    /* Packs, not commands: a peer that is behind gets so many at once. */
    INFLIGHT_MOST = 64,
    DISK_RETRY_MS = 250,
    CONNECT_RETRY_MS = 200,
    /* An offer is made again at each refusal. After the next snapshot of the
     * leader it takes refusals for stale: then this is how long. */
    OFFER_MS = 10000,
    /* What an entry counts for between snapshots: libraft frees all of them in
     * one turn of the loop, 0.1 us each, however short they are. */
    ENTRY_LEAST = 512,
};
static const unsigned NEVER = 1U << 30; /* entries: no snapshot by itself */

static struct core *core_of(struct raft_fsm *fsm)
{
    return fsm->data;
}

bool log_leads(struct core *core)
{
    return core->raft_inited && raft_state(&core->raft) == RAFT_LEADER;
}

/* ---- what libraft calls ---- */

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf,
                 void **result)
{
    struct core *core = core_of(fsm);
    struct str bytes = {buf->base, buf->len};

    *result = NULL;
    log_entry_applied(core, buf->len);
    /* libraft does not say which entry this is; it is the next one. */
    int r = applied_add(core, raft_last_applied(&core->raft) + 1, bytes);
    return r == 0 ? 0 : RAFT_IOERR;
}

static int take_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[],
                         unsigned *n_bufs)
{
    struct core *core = core_of(fsm);
    struct state_info info = {.index = raft_last_applied(&core->raft)};

    if (core->raft.configuration_uncommitted_index != 0 || core->late) {
        /* It would be stored with the members before (0.22.1 takes those that
         * it knows are committed), or without what is applied in later turns:
         * with a later entry. */
        return RAFT_BUSY;
    }
    raft_set_snapshot_threshold(&core->raft, NEVER);
    core->log_bytes = 0;
    snapshot_starts(core);
    /* The file will hold what is committed by then, which must not be less than
     * the index that the descriptor claims. */
    if (core->stalled || applied_commit(core) != 0) {
        snapshot_fail(core, ERR_FULL);
        return RAFT_IOERR;
    }
    *bufs = raft_malloc(sizeof **bufs);
    if (*bufs == NULL) {
        return RAFT_NOMEM;
    }
    (*bufs)->len = STATE_DESCRIPTOR_BYTES;
    (*bufs)->base = raft_calloc(1, STATE_DESCRIPTOR_BYTES);
    if ((*bufs)->base == NULL) {
        raft_free(*bufs);
        return RAFT_NOMEM;
    }
    state_describe(&info, (*bufs)->base); /* The worker fills in the rest. */
    *n_bufs = 1;
    return 0;
}

/* At start, with the descriptor of the newest snapshot: the store has been put
 * in order before (core_open), and is at most behind one that was installed
 * when the process ended. Later: one that is installed now. */
static int restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct core *core = core_of(fsm);
    struct state_info info;

    if (state_read_descriptor(buf->base, buf->len, &info) != 0) {
        log_error(LOG_RAFT, "the snapshot descriptor is damaged");
        return RAFT_CORRUPT;
    }
    if (core->running && !core->stalled && applied_commit(core) == 0) {
        sent_tell(core); /* What was applied before; what is in between is
                            applied nowhere. */
    }
    int r = adopt_apply(core, &info);
    if (core->running) {
        sent_forget(core);
    }
    if (r != 0) {
        log_error(LOG_RAFT,
                  "the state file of the snapshot is missing or damaged",
                  LOG_TXT("file", info.file), LOG_U64("needs", info.index),
                  LOG_U64("has", machine_view(core->machine).applied));
        return RAFT_CORRUPT;
    }
    core->snapshot_index = info.index;
    raft_free(buf->base);
    return 0;
}

/* ---- entries ---- */

static void answered(struct raft_apply *request, int status, void *result)
{
    struct core *core = request->data;

    (void)result;
    core->pack.status = status;
    core->pack.answered = true;
    if (status != 0) {
        log_warn(LOG_RAFT, "an entry's outcome is unknown",
                 LOG_TXT("why", raft_errmsg(&core->raft)));
        /* An expiry may be in it and may yet be applied: no heartbeat is
         * answered until a new epoch makes it void. */
        duties_lose(core);
    }
}

/* Refused at the door the entry is still ours and surely not done. Any other
 * error comes after libraft 0.22.1 has taken the entry into one of its two
 * indexes of the log and freed our buffer (legacyHandleUpdateEntries): it must
 * not be asked for anything more. */
static void stop_unless_refused(struct core *core, int r)
{
    if (r != RAFT_NOTLEADER && r != RAFT_NOSPACE) {
        log_error(LOG_RAFT, "the log cannot take an entry: stopping",
                  LOG_TXT("why", raft_errmsg(&core->raft)),
                  LOG_U64("code", (uint64_t)r));
        abort();
    }
}

int log_submit(struct core *core, const struct buf *bytes)
{
    struct raft_buffer buf = {.base = raft_malloc(bytes->n), .len = bytes->n};

    if (buf.base == NULL) {
        return ERR_NOT_READY;
    }
    memcpy(buf.base, bytes->p, bytes->n);
    core->pack.index = raft_last_index(&core->raft) + 1;
    core->pack.apply.data = core;
    int r = raft_apply(&core->raft, &core->pack.apply, &buf, 1, answered);
    if (r != 0) {
        stop_unless_refused(core, r);
        raft_free(buf.base);
        if (!core->refusing) {
            log_warn(LOG_RAFT, "entries are refused",
                     LOG_TXT("why", raft_errmsg(&core->raft)));
        }
        core->refusing = true;
        if (r == RAFT_NOSPACE) {
            disk_ran_out(core);
        }
        return r == RAFT_NOSPACE ? ERR_FULL : ERR_NOT_READY;
    }
    core->refusing = false;
    return 0;
}

/* ---- what is committed is told at once ---- */

static void told(struct raft_io_send *req, int status)
{
    (void)status;
    mem_free(req);
}

static void tell_one(struct core *core, const struct raft_server *server)
{
    struct raft_message message = {
        .type = RAFT_APPEND_ENTRIES,
        .server_id = server->id,
        .server_address = server->address,
        .append_entries = {.term = core->raft.current_term,
                           .prev_log_index = core->raft.commit_index,
                           .prev_log_term = core->raft.current_term,
                           .leader_commit = core->raft.commit_index},
    };
    struct raft_io_send *req = mem_zero(sizeof *req);

    if (core->send_message(&core->io, req, &message, told) != 0) {
        mem_free(req);
    }
}

/* libraft lets the others know of a commit with its next message, which is a
 * heartbeat when nothing else happens. Who waits for an answer at one of them
 * would wait as long: so it is sent a heartbeat now, behind the entries, on the
 * same connection. */
void log_tell_commit(struct core *core)
{
    const struct raft_configuration *now = &core->raft.configuration;
    raft_index commit = core->raft.commit_index;
    raft_index match = 0;

    if (commit == core->told_commit || !core->leading) {
        return;
    }
    core->told_commit = commit;
    for (unsigned i = 0; i < now->n; i++) {
        const struct raft_server *server = &now->servers[i];
        bool other = server->id != core->raft_id && server->role != RAFT_SPARE;
        /* One that is further behind has more to do than this. */
        if (other && raft_match_index(&core->raft, server->id, &match) == 0 &&
            match + INFLIGHT_MOST > commit) {
            tell_one(core, server);
        }
    }
}

/* How many of the newest entries stay in the log (and in memory) behind a
 * snapshot: what fits a bound in bytes. */
static unsigned trailing(const struct core *core, uint64_t newest)
{
    uint64_t bytes = 0;
    unsigned n = 0;

    while (n < TRAILING_MOST && n < newest) {
        bytes += core->sizes[(newest - n) % TRAILING_MOST];
        if (bytes > TRAILING_BYTES) {
            break;
        }
        n++;
    }
    return n == 0 ? 1 : n;
}

/* Who is getting the newest state goes on from there with the log: that stays
 * a while longer, or it would need the next state, and so on for ever. */
static bool is_due(struct core *core)
{
    uint64_t bytes = core->config.snapshot_bytes;

    return core->log_bytes >= bytes &&
           (core->log_bytes / 2 >= bytes || !serve_needs_log(core));
}

void log_entry_applied(struct core *core, size_t bytes)
{
    uint64_t index = raft_last_applied(&core->raft) + 1;

    core->sizes[index % TRAILING_MOST] = (uint32_t)bytes;
    core->log_bytes += bytes < ENTRY_LEAST ? ENTRY_LEAST : bytes;
    atomic_store(&core->stats.log_bytes, core->log_bytes);
    bool due = core->snapshot_wanted || is_due(core);
    if (core->running && due && disk_has_room(core)) {
        raft_set_snapshot_trailing(&core->raft, trailing(core, index));
        raft_set_snapshot_threshold(&core->raft, 1);
    }
}

/* ---- open and close ---- */

static int say(struct core *core, const char *sentence, int r)
{
    log_error(LOG_RAFT, sentence, LOG_TXT("why", raft_errmsg(&core->raft)),
              LOG_U64("code", (uint64_t)r));
    return ERR_INVALID;
}

/* Only an empty directory is the beginning of a registry, and only once: from
 * then on the log must be there. */
static int bootstrap(struct core *core)
{
    int r = 0;

    if (core->fresh && core->first.n > 0) {
        r = raft_bootstrap(&core->raft, &core->first);
        raft_configuration_close(&core->first);
        raft_configuration_init(&core->first);
    }
    if (r != 0 && r != RAFT_CANTBOOTSTRAP) {
        return r;
    }
    return node_joined(core) == 0 ? 0 : RAFT_IOERR;
}

static void set_up(struct core *core)
{
    raft_set_election_timeout(&core->raft, ELECTION_MS);
    raft_set_heartbeat_timeout(&core->raft, HEARTBEAT_MS);
    raft_set_pre_vote(&core->raft, true);
    raft_set_snapshot_threshold(&core->raft, NEVER);
    raft_set_snapshot_trailing(&core->raft, 1);
    raft_set_max_inflight_entries(&core->raft, INFLIGHT_MOST);
    raft_set_install_snapshot_timeout(&core->raft, OFFER_MS);
    raft_uv_set_connect_retry_delay(&core->io, CONNECT_RETRY_MS);
    /* Renaming a damaged segment away and starting with less log would forget
     * what was acknowledged: stop and say so instead. */
    raft_uv_set_auto_recovery(&core->io, false);
    raft_uv_set_segment_size(&core->io, SEGMENT_BYTES);
    raft_uv_set_disk_retry(&core->io, DISK_RETRY_MS);
}

/* libraft 0.22.1 tries a failed write of the log again with the wrong timer
 * (uvAliveSegmentWriteCb starts prepare_retry, whose data is no segment) and
 * writes over memory that is not its own. What it says just before is the only
 * sign: the process stops there, nothing of that write was acknowledged. */
static void listen_for_retry(struct raft_tracer *tracer, int type,
                             const void *info)
{
    static const char fatal[] = "retry failed write";
    const struct raft_tracer_info *said = info;

    (void)tracer;
    if (type == RAFT_TRACER_DIAGNOSTIC &&
        strncmp(said->diagnostic.message, fatal, sizeof fatal - 1) == 0) {
        log_error(LOG_RAFT, "the disk refuses a write of the log: stopping",
                  LOG_TXT("why", said->diagnostic.message));
        abort();
    }
}

static struct raft_tracer listener = {.version = 2, .emit = listen_for_retry};

static int send_message(struct raft_io *io, struct raft_io_send *req,
                        const struct raft_message *message, raft_io_send_cb cb)
{
    struct core *core = CONTAINER(io, struct core, io);
    struct raft_message cut = *message;

    guard_sent(core, &cut);
    return core->send_message(io, req, &cut, cb);
}

static bool is_of_leader(const struct core *core,
                         const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_APPEND_ENTRIES:
        return message->append_entries.term >= core->raft.current_term;
    case RAFT_INSTALL_SNAPSHOT:
        return message->install_snapshot.term >= core->raft.current_term;
    default:
        return false;
    }
}

/* Nothing can be applied for now, and memory is bounded: they come again. */
static bool dropped(struct core *core, struct raft_message *message)
{
    struct raft_append_entries *append = &message->append_entries;

    if (message->type != RAFT_APPEND_ENTRIES || append->n_entries == 0 ||
        !applied_is_full(core)) {
        return false;
    }
    raft_free(append->entries[0].batch);
    raft_free(append->entries);
    return true;
}

void log_deliver(struct core *core, struct raft_message *message)
{
    core->deliver(&core->io, message);
}

static void receive(struct raft_io *io, struct raft_message *message)
{
    struct core *core = CONTAINER(io, struct core, io);
    uint64_t now = clock_mono_ms();

    members_heard(core, message->server_id, now);
    if (is_of_leader(core, message)) {
        status_heard(core, now);
    }
    if (message->type == RAFT_INSTALL_SNAPSHOT &&
        install_holds(core, message)) {
        return;
    }
    if (!guard_drops(core, message) && !dropped(core, message)) {
        guard_received(core, message);
        log_deliver(core, message);
    }
}

static int start_io(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb deliver)
{
    struct core *core = CONTAINER(io, struct core, io);

    core->deliver = deliver;
    return core->start_io(io, msecs, tick, receive);
}

static void step_in_front(struct core *core)
{
    raft_uv_set_tracer(&core->io, &listener);
    load_init(core);
    core->start_io = core->io.start;
    core->io.start = start_io;
    core->send_message = core->io.send;
    core->io.send = send_message;
    snapshot_init(core);
}

int log_open(struct core *core)
{
    transport_init(core);
    int r =
        raft_uv_init(&core->io, &core->loop, core->raft_dir, &core->transport);
    if (r != 0) {
        log_error(LOG_RAFT, "cannot use the log directory",
                  LOG_TXT("why", core->io.errmsg));
        return ERR_INVALID;
    }
    step_in_front(core);
    core->fsm = (struct raft_fsm){
        .version = 1,
        .data = core,
        .apply = apply,
        .snapshot = take_snapshot,
        .restore = restore,
    };
    r = raft_init(&core->raft, &core->io, &core->fsm, core->raft_id, "");
    if (r != 0) {
        return say(core, "cannot open the log", r);
    }
    core->raft_inited = true;
    core->raft.tracer = NULL; /* Else it words each step, for nobody. */
    set_up(core);
    r = bootstrap(core);
    if (r != 0) {
        return say(core, "cannot begin a log", r);
    }
    r = raft_start(&core->raft);
    if (r != 0) {
        return say(core, "cannot start from the log", r);
    }
    if (core->refused) {
        return ERR_INVALID;
    }
    r = applied_commit(core);
    if (r == 0) {
        r = node_learn_cluster(core, true);
    }
    return r == ERR_DISK_FULL ? 0 : r; /* Then it waits for room, stalled. */
}

static void raft_closed(struct raft *raft)
{
    (void)raft;
}

void log_close(struct core *core)
{
    if (core->raft_inited) {
        raft_close(&core->raft, raft_closed);
        (void)uv_run(&core->loop, UV_RUN_DEFAULT);
        core->raft_inited = false;
    }
    if (core->io.impl != NULL) {
        raft_uv_close(&core->io);
    }
}
