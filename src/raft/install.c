/* What libraft's leaders offer: their state, to a node that their log does not
 * reach any more.
 *
 *   offer (a message of libraft's: our descriptor) ─► held back ─► fetch.c
 *        the file is in state/, its image checked in store.new/
 *   ─► passed on: libraft has it stored, and adopt.c makes it the state
 *
 * The leader offers again with each heartbeat, for libraft here cannot answer
 * them yet: the same offer is only looked at. One of another file, from a newer
 * leader or after another snapshot, does not stop a fetch: any state that was
 * offered is committed, and from there the log leads on, or another offer. What
 * is passed on then is that state with the words of the newest leader. */
#include "raft/install.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/peer.h"

/* ---- other nodes ---- */

static int dial(struct core *core, uint64_t raft_id, int *ret_fd,
                char why[CORE_WHY])
{
    char address[CORE_ADDRESS];
    struct peer_id self;
    struct peer_id other;
    bool refused;
    struct peer_dial how = {
        .kind = PEER_FILE,
        .address = address,
        .tls = core->config.tls,
        .self = &self,
        .expects = raft_id,
        .timeout_ms = FETCH_DIAL_MS,
    };

    _Static_assert((int)CORE_WHY >= (int)PEER_WHY, "one sentence for both");
    if (members_address(core, raft_id, address) != 0) {
        (void)snprintf(why, CORE_WHY, "its address is not known");
        return ERR_NOT_FOUND;
    }
    members_self(core, &self);
    int r = peer_connect(&how, &other, ret_fd, &refused, why);
    if (r > 0) {
        return r == PEER_BUSY ? ERR_NOT_READY : ERR_NOT_FOUND;
    }
    return r < 0 ? ERR_NOT_READY : 0;
}

/* By libraft's newest configuration. */
static size_t others(const struct core *core, uint64_t ret[CORE_MEMBERS_MOST])
{
    const struct raft_configuration *now = &core->raft.configuration;
    size_t n = 0;

    for (unsigned i = 0; i < now->n && n < CORE_MEMBERS_MOST; i++) {
        if (now->servers[i].id != core->raft_id) {
            ret[n++] = now->servers[i].id;
        }
    }
    return n;
}

/* ---- offers ---- */

static void discard(struct raft_message *message)
{
    raft_configuration_close(&message->install_snapshot.conf);
    raft_free(message->install_snapshot.data.base);
}

static void drop(struct core *core)
{
    struct installs *in = core->installs;

    if (in->held) {
        discard(&in->message);
        in->held = in->ready = false;
        atomic_store(&core->status.installing, false);
    }
}

static void take(struct installs *in, const struct raft_message *message)
{
    in->message = *message;
    (void)snprintf(in->address, sizeof in->address, "%s",
                   message->server_address);
    in->message.server_address = in->address;
}

/* Who says it now, of what was offered before. */
static void take_words(struct installs *in, const struct raft_message *message)
{
    struct raft_install_snapshot *ours = &in->message.install_snapshot;

    in->message.server_id = message->server_id;
    (void)snprintf(in->address, sizeof in->address, "%s",
                   message->server_address);
    ours->term = message->install_snapshot.term;
}

static void begin(struct core *core)
{
    struct installs *in = core->installs;
    struct fetch *fetch = mem_zero(sizeof *fetch);

    memcpy(fetch->file, in->offer.file, sizeof fetch->file);
    fetch->index = in->offer.index;
    fetch->size = in->offer.size;
    memcpy(fetch->image, in->offer.image, sizeof fetch->image);
    memcpy(fetch->state, in->offer.state, sizeof fetch->state);
    /* The others may have the file too, from an install of their own. */
    fetch->n_from = installs_others(core, in->message.server_id, fetch->from);
    in->fetch = fetch;
    fetch_start(core, fetch);
    atomic_store(&core->status.installing, true);
    log_info(LOG_RAFT,
             "the log does not lead from here to where the leader is: its "
             "state is fetched",
             LOG_TXT("file", in->offer.file), LOG_U64("index", in->offer.index),
             LOG_U64("bytes", state_file_bytes(&in->offer)));
}

static bool read_offer(const struct raft_message *message,
                       struct state_info *ret_offer)
{
    const struct raft_install_snapshot *offer = &message->install_snapshot;

    return state_read_descriptor(offer->data.base, offer->data.len,
                                 ret_offer) == 0 &&
           ret_offer->index == offer->last_index &&
           transfer_is_name(ret_offer->file);
}

static void consider(struct core *core, struct raft_message *message,
                     const struct state_info *offer)
{
    struct installs *in = core->installs;

    if (!in->held) {
        take(in, message);
        in->held = true;
        in->offer = *offer;
        begin(core);
    } else if (message->install_snapshot.term <
               in->message.install_snapshot.term) {
        discard(message);
    } else if (strcmp(offer->file, in->offer.file) == 0) {
        discard(&in->message);
        take(in, message);
        in->offer = *offer;
    } else {
        take_words(in, message);
        discard(message);
    }
}

