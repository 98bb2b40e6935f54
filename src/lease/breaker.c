#include "lease/breaker.h"

#include <string.h>

#include "base/err.h"

/* Thousandths of a removal. */
enum { ONE = 1000 };

static struct lease_scope *next(const struct lease_breaker *breaker,
                                struct lease_scope *scope)
{
    return lease_scopes_next(breaker->scopes, scope);
}

/* ---- what follows from the states of the scopes ---- */

/* Whether a set is free that was held. */
static bool mark_sets(struct lease_breaker *breaker)
{
    struct lease_scopes *scopes = breaker->scopes;
    bool freed = false;

    for (size_t i = 0; i < scopes->n_sets; i++) {
        struct lease_set *set = &scopes->sets[i];
        bool held = lease_scopes_held(scopes, set);
        freed = freed || (!held && atomic_load(&set->held));
        atomic_store(&set->held, held);
    }
    return freed;
}

/* [BREAKER-4] */
static void give_ttl(struct lease_breaker *breaker,
                     const struct lease_scope *scope, uint64_t now)
{
    struct lease_scopes *scopes = breaker->scopes;

    for (size_t i = 0; i < scopes->n_sets; i++) {
        struct lease_set *set = &scopes->sets[i];
        bool in = scope == &scopes->whole;
        for (unsigned j = 0; j < set->n_scopes; j++) {
            in = in || set->scopes[j] == scope;
        }
        if (in) {
            set->floor = now;
        }
    }
}

/* ---- those who have gone ---- */

/* Together they are a fifth of a hold. */
static uint64_t slot_ms(const struct lease_breaker *breaker)
{
    uint64_t ms = breaker->config.hold_ms / (UINT64_C(5) * LEASE_GONE_SLOTS);

    return ms > 0 ? ms : 1;
}

static void forget_gone(struct lease_scope *scope, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to && at < from + LEASE_GONE_SLOTS; at++) {
        scope->gone[(at + 1) % LEASE_GONE_SLOTS] = 0;
    }
}

static void count_gone(struct lease_breaker *breaker, uint64_t now)
{
    uint64_t at = now / slot_ms(breaker);
    struct lease_scope *scope = NULL;

    while ((scope = next(breaker, scope)) != NULL) {
        forget_gone(scope, breaker->gone_at, at);
        for (size_t i = 0; i < LEASE_GONE_SLOTS; i++) {
            scope->counts.gone += scope->gone[i];
        }
    }
    breaker->gone_at = at;
}

void lease_breaker_gone(struct lease_breaker *breaker,
                        const struct lease_set *set)
{
    size_t at = breaker->gone_at % LEASE_GONE_SLOTS;

    breaker->scopes->whole.gone[at]++;
    for (unsigned i = 0; i < set->n_scopes; i++) {
        set->scopes[i]->gone[at]++;
    }
}

/* ---- deciding ---- */

static bool is_over(const struct lease_breaker_config *config,
                    const struct lease_counts *counts)
{
    uint64_t bad = counts->suspect + counts->gone;

    return bad >= config->min &&
           bad * 100 > config->percent * (counts->n + counts->gone);
}

static bool is_back(const struct lease_breaker_config *config,
                    const struct lease_counts *counts)
{
    return !is_over(config, counts) &&
           counts->heard * 100 >= (100 - config->percent) * counts->n;
}

/* Nobody is overdue, and so few are silent or were not heard in this term that
 * they will not trip it again by themselves. Who has a long TTL is seldom
 * heard, and must not keep a scope without a breaker for hours. */
static bool is_quiet(const struct lease_breaker_config *config,
                     const struct lease_counts *counts)
{
    uint64_t unheard =
        counts->n > counts->heard ? counts->n - counts->heard : 0;

    return counts->overdue == 0 && !is_over(config, counts) &&
           (unheard * 2 < config->min ||
            unheard * 200 <= config->percent * counts->n);
}

