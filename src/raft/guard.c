/* What libraft 0.22.1 gets wrong about messages, kept from it. Each was found
 * by simulated histories (tests/sim), which hold libraft against the same; to
 * be looked at again with each new version. */
#include "raft/inside.h"

/* ---- what is sent ---- */

/* A configuration that comes in the middle of a message is noted under the
 * index of the message's first entry (replicationAppend): the follower never
 * takes it as committed, and could change nothing when it leads. So it comes
 * first in a message, always; what is cut off is sent again. */
static unsigned before_change(const struct raft_append_entries *append)
{
    for (unsigned i = 1; i < append->n_entries; i++) {
        if (append->entries[i].type == RAFT_CHANGE) {
            return i;
        }
    }
    return append->n_entries;
}

/* 0: not known. A record is the last index of a term. */
static raft_term term_of(const struct raft_trail *trail, raft_index index)
{
    if (index == trail->snapshot.index) {
        return trail->snapshot.term;
    }
    for (unsigned i = trail->front; i != trail->back;
         i = (i + 1) % trail->size) {
        if (index <= trail->records[i].index) {
            return trail->records[i].term;
        }
    }
    return 0;
}

/* A snapshot that was stored since it decided to send one is sent with the
 * index of the newer and the term of the older (legacyLoadSnapshotCb). */
static void set_term(const struct core *core,
                     struct raft_install_snapshot *install)
{
    raft_term term = term_of(&core->raft.trail, install->last_index);

    if (term != 0) {
        install->last_term = term;
    }
}

void guard_sent(const struct core *core, struct raft_message *message)
{
    if (message->type == RAFT_APPEND_ENTRIES) {
        message->append_entries.n_entries =
            before_change(&message->append_entries);
    } else if (message->type == RAFT_INSTALL_SNAPSHOT) {
        set_term(core, &message->install_snapshot);
    }
}

/* ---- what is received ---- */

/* Entries that a snapshot of ours covers are not in our log. When they begin
 * with the first of all they are appended behind our last; else they are
 * refused, and the leader asks further and further back. A snapshot holds only
 * what is committed: the leader has the same up to there. */
static void skip_known(const struct raft *raft,
                       struct raft_append_entries *append)
{
    raft_index known = raft->trail.snapshot.index;
    size_t skip = append->n_entries;

    if (append->prev_log_index >= raft->trail.offset ||
        append->prev_log_index >= known || append->term < raft->current_term) {
        return;
    }
    if (known - append->prev_log_index < skip) {
        skip = (size_t)(known - append->prev_log_index);
    }
    append->n_entries -= (unsigned)skip;
    if (append->n_entries > 0) {
        memmove(append->entries, append->entries + skip,
                append->n_entries * sizeof *append->entries);
    } else if (skip > 0) {
        raft_free(append->entries[0].batch);
        raft_free(append->entries);
        append->entries = NULL;
    }
    append->prev_log_index = known;
    append->prev_log_term = raft->trail.snapshot.term;
}

/* An older message that tells of a newer commit would move the commit index
 * back to the last entry that it carries. */
static void keep_commit(const struct raft *raft,
                        struct raft_append_entries *append)
{
    if (append->prev_log_index + append->n_entries < raft->commit_index &&
        append->leader_commit > raft->commit_index) {
        append->leader_commit = raft->commit_index;
    }
}

/* One change of the members may be uncommitted. When another comes in the
 * message that commits the first, it is forgotten that the first was committed:
 * a rollback, or a snapshot, brings back the members before both. So what is
 * committed is told before. */
static void commit_first(struct core *core, const struct raft_message *message)
{
    struct raft_message before = *message;

    if (message->append_entries.n_entries == 0 ||
        message->append_entries.entries[0].type != RAFT_CHANGE) {
        return;
    }
    before.append_entries.entries = NULL;
    before.append_entries.n_entries = 0;
    keep_commit(&core->raft, &before.append_entries);
    log_deliver(core, &before);
}

/* It looks whether the vote was a pre-vote before it looks whether it is a
 * candidate (recvRequestVoteResult), in memory that means something else then:
 * a late answer could move the term of a follower or a leader, and unseat who
 * leads. */
bool guard_drops(const struct core *core, const struct raft_message *message)
{
    return message->type == RAFT_REQUEST_VOTE_RESULT &&
           core->raft.state != RAFT_CANDIDATE;
}

void guard_received(struct core *core, struct raft_message *message)
{
    if (message->type == RAFT_APPEND_ENTRIES) {
        skip_known(&core->raft, &message->append_entries);
        commit_first(core, message);
        keep_commit(&core->raft, &message->append_entries);
    }
}
