#include "lease/scope.h"

#include <assert.h>
#include <string.h>

/* Out of memory ends the process in mem.h already. */
static struct lease_set *find_set(const struct lease_scopes *scopes,
                                  const uint64_t *ids, size_t n)
{
    struct lease_set *set = NULL;

    HASH_FIND(hh, scopes->by_ids, ids, n * sizeof *ids, set);
    return set;
}

void lease_scopes_init(struct lease_scopes *scopes)
{
    *scopes = (struct lease_scopes){.n_sets = 1};
    (void)pthread_mutex_init(&scopes->lock, NULL);
    scopes->sets = mem_zero(LEASE_SETS_MOST * sizeof *scopes->sets);
    scopes->free = mem_zero(LEASE_SETS_MOST * sizeof *scopes->free);
}

static void free_set(struct lease_scopes *scopes, struct lease_set *set)
{
    HASH_DEL(scopes->by_ids, set);
    for (unsigned i = 0; i < set->n_scopes; i++) {
        set->scopes[i]->n_sets--;
        lease_scopes_drop(scopes, set->scopes[i]);
    }
    set->scopes = mem_free(set->scopes);
    set->ids = mem_free(set->ids);
    set->n_scopes = 0;
    if (scopes->last == set) {
        scopes->last = NULL;
    }
    scopes->free[scopes->n_free++] = set->number;
}

void lease_scopes_done(struct lease_scopes *scopes)
{
    struct lease_set *set = NULL, *next_set = NULL;
    struct lease_scope *scope = NULL, *next_scope = NULL;

    HASH_ITER(hh, scopes->by_ids, set, next_set)
    {
        free_set(scopes, set);
    }
    HASH_ITER(hh, scopes->scopes, scope, next_scope)
    {
        HASH_DEL(scopes->scopes, scope);
        (void)mem_free(scope);
    }
    scopes->sets = mem_free(scopes->sets);
    scopes->free = mem_free(scopes->free);
    (void)pthread_mutex_destroy(&scopes->lock);
}

/* ---- scopes ---- */

struct lease_scope *lease_scopes_scope(struct lease_scopes *scopes, uint64_t id)
{
    struct lease_scope *scope = NULL;

    if (id == 0) {
        return &scopes->whole;
    }
    HASH_FIND(hh, scopes->scopes, &id, sizeof id, scope);
    if (scope != NULL) {
        return scope;
    }
    scope = mem_zero(sizeof *scope);
    scope->id = id;
    HASH_ADD(hh, scopes->scopes, id, sizeof scope->id, scope);
    return scope;
}

void lease_scopes_drop(struct lease_scopes *scopes, struct lease_scope *scope)
{
    if (scope == &scopes->whole || scope->n_sets > 0 ||
        scope->state != MACHINE_BREAKER_CLOSED ||
        scope->told != MACHINE_BREAKER_CLOSED) {
        return;
    }
    assert(scopes->scopes != NULL && scope->hh.tbl != NULL);
    HASH_DEL(scopes->scopes, scope);
    (void)mem_free(scope);
}

struct lease_scope *lease_scopes_next(struct lease_scopes *scopes,
                                      struct lease_scope *scope)
{
    assert(scopes != NULL);
    if (scope == NULL) {
        return &scopes->whole;
    }
    return scope == &scopes->whole ? scopes->scopes : scope->hh.next;
}

/* ---- sets ---- */

/* A place nobody uses; NULL when all are used. */
static struct lease_set *take_place(struct lease_scopes *scopes)
{
    size_t number = 0;

    if (scopes->n_free > 0) {
        number = scopes->free[--scopes->n_free];
    } else if (scopes->n_sets < LEASE_SETS_MOST) {
        number = scopes->n_sets++;
    } else {
        return NULL;
    }
    struct lease_set *set = &scopes->sets[number];
    *set = (struct lease_set){.number = (uint16_t)number};
    return set;
}

static bool is_held(const struct lease_scope *scope)
{
    return scope->state == MACHINE_BREAKER_HELD ||
           scope->told == MACHINE_BREAKER_HELD;
}

