/* When webhooks are called: whole days in a moment. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <stdio.h>

#include "hook/engine.h"

#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define BEGIN UINT64_C(1700000000000)

/* A world of events, each concerning everybody, and receivers. */
struct world {
    struct engine engine;
    uint64_t now;
    uint64_t revision;
    uint64_t chance;
};

static struct engine_key key_of(uint64_t i)
{
    struct engine_key key = {.ns = 3};
    key.id.b[14] = (uint8_t)(i >> 8);
    key.id.b[15] = (uint8_t)i;
    return key;
}

static struct engine_target *target_of(struct world *w, uint64_t i)
{
    struct engine_target *target = engine_find(&w->engine, key_of(i));
    assert_non_null(target);
    return target;
}

static void begin(struct world *w, size_t n)
{
    *w = (struct world){.now = BEGIN, .revision = 100};
    engine_init(&w->engine, 100);
    for (size_t i = 0; i < n; i++) {
        const struct engine_past past = {.cursor = 100};
        struct engine_target *target =
            engine_add(&w->engine, key_of(i), &past, w->now);
        char host[32];
        (void)snprintf(host, sizeof host, "h%zu:80", i);
        engine_reach(target, host);
        engine_rest(&w->engine, target);
    }
}

static void happen(struct world *w)
{
    struct engine_target *target = NULL, *next = NULL;

    w->revision++;
    HASH_ITER(hh, w->engine.all, target, next)
    {
        engine_wants(&w->engine, target, w->revision);
    }
    engine_seen(&w->engine, w->revision);
}

static bool depart(struct world *w, struct engine_target *target)
{
    if (target->cursor >= w->revision) {
        engine_passed(&w->engine, target, w->revision, true);
        return false;
    }
    engine_sent(&w->engine, target, w->now);
    return true;
}

/* All whose turn it is are sent what is behind their cursors; those that `down`
 * names say no, the others yes. Returns how many requests that was. */
static unsigned turns(struct world *w, bool (*down)(struct engine_target *),
                      unsigned *ret_to_down)
{
    struct engine_target *target = NULL;
    unsigned n = 0;

    while ((target = engine_next(&w->engine, w->now)) != NULL) {
        if (!depart(w, target)) {
            continue;
        }
        n++;
        if (down != NULL && down(target)) {
            *ret_to_down += 1;
            assert_true(engine_failed(&w->engine, target, "answered 500",
                                      w->now, w->chance++));
        } else {
            assert_true(
                engine_answered(&w->engine, target, w->revision, false));
        }
    }
    return n;
}

static bool everybody(struct engine_target *target)
{
    (void)target;
    return true;
}

static bool the_first(struct engine_target *target)
{
    struct engine_key key = key_of(0);
    return memcmp(&target->key, &key, sizeof key) == 0;
}

static void who_is_up_to_date_rests(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 3);
    assert_int_equal(turns(&w, NULL, NULL), 0);
    happen(&w);
    happen(&w);
    assert_int_equal(turns(&w, NULL, NULL), 3);
    assert_int_equal(turns(&w, NULL, NULL), 0);
    assert_int_equal(w.engine.n[ENGINE_IDLE], 3);
    assert_int_equal(target_of(&w, 1)->cursor, w.revision);
    assert_int_equal(engine_due(&w.engine, w.now), UINT64_MAX);
    engine_done(&w.engine);
}

static void what_concerns_nobody_moves_cursors_all_the_same(void **state)
{
    struct world w;
    struct command_hook_item items[4];

    (void)state;
    begin(&w, 2);
    engine_seen(&w.engine, 150);
    assert_int_equal(engine_cursor(&w.engine, target_of(&w, 0)), 150);
    assert_int_equal(engine_report(&w.engine, false, w.now, items, 4), 0);
    assert_int_equal(engine_report(&w.engine, true, w.now, items, 4), 2);
    assert_int_equal(items[0].cursor, 150);
    assert_int_equal(items[0].state, HOOK_SAME);
    engine_told(&w.engine, items, 2, w.now);
    assert_int_equal(engine_report(&w.engine, true, w.now, items, 4), 0);
    engine_seen(&w.engine, 150 + ENGINE_FAR);
    assert_int_equal(engine_report(&w.engine, false, w.now, items, 4), 2);
    engine_told(&w.engine, items, 2, w.now);
    engine_seen(&w.engine, 160 + ENGINE_FAR);
    w.now += ENGINE_FAR_MS;
    assert_int_equal(engine_report(&w.engine, false, w.now, items, 4), 2);
    engine_done(&w.engine);
}

