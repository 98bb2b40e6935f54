#include <sys/socket.h>
#include <unistd.h>

#include "kit.h"
#include "rest/side.h"

struct waiter {
    struct rest_side side;
    struct rest_sides *sides;
    struct waiter *other; /* removed when this one is told */
    unsigned told;
    uint32_t events;
    int far;
};

static void hear(struct rest_side *side, uint32_t events)
{
    struct waiter *waiter = (struct waiter *)(void *)side;

    waiter->told++;
    waiter->events = events;
    if (waiter->other != NULL) {
        rest_side_remove(waiter->sides, &waiter->other->side);
    }
}

static void begin(struct rest_sides *sides, struct waiter *waiter)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *waiter = (struct waiter){
        .side = {.fd = ends[0], .func = hear}, .sides = sides, .far = ends[1]};
}

static void end(struct waiter *waiter)
{
    rest_side_remove(waiter->sides, &waiter->side);
    (void)close(waiter->side.fd);
    if (waiter->far >= 0) {
        (void)close(waiter->far);
    }
}

static void a_hang_up_is_told_once_when_asked_once(void **state)
{
    struct rest_sides sides = {0};
    struct waiter one;

    (void)state;
    assert_int_equal(rest_sides_open(&sides), 0);
    begin(&sides, &one);
    assert_int_equal(
        rest_side_set(&sides, &one.side, EPOLLRDHUP | EPOLLONESHOT), 0);
    rest_sides_turn(&sides);
    assert_int_equal(one.told, 0);
    (void)close(one.far);
    one.far = -1;
    rest_sides_turn(&sides);
    rest_sides_turn(&sides);
    assert_int_equal(one.told, 1);
    assert_true((one.events & EPOLLRDHUP) != 0);
    assert_int_equal(
        rest_side_set(&sides, &one.side, EPOLLRDHUP | EPOLLONESHOT), 0);
    rest_sides_turn(&sides);
    assert_int_equal(one.told, 2);
    end(&one);
    rest_sides_close(&sides);
}

static void who_was_removed_meanwhile_is_not_told(void **state)
{
    struct rest_sides sides = {0};
    struct waiter a, b;

    (void)state;
    assert_int_equal(rest_sides_open(&sides), 0);
    begin(&sides, &a);
    begin(&sides, &b);
    a.other = &b;
    b.other = &a;
    assert_int_equal(rest_side_set(&sides, &a.side, EPOLLOUT), 0);
    assert_int_equal(rest_side_set(&sides, &b.side, EPOLLOUT), 0);
    rest_sides_turn(&sides); /* both can be written: one removes the other */
    assert_int_equal(a.told + b.told, 1);
    end(&a);
    end(&b);
    rest_sides_close(&sides);
    rest_sides_close(&sides); /* nothing to do */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hang_up_is_told_once_when_asked_once),
        cmocka_unit_test(who_was_removed_meanwhile_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