static void trip(struct lease_breaker *breaker, struct lease_scope *scope,
                 uint64_t now)
{
    scope->extended = false;
    scope->state = MACHINE_BREAKER_HELD;
    scope->ends_at = now + breaker->config.hold_ms;
    scope->since_ms = now + breaker->log_ahead;
    scope->until_ms = scope->ends_at + breaker->log_ahead;
    atomic_fetch_add(&breaker->trips, 1);
}

static void pace(struct lease_scope *scope)
{
    scope->state = MACHINE_BREAKER_PACING;
    scope->credit = 0;
}

static void end_early(struct lease_breaker *breaker, struct lease_scope *scope,
                      uint64_t now)
{
    give_ttl(breaker, scope, now);
    if (scope->counts.overdue > 0) {
        pace(scope);
    } else {
        scope->state = MACHINE_BREAKER_CLOSED;
    }
}

static void hold(struct lease_breaker *breaker, struct lease_scope *scope,
                 uint64_t now)
{
    if (now >= scope->ends_at) {
        pace(scope);
    } else if (!scope->extended && is_back(&breaker->config, &scope->counts)) {
        end_early(breaker, scope, now);
    }
}

/* What is saved up while nothing can be proposed is a quarter of a second. */
static void earn(const struct lease_breaker *breaker, struct lease_scope *scope,
                 uint64_t passed_ms)
{
    uint64_t most = breaker->config.rate * ONE / 4;

    most = most > ONE ? most : ONE;
    scope->credit += breaker->config.rate * passed_ms;
    if (scope->credit > most) {
        scope->credit = most;
    }
}

static void decide(struct lease_breaker *breaker, struct lease_scope *scope,
                   uint64_t now, bool may_trip)
{
    const struct lease_counts *counts = &scope->counts;

    if (breaker->config.percent == 0) {
        scope->state = MACHINE_BREAKER_CLOSED;
        return;
    }
    switch (scope->state) {
    case MACHINE_BREAKER_CLOSED:
        if (may_trip && is_over(&breaker->config, counts)) {
            trip(breaker, scope, now);
        }
        return;
    case MACHINE_BREAKER_HELD:
        hold(breaker, scope, now);
        return;
    case MACHINE_BREAKER_PACING:
        earn(breaker, scope, now - breaker->ticked_at);
        if (is_quiet(&breaker->config, counts)) {
            scope->state = MACHINE_BREAKER_CLOSED;
        }
        return;
    }
}

bool lease_breaker_tick(struct lease_breaker *breaker, uint64_t now,
                        bool may_trip)
{
    struct lease_scope *scope = NULL, *after = NULL;

    lease_scopes_sum(breaker->scopes);
    count_gone(breaker, now);
    for (scope = next(breaker, NULL); scope != NULL; scope = after) {
        after = next(breaker, scope);
        decide(breaker, scope, now, may_trip);
        lease_scopes_drop(breaker->scopes, scope);
    }
    breaker->ticked_at = now;
    return mark_sets(breaker);
}

/* ---- who pays ---- */

static bool can_pay(const struct lease_scope *scope)
{
    return scope->state != MACHINE_BREAKER_PACING || scope->credit >= ONE;
}

static void take(struct lease_scope *scope)
{
    if (scope->state == MACHINE_BREAKER_PACING) {
        scope->credit -= ONE;
    }
}

bool lease_breaker_pay(struct lease_breaker *breaker, struct lease_set *set)
{
    struct lease_scope *whole = &breaker->scopes->whole;
    bool can = can_pay(whole);

    for (unsigned i = 0; can && i < set->n_scopes; i++) {
        can = can_pay(set->scopes[i]);
    }
    if (can) {
        take(whole);
        for (unsigned i = 0; i < set->n_scopes; i++) {
            take(set->scopes[i]);
        }
    }
    return can;
}