static void one_that_was_down_for_an_hour_is_back_within_an_eighth(void **state)
{
    struct world w;
    unsigned tries = 0;

    (void)state;
    begin(&w, 1);
    for (; w.now < BEGIN + HOUR; w.now += SECOND) {
        happen(&w);
        (void)turns(&w, everybody, &tries);
    }
    /* Pauses grow with what they follow: some tens, not thousands. */
    assert_in_range(tries, 20, 100);
    uint64_t back = w.now;
    assert_int_equal(target_of(&w, 0)->cursor, 100);
    assert_true(engine_due(&w.engine, w.now) <= HOUR / 8);
    while (turns(&w, NULL, NULL) == 0) {
        w.now += SECOND;
    }
    assert_true(w.now - back <= HOUR / 8);
    assert_int_equal(target_of(&w, 0)->cursor, w.revision);
    assert_int_equal(target_of(&w, 0)->state, HOOK_OK);
    assert_string_equal(target_of(&w, 0)->text, "ok");
    engine_done(&w.engine);
}

static void after_a_day_it_is_dead_and_is_still_tried(void **state)
{
    struct world w;
    unsigned tries = 0;
    uint64_t died = 0;

    (void)state;
    begin(&w, 1);
    happen(&w);
    for (; w.now < BEGIN + 3 * DAY; w.now += 10 * SECOND) {
        (void)turns(&w, everybody, &tries);
        if (died == 0 && target_of(&w, 0)->state == HOOK_DEAD) {
            died = w.now;
        }
    }
    assert_in_range(died, BEGIN + DAY, BEGIN + DAY + DAY / 8 + 10 * SECOND);
    assert_string_equal(target_of(&w, 0)->text,
                        "dead since 2023-11-14T22:13:20Z: answered 500");
    unsigned then = tries;
    for (; w.now < BEGIN + 10 * DAY; w.now += 10 * SECOND) {
        (void)turns(&w, everybody, &tries);
    }
    assert_in_range(tries - then, 6, 30);
    assert_true(engine_due(&w.engine, w.now) <= ENGINE_PAUSE_MOST_MS);
    while (turns(&w, NULL, NULL) == 0) {
        w.now += 10 * SECOND;
    }
    assert_int_equal(target_of(&w, 0)->state, HOOK_OK);
    engine_done(&w.engine);
}

static void jitter_makes_a_pause_a_tenth_shorter_at_most(void **state)
{
    (void)state;
    for (uint64_t chance = 0; chance < 200; chance++) {
        struct world w;
        begin(&w, 1);
        happen(&w);
        struct engine_target *target = engine_next(&w.engine, w.now);
        engine_sent(&w.engine, target, w.now);
        assert_true(
            engine_failed(&w.engine, target, "no", w.now, chance * 7919));
        assert_in_range(engine_due(&w.engine, w.now), 900, 1000);
        engine_done(&w.engine);
    }
}

static void one_dead_one_of_a_thousand_delays_nobody(void **state)
{
    struct world w;
    unsigned to_dead = 0;

    (void)state;
    begin(&w, 1000);
    for (int i = 0; i < 600; i++, w.now += SECOND) {
        happen(&w);
        unsigned n = turns(&w, the_first, &to_dead);
        assert_true(n == 999 || n == 1000);
    }
    assert_in_range(to_dead, 5, 60);
    struct engine_counts counts = engine_counts(&w.engine, w.revision);
    assert_int_equal(counts.targets, 1000);
    assert_int_equal(counts.failing, 1);
    assert_int_equal(counts.behind, 600);
    engine_done(&w.engine);
}

