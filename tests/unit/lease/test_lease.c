/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "lease/lease.h"
#include "lease/shard.h"

DEFINE_CLEANUP(struct lease_table, lease_table_free)
#define TABLE CLEANUP(lease_table_freep) struct lease_table *

#define WEB STR("web-1")
#define START 1000000 /* monotonic time is never near 0 */

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

static struct ulid id_of(uint8_t n)
{
    return (struct ulid){.b = {[15] = n}};
}

/* What the ticks named. */
struct ended {
    size_t n;
    char hostname[64]; /* the last one */
    struct ulid id;
};

static void note(struct str hostname, struct ulid id, void *user)
{
    struct ended *ended = user;

    ended->n++;
    ended->id = id;
    assert_true(hostname.n < sizeof ended->hostname);
    memcpy(ended->hostname, hostname.p, hostname.n);
    ended->hostname[hostname.n] = '\0';
}

static size_t tick(struct lease_table *table, uint64_t mono_ms)
{
    struct ended ended = {0};
    return lease_tick(table, mono_ms, SIZE_MAX, note, &ended);
}

/* Ticks every 100 ms from after `from` up to `to`; how many leases ended. */
static size_t ticks(struct lease_table *table, uint64_t from, uint64_t to)
{
    size_t n = 0;
    for (uint64_t at = from + 100; at <= to; at += 100) {
        n += tick(table, at);
    }
    return n;
}

/* A serving table with WEB, heard at START. */
static struct lease_table *table_with_web(uint64_t ttl_ms)
{
    struct lease_table *table = lease_table_new();

    lease_table_serve(table, START, 0);
    put(table, WEB, id_of(1), ttl_ms, true, START);
    return table;
}

static struct lease_info info(struct lease_table *table, uint64_t mono_ms)
{
    struct lease_info found = {0};
    assert_int_equal(lease_get(table, WEB, mono_ms, &found), 0);
    return found;
}

static void nobody_is_served_before_serve_and_after_halt(void **state)
{
    TABLE table = lease_table_new();

    (void)state;
    put(table, WEB, id_of(1), 2000, true, START);
    assert_int_equal(lease_heartbeat(table, WEB, START), ERR_NOT_READY);
    assert_int_equal(ticks(table, START, START + 10000), 0);
    assert_false(info(table, START).heard);

    lease_table_serve(table, START + 10000, 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 10000), 0);
    lease_table_halt(table);
    assert_int_equal(lease_heartbeat(table, WEB, START + 10000), ERR_NOT_READY);
    assert_int_equal(ticks(table, START + 10000, START + 20000), 0);
}

static void an_unknown_hostname_is_not_found(void **state)
{
    TABLE table = table_with_web(5000);
    struct lease_info found = {.ttl_ms = 77};

    (void)state;
    assert_int_equal(lease_heartbeat(table, STR("web-2"), START),
                     ERR_NOT_FOUND);
    assert_int_equal(lease_heartbeat(table, STR("web-11"), START),
                     ERR_NOT_FOUND);
    assert_int_equal(lease_heartbeat(table, STR_NONE, START), ERR_NOT_FOUND);
    assert_int_equal(lease_get(table, STR("web-2"), START, &found),
                     ERR_NOT_FOUND);
    assert_int_equal(found.ttl_ms, 77); /* An answer leaves ret_ untouched. */
}

/* [LEASE-1] [LEASE-2] On the millisecond, when a tick comes then. */
static void a_silent_lease_is_due_after_exactly_its_ttl(void **state)
{
    TABLE table = table_with_web(5000);
    struct ended ended = {0};

    (void)state;
    assert_int_equal(ticks(table, START, START + 4900), 0);
    assert_int_equal(tick(table, START + 4999), 0);
    assert_int_equal(lease_tick(table, START + 5000, 10, note, &ended), 1);
    assert_string_equal(ended.hostname, "web-1");
    assert_int_equal(ulid_compare(ended.id, id_of(1)), 0);
    assert_int_equal(tick(table, START + 5100), 0); /* once */
}

static void a_heartbeat_gives_a_full_ttl(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    uint64_t at = START;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ticks(table, at, at + 4900), 0);
        at += 4950; /* between two ticks */
        assert_int_equal(lease_heartbeat(table, WEB, at), 0);
        at -= 50;
    }
    assert_int_equal(ticks(table, at, at + 5000), 0);
    assert_int_equal(tick(table, at + 5049), 0);
    assert_int_equal(tick(table, at + 5050), 1);
}

