#include <assert.h>
#include <stdatomic.h>

#include "base/err.h"
#include "machine/apply.h"

struct machine *machine_new(struct store *store, struct cache *cache,
                            const struct machine_hooks *hooks)
{
    struct machine *m = mem_zero(sizeof *m);

    m->store = store;
    m->cache = cache;
    m->hooks = *hooks;
    m->txn_arena = arena_new();
    m->arena = arena_new();
    return m;
}

struct machine *machine_free(struct machine *m)
{
    if (m == NULL) {
        return NULL;
    }
    machine_abort(m);
    arena_free(m->txn_arena);
    arena_free(m->arena);
    mem_free(m->effects);
    mem_free(m->events);
    mem_free(m->touched);
    mem_free(m->quotas);
    mem_free(m->chain);
    buf_done(&m->path);
    return mem_free(m);
}

bool machine_is_open(const struct machine *m)
{
    return m->txn != NULL;
}

void machine_result_done(struct machine_result *result)
{
    buf_done(&result->row);
    buf_done(&result->detail);
}

uint64_t machine_access_rev(const struct machine *m)
{
    return atomic_load_explicit(&m->access_rev, memory_order_acquire);
}

struct machine_view machine_view(const struct machine *m)
{
    return (struct machine_view){
        .applied = atomic_load(&m->applied),
        .revision = atomic_load(&m->revision),
        .lease_epoch = atomic_load(&m->lease_epoch),
        .log_time_ms = atomic_load(&m->log_time_ms),
        .feature_level = atomic_load(&m->feature_level),
        .next_end_ms = atomic_load(&m->next_end_ms),
        .access_rev = machine_access_rev(m),
        .has_trash = atomic_load(&m->has_trash),
        .has_counts = atomic_load(&m->has_counts),
        .is_indexing = atomic_load(&m->is_indexing),
        .initialized = atomic_load(&m->initialized),
    };
}

bool machine_is_spread(const struct machine *m)
{
    return m->n_spread >= MACHINE_SPREAD;
}

/* ---- packs and transactions ---- */

static void forget(struct machine *m)
{
    m->txn = NULL;
    m->n_effects = m->n_events = m->n_touched = m->n_types = m->n_spread = 0;
    m->spread_ns = 0;
    m->drop_all = m->drop_paths = m->new_scopes = false;
    m->path_ns = m->found_ns = 0;
    if (m->going != NULL) {
        machine_result_done(&m->going->res);
        m->going = mem_free(m->going);
    }
    quota_forget(m);
    arena_reset(m->txn_arena);
}

static int begin_pack(struct machine *m, struct str bytes,
                      struct command_pack *ret_pack)
{
    if (command_pack_open(bytes, ret_pack) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    struct store_meta *meta = store_meta(m->txn);
    if (ret_pack->time_ms > meta->log_time_ms) {
        meta->log_time_ms = ret_pack->time_ms;
    }
    return store_key_expire(m->txn, meta->log_time_ms, 2 * COMMAND_PACK_MOST);
}

/* The next command, or the next slice of one. Answers: END, BUSY. */
static int apply_next(struct machine *m, struct command_pack *pack,
                      struct machine_result *res)
{
    struct str command;

    if (m->going != NULL) {
        return apply_go_on(m, res);
    }
    int r = command_pack_next(pack, &command);
    if (r != 0) {
        return r == ERR_END ? r : err_raise(ERR_CORRUPT);
    }
    return apply_command(m, command, res);
}

static int apply_pack(struct machine *m, struct str bytes,
                      struct machine_result *results)
{
    struct machine_result unseen = {0};
    struct command_pack pack;
    size_t at = 0;
    int r = 0;