static void those_that_failed_get_half_of_the_requests(void **state)
{
    struct world w;
    struct engine_target *target = NULL;
    unsigned to_dead = 0, n = 0;

    (void)state;
    begin(&w, 200);
    happen(&w);
    (void)turns(&w, everybody, &to_dead);
    w.now += 2 * SECOND;
    while ((target = engine_next(&w.engine, w.now)) != NULL) {
        engine_sent(&w.engine, target, w.now);
        n++;
    }
    assert_int_equal(n, ENGINE_RETRY_MOST);
    const struct engine_past past = {.cursor = 100};
    for (uint64_t i = 500; i < 600; i++) {
        (void)engine_add(&w.engine, key_of(i), &past, w.now);
    }
    while ((target = engine_next(&w.engine, w.now)) != NULL) {
        engine_sent(&w.engine, target, w.now);
        n++;
    }
    assert_int_equal(n, ENGINE_FLYING_MOST);
    engine_done(&w.engine);
}

/* Who says yes at last may be as much in the way as who never does. */
static void those_that_were_slow_get_half_of_the_requests_too(void **state)
{
    struct world w;
    struct engine_target *target = NULL;
    unsigned n = 0;

    (void)state;
    begin(&w, 200);
    happen(&w);
    (void)turns(&w, NULL, NULL);
    for (uint64_t i = 0; i < 200; i++) {
        engine_took(target_of(&w, i), i < 150 ? ENGINE_SLOW_MS + 1 : 3);
    }
    happen(&w);
    while ((target = engine_next(&w.engine, w.now)) != NULL) {
        engine_sent(&w.engine, target, w.now);
        n += target->slow;
    }
    assert_int_equal(n, ENGINE_RETRY_MOST);
    assert_int_equal(w.engine.n[ENGINE_FLYING], ENGINE_RETRY_MOST + 32);
    /* And as many as others again, once they are quick. */
    while ((target = w.engine.in[ENGINE_FLYING]) != NULL) {
        assert_true(engine_answered(&w.engine, target, w.revision, false));
        engine_took(target, 3);
    }
    assert_int_equal(w.engine.n_retries, 0);
    engine_done(&w.engine);
}

/* As long as nobody waits for them they have all the time there is. */
static void those_that_hang_are_cut_when_others_wait(void **state)
{
    struct world w;
    struct engine_target *target = NULL;

    (void)state;
    begin(&w, 200);
    happen(&w);
    for (int round = 0; round < 4; round++) {
        while ((target = engine_next(&w.engine, w.now)) != NULL) {
            engine_sent(&w.engine, target, w.now);
        }
        w.now += ENGINE_SLOW_MS;
        assert_null(engine_stuck(&w.engine, w.now));
        w.now++;
        while ((target = engine_stuck(&w.engine, w.now)) != NULL) {
            assert_true(engine_failed(&w.engine, target, "hangs", w.now, 0));
            target = engine_next(&w.engine, w.now);
            assert_non_null(target);
            engine_sent(&w.engine, target, w.now);
        }
    }
    /* Each has been called, in a quarter of the time that one could take. */
    for (uint64_t i = 0; i < 200; i++) {
        target = target_of(&w, i);
        assert_true(target->place == ENGINE_FLYING || target->since_ms > 0);
    }
    assert_null(engine_stuck(&w.engine, w.now + HOUR));
    engine_done(&w.engine);
}

/* Nor is it never paused. */
static void a_clock_that_was_ahead_ends_no_pauses(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    const struct engine_past past = {
        .cursor = 100, .state = HOOK_FAILING, .since_ms = BEGIN * 2};
    struct engine_target *target =
        engine_add(&w.engine, key_of(1), &past, w.now);
    w.now += 3600 * SECOND;
    assert_ptr_equal(engine_next(&w.engine, w.now), target);
    engine_sent(&w.engine, target, w.now);
    assert_true(engine_failed(&w.engine, target, "answered 500", w.now, 0));
    assert_int_equal(engine_due(&w.engine, w.now), 450 * SECOND);
    engine_done(&w.engine);
}

