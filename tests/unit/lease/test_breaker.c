/* Fleets whose agents go silent together, in virtual time. What the table
 * proposes is applied at once; what it has for the log goes into one that is
 * kept here, and comes back as the machine would tell it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "lease/breaker.h"
#include "lease/lease.h"

enum {
    MOST = 1300,
    START = 1000000,
    LOG = 70000000, /* the log's time at START */
    SHOP = 11,
    BANK = 12,
    SLOW = 2,
};
#define HOLD UINT64_C(60000)
#define RATE UINT64_C(20)

struct agent {
    char name[16];
    uint64_t ttl_ms, next_ms, heard_ms, gone_ms;
    uint64_t scope;
    bool cut, there, spared;
};

struct fleet {
    struct lease_table *table;
    struct agent agents[MOST];
    size_t n;
    uint64_t now;
    size_t gone; /* removed, since it was last asked */
    size_t most; /* removed in one second, since then */
    size_t recent[10];
    struct machine_breaker log[3]; /* the whole, SHOP, BANK */
    bool deaf;                     /* the log takes nothing */
    size_t told;
};

static uint64_t log_ms(const struct fleet *f)
{
    return LOG + f->now - START;
}

static void put(struct fleet *f, struct agent *agent, bool registered)
{
    const struct machine_lease lease = {
        .hostname = str_of(agent->name),
        .id = {.b = {[15] = 1}},
        .ttl_ms = agent->ttl_ms,
        .registered = registered,
        .spared = agent->spared,
        .scopes = &agent->scope,
        .n_scopes = agent->scope != 0,
    };
    lease_table_put(f->table, &lease, f->now);
}

static void enrol(struct fleet *f, size_t n, uint64_t scope, uint64_t ttl_ms)
{
    for (size_t i = 0; i < n; i++) {
        struct agent *agent = &f->agents[f->n];
        (void)snprintf(agent->name, sizeof agent->name, "h%zu", f->n);
        agent->ttl_ms = ttl_ms;
        agent->scope = scope;
        agent->there = true;
        /* Everywhere between two heartbeats. */
        agent->next_ms = f->now + 1 + f->n * 7919 % (ttl_ms / 3);
        agent->heard_ms = f->now;
        put(f, agent, true);
        f->n++;
    }
}

static struct fleet *fleet_at_rate(uint64_t percent, uint64_t rate)
{
    struct fleet *f = mem_zero(sizeof *f);

    f->now = START;
    f->table = lease_table_new();
    f->log[1].scope = SHOP;
    f->log[2].scope = BANK;
    lease_table_configure(
        f->table, &(struct lease_breaker_config){percent, 10, HOLD, rate});
    lease_table_serve(f->table, f->now, LOG);
    return f;
}

static struct fleet *fleet_new(uint64_t percent)
{
    return fleet_at_rate(percent, RATE);
}

static void fleet_free(struct fleet *f)
{
    f->table = lease_table_free(f->table);
    (void)mem_free(f);
}

static void due(struct str hostname, struct ulid id, void *user)
{
    struct fleet *f = user;
    char name[16] = "";

    memcpy(name, hostname.p, hostname.n);
    struct agent *agent = &f->agents[strtoul(name + 1, NULL, 10)];

    if (!lease_still_due(f->table, hostname, id)) {
        fail_msg("%s is due and is not", agent->name);
    }
    lease_table_del(f->table, str_of(agent->name), id);
    assert_true(agent->there);
    assert_true(f->now >= agent->heard_ms + agent->ttl_ms);
    agent->there = false;
    agent->gone_ms = f->now;
    f->gone++;
    f->recent[f->now / 100 % 10]++;
}

static void tell(struct fleet *f, struct machine_breaker *told)
{
    told->left_ms =
        told->state == MACHINE_BREAKER_HELD ? told->until_ms - log_ms(f) : 0;
    lease_table_breaker(f->table, told, f->now);
}

static struct machine_breaker *log_of(struct fleet *f, uint64_t scope)
{
    return &f->log[scope == SHOP ? 1 : scope == BANK ? 2 : 0];
}

