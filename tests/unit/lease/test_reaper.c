/* The reaper on a table of its own and a core that keeps what it is sent. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/clock.h"
#include "base/err.h"
#include "lease/reaper.h"

struct core {
    struct core_status status;
    struct core_request *held;
    unsigned fences, expiries;
    uint64_t epoch;                 /* of the last expiry */
    size_t n;                       /* leases in it */
    uint64_t level;                 /* of features */
    struct core_request *told;      /* of the breaker */
    struct command_breaker breaker; /* what it says */
    int tellings;
};

static void put(struct lease_table *table, struct str hostname, struct ulid id,
                uint64_t ttl_ms, bool registered, uint64_t mono_ms)
{
    lease_table_put(table,
                    &(struct machine_lease){.hostname = hostname,
                                            .id = id,
                                            .ttl_ms = ttl_ms,
                                            .registered = registered},
                    mono_ms);
}

static struct core the_core;
/* In the place of the system's: the reaper asks it. */
static uint64_t now_ms;

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return now_ms;
}

struct core_status core_status(const struct core *core)
{
    return core->status;
}

uint64_t core_feature_level(const struct core *core)
{
    return core->level;
}

static bool is_breaker(struct core *core, const struct core_request *request)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct command command;

    if (!command_is(request->command, COMMAND_BREAKER)) {
        return false;
    }
    assert_int_equal(command_decode(arena, request->command, &command), 0);
    core->breaker = command.breaker;
    core->tellings++;
    return true;
}

static void look(struct core *core, const struct core_request *request)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct command command;

    assert_int_equal(command_decode(arena, request->command, &command), 0);
    assert_int_equal(command.kind, COMMAND_EXPIRE);
    core->epoch = command.expire.epoch;
    core->n = command.expire.n_leases;
}

void core_submit(struct core *core, struct core_request *request)
{
    if (is_breaker(core, request)) {
        assert_null(core->told);
        core->told = request;
        return;
    }
    assert_null(core->held);
    core->held = request;
    if (request->command.n == 0) {
        core->fences++;
        return;
    }
    core->expiries++;
    look(core, request);
}

static void settle(int outcome)
{
    struct core_request *request = the_core.held;

    the_core.held = NULL;
    request->outcome = outcome;
    request->done(request);
}

/* It takes its place in the log: whether it still wants to. */
static bool order(void)
{
    bool goes = the_core.held->prepare(the_core.held);

    if (goes) {
        look(&the_core, the_core.held);
    }
    return goes;
}

struct fixture {
    struct lease_table *leases;
    struct reaper *reaper;
};

static int begin(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);

    the_core = (struct core){.status = {.leads = true, .lease_epoch = 7}};
    now_ms = 1000000;
    f->leases = lease_table_new();
    f->reaper = reaper_new(f->leases, &the_core);
    put(f->leases, STR("web-1"), (struct ulid){{1}}, 5000, false, now_ms);
    lease_table_serve(f->leases, now_ms, 0);
    reaper_begin(f->reaper);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    if (the_core.held != NULL) {
        settle(ERR_NOT_READY);
    }
    f->reaper = reaper_free(f->reaper);
    f->leases = lease_table_free(f->leases);
    (void)mem_free(f);
    return 0;
}

static void ticks(struct fixture *f, uint64_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until;) {
        now_ms += LEASE_TICK_MS;
        reaper_tick(f->reaper);
    }
}

static void an_end_is_proposed_in_the_epoch_of_the_table(void **state)
{
    struct fixture *f = *state;

    /* Another leader's has been applied here: this one does not know yet. */
    the_core.status.lease_epoch = 8;
    ticks(f, 4900);
    assert_int_equal(the_core.expiries, 0);
    ticks(f, 100);
    assert_int_equal(the_core.expiries, 1);
    assert_int_equal(the_core.epoch, 7);
    assert_int_equal(the_core.fences, 0);
}