static void a_heartbeat_of_an_ending_lease_waits_for_the_outcome(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 5000), 1);
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), ERR_BUSY);
    assert_int_equal(lease_stats(table, START + 5000).ending, 1);
    assert_int_equal(ticks(table, START + 5000, START + 90000), 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 90000), ERR_BUSY);

    lease_table_del(table, WEB, id_of(1));
    assert_int_equal(lease_heartbeat(table, WEB, START + 90000), ERR_NOT_FOUND);
    struct lease_stats stats = lease_stats(table, START + 90000);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.ending, 0);
    assert_int_equal(stats.suspect, 0);
    assert_int_equal(stats.expired, 1);
}

static void a_spared_lease_is_due_again_or_lives_by_a_heartbeat(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 5000), 1);
    lease_spare(table, WEB, id_of(2)); /* another one */
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), ERR_BUSY);
    lease_spare(table, WEB, id_of(1));
    assert_int_equal(tick(table, START + 5100), 1);
    lease_spare(table, WEB, id_of(1));
    assert_int_equal(lease_heartbeat(table, WEB, START + 5150), 0);
    assert_int_equal(ticks(table, START + 5100, START + 10100), 0);
    assert_int_equal(tick(table, START + 10150), 1);
    lease_spare(table, STR("web-2"), id_of(1)); /* unknown: nothing */
}

/* A lease that is due but not yet named, because of the limit, may be heard. */
static void an_overdue_lease_lives_until_it_is_named(void **state)
{
    TABLE table = table_with_web(5000);
    struct ended ended = {0};

    (void)state;
    for (uint64_t at = START; at <= START + 9000; at += 100) {
        assert_int_equal(lease_tick(table, at, 0, note, &ended), 0);
    }
    assert_int_equal(lease_stats(table, START + 9000).suspect, 1);
    assert_int_equal(lease_heartbeat(table, WEB, START + 9000), 0);
    assert_int_equal(lease_stats(table, START + 9000).suspect, 0);
    assert_int_equal(ticks(table, START + 9000, START + 13900), 0);
    assert_int_equal(tick(table, START + 14000), 1);
}

static void a_new_leader_gives_everyone_a_full_ttl(void **state)
{
    TABLE table = lease_table_new();
    uint64_t now = START + 50000;

    (void)state;
    put(table, WEB, id_of(1), 5000, true, START);
    put(table, STR("web-2"), id_of(2), 9000, false, START);
    lease_table_serve(table, now, 0);
    assert_false(info(table, now).heard);
    assert_int_equal(ticks(table, now, now + 4900), 0);
    assert_int_equal(tick(table, now + 5000), 1);
    assert_int_equal(ticks(table, now + 5000, now + 8900), 0);
    assert_int_equal(tick(table, now + 9000), 1);
}

/* Marks of the term before are void: suspect, ending, overdue, heard. */
static void a_second_term_begins_anew(void **state)
{
    TABLE table = table_with_web(2000);
    uint64_t now = START + 7000;

    (void)state;
    put(table, STR("web-2"), id_of(2), 3000, true, START);
    assert_int_equal(ticks(table, START, START + 2500), 1);
    assert_int_equal(lease_stats(table, START + 2500).ending, 1);
    struct ended ended = {0};
    for (uint64_t at = START + 2600; at <= START + 4000; at += 100) {
        (void)lease_tick(table, at, 0, note, &ended); /* web-2 overdue */
    }
    lease_table_halt(table);
    lease_table_serve(table, now, 0);
    struct lease_stats stats = lease_stats(table, now);
    assert_int_equal(stats.held, 2);
    assert_int_equal(stats.ending, 0);
    assert_int_equal(stats.suspect, 0);
    assert_int_equal(ticks(table, now, now + 1900), 0);
    assert_int_equal(lease_stats(table, now + 1900).suspect, 1);
    assert_int_equal(tick(table, now + 2000), 1);
    assert_int_equal(ticks(table, now + 2000, now + 2900), 0);
    assert_int_equal(tick(table, now + 3000), 1);
}