/* As the machine does it. */
static void apply(struct fleet *f, const struct lease_breaker_change *change)
{
    struct machine_breaker *told = log_of(f, change->scope);

    switch (change->what) {
    case BREAKER_TRIP:
    case BREAKER_EXTEND:
        told->since_ms =
            told->state == MACHINE_BREAKER_HELD ? told->since_ms : log_ms(f);
        told->state = MACHINE_BREAKER_HELD;
        told->extended = change->what == BREAKER_EXTEND;
        told->until_ms = log_ms(f) + change->hold_ms;
        break;
    case BREAKER_RELEASE:
    case BREAKER_END_HOLD:
        told->state = MACHINE_BREAKER_PACING;
        told->extended = false;
        break;
    case BREAKER_CLOSE:
        told->extended = false;
        told->state = MACHINE_BREAKER_CLOSED;
        break;
    }
    f->told++;
    tell(f, told);
}

static void log_all(struct fleet *f)
{
    struct lease_breaker_change change;

    while (!f->deaf && lease_table_change(f->table, &change) == 0) {
        apply(f, &change);
    }
}

static void beat(struct fleet *f, struct agent *agent)
{
    if (lease_heartbeat(f->table, str_of(agent->name), f->now) == 0) {
        agent->heard_ms = f->now;
        agent->next_ms = f->now + agent->ttl_ms / 3;
    } else {
        agent->next_ms = f->now + 500;
    }
}

static void step(struct fleet *f)
{
    size_t second = 0;

    f->now += 100;
    f->recent[f->now / 100 % 10] = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct agent *agent = &f->agents[i];
        if (agent->there && !agent->cut && agent->next_ms <= f->now) {
            beat(f, agent);
        }
    }
    (void)lease_tick(f->table, f->now, 500, due, f);
    log_all(f);
    for (size_t i = 0; i < 10; i++) {
        second += f->recent[i];
    }
    f->most = second > f->most ? second : f->most;
}

/* How many were removed meanwhile. */
static size_t run(struct fleet *f, uint64_t ms)
{
    f->gone = f->most = 0;
    for (uint64_t end = f->now + ms; f->now < end;) {
        step(f);
    }
    return f->gone;
}

static void cut(struct fleet *f, size_t from, size_t n, bool is)
{
    for (size_t i = from; i < from + n; i++) {
        f->agents[i].cut = is;
        f->agents[i].next_ms = f->now + 1 + i * 7919 % 1000;
    }
}

static struct lease_scope_info scope(struct fleet *f, uint64_t id)
{
    struct lease_scope_info info = {.n = UINT64_MAX};
    struct buf all = {0};

    lease_table_scopes(f->table, &all);
    for (size_t at = 0; at < all.n; at += sizeof info) {
        memcpy(&info, all.p + at, sizeof info);
        if (info.scope == id) {
            break;
        }
    }
    buf_done(&all);
    assert_int_equal(info.scope, id);
    return info;
}

static enum lease_state state_of(struct fleet *f, size_t i)
{
    struct lease_info info = {0};

    assert_int_equal(
        lease_get(f->table, str_of(f->agents[i].name), f->now, &info), 0);
    return info.state;
}

static void lead_anew(struct fleet *f)
{
    lease_table_halt(f->table);
    f->now += 1500;
    for (size_t i = 0; i < 3; i++) {
        tell(f, &f->log[i]); /* as a follower, or a start, hears of it */
    }
    lease_table_serve(f->table, f->now, log_ms(f));
}

/* ---- the tests ---- */

