#include "machine/apply.h"

#include "base/err.h"

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

int apply_types_write(struct machine *m)
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
        int r = apply_types_write(m);
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
    struct machine_lease lease = effect->lease;
    size_t bytes = lease.n_scopes * sizeof *lease.scopes;
    lease.hostname = arena_str(m->txn_arena, lease.hostname);
    if (bytes > 0) {
        lease.scopes = memcpy(arena_zero(m->txn_arena, bytes),
                              effect->lease.scopes, bytes);
    }
    struct machine_breaker breaker = effect->breaker;
    breaker.path = arena_str(m->txn_arena, breaker.path);
    struct machine_quota quota = effect->quota;
    quota.path = arena_str(m->txn_arena, quota.path);
    m->effects[m->n_effects++] = (struct effect){.kind = effect->kind,
                                                 .lease = lease,
                                                 .breaker = breaker,
                                                 .quota = quota};
}

void apply_event(struct apply *a, struct str event)
{
    struct machine *m = a->m;

    if (m->hooks.changed == NULL) {
        return;
    }
    if (m->n_events == m->room_events) {
        m->room_events = m->room_events * 2 + 64;
        m->events = mem_grow(m->events, m->room_events * sizeof *m->events);
    }
    m->events[m->n_events++] = arena_str(m->txn_arena, event);
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
    a->m->chain_ns = 0;
    a->m->found_ns = 0;
    if (paths) {
        a->m->drop_all = true;
        a->m->drop_paths = true;
    }
}

int apply_ns(struct apply *a, uint64_t ns)
{
    struct store_node node;

    if (a->m->found_ns == ns) {
        return 0;
    }
    int r = store_node_get(a->txn, ns, &node);
    if (r == 0) {
        a->m->found_ns = ns;
    }
    return r == ERR_NOT_FOUND ? ERR_RETRY : r;
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
            one = one || le_get(revs.p + i * 8, 8) == current;
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
    size_t n_effects, n_events;
    struct type_touched types[TYPES_ASIDE];
    size_t n_types;
};

static struct before_part before_part(const struct machine *m)
{
    struct before_part before = {.n_effects = m->n_effects,
                                 .n_events = m->n_events,
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
    a->m->n_events = before->n_events;
    memcpy(a->m->types, before->types, sizeof before->types);
    a->m->n_types = before->n_types;
    a->m->path_ns = 0;
    a->m->found_ns = 0;
    a->quotas = NULL;
    if (a->m->quotas_moved) {
        a->m->quotas_are_known = false;
    }
    a->m->chain_ns = 0;
    res->changed = res->created = false;
    res->first_rev = res->n = 0;
    if (r != ERR_PRECONDITION) {
        res->revision = 0;
    }
    buf_clear(&res->row);
    buf_clear(&res->detail);
}

bool apply_pauses(struct apply *a)
{
    return a->m->slice != 0 && --a->m->left == 0;
}

static struct before_part *part_hold(struct apply *a,
                                     const struct before_part *before)
{
    return memcpy(arena_alloc(a->arena, sizeof *before), before,
                  sizeof *before);
}

int apply_part(struct apply *a, apply_part_func *body, void *user)
{
    bool begins = a->part == NULL;
    struct before_part before = begins ? before_part(a->m) : *a->part;
    int r = begins ? store_part_begin(a->txn) : 0;
    if (r != 0) {
        return r;
    }
    a->in_part = true;
    r = body(a, user);
    a->in_part = false;
    if (r == ERR_BUSY) {
        a->part = begins ? part_hold(a, &before) : a->part;
        return r;
    }
    a->part = NULL;
    if (r == 0 && a->limited && a->quotas != NULL) {
        r = quota_check(a);
    }
    if (r == 0) {
        return store_part_commit(a->txn);
    }
    /* A fault ends the whole transaction; the part must be closed first. */
    store_part_abort(a->txn);
    undo_part(a, &before, r);
    if (r == ERR_QUOTA) {
        quota_refused(a);
    }
    return r;
}
