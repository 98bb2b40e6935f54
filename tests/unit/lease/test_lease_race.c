/* What only threads can break: heartbeats that race with ticks and with the
 * machine. Most telling under the thread sanitizer. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/err.h"
#include "lease/lease.h"

enum { AGENTS = 3, HOSTS = 64, TTL = 2000, TICKS = 3000, BEATS = 1000 };

struct world {
    struct lease_table *table;
    _Atomic uint64_t mono;
    _Atomic bool over;
    _Atomic uint64_t beats[HOSTS]; /* monotonic time of the last one taken */
    _Atomic uint64_t n_beats, n_lost, n_wrong;
    _Atomic uint64_t n_idle; /* between two terms nobody is served */
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

static struct str host(size_t i, char text[16])
{
    int n = snprintf(text, 16, "h%zu", i);
    return (struct str){text, (size_t)n};
}

static struct ulid id_of(size_t i)
{
    return (struct ulid){.b = {[15] = (uint8_t)i}};
}

/* Hosts 0 and 1 mod 4 beat all the time, 2 now and then, 3 never. */
static bool beats(size_t host, uint64_t round)
{
    return host % 4 < 2 || (host % 4 == 2 && round % 4096 == 0);
}

static void beat(struct world *world, size_t i)
{
    char text[16];
    uint64_t mono = atomic_load(&world->mono);
    uint64_t last = atomic_load(&world->beats[i]);

    int r = lease_heartbeat(world->table, host(i, text), mono);
    if (r == 0) {
        atomic_fetch_add(&world->n_beats, 1);
        while (last < mono &&
               !atomic_compare_exchange_weak(&world->beats[i], &last, mono)) {
        }
    } else {
        atomic_fetch_add(&world->n_lost, r == ERR_NOT_FOUND || r == ERR_BUSY);
        atomic_fetch_add(&world->n_idle, r == ERR_NOT_READY);
        atomic_fetch_add(&world->n_wrong, r != ERR_NOT_FOUND && r != ERR_BUSY &&
                                              r != ERR_NOT_READY);
    }
}

static void *agent(void *user)
{
    struct world *world = user;

    for (uint64_t round = 0; !atomic_load(&world->over); round++) {
        for (size_t i = 0; i < HOSTS; i++) {
            if (beats(i, round)) {
                beat(world, i);
            }
        }
        if (round % 64 == 0) {
            struct lease_stats stats =
                lease_stats(world->table, atomic_load(&world->mono));
            atomic_fetch_add(&world->n_wrong, stats.held > HOSTS);
        }
        sched_yield();
    }
    return NULL;
}

/* [LEASE-1] A beat may be noted in `beats` a little after it was taken, never
 * with a later time. */
static void end(struct str hostname, struct ulid id, void *user)
{
    struct world *world = user;
    uint64_t mono = atomic_load(&world->mono);
    uint64_t last = atomic_load(&world->beats[id.b[15]]);
    struct lease_info info;

    atomic_fetch_add(&world->n_wrong, last + TTL > mono);
    /* [LEASE-3] From here on no beat is taken until its fate is known. */
    int r = lease_heartbeat(world->table, hostname, mono);
    atomic_fetch_add(&world->n_wrong, r != ERR_BUSY);
    if (lease_get(world->table, hostname, mono, &info) != 0) {
        atomic_fetch_add(&world->n_wrong, 1);
    }
    if (mono % 300 == 0) {
        lease_spare(world->table, hostname, id);
        return;
    }
    lease_table_del(world->table, hostname, id);
    put(world->table, hostname, id, TTL, true, mono);
}

static void heartbeats_and_ticks_agree_on_who_lives(void **state)
{
    struct world world = {.table = lease_table_new(), .mono = 5000};
    pthread_t threads[AGENTS];
    char text[16];
    size_t n_ended = 0;

    (void)state;
    lease_table_serve(world.table, world.mono, 0);
    for (size_t i = 0; i < HOSTS; i++) {
        put(world.table, host(i, text), id_of(i), TTL, true, world.mono);
    }
    for (size_t i = 0; i < AGENTS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, agent, &world), 0);
    }
    /* However busy the machine is: until agents had their share. */
    for (size_t i = 0; i < TICKS || world.n_beats < BEATS; i++) {
        uint64_t mono = atomic_fetch_add(&world.mono, 100) + 100;
        n_ended += lease_tick(world.table, mono, 20, end, &world);
        sched_yield();
    }
    atomic_store(&world.over, true);
    for (size_t i = 0; i < AGENTS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(world.n_wrong, 0);
    assert_int_equal(world.n_idle, 0);
    assert_true(n_ended > HOSTS / 4); /* the silent ones, many times */
    assert_int_equal(lease_stats(world.table, world.mono).heartbeats,
                     world.n_beats);
    world.table = lease_table_free(world.table);
}