bool install_holds(struct core *core, struct raft_message *message)
{
    struct installs *in = core->installs;
    struct raft_install_snapshot *offered = NULL;
    struct state_info offer;

    if (message->type != RAFT_INSTALL_SNAPSHOT) {
        return false;
    }
    offered = &message->install_snapshot;
    if (offered->term < core->raft.current_term) {
        return false; /* libraft says so. */
    }
    bool has = raft_last_applied(&core->raft) >= offered->last_index;
    bool busy = core->raft.snapshot.installing ||
                core->raft.legacy.snapshot_taking || core->stopping;
    if (has && !busy) {
        return false; /* libraft answers at once. */
    }
    if (has || core->raft.snapshot.installing || core->stopping ||
        (!in->held && clock_mono_ms() < in->not_before_ms)) {
        discard(message); /* It is offered again. */
    } else if (!read_offer(message, &offer)) {
        log_warn(LOG_RAFT, "the leader offers a state in a way that cannot be "
                           "read: is its version another one?");
        in->not_before_ms = clock_mono_ms() + FETCH_AGAIN_MOST_MS;
        discard(message);
    } else {
        consider(core, message, &offer);
    }
    return true;
}

/* It may be another file, of a later state: what is told of it changes, but not
 * where libraft's log goes on. */
static void take_file(struct installs *in, const struct state_info *info)
{
    uint64_t index = in->offer.index;

    in->offer = *info;
    in->offer.index = index;
    state_describe(&in->offer, in->message.install_snapshot.data.base);
}

/* The fetch has come to its end. */
static void collect(struct core *core)
{
    struct installs *in = core->installs;
    struct fetch *fetch = in->fetch;
    int r = fetch->r;

    if (r == 0) {
        log_info(LOG_RAFT, "the state of another node is here",
                 LOG_TXT("file", fetch->info.file),
                 LOG_U64("bytes", state_file_bytes(&fetch->info)),
                 LOG_U64("ms", fetch->took_ms));
        in->ready = in->held;
        in->n_failed = 0;
        if (in->held && strcmp(in->offer.file, fetch->info.file) != 0) {
            take_file(in, &fetch->info);
        }
    } else if (in->held) {
        COUNT(core, fetches_failed, 1);
        log_warn(LOG_RAFT,
                 "the state of another node could not be fetched: "
                 "it is tried again",
                 LOG_TXT("file", fetch->file), LOG_TXT("why", fetch->why));
        in->not_before_ms = clock_mono_ms() + fetch_pause(in->n_failed++);
        drop(core);
    }
    in->fetch = fetch_end(fetch);
}

/* It is a state of its own beside the store, and in the way of others. */
static void forget_file(struct core *core, const char *file)
{
    files_forget(core, file);
    files_discard(core, staged_fresh(core, file));
}

static bool libraft_can(const struct core *core)
{
    const struct installs *in = core->installs;

    /* With the words of a leader that is none any more it would answer as if
     * it had taken it: the new one speaks soon. */
    return !core->raft.legacy.snapshot_taking &&
           !core->raft.snapshot.installing && !core->stopping &&
           core->raft.state != RAFT_LEADER &&
           in->message.install_snapshot.term >= core->raft.current_term;
}

static void pass_on(struct core *core)
{
    struct installs *in = core->installs;
    struct state_info offer = in->offer;

    in->held = in->ready = false;
    log_deliver(core, &in->message);
    if (!core->raft.snapshot.installing && core->snapshot_index < offer.index) {
        forget_file(core, offer.file); /* It had all of it meanwhile. */
        atomic_store(&core->status.installing, false);
    }
}

void install_turn(struct core *core, uint64_t now_ms)
{
    struct installs *in = core->installs;

    missing_turn(core, now_ms);
    if (in->fetch != NULL && fetch_is_over(in->fetch)) {
        collect(core);
    }
    if (in->held && raft_last_applied(&core->raft) >= in->offer.index) {
        if (in->ready) {
            forget_file(core, in->offer.file);
        } else if (in->fetch != NULL) {
            fetch_cancel(in->fetch);
        }
        drop(core);
    }
    if (in->ready && libraft_can(core)) {
        pass_on(core);
    }
}

/* ---- begin and end ---- */

void install_init(struct core *core)
{
    struct installs *in = mem_zero(sizeof *in);

    in->dial = dial;
    in->others = others;
    core->installs = in;
    serve_init(core);
}

void install_done(struct core *core)
{
    struct installs *in = core->installs;

    if (in == NULL) {
        return;
    }
    serve_done(core);
    in->fetch = fetch_end(in->fetch);
    in->missing = fetch_end(in->missing);
    drop(core);
    core->installs = mem_free(in);
}