static void the_next_stay_as_leader_has_its_own_epoch(void **state)
{
    struct fixture *f = *state;

    lease_table_halt(f->leases);
    the_core.status.lease_epoch = 9;
    lease_table_serve(f->leases, now_ms, 0);
    reaper_begin(f->reaper);
    ticks(f, 5000);
    assert_int_equal(the_core.epoch, 9);
}

/* SIGSTOP for more than two TTLs: another may lead by now. */
static void who_stood_still_asks_before_it_ends_anyone(void **state)
{
    struct fixture *f = *state;

    ticks(f, 4600);
    now_ms += 12000;
    reaper_tick(f->reaper);
    assert_int_equal(the_core.fences, 1);
    ticks(f, 2000); /* It would be due by now. */
    assert_int_equal(the_core.expiries, 0);
    settle(0);
    ticks(f, 100);
    assert_int_equal(the_core.expiries, 1);
    assert_int_equal(the_core.fences, 1);
}

static void without_a_quorum_it_ends_nobody_and_asks_again(void **state)
{
    struct fixture *f = *state;

    now_ms += 60000;
    for (unsigned i = 1; i < 10; i++) {
        ticks(f, 1000);
        assert_int_equal(the_core.fences, i);
        settle(ERR_NOT_READY);
    }
    assert_int_equal(the_core.expiries, 0);
    ticks(f, 100);
    settle(0);
    ticks(f, 100);
    assert_int_equal(the_core.expiries, 1);
}

static void a_heartbeat_in_the_doubt_keeps_it_alive(void **state)
{
    struct fixture *f = *state;

    ticks(f, 4900);
    now_ms += 20000;
    reaper_tick(f->reaper);
    assert_int_equal(lease_heartbeat(f->leases, STR("web-1"), now_ms), 0);
    settle(0);
    ticks(f, 4900);
    assert_int_equal(the_core.expiries, 0);
    ticks(f, 100);
    assert_int_equal(the_core.expiries, 1);
}

/* Applied while the end waited for the pack in flight. */
static void who_registers_before_its_end_is_ordered_is_spared(void **state)
{
    struct fixture *f = *state;

    ticks(f, 5000);
    assert_int_equal(the_core.expiries, 1);
    assert_int_equal(lease_heartbeat(f->leases, STR("web-1"), now_ms),
                     ERR_BUSY);
    put(f->leases, STR("web-1"), (struct ulid){{1}}, 5000, true, now_ms);
    assert_false(order());
    assert_int_equal(lease_heartbeat(f->leases, STR("web-1"), now_ms), 0);
    settle(ERR_NOT_READY);
    ticks(f, 4900);
    assert_int_equal(the_core.expiries, 1);
    ticks(f, 100);
    assert_int_equal(the_core.expiries, 2);
    assert_true(order());
    assert_int_equal(the_core.n, 1);
}

static void the_others_of_a_batch_end(void **state)
{
    struct fixture *f = *state;

    put(f->leases, STR("web-2"), (struct ulid){{2}}, 5000, false, now_ms);
    put(f->leases, STR("web-3"), (struct ulid){{3}}, 5000, false, now_ms);
    ticks(f, 5000);
    assert_int_equal(the_core.n, 3);
    put(f->leases, STR("web-2"), (struct ulid){{2}}, 5000, true, now_ms);
    lease_table_del(f->leases, STR("web-3"), (struct ulid){{3}});
    assert_true(order());
    assert_int_equal(the_core.n, 1);
    assert_int_equal(the_core.epoch, 7);
    assert_int_equal(lease_heartbeat(f->leases, STR("web-1"), now_ms),
                     ERR_BUSY);
    assert_int_equal(lease_heartbeat(f->leases, STR("web-2"), now_ms), 0);
    lease_table_del(f->leases, STR("web-1"), (struct ulid){{1}});
    settle(0);
    assert_int_equal(lease_stats(f->leases, now_ms).expired, 2);
}