/* A change of leaders under load. */
static void terms_change_while_agents_beat(void **state)
{
    struct world world = {.table = lease_table_new(), .mono = 5000};
    pthread_t thread;
    char text[16];

    (void)state;
    lease_table_serve(world.table, world.mono, 0);
    for (size_t i = 0; i < HOSTS; i++) {
        put(world.table, host(i, text), id_of(i), TTL, true, world.mono);
    }
    assert_int_equal(pthread_create(&thread, NULL, agent, &world), 0);
    for (size_t i = 0; i < 1000; i++) {
        uint64_t mono = atomic_fetch_add(&world.mono, 100) + 100;
        if (i % 5 == 0) {
            lease_table_serve(world.table, mono, 0);
        }
        /* Never a TTL without a new term: nobody goes. */
        assert_int_equal(lease_tick(world.table, mono, 20, end, &world), 0);
    }
    atomic_store(&world.over, true);
    (void)pthread_join(thread, NULL);
    assert_int_equal(world.n_wrong, 0);
    assert_int_equal(world.n_lost, 0);
    world.table = lease_table_free(world.table);
}

/* [LEASE-5] Looked at from everywhere, while scopes change, leases are spared,
 * and half of them never beat. */
static void end_if_free(struct str hostname, struct ulid id, void *user)
{
    struct world *world = user;
    uint64_t mono = atomic_load(&world->mono);
    struct lease_info info = {0};

    if (lease_get(world->table, hostname, mono, &info) != 0 ||
        info.state == LEASE_HELD ||
        !lease_still_due(world->table, hostname, id)) {
        atomic_fetch_add(&world->n_wrong, 1);
    }
    end(hostname, id, user);
}

static void *watcher(void *user)
{
    struct world *world = user;
    struct buf scopes = {0};

    while (!atomic_load(&world->over)) {
        uint64_t mono = atomic_load(&world->mono);
        struct lease_stats stats = lease_stats(world->table, mono);
        atomic_fetch_add(&world->n_wrong, stats.stopped > HOSTS + AGENTS);
        buf_clear(&scopes);
        lease_table_scopes(world->table, &scopes);
        atomic_fetch_add(&world->n_wrong,
                         scopes.n < sizeof(struct lease_scope_info));
        atomic_fetch_add(&world->n_beats, lease_table_trips(world->table) > 0);
        sched_yield();
    }
    buf_done(&scopes);
    return NULL;
}

static void change_one(struct world *world, size_t i, uint64_t mono)
{
    const uint64_t scopes[] = {3 + i % 7, 20 + i % 11};
    char text[16];

    lease_table_put(world->table,
                    &(struct machine_lease){.hostname = host(i % HOSTS, text),
                                            .id = id_of(i % HOSTS),
                                            .ttl_ms = TTL,
                                            .spared = i % 5 == 0,
                                            .scopes = scopes,
                                            .n_scopes = i % 3},
                    mono);
}

static void the_breaker_decides_while_agents_beat(void **state)
{
    struct world world = {.table = lease_table_new(), .mono = 5000};
    struct lease_breaker_change change;
    pthread_t threads[2];
    size_t n_ended = 0;

    (void)state;
    lease_table_configure(world.table,
                          &(struct lease_breaker_config){20, 2, 3000, 50});
    lease_table_serve(world.table, world.mono, 0);
    for (size_t i = 0; i < HOSTS; i++) {
        change_one(&world, i, world.mono);
    }
    assert_int_equal(pthread_create(&threads[0], NULL, agent, &world), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, watcher, &world), 0);
    for (size_t i = 0; i < TICKS || n_ended == 0 || world.n_beats < BEATS;
         i++) {
        uint64_t mono = atomic_fetch_add(&world.mono, 100) + 100;
        n_ended += lease_tick(world.table, mono, 20, end_if_free, &world);
        change_one(&world, i, mono);
        if (i % 50 == 0 && lease_table_change(world.table, &change) == 0 &&
            change.what == BREAKER_TRIP) {
            lease_table_breaker(
                world.table,
                &(struct machine_breaker){.scope = change.scope,
                                          .state = MACHINE_BREAKER_PACING},
                mono);
            lease_table_breaker(
                world.table, &(struct machine_breaker){.scope = change.scope},
                mono);
        }
        sched_yield();
    }
    atomic_store(&world.over, true);
    for (size_t i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(world.n_wrong, 0);
    assert_true(lease_table_trips(world.table) > 0);
    world.table = lease_table_free(world.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heartbeats_and_ticks_agree_on_who_lives),
        cmocka_unit_test(terms_change_while_agents_beat),
        cmocka_unit_test(the_breaker_decides_while_agents_beat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