/* A lease may be ahead of the last tick when the term ends. */
static void terms_that_follow_fast_give_exactly_a_ttl(void **state)
{
    TABLE table = table_with_web(2000);
    uint64_t now = START;

    (void)state;
    for (int i = 0; i < 200; i++) {
        now += 499;
        assert_int_equal(lease_heartbeat(table, WEB, now), 0);
        put(table, WEB, id_of(1), 2000, true, now);
        lease_table_halt(table);
        lease_table_serve(table, now, 0);
    }
    assert_int_equal(ticks(table, now, now + 1300), 0);
    assert_int_equal(lease_stats(table, now + 1300).suspect, 0);
    assert_int_equal(ticks(table, now + 1300, now + 1400), 0);
    assert_int_equal(lease_stats(table, now + 1400).suspect, 1);
    assert_int_equal(ticks(table, now + 1400, now + 1900), 0);
    assert_int_equal(tick(table, now + 2000), 1);
}

/* SIGSTOP for a minute: nobody could have been heard in that time. */
static void a_stall_gives_the_lost_time_back(void **state)
{
    TABLE table = table_with_web(5000);
    uint64_t woken = START + 60000;

    (void)state;
    assert_int_equal(lease_stats(table, woken).lost_ms, 59500);
    assert_int_equal(tick(table, woken), 0); /* 500 ms of lease time */
    assert_int_equal(lease_stats(table, woken).lost_ms, 59500);
    assert_int_equal(ticks(table, woken, woken + 4400), 0);
    assert_int_equal(info(table, woken + 4400).last_heartbeat_ms, 4900);
    assert_int_equal(tick(table, woken + 4500), 1);
}

static void a_heartbeat_before_the_tick_after_a_stall_counts(void **state)
{
    TABLE table = table_with_web(5000);
    uint64_t woken = START + 60000;

    (void)state;
    assert_int_equal(lease_heartbeat(table, WEB, woken), 0);
    assert_int_equal(tick(table, woken), 0);
    assert_int_equal(info(table, woken).last_heartbeat_ms, 0);
    assert_int_equal(ticks(table, woken, woken + 4900), 0);
    assert_int_equal(tick(table, woken + 5000), 1);
}

/* Another thread read its clock, then the tick came, then it called. */
static void a_clock_read_before_the_tick_does_no_harm(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 1000), 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 990), 0);
    assert_int_equal(info(table, START + 980).last_heartbeat_ms, 0);
    assert_int_equal(info(table, 0).last_heartbeat_ms, 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 1050), 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 1010), 0);
    assert_int_equal(tick(table, START + 1040), 0);
    assert_int_equal(info(table, START + 1060).last_heartbeat_ms, 10);
    assert_int_equal(tick(table, START + 900), 0);
    assert_int_equal(ticks(table, START + 1000, START + 6000), 0);
    assert_int_equal(tick(table, START + 6049), 0);
    assert_int_equal(tick(table, START + 6050), 1);
    assert_int_equal(lease_stats(table, 0).lost_ms, 0);
}

static void two_missed_heartbeats_make_a_suspect(void **state)
{
    TABLE table = table_with_web(6000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 4000), 0);
    assert_int_equal(info(table, START + 4000).state, LEASE_ALIVE);
    assert_int_equal(lease_stats(table, START + 4000).suspect, 0);
    assert_int_equal(info(table, START + 4001).state, LEASE_SUSPECT);
    assert_int_equal(tick(table, START + 4001), 0);
    assert_int_equal(lease_stats(table, START + 4001).suspect, 1);
    assert_int_equal(info(table, START + 4001).last_heartbeat_ms, 4001);
    assert_int_equal(lease_heartbeat(table, WEB, START + 4050), 0);
    assert_int_equal(info(table, START + 4050).state, LEASE_ALIVE);
    assert_int_equal(lease_stats(table, START + 4050).suspect, 0);
    assert_int_equal(ticks(table, START + 4050, START + 8150), 0);
    assert_int_equal(lease_stats(table, START + 8150).suspect, 1);
}

static void a_lease_put_again_has_the_new_id_and_ttl(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 5000), 1);
    put(table, WEB, id_of(2), 2000, true, START + 5000);
    lease_table_del(table, WEB, id_of(1)); /* the end of the old one */
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), 0);
    struct lease_info found = info(table, START + 5000);
    assert_int_equal(ulid_compare(found.id, id_of(2)), 0);
    assert_int_equal(found.ttl_ms, 2000);
    assert_int_equal(lease_stats(table, START + 5000).held, 1);
    assert_int_equal(ticks(table, START + 5000, START + 6900), 0);
    assert_int_equal(tick(table, START + 7000), 1);
}

/* [LEASE-3] The end that is under way names this very lease. */
static void a_refresh_does_not_revive_an_ending_lease(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    assert_int_equal(ticks(table, START, START + 5000), 1);
    put(table, WEB, id_of(1), 5000, true, START + 5000);
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), ERR_BUSY);
    lease_spare(table, WEB,
                id_of(1)); /* it found the refresh and did nothing */
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), 0);
}

