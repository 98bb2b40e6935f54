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
    mem_free(m->touched);
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

struct machine_view machine_view(const struct machine *m)
{
    return (struct machine_view){
        .applied = atomic_load(&m->applied),
        .revision = atomic_load(&m->revision),
        .lease_epoch = atomic_load(&m->lease_epoch),
        .has_trash = atomic_load(&m->has_trash),
        .initialized = atomic_load(&m->initialized),
    };
}

static bool is_initialized(const struct store_meta *meta)
{
    static const uint8_t none[16];
    return memcmp(meta->cluster, none, sizeof none) != 0;
}

/* ---- what the files of this room use ---- */

uint64_t apply_revision(struct apply *a)
{
    uint64_t revision = ++a->meta->revision;

    if (a->res->first_rev == 0) {
        a->res->first_rev = revision;
    }
    a->res->revision = revision;
    a->res->changed = true;
    return revision;
}

void apply_touch(struct apply *a, uint64_t ns, struct str type)
{
    struct machine *m = a->m;

    if (m->n_touched > 0) {
        const struct touched *last = &m->touched[m->n_touched - 1];
        if (last->ns == ns && str_equal(last->type, type)) {
            return;
        }
    }
    if (m->n_touched == m->room_touched) {
        m->room_touched = m->room_touched * 2 + 64;
        m->touched = mem_grow(m->touched, m->room_touched * sizeof *m->touched);
    }
    m->touched[m->n_touched++] =
        (struct touched){ns, arena_str(m->txn_arena, type)};
}

void apply_visit(struct apply *a, uint64_t ns)
{
    if (a->m->spread_ns != ns) {
        a->m->spread_ns = ns;
        a->m->n_spread++;
    }
}

bool machine_is_spread(const struct machine *m)
{
    return m->n_spread >= MACHINE_SPREAD;
}

static int write_types(struct machine *m)
{
    for (size_t i = 0; i < m->n_types; i++) {
        int r = store_type_set_put_rev(m->txn, m->types[i].type,
                                       m->types[i].revision);
        if (r != 0) {
            return r;
        }
    }
    m->n_types = 0;
    return 0;
}

/* Kept aside until the commit: one write per type and transaction, not one per
 * row. */
int apply_type_touch(struct apply *a, struct str type)
{
    struct machine *m = a->m;
    size_t at = 0;

    while (at < m->n_types && !str_equal(m->types[at].type, type)) {
        at++;
    }
    if (at == TYPES_ASIDE) {
        int r = write_types(m);
        if (r != 0) {
            return r;
        }
        at = 0;
    }
    if (at == m->n_types) {
        m->types[at].type = arena_str(m->txn_arena, type);
        m->n_types++;
    }
    m->types[at].revision = a->meta->revision;
    return 0;
}

uint64_t apply_type_touched(const struct apply *a, struct str type)
{
    for (size_t i = 0; i < a->m->n_types; i++) {
        if (str_equal(a->m->types[i].type, type)) {
            return a->m->types[i].revision;
        }
    }
    return 0;
}

void apply_effect(struct apply *a, const struct effect *effect)
{
    struct machine *m = a->m;

    if (m->n_effects == m->room_effects) {
        m->room_effects = m->room_effects * 2 + 64;
        m->effects = mem_grow(m->effects, m->room_effects * sizeof *m->effects);
    }
    m->effects[m->n_effects] = *effect;
    m->effects[m->n_effects++].hostname =
        arena_str(m->txn_arena, effect->hostname);
}

int apply_path(struct apply *a, uint64_t ns, struct str *ret_path)
{
    struct machine *m = a->m;

    if (m->path_ns != ns) {
        buf_clear(&m->path);
        m->path_ns = 0;
        int r = store_path_of(a->txn, ns, &m->path);
        if (r < 0) {
            return r;
        }
        if (r == ERR_NOT_FOUND) {
            buf_clear(&m->path);
        }
        m->path_ns = ns;
    }
    *ret_path = buf_str(&m->path);
    return 0;
}

void apply_tree_changed(struct apply *a, bool paths)
{
    a->m->path_ns = 0;
    if (paths) {
        a->m->drop_all = true;
        a->m->drop_paths = true;
    }
}

int apply_ns(struct apply *a, uint64_t ns)
{
    struct store_node node;

    int r = store_node_get(a->txn, ns, &node);
    return r == ERR_NOT_FOUND ? ERR_RETRY : r;
}