static void nobody_goes_while_many_are_silent_then_at_a_rate(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 30000);
    assert_int_equal(run(f, 40000), 0);
    cut(f, 0, 995, true);
    assert_int_equal(run(f, 28000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    assert_int_equal(scope(f, SHOP).n, 1000);
    assert_int_equal(run(f, 20000), 0);
    assert_int_equal(state_of(f, 3), LEASE_HELD);
    assert_int_equal(state_of(f, 999), LEASE_ALIVE);
    assert_int_equal(lease_stats(f->table, f->now).stopped, 995);
    /* It began when more than 150 were suspect, some 25 s after the cut. */
    size_t early = run(f, 25000);
    assert_true(early < 300);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_PACING);
    assert_int_equal(early + run(f, 60000), 995);
    assert_true(f->most <= RATE + 5);
    assert_true(f->most >= RATE - 5);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(scope(f, 0).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(f->told, 6); /* trip, end of hold, close: of both scopes */
    fleet_free(f);
}

/* Less than one in a tick, or in what may be saved up. */
static void a_slow_rate_is_kept(void **state)
{
    struct fleet *f = fleet_at_rate(15, SLOW);

    (void)state;
    enrol(f, 100, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 100, true);
    (void)run(f, 10000 + HOLD);
    assert_int_equal(run(f, 20000), 20 * SLOW);
    assert_int_equal(f->most, SLOW);
    fleet_free(f);
}

static void few_that_die_alone_go_in_time(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 500, 5, true);
    assert_int_equal(run(f, 10100), 5);
    for (size_t i = 500; i < 505; i++) {
        struct agent *agent = &f->agents[i];
        assert_true(agent->gone_ms <= agent->heard_ms + agent->ttl_ms + 1000);
    }
    assert_int_equal(f->told, 0);
    fleet_free(f);
}

/* Nine of ten are many, but too few to tell an outage from a few deaths. */
static void a_small_scope_has_no_breaker(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 10, SHOP, 9000);
    enrol(f, 200, BANK, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 9, true);
    assert_int_equal(run(f, 10100), 9);
    fleet_free(f);
}

static void other_scopes_go_on_while_one_is_held(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 100, SHOP, 9000);
    enrol(f, 1000, BANK, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 80, true);
    cut(f, 100, 5, true);
    assert_int_equal(run(f, 11000), 5);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    assert_int_equal(scope(f, BANK).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(scope(f, 0).state, MACHINE_BREAKER_CLOSED);
    for (size_t i = 100; i < 105; i++) {
        assert_false(f->agents[i].there);
    }
    fleet_free(f);
}

static void whoever_comes_back_was_never_gone(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 1000, true);
    assert_int_equal(run(f, 30000), 0);
    /* Over some seconds: the hold ends when most are back, and the others,
     * who are about to come, have a TTL from then. */
    for (size_t i = 0; i < 1000; i += 100) {
        cut(f, i, 100, false);
        assert_int_equal(run(f, 800), 0);
    }
    assert_int_equal(run(f, 60000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    fleet_free(f);
}

static void who_is_still_away_when_a_hold_ends_early_has_a_ttl(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 1000, true);
    assert_int_equal(run(f, 30000), 0);
    cut(f, 100, 900, false);
    assert_int_equal(run(f, 8000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_PACING);
    assert_int_equal(run(f, 20000), 100);
    assert_true(f->most <= RATE + 5);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    fleet_free(f);
}

static void a_new_leader_holds_on(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 900, true);
    assert_int_equal(run(f, 20000), 0);
    uint64_t until_ms = scope(f, SHOP).until_ms;
    for (int i = 0; i < 4; i++) {
        lead_anew(f);
        assert_int_equal(run(f, 4000), 0);
        assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
        assert_int_equal(scope(f, SHOP).until_ms, until_ms);
    }
    assert_int_equal(run(f, until_ms - log_ms(f) - 100), 0);
    assert_true(run(f, 2000) > 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_PACING);
    fleet_free(f);
}

/* All have a full TTL then, and the rate stays. */
static void a_new_leader_paces_on(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 900, true);
    assert_int_equal(run(f, 8000), 0);
    assert_true(run(f, HOLD + 5000) < 200);
    lead_anew(f);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_PACING);
    assert_int_equal(run(f, 8800), 0);
    assert_true(run(f, 20000) >= 300);
    assert_true(f->most <= RATE + 5);
    fleet_free(f);
}

/* A trip that did not come into the log is the old leader's alone; the new one
 * sees the same silence and trips again. */