static void a_shorter_ttl_counts_at_once(void **state)
{
    TABLE table = table_with_web(LEASE_TTL_MOST_MS);

    (void)state;
    put(table, WEB, id_of(1), 2000, true, START);
    assert_int_equal(ticks(table, START, START + 1900), 0);
    assert_int_equal(tick(table, START + 2000), 1);
}

/* Many turns of the wheel. */
static void the_longest_ttl_is_exact_too(void **state)
{
    TABLE table = table_with_web(LEASE_TTL_MOST_MS);
    uint64_t end = START + LEASE_TTL_MOST_MS;

    (void)state;
    for (uint64_t at = START; at < end; at += LEASE_STALL_MS) {
        assert_int_equal(tick(table, at), 0);
    }
    assert_int_equal(tick(table, end - 1), 0);
    assert_int_equal(tick(table, end), 1);
}

static void a_lease_of_another_id_is_not_deleted(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    lease_table_del(table, WEB, id_of(9));
    lease_table_del(table, STR("web-2"), id_of(1));
    assert_int_equal(lease_heartbeat(table, WEB, START), 0);
    lease_table_del(table, WEB, id_of(1));
    assert_int_equal(lease_heartbeat(table, WEB, START), ERR_NOT_FOUND);
    assert_int_equal(lease_stats(table, START).expired, 0);
    assert_int_equal(ticks(table, START, START + 6000), 0);
}

static void a_lease_not_heard_has_its_ttl_but_no_heartbeat(void **state)
{
    TABLE table = lease_table_new();

    (void)state;
    lease_table_serve(table, START, 0);
    put(table, WEB, id_of(1), 6000, false, START + 100);
    assert_false(info(table, START + 500).heard);
    assert_int_equal(ticks(table, START, START + 5000), 0);
    assert_int_equal(info(table, START + 5000).state, LEASE_SUSPECT);
    assert_int_equal(lease_heartbeat(table, WEB, START + 5000), 0);
    assert_true(info(table, START + 5000).heard);
    assert_int_equal(ticks(table, START + 5000, START + 10900), 0);
    assert_int_equal(tick(table, START + 11000), 1);
}

static struct str host(size_t i, char text[32])
{
    int n = snprintf(text, 32, "host-%06zu.rack.lan", i);
    return (struct str){text, (size_t)n};
}

static void put_many(struct lease_table *table, size_t n, uint64_t ttl_ms)
{
    char text[32];

    for (size_t i = 0; i < n; i++) {
        put(table, host(i, text), id_of(1), ttl_ms, true, START);
    }
}

/* A reaper whose proposals are all refused. */
struct refused {
    struct lease_table *table;
    size_t n_different;
    bool named[1000];
};

static void refuse(struct str hostname, struct ulid id, void *user)
{
    struct refused *refused = user;
    uint64_t i = 0;
    struct str digits = {hostname.p + strlen("host-"), 6};

    assert_int_equal(str_number(digits, 999, &i), 0);
    refused->n_different += !refused->named[i];
    refused->named[i] = true;
    lease_spare(refused->table, hostname, id); /* may be used from here */
}

static void the_limit_delays_but_starves_nobody(void **state)
{
    TABLE table = lease_table_new();
    struct refused refused = {.table = table};

    (void)state;
    lease_table_serve(table, START, 0);
    put_many(table, 1000, 2000);
    assert_int_equal(ticks(table, START, START + 1900), 0);
    uint64_t at = START + 2000;
    while (refused.n_different < 1000) {
        assert_int_equal(lease_tick(table, at, 100, refuse, &refused), 100);
        assert_int_equal(lease_stats(table, at).ending, 0);
        at += 100;
        /* How evenly depends on the seed; most need about 3 s. */
        assert_true(at < START + 60000);
    }
    assert_int_equal(tick(table, at), 1000);
}

/* [LEASE-2] One of 100,000 falls silent; the others' heartbeats are spread over
 * a third of the TTL, as agents' are. */