/* Of a leadership that is over: the leases have a new TTL. */
static void nobody_ends_whom_an_earlier_leadership_collected(void **state)
{
    struct fixture *f = *state;

    ticks(f, 5000);
    lease_table_halt(f->leases);
    assert_false(order());
    lease_table_serve(f->leases, now_ms, 0);
    assert_false(order());
}

static void heard(struct fixture *f, unsigned n)
{
    char name[16];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "many-%u", i);
        put(f->leases, str_of(name), (struct ulid){{9}}, 5000, true, now_ms);
    }
}

static void answer_told(int outcome)
{
    struct core_request *request = the_core.told;

    the_core.told = NULL;
    request->outcome = outcome;
    request->done(request);
}

static void what_the_breaker_does_is_told_until_the_log_has_it(void **state)
{
    struct fixture *f = *state;

    lease_table_configure(
        f->leases, &(struct lease_breaker_config){
                       .percent = 15, .min = 10, .hold_ms = 60000, .rate = 10});
    heard(f, 20);
    ticks(f, 20000);
    assert_int_equal(the_core.expiries, 0);
    assert_int_equal(the_core.tellings, 0); /* The level forbids. */
    the_core.level = MACHINE_FEATURE_CHANGES;
    ticks(f, 1000);
    assert_int_equal(the_core.tellings, 1); /* One at a time. */
    assert_int_equal(the_core.breaker.what, BREAKER_TRIP);
    assert_int_equal(the_core.breaker.epoch, 7);
    assert_int_equal(the_core.breaker.scope, 0);
    assert_int_equal(the_core.breaker.n, 21);
    assert_int_equal(the_core.breaker.bad, 21);
    assert_true(the_core.breaker.hold_ms > 40000 &&
                the_core.breaker.hold_ms < 50000);
    answer_told(ERR_NOT_READY);
    ticks(f, 100);
    assert_int_equal(the_core.tellings, 2);
    lease_table_breaker(f->leases,
                        &(struct machine_breaker){.state = MACHINE_BREAKER_HELD,
                                                  .left_ms = 40000},
                        now_ms);
    answer_told(0);
    ticks(f, 1000);
    assert_int_equal(the_core.tellings, 2);
    assert_int_equal(the_core.expiries, 0);
}

struct asked {
    unsigned n;
    bool takes;
};

static bool take(void *user, struct str hostname, struct ulid id)
{
    struct asked *asked = user;

    (void)id;
    assert_true(str_is(hostname, "web-1"));
    asked->n++;
    return asked->takes;
}

static void who_is_taken_care_of_is_not_ended(void **state)
{
    struct fixture *f = *state;
    struct asked asked = {.takes = true};

    reaper_ask_first(f->reaper, take, &asked);
    ticks(f, 5500);
    assert_int_equal(asked.n, 1); /* It is ending: nobody is asked again. */
    assert_int_equal(the_core.expiries, 0);
    asked.takes = false;
    lease_spare(f->leases, STR("web-1"), (struct ulid){{1}});
    ticks(f, 200);
    assert_int_equal(asked.n, 2);
    assert_int_equal(the_core.expiries, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(an_end_is_proposed_in_the_epoch_of_the_table),
        TEST(the_next_stay_as_leader_has_its_own_epoch),
        TEST(who_stood_still_asks_before_it_ends_anyone),
        TEST(without_a_quorum_it_ends_nobody_and_asks_again),
        TEST(a_heartbeat_in_the_doubt_keeps_it_alive),
        TEST(who_registers_before_its_end_is_ordered_is_spared),
        TEST(the_others_of_a_batch_end),
        TEST(nobody_ends_whom_an_earlier_leadership_collected),
        TEST(what_the_breaker_does_is_told_until_the_log_has_it),
        TEST(who_is_taken_care_of_is_not_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