    if (m->going == NULL) {
        r = begin_pack(m, bytes, &pack);
    } else {
        pack = m->going->pack;
        at = m->going->at;
    }
    while (r == 0) {
        r = apply_next(m, &pack, results == NULL ? &unseen : &results[at]);
        if (results == NULL) {
            machine_result_done(&unseen);
            unseen = (struct machine_result){0};
        }
        at += r == 0;
    }
    if (r == ERR_BUSY) {
        assert(m->going != NULL);
        m->going->pack = pack;
        m->going->at = at;
    }
    return r == ERR_END ? 0 : r;
}

void machine_slice(struct machine *m, uint64_t rows)
{
    m->slice = rows;
}

int machine_apply(struct machine *m, uint64_t index, struct str pack,
                  struct machine_result *results)
{
    if (m->txn == NULL) {
        int r = store_write_begin(m->store, &m->txn);
        if (r != 0) {
            m->txn = NULL;
            return r;
        }
    }
    struct store_meta *meta = store_meta(m->txn);
    if (index <= meta->applied) {
        return 0; /* [MACHINE-1] */
    }
    m->left = m->slice;
    int r = apply_pack(m, pack, results);
    if (r == 0) {
        meta->applied = index;
    }
    return r;
}

/* [MACHINE-4] Before the commit: between this and it, readers see the old rows
 * in the store and can publish nothing; after it they see the new ones. */
static void drop_cached(struct machine *m, uint64_t revision)
{
    cache_changing(m->cache, revision);
    for (size_t i = 0; i < m->n_touched && !m->drop_all; i++) {
        cache_drop(m->cache, m->touched[i].ns, m->touched[i].type, revision);
    }
    if (m->drop_all) {
        cache_drop_all(m->cache, revision);
    }
    if (m->drop_paths) {
        cache_path_drop_all(m->cache, revision);
    }
}

static void tell_effect(const struct machine_hooks *hooks,
                        const struct effect *e)
{
    switch (e->kind) {
    case EFFECT_PUT:
        if (hooks->lease_put != NULL) {
            hooks->lease_put(hooks->lease_user, &e->lease);
        }
        return;
    case EFFECT_DEL:
        if (hooks->lease_del != NULL) {
            hooks->lease_del(hooks->lease_user, e->lease.hostname, e->lease.id);
        }
        return;
    case EFFECT_BREAKER:
        if (hooks->breaker != NULL) {
            hooks->breaker(hooks->lease_user, &e->breaker);
        }
        return;
    case EFFECT_QUOTA:
        if (hooks->quota != NULL) {
            hooks->quota(hooks->quota_user, &e->quota);
        }
        return;
    }
}

static void tell(struct machine *m, uint64_t revision)
{
    const struct machine_hooks *hooks = &m->hooks;

    for (size_t i = 0; i < m->n_effects; i++) {
        tell_effect(hooks, &m->effects[i]);
    }
    if (m->new_scopes && hooks->lease_scopes != NULL) {
        hooks->lease_scopes(hooks->lease_user);
    }
    if (hooks->changed != NULL) {
        hooks->changed(hooks->changed_user, m->events, m->n_events, revision);
    }
}

int machine_note(struct machine *m, struct noted *ret_noted)
{
    struct noted noted = {.next_end_ms = UINT64_MAX};
    struct str name;
    uint64_t id;
    char kind;

    int r = store_trash_first(m->txn, &id);
    if (r < 0) {
        return r;
    }
    noted.has_trash = r == 0;
    r = store_mark_due(m->txn, UINT64_MAX, &kind, &name, &noted.next_end_ms);
    if (r < 0) {
        return r;
    }
    r = quota_load(m);
    noted.has_counts = m->n_counting > 0;
    *ret_noted = noted;
    return r;
}

void machine_show(struct machine *m, const struct store_meta *meta,
                  const struct noted *noted)
{
    atomic_store(&m->applied, meta->applied);
    atomic_store(&m->revision, meta->revision);
    atomic_store(&m->lease_epoch, meta->lease_epoch);
    atomic_store(&m->log_time_ms, meta->log_time_ms);
    atomic_store(&m->feature_level, meta->feature_level);
    atomic_store(&m->next_end_ms, noted->next_end_ms);
    atomic_store(&m->access_rev, meta->access_rev);
    atomic_store(&m->has_trash, noted->has_trash);
    atomic_store(&m->has_counts, noted->has_counts);
    atomic_store(&m->is_indexing, meta->index == STORE_INDEX_BUILDING);
    atomic_store(&m->initialized, machine_is_begun(meta));
}

int machine_load(struct machine *m)
{
    struct noted noted;

    int r = store_write_begin(m->store, &m->txn);
    if (r != 0) {
        m->txn = NULL;
        return r;
    }
    m->quotas_are_known = false;
    r = machine_note(m, &noted);
    if (r == 0) {
        cache_changing(m->cache, store_meta(m->txn)->revision);
        machine_show(m, store_meta(m->txn), &noted);
    }
    machine_abort(m);
    return r;
}

int machine_commit(struct machine *m)
{
    struct noted noted;

    if (m->txn == NULL) {
        return 0;
    }
    assert(m->going == NULL);
    int r = apply_types_write(m);
    if (r == 0) {
        r = machine_note(m, &noted);
    }
    if (r != 0) {
        machine_abort(m);
        return r;
    }
    struct store_meta meta = *store_meta(m->txn);
    drop_cached(m, meta.revision);
    uint64_t access_rev = atomic_exchange(&m->access_rev, meta.access_rev);
    r = store_write_commit(m->txn);
    if (r != 0) {
        atomic_store(&m->access_rev, access_rev);
    } else {
        machine_show(m, &meta, &noted);
        tell(m, meta.revision);
    }
    forget(m);
    return r;
}

void machine_abort(struct machine *m)
{
    if (m->txn != NULL) {
        store_write_abort(m->txn);
    }
    forget(m);
}
