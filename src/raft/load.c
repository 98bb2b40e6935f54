/* What libraft has on the disk, looked through before libraft has it. */
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"

void load_free(struct raft_snapshot *snapshot, struct raft_entry *entries,
               size_t n)
{
    void *batch = NULL;

    for (size_t i = 0; i < n; i++) {
        if (entries[i].batch != batch) {
            batch = entries[i].batch;
            raft_free(batch);
        }
    }
    raft_free(entries);
    if (snapshot != NULL) {
        raft_configuration_close(&snapshot->configuration);
        raft_free(snapshot->bufs[0].base);
        raft_free(snapshot->bufs);
        raft_free(snapshot);
    }
}

/* The files that entries name are needed as long as those may be applied,
 * committed or not. */
static void note_restores(struct core *core, uint64_t snapshot_index,
                          uint64_t start_index,
                          const struct raft_entry *entries, size_t n)
{
    struct command_restore restore;

    for (size_t i = 0; i < n; i++) {
        struct str bytes = {entries[i].buf.base, entries[i].buf.len};
        if (entries[i].type == RAFT_COMMAND &&
            start_index + i > snapshot_index &&
            command_pack_restores(bytes, &restore)) {
            staged_note(core, start_index + i, restore.file);
        }
    }
    staged_sweep(core);
}

/* Whether this node alone decides, by the newest configuration. */
static bool is_sole(const struct core *core,
                    const struct raft_configuration *configuration)
{
    bool is = false;

    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];
        if (server->role == RAFT_VOTER && server->id != core->raft_id) {
            return false;
        }
        is = is || server->role == RAFT_VOTER;
    }
    return is;
}

static bool decides_alone(const struct core *core,
                          const struct raft_snapshot *snapshot,
                          const struct raft_entry *entries, size_t n)
{
    struct raft_configuration configuration;

    for (size_t i = n; i-- > 0;) {
        if (entries[i].type == RAFT_CHANGE) {
            if (raft_configuration_decode(&entries[i].buf, &configuration) !=
                0) {
                return true; /* Damage: libraft will say so. */
            }
            bool is = is_sole(core, &configuration);
            raft_configuration_close(&configuration);
            return is;
        }
    }
    return snapshot == NULL || is_sole(core, &snapshot->configuration);
}

/* A sole voter acknowledges nothing before its own log has it, so a log that
 * ends before the store does has lost its tail to damage. New entries would
 * take the numbers of lost ones and be skipped as applied. Looked at before
 * libraft starts: it begins with an entry of its own, and after some starts the
 * log could seem long enough.
 *
 * Where others decide too it is no damage: what they committed is applied
 * before the own disk has it, and a state that was installed is of a later
 * index than its descriptor. They have those entries and send them again. */
static int check_end(const struct core *core,
                     const struct raft_snapshot *snapshot, uint64_t last,
                     const struct raft_entry *entries, size_t n)
{
    uint64_t applied = machine_view(core->machine).applied;

    if (last >= applied) {
        return 0;
    }
    if (!decides_alone(core, snapshot, entries, n)) {
        log_info(LOG_RAFT,
                 "the log ends before what the store has applied: the others "
                 "send the rest",
                 LOG_U64("log_ends", last), LOG_U64("applied", applied));
        return 0;
    }
    log_error(LOG_RAFT,
              "the log ends before what the store has applied: the log lost "
              "entries to damage",
              LOG_U64("log_ends", last), LOG_U64("applied", applied));
    return RAFT_CORRUPT;
}

static int load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                struct raft_snapshot **snapshot, raft_index *start_index,
                struct raft_entry *entries[], size_t *n_entries)
{
    struct core *core = CONTAINER(io, struct core, io);

    if (adopt_mend(core) != 0) {
        return RAFT_IOERR;
    }
    int r = core->load_log(io, term, voted_for, snapshot, start_index, entries,
                           n_entries);
    if (r != 0) {
        return r;
    }
    r = check_end(core, *snapshot, *start_index + *n_entries - 1, *entries,
                  *n_entries);
    if (r != 0) {
        load_free(*snapshot, *entries, *n_entries);
        return r;
    }
    note_restores(core, *snapshot == NULL ? 0 : (*snapshot)->index,
                  *start_index, *entries, *n_entries);
    return 0;
}

void load_init(struct core *core)
{
    core->load_log = core->io.load;
    core->io.load = load;
}