static void one_silent_lease_of_many_goes_in_time(void **state)
{
    enum { MANY = 100000, TTL = 30000, ROUNDS = TTL / 3 / 100, SILENT = 777 };
    TABLE table = lease_table_new();
    struct ended ended = {0};
    char text[32];
    uint64_t at = START;

    (void)state;
    lease_table_serve(table, START, 0);
    put_many(table, MANY, TTL);
    for (size_t round = 1; ended.n == 0; round++) {
        at += 100;
        for (size_t i = round % ROUNDS; i < MANY; i += ROUNDS) {
            if (i != SILENT) {
                assert_int_equal(lease_heartbeat(table, host(i, text), at), 0);
            }
        }
        (void)lease_tick(table, at, 1000, note, &ended);
        assert_true(at <= START + TTL + 1000);
    }
    assert_int_equal(ended.n, 1);
    assert_string_equal(ended.hostname, "host-000777.rack.lan");
    assert_true(at >= START + TTL);
    struct lease_stats stats = lease_stats(table, at);
    assert_int_equal(stats.held, MANY);
    assert_int_equal(stats.suspect, 1);
}

/* After a restore: the leases are others, and what was proposed is void. */
static void a_cleared_table_knows_nobody_and_begins_anew(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    put(table, STR("web-2"), id_of(2), 5000, true, START);
    assert_int_equal(ticks(table, START, START + 5000),
                     2); /* both are ending */
    lease_table_halt(table);
    lease_table_clear(table);
    struct lease_stats stats = lease_stats(table, START + 5000);
    assert_int_equal(stats.held + stats.suspect + stats.ending, 0);
    put(table, WEB, id_of(1), 5000, false, START + 5000);
    lease_table_serve(table, START + 5000, 0);
    assert_int_equal(lease_heartbeat(table, STR("web-2"), START + 5000),
                     ERR_NOT_FOUND);
    lease_spare(table, STR("web-2"), id_of(2));
    assert_int_equal(ticks(table, START + 5000, START + 9900), 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 9900), 0);
    assert_int_equal(ticks(table, START + 9900, START + 14800), 0);
    assert_int_equal(ticks(table, START + 14800, START + 15000), 1);
}

/* What a follower's apply does: no clock runs there. */
static void leases_put_while_halted_have_a_full_ttl_when_it_serves(void **state)
{
    TABLE table = lease_table_new();

    (void)state;
    assert_false(lease_table_serves(table));
    put(table, WEB, id_of(1), 5000, true, START);
    put(table, STR("web-2"), id_of(2), 9000, true, START + 60000);
    put(table, WEB, id_of(3), 2000, true, START + 90000);
    lease_table_del(table, STR("web-2"), id_of(2));
    assert_int_equal(lease_stats(table, START + 90000).held, 1);
    lease_table_serve(table, START + 100000, 0);
    assert_true(lease_table_serves(table));
    assert_false(info(table, START + 100000).heard);
    assert_int_equal(ticks(table, START + 100000, START + 101900), 0);
    assert_int_equal(tick(table, START + 102000), 1);
}

static void deposed_and_leader_again_nothing_of_before_counts(void **state)
{
    TABLE table = table_with_web(5000);

    (void)state;
    put(table, STR("web-2"), id_of(2), 5000, true, START);
    assert_int_equal(ticks(table, START, START + 5000), 2);
    assert_int_equal(lease_stats(table, START + 5000).ending, 2);
    lease_table_halt(table);
    assert_false(info(table, START + 5000).serving);
    assert_int_equal(lease_stats(table, START + 5000).ending, 0);
    /* Another led: one registered again, one came, one went. */
    put(table, WEB, id_of(4), 5000, true, START + 8000);
    put(table, STR("web-3"), id_of(3), 2000, true, START + 9000);
    lease_table_del(table, STR("web-2"), id_of(2));
    lease_table_serve(table, START + 20000, 0);
    assert_int_equal(lease_heartbeat(table, STR("web-2"), START + 20000),
                     ERR_NOT_FOUND);
    assert_int_equal(ticks(table, START + 20000, START + 21000), 0);
    assert_int_equal(lease_heartbeat(table, WEB, START + 21000), 0);
    assert_int_equal(ticks(table, START + 21000, START + 21900), 0);
    assert_int_equal(ticks(table, START + 21900, START + 22000), 1);
    assert_int_equal(ticks(table, START + 22000, START + 25900), 0);
    assert_int_equal(ticks(table, START + 25900, START + 26000), 1);
}

/* One shard, so that the leases can be looked at: a lease that was touched
 * belongs to the new term. */