static void a_trip_the_log_has_not_is_made_again(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    f->deaf = true;
    cut(f, 0, 900, true);
    assert_int_equal(run(f, 12000), 0);
    f->deaf = false;
    lead_anew(f);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(run(f, 20000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    fleet_free(f);
}

static void an_operator_releases_and_extends(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 500, true);
    assert_int_equal(run(f, 20000), 0);
    apply(f, &(struct lease_breaker_change){
                 .scope = SHOP, .what = BREAKER_EXTEND, .hold_ms = 3 * HOLD});
    apply(f, &(struct lease_breaker_change){
                 .scope = 0, .what = BREAKER_EXTEND, .hold_ms = 3 * HOLD});
    assert_int_equal(run(f, 2 * HOLD), 0);
    /* One of the two is not enough: they lie in both. */
    apply(f, &(struct lease_breaker_change){.scope = SHOP,
                                            .what = BREAKER_RELEASE});
    assert_int_equal(run(f, 5000), 0);
    apply(f,
          &(struct lease_breaker_change){.scope = 0, .what = BREAKER_RELEASE});
    size_t n = run(f, 5000);
    assert_true(n >= 4 * RATE && n <= 6 * RATE);
    /* And held again, while it is being paced. */
    apply(f, &(struct lease_breaker_change){
                 .scope = SHOP, .what = BREAKER_EXTEND, .hold_ms = HOLD});
    assert_int_equal(run(f, HOLD - 200), 0);
    assert_int_equal(n + run(f, 30000), 500);
    fleet_free(f);
}

/* Also of those who are silent but not overdue yet. */
static void what_is_released_stays_released(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 30000);
    assert_int_equal(run(f, 60000), 0);
    cut(f, 0, 500, true);
    assert_int_equal(run(f, 23000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    for (uint64_t id = 0; id <= SHOP; id += SHOP) {
        apply(f, &(struct lease_breaker_change){.scope = id,
                                                .what = BREAKER_RELEASE});
    }
    size_t n = run(f, 20000);
    assert_true(n > 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_PACING);
    assert_int_equal(scope(f, 0).state, MACHINE_BREAKER_PACING);
    assert_int_equal(n + run(f, 30000), 500);
    assert_int_equal(lease_table_trips(f->table), 2); /* whole and SHOP */
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    fleet_free(f);
}

/* Though most are back, and though few are away. */
static void what_an_operator_extends_lasts(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 200, true);
    assert_int_equal(run(f, 10000), 0);
    apply(f, &(struct lease_breaker_change){
                 .scope = SHOP, .what = BREAKER_EXTEND, .hold_ms = 2 * HOLD});
    cut(f, 0, 100, false);
    assert_int_equal(run(f, HOLD), 0);
    lead_anew(f);
    assert_int_equal(run(f, HOLD - 2000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    assert_int_equal(run(f, 20000), 100);
    fleet_free(f);
}

/* A few who are heard every eight hours keep nobody from being held again. */
static void who_is_seldom_heard_does_not_keep_it_pacing(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 50, SHOP, LEASE_TTL_MOST_MS);
    enrol(f, 950, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 50, 300, true);
    assert_int_equal(run(f, 8000), 0);
    lead_anew(f);
    assert_int_equal(run(f, HOLD + 30000), 300);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    cut(f, 350, 400, true);
    assert_int_equal(run(f, 20000), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    fleet_free(f);
}

/* Few of them are silent at a time: the others are gone, or not late yet. */
static void many_of_all_ttls_are_held_before_they_are_gone(void **state)
{
    struct fleet *f = fleet_new(15);
    double ttl_ms = LEASE_TTL_LEAST_MS;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        enrol(f, 1, SHOP, (uint64_t)ttl_ms);
        ttl_ms *= 1.0106; /* the last: 21 h */
    }
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 1000, true);
    assert_in_range(run(f, HOLD), 0, 150);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_HELD);
    cut(f, 0, 1000, false);
    assert_int_equal(run(f, HOLD), 0);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    fleet_free(f);
}

static void pacing_does_not_trip_again(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 500, true);
    assert_int_equal(run(f, 8000), 0);
    (void)run(f, HOLD);
    cut(f, 500, 400, true);
    assert_true(run(f, 60000) > 0);
    assert_int_equal(lease_table_trips(f->table), 2); /* whole and SHOP */
    fleet_free(f);
}

