/* The whole state becomes another one: what has to be this registry's own in it
 * is stamped on it, the same on every node.
 *
 * A state file knows nothing of this registry's clock, epochs and revisions. So
 * that nothing anybody remembers fits again - a cursor, a list's ETag, a
 * command resolved before, an expiry that is on its way - all of them move
 * forward, and the history begins anew. Rows stay as they are, with their
 * `_rev`. */
#include <stdatomic.h>

#include "base/err.h"
#include "machine/apply.h"

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* `own` is of the state before. */
static void stamp_meta(struct apply *a, const struct store_meta *own,
                       uint64_t revision)
{
    struct store_meta *meta = a->meta;

    memcpy(meta->cluster, own->cluster, sizeof meta->cluster);
    meta->history_limit = own->history_limit;
    meta->history_least_bytes = own->history_least_bytes;
    meta->feature_level = own->feature_level;
    meta->lease_epoch = greater(meta->lease_epoch, own->lease_epoch) + 1;
    meta->log_time_ms = greater(meta->log_time_ms, own->log_time_ms);
    meta->revision = revision - 1; /* It is taken like any other. */
    meta->tree_rev = meta->types_rev = revision;
    if (own->feature_level >= MACHINE_FEATURE_CHANGES) {
        meta->access_rev = revision;
    }
}

/* The root's path_rev is part of every list revision shown. */
static int stamp(struct apply *a, const struct store_meta *own,
                 uint64_t revision)
{
    struct store_node root;

    bool begins = a->meta->feature_level < WEBHOOK_LEVEL &&
                  own->feature_level >= WEBHOOK_LEVEL;
    stamp_meta(a, own, revision);
    int r = store_history_clear(a->txn);
    if (r == 0 && begins) {
        r = webhook_look(a);
    }
    if (r == 0) {
        r = store_node_get(a->txn, STORE_ROOT, &root);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? err_raise(ERR_CORRUPT) : r;
    }
    if (own->feature_level >= MACHINE_FEATURE_CHANGES) {
        r = quota_recount_all(a);
        if (r != 0) {
            return r;
        }
    }
    r = index_begin(a);
    if (r != 0) {
        return r;
    }
    root.path_rev = apply_revision(a);
    r = store_node_put(a->txn, &root);
    return r == 0 ? event_restore(a, root.path_rev) : r;
}

static bool moves_on(uint64_t now, const struct command_restore *c)
{
    return c->revision > now && c->revision % COMMAND_RESTORE_STEP == 0;
}

/* Who may no more is told so by machine_apply. */
bool machine_replaces(const struct machine *m, struct str pack)
{
    struct command c;

    return command_pack_restoring(pack, &c) && atomic_load(&m->initialized) &&
           c.restore.file.n > 0 &&
           moves_on(atomic_load(&m->revision), &c.restore) &&
           !(c.has_access && c.access_rev < atomic_load(&m->access_rev));
}

/* The state stays and counts as restored; a file is no business of a
 * transaction of the state that it replaces. */
int apply_restore(struct apply *a, const struct command_restore *c)
{
    struct store_meta own = *a->meta;

    if (!moves_on(own.revision, c)) {
        return ERR_RETRY;
    }
    if (c->file.n > 0) {
        return err_raise(ERR_CORRUPT);
    }
    apply_tree_changed(a, true);
    a->cause = "restore";
    return stamp(a, &own, c->revision);
}

/* ---- a state that comes from a file ---- */

static int read_meta(struct store *store, struct store_meta *ret_meta)
{
    struct store_txn *txn = NULL;

    int r = store_write_begin(store, &txn);
    if (r == 0) {
        *ret_meta = *store_meta(txn);
        store_write_abort(txn);
    }
    return r;
}

static int stamp_next(struct machine *m, const struct store_meta *own,
                      const struct command_restore *c, uint64_t index,
                      uint64_t time_ms, struct machine_result *res)
{
    struct apply a = {.m = m,
                      .txn = m->txn,
                      .meta = store_meta(m->txn),
                      .arena = m->arena,
                      .res = res,
                      .cause = "restore"};

    int r = stamp(&a, own, c->revision);
    a.meta->applied = index;
    a.meta->log_time_ms = greater(a.meta->log_time_ms, time_ms);
    m->coming = *a.meta;
    return r;
}

int machine_restore(struct machine *m, uint64_t index, struct str pack,
                    struct store_next *next, struct machine_result *result)
{
    struct machine_result unseen = {0};
    struct command_restore restore;
    struct command_pack opened;
    struct store_meta own;

    if (command_pack_open(pack, &opened) != 0 ||
        !command_pack_restores(pack, &restore)) {
        return err_raise(ERR_CORRUPT);
    }
    int r = read_meta(m->store, &own);
    if (r == 0) {
        r = store_next_begin(next, &m->txn);
    }
    if (r != 0) {
        m->txn = NULL;
        return r;
    }
    arena_reset(m->arena);
    m->quotas_are_known = false; /* Those of the next state from here on. */
    r = stamp_next(m, &own, &restore, index, opened.time_ms,
                   result == NULL ? &unseen : result);
    if (r == 0) {
        r = machine_note(m, &m->coming_noted);
    }
    if (r == 0) {
        r = store_write_commit(m->txn);
        m->txn = NULL;
    }
    machine_abort(m); /* Nothing any more, after a commit. */
    m->quotas_are_known = false;
    return r;
}

int machine_install(struct machine *m, struct store_next *next)
{
    int r = store_next_begin(next, &m->txn);

    if (r != 0) {
        m->txn = NULL;
        return r;
    }
    m->coming = *store_meta(m->txn);
    m->quotas_are_known = false;
    r = machine_note(m, &m->coming_noted);
    machine_abort(m);
    m->quotas_are_known = false;
    return r;
}

/* [MACHINE-4] Dropped before it is visible. */
struct store_next *machine_restored(struct machine *m, struct store_next *next)
{
    cache_changing(m->cache, m->coming.revision);
    cache_drop_all(m->cache, m->coming.revision);
    cache_path_drop_all(m->cache, m->coming.revision);
    atomic_store(&m->access_rev, m->coming.access_rev);
    struct store_next *old = store_replace(next);
    m->quotas_are_known = false;
    machine_show(m, &m->coming, &m->coming_noted);
    return old;
}