static void one_host_gets_four_and_the_others_the_rest(void **state)
{
    struct world w;
    struct engine_target *target = NULL, *flying[ENGINE_FLYING_MOST];
    unsigned n = 0, to_one = 0;

    (void)state;
    begin(&w, 40);
    for (uint64_t i = 0; i < 30; i++) {
        engine_reach(target_of(&w, i), "one:80");
    }
    happen(&w);
    while ((target = engine_next(&w.engine, w.now)) != NULL) {
        engine_sent(&w.engine, target, w.now);
        flying[n++] = target;
        to_one += strcmp(target->host, "one:80") == 0;
    }
    assert_int_equal(n, 14);
    assert_int_equal(to_one, ENGINE_HOST_MOST);
    assert_true(engine_answered(&w.engine, flying[0], w.revision, false));
    target = engine_next(&w.engine, w.now);
    assert_non_null(target);
    assert_string_equal(target->host, "one:80");
    /* It was looked at before its host was known. */
    assert_false(engine_host_is_full(&w.engine, "two:80"));
    engine_hold(&w.engine, target);
    engine_done(&w.engine);
}

static void a_changed_one_is_tried_at_once_and_begins_anew(void **state)
{
    struct world w;
    unsigned tries = 0;

    (void)state;
    begin(&w, 1);
    happen(&w);
    for (; w.now < BEGIN + 2 * DAY; w.now += 10 * SECOND) {
        (void)turns(&w, everybody, &tries);
    }
    assert_int_equal(target_of(&w, 0)->state, HOOK_DEAD);
    w.now += 1;
    engine_changed(&w.engine, target_of(&w, 0));
    tries = 0;
    assert_int_equal(turns(&w, everybody, &tries), 1);
    assert_int_equal(target_of(&w, 0)->state, HOOK_FAILING);
    assert_int_equal(target_of(&w, 0)->since_ms, w.now);
    assert_true(engine_due(&w.engine, w.now) <= SECOND);
    /* While it is under way it counts as soon as that is over. */
    w.now += 2 * SECOND;
    struct engine_target *target = engine_next(&w.engine, w.now);
    engine_sent(&w.engine, target, w.now);
    engine_changed(&w.engine, target);
    assert_true(engine_failed(&w.engine, target, "no", w.now, 0));
    assert_int_equal(turns(&w, NULL, NULL), 1);
    assert_int_equal(target->state, HOOK_OK);
    engine_done(&w.engine);
}

static void what_comes_while_one_is_called_is_told_next(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1);
    happen(&w);
    struct engine_target *target = engine_next(&w.engine, w.now);
    engine_sent(&w.engine, target, w.now);
    uint64_t first = w.revision;
    happen(&w);
    assert_null(engine_next(&w.engine, w.now)); /* [HOOK-2] */
    assert_true(engine_answered(&w.engine, target, first, false));
    assert_int_equal(target->cursor, first);
    assert_int_equal(turns(&w, NULL, NULL), 1);
    assert_int_equal(target->cursor, w.revision);
    engine_done(&w.engine);
}

static void
one_that_is_removed_while_it_is_called_goes_with_the_answer(void **state)
{
    struct world w;

    (void)state;
    for (int yes = 0; yes < 2; yes++) {
        begin(&w, 1);
        happen(&w);
        struct engine_target *target = engine_next(&w.engine, w.now);
        engine_sent(&w.engine, target, w.now);
        assert_false(engine_remove(&w.engine, target));
        assert_int_equal(engine_cursor(&w.engine, target), 100);
        assert_false(yes ? engine_answered(&w.engine, target, 101, false)
                         : engine_failed(&w.engine, target, "no", w.now, 1));
        assert_null(engine_find(&w.engine, key_of(0)));
        assert_null(engine_next(&w.engine, w.now));
        engine_done(&w.engine);
    }
}

static void one_that_comes_back_meanwhile_stays(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1);
    happen(&w);
    struct engine_target *target = engine_next(&w.engine, w.now);
    engine_sent(&w.engine, target, w.now);
    assert_false(engine_remove(&w.engine, target));
    const struct engine_past past = {.cursor = 140};
    engine_back(target, &past);
    assert_true(engine_answered(&w.engine, target, 101, false));
    assert_int_equal(target->cursor, 140);
    engine_done(&w.engine);
}