/* At the edge: as many as are allowed, and one more. */
static void more_than_the_percentage_trips(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 150, true);
    assert_int_equal(run(f, 12000), 150);
    assert_int_equal(lease_table_trips(f->table), 0);
    fleet_free(f);

    f = fleet_new(15);
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 151, true);
    assert_int_equal(run(f, 12000), 0);
    assert_int_equal(lease_table_trips(f->table), 2);
    fleet_free(f);
}

static void without_a_percentage_there_is_no_breaker(void **state)
{
    struct fleet *f = fleet_new(0);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 900, true);
    assert_int_equal(run(f, 12000), 900);
    fleet_free(f);
}

static void set_spared(struct fleet *f, size_t from, size_t n, bool is)
{
    for (size_t i = from; i < from + n; i++) {
        f->agents[i].spared = is;
        put(f, &f->agents[i], false);
    }
}

static void the_spared_stay_and_count_for_nothing(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    set_spared(f, 0, 900, true);
    cut(f, 0, 900, true);
    assert_int_equal(run(f, 100000), 0);
    assert_int_equal(lease_table_trips(f->table), 0);
    assert_int_equal(scope(f, SHOP).n, 100);
    assert_int_equal(state_of(f, 0), LEASE_SUSPECT);
    /* Five of them alone: a full TTL from then. */
    set_spared(f, 0, 5, false);
    for (size_t i = 0; i < 5; i++) {
        f->agents[i].heard_ms = f->now;
    }
    assert_int_equal(run(f, 8900), 0);
    assert_int_equal(run(f, 300), 5);
    fleet_free(f);
}

static size_t ignored;

static void ignore(struct str hostname, struct ulid id, void *user)
{
    (void)hostname;
    (void)id;
    (void)user;
    ignored++;
}

static void one_that_is_ending_is_spared_too(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1, SHOP, 9000);
    f->agents[0].cut = true;
    assert_int_equal(run(f, 8900), 0);
    ignored = 0;
    f->now += 100;
    assert_int_equal(lease_tick(f->table, f->now, 10, ignore, NULL), 1);
    set_spared(f, 0, 1, true);
    assert_false(lease_still_due(f->table, str_of(f->agents[0].name),
                                 (struct ulid){.b = {[15] = 1}}));
    assert_int_equal(run(f, 100000), 0);
    fleet_free(f);
}

/* [LEASE-5] Few are collected, then many fall silent before that is ordered. */
static void who_was_collected_before_a_trip_is_taken_out_again(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 100, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    f->agents[7].cut = true;
    while (f->now < f->agents[7].heard_ms + 8900) {
        step(f);
    }
    ignored = 0;
    f->now += 100;
    (void)lease_tick(f->table, f->now, 10, ignore, NULL);
    assert_int_equal(ignored, 1);
    assert_int_equal(
        lease_heartbeat(f->table, str_of(f->agents[7].name), f->now), ERR_BUSY);
    f->log[1].state = MACHINE_BREAKER_HELD;
    f->log[1].since_ms = log_ms(f);
    f->log[1].until_ms = log_ms(f) + HOLD;
    tell(f, &f->log[1]);
    assert_false(lease_still_due(f->table, str_of(f->agents[7].name),
                                 (struct ulid){.b = {[15] = 1}}));
    assert_int_equal(state_of(f, 7), LEASE_HELD);
    fleet_free(f);
}

/* A leader that stood still has heard nobody: that is its own fault. */
static void a_leader_that_stood_still_does_not_trip(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 1000, SHOP, 9000);
    assert_int_equal(run(f, 20000), 0);
    for (int i = 0; i < 10; i++) {
        f->now += 30000;
        (void)lease_tick(f->table, f->now, 500, due, f);
        assert_int_equal(run(f, 6000), 0);
    }
    assert_int_equal(lease_table_trips(f->table), 0);
    fleet_free(f);
}

