/* The sweeper and the damper on a core that keeps what it is sent. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "lease/damper.h"
#include "lease/sweeper.h"
#include "machine/flap.h"
#include "store/store.h"

enum { HELD_MOST = 4 };

struct core {
    struct core_status status;
    uint64_t level;
    struct store *store;
    struct core_request *held[HELD_MOST];
    size_t n_held;
};

static struct core the_core;
static uint64_t wall_ms;

uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_clock_wall_ms(void)
{
    return wall_ms;
}

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return wall_ms;
}

struct core_status core_status(const struct core *core)
{
    return core->status;
}

uint64_t core_feature_level(const struct core *core)
{
    return core->level;
}

struct store *core_store(const struct core *core)
{
    return core->store;
}

void core_submit(struct core *core, struct core_request *request)
{
    assert_true(core->n_held < HELD_MOST);
    assert_true(request->local);
    core->held[core->n_held++] = request;
}

/* The oldest request came to this. */
static void settle(int outcome, uint64_t n)
{
    struct core_request *request = the_core.held[0];

    the_core.n_held--;
    memmove(&the_core.held[0], &the_core.held[1],
            the_core.n_held * sizeof(struct core_request *));
    request->outcome = outcome;
    request->result.n = n;
    request->done(request);
}

static struct command sent(struct arena *arena)
{
    struct command command;

    assert_int_equal(the_core.n_held, 1);
    assert_int_equal(command_decode(arena, the_core.held[0]->command, &command),
                     0);
    return command;
}

/* ---- the sweeper ---- */

static struct sweeper *sweeper_at(uint64_t end_ms)
{
    wall_ms = 1000000;
    the_core = (struct core){.level = MACHINE_FEATURE_CHANGES};
    the_core.status.leads = true;
    the_core.status.next_end_ms = end_ms;
    the_core.status.log_time_ms = wall_ms - 5000;
    return sweeper_new(&the_core);
}

static void nothing_is_proposed_before_the_first_end(void **state)
{
    struct sweeper *sweeper = sweeper_at(1000001);
    CLEANUP(arena_freep) struct arena *arena = arena_new();

    (void)state;
    sweeper_tick(sweeper);
    assert_int_equal(the_core.n_held, 0);
    wall_ms++;
    sweeper_tick(sweeper);
    assert_int_equal(sent(arena).kind, COMMAND_SWEEP);
    sweeper_tick(sweeper); /* One is out. */
    assert_int_equal(the_core.n_held, 1);
    the_core.status.next_end_ms = UINT64_MAX;
    settle(0, 1);
    assert_int_equal(the_core.n_held, 0);
    sweeper_free(sweeper);
}

static void while_more_is_due_the_next_follows_at_once(void **state)
{
    struct sweeper *sweeper = sweeper_at(1000000);

    (void)state;
    sweeper_tick(sweeper);
    settle(0, 500);
    assert_int_equal(the_core.n_held, 1);
    the_core.status.leads = false;
    settle(0, 500);
    assert_int_equal(the_core.n_held, 0);
    sweeper_free(sweeper);
}

/* The log's clock never goes back; that of this machine may have. */
static void what_is_over_by_the_logs_clock_is_over(void **state)
{
    struct sweeper *sweeper = sweeper_at(2000000);

    (void)state;
    the_core.status.log_time_ms = 2000000;
    sweeper_tick(sweeper);
    assert_int_equal(the_core.n_held, 1);
    settle(0, 1);
    settle(ERR_NOT_READY, 0);
    sweeper_free(sweeper);
}

static void a_refusal_is_no_reason_to_spin(void **state)
{
    struct sweeper *sweeper = sweeper_at(1000000);

    (void)state;
    sweeper_tick(sweeper);
    settle(ERR_FULL, 0);
    sweeper_tick(sweeper);
    assert_int_equal(the_core.n_held, 0);
    wall_ms += 1000;
    sweeper_tick(sweeper);
    assert_int_equal(the_core.n_held, 1);
    settle(ERR_FULL, 0);
    sweeper_free(sweeper);
}

/* A node of an older release could not apply it. */
static void before_level_two_nothing_is_swept(void **state)
{
    struct sweeper *sweeper = sweeper_at(0);

    (void)state;
    the_core.level = 1;
    sweeper_tick(sweeper);
    assert_int_equal(the_core.n_held, 0);
    sweeper_free(sweeper);
}

/* ---- the damper ---- */

#define HOST STR("web-1")
static const struct ulid lease_id = {{7}};

struct damping {
    char dir[64];
    struct lease_table *leases;
    struct damper *damper;
};