static uint64_t rev_at(struct str revs, size_t i)
{
    uint64_t rev = 0;
    for (size_t b = 8; b-- > 0;) {
        rev = rev << 8 | (uint8_t)revs.p[i * 8 + b];
    }
    return rev;
}

int apply_cond(struct apply *a, uint8_t cond, struct str revs, bool exists,
               uint64_t current)
{
    bool holds = true;

    if ((cond & COND_NONE_ANY) != 0 && exists) {
        holds = false;
    }
    if ((cond & (COND_MATCH | COND_MATCH_ANY)) != 0 && !exists) {
        holds = false;
    }
    if ((cond & COND_MATCH) != 0 && exists) {
        bool one = false;
        for (size_t i = 0; i < revs.n / 8; i++) {
            one = one || rev_at(revs, i) == current;
        }
        holds = holds && one;
    }
    if (!holds) {
        a->res->revision = exists ? current : 0;
        return ERR_PRECONDITION;
    }
    return 0;
}

/* What a part may change outside the store, for when it is undone. The types
 * among it: those put aside before may have been written inside the part and be
 * undone with it; those of the part carry revisions there will be again. */
struct before_part {
    size_t n_effects;
    struct type_touched types[TYPES_ASIDE];
    size_t n_types;
};

static struct before_part before_part(const struct machine *m)
{
    struct before_part before = {.n_effects = m->n_effects,
                                 .n_types = m->n_types};

    memcpy(before.types, m->types, sizeof before.types);
    return before;
}

/* Only who or what stood in the way (id, ns, index) stays in the result, and
 * with PRECONDITION the revision that was found. */
static void undo_part(struct apply *a, const struct before_part *before, int r)
{
    struct machine_result *res = a->res;

    a->m->n_effects = before->n_effects;
    memcpy(a->m->types, before->types, sizeof before->types);
    a->m->n_types = before->n_types;
    a->m->path_ns = 0;
    res->changed = res->created = false;
    res->first_rev = res->n = 0;
    if (r != ERR_PRECONDITION) {
        res->revision = 0;
    }
    buf_clear(&res->row);
    buf_clear(&res->detail);
}

int apply_part(struct apply *a, apply_part_func *body, void *user)
{
    struct before_part before = before_part(a->m);
    int r = store_part_begin(a->txn);
    if (r != 0) {
        return r;
    }
    r = body(a, user);
    if (r == 0) {
        return store_part_commit(a->txn);
    }
    /* A fault ends the whole transaction; the part must be closed first. */
    store_part_abort(a->txn);
    undo_part(a, &before, r);
    return r;
}

/* ---- one command ---- */

static int dispatch(struct apply *a, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_INIT:
        return apply_init(a, &c->init);
    case COMMAND_EPOCH:
        return apply_epoch(a);
    case COMMAND_NS_CREATE:
        return apply_ns_create(a, &c->ns_create);
    case COMMAND_NS_CHANGE:
        return apply_ns_change(a, &c->ns_change);
    case COMMAND_NS_DELETE:
        return apply_ns_delete(a, &c->ns_delete);
    case COMMAND_RECLAIM:
        return apply_reclaim(a, &c->reclaim);
    case COMMAND_TYPE_PUT:
        return apply_type_put(a, &c->type_put);
    case COMMAND_ROW_PUT:
        return apply_row_put(a, &c->row_put);
    case COMMAND_ROW_DELETE:
        return apply_row_delete(a, &c->row_delete);
    case COMMAND_ROWS_ADD:
        return apply_rows_add(a, &c->rows_add);
    case COMMAND_LIST_PUT:
        return apply_list_put(a, &c->list_put);
    case COMMAND_ROW_MOVE:
        return apply_row_move(a, &c->row_move);
    case COMMAND_TXN:
        return apply_txn(a, &c->txn);
    case COMMAND_AGENT_PUT:
        return apply_agent_put(a, &c->agent_put);
    case COMMAND_AGENT_DEL:
        return apply_agent_del(a, &c->agent_del);
    case COMMAND_EXPIRE:
        return apply_expire(a, &c->expire);
    }
    return err_raise(ERR_CORRUPT);
}