static void to_take_over_touches_no_lease(void **state)
{
    enum { N = 100000 };
    struct lease_clock clock = {0};
    struct lease_scopes scopes;
    struct lease_shard shard;
    size_t touched = 0;
    char name[16];

    (void)state;
    lease_scopes_init(&scopes);
    lease_shard_init(&shard, &scopes);
    for (uint32_t i = 0; i < N; i++) {
        int n = snprintf(name, sizeof name, "h%u", i);
        struct lease *lease = lease_shard_add(
            &shard, (struct str){name, (size_t)n}, i * 2654435761U);
        lease_shard_renew(&shard, lease, 30000, true, 0);
    }
    lease_clock_restart(&clock, START);
    lease_shard_serve(&shard, &clock);
    for (uint32_t i = 0; i < shard.n_buckets; i++) {
        for (struct lease *l = shard.buckets[i]; l != NULL; l = l->next) {
            touched += l->term == shard.term;
        }
    }
    assert_int_equal(touched, 0);
    assert_int_equal(shard.n, N);
    lease_shard_done(&shard);
    lease_scopes_done(&scopes);
}

/* ---- the wheel ---- */

enum { CROWD = 5120, A_DAY_MS = 86400000 };

struct round {
    struct lease_wheel wheel;
    struct lease_link links[CROWD];
    size_t looked;
    uint64_t now_ms;
};

static void put_back(struct lease_link *link, void *user)
{
    struct round *round = user;

    round->looked++;
    lease_wheel_put(&round->wheel, link, round->now_ms + A_DAY_MS);
}

/* As at a start, or after a restore. */
static void many_put_at_one_moment_are_not_looked_at_in_one_tick(void **state)
{
    struct round *round = mem_zero(sizeof *round);
    size_t all = 0;

    (void)state;
    lease_wheel_init(&round->wheel);
    for (size_t i = 0; i < CROWD; i++) {
        lease_list_init(&round->links[i]);
        lease_wheel_put(&round->wheel, &round->links[i], A_DAY_MS);
    }
    for (size_t i = 0; i < (size_t)3 * LEASE_WHEEL_SLOTS; i++) {
        round->now_ms += LEASE_WHEEL_SLOT_MS;
        round->looked = 0;
        lease_wheel_advance(&round->wheel, round->now_ms, put_back, round);
        assert_true(round->looked <= CROWD / 32);
        all += round->looked;
    }
    /* Each of them, once in a turn at least. */
    assert_in_range(all, 2 * CROWD, 6 * CROWD);
    mem_free(round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_served_before_serve_and_after_halt),
        cmocka_unit_test(an_unknown_hostname_is_not_found),
        cmocka_unit_test(a_silent_lease_is_due_after_exactly_its_ttl),
        cmocka_unit_test(a_heartbeat_gives_a_full_ttl),
        cmocka_unit_test(a_heartbeat_of_an_ending_lease_waits_for_the_outcome),
        cmocka_unit_test(a_spared_lease_is_due_again_or_lives_by_a_heartbeat),
        cmocka_unit_test(an_overdue_lease_lives_until_it_is_named),
        cmocka_unit_test(a_new_leader_gives_everyone_a_full_ttl),
        cmocka_unit_test(a_second_term_begins_anew),
        cmocka_unit_test(terms_that_follow_fast_give_exactly_a_ttl),
        cmocka_unit_test(a_stall_gives_the_lost_time_back),
        cmocka_unit_test(a_heartbeat_before_the_tick_after_a_stall_counts),
        cmocka_unit_test(a_clock_read_before_the_tick_does_no_harm),
        cmocka_unit_test(two_missed_heartbeats_make_a_suspect),
        cmocka_unit_test(a_lease_put_again_has_the_new_id_and_ttl),
        cmocka_unit_test(a_refresh_does_not_revive_an_ending_lease),
        cmocka_unit_test(a_shorter_ttl_counts_at_once),
        cmocka_unit_test(the_longest_ttl_is_exact_too),
        cmocka_unit_test(a_lease_of_another_id_is_not_deleted),
        cmocka_unit_test(a_lease_not_heard_has_its_ttl_but_no_heartbeat),
        cmocka_unit_test(the_limit_delays_but_starves_nobody),
        cmocka_unit_test(one_silent_lease_of_many_goes_in_time),
        cmocka_unit_test(a_cleared_table_knows_nobody_and_begins_anew),
        cmocka_unit_test(
            leases_put_while_halted_have_a_full_ttl_when_it_serves),
        cmocka_unit_test(deposed_and_leader_again_nothing_of_before_counts),
        cmocka_unit_test(to_take_over_touches_no_lease),
        cmocka_unit_test(many_put_at_one_moment_are_not_looked_at_in_one_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