/* ---- what the log says ---- */

static uint64_t left(const struct lease_scope *scope, uint64_t log_ms)
{
    uint64_t whole_ms = scope->until_ms - scope->since_ms;
    uint64_t ms = scope->until_ms > log_ms ? scope->until_ms - log_ms : 0;

    return ms < whole_ms ? ms : whole_ms;
}

void lease_breaker_begin(struct lease_breaker *breaker, uint64_t now,
                         uint64_t log_ms)
{
    struct lease_scope *scope = NULL;

    breaker->ticked_at = now;
    breaker->log_ahead = log_ms - now; /* may wrap, and does so back */
    lease_scopes_begin(breaker->scopes);
    while ((scope = next(breaker, scope)) != NULL) {
        scope->state = scope->told;
        scope->credit = 0;
        memset(scope->gone, 0, sizeof scope->gone);
        scope->ends_at = now + left(scope, log_ms);
    }
    (void)mark_sets(breaker);
}

void lease_breaker_clear(struct lease_breaker *breaker)
{
    struct lease_scope *scope = NULL, *after = NULL;

    for (scope = next(breaker, NULL); scope != NULL; scope = after) {
        after = next(breaker, scope);
        scope->state = scope->told = MACHINE_BREAKER_CLOSED;
        scope->extended = false;
        lease_scopes_drop(breaker->scopes, scope);
    }
    (void)mark_sets(breaker);
}

bool lease_breaker_adopt(struct lease_breaker *breaker,
                         const struct machine_breaker *told, bool serving,
                         uint64_t now)
{
    struct lease_scope *scope =
        lease_scopes_scope(breaker->scopes, told->scope);
    bool freed = false;

    scope->told = told->state;
    scope->told_until_ms = told->until_ms;
    scope->extended = told->extended;
    scope->since_ms = told->since_ms;
    scope->until_ms = told->until_ms;
    if (scope->state != told->state) {
        scope->credit = 0;
    }
    scope->state = told->state;
    if (serving) {
        scope->ends_at = now + told->left_ms;
        freed = mark_sets(breaker);
    }
    lease_scopes_drop(breaker->scopes, scope);
    return freed;
}

/* How the log gets from what it has to what is in force: step by step, when it
 * has missed some. */
static bool step(const struct lease_scope *scope, enum breaker_what *ret_what)
{
    if (scope->told == scope->state) {
        return false;
    }
    if (scope->told == MACHINE_BREAKER_CLOSED) {
        *ret_what = BREAKER_TRIP;
    } else if (scope->state == MACHINE_BREAKER_CLOSED) {
        *ret_what = BREAKER_CLOSE;
    } else if (scope->state == MACHINE_BREAKER_PACING) {
        *ret_what = BREAKER_END_HOLD;
    } else {
        *ret_what = BREAKER_EXTEND;
    }
    return true;
}

/* A hold begins for so long, or one ends that was to last until then: what an
 * operator has extended meanwhile is another one. */
static uint64_t hold_of(const struct lease_scope *scope, uint64_t now,
                        enum breaker_what what)
{
    if (what == BREAKER_END_HOLD || what == BREAKER_CLOSE) {
        return scope->told_until_ms;
    }
    return scope->ends_at > now ? scope->ends_at - now : 0;
}

int lease_breaker_change(struct lease_breaker *breaker, uint64_t now,
                         struct lease_breaker_change *ret_change)
{
    struct lease_scope *scope = NULL;

    while ((scope = next(breaker, scope)) != NULL) {
        enum breaker_what what = BREAKER_TRIP;
        if (!step(scope, &what)) {
            continue;
        }
        *ret_change = (struct lease_breaker_change){
            .scope = scope->id,
            .what = what,
            .hold_ms = hold_of(scope, now, what),
            .n = scope->counts.n,
            .bad = scope->counts.suspect,
        };
        return 0;
    }
    return ERR_END;
}