bool lease_scopes_held(const struct lease_scopes *scopes,
                       const struct lease_set *set)
{
    bool held = is_held(&scopes->whole);

    for (unsigned i = 0; i < set->n_scopes; i++) {
        held = held || is_held(set->scopes[i]);
    }
    return held;
}

static struct lease_set *make_set(struct lease_scopes *scopes,
                                  const uint64_t *ids, size_t n)
{
    struct lease_set *set = take_place(scopes);

    if (set == NULL) {
        return &scopes->sets[0];
    }
    set->n_scopes = (unsigned)n;
    set->ids = mem_dup(ids, n * sizeof *ids);
    set->scopes = mem_zero(n * sizeof(struct lease_scope *));
    for (size_t i = 0; i < n; i++) {
        set->scopes[i] = lease_scopes_scope(scopes, ids[i]);
        set->scopes[i]->n_sets++;
    }
    atomic_store(&set->held, lease_scopes_held(scopes, set));
    HASH_ADD_KEYPTR(hh, scopes->by_ids, set->ids, n * sizeof *ids, set);
    return set;
}

struct lease_set *lease_scopes_set(struct lease_scopes *scopes,
                                   const uint64_t *ids, size_t n)
{
    struct lease_set *last = scopes->last;

    if (n == 0 || n > LEASE_SET_SCOPES_MOST) {
        return &scopes->sets[0];
    }
    if (last != NULL && last->n_scopes == n &&
        memcmp(last->ids, ids, n * sizeof *ids) == 0) {
        return last;
    }
    struct lease_set *set = find_set(scopes, ids, n);
    if (set == NULL) {
        set = make_set(scopes, ids, n);
    }
    scopes->last = set->n_scopes > 0 ? set : NULL;
    return set;
}

void lease_scopes_join(struct lease_set *set)
{
    set->members++;
}

void lease_scopes_leave(struct lease_scopes *scopes, struct lease_set *set)
{
    assert(set->members > 0);
    if (--set->members == 0 && set->number != 0) {
        free_set(scopes, set);
    }
}

/* ---- counts ---- */

void lease_scopes_begin(struct lease_scopes *scopes)
{
    for (size_t i = 0; i < scopes->n_sets; i++) {
        struct lease_set *set = &scopes->sets[i];
        atomic_store(&set->suspect, 0);
        atomic_store(&set->overdue, 0);
        atomic_store(&set->heard, 0);
    }
}

/* Others count meanwhile: a sum may be short by who is between two marks. */
static uint64_t count(_Atomic int64_t *number)
{
    int64_t n = atomic_load_explicit(number, memory_order_relaxed);

    return n > 0 ? (uint64_t)n : 0;
}

static void add(struct lease_counts *sum, const struct lease_counts *more)
{
    sum->n += more->n;
    sum->suspect += more->suspect;
    sum->overdue += more->overdue;
    sum->heard += more->heard;
}

void lease_scopes_sum(struct lease_scopes *scopes)
{
    assert(scopes != NULL);
    struct lease_scope *scope = &scopes->whole;

    for (; scope != NULL; scope = lease_scopes_next(scopes, scope)) {
        scope->counts = (struct lease_counts){0};
    }
    for (size_t i = 0; i < scopes->n_sets; i++) {
        struct lease_set *set = &scopes->sets[i];
        if (set->members == 0) {
            continue;
        }
        const struct lease_counts counts = {.n = count(&set->n),
                                            .suspect = count(&set->suspect),
                                            .overdue = count(&set->overdue),
                                            .heard = count(&set->heard)};
        add(&scopes->whole.counts, &counts);
        for (unsigned j = 0; j < set->n_scopes; j++) {
            add(&set->scopes[j]->counts, &counts);
        }
    }
}

uint64_t lease_scopes_stopped(struct lease_scopes *scopes)
{
    uint64_t n = 0;

    for (size_t i = 0; i < scopes->n_sets; i++) {
        struct lease_set *set = &scopes->sets[i];
        n += atomic_load(&set->held) ? count(&set->suspect) : 0;
    }
    return n;
}
