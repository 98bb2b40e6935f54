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
        atomic_fetch_add(&world->n_wrong, r != ERR_NOT_FOUND && r != ERR_BUSY);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heartbeats_and_ticks_agree_on_who_lives),
        cmocka_unit_test(terms_change_while_agents_beat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