static void a_lease_that_moves_counts_where_it_is(void **state)
{
    struct fleet *f = fleet_new(15);

    (void)state;
    enrol(f, 200, SHOP, 9000);
    enrol(f, 200, BANK, 9000);
    assert_int_equal(run(f, 20000), 0);
    cut(f, 0, 100, true);
    assert_int_equal(run(f, 15000), 0);
    assert_int_equal(scope(f, SHOP).suspect, 100);
    for (size_t i = 0; i < 100; i++) {
        f->agents[i].scope = BANK;
        put(f, &f->agents[i], false);
    }
    assert_int_equal(run(f, 2000), 0);
    assert_int_equal(scope(f, SHOP).n, 100);
    assert_int_equal(scope(f, SHOP).state, MACHINE_BREAKER_CLOSED);
    assert_int_equal(scope(f, BANK).n, 300);
    assert_int_equal(scope(f, BANK).suspect, 100);
    assert_int_equal(scope(f, BANK).state, MACHINE_BREAKER_HELD);
    fleet_free(f);
}

/* Sets of scopes come and go for years; their places are used again. */
static void places_of_sets_are_used_again(void **state)
{
    struct lease_table *table = lease_table_new();
    const struct ulid id = {.b = {[15] = 1}};
    uint64_t now = START;

    (void)state;
    lease_table_configure(table,
                          &(struct lease_breaker_config){15, 10, HOLD, RATE});
    lease_table_serve(table, START, LOG);
    for (uint64_t i = 0; i < UINT64_C(3) * LEASE_SETS_MOST; i++) {
        uint64_t scopes[] = {i + 3, i + 4};
        struct machine_lease lease = {.hostname = STR("h0"),
                                      .id = id,
                                      .ttl_ms = 2000,
                                      .registered = i % 100 == 0,
                                      .scopes = scopes,
                                      .n_scopes = 2};
        lease_table_put(table, &lease, now);
        if (i % 100 == 0) {
            now += 100;
            (void)lease_tick(table, now, 10, ignore, NULL);
        }
    }
    ignored = 0;
    for (int i = 0; i < 25; i++) {
        now += 100;
        (void)lease_tick(table, now, 10, ignore, NULL);
    }
    assert_int_equal(ignored, 1);
    lease_table_del(table, STR("h0"), id);
    struct buf scopes = {0};
    lease_table_scopes(table, &scopes);
    assert_int_equal(scopes.n, sizeof(struct lease_scope_info));
    buf_done(&scopes);
    (void)lease_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_goes_while_many_are_silent_then_at_a_rate),
        cmocka_unit_test(a_slow_rate_is_kept),
        cmocka_unit_test(few_that_die_alone_go_in_time),
        cmocka_unit_test(a_small_scope_has_no_breaker),
        cmocka_unit_test(other_scopes_go_on_while_one_is_held),
        cmocka_unit_test(whoever_comes_back_was_never_gone),
        cmocka_unit_test(who_is_still_away_when_a_hold_ends_early_has_a_ttl),
        cmocka_unit_test(a_new_leader_holds_on),
        cmocka_unit_test(a_new_leader_paces_on),
        cmocka_unit_test(a_trip_the_log_has_not_is_made_again),
        cmocka_unit_test(an_operator_releases_and_extends),
        cmocka_unit_test(what_is_released_stays_released),
        cmocka_unit_test(what_an_operator_extends_lasts),
        cmocka_unit_test(who_is_seldom_heard_does_not_keep_it_pacing),
        cmocka_unit_test(many_of_all_ttls_are_held_before_they_are_gone),
        cmocka_unit_test(pacing_does_not_trip_again),
        cmocka_unit_test(more_than_the_percentage_trips),
        cmocka_unit_test(without_a_percentage_there_is_no_breaker),
        cmocka_unit_test(the_spared_stay_and_count_for_nothing),
        cmocka_unit_test(one_that_is_ending_is_spared_too),
        cmocka_unit_test(who_was_collected_before_a_trip_is_taken_out_again),
        cmocka_unit_test(a_leader_that_stood_still_does_not_trip),
        cmocka_unit_test(a_lease_that_moves_counts_where_it_is),
        cmocka_unit_test(places_of_sets_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