static int damping_begin(void **state)
{
    struct damping *d = mem_zero(sizeof *d);
    struct machine_lease lease = {
        .hostname = HOST, .id = lease_id, .ttl_ms = 5000};

    wall_ms = 1000000000;
    the_core = (struct core){.level = MACHINE_FEATURE_CHANGES};
    the_core.status.lease_epoch = 7;
    (void)snprintf(d->dir, sizeof d->dir, "/tmp/roster-damper-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    struct store_config config = {d->dir, 16U << 20, 8, 8};
    assert_int_equal(store_open(&config, &the_core.store), 0);
    d->leases = lease_table_new();
    lease_table_put(d->leases, &lease, 0);
    d->damper = damper_new(d->leases, &the_core, 3, 60000);
    *state = d;
    return 0;
}

static int damping_end(void **state)
{
    struct damping *d = *state;
    char file[128];

    damper_free(d->damper);
    lease_table_free(d->leases);
    store_close(the_core.store);
    (void)snprintf(file, sizeof file, "%s/data.mdb", d->dir);
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/lock.mdb", d->dir);
    (void)unlink(file);
    (void)rmdir(d->dir);
    mem_free(d);
    return 0;
}

/* It went so often, a second apart, the last time just now. */
static void went(uint64_t n)
{
    CLEANUP(buf_done) struct buf record = {0};
    struct store_txn *txn;

    buf_add_le(&record, 1, 1);
    buf_add_le(&record, n, 1);
    while (n-- > 0) {
        buf_add_le(&record, wall_ms - n * 1000, 8);
    }
    assert_int_equal(store_write_begin(the_core.store, &txn), 0);
    assert_int_equal(store_mark_put(txn, STORE_MARK_GOINGS, HOST,
                                    wall_ms + FLAP_MEMORY_MS, buf_str(&record)),
                     0);
    assert_int_equal(store_write_commit(txn), 0);
}

static void one_that_went_often_enough_is_kept_instead(void **state)
{
    struct damping *d = *state;
    CLEANUP(arena_freep) struct arena *arena = arena_new();

    assert_false(damper_takes(d->damper, HOST, lease_id));
    went(2);
    assert_false(damper_takes(d->damper, HOST, lease_id));
    went(3);
    assert_true(damper_takes(d->damper, HOST, lease_id));
    struct command c = sent(arena);
    assert_int_equal(c.kind, COMMAND_FLAP);
    assert_int_equal(c.flap.epoch, 7);
    assert_true(str_equal(c.flap.hostname, HOST));
    assert_int_equal(ulid_compare(c.flap.lease, lease_id), 0);
    assert_int_equal(c.flap.until_ms, wall_ms + 60000);
    settle(0, 1);
}

static void what_is_longer_ago_than_the_window_does_not_count(void **state)
{
    struct damping *d = *state;

    went(3);
    wall_ms += 58001;
    assert_false(damper_takes(d->damper, HOST, lease_id));
    wall_ms--;
    assert_true(damper_takes(d->damper, HOST, lease_id));
    settle(ERR_NOT_READY, 0);
}

static void look_away(struct str hostname, struct ulid id, void *user)
{
    (void)hostname;
    (void)id;
    (void)user;
}

/* Whatever comes of the proposal, heartbeats must not wait for it for ever. */
static void a_refused_proposal_leaves_the_lease_alive(void **state)
{
    struct damping *d = *state;
    uint64_t now = 0;

    lease_table_serve(d->leases, now, 0);
    went(5);
    while (the_core.n_held == 0) {
        now += LEASE_TICK_MS;
        assert_true(now < 60000);
        if (lease_tick(d->leases, now, 1, look_away, NULL) == 1) {
            assert_true(damper_takes(d->damper, HOST, lease_id));
        }
    }
    assert_int_equal(lease_heartbeat(d->leases, HOST, now), ERR_BUSY);
    settle(ERR_NOT_READY, 0);
    assert_int_equal(lease_heartbeat(d->leases, HOST, now), 0);
}

static void before_level_two_nobody_is_kept(void **state)
{
    struct damping *d = *state;

    went(5);
    the_core.level = 1;
    assert_false(damper_takes(d->damper, HOST, lease_id));
}

int main(void)
{
#define DAMPING(f)                                                             \
    cmocka_unit_test_setup_teardown(f, damping_begin, damping_end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_proposed_before_the_first_end),
        cmocka_unit_test(while_more_is_due_the_next_follows_at_once),
        cmocka_unit_test(what_is_over_by_the_logs_clock_is_over),
        cmocka_unit_test(a_refusal_is_no_reason_to_spin),
        cmocka_unit_test(before_level_two_nothing_is_swept),
        DAMPING(one_that_went_often_enough_is_kept_instead),
        DAMPING(what_is_longer_ago_than_the_window_does_not_count),
        DAMPING(a_refused_proposal_leaves_the_lease_alive),
        DAMPING(before_level_two_nobody_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