static void a_reset_is_shown_until_something_else_is(void **state)
{
    struct world w;
    unsigned tries = 0;

    (void)state;
    begin(&w, 1);
    happen(&w);
    struct engine_target *target = engine_next(&w.engine, w.now);
    engine_sent(&w.engine, target, w.now);
    assert_true(engine_answered(&w.engine, target, w.revision, true));
    assert_string_equal(target->text, "reset at 101");
    happen(&w);
    assert_int_equal(turns(&w, NULL, NULL), 1);
    assert_int_equal(target->state, HOOK_RESET);
    happen(&w);
    assert_int_equal(turns(&w, everybody, &tries), 1);
    w.now += 2 * SECOND;
    assert_int_equal(turns(&w, NULL, NULL), 1);
    assert_string_equal(target->text, "ok");
    engine_done(&w.engine);
}

static void a_state_is_told_until_it_is_known(void **state)
{
    struct world w;
    struct command_hook_item items[4], late[4];
    unsigned tries = 0;

    (void)state;
    begin(&w, 1);
    happen(&w);
    (void)turns(&w, everybody, &tries);
    assert_int_equal(engine_report(&w.engine, false, w.now, items, 4), 1);
    assert_int_equal(items[0].state, HOOK_FAILING);
    assert_int_equal(items[0].since_ms, BEGIN);
    assert_int_equal(items[0].cursor, 100);
    char text[ENGINE_TEXT];
    memcpy(text, items[0].text.p, items[0].text.n);
    items[0].text.p = text;
    w.now += 2 * SECOND;
    (void)turns(&w, NULL, NULL);
    engine_told(&w.engine, items, 1, w.now);
    /* It is another one by now. */
    assert_int_equal(engine_report(&w.engine, false, w.now, late, 4), 1);
    assert_int_equal(late[0].state, HOOK_OK);
    assert_int_equal(late[0].cursor, w.revision);
    engine_told(&w.engine, late, 1, w.now);
    assert_int_equal(engine_report(&w.engine, true, w.now, late, 4), 0);
    engine_done(&w.engine);
}

static void another_leader_goes_on_with_what_the_state_knows(void **state)
{
    struct world w;
    unsigned tries = 0;

    (void)state;
    begin(&w, 0);
    const struct engine_past past = {
        .cursor = 90, .state = HOOK_FAILING, .since_ms = BEGIN - HOUR};
    struct engine_target *target =
        engine_add(&w.engine, key_of(0), &past, w.now);
    assert_int_equal(turns(&w, everybody, &tries), 1);
    assert_int_equal(target->since_ms, BEGIN - HOUR);
    assert_in_range(engine_due(&w.engine, w.now), HOUR / 9, HOUR / 8);
    assert_false(target->tell);
    engine_done(&w.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_up_to_date_rests),
        cmocka_unit_test(what_concerns_nobody_moves_cursors_all_the_same),
        cmocka_unit_test(
            one_that_was_down_for_an_hour_is_back_within_an_eighth),
        cmocka_unit_test(after_a_day_it_is_dead_and_is_still_tried),
        cmocka_unit_test(jitter_makes_a_pause_a_tenth_shorter_at_most),
        cmocka_unit_test(one_dead_one_of_a_thousand_delays_nobody),
        cmocka_unit_test(those_that_failed_get_half_of_the_requests),
        cmocka_unit_test(those_that_were_slow_get_half_of_the_requests_too),
        cmocka_unit_test(those_that_hang_are_cut_when_others_wait),
        cmocka_unit_test(a_clock_that_was_ahead_ends_no_pauses),
        cmocka_unit_test(one_host_gets_four_and_the_others_the_rest),
        cmocka_unit_test(a_changed_one_is_tried_at_once_and_begins_anew),
        cmocka_unit_test(what_comes_while_one_is_called_is_told_next),
        cmocka_unit_test(
            one_that_is_removed_while_it_is_called_goes_with_the_answer),
        cmocka_unit_test(one_that_comes_back_meanwhile_stays),
        cmocka_unit_test(a_reset_is_shown_until_something_else_is),
        cmocka_unit_test(a_state_is_told_until_it_is_known),
        cmocka_unit_test(another_leader_goes_on_with_what_the_state_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