static int decide(struct apply *a, const struct command *c)
{
    enum key_state state = KEY_NEW;

    if (c->kind != COMMAND_INIT && !is_initialized(a->meta)) {
        return ERR_NOT_READY;
    }
    if (c->has_key) {
        int r = key_look(a, c, &state);
        if (r != 0 || state == KEY_SEEN) {
            return r != 0 ? r : a->res->answer;
        }
        if (state != KEY_NEW) {
            return state == KEY_OTHER ? ERR_KEY_REUSED : ERR_KEYS_FULL;
        }
    }
    int answer = apply_stale(a, c);
    if (answer == 0) {
        answer = dispatch(a, c);
    }
    if (answer >= 0 && answer != ERR_RETRY && c->has_key) {
        int r = key_keep(a, c, answer);
        return r != 0 ? r : answer;
    }
    return answer;
}

static int apply_one(struct machine *m, struct str bytes,
                     struct machine_result *res)
{
    struct command command;
    struct apply a = {
        .m = m,
        .txn = m->txn,
        .meta = store_meta(m->txn),
        .arena = m->arena,
        .res = res,
        .cause = "api",
    };

    arena_reset(m->arena);
    if (command_decode(m->arena, bytes, &command) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    int answer = decide(&a, &command);
    if (answer < 0) {
        return answer;
    }
    res->answer = answer;
    return 0;
}

/* ---- packs and transactions ---- */

static void forget(struct machine *m)
{
    m->txn = NULL;
    m->n_effects = m->n_touched = m->n_types = m->n_spread = 0;
    m->spread_ns = 0;
    m->drop_all = m->drop_paths = false;
    m->path_ns = 0;
    arena_reset(m->txn_arena);
}

static int apply_pack(struct machine *m, struct str bytes,
                      struct machine_result *results)
{
    struct machine_result unseen = {0};
    struct command_pack pack;
    struct str command;
    int r;

    if (command_pack_open(bytes, &pack) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    struct store_meta *meta = store_meta(m->txn);
    if (pack.time_ms > meta->log_time_ms) {
        meta->log_time_ms = pack.time_ms;
    }
    r = store_key_expire(m->txn, meta->log_time_ms, 2 * COMMAND_PACK_MOST);
    for (size_t i = 0; r == 0; i++) {
        r = command_pack_next(&pack, &command);
        if (r != 0) {
            break;
        }
        struct machine_result *res = results == NULL ? &unseen : &results[i];
        r = apply_one(m, command, res);
        if (results == NULL) {
            machine_result_done(&unseen);
            unseen = (struct machine_result){0};
        }
    }
    if (r == ERR_INVALID) {
        return err_raise(ERR_CORRUPT);
    }
    return r == ERR_END ? 0 : r;
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

static void tell(struct machine *m)
{
    for (size_t i = 0; i < m->n_effects; i++) {
        const struct effect *e = &m->effects[i];
        if (e->put) {
            m->hooks.lease_put(m->hooks.user, e->hostname, e->id, e->ttl_ms);
        } else {
            m->hooks.lease_del(m->hooks.user, e->hostname, e->id);
        }
    }
}

static int note_trash(struct machine *m, bool *ret_has)
{
    uint64_t id;
    int r = store_trash_first(m->txn, &id);
    if (r < 0) {
        return r;
    }
    *ret_has = r == 0;
    return 0;
}

static void show(struct machine *m, const struct store_meta *meta,
                 bool has_trash)
{
    atomic_store(&m->applied, meta->applied);
    atomic_store(&m->revision, meta->revision);
    atomic_store(&m->lease_epoch, meta->lease_epoch);
    atomic_store(&m->has_trash, has_trash);
    atomic_store(&m->initialized, is_initialized(meta));
}

int machine_load(struct machine *m)
{
    bool has_trash = false;

    int r = store_write_begin(m->store, &m->txn);
    if (r != 0) {
        m->txn = NULL;
        return r;
    }
    r = note_trash(m, &has_trash);
    if (r == 0) {
        show(m, store_meta(m->txn), has_trash);
    }
    machine_abort(m);
    return r;
}

int machine_commit(struct machine *m)
{
    bool has_trash = false;

    if (m->txn == NULL) {
        return 0;
    }
    int r = write_types(m);
    if (r == 0) {
        r = note_trash(m, &has_trash);
    }
    if (r != 0) {
        machine_abort(m);
        return r;
    }
    struct store_meta meta = *store_meta(m->txn);
    drop_cached(m, meta.revision);
    r = store_write_commit(m->txn);
    if (r == 0) {
        show(m, &meta, has_trash);
        tell(m);
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
